//! A panel user's console: WebSocket on one side, a node's console stream on the other.
//!
//! The relay holds no lines. While a browser does not take a message nothing is read from the node,
//! so the node's own bound is reached and it counts a gap for this reader; the game never waits. A
//! socket ends when its session ends, its node goes, its hub stops, or nobody answers.

mod door;
mod peer;
mod places;
mod run;
#[cfg(test)]
mod tests;

pub use door::{Boxed, DoorError, NodeDoor};
pub(crate) use peer::{Gone, closed, deliver, leave, send};
pub use places::Sockets;
pub(crate) use run::{Visit, run};
