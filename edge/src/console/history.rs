//! The stored lines of one server: two segment files, the older one dropped when the newer is full.
//!
//! Used by the writer's thread only, so that nothing here needs a lock. Files are opened for each
//! batch: a node with 500 consoles would else hold 500 descriptors.

use super::{
    block::{Batch, Block},
    record,
};
use std::{
    collections::VecDeque,
    fs::{DirBuilder, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

/// Size at which a segment is full. With [`SEGMENTS`] of them a server keeps between 2 and 4 MiB,
/// about 40,000 lines, and 500 servers at most 2 GiB.
pub(super) const SEGMENT_BYTES_MAX: u64 = 2 << 20;
/// Segments kept.
pub(super) const SEGMENTS: usize = 2;
/// Bytes read at once: more than one reply holds, so that one read serves one reply.
const READ_BYTES: u64 = 512 * 1024;
const EXTENSION: &str = "seg";

/// Stored lines of one server.
#[derive(Debug)]
pub(super) struct History {
    dir: PathBuf,
    /// Oldest first.
    segments: VecDeque<Segment>,
}

/// Whether a segment was full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rotation {
    /// A new segment was begun.
    Rotated,
    /// It went on in the same one.
    Same,
}

#[derive(Debug)]
struct Segment {
    path: PathBuf,
    /// Bytes that hold whole records; what lies behind is overwritten.
    len: u64,
    /// First line and offset of each record. `None` before the file was read.
    index: Option<Vec<(u64, u64)>>,
    /// Number after the last line.
    end: u64,
}

impl History {
    /// A history without lines; makes nothing on the disk.
    pub(super) fn new(dir: PathBuf) -> Self {
        Self { dir, segments: VecDeque::new() }
    }

    /// Finds the history in a directory and returns it with its newest blocks, oldest first.
    ///
    /// Reads the newest segment only. A torn end is left out and overwritten later.
    ///
    /// # Errors
    /// When the directory or the newest segment cannot be read.
    pub(super) fn load(dir: PathBuf) -> io::Result<(Self, Vec<Block>)> {
        let mut paths = vec![];
        for entry in std::fs::read_dir(&dir)? {
            let path = entry?.path();
            let is_number = path.file_stem().and_then(|name| name.to_str()?.parse::<u64>().ok());
            if is_number.is_some() && path.extension().is_some_and(|it| it == EXTENSION) {
                paths.push(path);
            }
        }
        // Names have a fixed width, so that their order is the order of the lines.
        paths.sort();
        let mut it = Self::new(dir);
        it.segments = paths.into_iter().map(Segment::unread).collect();
        while let Some(newest) = it.segments.back_mut() {
            let blocks = newest.scan()?;
            if !blocks.is_empty() {
                return Ok((it, blocks));
            }
            // A segment whose first record was torn: its numbers were never seen by anybody.
            std::fs::remove_file(&newest.path)?;
            it.segments.pop_back();
        }
        Ok((it, vec![]))
    }

    /// Stores blocks, the oldest first. On return a crash of the process loses none of them.
    ///
    /// # Errors
    /// When writing fails; the blocks of this call may be missing then, those before are not
    /// touched and the next call goes on behind them.
    pub(super) fn append(&mut self, blocks: &[Arc<Block>]) -> io::Result<Rotation> {
        let (mut rest, mut rotation) = (blocks, Rotation::Same);
        while let Some((first, _)) = rest.split_first() {
            if self.segments.back().is_none_or(|newest| newest.len >= SEGMENT_BYTES_MAX) {
                self.rotate(first.first)?;
                rotation = Rotation::Rotated;
            }
            let Some(newest) = self.segments.back_mut() else { break };
            let (mut bytes, mut index, mut count) = (vec![], vec![], 0);
            if newest.len == 0 {
                bytes.extend_from_slice(&record::HEADER);
            }
            for block in rest {
                let offset = newest.len + bytes.len() as u64;
                if offset >= SEGMENT_BYTES_MAX {
                    break;
                }
                index.push((block.first, offset));
                record::encode(block, &mut bytes);
                count += 1;
            }
            newest.write(&bytes)?;
            newest.index.get_or_insert_default().extend(index);
            newest.end = rest[count - 1].end();
            rest = &rest[count..];
        }
        Ok(rotation)
    }

    /// Returns stored lines from number `from` on, as many as fit one reply. The first one may be
    /// later than `from` when older ones are gone; empty when there is none.
    ///
    /// # Errors
    /// When a segment cannot be read.
    pub(super) fn read(&mut self, from: u64) -> io::Result<Batch> {
        for segment in &mut self.segments {
            if segment.index.is_none() {
                segment.scan()?;
            }
            if segment.end > from {
                return segment.read(from);
            }
        }
        Ok(Batch::default())
    }

    /// Makes everything written survive a power cut.
    ///
    /// # Errors
    /// When a file cannot be opened or synchronised.
    pub(super) fn sync(&self) -> io::Result<()> {
        let mut written = self.segments.iter().filter(|segment| segment.len > 0);
        written.try_for_each(|segment| File::open(&segment.path)?.sync_all())
    }

    fn rotate(&mut self, first: u64) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.dir)?;
        while self.segments.len() >= SEGMENTS {
            let Some(oldest) = self.segments.pop_front() else { break };
            match std::fs::remove_file(&oldest.path) {
                Err(err) if err.kind() != io::ErrorKind::NotFound => {
                    self.segments.push_front(oldest);
                    return Err(err);
                }
                _ => {}
            }
        }
        let path = self.dir.join(format!("{first:020}.{EXTENSION}"));
        self.segments.push_back(Segment { path, len: 0, index: Some(vec![]), end: first });
        Ok(())
    }
}

