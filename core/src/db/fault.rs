//! Why the store cannot work: one cloneable value, told to every caller it concerns.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// Linux reports these by number; `ErrorKind` has names for them, but not for `EDQUOT` everywhere.
const EDQUOT: i32 = 122;

/// A failure of the storage below the tables. None of them says that a record is wrong.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Fault {
    /// No space, or no quota, is left.
    #[error("the disk is full")]
    Full,
    /// The file system refuses every write.
    #[error("the disk is read-only")]
    ReadOnly,
    /// The file is not what was written. Waiting does not cure it.
    #[error("the store is corrupt: {what}")]
    Corrupt {
        /// What was found.
        what: String,
    },
    /// The file was written by a newer release of the storage engine.
    #[error("the store has file format {found}, this release knows {known}")]
    Newer {
        /// Format version in the file.
        found: u8,
        /// The format version that this release writes.
        known: u8,
    },
    /// The device or file system failed.
    #[error("the disk failed")]
    Io(#[source] Arc<io::Error>),
    /// Closed after an earlier failure; it is being reopened.
    #[error("the store is being reopened after a failure")]
    Reopening,
    /// The store was closed for good.
    #[error("the store is closed")]
    Closed,
}

/// The file format of the storage engine in use: redb's version 3, written since redb 3.
pub(super) const ENGINE_FORMAT: u8 = 3;

impl Fault {
    pub(super) fn corrupt(what: impl Into<String>) -> Self {
        Self::Corrupt { what: what.into() }
    }
}

/// Runs a call into the storage engine and turns a panic into damage: redb takes what it reads from
/// a page at its word, and computes and indexes with it.
pub(super) fn guarded<T>(call: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
    catch_unwind(AssertUnwindSafe(call))
        .unwrap_or_else(|_| Err(Fault::corrupt("the storage engine panicked")))
}

impl From<io::Error> for Fault {
    fn from(err: io::Error) -> Self {
        match err.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full,
            io::ErrorKind::ReadOnlyFilesystem => Self::ReadOnly,
            // redb reports a wrong magic number as `InvalidData`; reading past the end of the file
            // means that the file was cut off.
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => {
                Self::corrupt(err.to_string())
            }
            _ if err.raw_os_error() == Some(EDQUOT) => Self::Full,
            _ => Self::Io(Arc::new(err)),
        }
    }
}

impl From<redb::StorageError> for Fault {
    fn from(err: redb::StorageError) -> Self {
        match err {
            redb::StorageError::Io(err) => err.into(),
            redb::StorageError::Corrupted(what) => Self::Corrupt { what },
            redb::StorageError::PreviousIo | redb::StorageError::DatabaseClosed => Self::Reopening,
            other => Self::Io(Arc::new(io::Error::other(other))),
        }
    }
}

impl From<redb::DatabaseError> for Fault {
    fn from(err: redb::DatabaseError) -> Self {
        match err {
            redb::DatabaseError::Storage(err) => err.into(),
            redb::DatabaseError::UpgradeRequired(found) => {
                Self::corrupt(format!("file format {found} is older than every release"))
            }
            other => Self::Io(Arc::new(io::Error::other(other))),
        }
    }
}

impl From<redb::TransactionError> for Fault {
    fn from(err: redb::TransactionError) -> Self {
        match err {
            redb::TransactionError::Storage(err) => err.into(),
            other => Self::Io(Arc::new(io::Error::other(other))),
        }
    }
}

impl From<redb::TableError> for Fault {
    fn from(err: redb::TableError) -> Self {
        match err {
            redb::TableError::Storage(err) => err.into(),
            other => Self::corrupt(other.to_string()),
        }
    }
}

impl From<redb::CommitError> for Fault {
    fn from(err: redb::CommitError) -> Self {
        match err {
            redb::CommitError::Storage(err) => err.into(),
            other => Self::Io(Arc::new(io::Error::other(other))),
        }
    }
}
