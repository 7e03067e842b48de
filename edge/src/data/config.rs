//! Sets values in a game's config file, below its data folder and nowhere else.

use super::{
    DIR_FLAGS,
    rewrite::{FILE_BYTES_MAX, RewriteError, rewrite},
};
use mamba_core::{blueprint::fill_node_address, server::ConfigFile};
use rustix::{
    fs::{
        AtFlags, FileType, Gid, Mode, OFlags, Uid, fchmod, fchown, fstat, mkdirat, openat,
        renameat, unlinkat,
    },
    io::Errno,
};
use std::{
    fs::File,
    io::{self, Read, Write},
    os::fd::{AsFd, OwnedFd},
};

/// Rights of a config file that is made.
const FILE_MODE: u32 = 0o640;
/// Rights of a folder that is made on the way to it.
const DIR_MODE: u32 = 0o750;

/// Why a config file could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A part of its path is a symbolic link or no folder.
    #[error("`{part}` is not a folder")]
    NotFolder {
        /// Which part.
        part: String,
    },
    /// It is a folder, a link, a pipe or a device.
    #[error("it is not a plain file")]
    NotFile,
    /// It is not UTF-8.
    #[error("it is not UTF-8 text")]
    NotText,
    /// Its values could not be set.
    #[error("its values could not be set")]
    Rewrite(#[from] RewriteError),
    /// The operating system refused.
    #[error("it could not be read or written")]
    Io(#[from] io::Error),
}

impl From<Errno> for ConfigError {
    fn from(err: Errno) -> Self {
        Self::Io(err.into())
    }
}

/// Sets the values of one config file below `root`, making it and its folders when missing. The file
/// is replaced as a whole or not at all, and not touched when nothing changes. `node_address` is what
/// `{{config.docker.interface}}` stands for; nothing else is filled in here.
pub(super) fn apply(
    root: &OwnedFd,
    file: &ConfigFile,
    node_address: Option<&str>,
    uid: u32,
) -> Result<(), ConfigError> {
    let (folders, name) = match file.path.rsplit_once('/') {
        Some((folders, name)) => (folders, name),
        None => ("", file.path.as_str()),
    };
    let mut folder = root.try_clone()?;
    for part in folders.split('/').filter(|part| !part.is_empty()) {
        folder = enter(&folder, part, uid)?;
    }
    let (text, mode) = match read(&folder, name)? {
        Some((text, mode)) => (Some(text), mode),
        None => (None, Mode::from_raw_mode(FILE_MODE)),
    };
    let mut values = file.replace.clone();
    if let Some(address) = node_address {
        values.iter_mut().for_each(|it| it.value = fill_node_address(&it.value, address));
    }
    let new = rewrite(file.parser, text.as_deref().unwrap_or_default(), &values)?;
    if text.as_deref() == Some(new.as_str()) {
        return Ok(());
    }
    replace(&folder, name, &new, mode, uid)
}

/// Opens a folder inside another, making it when missing.
fn enter(parent: &OwnedFd, part: &str, uid: u32) -> Result<OwnedFd, ConfigError> {
    match mkdirat(parent, part, Mode::from_raw_mode(DIR_MODE)) {
        Ok(()) => {
            let made = openat(parent, part, DIR_FLAGS, Mode::empty())?;
            fchown(&made, Some(Uid::from_raw(uid)), Some(Gid::from_raw(uid)))?;
            Ok(made)
        }
        Err(Errno::EXIST) => match openat(parent, part, DIR_FLAGS, Mode::empty()) {
            Err(Errno::NOTDIR | Errno::LOOP) => {
                Err(ConfigError::NotFolder { part: part.to_owned() })
            }
            opened => Ok(opened?),
        },
        Err(err) => Err(err.into()),
    }
}

/// Reads a file and its rights. `None` when there is none.
fn read(folder: &OwnedFd, name: &str) -> Result<Option<(String, Mode)>, ConfigError> {
    // Without waiting, because the game may have put a pipe there.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let opened = match openat(folder, name, flags, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(None),
        // A link, or a socket or device that nobody serves.
        Err(Errno::LOOP | Errno::NXIO | Errno::NODEV) => return Err(ConfigError::NotFile),
        opened => opened?,
    };
    let stat = fstat(&opened)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(ConfigError::NotFile);
    }
    let mut bytes = Vec::new();
    // One byte more than allowed, so that `rewrite` sees that it is too large.
    File::from(opened).take(FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
    let text = String::from_utf8(bytes).map_err(|_| ConfigError::NotText)?;
    Ok(Some((text, Mode::from_raw_mode(stat.st_mode & 0o777))))
}

/// Puts a new file in the place of the old one.
fn replace(
    folder: &OwnedFd,
    name: &str,
    text: &str,
    mode: Mode,
    uid: u32,
) -> Result<(), ConfigError> {
    let temporary = format!(".{name}.mamba-new");
    match unlinkat(folder, &temporary, AtFlags::empty()) {
        Err(Errno::NOENT) | Ok(()) => {}
        Err(err) => return Err(err.into()),
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file = File::from(openat(folder.as_fd(), &temporary, flags, mode)?);
    file.write_all(text.as_bytes())?;
    fchown(&file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(uid)))?;
    fchmod(&file, mode)?;
    file.sync_all()?;
    renameat(folder, &temporary, folder, name)?;
    Ok(())
}
