//! What the relay needs of the link: one request to a node that goes on.

use mamba_core::ids::NodeId;
use mamba_wire::node::{ConsoleInput, NodeReply, NodeRequest};
use std::{future::Future, pin::Pin};

/// A future behind a pointer, so that fakes and the link fit one type.
pub type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Asks connected nodes.
pub trait NodeDoor: Send + Sync + 'static {
    /// Sends a request to a node; the answers come through what is returned.
    fn open(
        &self,
        node: NodeId,
        request: NodeRequest,
    ) -> Boxed<'_, Result<Box<dyn NodeConsole>, DoorError>>;
}

/// An open request. Dropping it ends it.
pub trait NodeConsole: Send {
    /// Returns the next reply, `None` at the orderly end. Cancelled, nothing is lost.
    fn next(&mut self) -> Boxed<'_, Result<Option<NodeReply>, DoorError>>;

    /// Sends a line to type.
    fn input(&mut self, input: ConsoleInput) -> Boxed<'_, Result<(), DoorError>>;
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
