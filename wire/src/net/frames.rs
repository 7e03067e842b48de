//! Frames over anything that carries bytes: QUIC streams and the local socket.

use crate::frame::{Decoder, Frame, FrameError};
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Bytes asked for in one read of a stream that says little. A hub holds four streams of each of
/// thousands of nodes, which are quiet nearly always.
const READ_BYTES_MIN: usize = 512;
/// Bytes asked for in one read of a stream on which much comes.
const READ_BYTES_MAX: usize = 16 * 1024;

/// Why no frame could be had or sent.
#[derive(Debug, thiserror::Error)]
pub enum FramedError {
    /// The stream broke.
    #[error("stream broke")]
    Io(#[source] io::Error),
    /// What came is not a frame. The stream cannot be used any more.
    #[error("peer sent a bad frame")]
    Frame(#[source] FrameError),
    /// The stream ended inside a frame.
    #[error("stream ended inside a frame")]
    Truncated,
}

/// Reads frames. Holds at most one frame and one read, and hardly anything while little comes.
#[derive(Debug)]
pub struct FramedReader<R> {
    from: R,
    decoder: Decoder,
    chunk: Vec<u8>,
}

impl<R: AsyncRead + Unpin> FramedReader<R> {
    /// Reads frames from `from`.
    pub fn new(from: R) -> Self {
        Self { from, decoder: Decoder::default(), chunk: vec![0; READ_BYTES_MIN] }
    }

    /// Returns the next frame, `None` at the end of the stream. Cancelling loses nothing.
    ///
    /// # Errors
    /// See [`FramedError`]; the reader cannot be used any more.
    pub async fn next(&mut self) -> Result<Option<Frame>, FramedError> {
        loop {
            if let Some(frame) = self.decoder.next_frame().map_err(FramedError::Frame)? {
                return Ok(Some(frame));
            }
            match self.from.read(&mut self.chunk).await.map_err(FramedError::Io)? {
                0 if self.decoder.is_inside_frame() => return Err(FramedError::Truncated),
                0 => return Ok(None),
                count => {
                    self.decoder.push(&self.chunk[..count]);
                    self.expect_like(count);
                }
            }
        }
    }

    /// Makes room for more when a read was full, and gives it back when little comes again.
    fn expect_like(&mut self, count: usize) {
        let room = self.chunk.len();
        if count == room && room < READ_BYTES_MAX {
            self.chunk.resize(2 * room, 0);
        } else if count <= READ_BYTES_MIN && room > READ_BYTES_MIN {
            self.chunk = vec![0; READ_BYTES_MIN];
        }
    }
}

/// Writes frames.
#[derive(Debug)]
pub struct FramedWriter<W> {
    to: W,
    /// Bytes not yet taken by `to`, from `start` on.
    pending: Vec<u8>,
    start: usize,
}

impl<W: AsyncWrite + Unpin> FramedWriter<W> {
    /// Writes frames to `to`.
    pub fn new(to: W) -> Self {
        Self { to, pending: Vec::new(), start: 0 }
    }

    /// Sends a frame and flushes. When cancelled, what is left of the frame goes out with the next
    /// call, so that the stream never carries half a frame followed by another.
    ///
    /// # Errors
    /// `Io`; the writer cannot be used any more.
    pub async fn send(&mut self, frame: &Frame) -> Result<(), FramedError> {
        frame.write(&mut self.pending);
        self.flush().await
    }

    /// Sends what a cancelled call has left.
    ///
    /// # Errors
    /// `Io`.
    pub async fn flush(&mut self) -> Result<(), FramedError> {
        while self.start < self.pending.len() {
            match self.to.write(&self.pending[self.start..]).await.map_err(FramedError::Io)? {
                0 => return Err(FramedError::Io(io::ErrorKind::WriteZero.into())),
                count => self.start += count,
            }
        }
        self.pending.clear();
        self.start = 0;
        self.to.flush().await.map_err(FramedError::Io)
    }

    /// Ends the stream after everything sent.
    ///
    /// # Errors
    /// `Io`.
    pub async fn finish(&mut self) -> Result<(), FramedError> {
        self.flush().await?;
        self.to.shutdown().await.map_err(FramedError::Io)
    }

    /// Returns the stream below. What a cancelled call has left is lost.
    pub fn into_inner(self) -> W {
        self.to
    }
}

/// Both directions of one request, whatever carries it.
pub struct FrameStream {
    /// What the peer sends.
    pub reader: FramedReader<Box<dyn AsyncRead + Send + Unpin>>,
    /// What the peer gets.
    pub writer: FramedWriter<Box<dyn AsyncWrite + Send + Unpin>>,
}

impl FrameStream {
    /// Joins two directions.
    pub fn new(
        reader: impl AsyncRead + Send + Unpin + 'static,
        writer: impl AsyncWrite + Send + Unpin + 'static,
    ) -> Self {
        Self {
            reader: FramedReader::new(Box::new(reader)),
            writer: FramedWriter::new(Box::new(writer)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn frame(length: usize) -> Frame {
        Frame { kind: 9, flags: 0, body: vec![7; length] }
    }

    #[tokio::test]
    async fn a_cancelled_send_leaves_whole_frames() {
        let (near, far) = tokio::io::duplex(64);
        let (mut writer, mut reader) = (FramedWriter::new(near), FramedReader::new(far));
        // The pipe holds 64 bytes, so the first send cannot finish before somebody reads.
        let sent = tokio::time::timeout(Duration::from_millis(1), writer.send(&frame(500))).await;
        assert!(sent.is_err());
        let second = frame(3);
        let send = async { writer.send(&second).await.unwrap() };
        let read = async { (reader.next().await.unwrap(), reader.next().await.unwrap()) };
        let ((), got) = tokio::join!(send, read);
        assert_eq!(got, (Some(frame(500)), Some(frame(3))));
        drop(writer);
        assert!(matches!(reader.next().await, Ok(None)));
    }

    #[tokio::test]
    async fn a_reader_has_room_for_much_only_while_much_comes() {
        let mut bytes = Vec::new();
        for length in [1, 200_000, 1, 1] {
            frame(length).write(&mut bytes);
        }
        // The last frame comes by itself.
        let (first, last) = bytes.split_at(bytes.len() - 8);
        let mut reader = FramedReader::new(AsyncReadExt::chain(first, last));
        let mut most = 0;
        for length in [1, 200_000, 1, 1] {
            assert_eq!(reader.next().await.unwrap(), Some(frame(length)));
            most = most.max(reader.chunk.len());
        }
        assert_eq!((most, reader.chunk.len()), (READ_BYTES_MAX, READ_BYTES_MIN));
    }

    #[tokio::test]
    async fn an_end_inside_a_frame_is_an_error() {
        let mut bytes = Vec::new();
        frame(10).write(&mut bytes);
        for cut in 1..bytes.len() {
            let mut reader = FramedReader::new(&bytes[..cut]);
            assert!(matches!(reader.next().await, Err(FramedError::Truncated)), "{cut}");
        }
    }
}
