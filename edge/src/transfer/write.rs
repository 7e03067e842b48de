//! Writes parts into a folder that no game sees yet.
//!
//! What comes is not trusted: every name is checked, every folder on the way is opened by one name
//! and never through a symbolic link, and nothing is written beyond the limits.

use super::{MoveError, check_room};
use crate::data::{DIR_FLAGS, open_dir};
use mamba_core::lifecycle::transfer::names_of;
use mamba_wire::node::moving::{BLOCK_BYTES, CHUNK_BYTES, Part, Parts};
use rustix::{
    fs::{
        AtFlags, Mode, OFlags, Timespec, Timestamps, UTIME_OMIT, fchmod, fstatvfs, ftruncate,
        futimens, mkdirat, openat, symlinkat, syncfs, unlinkat,
    },
    io::{Errno, pwrite},
};
use std::{os::fd::OwnedFd, path::Path};

/// Opens a file for writing by one name.
const FILE_FLAGS: OFlags =
    OFlags::WRONLY.union(OFlags::CREATE).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
/// Longest target of a symbolic link.
const TARGET_BYTES_MAX: usize = 4_096;
/// What an entry counts for besides its content: what it takes on the disk at least. It bounds how
/// many entries can come.
const ENTRY_BYTES: u64 = 512;

/// Writes into one folder.
pub struct Writer {
    root: OwnedFd,
    /// The folder in which the last entry was, by its path.
    parent: Option<(Vec<u8>, OwnedFd)>,
    /// The file that came last, with its path and permissions.
    file: Option<(OwnedFd, Vec<u8>, u32)>,
    /// Content that is here.
    bytes: u64,
    /// What all entries count for.
    entries_bytes: u64,
    most_bytes: u64,
}

