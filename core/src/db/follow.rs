//! Tells who follows a table which keys of it the commits changed.
//!
//! Only keys go out: a follower reads what it needs from a snapshot, where it also finds what came
//! after. The writer never waits for a follower; one that is too slow learns that it missed
//! something, and reads everything again.

use super::codec::Key;
use super::table::{Table, TableDef};
use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError, RwLock};
use tokio::sync::broadcast::{self, error::RecvError};

/// Commits that a follower may be behind. At 200 commits in a second it has more than a second;
/// above it the oldest are dropped for that follower, who is told.
const COMMITS_MAX: usize = 256;

/// A key that a commit put or deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangedKey {
    table: u16,
    key: Vec<u8>,
}

impl ChangedKey {
    /// Returns the key if it is one of this table.
    #[must_use]
    pub fn of<K: Key, V>(&self, table: Table<K, V>) -> Option<K> {
        // What was encoded as a key of this table decodes as one.
        (self.table == table.def().id).then(|| K::from_key_bytes(&self.key).ok())?
    }
}

/// What a follower is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Followed {
    /// One commit changed these, in no order that means anything.
    Keys(Arc<[ChangedKey]>),
    /// Commits went by untold.
    Missed,
}

/// Follows some tables of a store.
pub struct Follower {
    tables: BTreeSet<u16>,
    commits: broadcast::Receiver<Arc<[ChangedKey]>>,
}

impl Follower {
    /// Waits for the next commit that changed a followed table; what is told is durable. `None` when
    /// the store is gone. Cancelled, nothing is lost.
    pub async fn next(&mut self) -> Option<Followed> {
        loop {
            match self.commits.recv().await {
                Ok(keys) if keys.iter().all(|key| self.tables.contains(&key.table)) => {
                    return Some(Followed::Keys(keys));
                }
                Ok(keys) => {
                    let own = keys.iter().filter(|key| self.tables.contains(&key.table));
                    let own: Arc<[ChangedKey]> = own.cloned().collect();
                    if !own.is_empty() {
                        return Some(Followed::Keys(own));
                    }
                }
                Err(RecvError::Lagged(_)) => return Some(Followed::Missed),
                Err(RecvError::Closed) => return None,
            }
        }
    }
}

/// The writer's side.
pub(super) struct Followers {
    /// Tables that anybody ever followed: a handful, named in the code of the followers.
    tables: RwLock<BTreeSet<u16>>,
    commits: broadcast::Sender<Arc<[ChangedKey]>>,
}

impl Followers {
    pub(super) fn new() -> Self {
        Self { tables: RwLock::default(), commits: broadcast::Sender::new(COMMITS_MAX) }
    }

    pub(super) fn follow(&self, tables: &[TableDef]) -> Follower {
        let tables: BTreeSet<u16> = tables.iter().map(|table| table.id).collect();
        self.tables.write().unwrap_or_else(PoisonError::into_inner).extend(&tables);
        Follower { tables, commits: self.commits.subscribe() }
    }

    /// Returns the key if somebody wants to hear of it.
    pub(super) fn note(&self, raw: &[u8]) -> Option<ChangedKey> {
        if self.commits.receiver_count() == 0 {
            return None;
        }
        let (table, key) = raw.split_first_chunk()?;
        let table = u16::from_be_bytes(*table);
        let tables = self.tables.read().unwrap_or_else(PoisonError::into_inner);
        tables.contains(&table).then(|| ChangedKey { table, key: key.to_vec() })
    }

    /// Tells what a commit changed.
    pub(super) fn tell(&self, keys: Vec<ChangedKey>) {
        if !keys.is_empty() {
            // An error means that nobody follows any more.
            self.commits.send(keys.into()).ok();
        }
    }
}
