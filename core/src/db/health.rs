//! How a store is doing: what its owner shows, and what readers share with the engine.

use super::fault::{Fault, guarded};
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
    pub(super) commits: watch::Sender<u64>,
}

impl Shared {
    pub(super) fn new() -> Self {
        Self {
            database: RwLock::new(Err(Fault::Reopening)),
            health: watch::Sender::new(StoreHealth::Ok),
            commits: watch::Sender::new(0),
        }
    }

    /// Replaces the database; the old one is closed before this returns.
    pub(super) fn set(&self, database: Result<Database, Fault>) {
        *self.database.write().unwrap_or_else(PoisonError::into_inner) = database;
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

    fn with<T>(&self, f: impl FnOnce(&Database) -> Result<T, Fault>) -> Result<T, Fault> {
        match &*self.database.read().unwrap_or_else(PoisonError::into_inner) {
            Ok(database) => guarded(|| f(database)),
            Err(fault) => Err(fault.clone()),
        }
    }
}
