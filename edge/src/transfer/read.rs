//! Reads a server's folder as a list of parts, from any place of it on.
//!
//! Nobody should change the folder meanwhile. If somebody does, nothing is read that is not below it:
//! each entry is opened by one name below its parent, and symbolic links are not followed.

use super::MoveError;
use crate::data::{DIR_FLAGS, open_dir};
use mamba_core::lifecycle::transfer::DEPTH_MAX;
use mamba_wire::node::moving::{BLOCK_BYTES, CHUNK_BYTES, Digest, PART_BYTES, Part, Parts, Place};
use rustix::{
    fs::{AtFlags, Dir, FileType, Mode, OFlags, SeekFrom, fstat, openat, readlinkat, seek, statat},
    io::{Errno, pread},
};
use std::{
    ffi::CString,
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

/// Opens a file for reading by one name. Not blocking: it may have become a pipe.
const FILE_FLAGS: OFlags =
    OFlags::RDONLY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC).union(OFlags::NONBLOCK);
/// Permissions that are kept. A game has no use for the others, and an attacker has.
const MODE_KEPT: u32 = 0o777;

/// Goes through a folder. Holds two open files per level and the names of each level's rest.
pub struct Reader {
    levels: Vec<Level>,
    /// Path of the folder that the last level is, with a `/` behind it.
    prefix: Vec<u8>,
    file: Option<OpenFile>,
}

struct Level {
    folder: OwnedFd,
    /// What is left of it, last first.
    names: Vec<CString>,
    /// Length of the path before its name.
    prefix_len: usize,
}

struct OpenFile {
    file: OwnedFd,
    path: Vec<u8>,
    mode: u32,
    size: u64,
    modified: (i64, u32),
    /// Everything before this is done.
    offset: u64,
    is_told: bool,
}

impl Reader {
    /// Begins at a place, or at the beginning. A folder that does not exist has nothing in it.
    ///
    /// # Errors
    /// When a folder cannot be read.
    pub fn new(root: &Path, from: Option<&Place>) -> Result<Self, MoveError> {
        let mut reader = Self { levels: Vec::new(), prefix: Vec::new(), file: None };
        match open_dir(root) {
            Ok(folder) => reader.enter(folder, 0)?,
            Err(err) if err.kind() == std::io::ErrorKind::NotFound => {}
            Err(err) => return Err(MoveError::io("opening the folder", b".", err)),
        }
        if let Some(place) = from {
            reader.go_to(place)?;
        }
        Ok(reader)
    }

    /// Returns the next parts, `None` behind the last.
    ///
    /// # Errors
    /// When something cannot be read.
    pub fn next_parts(&mut self) -> Result<Option<Parts>, MoveError> {
        let mut parts = Vec::new();
        let mut bytes = 0;
        while bytes < CHUNK_BYTES {
            let Some(part) = self.next_part()? else {
                let is_over = parts.is_empty();
                return Ok((!is_over).then_some(Parts { parts, next: None }));
            };
            bytes += PART_BYTES + content(&part);
            parts.push(part);
        }
        let next = self.place()?;
        Ok(Some(Parts { parts, next }))
    }

    /// Where the next part begins.
    fn place(&mut self) -> Result<Option<Place>, MoveError> {
        loop {
            if let Some(open) = &self.file {
                return Ok(Some(Place { path: open.path.clone(), offset: open.offset }));
            }
            let Some(level) = self.levels.last() else { return Ok(None) };
            if let Some(name) = level.names.last() {
                let path = [&self.prefix, name.as_bytes()].concat();
                return Ok(Some(Place { path, offset: 0 }));
            }
            self.leave();
        }
    }

