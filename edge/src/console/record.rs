//! Pure: how blocks of lines lie in a segment file.
//!
//! # Format, version 1
//! All numbers are little endian. A segment begins with 16 bytes: `MAMBACON`, `u32` version, `u32`
//! zero. Then records follow without padding:
//!
//! | field | size | content |
//! |---|---|---|
//! | length | 4 | bytes of the body |
//! | check | 8 | first 8 bytes of the BLAKE3 hash of the body |
//! | first | 8 | number of the first line; more than that of any line before |
//! | count | 4 | lines in the record |
//! | marks | count x 13 | `u32` end of the text, `u64` milliseconds since 1970, `u8` source |
//! | text | rest | UTF-8, one line after the other, without line ends |
//!
//! Sources: 0 standard output, 1 standard error, 2 input, 3 edge, 4 install script. Lines that are in no record were
//! not stored. The first record that is not whole ends the segment: a torn write costs its own
//! lines and none before. A later version may add sources; it changes the version number for
//! anything else.

use super::block::{Block, Mark};
use mamba_core::clock::UnixMs;
use mamba_wire::node::LineSource;

/// Beginning of a segment.
pub(super) const HEADER: [u8; 16] = *b"MAMBACON\x01\0\0\0\0\0\0\0";
/// Most bytes of a body. A block holds some 16 KiB of text and one more line, which replacement
/// of invalid UTF-8 can triple; anything larger is damage.
pub(super) const BODY_BYTES_MAX: usize = 256 * 1024;

const PREFIX_BYTES: usize = 12;
const FIXED_BYTES: usize = 12;
const MARK_BYTES: usize = 13;

/// Appends the record of a block.
pub(super) fn encode(block: &Block, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&[0; PREFIX_BYTES]);
    out.extend_from_slice(&block.first.to_le_bytes());
    let count = u32::try_from(block.marks.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&count.to_le_bytes());
    for mark in &block.marks {
        out.extend_from_slice(&mark.end.to_le_bytes());
        out.extend_from_slice(&mark.at.0.to_le_bytes());
        out.push(source_code(mark.source));
    }
    out.extend_from_slice(block.text.as_bytes());
    let body = &out[start + PREFIX_BYTES..];
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes();
    let check = check(body);
    out[start..start + 4].copy_from_slice(&length);
    out[start + 4..start + PREFIX_BYTES].copy_from_slice(&check);
}

/// Reads the record at the beginning of `bytes`: the block and the bytes that it takes. `None`
/// when it is not whole.
pub(super) fn decode(bytes: &[u8]) -> Option<(Block, usize)> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (expected, rest) = rest.split_first_chunk::<8>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    let body = rest.get(..length).filter(|body| body.len() <= BODY_BYTES_MAX)?;
    if check(body) != *expected {
        return None;
    }
    Some((decode_body(body)?, PREFIX_BYTES + length))
}

fn decode_body(body: &[u8]) -> Option<Block> {
    let (first, rest) = body.split_first_chunk::<8>()?;
    let (count, rest) = rest.split_first_chunk::<4>()?;
    let count = usize::try_from(u32::from_le_bytes(*count)).ok()?;
    let (marks, text) = rest.split_at_checked(count.checked_mul(MARK_BYTES)?)?;
    let text = std::str::from_utf8(text).ok()?;
    let mut block = Block {
        first: u64::from_le_bytes(*first),
        text: text.to_owned(),
        marks: Vec::with_capacity(count),
    };
    let mut before = 0;
    for mark in marks.chunks_exact(MARK_BYTES) {
        let (end, rest) = mark.split_first_chunk::<4>()?;
        let (at, source) = rest.split_first_chunk::<8>()?;
        let end = u32::from_le_bytes(*end);
        let source = source_of(*source.first()?)?;
        if end < before || !text.is_char_boundary(usize::try_from(end).ok()?) {
            return None;
        }
        before = end;
        block.marks.push(Mark { end, source, at: UnixMs(u64::from_le_bytes(*at)) });
    }
    let is_whole = usize::try_from(before).ok() == Some(text.len()) && count > 0;
    is_whole.then_some(block)
}

fn check(body: &[u8]) -> [u8; 8] {
    let mut out = [0; 8];
    out.copy_from_slice(&blake3::hash(body).as_bytes()[..8]);
    out
}

fn source_code(source: LineSource) -> u8 {
    match source {
        LineSource::Stdout => 0,
        LineSource::Stderr => 1,
        LineSource::Input => 2,
        LineSource::Edge => 3,
        LineSource::Install => 4,
    }
}

fn source_of(code: u8) -> Option<LineSource> {
    let all = [
        LineSource::Stdout,
        LineSource::Stderr,
        LineSource::Input,
        LineSource::Edge,
        LineSource::Install,
    ];
    all.get(usize::from(code)).copied()
}

const _: () = assert!(FIXED_BYTES + MARK_BYTES < BODY_BYTES_MAX);

#[cfg(test)]
mod tests {
    use super::*;

    fn block() -> Block {
        let mut block = Block { first: 7, ..Block::default() };
        block.push(UnixMs(1_700_000_000_000), LineSource::Stdout, b"h\xc3\xa9llo");
        block.push(UnixMs(1_700_000_000_001), LineSource::Edge, b"");
        block.push(UnixMs(1_700_000_000_002), LineSource::Stderr, b"\xff");
        block
    }

    #[test]
    fn version_1_bytes_stay_readable() {
        let mut bytes = vec![];
        encode(&block(), &mut bytes);
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let golden = concat!(
            "3c000000ed7bfaee81f964ae0700000000000000",
            "03000000060000000068e5cf8b01000000060000000168e5cf8b0100000309000000",
            "0268e5cf8b0100000168c3a96c6c6fefbfbd",
        );
        assert_eq!(hex, golden);
        assert_eq!(decode(&bytes), Some((block(), bytes.len())));
    }

    #[test]
    fn a_record_with_any_damage_is_not_whole() {
        let mut bytes = vec![];
        encode(&block(), &mut bytes);
        for len in 0..bytes.len() {
            assert_eq!(decode(&bytes[..len]), None, "cut at {len}");
        }
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x10;
            assert_eq!(decode(&damaged), None, "flipped at {at}");
        }
    }
}
