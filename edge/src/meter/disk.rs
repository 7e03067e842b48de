//! Counts what a server's data takes on the disk.
//!
//! Accounted are allocated blocks, as `du` counts them: holes cost nothing, a file with several
//! links costs once. The tree belongs to a tenant, so nothing in it is trusted: links are not
//! followed, each directory is opened relative to its parent, other file systems are left out, and
//! depth and number of entries have bounds. Beyond them nothing is counted: never too much.

use rustix::{
    fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat, openat, statat},
    io::Errno,
};
use std::{
    collections::BTreeSet,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
};

/// Most entries of one tree: two minutes of a slow disk. A server at this bound is billed for less
/// than it has.
pub(super) const ENTRIES_MAX: u64 = 5_000_000;
/// Deepest directory that is counted: each level holds two descriptors open.
const DEPTH_MAX: u32 = 128;
/// Bytes of a block in `st_blocks`, whatever the file system's own.
const BLOCK_BYTES: u64 = 512;

/// What a tree takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size {
    /// Bytes on the disk.
    pub(crate) bytes: u64,
    /// Whether a bound was met and there may be more.
    pub(super) is_cut: bool,
}

/// Counts a tree. One that does not exist takes nothing. Blocks for as long as it takes.
///
/// # Errors
/// When its top cannot be read. What cannot be read below is left out.
pub(crate) fn size(top: &Path) -> Result<Size, std::io::Error> {
    size_within(top, ENTRIES_MAX)
}

fn size_within(top: &Path, entries_max: u64) -> Result<Size, std::io::Error> {
    let directory = match open(CWD, top) {
        Ok(directory) => directory,
        Err(Errno::NOENT) => return Ok(Size { bytes: 0, is_cut: false }),
        Err(err) => return Err(err.into()),
    };
    let stat = rustix::fs::fstat(&directory)?;
    let mut walk = Walk {
        device: stat.st_dev,
        seen: BTreeSet::new(),
        entries_left: entries_max,
        size: Size { bytes: blocks(&stat), is_cut: false },
    };
    walk.directory(directory.as_fd(), DEPTH_MAX)?;
    Ok(walk.size)
}

struct Walk {
    device: u64,
    /// Files with several links that were counted.
    seen: BTreeSet<u64>,
    entries_left: u64,
    size: Size,
}

impl Walk {
    fn directory(&mut self, directory: BorrowedFd<'_>, depth_left: u32) -> Result<(), Errno> {
        if depth_left == 0 {
            self.size.is_cut = true;
            return Ok(());
        }
        for entry in Dir::read_from(directory)? {
            // A directory that fails half way was removed meanwhile, or its disk is broken.
            let Ok(entry) = entry else { return Ok(()) };
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            let Some(left) = self.entries_left.checked_sub(1) else {
                self.size.is_cut = true;
                return Ok(());
            };
            self.entries_left = left;
            let Ok(stat) = statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
            if stat.st_dev != self.device {
                continue;
            }
            let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
            if !is_directory && stat.st_nlink > 1 && !self.seen.insert(stat.st_ino) {
                continue;
            }
            self.size.bytes = self.size.bytes.saturating_add(blocks(&stat));
            if is_directory && let Ok(child) = open(directory, name) {
                self.directory(child.as_fd(), depth_left - 1).ok();
            }
        }
        Ok(())
    }
}

fn open(at: BorrowedFd<'_>, path: impl rustix::path::Arg) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(at, path, flags, Mode::empty())
}

fn blocks(stat: &Stat) -> u64 {
    u64::try_from(stat.st_blocks).unwrap_or(0).saturating_mul(BLOCK_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::symlink};

    fn bytes(path: &Path) -> u64 {
        size(path).unwrap().bytes
    }

    #[test]
    fn a_tree_is_counted_as_du_counts_it() {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().join("top");
        assert_eq!(size(&top).unwrap(), Size { bytes: 0, is_cut: false });
        fs::create_dir_all(top.join("a/b")).unwrap();
        let empty = bytes(&top);
        fs::write(top.join("a/b/file"), vec![7; 100_000]).unwrap();
        let full = bytes(&top);
        assert!((empty + 100_000..empty + 120_000).contains(&full), "{empty} {full}");
        // A second link costs nothing, a link to a directory outside neither leads there.
        fs::hard_link(top.join("a/b/file"), top.join("again")).unwrap();
        fs::write(dir.path().join("outside"), vec![7; 500_000]).unwrap();
        symlink(dir.path(), top.join("way-out")).unwrap();
        assert!(bytes(&top) < full + 20_000, "{full} {}", bytes(&top));
        // A hole costs nothing.
        let sparse = fs::File::create(top.join("sparse")).unwrap();
        sparse.set_len(1 << 30).unwrap();
        assert!(bytes(&top) < full + 20_000);
        let du = std::process::Command::new("du").args(["-s", "-B1"]).arg(&top).output().unwrap();
        let text = String::from_utf8(du.stdout).unwrap();
        assert_eq!(text.split('\t').next().unwrap().parse(), Ok(bytes(&top)));
    }

    #[test]
    fn a_link_at_the_top_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        symlink("/etc", dir.path().join("top")).unwrap();
        assert!(size(&dir.path().join("top")).is_err());
        fs::write(dir.path().join("file"), "x").unwrap();
        assert!(size(&dir.path().join("file")).is_err());
    }

    #[test]
    fn bounds_cut_and_say_so() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a", "b", "c"] {
            fs::write(dir.path().join(name), vec![7; 50_000]).unwrap();
        }
        let whole = size_within(dir.path(), 3).unwrap();
        assert!(!whole.is_cut);
        let cut = size_within(dir.path(), 2).unwrap();
        assert!(cut.is_cut && cut.bytes < whole.bytes);
        let deep: std::path::PathBuf = (0..DEPTH_MAX).map(|_| "d").collect();
        fs::create_dir_all(dir.path().join(deep)).unwrap();
        assert!(size(dir.path()).unwrap().is_cut);
    }
}
