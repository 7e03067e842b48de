//! Everything of Mamba Host Panel that crosses a process.
//!
//! Without features this crate does no IO and builds for wasm; feature `net` adds QUIC,
//! certificates and signatures.

pub mod frame;
pub mod link;
pub mod session;
pub mod node;
pub mod api;
#[cfg(feature = "net")]
pub mod net;
