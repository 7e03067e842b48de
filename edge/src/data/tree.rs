//! Gives a server's files to a user.
//!
//! The game may change the tree meanwhile. Each folder is opened by one name below its parent and
//! symbolic links are not followed, so that the walk cannot be led out of the tree.

use super::DIR_FLAGS;
use rustix::{
    fs::{AtFlags, Dir, FileType, Gid, Mode, Uid, chownat, fchown, fstat, openat, statat},
    io::Errno,
};
use std::{
    ffi::CString,
    io,
    os::fd::{AsFd, OwnedFd},
};

/// Deepest tree that is walked. Each level holds two open files; real games stay below 30.
const DEPTH_MAX: usize = 256;

/// Why a tree could not be walked.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// The operating system refused.
    #[error("files could not be read or changed")]
    Io(#[from] io::Error),
    /// It has more levels than are walked.
    #[error("folders are nested deeper than {DEPTH_MAX}")]
    TooDeep,
}

impl From<Errno> for TreeError {
    fn from(err: Errno) -> Self {
        Self::Io(err.into())
    }
}

/// Gives a folder and everything in it to a user and group, unless the folder has that owner.
pub(super) fn give_to(dir: &OwnedFd, uid: u32) -> Result<(), TreeError> {
    let stat = fstat(dir)?;
    if stat.st_uid == uid && stat.st_gid == uid {
        return Ok(());
    }
    let (owner, group) = (Uid::from_raw(uid), Gid::from_raw(uid));
    walk(dir.try_clone()?, &mut |parent, name| {
        chownat(parent, name, Some(owner), Some(group), AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(())
    })?;
    // Last, so that a walk that was cut off is done again.
    fchown(dir, Some(owner), Some(group))?;
    Ok(())
}

/// Calls `visit` with each entry below `root`: its folder and its name. What vanishes meanwhile is
/// left out.
fn walk(
    root: OwnedFd,
    visit: &mut dyn FnMut(&OwnedFd, &CString) -> Result<(), TreeError>,
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
        match visit(folder, &name) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::symlink, path::Path};

    fn names(top: &Path) -> Result<Vec<String>, TreeError> {
        let mut names = Vec::new();
        walk(super::super::open_dir(top).unwrap(), &mut |_, name| {
            names.push(name.to_str().unwrap().to_owned());
            Ok(())
        })?;
        names.sort();
        Ok(names)
    }

    #[test]
    fn each_entry_is_visited_once_and_links_lead_nowhere() {
        let root = tempfile::tempdir().unwrap();
        let top = root.path().join("top");
        fs::create_dir_all(top.join("a/b")).unwrap();
        fs::write(top.join("a/b/file"), "x").unwrap();
        fs::write(root.path().join("outside"), "x").unwrap();
        symlink(root.path(), top.join("folder-link")).unwrap();
        symlink(root.path().join("outside"), top.join("file-link")).unwrap();
        assert_eq!(names(&top).unwrap(), ["a", "b", "file", "file-link", "folder-link"]);
    }

    #[test]
    fn a_tree_deeper_than_the_limit_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let top = root.path().join("top");
        let deepest = (1..DEPTH_MAX).fold(top.clone(), |path, _| path.join("d"));
        fs::create_dir_all(&deepest).unwrap();
        assert_eq!(names(&top).unwrap().len(), DEPTH_MAX - 1);
        fs::create_dir(deepest.join("d")).unwrap();
        assert!(matches!(names(&top), Err(TreeError::TooDeep)));
    }
}
