//! Files of install scripts: the script, its log, and the mark that says how a run ended.
//!
//! `installs/<server>/` belongs to the daemon: `script/install.sh` is mounted into the container,
//! `log-<run>` is its output, `mark` the newest run that ended. Everything here blocks.

use super::InstallLog;
use crate::data::{DataDirs, DataError, open_dir};
use mamba_core::{
    db::{Record as _, RecordError},
    desired::Order,
    ids::ServerId,
    lifecycle::install::InstallRecord,
    server::{Install, InstallFiles},
};
use rustix::fs::{Gid, Uid, fchown};
use std::{
    collections::BTreeMap,
    fs::{self, DirBuilder, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

/// Name of the file with the end of the newest run.
const MARK: &str = "mark";

/// What is mounted into the container of an install script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstallDirs {
    /// The server's files.
    pub data: PathBuf,
    /// The folder with the script.
    pub script: PathBuf,
}

/// Why files of an install script could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// One of our own files.
    #[error("`{}` could not be read or written", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The server's folder.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The old files.
    #[error("old files of the server could not be deleted")]
    Wipe(#[source] io::Error),
    /// The mark is damaged.
    #[error("mark of the last run cannot be read")]
    Mark(#[source] RecordError),
}

impl DataDirs {
    /// Makes everything ready for a run: the server's folder, empty when that is asked for, and the
    /// script. Until [`DataDirs::finish_install`] the folder belongs to the daemon's user, so that a
    /// run that is cut off leaves no files that the game cannot change.
    ///
    /// # Errors
    /// `File`, `Data`, `Wipe`. Doing it again goes on where it stopped.
    pub fn prepare_install(
        &self,
        server: ServerId,
        install: &Install,
    ) -> Result<InstallDirs, InstallError> {
        if install.files == InstallFiles::Wipe {
            self.wipe(server).map_err(InstallError::Wipe)?;
        }
        let data = self.prepare(server, &[], None)?;
        let own = |path: &Path| -> io::Result<()> {
            let user = Uid::from_raw(rustix::process::geteuid().as_raw());
            let group = Gid::from_raw(rustix::process::getegid().as_raw());
            Ok(fchown(open_dir(path)?, Some(user), Some(group))?)
        };
        own(&data).map_err(|source| file_error(&data, source))?;
        let home = self.install_home(server);
        let script = home.join("script");
        for path in [self.installs(), &home, &script] {
            make_dir(path).map_err(|source| file_error(path, source))?;
        }
        self.forget_logs(server, install.asked)?;
        let file = script.join("install.sh");
        // Scripts written on Windows end their lines with two characters, of which the shell takes
        // one for part of the command.
        let text = install.script.replace("\r\n", "\n");
        replace(&file, text.as_bytes(), 0o700).map_err(|source| file_error(&file, source))?;
        Ok(InstallDirs { data, script })
    }

    /// Gives everything in the server's folder to the game's user.
    ///
    /// # Errors
    /// `Data`. Doing it again goes on where it stopped.
    pub fn finish_install(&self, server: ServerId) -> Result<(), InstallError> {
        self.prepare(server, &[], None)?;
        Ok(())
    }

    /// Writes the mark of a run that ended. Durable on return.
    ///
    /// # Errors
    /// `File`, `Mark`; the old mark stays.
    pub fn mark_install(
        &self,
        server: ServerId,
        record: &InstallRecord,
    ) -> Result<(), InstallError> {
        let home = self.install_home(server);
        for path in [self.installs(), &home] {
            make_dir(path).map_err(|source| file_error(path, source))?;
        }
        let bytes = record.to_record_bytes().map_err(InstallError::Mark)?;
        let path = home.join(MARK);
        replace(&path, &bytes, 0o600).map_err(|source| file_error(&path, source))
    }

    /// Reads the mark of a server. `None` when no run of it ended here.
    ///
    /// # Errors
    /// `File`, `Mark`.
    pub fn install_mark(&self, server: ServerId) -> Result<Option<InstallRecord>, InstallError> {
        let path = self.install_home(server).join(MARK);
        match fs::read(&path) {
            Ok(bytes) => {
                InstallRecord::from_record_bytes(&bytes).map(Some).map_err(InstallError::Mark)
            }
            Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(file_error(&path, source)),
        }
    }

    /// Reads all marks, for a node that may have lost its store. What cannot be read is left out.
    #[must_use]
    pub fn install_marks(&self) -> BTreeMap<ServerId, InstallRecord> {
        let Ok(entries) = fs::read_dir(self.installs()) else { return BTreeMap::new() };
        let servers = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        servers.filter_map(|server| Some((server, self.install_mark(server).ok()??))).collect()
    }

    /// Returns the log of a run.
    #[must_use]
    pub fn install_log(&self, server: ServerId, asked: Order) -> InstallLog {
        let home = self.install_home(server);
        let name = format!("log-{}.{}", asked.incarnation.0, asked.generation.0);
        InstallLog::new(home.join(&name), home.join(format!("{name}.1")))
    }

    /// Deletes what is kept of a server's runs. Harmless when nothing is.
    ///
    /// # Errors
    /// `File`; some of it may be gone.
    pub fn forget_installs(&self, server: ServerId) -> Result<(), InstallError> {
        let home = self.install_home(server);
        match fs::remove_dir_all(&home) {
            Err(err) if err.kind() != io::ErrorKind::NotFound => Err(file_error(&home, err)),
            _ => Ok(()),
        }
    }

    /// Returns the bytes that are free for the servers' files.
    ///
    /// # Errors
    /// `File`.
    pub fn free_bytes(&self) -> Result<u64, InstallError> {
        let path = self.servers();
        let found = rustix::fs::statvfs(path).map_err(|err| file_error(path, err.into()))?;
        Ok(found.f_bavail.saturating_mul(found.f_frsize))
    }

    /// Returns the bytes that a server's files take.
    ///
    /// # Errors
    /// `File`.
    pub fn used_bytes(&self, server: ServerId) -> Result<u64, InstallError> {
        let path = self.of(server);
        let size = crate::meter::disk_size(&path).map_err(|err| file_error(&path, err))?;
        Ok(size.bytes)
    }

    /// Moves the files out of the way by one rename, then deletes them.
    fn wipe(&self, server: ServerId) -> io::Result<()> {
        let gone = self.wiped(server);
        let is_absent = |err: &io::Error| err.kind() == io::ErrorKind::NotFound;
        let remove = || match fs::remove_dir_all(&gone) {
            Err(err) if !is_absent(&err) => Err(err),
            _ => Ok(()),
        };
        // Left by a wipe that was cut off.
        remove()?;
        match fs::rename(self.of(server), &gone) {
            Err(err) if !is_absent(&err) => Err(err),
            _ => remove(),
        }
    }

    /// Deletes logs of other runs than this.
    fn forget_logs(&self, server: ServerId, asked: Order) -> Result<(), InstallError> {
        let home = self.install_home(server);
        let log = self.install_log(server, asked);
        let entries = fs::read_dir(&home).map_err(|source| file_error(&home, source))?;
        for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if name.starts_with("log-") && !log.paths().contains(&&path) {
                fs::remove_file(&path).map_err(|source| file_error(&path, source))?;
            }
        }
        Ok(())
    }

    /// The folder of what is kept of a server's install script.
    pub(crate) fn install_home(&self, server: ServerId) -> PathBuf {
        self.installs().join(server.to_string())
    }
}

fn file_error(path: &Path, source: io::Error) -> InstallError {
    InstallError::File { path: path.to_owned(), source }
}

fn make_dir(path: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(err) if err.kind() != io::ErrorKind::AlreadyExists => Err(err),
        _ => Ok(()),
    }
}

/// Replaces a file as a whole; durable on return.
fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let new = path.with_extension("new");
    fs::remove_file(&new).or_else(|err| match err.kind() {
        io::ErrorKind::NotFound => Ok(()),
        _ => Err(err),
    })?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    match path.parent() {
        Some(folder) => fs::File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}
