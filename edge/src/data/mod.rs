//! The servers' data on the node's disk: one folder per server, config files in it, trash.
//!
//! `servers/<id>` belongs to the game's user and is mounted into its container; the game may put
//! anything there, so nothing below it is opened by more than one name at a time and no symbolic
//! link is followed. `trash/<id>-<time>` holds the data of deleted servers. Everything here blocks.

mod config;
mod mounts;
pub mod rewrite;
mod tree;

pub use config::ConfigError;
pub use mounts::MountError;
pub use tree::TreeError;

use crate::runtime::Bind;
use mamba_core::{
    clock::UnixMs,
    ids::ServerId,
    server::{ConfigFile, Mount},
};
use mounts::AllowedMounts;
use rustix::fs::{Mode, OFlags};
use std::{
    fs::{self, DirBuilder},
    io,
    os::{fd::OwnedFd, unix::fs::DirBuilderExt},
    path::{Path, PathBuf},
};

/// Folders of all servers. Cheap to clone.
#[derive(Clone, Debug)]
pub struct DataDirs {
    servers: PathBuf,
    trash: PathBuf,
    installs: PathBuf,
    arrivals: PathBuf,
    mounts: AllowedMounts,
    uid: u32,
}

/// Why data could not be prepared or moved.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// A folder of our own.
    #[error("folder `{}` could not be made or opened", path.display())]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The owner of a server's files.
    #[error("files of the server could not be given to user {uid}")]
    Owner {
        /// To whom.
        uid: u32,
        /// Why.
        #[source]
        source: TreeError,
    },
    /// One config file.
    #[error("config file `{path}` could not be written")]
    Config {
        /// Which, as the wish names it.
        path: String,
        /// Why.
        #[source]
        source: ConfigError,
    },
    /// A folder besides its own.
    #[error("a folder of the node is not mounted")]
    Mount(#[source] MountError),
    /// The move to the trash.
    #[error("data could not be moved to the trash")]
    Trash(#[source] io::Error),
    /// The purge.
    #[error("data could not be deleted from the trash")]
    Purge(#[source] io::Error),
}

impl DataDirs {
    /// Makes the two folders below `root` when they are missing.
    ///
    /// # Errors
    /// `Folder`.
    pub fn open(root: &Path, uid: u32) -> Result<Self, DataError> {
        let dirs = Self::at(root, uid);
        for path in [&dirs.servers, &dirs.trash] {
            make_dir(path, 0o711)?;
        }
        Ok(dirs)
    }

    /// Names the folders below `root`, whether they exist or not: for looking only.
    pub(crate) fn at(root: &Path, uid: u32) -> Self {
        Self {
            servers: root.join("servers"),
            trash: root.join("trash"),
            installs: root.join("installs"),
            arrivals: root.join("arrivals"),
            mounts: AllowedMounts::new(Vec::new(), root.to_owned()),
            uid,
        }
    }

    /// Lets games see what is below these folders of the node, where their wish says so.
    #[must_use]
    pub fn with_mounts(self, allowed: Vec<PathBuf>) -> Self {
        Self { mounts: self.mounts.allowing(allowed), ..self }
    }

    /// Returns what a server's container sees besides its own folder, as it is on the disk now.
    ///
    /// # Errors
    /// `Mount`, for the first that is not allowed or not there.
    pub fn mounts(&self, wanted: &[Mount]) -> Result<Vec<Bind>, DataError> {
        let found = wanted.iter().map(|mount| {
            let Mount { source, target, read_only } = mount;
            let source = self.mounts.resolve(source)?;
            Ok(Bind { source, target: target.clone(), read_only: *read_only })
        });
        found.collect::<Result<_, _>>().map_err(DataError::Mount)
    }

    /// Returns the folder of a server, whether it exists or not.
    #[must_use]
    pub fn of(&self, server: ServerId) -> PathBuf {
        self.servers.join(server.to_string())
    }

    /// User and group that games run as.
    #[must_use]
    pub fn uid(&self) -> u32 {
        self.uid
    }

    /// Makes a server's folder ready for a start: it exists, belongs to the game's user, and holds
    /// its config files with their values set. Files below are only given to the game's user when
    /// the folder itself is not: on a large tree that takes minutes. `node_address` is the node's
    /// address inside the server's network, which config files may name.
    ///
    /// # Errors
    /// `Folder`, `Owner`, `Config`. Running it again goes on where it stopped.
    pub fn prepare(
        &self,
        server: ServerId,
        files: &[ConfigFile],
        node_address: Option<&str>,
    ) -> Result<PathBuf, DataError> {
        let path = self.of(server);
        make_dir(&path, 0o700)?;
        let failed = |source| DataError::Folder { path: path.clone(), source };
        let dir = open_dir(&path).map_err(failed)?;
        tree::give_to(&dir, self.uid)
            .map_err(|source| DataError::Owner { uid: self.uid, source })?;
        for file in files {
            config::apply(&dir, file, node_address, self.uid)
                .map_err(|source| DataError::Config { path: file.path.clone(), source })?;
        }
        Ok(path)
    }

    /// Moves a server's data to the trash. `stamp` names the move, so that doing it again after a
    /// crash finds what was moved before.
    ///
    /// # Errors
    /// `Trash`; the data is where it was.
    pub fn to_trash(&self, server: ServerId, stamp: UnixMs) -> Result<(), DataError> {
        match fs::rename(self.of(server), self.in_trash(server, stamp)) {
            // It was moved before, or it never ran.
            Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result.map_err(DataError::Trash),
        }
    }

    /// Deletes what [`DataDirs::to_trash`] moved. Harmless when it is gone.
    ///
    /// # Errors
    /// `Purge`; some of it may be gone, doing it again goes on.
    pub fn purge(&self, server: ServerId, stamp: UnixMs) -> Result<(), DataError> {
        match fs::remove_dir_all(self.in_trash(server, stamp)) {
            Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result.map_err(DataError::Purge),
        }
    }

    /// The folder of all servers' folders.
    pub(crate) fn servers(&self) -> &Path {
        &self.servers
    }

    /// The folder of what is kept of install scripts; it may not exist.
    pub(crate) fn installs(&self) -> &Path {
        &self.installs
    }

    /// The folder of data that comes from other nodes; it may not exist.
    pub(crate) fn arrivals(&self) -> &Path {
        &self.arrivals
    }

    /// The folder of one server's.
    pub(crate) fn arrival_home(&self, server: ServerId) -> PathBuf {
        self.arrivals.join(server.to_string())
    }

    /// Where files are moved that are wiped.
    pub(crate) fn wiped(&self, server: ServerId) -> PathBuf {
        self.trash.join(format!("{server}-wiped"))
    }

    fn in_trash(&self, server: ServerId, stamp: UnixMs) -> PathBuf {
        self.trash.join(format!("{server}-{}", stamp.0))
    }
}

fn make_dir(path: &Path, mode: u32) -> Result<(), DataError> {
    match DirBuilder::new().mode(mode).create(path) {
        Err(source) if source.kind() != io::ErrorKind::AlreadyExists => {
            Err(DataError::Folder { path: path.to_owned(), source })
        }
        _ => Ok(()),
    }
}

/// Opens a folder that is not a symbolic link.
pub(crate) fn open_dir(path: &Path) -> io::Result<OwnedFd> {
    Ok(rustix::fs::open(path, DIR_FLAGS, Mode::empty())?)
}

/// Opens a folder by one name and never through a symbolic link.
pub(crate) const DIR_FLAGS: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

#[cfg(test)]
mod tests;
