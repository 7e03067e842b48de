//! A client of the HTTP API that keeps its connection, and costs little beside the hub.

use crate::Outcome;
use mamba_wire::api::{self, Endpoint, RequestBody, auth::Login, table};
use std::{net::SocketAddr, path::Path, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpStream, UnixStream},
    time::Instant,
};

/// Largest answer: a page of 200 servers takes a fifth of it.
const ANSWER_BYTES_MAX: usize = 2 * 1024 * 1024;

/// Idle connections older than this may have been closed by the hub.
const IDLE_MAX: Duration = Duration::from_secs(5);
/// What a key of a WebSocket looks like; nothing in between keeps answers here.
const SOCKET_KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// One connection.
pub(crate) struct Client {
    stream: Box<dyn Stream>,
    /// Where it goes; a socket of the file system has no such address.
    at: Option<SocketAddr>,
    token: String,
    buffer: Vec<u8>,
    used_at: Instant,
}

/// Carries a request and its answer.
trait Stream: AsyncRead + AsyncWrite + Send + Sync + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Sync + Unpin> Stream for S {}

impl Client {
    /// Connects; nobody is signed in.
    pub(crate) async fn connect(at: SocketAddr) -> Outcome<Self> {
        let stream = TcpStream::connect(at).await?;
        stream.set_nodelay(true)?;
        let (token, buffer) = (String::new(), Vec::new());
        let used_at = Instant::now();
        Ok(Self { stream: Box::new(stream), at: Some(at), token, buffer, used_at })
    }

    /// Connects to a socket of the file system.
    pub(crate) async fn connect_unix(path: &Path) -> Outcome<Self> {
        let stream = Box::new(UnixStream::connect(path).await?);
        let (token, buffer, used_at) = (String::new(), Vec::new(), Instant::now());
        Ok(Self { stream, at: None, token, buffer, used_at })
    }

    /// Another connection with the same token.
    pub(crate) async fn again(&self) -> Outcome<Self> {
        let at = self.at.ok_or("not a connection to a hub")?;
        Ok(Self { token: self.token.clone(), ..Self::connect(at).await? })
    }

    /// Opens a WebSocket on a connection of its own, from which nothing was read yet.
    pub(crate) async fn upgrade(&self, target: &str) -> Outcome<TcpStream> {
        let at = self.at.ok_or("not a connection to a hub")?;
        let mut stream = TcpStream::connect(at).await?;
        stream.set_nodelay(true)?;
        let request = format!(
            "GET {target} HTTP/1.1\r\nhost: {at}\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: {SOCKET_KEY}\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await?;
        let mut head = Vec::new();
        // One byte at a time: what follows the head is not ours.
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await?);
        }
        if !head.starts_with(b"HTTP/1.1 101 ") {
            return Err(String::from_utf8_lossy(&head).into_owned().into());
        }
        Ok(stream)
    }

    /// Signs in.
    pub(crate) async fn login(&mut self, email: &str, password: &str) -> Outcome {
        let login = Login { email: email.to_owned(), password: password.to_owned() };
        let body = serde_json::to_vec(&login)?;
        let target = api::target::<table::Login>(&(), &());
        let (status, answer) = self.raw("POST", &target, Some(&body)).await?;
        let answer: serde_json::Value = serde_json::from_slice(answer)?;
        // At the top, or below the name of what came of it.
        let token = std::iter::once(&answer)
            .chain(answer.as_object().into_iter().flat_map(|it| it.values()))
            .find_map(|it| it.get("access_token")?.as_str());
        self.token = token.ok_or_else(|| format!("login: {status}"))?.to_owned();
        Ok(())
    }

    /// Calls an endpoint; a refusal is a failure.
    pub(crate) async fn call<E: Endpoint>(
        &mut self,
        path: &E::Path,
        query: &E::Query,
        body: &E::Body,
    ) -> Outcome<E::Out> {
        let target = api::target::<E>(path, query);
        let json = <E::Body as RequestBody>::EXPECTED.then(|| serde_json::to_vec(body));
        let json = json.transpose()?;
        let (status, body) = self.raw(E::METHOD.name(), &target, json.as_deref()).await?;
        if status != E::STATUS {
            let text = String::from_utf8_lossy(body);
            return Err(format!("{} {target}: {status} {text}", E::METHOD.name()).into());
        }
        Ok(serde_json::from_slice(if body.is_empty() { b"null" } else { body })?)
    }

    /// Sends a request and returns status and body of the answer.
    pub(crate) async fn raw(
        &mut self,
        method: &str,
        target: &str,
        body: Option<&[u8]>,
    ) -> Outcome<(u16, &[u8])> {
        if self.at.is_some() && self.used_at.elapsed() > IDLE_MAX {
            *self = self.again().await?;
        }
        self.used_at = Instant::now();
        let host = self.at.map_or_else(|| "local".to_owned(), |at| at.to_string());
        let mut request = format!("{method} {target} HTTP/1.1\r\nhost: {host}\r\n");
        if !self.token.is_empty() {
            request.push_str(&format!("authorization: Bearer {}\r\n", self.token));
        }
        if let Some(body) = body {
            let bytes = body.len();
            request.push_str(&format!(
                "content-type: application/json\r\ncontent-length: {bytes}\r\n"
            ));
        }
        request.push_str("\r\n");
        let mut request = request.into_bytes();
        request.extend_from_slice(body.unwrap_or_default());
        self.stream.write_all(&request).await?;
        self.answer().await
    }

    async fn answer(&mut self) -> Outcome<(u16, &[u8])> {
        self.buffer.clear();
        let head = loop {
            if let Some(at) = self.buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break at + 4;
            }
            self.read_more().await?;
        };
        let text = std::str::from_utf8(&self.buffer[..head])?.to_ascii_lowercase();
        let status = text.split(' ').nth(1).ok_or("answer has no status")?.parse()?;
        let length = text.lines().find_map(|line| line.strip_prefix("content-length:"));
        let length: usize = length.map_or(Ok(0), |length| length.trim().parse())?;
        if length > ANSWER_BYTES_MAX {
            return Err(format!("answer of {length} bytes").into());
        }
        while self.buffer.len() < head + length {
            self.read_more().await?;
        }
        Ok((status, &self.buffer[head..head + length]))
    }

    async fn read_more(&mut self) -> Outcome {
        match self.stream.read_buf(&mut self.buffer).await? {
            0 => Err("hub closed the connection".into()),
            _ => Ok(()),
        }
    }
}
