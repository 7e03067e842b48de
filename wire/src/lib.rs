//! Everything that crosses a process. Feature `net` adds QUIC.
