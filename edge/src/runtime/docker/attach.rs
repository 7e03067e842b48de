//! The three streams of a container as one stream: reading output also writes input.

use super::error::translate;
use crate::runtime::{Attached, OutputSource, RuntimeError};
use bollard::{
    container::{AttachContainerResults, LogOutput},
    errors::Error,
};
use bytes::{Buf, Bytes};
use futures_util::{Stream, StreamExt};
use std::{
    pin::Pin,
    task::{Context, Poll},
};
use tokio::{io::AsyncWrite, sync::mpsc};

/// Lines on their way to a game; whoever types waits when it does not read its input.
const INPUT_LINES: usize = 64;

struct Streams {
    output: Pin<Box<dyn Stream<Item = Result<LogOutput, Error>> + Send>>,
    input: Pin<Box<dyn AsyncWrite + Send>>,
    lines: mpsc::Receiver<Bytes>,
    /// What is left of the line being written.
    writing: Bytes,
}

/// Joins what bollard returned.
pub(super) fn attached(results: AttachContainerResults) -> Attached {
    let (sender, lines) = mpsc::channel(INPUT_LINES);
    let AttachContainerResults { output, input } = results;
    let streams = Streams { output, input, lines, writing: Bytes::new() };
    Attached { output: streams.boxed(), input: sender }
}

/// Bytes of the game with their source.
pub(super) fn split(output: LogOutput) -> (OutputSource, Bytes) {
    match output {
        LogOutput::StdErr { message } => (OutputSource::Stderr, message),
        LogOutput::StdOut { message }
        | LogOutput::StdIn { message }
        | LogOutput::Console { message } => (OutputSource::Stdout, message),
    }
}

impl Streams {
    /// Writes as much as the engine takes now, without waiting: a game that does not read its
    /// input must not keep us from reading its output.
    fn write(&mut self, cx: &mut Context<'_>) {
        loop {
            if self.writing.is_empty() {
                match self.lines.poll_recv(cx) {
                    Poll::Ready(Some(line)) => self.writing = line,
                    Poll::Ready(None) | Poll::Pending => break,
                }
            }
            match self.input.as_mut().poll_write(cx, &self.writing) {
                Poll::Ready(Ok(count)) if count > 0 => self.writing.advance(count),
                Poll::Pending => break,
                // The engine closed the input: whoever types learns it from the closed channel.
                Poll::Ready(_) => {
                    self.lines.close();
                    self.writing = Bytes::new();
                    break;
                }
            }
        }
        // Nothing is buffered on the way; an error here is one of the next write.
        drop(self.input.as_mut().poll_flush(cx));
    }
}

impl Stream for Streams {
    type Item = Result<(OutputSource, Bytes), RuntimeError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.write(cx);
        let polled = self.output.as_mut().poll_next(cx);
        polled.map(|next| {
            next.map(|output| output.map(split).map_err(|err| translate("attach", err)))
        })
    }
}
