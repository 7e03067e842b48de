//! The accept loop: bounded in connections and time, and it ends when told.
//!
//! HTTP/1.1, over TLS when there is a certificate (see [`Certificates`](super::Certificates)). Without
//! one the listener is meant for loopback, behind whatever ends TLS; see `http_listen` in
//! `hub.toml.example`.

use super::{Api, dispatch};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
};
use std::{future::Future, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;
use tower_service::Service as _;

/// Connections at one time. With some 100 KiB each they stay below 100 MiB; those above wait in the
/// kernel's queue.
const CONNECTIONS_MAX: usize = 1_000;
/// Time for the head of a request, and between two requests of one connection.
const HEAD_MS_MAX: u64 = 15_000;
/// Time for a TLS handshake.
const HANDSHAKE_MS_MAX: u64 = 10_000;
/// Most bytes buffered of a head. Ours have a few hundred.
const HEAD_BYTES_MAX: usize = 32 * 1024;
/// Time for requests in progress to finish once the hub is told to stop.
const DRAIN_MS_MAX: u64 = 5_000;
/// Pause after a failed accept: it failed for want of file descriptors, which are given back.
const ACCEPT_PAUSE_MS: u64 = 100;

/// A connection, plain or not.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Serves the API until `stop` resolves, then finishes what runs, for at most five seconds.
pub async fn serve(
    api: Arc<Api>,
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    stop: impl Future<Output = ()>,
) {
    let service = warp::service(dispatch::filter(api));
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    let mut stop = std::pin::pin!(stop);
    loop {
        let accepted = async {
            let place = places.clone().acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            () = &mut stop => break,
            accepted = accepted => accepted,
        };
        while connections.try_join_next().is_some() {}
        let (socket, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(err) => {
                tracing::warn!(cause = %err, "connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(ACCEPT_PAUSE_MS)).await;
                continue;
            }
        };
        // Console lines are small and must not wait for each other.
        socket.set_nodelay(true).ok();
        let service = service.clone();
        let service = hyper::service::service_fn(
            move |mut request: hyper::Request<hyper::body::Incoming>| {
                request.extensions_mut().insert(dispatch::Peer(peer));
                service.clone().call(request)
            },
        );
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(Duration::from_millis(HEAD_MS_MAX))
            .max_buf_size(HEAD_BYTES_MAX);
        let (tls, watcher) = (tls.clone(), graceful.watcher());
        connections.spawn(async move {
            if let Some(stream) = open(socket, tls).await {
                let io = TokioIo::new(stream);
                let connection = builder.serve_connection_with_upgrades(io, service).into_owned();
                if let Err(err) = watcher.watch(connection).await {
                    tracing::debug!(cause = %err, %peer, "connection ended with an error");
                }
            }
            drop(place);
        });
    }
    drop(listener);
    let drain = Duration::from_millis(DRAIN_MS_MAX);
    if tokio::time::timeout(drain, graceful.shutdown()).await.is_err() {
        tracing::warn!("requests were cut off after {DRAIN_MS_MAX} ms");
    }
    connections.shutdown().await;
}

/// Makes a connection ready; `None` for one whose other end speaks no TLS, or too slowly.
async fn open(socket: TcpStream, tls: Option<TlsAcceptor>) -> Option<Box<dyn Stream>> {
    let Some(tls) = tls else { return Some(Box::new(socket)) };
    let handshake = tls.accept(socket);
    match tokio::time::timeout(Duration::from_millis(HANDSHAKE_MS_MAX), handshake).await {
        Ok(Ok(stream)) => Some(Box::new(stream)),
        // Port scanners do this all day.
        Ok(Err(_)) | Err(_) => None,
    }
}
