//! Pure: a run of lines in one piece of memory, and a bounded ring of the newest ones.
//!
//! Lines are not kept one by one: a million lines are some thousand blocks, so that a chatty game
//! costs no allocation per line, and writer and readers share blocks instead of copying text.

use mamba_core::{clock::UnixMs, seq::LineNumber};
use mamba_wire::node::{ConsoleLine, LINES_BYTES_MAX, LINES_MAX, LineSource};
use std::{collections::VecDeque, sync::Arc};

/// Text at which a block is full.
pub(super) const BLOCK_BYTES_MAX: usize = 16 * 1024;
/// Most bytes in a ring: what a reader may be behind before it is served from the disk. A node may
/// hold 500 servers, so that all rings together stay below 128 MiB.
pub(super) const RING_BYTES_MAX: usize = 256 * 1024;
/// What a block costs apart from its text and marks.
const BLOCK_COST: usize = 128;
/// Lines at which a block is full, so that empty lines do not grow it without end.
const BLOCK_LINES_MAX: usize = 1_024;

/// Lines that follow each other without gap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Block {
    /// Number of the first line.
    pub(super) first: u64,
    /// All texts, one after the other.
    pub(super) text: String,
    /// One mark per line.
    pub(super) marks: Vec<Mark>,
}

/// One line of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    /// End of its text in the block.
    pub(super) end: u32,
    /// Where it came from.
    pub(super) source: LineSource,
    /// When it came.
    pub(super) at: UnixMs,
}

impl Block {
    /// Adds a line. The caller seals the block before its text reaches 4 GiB.
    pub(super) fn push(&mut self, at: UnixMs, source: LineSource, text: &[u8]) {
        // Copies without allocating when the text is valid, which it nearly always is.
        match std::str::from_utf8(text) {
            Ok(text) => self.text.push_str(text),
            Err(_) => self.text.push_str(&String::from_utf8_lossy(text)),
        }
        let end = u32::try_from(self.text.len()).unwrap_or(u32::MAX);
        self.marks.push(Mark { end, source, at });
    }

    /// Number after the last line.
    pub(super) fn end(&self) -> u64 {
        self.first + self.marks.len() as u64
    }

    pub(super) fn is_full(&self) -> bool {
        self.text.len() >= BLOCK_BYTES_MAX || self.marks.len() >= BLOCK_LINES_MAX
    }

    /// Text of the line at this place in the block.
    pub(super) fn text_of(&self, index: usize) -> &str {
        let start = index.checked_sub(1).map_or(0, |before| self.marks[before].end as usize);
        &self.text[start..self.marks[index].end as usize]
    }

    /// The line at this place in the block.
    pub(super) fn line(&self, index: usize) -> ConsoleLine {
        let Mark { at, source, .. } = self.marks[index];
        ConsoleLine { at, source, text: self.text_of(index).to_owned() }
    }

    /// Memory that it takes.
    pub(super) fn bytes(&self) -> usize {
        BLOCK_COST + self.text.len() + self.marks.len() * size_of::<Mark>()
    }
}

/// The newest lines of one console.
#[derive(Debug, Default)]
pub(super) struct Ring {
    blocks: VecDeque<Arc<Block>>,
    bytes: usize,
}

impl Ring {
    /// Adds a block that follows the last one and drops the oldest over the bound.
    pub(super) fn push(&mut self, block: Arc<Block>) {
        self.bytes += block.bytes();
        self.blocks.push_back(block);
        while self.bytes > RING_BYTES_MAX && self.blocks.len() > 1 {
            let Some(oldest) = self.blocks.pop_front() else { break };
            self.bytes -= oldest.bytes();
        }
    }

    /// Number of the oldest line, `None` when empty.
    pub(super) fn first(&self) -> Option<u64> {
        self.blocks.front().map(|block| block.first)
    }

    /// All blocks, oldest first.
    pub(super) fn all(&self) -> Vec<Arc<Block>> {
        self.blocks.iter().cloned().collect()
    }

    /// Blocks that hold line `from` or later ones, oldest first, enough to fill one reply.
    pub(super) fn from(&self, from: u64) -> Vec<Arc<Block>> {
        let start = self.blocks.partition_point(|block| block.end() <= from);
        let (mut lines, mut bytes) = (0, 0);
        let enough = |block: &&Arc<Block>| {
            let more = lines < LINES_MAX && bytes < LINES_BYTES_MAX;
            lines += usize::try_from(block.end() - from.max(block.first)).unwrap_or(usize::MAX);
            bytes += block.text.len();
            more
        };
        self.blocks.range(start..).take_while(enough).cloned().collect()
    }
}

/// Lines for one reply, without gap inside, within the limits of the wire.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Batch {
    /// Number of the first line.
    pub(super) first: LineNumber,
    /// The lines.
    pub(super) lines: Vec<ConsoleLine>,
    bytes: usize,
}

impl Batch {
    /// Adds the lines of a block from number `from` on, as far as they fit and follow without gap.
    /// Returns whether more may be added.
    pub(super) fn add(&mut self, block: &Block, from: u64) -> bool {
        let next = if self.lines.is_empty() {
            self.first = LineNumber(from.max(block.first));
            self.first.0
        } else {
            self.first.0 + self.lines.len() as u64
        };
        let Some(skip) = next.checked_sub(block.first).and_then(|it| usize::try_from(it).ok())
        else {
            return false;
        };
        for index in skip..block.marks.len() {
            let bytes = self.bytes + block.text_of(index).len();
            let is_full = self.lines.len() >= LINES_MAX || bytes > LINES_BYTES_MAX;
            if is_full && !self.lines.is_empty() {
                return false;
            }
            self.bytes = bytes;
            self.lines.push(block.line(index));
        }
        true
    }
}