    fn next_part(&mut self) -> Result<Option<Part>, MoveError> {
        loop {
            if self.file.is_some() {
                return self.next_of_file().map(Some);
            }
            let Some(level) = self.levels.last_mut() else { return Ok(None) };
            let Some(name) = level.names.pop() else {
                self.leave();
                continue;
            };
            let path = [&self.prefix, name.as_bytes()].concat();
            if let Some(part) = self.open(&name, path)? {
                return Ok(Some(part));
            }
        }
    }

    /// Opens one entry. `None` when there is nothing to say of it.
    fn open(&mut self, name: &CString, path: Vec<u8>) -> Result<Option<Part>, MoveError> {
        let depth = self.levels.len();
        let Some(level) = self.levels.last() else { return Ok(None) };
        let failed = |step, err: Errno| MoveError::io(step, &path, err);
        let stat = match statat(level.folder.as_fd(), name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => return Ok(None),
            stat => stat.map_err(|err| failed("looking", err))?,
        };
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                if depth + 1 >= DEPTH_MAX {
                    return Err(MoveError::TooDeep(path.escape_ascii().to_string()));
                }
                let folder = openat(level.folder.as_fd(), name, DIR_FLAGS, Mode::empty())
                    .map_err(|err| failed("opening", err))?;
                let prefix_len = self.prefix.len();
                self.prefix.extend_from_slice(name.as_bytes());
                self.prefix.push(b'/');
                self.enter(folder, prefix_len)?;
                Ok(Some(Part::Folder { path, mode: stat.st_mode & MODE_KEPT | 0o700 }))
            }
            FileType::RegularFile => {
                let file = openat(level.folder.as_fd(), name, FILE_FLAGS, Mode::empty())
                    .map_err(|err| failed("opening", err))?;
                let stat = fstat(&file).map_err(|err| failed("looking", err))?;
                let nanos = u32::try_from(stat.st_mtime_nsec).unwrap_or(0);
                self.file = Some(OpenFile {
                    file,
                    path,
                    mode: stat.st_mode & MODE_KEPT | 0o600,
                    size: u64::try_from(stat.st_size).unwrap_or(0),
                    modified: (stat.st_mtime, nanos),
                    offset: 0,
                    is_told: false,
                });
                self.next_of_file().map(Some)
            }
            FileType::Symlink => {
                let target = readlinkat(level.folder.as_fd(), name, Vec::new())
                    .map_err(|err| failed("reading the link", err))?;
                Ok(Some(Part::Link { path, target: target.into_bytes() }))
            }
            // They mean nothing without the process that made them.
            _ => Ok(None),
        }
    }

    fn next_of_file(&mut self) -> Result<Part, MoveError> {
        let Some(open) = self.file.as_mut() else { return Ok(Part::End { modified: (0, 0) }) };
        if !open.is_told {
            open.is_told = true;
            let OpenFile { path, mode, size, .. } = &*open;
            return Ok(Part::File { path: path.clone(), mode: *mode, size: *size });
        }
        let found = open.next_block();
        let found = found.map_err(|err| MoveError::io("reading", &open.path, err))?;
        if let Some((offset, bytes)) = found {
            open.offset = offset + BLOCK_BYTES;
            return Ok(Part::Bytes { offset, bytes });
        }
        let modified = open.modified;
        self.file = None;
        Ok(Part::End { modified })
    }

    /// Takes up a folder, with its names in order.
    fn enter(&mut self, folder: OwnedFd, prefix_len: usize) -> Result<(), MoveError> {
        let failed = |err: Errno| MoveError::io("listing", &self.prefix, err);
        let mut names = Vec::new();
        for entry in Dir::read_from(&folder).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name().to_owned();
            if name.as_bytes() != b"." && name.as_bytes() != b".." {
                names.push(name);
            }
        }
        names.sort_unstable_by(|a, b| b.cmp(a));
        self.levels.push(Level { folder, names, prefix_len });
        Ok(())
    }

    fn leave(&mut self) {
        if let Some(level) = self.levels.pop() {
            self.prefix.truncate(level.prefix_len);
        }
    }

    /// Leaves everything out that comes before a place.
    fn go_to(&mut self, place: &Place) -> Result<(), MoveError> {
        let names: Vec<&[u8]> = place.path.split(|byte| *byte == b'/').collect();
        let last = names.len() - 1;
        for (index, wanted) in names.into_iter().enumerate() {
            let Some(level) = self.levels.last_mut() else { return Ok(()) };
            while level.names.pop_if(|name| name.as_bytes() < wanted).is_some() {}
            let Some(name) = level.names.pop_if(|name| name.as_bytes() == wanted) else {
                // It is gone: what follows in this folder is next.
                return Ok(());
            };
            if index == last && place.offset == 0 {
                level.names.push(name);
                return Ok(());
            }
            let path = [&self.prefix, name.as_bytes()].concat();
            self.open(&name, path)?;
            match &mut self.file {
                // Told once more, since whoever goes on from here has not opened it.
                Some(open) => {
                    (open.offset, open.is_told) = (place.offset, false);
                    return Ok(());
                }
                None if index == last => return Ok(()),
                None => {}
            }
        }
        Ok(())
    }
}

