//! Pure: one frame, the unit of every byte stream we own: QUIC streams and the local socket.
//!
//! ```text
//! u32 length | u16 type | u8 flags | body
//! ```
//! Numbers are big endian. `length` counts everything after itself: 3 bytes of head and the body.
//! Flag bit 0 is *critical*: who does not know the type of a critical frame must end the stream with
//! [`FrameError::UnknownCritical`]; other unknown frames are skipped. The other bits are zero and
//! ignored. The body is postcard of the type that `type` names.

use serde::{Serialize, de::DeserializeOwned};

/// Largest frame in bytes, without the length field. A batch of 256 KiB of facts and an envelope at
/// its limit both fit several times; above this the peer is broken or hostile.
pub const FRAME_BYTES_MAX: usize = 1 << 20;
/// Bytes of type and flags.
const HEAD_BYTES: usize = 3;
/// Room that a decoder keeps while it holds nothing: a hub has four for each of thousands of nodes.
const KEPT_BYTES_MAX: usize = 4 * 1024;
/// The receiver must know the type.
pub const CRITICAL: u8 = 1;

/// One frame, decoded as far as its head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Which message the body is.
    pub kind: u16,
    /// [`CRITICAL`] or 0.
    pub flags: u8,
    /// Postcard.
    pub body: Vec<u8>,
}

/// Why bytes are not an acceptable frame.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The length field is over the limit; nothing was allocated.
    #[error("frame of {bytes} bytes is over the limit of {FRAME_BYTES_MAX}")]
    TooLarge {
        /// What the length field says.
        bytes: usize,
    },
    /// The length field is below the size of the head.
    #[error("frame of {bytes} bytes is shorter than its head")]
    TooShort {
        /// What the length field says.
        bytes: usize,
    },
    /// The body is not the message that the type names.
    #[error("frame of type {kind} is malformed")]
    Malformed {
        /// Its type.
        kind: u16,
    },
    /// A critical frame of an unknown type.
    #[error("frame of unknown critical type {kind}")]
    UnknownCritical {
        /// Its type.
        kind: u16,
    },
}

impl Frame {
    /// Encodes a message as a frame.
    ///
    /// # Errors
    /// `TooLarge` when it does not fit, `Malformed` when the message has no postcard form.
    pub fn new<T: Serialize>(kind: u16, flags: u8, message: &T) -> Result<Self, FrameError> {
        let body = postcard::to_stdvec(message).map_err(|_| FrameError::Malformed { kind })?;
        let bytes = body.len() + HEAD_BYTES;
        if bytes > FRAME_BYTES_MAX {
            return Err(FrameError::TooLarge { bytes });
        }
        Ok(Self { kind, flags, body })
    }

    /// Decodes the body; bytes behind the message are an error.
    ///
    /// # Errors
    /// `Malformed`.
    pub fn open<T: DeserializeOwned>(&self) -> Result<T, FrameError> {
        match postcard::take_from_bytes(&self.body) {
            Ok((message, [])) => Ok(message),
            Ok((_, [_, ..])) | Err(_) => Err(FrameError::Malformed { kind: self.kind }),
        }
    }

    /// Appends the sent form to `out`.
    ///
    /// # Panics
    /// When the body is over the limit, which [`Frame::new`] refuses.
    pub fn write(&self, out: &mut Vec<u8>) {
        let length = self.body.len() + HEAD_BYTES;
        assert!(length <= FRAME_BYTES_MAX);
        #[expect(clippy::cast_possible_truncation, reason = "at most FRAME_BYTES_MAX")]
        out.extend_from_slice(&(length as u32).to_be_bytes());
        out.extend_from_slice(&self.kind.to_be_bytes());
        out.push(self.flags);
        out.extend_from_slice(&self.body);
    }

    /// Whether a receiver that does not know the type must end the stream.
    #[must_use]
    pub fn is_critical(&self) -> bool {
        self.flags & CRITICAL != 0
    }
}

