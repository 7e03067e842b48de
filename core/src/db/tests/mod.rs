//! Tests of the store as a whole.

use super::*;

mod backup;
mod crash;
mod dir;
mod disk;
mod store;
mod txn;

/// A name and how often it was written.
pub(super) const COUNTS: Table<String, u64> = Table::new(1, "counts");
/// Rows of a group.
pub(super) const ROWS: Table<(u32, u32), Vec<u8>> = Table::new(2, "rows");
pub(super) const KIND: StoreKind = StoreKind { name: "test", version: 3 };

/// Runs a future on a runtime of its own.
pub(super) fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// A directory with a store that has its own thread.
pub(super) fn open_in(path: &std::path::Path) -> Store {
    let dir = DataDir::open(path, KIND).unwrap();
    Store::open(&dir, 1 << 20, StoreOptions::EDGE).unwrap()
}

/// Adds one to a count and returns it.
pub(super) fn count_up(txn: &mut Txn<'_>, name: &str) -> Result<u64, TxnError> {
    let name = name.to_owned();
    let count = txn.get(COUNTS, &name)?.unwrap_or(0) + 1;
    txn.put(COUNTS, &name, &count)?;
    Ok(count)
}

/// The value of a count.
pub(super) fn count_of(store: &Store, name: &str) -> Option<u64> {
    store.read(|txn| txn.get(COUNTS, &name.to_owned())).unwrap()
}
