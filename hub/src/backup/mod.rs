//! Copies of the hub's store: made while it runs, verified, and only then promised to the nodes.
//!
//! A node deletes a fact only when it is in custody *and* in a verified copy. So each copy ends with
//! publishing how far each stream is in it; the nodes are told with their next ack. A copy holds
//! everything that makes this hub this hub, its keys included, in one file of mode 0600.
//!
//! A restore makes a new life of the database: its *incarnation* grows, so that every wish made
//! afterwards outranks what any node holds. Wishes that the copy is too old for are taken over from
//! the nodes when they say hello.

mod keep;
mod restore;
#[cfg(test)]
mod tests;

pub(crate) use keep::StatusCell;
pub use keep::{BackupStatus, keep_backups};
pub use restore::{RestoreError, Restored, restore};

use crate::{
    Hub, HubError,
    store::{KIND, OPEN_EPOCHS, STREAMS, StreamKey},
};
use mamba_core::{
    clock::UnixMs,
    db::{self, BackupError, BackupReport, Snapshot, Span, TxnError},
    ids::NodeId,
    seq::{Epoch, Seq},
};
use std::{collections::BTreeSet, path::PathBuf};

/// Most open streams of one hub: two for each of 10,000 nodes.
const STREAMS_MAX: usize = 20_000;
/// Streams whose promise is written in one transaction.
const PROMISES_AT_ONCE: usize = 500;

/// Why there is no backup, or no promise.
#[derive(Debug, thiserror::Error)]
pub enum MakeBackupError {
    /// The copy could not be made or differs. Nothing is left of it.
    #[error("backup could not be made")]
    Copy(#[source] BackupError),
    /// The copy is good, but how far it reaches could not be written down; nodes keep their facts
    /// until the next one.
    #[error("backup was made, but nodes could not be told how far it reaches")]
    Promise(#[source] HubError),
    /// The thread that copies ended.
    #[error("backup was interrupted")]
    Interrupted,
}

impl Hub {
    /// Copies the store into the new file `target`, verifies the copy, and lets nodes delete what is
    /// in it. Cancelled, the copy may still be finished, without the promise.
    ///
    /// # Errors
    /// See [`MakeBackupError`].
    pub async fn back_up(&self, target: PathBuf) -> Result<BackupReport, MakeBackupError> {
        let store = self.store().clone();
        let copy = move || db::backup(&store, KIND, &target, reached);
        let copied = tokio::task::spawn_blocking(copy).await;
        let copied = copied.map_err(|_| MakeBackupError::Interrupted)?;
        let (report, reached) = copied.map_err(MakeBackupError::Copy)?;
        self.promise(reached).await.map_err(MakeBackupError::Promise)?;
        Ok(report)
    }

    /// Writes down how far a verified copy reaches, and wakes the nodes that this concerns.
    pub(crate) async fn promise(&self, reached: Vec<(StreamKey, Seq)>) -> Result<(), HubError> {
        for part in reached.chunks(PROMISES_AT_ONCE) {
            let part = part.to_vec();
            let nodes: BTreeSet<NodeId> = self
                .write(move |txn| {
                    let mut nodes = BTreeSet::new();
                    for (key, seq) in &part {
                        let Some(mut record) = txn.get(STREAMS, key)? else { continue };
                        if *seq > record.backup_watermark {
                            assert!(
                                *seq <= record.watermark,
                                "a copy holds no more than the store"
                            );
                            record.backup_watermark = *seq;
                            txn.put(STREAMS, key, &record)?;
                            nodes.insert(key.0);
                        }
                    }
                    Ok(nodes)
                })
                .await?;
            nodes.into_iter().for_each(|node| self.live().changed(node));
        }
        Ok(())
    }
}

/// Returns how far each open stream is in custody in this snapshot.
fn reached(txn: &impl Snapshot) -> Result<Vec<(StreamKey, Seq)>, TxnError> {
    let mut reached = Vec::new();
    for ((node, number), epoch) in txn.range(OPEN_EPOCHS, Span::all(), STREAMS_MAX)? {
        let key = (node, number, Epoch(epoch));
        reached.extend(txn.get(STREAMS, &key)?.map(|record| (key, record.watermark)));
    }
    Ok(reached)
}

/// Name of the automatic backup of a time.
fn file_name(at: UnixMs) -> String {
    format!("hub-{}.backup", at.0)
}

/// Reads the time from the name of an automatic backup.
fn time_of(name: &str) -> Option<UnixMs> {
    let number = name.strip_prefix("hub-")?.strip_suffix(".backup")?;
    number.parse().ok().map(UnixMs)
}
