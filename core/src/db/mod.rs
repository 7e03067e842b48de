//! Ordered key-value storage: typed tables, small atomic transactions, versioned records.
//!
//! One redb file per data directory, one writer with group commit, and a reply only after the
//! commit is on disk. Data flows as the modules are listed:
//!
//! - [`Key`] and [`Record`] turn values into bytes, [`Table`] says which belong together;
//! - [`Store::write`] runs a closure over a [`Txn`], [`Store::read`] one over a [`ReadTxn`], both of
//!   which are a [`Snapshot`];
//! - [`DataDir`] owns the directory, [`StoreHealth`] says how the disk is doing, [`backup`] and
//!   [`restore`] make and take verified copies.
//!
//! Nothing above this module knows redb, and nothing in the interface would keep a store on etcd or
//! FoundationDB from taking its place: closures can be run again, transactions are bounded
//! ([`TXN_OPS_AIM`]), read sets are recorded, and a commit may end unknown.

mod codec;
mod keys;
mod record;
mod table;
mod fault;
mod txn;
mod disk;
mod overlay;
mod pairs;
mod health;
mod follow;
mod engine;
mod writer;
mod store;
mod dir;
mod backup;
#[cfg(any(test, feature = "test-support"))]
pub mod sim;
#[cfg(test)]
mod tests;

pub use backup::{BackupError, BackupReport, backup, restore};
pub use codec::{Key, KeyError, KeyPrefix};
pub use dir::{DataDir, DirError, StoreKind};
pub use disk::{Disk, FileDisk};
pub use engine::StoreOptions;
pub use fault::Fault;
pub use follow::{ChangedKey, Followed, Follower};
pub use health::StoreHealth;
pub use record::{Record, RecordError, decode_postcard, encode_postcard};
pub use store::{Rider, Store, WriteError, riding};
pub use table::{RawSpan, Span, Table, TableDef, duplicate_table};
pub use txn::{
    Order, RawPair, ReadTxn, Snapshot, Source, TXN_BYTES_AIM, TXN_OPS_AIM, Txn, TxnError, TxnLimits,
};