impl Writer {
    /// Writes into a folder that exists and holds so many bytes already.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn new(root: &Path, bytes: u64, most_bytes: u64) -> Result<Self, MoveError> {
        let root = open_dir(root).map_err(|err| MoveError::io("opening", b".", err))?;
        Ok(Self { root, parent: None, file: None, bytes, entries_bytes: 0, most_bytes })
    }

    /// Bytes of content that are here, also what is not synced.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Writes parts. What was there before under the same names is overwritten.
    ///
    /// # Errors
    /// See [`MoveError`]. Some of them may be written; writing them again does no harm.
    pub fn write(&mut self, parts: &Parts) -> Result<(), MoveError> {
        let room = fstatvfs(&self.root).map_err(|err| MoveError::io("looking", b".", err))?;
        let free_bytes = room.f_bavail.saturating_mul(room.f_frsize);
        check_room(free_bytes, CHUNK_BYTES as u64)?;
        parts.parts.iter().try_for_each(|part| self.put(part))
    }

    /// Brings everything that was written to the disk.
    ///
    /// # Errors
    /// `Io`; nobody knows what is there.
    pub fn sync(&self) -> Result<(), MoveError> {
        syncfs(&self.root).map_err(|err| MoveError::io("syncing", b".", err))
    }

    fn put(&mut self, part: &Part) -> Result<(), MoveError> {
        match part {
            Part::Folder { path, mode } => self.folder(path, *mode),
            Part::Link { path, target } => self.link(path, target),
            Part::File { path, mode, size } => self.begin(path, *mode, *size),
            Part::Bytes { offset, bytes } => self.content(*offset, bytes),
            Part::End { modified } => self.end(*modified),
        }
    }

    fn folder(&mut self, path: &[u8], mode: u32) -> Result<(), MoveError> {
        let name = self.enter(path)?;
        let failed = |err: Errno| MoveError::io("making the folder", path, err);
        match mkdirat(self.at(), name, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(err) => return Err(failed(err)),
        }
        let made = openat(self.at(), name, DIR_FLAGS, Mode::empty()).map_err(failed)?;
        fchmod(&made, permissions(mode, 0o700)).map_err(failed)
    }

    fn link(&mut self, path: &[u8], target: &[u8]) -> Result<(), MoveError> {
        if target.is_empty() || target.len() > TARGET_BYTES_MAX || target.contains(&0) {
            return Err(MoveError::Hostile("target of a link".to_owned()));
        }
        let name = self.enter(path)?;
        let failed = |err: Errno| MoveError::io("making the link", path, err);
        match unlinkat(self.at(), name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(err) => return Err(failed(err)),
        }
        symlinkat(target, self.at(), name).map_err(failed)
    }

    fn begin(&mut self, path: &[u8], mode: u32, size: u64) -> Result<(), MoveError> {
        let name = self.enter(path)?;
        let failed = |err: Errno| MoveError::io("making the file", path, err);
        let file = openat(self.at(), name, FILE_FLAGS, Mode::RUSR | Mode::WUSR).map_err(failed)?;
        ftruncate(&file, size).map_err(failed)?;
        self.file = Some((file, path.to_vec(), mode));
        Ok(())
    }

    fn content(&mut self, offset: u64, bytes: &[u8]) -> Result<(), MoveError> {
        let Some((file, path, _)) = &self.file else {
            return Err(MoveError::Hostile("content without a file".to_owned()));
        };
        let length = bytes.len() as u64;
        if length > BLOCK_BYTES || !offset.is_multiple_of(BLOCK_BYTES) {
            return Err(MoveError::Hostile(format!("block of {length} bytes at {offset}")));
        }
        self.bytes = self.bytes.saturating_add(length);
        self.check_limit()?;
        let mut written = 0;
        while written < bytes.len() {
            written += pwrite(file, &bytes[written..], offset + written as u64)
                .map_err(|err| MoveError::io("writing", path, err))?;
        }
        Ok(())
    }

    fn end(&mut self, (seconds, nanos): (i64, u32)) -> Result<(), MoveError> {
        let Some((file, path, mode)) = self.file.take() else {
            return Err(MoveError::Hostile("end without a file".to_owned()));
        };
        let failed = |err: Errno| MoveError::io("finishing the file", &path, err);
        fchmod(&file, permissions(mode, 0o600)).map_err(failed)?;
        let times = Timestamps {
            last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
            last_modification: Timespec {
                tv_sec: seconds,
                tv_nsec: i64::from(nanos.min(999_999_999)),
            },
        };
        futimens(&file, &times).map_err(failed)
    }

    /// Opens the folder that an entry is in, and returns the entry's name.
    fn enter<'a>(&mut self, path: &'a [u8]) -> Result<&'a [u8], MoveError> {
        let names = names_of(path).map_err(|err| MoveError::Hostile(err.to_string()))?;
        self.entries_bytes = self.entries_bytes.saturating_add(ENTRY_BYTES);
        self.check_limit()?;
        self.file = None;
        let Some((name, folders)) = names.split_last() else {
            return Err(MoveError::Hostile("path without a name".to_owned()));
        };
        let above = &path[..path.len() - name.len()];
        if self.parent.as_ref().is_none_or(|(known, _)| known != above) {
            let failed = |err: Errno| MoveError::io("opening the folder", path, err);
            let mut folder = openat(&self.root, c".", DIR_FLAGS, Mode::empty()).map_err(failed)?;
            for name in folders {
                folder = openat(&folder, *name, DIR_FLAGS, Mode::empty()).map_err(failed)?;
            }
            self.parent = Some((above.to_vec(), folder));
        }
        Ok(name)
    }

    fn at(&self) -> &OwnedFd {
        self.parent.as_ref().map_or(&self.root, |(_, folder)| folder)
    }

    fn check_limit(&self) -> Result<(), MoveError> {
        let most_bytes = self.most_bytes;
        if self.bytes > most_bytes || self.entries_bytes > most_bytes {
            return Err(MoveError::OverLimit { most_bytes });
        }
        Ok(())
    }
}

/// Permissions without those that make more of a program than it is.
fn permissions(mode: u32, least: u32) -> Mode {
    Mode::from_raw_mode(mode & 0o777 | least)
}
