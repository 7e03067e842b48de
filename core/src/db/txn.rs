//! Transactions: snapshots that are read, and an overlay of writes that is applied as a whole.
//!
//! Nothing here waits or reads a clock. A [`Txn`] changes nothing by itself: it collects writes over
//! a snapshot, and the store applies them atomically or not at all.

use super::codec::{Key, KeyError, KeyPrefix};
use super::fault::Fault;
use super::record::{Record, RecordError};
use super::table::{RawSpan, Span, Table, TableDef, raw_key};
use std::cell::RefCell;
use std::collections::BTreeMap;

/// What a transaction should stay below, so that it fits etcd (128 operations by default) and
/// FoundationDB (5 s, 10 MB, best below 1 MB) with room to spare.
pub const TXN_OPS_AIM: usize = 100;
/// See [`TXN_OPS_AIM`].
pub const TXN_BYTES_AIM: usize = 512 << 10;

/// Hard limits of one transaction; above them nothing is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TxnLimits {
    /// Number of keys put or deleted.
    pub ops_max: usize,
    /// Sum of the encoded keys and values put or deleted.
    pub bytes_max: usize,
}

impl TxnLimits {
    /// For an edge: five times the aim, because redb has no such limit and one activity batch with
    /// its state is the largest thing an edge writes.
    pub const EDGE: Self = Self { ops_max: 512, bytes_max: 1 << 20 };
    /// For a hub: an ingest batch is at most 256 facts, each with custody, ledger, coverage, bucket
    /// and index writes, in one transaction. A hub on etcd splits batches instead.
    pub const HUB: Self = Self { ops_max: 4_096, bytes_max: 4 << 20 };
}

/// Spans of a read set before it is folded into one.
const READ_SPANS_MAX: usize = 4_096;

const _: () = assert!(TXN_OPS_AIM <= TxnLimits::EDGE.ops_max);
const _: () = assert!(TXN_BYTES_AIM <= TxnLimits::EDGE.bytes_max);

/// Why a transaction could not read or take a write.
#[derive(Clone, Debug, thiserror::Error)]
pub enum TxnError {
    /// A stored key is not one of its table: corruption or a table id used twice.
    #[error("a key of table `{table}` could not be decoded")]
    Key {
        /// The table's name.
        table: &'static str,
        /// What is wrong with it.
        #[source]
        source: KeyError,
    },
    /// A stored value could not be decoded, or a new one not be encoded.
    #[error("a record of table `{table}` could not be converted")]
    Record {
        /// The table's name.
        table: &'static str,
        /// What is wrong with it.
        #[source]
        source: RecordError,
    },
    /// The transaction writes more than the store allows. Nothing of it will be applied.
    #[error(
        "transaction of {ops} writes and {bytes} bytes is too large, \
         the limit is {ops_max} writes and {bytes_max} bytes"
    )]
    TooLarge {
        /// Writes with the one that was refused.
        ops: usize,
        /// Bytes with the write that was refused.
        bytes: usize,
        /// The store's limit.
        ops_max: usize,
        /// The store's limit.
        bytes_max: usize,
    },
    /// The storage failed. Nothing of the transaction will be applied; it may be tried again.
    #[error("the store could not be read")]
    Storage(#[source] Fault),
}

impl From<Fault> for TxnError {
    fn from(fault: Fault) -> Self {
        Self::Storage(fault)
    }
}

/// Which end of a span a scan starts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Smallest key first.
    Ascending,
    /// Largest key first.
    Descending,
}

/// A pair of encoded key (with table id) and encoded value.
pub type RawPair = (Vec<u8>, Vec<u8>);

/// The pairs of a backend at one moment.
pub trait Source {
    /// Returns the value of one key.
    ///
    /// # Errors
    /// When the storage fails.
    fn raw_get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Fault>;

    /// Returns up to `limit` pairs of `span` in `order`.
    ///
    /// # Errors
    /// When the storage fails.
    fn raw_scan(&self, span: &RawSpan, order: Order, limit: usize) -> Result<Vec<RawPair>, Fault>;
}

/// One consistent view of the store, whether read-only ([`ReadTxn`]) or written to ([`Txn`]).
///
/// Code that only reads takes `&impl Snapshot` and then works in both.
pub trait Snapshot: Source {
    /// Returns the record of one key.
    ///
    /// # Errors
    /// `Record` when it cannot be decoded, `Storage` when it cannot be read.
    fn get<K: Key, V: Record>(&self, table: Table<K, V>, key: &K) -> Result<Option<V>, TxnError> {
        let value = self.raw_get(&raw_key(table.def(), &key.to_key_bytes()))?;
        value.map(|bytes| decode_value(table.def(), &bytes)).transpose()
    }

