//! The local socket: who may open it may do everything.
//!
//! Mode 0600 inside a folder of mode 0700: only the daemon's own user and root get in.

use crate::link::backend::{Dispatcher, refuse};
use mamba_core::error::chain;
use mamba_wire::{
    net::frames::FrameStream,
    node::{Ask, NodeError},
};
use std::{
    io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::{
    net::{UnixListener, UnixStream},
    task::JoinSet,
};

/// Most requests at once; consoles that are followed count. The next one is told `Busy`.
const REQUESTS_MAX: usize = 64;
/// Longest wait for a request after somebody connected.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Wait after a failed accept: out of file descriptors.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// Wait between two attempts to make the socket on a disk that does not take it.
const BIND_RETRY: Duration = Duration::from_secs(2);

/// The socket cannot be made.
#[derive(Debug, thiserror::Error)]
#[error("local socket `{}` cannot be made", path.display())]
pub struct SocketError {
    /// Where.
    path: PathBuf,
    /// Why.
    #[source]
    source: io::Error,
}

impl SocketError {
    /// Whether the disk takes no writes now, which is no reason to leave the servers alone.
    fn is_of_disk(&self) -> bool {
        matches!(self.source.kind(), io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::StorageFull)
    }
}

/// Makes the socket, unless the disk takes no writes: then [`serve`] makes it as soon as it does.
///
/// # Errors
/// When the folder cannot be written for another reason.
pub fn open(path: &Path) -> Result<Option<UnixListener>, SocketError> {
    match bind(path) {
        Ok(listener) => Ok(Some(listener)),
        Err(err) if err.is_of_disk() => {
            tracing::error!(error = chain(&err), "local commands wait until the disk takes writes");
            Ok(None)
        }
        Err(err) => Err(err),
    }
}

/// Makes the socket. One left behind by a killed daemon is replaced: whoever holds the data
/// directory's lock is the only daemon.
///
/// # Errors
/// When the folder cannot be written.
fn bind(path: &Path) -> Result<UnixListener, SocketError> {
    let failed = |source| SocketError { path: path.to_owned(), source };
    match std::fs::remove_file(path) {
        Ok(()) => {}
        Err(err) if err.kind() == io::ErrorKind::NotFound => {}
        Err(err) => return Err(failed(err)),
    }
    let listener = UnixListener::bind(path).map_err(failed)?;
    // Until this is done the folder's own mode keeps others out.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
    Ok(listener)
}

/// Serves requests until it is dropped; then those under way end too.
///
/// `listener` is what [`open`] gave for `path`.
pub async fn serve(
    path: PathBuf,
    listener: Option<UnixListener>,
    dispatcher: Arc<impl Dispatcher>,
) {
    let listener = match listener {
        Some(listener) => listener,
        None => bound(&path).await,
    };
    let mut requests = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) if requests.len() < REQUESTS_MAX => {
                    requests.spawn(one(stream, Arc::clone(&dispatcher)));
                }
                Ok((stream, _)) => {
                    requests.spawn(turn_away(stream));
                }
                Err(err) => {
                    tracing::warn!(error = chain(&err), "local socket does not accept");
                    tokio::time::sleep(ACCEPT_RETRY).await;
                }
            },
            Some(ended) = requests.join_next() => {
                if let Err(err) = ended {
                    tracing::error!(error = chain(&err), "local request broke off");
                }
            }
        }
    }
}

async fn bound(path: &Path) -> UnixListener {
    loop {
        tokio::time::sleep(BIND_RETRY).await;
        if let Ok(listener) = bind(path) {
            tracing::info!("local commands are served");
            return listener;
        }
    }
}

async fn one(stream: UnixStream, dispatcher: Arc<impl Dispatcher>) {
    let (reader, writer) = stream.into_split();
    let mut stream = FrameStream::new(reader, writer);
    let first = tokio::time::timeout(REQUEST_TIMEOUT, stream.reader.next()).await;
    let Ok(Ok(Some(frame))) = first else { return };
    match Ask::from_frame(&frame) {
        Ok(ask) => dispatcher.admit(ask, stream).await,
        Err(err) => {
            tracing::debug!(error = chain(&err), "bad local request");
            refuse(stream, NodeError::Unsupported).await;
        }
    }
}

