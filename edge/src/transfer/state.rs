//! What a node keeps of data that comes to it: `arrivals/<server>/`.

use super::MoveError;
use crate::data::DataDirs;
use mamba_core::{
    db::Record as _,
    ids::{ServerId, TransferId},
    record,
};
use mamba_wire::node::moving::Place;
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

/// One server's data on its way to this node, or come that way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arrival {
    /// By which hand-over.
    pub transfer: TransferId,
    /// Which copy of it.
    pub copy: u32,
    /// Most bytes that it may have.
    pub most_bytes: u64,
    /// How much came, and is synced.
    pub came: Came,
}
record!(Arrival, 1);

/// How much of a server's data came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Came {
    /// Everything before a place; nothing without one.
    UpTo {
        /// The place.
        place: Option<Place>,
        /// Bytes of content before it.
        bytes: u64,
    },
    /// Everything.
    Whole {
        /// Bytes of content.
        bytes: u64,
    },
    /// Everything, and it is the server's folder now, or becomes it in this moment.
    Sealed,
}

impl Arrival {
    /// Begins with nothing.
    #[must_use]
    pub fn new(transfer: TransferId, copy: u32, most_bytes: u64) -> Self {
        Self { transfer, copy, most_bytes, came: Came::UpTo { place: None, bytes: 0 } }
    }
}

impl DataDirs {
    /// Where data comes in.
    pub(super) fn arriving(&self, server: ServerId) -> PathBuf {
        self.arrival_home(server).join("data")
    }

    /// Reads what is kept of an arrival. One that cannot be read is none: it begins anew.
    pub(super) fn arrival(&self, server: ServerId) -> Result<Option<Arrival>, MoveError> {
        match fs::read(self.arrival_home(server).join("state")) {
            Ok(bytes) => Ok(Arrival::from_record_bytes(&bytes).ok()),
            Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(err) => Err(MoveError::io("reading", b"state", err)),
        }
    }

    /// Keeps how far an arrival is. Durable on return.
    pub(super) fn keep_arrival(
        &self,
        server: ServerId,
        arrival: &Arrival,
    ) -> Result<(), MoveError> {
        let failed = |err| MoveError::io("writing", b"state", err);
        let bytes = arrival
            .to_record_bytes()
            .map_err(|err| failed(io::Error::new(io::ErrorKind::InvalidData, err)))?;
        let home = self.arrival_home(server);
        let (state, new) = (home.join("state"), home.join("state.new"));
        let write = || {
            make(self.arrivals())?;
            make(&home)?;
            let mut file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&new)?;
            file.write_all(&bytes)?;
            file.sync_all()?;
            fs::rename(&new, &state)?;
            File::open(&home)?.sync_all()
        };
        write().map_err(failed)
    }

    /// Makes an empty place for data, whatever was there.
    pub(super) fn begin_arrival(
        &self,
        server: ServerId,
        arrival: &Arrival,
    ) -> Result<(), MoveError> {
        let data = self.arriving(server);
        remove(&data)?;
        self.keep_arrival(server, arrival)?;
        make(&data).map_err(|err| MoveError::io("making", b"data", err))
    }

    /// Makes what came the server's folder. Doing it again finds that it is.
    pub(super) fn settle_arrival(&self, server: ServerId) -> Result<(), MoveError> {
        let failed = |err| MoveError::io("moving", b"data", err);
        match fs::rename(self.arriving(server), self.of(server)) {
            Err(err) if err.kind() == io::ErrorKind::NotFound => {}
            result => result.map_err(failed)?,
        }
        let synced = [self.servers(), &self.arrival_home(server)]
            .into_iter()
            .try_for_each(|folder| File::open(folder)?.sync_all());
        synced.map_err(failed)
    }

    /// Removes everything of an arrival but the server's folder.
    pub(super) fn forget_arrival(&self, server: ServerId) -> Result<(), MoveError> {
        remove(&self.arrival_home(server))
    }
}

/// Removes a folder with everything in it. Harmless when it is gone.
pub(super) fn remove(path: &Path) -> Result<(), MoveError> {
    match fs::remove_dir_all(path) {
        Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result.map_err(|err| MoveError::io("removing", b"data", err)),
    }
}

fn make(path: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(err) if err.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        result => result,
    }
}