    /// Whether the key has a record, without decoding it.
    ///
    /// # Errors
    /// `Storage` when it cannot be read.
    fn contains<K: Key, V: Record>(&self, table: Table<K, V>, key: &K) -> Result<bool, TxnError> {
        Ok(self.raw_get(&raw_key(table.def(), &key.to_key_bytes()))?.is_some())
    }

    /// Returns the first `limit` pairs of `span`, ascending. The next page is
    /// `span.after(&last_key)`; fewer than `limit` pairs mean that there is none.
    ///
    /// # Errors
    /// `Key` or `Record` when a pair cannot be decoded, `Storage` when it cannot be read.
    fn range<K: Key, V: Record>(
        &self,
        table: Table<K, V>,
        span: Span<K>,
        limit: usize,
    ) -> Result<Vec<(K, V)>, TxnError> {
        self.scan(table, span, Order::Ascending, limit)
    }

    /// Returns the first `limit` pairs whose keys begin with `prefix`, ascending.
    ///
    /// # Errors
    /// As [`Snapshot::range`].
    fn prefix<K: Key, V: Record, P: KeyPrefix<K>>(
        &self,
        table: Table<K, V>,
        prefix: &P,
        limit: usize,
    ) -> Result<Vec<(K, V)>, TxnError> {
        self.scan(table, Span::prefix(prefix), Order::Ascending, limit)
    }

    /// Returns up to `limit` pairs of `span` from the end that `order` names.
    ///
    /// # Errors
    /// As [`Snapshot::range`].
    fn scan<K: Key, V: Record>(
        &self,
        table: Table<K, V>,
        span: Span<K>,
        order: Order,
        limit: usize,
    ) -> Result<Vec<(K, V)>, TxnError> {
        let pairs = self.raw_scan(&span.raw(table.def()), order, limit)?;
        pairs.iter().map(|pair| decode_pair(table.def(), pair)).collect()
    }

    /// Returns the pair with the smallest key of `span`.
    ///
    /// # Errors
    /// As [`Snapshot::range`].
    fn first<K: Key, V: Record>(
        &self,
        table: Table<K, V>,
        span: Span<K>,
    ) -> Result<Option<(K, V)>, TxnError> {
        Ok(self.scan(table, span, Order::Ascending, 1)?.pop())
    }

    /// Returns the pair with the largest key of `span`.
    ///
    /// # Errors
    /// As [`Snapshot::range`].
    fn last<K: Key, V: Record>(
        &self,
        table: Table<K, V>,
        span: Span<K>,
    ) -> Result<Option<(K, V)>, TxnError> {
        Ok(self.scan(table, span, Order::Descending, 1)?.pop())
    }
}

impl<T: Source + ?Sized> Snapshot for T {}

fn decode_value<V: Record>(table: TableDef, bytes: &[u8]) -> Result<V, TxnError> {
    V::from_record_bytes(bytes).map_err(|source| TxnError::Record { table: table.name, source })
}

fn decode_pair<K: Key, V: Record>(table: TableDef, pair: &RawPair) -> Result<(K, V), TxnError> {
    let key = pair.0.get(2..).unwrap_or_default();
    let key =
        K::from_key_bytes(key).map_err(|source| TxnError::Key { table: table.name, source })?;
    Ok((key, decode_value(table, &pair.1)?))
}

/// A read-only snapshot. Keep it for moments: an old snapshot keeps the file from reusing pages.
pub struct ReadTxn {
    source: Box<dyn Source>,
    /// The first failure of the storage, which the store has to hear of.
    fault: RefCell<Option<Fault>>,
}

impl ReadTxn {
    pub(super) fn new(source: Box<dyn Source>) -> Self {
        Self { source, fault: RefCell::default() }
    }

    pub(super) fn fault(&self) -> Option<Fault> {
        self.fault.borrow().clone()
    }

    fn note<T>(&self, result: Result<T, Fault>) -> Result<T, Fault> {
        result.inspect_err(|fault| {
            self.fault.borrow_mut().get_or_insert_with(|| fault.clone());
        })
    }
}

impl Source for ReadTxn {
    fn raw_get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        self.note(self.source.raw_get(key))
    }
    fn raw_scan(&self, span: &RawSpan, order: Order, limit: usize) -> Result<Vec<RawPair>, Fault> {
        self.note(self.source.raw_scan(span, order, limit))
    }
}

/// What a write transaction leaves: `None` deletes the key.
pub(super) type Overlay = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// A write transaction: an overlay over a snapshot. Its reads see its own writes.
pub struct Txn<'a> {
    source: &'a dyn Source,
    limits: TxnLimits,
    overlay: Overlay,
    bytes: usize,
    /// What was read from the snapshot, see [`Txn::reads`].
    reads: RefCell<Vec<RawSpan>>,
    /// The first failure that forbids applying the overlay, whatever the closure made of it.
    broken: RefCell<Option<TxnError>>,
}

