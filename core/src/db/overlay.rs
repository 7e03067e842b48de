//! A file that is read and never written: changes stay in memory and are lost on close.
//!
//! After a power cut redb wants to repair a store before it shows anything. On a read-only disk, or
//! while a command line looks at the store of a stopped daemon, the repair may not touch the file:
//! it happens here. With quick-repair it changes a few pages.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::{Mutex, MutexGuard, PoisonError};

const BLOCK_BYTES: u64 = 4_096;
const BLOCK_LEN: usize = 4_096;

/// A storage backend over a file that it never changes.
#[derive(Debug)]
pub(super) struct Overlay<B> {
    base: B,
    state: Mutex<State>,
}

/// Bytes that can be read at an offset.
pub(super) trait Base: std::fmt::Debug + Send + Sync + 'static {
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()>;
}

impl Base for File {
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.read_exact_at(out, offset)
    }
}

#[derive(Debug)]
struct State {
    bytes: u64,
    /// How much of the base is still visible: shrinking and growing again must show zeroes.
    base_bytes: u64,
    changed: BTreeMap<u64, Box<[u8; BLOCK_LEN]>>,
}

impl<B: Base> Overlay<B> {
    pub(super) fn new(base: B, bytes: u64) -> Self {
        let state = State { bytes, base_bytes: bytes, changed: BTreeMap::new() };
        Self { base, state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls `part` for each block that `offset..offset + bytes` touches, with the block's index,
    /// the place within the block, and the range of the caller's buffer.
    fn blocks(
        offset: u64,
        bytes: usize,
        mut part: impl FnMut(u64, usize, std::ops::Range<usize>) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut done = 0;
        while done < bytes {
            let at = offset + done as u64;
            let within = usize::try_from(at % BLOCK_BYTES).map_err(io::Error::other)?;
            let step = (BLOCK_LEN - within).min(bytes - done);
            part(at / BLOCK_BYTES, within, done..done + step)?;
            done += step;
        }
        Ok(())
    }

    fn load(&self, state: &State, block: u64) -> io::Result<Box<[u8; BLOCK_LEN]>> {
        if let Some(changed) = state.changed.get(&block) {
            return Ok(changed.clone());
        }
        let mut bytes = Box::new([0; BLOCK_LEN]);
        let start = block * BLOCK_BYTES;
        let visible = state.base_bytes.saturating_sub(start).min(BLOCK_BYTES);
        let visible = usize::try_from(visible).map_err(io::Error::other)?;
        self.base.read_at(start, &mut bytes[..visible])?;
        Ok(bytes)
    }
}

impl<B: Base> redb::StorageBackend for Overlay<B> {
    fn len(&self) -> io::Result<u64> {
        Ok(self.state().bytes)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.state();
        if offset + out.len() as u64 > state.bytes {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Self::blocks(offset, out.len(), |block, within, range| {
            let bytes = self.load(&state, block)?;
            let len = range.len();
            out[range].copy_from_slice(&bytes[within..within + len]);
            Ok(())
        })
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.state();
        if len < state.bytes {
            // Both the memory and the base forget what is cut off.
            state.base_bytes = state.base_bytes.min(len);
            state.changed.retain(|block, _| block * BLOCK_BYTES < len);
            if let Some(last) = state.changed.get_mut(&(len / BLOCK_BYTES)) {
                let keep = usize::try_from(len % BLOCK_BYTES).map_err(io::Error::other)?;
                last[keep..].fill(0);
            }
        }
        state.bytes = len;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = self.state();
        if offset + data.len() as u64 > state.bytes {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Self::blocks(offset, data.len(), |block, within, range| {
            let mut bytes = self.load(&state, block)?;
            let len = range.len();
            bytes[within..within + len].copy_from_slice(&data[range]);
            state.changed.insert(block, bytes);
            Ok(())
        })
    }
}
