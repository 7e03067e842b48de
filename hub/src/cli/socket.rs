//! The local door: a unix socket in the data directory, mode 0600.
//!
//! A question is one line of JSON, its answer another; then the connection ends.

use super::{
    CliError,
    admin::{AdminContext, AdminReply, AdminRequest, Failure, operator},
};
use std::{
    io::ErrorKind,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
    sync::watch,
    task::JoinSet,
    time::timeout,
};

/// Name of the socket in the data directory.
pub const SOCKET_FILE: &str = "hub.sock";
/// Longest question: a blueprint as JSON in JSON.
const REQUEST_BYTES_MAX: u64 = 1 << 20;
/// Longest answer: ten thousand nodes.
const REPLY_BYTES_MAX: u64 = 32 << 20;
/// Time for a question to arrive.
const REQUEST_MS_MAX: u64 = 5_000;
/// Time for an answer: a backup of a large store takes minutes.
const REPLY_MS_MAX: u64 = 30 * 60_000;
/// Operators at one time; above it they wait.
const CONNECTIONS_MAX: usize = 16;
/// Pause after a failed accept: file descriptors are given back meanwhile.
const ACCEPT_PAUSE_MS: u64 = 100;

/// The socket cannot be made.
#[derive(Debug, thiserror::Error)]
#[error("local socket `{}` could not be made", path.display())]
pub struct SocketError {
    path: PathBuf,
    #[source]
    source: std::io::Error,
}

/// Makes the socket. The caller owns the data directory, so one that is there is a dead hub's.
///
/// # Errors
/// See [`SocketError`].
pub fn listen(data: &Path) -> Result<UnixListener, SocketError> {
    let path = data.join(SOCKET_FILE);
    let make = || {
        match std::fs::remove_file(&path) {
            Err(err) if err.kind() != ErrorKind::NotFound => return Err(err),
            _ => {}
        }
        let listener = UnixListener::bind(&path)?;
        // Until here the directory's mode keeps others out.
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
        Ok(listener)
    };
    make().map_err(|source| SocketError { path: path.clone(), source })
}

/// Answers operators until `stop` becomes true.
pub async fn serve(listener: UnixListener, context: AdminContext, mut stop: watch::Receiver<bool>) {
    let mut open = JoinSet::new();
    loop {
        tokio::select! {
            () = async { drop(stop.wait_for(|stop| *stop).await) } => break,
            Some(_) = open.join_next() => {}
            accepted = listener.accept(), if open.len() < CONNECTIONS_MAX => match accepted {
                Ok((socket, _)) => {
                    open.spawn(answer(socket, context.clone()));
                }
                Err(err) => {
                    tracing::warn!(cause = %err, "local connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(ACCEPT_PAUSE_MS)).await;
                }
            },
        }
    }
    // An operator who waits for a backup sees the connection end.
    open.shutdown().await;
    // One that stays is taken for a dead hub's, as it is.
    if let Some(path) = listener.local_addr().ok().as_ref().and_then(|it| it.as_pathname()) {
        std::fs::remove_file(path).ok();
    }
}

async fn answer(socket: UnixStream, context: AdminContext) {
    let peer = socket.peer_cred();
    let operator = peer.map_or_else(|_| "unknown".to_owned(), |peer| operator(peer.uid()));
    let (read, mut write) = socket.into_split();
    let mut line = String::new();
    let mut reader = BufReader::new(read.take(REQUEST_BYTES_MAX));
    let reading = reader.read_line(&mut line);
    if !matches!(timeout(Duration::from_millis(REQUEST_MS_MAX), reading).await, Ok(Ok(1..))) {
        return;
    }
    let reply = match serde_json::from_str(&line) {
        Ok(request) => context.answer(operator, request).await,
        Err(err) => AdminReply::Failure(Failure::Refused(format!("question not known: {err}"))),
    };
    if let Ok(mut bytes) = serde_json::to_vec(&reply) {
        bytes.push(b'\n');
        // An operator who went away gets no answer.
        write.write_all(&bytes).await.ok();
    }
}

/// Asks the hub that runs on a data directory; `None` when none does.
pub(super) async fn ask(
    data: &Path,
    request: &AdminRequest,
) -> Result<Option<AdminReply>, CliError> {
    let mut socket = match UnixStream::connect(data.join(SOCKET_FILE)).await {
        Ok(socket) => socket,
        Err(err) if matches!(err.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => {
            return Ok(None);
        }
        Err(err) => {
            return Err(CliError::Failed(format!("the running hub could not be reached: {err}")));
        }
    };
    let talk = async {
        let mut bytes = serde_json::to_vec(request)?;
        bytes.push(b'\n');
        socket.write_all(&bytes).await?;
        let mut reply = Vec::new();
        (&mut socket).take(REPLY_BYTES_MAX).read_to_end(&mut reply).await?;
        if reply.is_empty() {
            return Err(std::io::Error::from(ErrorKind::UnexpectedEof));
        }
        Ok(serde_json::from_slice(&reply)?)
    };
    match timeout(Duration::from_millis(REPLY_MS_MAX), talk).await {
        Ok(Ok(reply)) => Ok(Some(reply)),
        Ok(Err(err)) => Err(CliError::Failed(format!("the running hub gave no answer: {err}"))),
        Err(_) => Err(CliError::Failed("the running hub gave no answer in time".to_owned())),
    }
}
