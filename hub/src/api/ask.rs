//! Asks a node something for one request, and says in the words of the API what went wrong.

use crate::{
    api::{Api, ApiError},
    relay::DoorError,
};
use mamba_core::{error::chain, ids::NodeId};
use mamba_wire::{
    api::Code,
    net::frames::FrameStream,
    node::{Answer, Ask, NodeError, NodeReply},
};
use std::{future::Future, time::Duration};
use tokio::time::timeout;

/// Why a node did not answer as it was asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum AskError {
    /// It took too long. What was asked for may still happen.
    #[error("the node did not answer in time")]
    Late,
    /// It could not be asked.
    #[error(transparent)]
    Door(#[from] DoorError),
    /// It refused.
    #[error("{0}")]
    Refused(NodeError),
    /// It spoke of something else.
    #[error("the node gave another answer")]
    Strange,
}

impl From<AskError> for ApiError {
    fn from(err: AskError) -> Self {
        let code = match &err {
            AskError::Late => Code::NoAnswer,
            AskError::Door(DoorError::Offline) => Code::NodeOffline,
            AskError::Refused(NodeError::Forbidden(_)) => Code::Forbidden,
            AskError::Door(DoorError::Failed(_)) | AskError::Refused(_) | AskError::Strange => {
                Code::Unavailable
            }
        };
        Self::new(code, err.to_string())
    }
}

impl Api {
    /// Opens a request to a node.
    async fn open(&self, node: NodeId, ask: Ask) -> Result<FrameStream, AskError> {
        Ok(self.parts.links.open(node, ask).await?)
    }

    /// Asks a node for one answer.
    pub(super) async fn ask(
        &self,
        node: NodeId,
        ask: Ask,
        ms_max: u64,
    ) -> Result<Answer, AskError> {
        within(ms_max, async { next(&mut self.open(node, ask).await?).await }).await
    }
}

/// Waits no longer than that.
pub(super) async fn within<T>(
    ms_max: u64,
    asking: impl Future<Output = Result<T, AskError>>,
) -> Result<T, AskError> {
    timeout(Duration::from_millis(ms_max), asking).await.unwrap_or(Err(AskError::Late))
}

/// Reads the next answer.
pub(super) async fn next(stream: &mut FrameStream) -> Result<Answer, AskError> {
    let failed = |why: String| AskError::Door(DoorError::Failed(why));
    let frame = stream.reader.next().await.map_err(|err| failed(chain(&err)))?;
    let frame = frame.ok_or_else(|| failed("it ended the request".to_owned()))?;
    match NodeReply::from_frame(&frame).map_err(|err| failed(chain(&err)))? {
        NodeReply::Ok(answer) => Ok(*answer),
        NodeReply::Err(err) => Err(AskError::Refused(err)),
    }
}