impl<'a> Txn<'a> {
    pub(super) fn new(source: &'a dyn Source, limits: TxnLimits) -> Self {
        Self {
            source,
            limits,
            overlay: Overlay::new(),
            bytes: 0,
            reads: RefCell::default(),
            broken: RefCell::default(),
        }
    }

    /// Sets the record of `key`.
    ///
    /// # Errors
    /// `TooLarge` above the store's limits: then nothing of the transaction will be applied, even
    /// if the closure returns `Ok`. `Record` when the value cannot be encoded.
    pub fn put<K: Key, V: Record>(
        &mut self,
        table: Table<K, V>,
        key: &K,
        value: &V,
    ) -> Result<(), TxnError> {
        let value = value
            .to_record_bytes()
            .map_err(|source| TxnError::Record { table: table.def().name, source })?;
        self.write(raw_key(table.def(), &key.to_key_bytes()), Some(value))
    }

    /// Removes the record of `key`, if there is one.
    ///
    /// # Errors
    /// `TooLarge` as in [`Txn::put`].
    pub fn delete<K: Key, V: Record>(
        &mut self,
        table: Table<K, V>,
        key: &K,
    ) -> Result<(), TxnError> {
        self.write(raw_key(table.def(), &key.to_key_bytes()), None)
    }

    /// Returns how many more keys can be written before `TooLarge`.
    #[must_use]
    pub fn ops_left(&self) -> usize {
        self.limits.ops_max.saturating_sub(self.overlay.len())
    }

    /// What was read from the snapshot so far, one span per read that went past the overlay.
    ///
    /// A backend with several writers commits only if nothing in these spans changed since the
    /// snapshot, and else runs the closure again. redb has one writer and needs no check. After
    /// 4,096 spans they are folded into one over everything, which is safe and bounded.
    #[must_use]
    pub fn reads(&self) -> Vec<RawSpan> {
        self.reads.borrow().clone()
    }

    fn write(&mut self, key: Vec<u8>, value: Option<Vec<u8>>) -> Result<(), TxnError> {
        let size = |value: &Option<Vec<u8>>| key.len() + value.as_ref().map_or(0, Vec::len);
        let old = self.overlay.get(&key).map(size);
        let ops = self.overlay.len() + usize::from(old.is_none());
        let bytes = self.bytes - old.unwrap_or(0) + size(&value);
        let TxnLimits { ops_max, bytes_max } = self.limits;
        if ops > ops_max || bytes > bytes_max {
            let err = TxnError::TooLarge { ops, bytes, ops_max, bytes_max };
            self.broken.get_mut().get_or_insert_with(|| err.clone());
            return Err(err);
        }
        self.bytes = bytes;
        self.overlay.insert(key, value);
        Ok(())
    }

    /// Ends the transaction: its writes, or what forbids them.
    pub(super) fn finish(self) -> Result<Overlay, TxnError> {
        match self.broken.into_inner() {
            Some(err) => Err(err),
            None => Ok(self.overlay),
        }
    }

    fn note<T>(&self, result: Result<T, Fault>) -> Result<T, Fault> {
        result.inspect_err(|fault| {
            self.broken.borrow_mut().get_or_insert_with(|| fault.clone().into());
        })
    }

    fn note_read(&self, span: RawSpan) {
        let mut reads = self.reads.borrow_mut();
        if reads.len() < READ_SPANS_MAX {
            reads.push(span);
        } else {
            *reads = vec![RawSpan::default()];
        }
    }
}

impl Source for Txn<'_> {
    fn raw_get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        if let Some(written) = self.overlay.get(key) {
            return Ok(written.clone());
        }
        self.note_read(RawSpan::point(key));
        self.note(self.source.raw_get(key))
    }

    fn raw_scan(&self, span: &RawSpan, order: Order, limit: usize) -> Result<Vec<RawPair>, Fault> {
        if span.is_empty() || limit == 0 {
            return Ok(Vec::new());
        }
        let written: Vec<_> = self.overlay.range::<[u8], _>(span.bounds()).collect();
        // Each deleted key can hide one stored pair, so that many more are asked for.
        let hidden = written.iter().filter(|(_, value)| value.is_none()).count();
        let stored = self.note(self.source.raw_scan(span, order, limit.saturating_add(hidden)))?;
        self.note_read(span.clone());
        let mut merged: BTreeMap<Vec<u8>, Vec<u8>> = stored.into_iter().collect();
        for (key, value) in written {
            match value {
                Some(value) => merged.insert(key.clone(), value.clone()),
                None => merged.remove(key),
            };
        }
        Ok(match order {
            Order::Ascending => merged.into_iter().take(limit).collect(),
            Order::Descending => merged.into_iter().rev().take(limit).collect(),
        })
    }
}
