//! The accept loop: bounded in connections and time, and it ends when told.
//!
//! HTTP/1.1, over TLS when there is a certificate (see [`Certificates`](super::Certificates)). Without
//! one the listener is meant for loopback, behind whatever ends TLS; see `http_listen` in
//! `hub.toml.example`.
//!
//! Whatever a connection waits for has an end: the handshake, each head (also the first, before which
//! nothing needs to have been sent), each body (`body`), and each write (`stall`). What looks at the
//! first bytes to tell HTTP/2 would wait for them without one.

use super::{
    Api, dispatch,
    gate::{Gate, Seat},
    stall::Stalling,
};
use hyper::{
    Request, Response,
    body::{Body, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{
    convert::Infallible, error::Error, future::Future, net::SocketAddr, sync::Arc, time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;
use tower_service::Service as _;

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

/// Where connections come in.
struct Door {
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    gate: Arc<Gate>,
}

/// One connection that has a place.
struct Visit {
    socket: TcpStream,
    peer: SocketAddr,
    tls: Option<TlsAcceptor>,
    seat: Seat,
    stopping: watch::Receiver<bool>,
}

/// Serves the API until `stop` resolves, then finishes what runs, for at most five seconds.
pub async fn serve(
    api: Arc<Api>,
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    stop: impl Future<Output = ()>,
) {
    let gate = Gate::new(api.parts.connections, api.parts.trusted_proxies.clone());
    let service = warp::service(dispatch::filter(api));
    let answer = move |peer: SocketAddr, mut request: Request<Incoming>| {
        request.extensions_mut().insert(dispatch::Peer(peer));
        service.clone().call(request)
    };
    Door { listener, tls, gate }.serve(answer, stop).await;
}

impl Door {
    async fn serve<F, A, B>(self, answer: F, stop: impl Future<Output = ()>)
    where
        F: Fn(SocketAddr, Request<Incoming>) -> A + Clone + Send + 'static,
        A: Future<Output = Result<Response<B>, Infallible>> + Send + 'static,
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let (told, stopping) = watch::channel(false);
        let mut connections = JoinSet::new();
        let mut stop = std::pin::pin!(stop);
        loop {
            let accepted = async { (self.gate.place().await, self.listener.accept().await) };
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
            let Some(seat) = place.and_then(|place| self.gate.enter(peer.ip(), place)) else {
                tracing::debug!(%peer, "connection is one too many from there");
                continue;
            };
            let (tls, stopping) = (self.tls.clone(), stopping.clone());
            connections.spawn(Visit { socket, peer, tls, seat, stopping }.serve(answer.clone()));
        }
        drop(self.listener);
        told.send_replace(true);
        let drained = async { while connections.join_next().await.is_some() {} };
        if tokio::time::timeout(Duration::from_millis(DRAIN_MS_MAX), drained).await.is_err() {
            tracing::warn!("requests were cut off after {DRAIN_MS_MAX} ms");
        }
        connections.shutdown().await;
    }
}

impl Visit {
    async fn serve<F, A, B>(self, answer: F)
    where
        F: Fn(SocketAddr, Request<Incoming>) -> A,
        A: Future<Output = Result<Response<B>, Infallible>>,
        B: Body + 'static,
        B::Data: Send,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let Self { socket, peer, tls, seat, mut stopping } = self;
        // Console lines are small and must not wait for each other.
        socket.set_nodelay(true).ok();
        let Some(stream) = open(socket, tls).await else { return };
        let service = service_fn(move |request| answer(peer, request));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(Duration::from_millis(HEAD_MS_MAX))
            .max_buf_size(HEAD_BYTES_MAX)
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        let mut connection = std::pin::pin!(connection);
        let stopped = async { drop(stopping.wait_for(|stop| *stop).await) };
        let ended = tokio::select! {
            ended = connection.as_mut() => Some(ended),
            () = stopped => None,
        };
        let ended = match ended {
            Some(ended) => ended,
            None => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(err) = ended {
            tracing::debug!(cause = %err, %peer, "connection ended with an error");
        }
        drop(seat);
    }
}

/// Makes a connection ready; `None` for one whose other end speaks no TLS, or too slowly.
async fn open(socket: TcpStream, tls: Option<TlsAcceptor>) -> Option<Box<dyn Stream>> {
    let socket = Stalling::new(socket);
    let Some(tls) = tls else { return Some(Box::new(socket)) };
    let handshake = tls.accept(socket);
    match tokio::time::timeout(Duration::from_millis(HANDSHAKE_MS_MAX), handshake).await {
        Ok(Ok(stream)) => Some(Box::new(stream)),
        // Port scanners do this all day.
        Ok(Err(_)) | Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::gate::ConnectionLimits;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    const ASK: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";

    /// Reads what comes until the other end closes.
    async fn all_of(stream: &mut TcpStream) -> String {
        let mut seen = Vec::new();
        // What was refused with something unread is reset.
        stream.read_to_end(&mut seen).await.ok();
        String::from_utf8(seen).unwrap()
    }

    async fn asked(address: SocketAddr) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(ASK).await.ok();
        all_of(&mut stream).await
    }

    /// A connection that said nothing was kept for ever, and a thousand of them kept everybody out.
    #[tokio::test]
    async fn silent_connections_end_and_leave_their_places() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let limits = ConnectionLimits { all_max: 10, per_address_max: 2 };
        let gate = Gate::new(limits, Vec::new());
        let (stop, stopping) = tokio::sync::oneshot::channel::<()>();
        let answer = |_, _| async { Ok(Response::new("hello".to_owned())) };
        let stopped = async { drop(stopping.await) };
        let mut tasks = JoinSet::new();
        tasks.spawn(Door { listener, tls: None, gate }.serve(answer, stopped));
        assert!(asked(address).await.ends_with("hello"));

        let mut silent = TcpStream::connect(address).await.unwrap();
        let mut slow = TcpStream::connect(address).await.unwrap();
        slow.write_all(b"PRI * HTTP").await.unwrap();
        assert_eq!(asked(address).await, "", "there are two from this address already");
        // From here on time goes as fast as nothing else happens.
        tokio::time::pause();
        assert_eq!(all_of(&mut silent).await, "");
        all_of(&mut slow).await;
        assert!(asked(address).await.ends_with("hello"));
        stop.send(()).unwrap();
        tasks.join_next().await.unwrap().unwrap();
    }
}