/// Cuts a byte stream into frames. Holds at most one frame and what one read brought behind it.
#[derive(Debug, Default)]
pub struct Decoder {
    /// Bytes that came and are not yet taken, from `start` on.
    buffer: Vec<u8>,
    /// Where the next frame begins in `buffer`.
    start: usize,
}

impl Decoder {
    /// Adds bytes that came.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// Whether part of a frame has come and its rest has not.
    #[must_use]
    pub fn is_inside_frame(&self) -> bool {
        self.start < self.buffer.len()
    }

    /// Takes the next whole frame, `None` when more bytes are needed.
    ///
    /// # Errors
    /// `TooLarge` or `TooShort`; the stream cannot be used any more.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, FrameError> {
        let rest = &self.buffer[self.start..];
        let Some((length, rest)) = rest.split_first_chunk::<4>() else { return Ok(None) };
        let bytes = u32::from_be_bytes(*length) as usize;
        if bytes > FRAME_BYTES_MAX {
            return Err(FrameError::TooLarge { bytes });
        }
        if bytes < HEAD_BYTES {
            return Err(FrameError::TooShort { bytes });
        }
        let Some(frame) = rest.get(..bytes) else { return Ok(None) };
        let [high, low, flags, body @ ..] = frame else {
            return Err(FrameError::TooShort { bytes });
        };
        let kind = u16::from_be_bytes([*high, *low]);
        let frame = Frame { kind, flags: *flags, body: body.to_vec() };
        self.start += 4 + bytes;
        if self.start == self.buffer.len() {
            self.buffer.clear();
            self.buffer.shrink_to(KEPT_BYTES_MAX);
            self.start = 0;
        }
        Ok(Some(frame))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn limits_are_refused_before_allocation() {
        let mut decoder = Decoder::default();
        decoder.push(&u32::MAX.to_be_bytes());
        assert_eq!(decoder.next_frame(), Err(FrameError::TooLarge { bytes: u32::MAX as usize }));
        let mut decoder = Decoder::default();
        decoder.push(&2_u32.to_be_bytes());
        assert_eq!(decoder.next_frame(), Err(FrameError::TooShort { bytes: 2 }));
        let body = vec![0_u8; FRAME_BYTES_MAX];
        assert!(matches!(Frame::new(1, 0, &body), Err(FrameError::TooLarge { .. })));
    }

    #[test]
    fn a_large_frame_leaves_no_large_decoder() {
        let (mut decoder, mut bytes) = (Decoder::default(), Vec::new());
        Frame { kind: 9, flags: 0, body: vec![7; FRAME_BYTES_MAX / 2] }.write(&mut bytes);
        decoder.push(&bytes);
        assert!(decoder.buffer.capacity() > KEPT_BYTES_MAX);
        assert!(decoder.next_frame().unwrap().is_some());
        assert!(decoder.buffer.capacity() <= KEPT_BYTES_MAX, "{}", decoder.buffer.capacity());
        assert_eq!(decoder.next_frame(), Ok(None));
    }

    #[test]
    fn the_sent_form_is_fixed() {
        let mut out = Vec::new();
        Frame::new(0x0102, CRITICAL, &(7_u8, 300_u32)).unwrap().write(&mut out);
        assert_eq!(out, [0, 0, 0, 6, 1, 2, 1, 7, 0xac, 2]);
    }

    proptest! {
        #[test]
        fn frames_survive_any_cutting(
            bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..8),
            cut in 1_usize..97,
        ) {
            let frames: Vec<Frame> =
                bodies.into_iter().map(|body| Frame { kind: 9, flags: 0, body }).collect();
            let mut bytes = Vec::new();
            frames.iter().for_each(|frame| frame.write(&mut bytes));
            let mut decoder = Decoder::default();
            let mut seen = Vec::new();
            for part in bytes.chunks(cut) {
                decoder.push(part);
                while let Some(frame) = decoder.next_frame().unwrap() {
                    seen.push(frame);
                }
            }
            prop_assert_eq!(seen, frames);
        }
    }
}
