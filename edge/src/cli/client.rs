//! Asks the daemon over its local socket.

use mamba_wire::{
    net::frames::{FrameStream, FramedError},
    node::{Answer, Ask, Asker, NodeError, NodeReply, NodeRequest},
};
use std::{io, path::PathBuf, time::Duration};
use tokio::net::UnixStream;

/// Longest wait for the answer to a plain question. The doctor, which asks engine and network, takes
/// at most a third of it.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// Nobody listens.
    #[error("mamba-edge is not running: nobody answers at `{}`", socket.display())]
    NotRunning {
        /// The socket.
        socket: PathBuf,
    },
    /// The socket belongs to somebody else.
    #[error("`{}` cannot be opened; only the daemon's own user and root may", socket.display())]
    Denied {
        /// The socket.
        socket: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The connection broke, or what came is not an answer.
    #[error("daemon did not answer: {0}")]
    Broken(String),
    /// The daemon refused.
    #[error(transparent)]
    Node(#[from] NodeError),
}

/// The way to one daemon.
#[derive(Clone, Debug)]
pub(super) struct Client {
    socket: PathBuf,
    by: Asker,
}

impl Client {
    /// Asks the daemon behind this socket, in the name of an operator. Connects only when asked.
    #[must_use]
    pub(super) fn new(socket: PathBuf, operator: String) -> Self {
        Self { socket, by: Asker::Operator(operator) }
    }

    /// Opens a request; its replies come on the stream.
    ///
    /// # Errors
    /// `NotRunning`, `Denied` or `Broken`.
    pub(super) async fn open(&self, request: NodeRequest) -> Result<FrameStream, ClientError> {
        let stream = UnixStream::connect(&self.socket).await.map_err(|source| {
            let socket = self.socket.clone();
            match source.kind() {
                io::ErrorKind::PermissionDenied => ClientError::Denied { socket, source },
                _ => ClientError::NotRunning { socket },
            }
        })?;
        let (reader, writer) = stream.into_split();
        let mut stream = FrameStream::new(reader, writer);
        let ask = Ask { by: self.by.clone(), request };
        let frame = ask.to_frame().map_err(|err| ClientError::Broken(err.to_string()))?;
        stream.writer.send(&frame).await.map_err(broken)?;
        Ok(stream)
    }

    /// Asks for the one answer to a request.
    ///
    /// # Errors
    /// `Node` when the daemon refused; otherwise see [`ClientError`].
    pub(super) async fn ask(&self, request: NodeRequest) -> Result<Answer, ClientError> {
        let answer = async {
            let mut stream = self.open(request).await?;
            next_answer(&mut stream)
                .await?
                .ok_or_else(|| ClientError::Broken("it closed the connection".to_owned()))
        };
        match tokio::time::timeout(ANSWER_TIMEOUT, answer).await {
            Ok(answer) => answer,
            Err(_) => Err(ClientError::Broken(format!("waited {ANSWER_TIMEOUT:?}"))),
        }
    }
}

/// Returns the next answer on a stream, `None` at its end.
///
/// # Errors
/// `Node` when the daemon refused, `Broken` otherwise.
pub(super) async fn next_answer(stream: &mut FrameStream) -> Result<Option<Answer>, ClientError> {
    let Some(frame) = stream.reader.next().await.map_err(broken)? else { return Ok(None) };
    match NodeReply::from_frame(&frame).map_err(|err| ClientError::Broken(err.to_string()))? {
        NodeReply::Ok(answer) => Ok(Some(*answer)),
        NodeReply::Err(err) => Err(err.into()),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "used with `map_err`")]
fn broken(err: FramedError) -> ClientError {
    ClientError::Broken(mamba_core::error::chain(&err))
}
