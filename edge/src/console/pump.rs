//! Drains the output of one process into its console.

use super::ConsoleSink;
use crate::runtime::{OutputSource, RuntimeError};
use bytes::Bytes;
use futures_util::{StreamExt, stream::BoxStream};
use mamba_wire::node::LineSource;
use std::time::Duration;
use tokio::time::Instant;

/// Age at which an unfinished line is shown: prompts and progress show soon, and a line written in
/// two calls stays one.
const PARTIAL_AGE_MAX: Duration = Duration::from_millis(250);

/// Drains output without pause until it ends; what is left of an unfinished line is shown then.
///
/// Dropping the future keeps what was drained; call [`ConsoleSink::end`] if nothing follows.
///
/// # Errors
/// The error that ended the stream. The process may still run.
pub async fn pump(
    mut output: BoxStream<'static, Result<(OutputSource, Bytes), RuntimeError>>,
    sink: &ConsoleSink,
) -> Result<(), RuntimeError> {
    // An unfinished line may be left from a catch-up.
    let has_partial = sink.push(LineSource::Stdout, b"");
    let mut show_at = has_partial.then(|| Instant::now() + PARTIAL_AGE_MAX);
    let ended = loop {
        let chunk = match show_at {
            None => output.next().await,
            Some(at) => match tokio::time::timeout_at(at, output.next()).await {
                Ok(chunk) => chunk,
                Err(_) => {
                    sink.end();
                    show_at = None;
                    continue;
                }
            },
        };
        match chunk {
            Some(Ok((source, bytes))) => {
                let has_partial = sink.push(line_source(source), &bytes);
                show_at = has_partial
                    .then(|| show_at.unwrap_or_else(|| Instant::now() + PARTIAL_AGE_MAX));
            }
            Some(Err(err)) => break Err(err),
            None => break Ok(()),
        }
    };
    sink.end();
    ended
}

pub(super) fn line_source(source: OutputSource) -> LineSource {
    match source {
        OutputSource::Stdout => LineSource::Stdout,
        OutputSource::Stderr => LineSource::Stderr,
    }
}
