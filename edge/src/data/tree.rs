//! Walks a server's files: gives them to a user, adds up what they take.
//!
//! The game may change the tree meanwhile. Each folder is opened by one name below its parent and
//! symbolic links are not followed, so that the walk cannot be led out of the tree.

use super::{DIR_FLAGS, open_dir};
use rustix::{
    fs::{AtFlags, Dir, FileType, Gid, Mode, Uid, chownat, fchown, fstat, openat, statat},
    io::Errno,
};
use std::{
    collections::BTreeSet,
    ffi::CString,
    io,
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

/// Deepest tree that is walked. Each level holds one open file; real games stay below 30.
const DEPTH_MAX: usize = 256;
/// Bytes of one block in `st_blocks`, whatever the file system's own block size is.
const STAT_BLOCK_BYTES: u64 = 512;

/// Why a tree could not be walked.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// The operating system refused.
    #[error("files could not be read or changed")]
    Io(#[from] io::Error),
    /// Deeper than [`DEPTH_MAX`].
    #[error("folders are nested deeper than {DEPTH_MAX}")]
    TooDeep,
}

impl From<Errno> for TreeError {
    fn from(err: Errno) -> Self {
        Self::Io(err.into())
    }
}

/// What is seen of one file.
struct Seen {
    /// Device and number: names the file whatever its names are.
    file: (u64, u64),
    links: u64,
    bytes: u64,
}

/// Returns the bytes that a folder takes on the disk, itself included. Sparse files count what they
/// take, files with several names count once. Blocks.
///
/// # Errors
/// When the tree cannot be read or is nested too deeply.
pub fn disk_usage(path: &Path) -> Result<u64, TreeError> {
    let dir = open_dir(path)?;
    let (mut sum, mut counted) = (0_u64, BTreeSet::new());
    let root = fstat(&dir)?;
    sum = sum.saturating_add(bytes_of(root.st_blocks));
    walk(dir, &mut |_, _, seen| {
        if seen.links < 2 || counted.insert(seen.file) {
            sum = sum.saturating_add(seen.bytes);
        }
        Ok(())
    })?;
    Ok(sum)
}

/// Gives a folder and everything in it to a user and group, unless the folder has that owner.
pub(super) fn give_to(dir: &OwnedFd, uid: u32) -> Result<(), TreeError> {
    let stat = fstat(dir)?;
    if stat.st_uid == uid && stat.st_gid == uid {
        return Ok(());
    }
    let (owner, group) = (Uid::from_raw(uid), Gid::from_raw(uid));
    walk(dir.try_clone()?, &mut |parent, name, _| {
        chownat(parent, name, Some(owner), Some(group), AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(())
    })?;
    // Last, so that a walk that was cut off is done again.
    fchown(dir, Some(owner), Some(group))?;
    Ok(())
}

/// Calls `visit` with each entry below `root`: its folder, its name, what it is. What vanishes
/// meanwhile is left out.
fn walk(
    root: OwnedFd,
    visit: &mut dyn FnMut(&OwnedFd, &CString, &Seen) -> Result<(), TreeError>,
) -> Result<(), TreeError> {
    let mut levels = vec![(Dir::read_from(&root)?, root)];
    loop {
        let depth = levels.len();
        let Some((entries, folder)) = levels.last_mut() else { return Ok(()) };
        let Some(entry) = entries.read() else {
            levels.pop();
            continue;
        };
        let name = entry?.file_name().to_owned();
        if name.as_bytes() == b"." || name.as_bytes() == b".." {
            continue;
        }
        let stat = match statat(folder.as_fd(), &name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => continue,
            stat => stat?,
        };
        let is_dir = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        #[allow(clippy::useless_conversion, reason = "`st_nlink` has 32 bits on other machines")]
        let seen = Seen {
            file: (stat.st_dev, stat.st_ino),
            // Folders have a link per folder inside, and yet one name.
            links: if is_dir { 1 } else { u64::from(stat.st_nlink) },
            bytes: bytes_of(stat.st_blocks),
        };
        match visit(folder, &name, &seen) {
            Err(TreeError::Io(err)) if err.kind() == io::ErrorKind::NotFound => continue,
            result => result?,
        }
        if is_dir {
            if depth == DEPTH_MAX {
                return Err(TreeError::TooDeep);
            }
            match openat(folder.as_fd(), &name, DIR_FLAGS, Mode::empty()) {
                Ok(child) => levels.push((Dir::read_from(&child)?, child)),
                // It went, or became something else.
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
                Err(err) => return Err(err.into()),
            }
        }
    }
}

fn bytes_of(blocks: i64) -> u64 {
    u64::try_from(blocks).unwrap_or(0).saturating_mul(STAT_BLOCK_BYTES)
}
