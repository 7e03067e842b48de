//! What the relay needs of the link: one request to a node that goes on.

use mamba_core::ids::NodeId;
use mamba_wire::{net::frames::FrameStream, node::Ask};
use std::{future::Future, pin::Pin};

/// A future behind a pointer, so that fakes and the link fit one type.
pub type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Asks connected nodes.
pub trait NodeDoor: Send + Sync + 'static {
    /// Sends a request to a node; the replies come through the stream. Dropping it ends the request.
    fn open(&self, node: NodeId, ask: Ask) -> Boxed<'_, Result<FrameStream, DoorError>>;
}

/// Why a node cannot be asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DoorError {
    /// It has no live session, or the session ended meanwhile.
    #[error("the node is not connected")]
    Offline,
    /// It said something that is no answer, or too many requests are open.
    #[error("the node could not be asked: {0}")]
    Failed(String),
}
