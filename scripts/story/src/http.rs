//! A small HTTP/1.1 client: one request per connection, whole bodies.

use crate::report::{Failure, Played};
use std::{net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Longest wait for a whole answer; the hub gives up on its own work sooner.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);
/// Largest answer that is read.
const ANSWER_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// One request.
pub(crate) struct Request<'a> {
    pub(crate) method: &'a str,
    pub(crate) target: &'a str,
    pub(crate) token: Option<&'a str>,
    /// JSON.
    pub(crate) body: Option<&'a [u8]>,
}

/// What came back.
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

/// Sends a request and reads the answer to its end.
pub(crate) async fn send(to: SocketAddr, request: &Request<'_>) -> Played<Response> {
    let head = head(to, request);
    let answer = async {
        let mut stream = TcpStream::connect(to).await?;
        // A hub that refuses early may close before it has read everything: its answer counts.
        let sent = async {
            stream.write_all(head.as_bytes()).await?;
            stream.write_all(request.body.unwrap_or_default()).await
        };
        let sent = sent.await;
        let mut bytes = Vec::new();
        let read = (&mut stream).take(ANSWER_BYTES_MAX).read_to_end(&mut bytes).await;
        match (read, sent) {
            _ if !bytes.is_empty() => parse(&bytes),
            (Err(err), _) | (Ok(_), Err(err)) => Err(err.into()),
            (Ok(_), Ok(())) => Err("connection closed without an answer".into()),
        }
    };
    let what = || format!("{} {}", request.method, request.target);
    match tokio::time::timeout(ANSWER_TIMEOUT, answer).await {
        Ok(Ok(response)) => Ok(response),
        Ok(Err(err)) => Err(format!("{}: {err}", what()).into()),
        Err(_) => Err(format!("{}: no answer in {} s", what(), ANSWER_TIMEOUT.as_secs()).into()),
    }
}

fn head(to: SocketAddr, request: &Request<'_>) -> String {
    let mut head = format!("{} {} HTTP/1.1\r\nhost: {to}\r\n", request.method, request.target);
    head.push_str("connection: close\r\naccept: application/json\r\n");
    if let Some(token) = request.token {
        head.push_str(&format!("authorization: Bearer {token}\r\n"));
    }
    if let Some(body) = request.body {
        head.push_str("content-type: application/json\r\n");
        head.push_str(&format!("content-length: {}\r\n", body.len()));
    }
    head.push_str("\r\n");
    head
}

fn parse(bytes: &[u8]) -> Played<Response> {
    let end =
        bytes.windows(4).position(|it| it == b"\r\n\r\n").ok_or("answer has no end of head")?;
    let head = std::str::from_utf8(&bytes[..end])?.to_ascii_lowercase();
    let mut lines = head.split("\r\n");
    let status =
        lines.next().and_then(|line| line.split(' ').nth(1)).ok_or("answer has no status")?;
    let status = status.parse::<u16>()?;
    if head.contains("transfer-encoding: chunked") {
        return Err("answer is chunked, which this client does not read".into());
    }
    let mut body = bytes[end + 4..].to_vec();
    let length = lines.find_map(|line| line.strip_prefix("content-length:"));
    if let Some(length) = length {
        let length: usize = length.trim().parse()?;
        if body.len() < length {
            return Err(Failure::from(format!(
                "answer ends after {} of {length} bytes",
                body.len()
            )));
        }
        body.truncate(length);
    }
    Ok(Response { status, body })
}