impl Segment {
    fn unread(path: PathBuf) -> Self {
        Self { path, len: 0, index: None, end: 0 }
    }

    /// Reads the whole file, finds its records and where they end.
    fn scan(&mut self) -> io::Result<Vec<Block>> {
        let bytes = read_at(&self.path, 0, SEGMENT_BYTES_MAX * 2)?;
        let (mut blocks, mut index, mut at) = (vec![], vec![], record::HEADER.len());
        self.end = 0;
        if bytes.starts_with(&record::HEADER) {
            while let Some((block, len)) = record::decode(&bytes[at..]) {
                if block.first < self.end {
                    break;
                }
                self.end = block.end();
                index.push((block.first, at as u64));
                blocks.push(block);
                at += len;
            }
        }
        self.len = if blocks.is_empty() { 0 } else { at as u64 };
        self.index = Some(index);
        Ok(blocks)
    }

    /// Writes behind the last whole record, or takes back what a failed write left.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut options = OpenOptions::new();
        let mut file =
            options.write(true).create(true).truncate(false).mode(0o600).open(&self.path)?;
        if file.metadata()?.len() != self.len {
            file.set_len(self.len)?;
        }
        file.seek(SeekFrom::Start(self.len))?;
        if let Err(err) = file.write_all(bytes) {
            // Gives back the room at once; when even that fails, the next call tries again.
            drop(file.set_len(self.len));
            return Err(err);
        }
        self.len += bytes.len() as u64;
        Ok(())
    }

    fn read(&self, from: u64) -> io::Result<Batch> {
        let index = self.index.as_deref().unwrap_or_default();
        let at = index.partition_point(|&(first, _)| first <= from).saturating_sub(1);
        let mut batch = Batch::default();
        let Some(&(_, offset)) = index.get(at) else { return Ok(batch) };
        let bytes = read_at(&self.path, offset, READ_BYTES.min(self.len - offset))?;
        let mut rest = bytes.as_slice();
        while let Some((block, len)) = record::decode(rest) {
            rest = &rest[len..];
            // The record before `from` may end before it when lines are missing in between.
            if block.end() > from && !batch.add(&block, from) {
                break;
            }
        }
        Ok(batch)
    }
}

fn read_at(path: &Path, offset: u64, len: u64) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(offset))?;
    let mut bytes = vec![];
    file.take(len).read_to_end(&mut bytes)?;
    Ok(bytes)
}
