//! Serves the numbers on an address of their own.

use super::collect;
use crate::Hub;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use hyper::{
    Request, Response, StatusCode,
    body::Incoming,
    header::{AUTHORIZATION, CONTENT_TYPE as TYPE},
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use mamba_core::{
    clock::BootMs,
    error::chain,
    metrics::{CONTENT_TYPE, render},
};
use std::{convert::Infallible, path::Path, path::PathBuf, sync::Arc, time::Duration};
use tokio::{net::TcpListener, sync::Semaphore, sync::watch, task::JoinSet};
use zeroize::Zeroizing;

/// Readers at one time; Prometheus is one.
const READERS_MAX: usize = 8;
/// Longest life of a connection: a reader that needs longer comes again.
const CONNECTION_MS_MAX: u64 = 60_000;
/// Time for the head of a request.
const HEAD_MS_MAX: u64 = 10_000;
/// Pause after a failed accept.
const ACCEPT_PAUSE_MS: u64 = 100;
/// Fewest characters of a token.
const TOKEN_BYTES_MIN: usize = 16;

/// Why there are no numbers.
#[derive(Debug, thiserror::Error)]
pub enum MetricsError {
    /// The token's file cannot be read.
    #[error("`metrics.token_file`: `{}` could not be read", file.display())]
    Token {
        /// Which.
        file: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The token is too short to be one.
    #[error("`metrics.token_file`: the first line must have at least {TOKEN_BYTES_MIN} characters")]
    ShortToken,
}

/// What a reader must send.
#[derive(Clone)]
pub struct Token(Arc<Zeroizing<String>>);

impl Token {
    /// Reads the first line of a file.
    ///
    /// # Errors
    /// See [`MetricsError`].
    pub fn read(file: &Path) -> Result<Self, MetricsError> {
        let text = std::fs::read_to_string(file).map(Zeroizing::new);
        let text = text.map_err(|source| MetricsError::Token { file: file.to_owned(), source })?;
        let token = text.lines().next().unwrap_or_default().trim();
        if token.len() < TOKEN_BYTES_MIN {
            return Err(MetricsError::ShortToken);
        }
        Ok(Self(Arc::new(Zeroizing::new(token.to_owned()))))
    }

    fn is_in(&self, request: &Request<Incoming>) -> bool {
        let given = request.headers().get(AUTHORIZATION).and_then(|it| it.to_str().ok());
        let given = given.and_then(|it| it.strip_prefix("Bearer ")).unwrap_or_default();
        verify_slices_are_equal(given.as_bytes(), self.0.as_bytes()).is_ok()
    }
}

/// Serves `/metrics` until told to stop.
pub async fn serve(
    hub: Hub,
    started: BootMs,
    listener: TcpListener,
    token: Option<Token>,
    mut stop: watch::Receiver<bool>,
) {
    let places = Arc::new(Semaphore::new(READERS_MAX));
    let mut connections = JoinSet::new();
    loop {
        let accepted = async { (places.clone().acquire_owned().await, listener.accept().await) };
        let (place, accepted) = tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            accepted = accepted => accepted,
        };
        while connections.try_join_next().is_some() {}
        let Ok((socket, _)) = accepted else {
            tokio::time::sleep(Duration::from_millis(ACCEPT_PAUSE_MS)).await;
            continue;
        };
        let (hub, token) = (hub.clone(), token.clone());
        let service = service_fn(move |request: Request<Incoming>| {
            let response = answer(&hub, started, token.as_ref(), &request);
            async move { Ok::<_, Infallible>(response) }
        });
        connections.spawn(async move {
            let mut builder = hyper::server::conn::http1::Builder::new();
            builder
                .timer(TokioTimer::new())
                .header_read_timeout(Duration::from_millis(HEAD_MS_MAX));
            let connection = builder.serve_connection(TokioIo::new(socket), service);
            // A reader that went away or took too long is no event.
            tokio::time::timeout(Duration::from_millis(CONNECTION_MS_MAX), connection).await.ok();
            drop(place);
        });
    }
}

fn answer(
    hub: &Hub,
    started: BootMs,
    token: Option<&Token>,
    request: &Request<Incoming>,
) -> Response<String> {
    let (status, body) = if request.uri().path() != "/metrics" {
        (StatusCode::NOT_FOUND, "there is only /metrics\n".to_owned())
    } else if request.method() != hyper::Method::GET {
        (StatusCode::METHOD_NOT_ALLOWED, "only GET\n".to_owned())
    } else if token.is_some_and(|token| !token.is_in(request)) {
        (StatusCode::UNAUTHORIZED, "the token is missing or wrong\n".to_owned())
    } else {
        match collect(hub, started) {
            Ok(families) => (StatusCode::OK, render(&families)),
            Err(err) => {
                tracing::error!(cause = chain(&err), "numbers could not be collected");
                (StatusCode::SERVICE_UNAVAILABLE, "the store cannot be read now\n".to_owned())
            }
        }
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let kind = if status == StatusCode::OK { CONTENT_TYPE } else { "text/plain" };
    response.headers_mut().insert(TYPE, hyper::header::HeaderValue::from_static(kind));
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::World;
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpStream,
    };

    #[tokio::test]
    async fn numbers_are_for_who_has_the_token() {
        let world = World::new().await;
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("token");
        std::fs::write(&file, "short\n").unwrap();
        assert!(matches!(Token::read(&file), Err(MetricsError::ShortToken)));
        std::fs::write(&file, "0123456789abcdef\n").unwrap();
        let token = Some(Token::read(&file).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (_stop, stopping) = watch::channel(false);
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(world.hub.clone(), BootMs(0), listener, token, stopping));
        let ask = async |path: &str, token: &str| {
            let mut socket = TcpStream::connect(address).await.unwrap();
            let request = format!(
                "GET {path} HTTP/1.1\r\nhost: h\r\nconnection: close\r\nauthorization: {token}\r\n\r\n"
            );
            socket.write_all(request.as_bytes()).await.unwrap();
            let mut reply = String::new();
            socket.read_to_string(&mut reply).await.unwrap();
            reply
        };
        let good = ask("/metrics", "Bearer 0123456789abcdef").await;
        assert!(good.starts_with("HTTP/1.1 200") && good.contains("\nmamba_hub_info{"), "{good}");
        for (path, token, status) in [
            ("/metrics", "Bearer 0123456789abcdee", "401"),
            ("/metrics", "0123456789abcdef", "401"),
            ("/", "Bearer 0123456789abcdef", "404"),
        ] {
            let reply = ask(path, token).await;
            assert!(reply.starts_with(&format!("HTTP/1.1 {status}")), "{reply}");
            assert!(!reply.contains("mamba_hub_"), "{reply}");
        }
    }
}