impl OpenFile {
    /// Returns the next block that is not only zeros, with its place.
    fn next_block(&self) -> Result<Option<(u64, Vec<u8>)>, Errno> {
        let mut from = self.offset;
        loop {
            if from >= self.size {
                return Ok(None);
            }
            let data = match seek(&self.file, SeekFrom::Data(from)) {
                Ok(data) => data,
                Err(Errno::NXIO) => return Ok(None),
                // A file system that does not tell.
                Err(Errno::INVAL) => from,
                Err(err) => return Err(err),
            };
            let offset = (data - data % BLOCK_BYTES).max(from);
            if offset >= self.size {
                return Ok(None);
            }
            let length = usize::try_from(BLOCK_BYTES.min(self.size - offset)).unwrap_or(0);
            let mut bytes = vec![0; length];
            let mut filled = 0;
            while filled < length {
                match pread(&self.file, &mut bytes[filled..], offset + filled as u64)? {
                    0 => break,
                    count => filled += count,
                }
            }
            if bytes.iter().any(|byte| *byte != 0) {
                return Ok(Some((offset, bytes)));
            }
            from = offset + BLOCK_BYTES;
        }
    }
}

/// Bytes that a part is counted with besides [`PART_BYTES`].
fn content(part: &Part) -> usize {
    match part {
        Part::Folder { path, .. } | Part::File { path, .. } => path.len(),
        Part::Link { path, target } => path.len() + target.len(),
        Part::Bytes { bytes, .. } => bytes.len(),
        Part::End { .. } => 0,
    }
}

/// Counts a folder. `go_on` is asked now and then whether somebody still wants to know.
///
/// # Errors
/// When something cannot be read; `None` when nobody wants to know.
pub fn count(root: &Path, go_on: impl Fn() -> bool) -> Result<Option<Digest>, MoveError> {
    let mut reader = Reader::new(root, None)?;
    let mut hasher = blake3::Hasher::new();
    let (mut count, mut bytes) = (0, 0);
    while let Some(parts) = reader.next_parts()? {
        if !go_on() {
            return Ok(None);
        }
        for mut part in parts.parts {
            match &mut part {
                Part::Bytes { bytes: content, .. } => bytes += content.len() as u64,
                // File systems keep times as finely as they like.
                Part::End { modified } => *modified = (0, 0),
                Part::Folder { .. } | Part::Link { .. } | Part::File { .. } => {}
            }
            let sent = postcard::to_stdvec(&part)
                .map_err(|err| MoveError::Hostile(format!("a part has no sent form: {err}")))?;
            hasher.update(&(sent.len() as u64).to_be_bytes());
            hasher.update(&sent);
            count += 1;
        }
    }
    Ok(Some(Digest { hash: *hasher.finalize().as_bytes(), parts: count, bytes }))
}
