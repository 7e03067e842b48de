//! How pairs lie in redb.

use super::fault::{Fault, guarded};
use super::table::RawSpan;
use super::txn::{Order, RawPair, Source};
use redb::{Durability, ReadableTable, TableDefinition, WriteTransaction};

/// All tables of the store.
pub(super) const PAIRS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("pairs");
/// What is true of the file and not of a table: the format in backups, and the write probe.
pub(super) const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");

/// The key of `meta` that is written to prove that a file can be.
pub(super) const META_PROBE: &str = "probe";
/// The key of `meta` where a backup keeps what `FORMAT` says in a directory.
pub(super) const META_FORMAT: &str = "format";

/// Two-phase commit needs no trust in checksums, and quick-repair makes reopening after a crash a
/// matter of milliseconds whatever the size.
pub(super) fn durable(mut transaction: WriteTransaction) -> WriteTransaction {
    // Refused only after savepoints of the same transaction, and there are none.
    transaction.set_durability(Durability::Immediate).ok();
    transaction.set_two_phase_commit(true);
    transaction.set_quick_repair(true);
    transaction
}

/// A redb table as a source.
pub(super) struct Pairs<T>(pub(super) T);

impl<T: ReadableTable<&'static [u8], &'static [u8]>> Source for Pairs<T> {
    fn raw_get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        guarded(|| Ok(self.0.get(key)?.map(|value| value.value().to_vec())))
    }

    fn raw_scan(&self, span: &RawSpan, order: Order, limit: usize) -> Result<Vec<RawPair>, Fault> {
        if span.is_empty() {
            return Ok(Vec::new());
        }
        guarded(|| {
            let mut pairs = self.0.range::<&[u8]>(span.bounds())?;
            let next = || match order {
                Order::Ascending => pairs.next(),
                Order::Descending => pairs.next_back(),
            };
            std::iter::from_fn(next)
                .take(limit)
                .map(|pair| {
                    let (key, value) = pair?;
                    Ok((key.value().to_vec(), value.value().to_vec()))
                })
                .collect()
        })
    }
}
