//! Moves servers from node to node: asked for, shown and cancelled here, driven by [`keep`].
//!
//! The phases and what leads from one to the next are in [`mamba_core::lifecycle::transfer`]; the
//! data goes from the source through this hub to the target, chunk by chunk, and stays in neither
//! memory nor disk here ([`mamba_wire::node::moving`]). One row says how far each move is; everything
//! that a step changes is one transaction with it (`steps`), so that a hub that is killed goes on
//! where it was.
//!
//! From the commit on the former node has a place of its own in the books: its row in `PLACED` says
//! `left`, and the envelope that it should have is in `LEFT`, while `ENVELOPES` has that of the new
//! node. It is told to clear its copy away only after the new node has confirmed wish and data.
//!
//! Tables 280 to 289.

mod asking;
mod copy;
mod drive;
mod lost;
mod records;
mod steps;
#[cfg(test)]
mod tests;

pub use asking::NewTransfer;
pub(crate) use drive::Progresses;
pub use drive::keep;
pub(crate) use lost::{came_home, lost_leaving, lost_moved, taken_back};
pub(crate) use records::{LEFT, RESERVED, coming, forget_node};
pub use records::{OPEN, Reserved, TABLES, TRANSFERS, TransferRecord};
pub(super) use steps::pass;

/// How long the former node keeps its copy: a week, as after a deletion.
const RETAIN_MS: u64 = super::RETAIN_MS_DEFAULT;
/// Most moves that are open at once: all servers of some nodes. More are refused.
const OPEN_MAX: usize = 1_000;
