//! Moves of servers between nodes: the node's part, as source and as target.
//!
//! The hub asks, step by step ([`mamba_wire::node::moving`]), and passes the data on; nothing here
//! knows the other node. All steps may be asked again at any time.
//!
//! As source, the node reads the folder of a server that rests under a wish that forbids it to run
//! (`SupervisorHandle::rests_for`). It keeps nothing of its own: the order of parts follows from
//! the folder, so that reading goes on from any place.
//!
//! As target, it keeps `arrivals/<server>/`: `data` is what came so far and `state` how far that
//! goes ([`Arrival`]). A place is written into `state` after everything before it was synced, so that
//! a daemon or machine that stops loses at most [`CHECKPOINT_BYTES`] of what came. When `data` is
//! whole and counts the same as the source's, it becomes the server's folder in one rename. Nothing
//! runs before the hub's wish comes, and what is here is thrown away only while there is none.
//! `state` stays with the server, so that it is known by which hand-over it came, also to a node that
//! lost its store.
//!
//! Bounds: one step at a time for each server, one chunk in memory, room on the disk is looked at
//! before each chunk. Steps that block go on in the background when their request ends; the next
//! one is told that the node is busy until they are over.

mod read;
mod list;
mod serve;
mod source;
mod target;
mod state;
mod write;
#[cfg(test)]
mod tests;

pub(crate) use list::moves;
pub use read::{Reader, count};
pub use serve::Mover;
pub use state::{Arrival, Came};
pub use write::Writer;

use std::io;

/// Content between two syncs: at 100 MB/s three a second are not worth it, at 1 MB/s a cut loses
/// half a minute.
pub const CHECKPOINT_BYTES: u64 = 32 << 20;
/// Room that a move leaves on the disk, for the servers that run there.
const FREE_BYTES_MIN: u64 = 512 << 20;

/// Why data of a server could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum MoveError {
    /// The operating system refused.
    #[error("{step} failed at `{path}`")]
    Io {
        /// What was done.
        step: &'static str,
        /// To which entry.
        path: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The source sends what no folder holds.
    #[error("source sent what is no part of a folder: {0}")]
    Hostile(String),
    /// More than the server may have.
    #[error("data is over the server's limit of {most_bytes} bytes")]
    OverLimit {
        /// The limit.
        most_bytes: u64,
    },
    /// Other servers need the rest of the disk.
    #[error(
        "disk of the node has {free_bytes} bytes left, the data needs {needed_bytes} more and \
         {FREE_BYTES_MIN} stay free"
    )]
    NoRoom {
        /// What is left.
        free_bytes: u64,
        /// What is to come next, at least.
        needed_bytes: u64,
    },
    /// Deeper than is walked.
    #[error("folder `{0}` is nested too deep")]
    TooDeep(String),
}

/// Checks that a disk with so much left takes so much more.
fn check_room(free_bytes: u64, needed_bytes: u64) -> Result<(), MoveError> {
    if free_bytes < FREE_BYTES_MIN.saturating_add(needed_bytes) {
        return Err(MoveError::NoRoom { free_bytes, needed_bytes });
    }
    Ok(())
}

impl MoveError {
    fn io(step: &'static str, path: &[u8], source: impl Into<io::Error>) -> Self {
        Self::Io { step, path: path.escape_ascii().to_string(), source: source.into() }
    }
}
