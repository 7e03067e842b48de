//! How a store is doing: what its owner shows, and what readers share with the engine.

use super::fault::{Fault, guarded};
use super::follow::Followers;
use super::pairs::{PAIRS, Pairs, durable};
use super::txn::ReadTxn;
use redb::{Database, ReadableDatabase, WriteTransaction};
use std::sync::{PoisonError, RwLock};
use tokio::sync::watch;

/// How the store's disk is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreHealth {
    /// Reads and writes work.
    Ok,
    /// The disk is full.
    Full {
        /// Whether writes still work, on the space of the ballast that was given up. Without it
        /// writes are refused, or tried and mostly fail; those that free something may succeed.
        can_write: bool,
    },
    /// Reads and writes work, but the ballast for a full disk could not be made, for another reason
    /// than space.
    NoBallast {
        /// What the disk said.
        error: String,
    },
    /// The disk refuses writes. Reads work.
    ReadOnly,
    /// The file is not what was written. Reads may fail.
    Corrupt {
        /// What was found.
        what: String,
    },
    /// The disk fails otherwise.
    Failing {
        /// What it said, with causes.
        error: String,
        /// Failed attempts to reopen since it last worked.
        attempts: u32,
    },
    /// The store was closed.
    Closed,
}

impl std::fmt::Display for StoreHealth {
    /// One line for people, without what it means for whoever uses the store.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ok => f.write_str("works"),
            Self::Full { can_write: true } => f.write_str("disk is full, going on with a reserve"),
            Self::Full { can_write: false } => f.write_str("disk is full"),
            Self::NoBallast { error } => write!(f, "works, but has no reserve: {error}"),
            Self::ReadOnly => f.write_str("disk is read-only"),
            Self::Corrupt { what } => write!(f, "is corrupt: {what}"),
            Self::Failing { error, attempts } => {
                write!(f, "fails ({attempts} attempts to reopen it): {error}")
            }
            Self::Closed => f.write_str("is closed"),
        }
    }
}

impl StoreHealth {
    /// Whether a write has a chance.
    #[must_use]
    pub fn can_write(&self) -> bool {
        matches!(self, Self::Ok | Self::NoBallast { .. } | Self::Full { can_write: true })
    }
}

/// What the engine shares with readers.
pub(super) struct Shared {
    /// Without a database, why there is none. Locked only for moments, never while a closure runs.
    database: RwLock<Result<Database, Fault>>,
    pub(super) health: watch::Sender<StoreHealth>,
    revision: watch::Sender<u64>,
    pub(super) followers: Followers,
}

impl Shared {
    pub(super) fn new() -> Self {
        Self {
            database: RwLock::new(Err(Fault::Reopening)),
            health: watch::Sender::new(StoreHealth::Ok),
            revision: watch::Sender::new(0),
            followers: Followers::new(),
        }
    }

    /// Replaces the database; the old one is closed before this returns.
    pub(super) fn set(&self, database: Result<Database, Fault>) {
        *self.database.write().unwrap_or_else(PoisonError::into_inner) = database;
        // A commit of which nobody knew may be in it.
        self.move_revision();
    }

    /// Says that readers may find something else from now on. Called once they do, and before anybody is
    /// told of the change.
    pub(super) fn move_revision(&self) {
        self.revision.send_modify(|revision| *revision += 1);
    }

    pub(super) fn is_open(&self) -> bool {
        self.database.read().unwrap_or_else(PoisonError::into_inner).is_ok()
    }

    pub(super) fn begin_write(&self) -> Result<WriteTransaction, Fault> {
        self.with(|database| Ok(durable(database.begin_write()?)))
    }

    pub(super) fn begin_read(&self) -> Result<ReadTxn, Fault> {
        let pairs = self.with(|database| Ok(database.begin_read()?.open_table(PAIRS)?))?;
        Ok(ReadTxn::new(Box::new(Pairs(pairs))))
    }

    pub(super) fn revision(&self) -> watch::Receiver<u64> {
        self.revision.subscribe()
    }

    fn with<T>(&self, f: impl FnOnce(&Database) -> Result<T, Fault>) -> Result<T, Fault> {
        match &*self.database.read().unwrap_or_else(PoisonError::into_inner) {
            Ok(database) => guarded(|| f(database)),
            Err(fault) => Err(fault.clone()),
        }
    }
}