async fn turn_away(stream: UnixStream) {
    let (reader, writer) = stream.into_split();
    refuse(FrameStream::new(reader, writer), NodeError::Busy).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use mamba_wire::{
        frame::Frame,
        net::frames::FramedError,
        node::{Answer, Asker, NodeReply, NodeRequest},
    };

    /// Accepts every request and holds consoles open.
    struct Accepting;

    impl Dispatcher for Accepting {
        async fn serve(&self, ask: Ask, mut stream: FrameStream) {
            if matches!(ask.request, NodeRequest::Console { .. }) {
                std::future::pending::<()>().await;
            }
            let frame = NodeReply::Ok(Box::new(Answer::Accepted)).to_frame().unwrap();
            stream.writer.send(&frame).await.unwrap();
        }
    }

    fn status() -> Ask {
        Ask { by: Asker::Operator("root".to_owned()), request: NodeRequest::Status }
    }

    struct Door {
        path: PathBuf,
        _dir: tempfile::TempDir,
        _tasks: JoinSet<()>,
    }

    fn open() -> Door {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("edge.sock");
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(path.clone(), Some(bind(&path).unwrap()), Arc::new(Accepting)));
        Door { path, _dir: dir, _tasks: tasks }
    }

    async fn ask(door: &Door, frame: &Frame) -> Result<Option<NodeReply>, FramedError> {
        let mut stream = connect(door).await;
        stream.writer.send(frame).await?;
        Ok(stream.reader.next().await?.map(|frame| NodeReply::from_frame(&frame).unwrap()))
    }

    async fn connect(door: &Door) -> FrameStream {
        let (reader, writer) = UnixStream::connect(&door.path).await.unwrap().into_split();
        FrameStream::new(reader, writer)
    }

    #[tokio::test]
    async fn a_socket_that_could_not_be_made_is_made_later() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("edge.sock");
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(path.clone(), None, Arc::new(Accepting)));
        let connected = async {
            while UnixStream::connect(&path).await.is_err() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(BIND_RETRY * 4, connected).await.expect("it is made in time");
    }

    #[tokio::test]
    async fn only_the_owner_may_open_the_socket() {
        let door = open();
        let mode = std::fs::metadata(&door.path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(bind(&door.path).is_ok(), "a socket left behind is replaced");
    }

    #[tokio::test]
    async fn nonsense_is_answered_and_the_next_request_is_served() {
        let door = open();
        let nonsense = Frame { kind: 9, flags: 0, body: vec![1, 2, 3] };
        assert_eq!(
            ask(&door, &nonsense).await.unwrap(),
            Some(NodeReply::Err(NodeError::Unsupported))
        );
        let status = status().to_frame().unwrap();
        let accepted = NodeReply::Ok(Box::new(Answer::Accepted));
        assert_eq!(ask(&door, &status).await.unwrap(), Some(accepted));
    }

    #[tokio::test]
    async fn one_request_too_many_is_told_that_the_node_is_busy() {
        let door = open();
        let mut held = Vec::new();
        for _ in 0..REQUESTS_MAX {
            held.push(connect(&door).await);
        }
        let status = status().to_frame().unwrap();
        assert_eq!(ask(&door, &status).await.unwrap(), Some(NodeReply::Err(NodeError::Busy)));
    }

    #[tokio::test]
    async fn who_claims_to_ask_for_an_account_gets_only_what_the_account_holds() {
        let door = open();
        let user = mamba_core::ids::UserId::from_bytes([1; 16]);
        let by = Asker::User { user, keys: mamba_core::access::ServerKeys::ALL };
        let request = NodeRequest::Status;
        let refused = NodeReply::Err(NodeError::Forbidden(request.needs()));
        let status = Ask { by, request }.to_frame().unwrap();
        assert_eq!(ask(&door, &status).await.unwrap(), Some(refused));
    }
}
