//! Pure: typed tables over one ordered space of keys.
//!
//! All tables of a store share one physical map. The key of a pair is
//! `table id u16 big endian | encoded key`, so that the same layout fits etcd and FoundationDB.
//! An id is never reused for another meaning: it is the table's name on disk.

use super::codec::{Key, KeyPrefix};
use std::marker::PhantomData;
use std::ops::{Bound, RangeBounds};

/// A handle for the pairs of one type, made once as a constant.
pub struct Table<K, V> {
    def: TableDef,
    types: PhantomData<fn(K) -> V>,
}

/// A table without its types, for lists of all tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TableDef {
    /// Stands in front of each key.
    pub id: u16,
    /// Named in errors only; nothing stored depends on it.
    pub name: &'static str,
}

impl<K, V> Table<K, V> {
    /// Makes the handle. `id` must differ from that of every other table of the same store, which a
    /// test of each store checks with [`duplicate_table`].
    #[must_use]
    pub const fn new(id: u16, name: &'static str) -> Self {
        Self { def: TableDef { id, name }, types: PhantomData }
    }

    /// The table without its types.
    #[must_use]
    pub const fn def(&self) -> TableDef {
        self.def
    }
}

impl<K, V> Clone for Table<K, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K, V> Copy for Table<K, V> {}

impl<K, V> std::fmt::Debug for Table<K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.def.fmt(f)
    }
}

/// Returns two of `tables` that share an id or a name.
#[must_use]
pub fn duplicate_table(tables: &[TableDef]) -> Option<(TableDef, TableDef)> {
    tables.iter().enumerate().find_map(|(index, &one)| {
        let twin = |other: &&TableDef| other.id == one.id || other.name == one.name;
        tables[index + 1..].iter().find(twin).map(|&other| (one, other))
    })
}

/// A contiguous part of a table, in the order of its keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span<K> {
    /// First encoded key, without the table id.
    low: Vec<u8>,
    /// First encoded key after the span; `None` is the end of the table.
    high: Option<Vec<u8>>,
    key: PhantomData<fn() -> K>,
}

impl<K: Key> Span<K> {
    /// The whole table.
    #[must_use]
    pub fn all() -> Self {
        Self { low: Vec::new(), high: None, key: PhantomData }
    }

    /// The keys within `bounds`.
    #[must_use]
    pub fn keys(bounds: impl RangeBounds<K>) -> Self {
        let low = match bounds.start_bound() {
            Bound::Unbounded => Vec::new(),
            Bound::Included(key) => key.to_key_bytes(),
            Bound::Excluded(key) => successor(key.to_key_bytes()),
        };
        let high = match bounds.end_bound() {
            Bound::Unbounded => None,
            Bound::Included(key) => Some(successor(key.to_key_bytes())),
            Bound::Excluded(key) => Some(key.to_key_bytes()),
        };
        Self { low, high, key: PhantomData }
    }

    /// The keys that begin with the components of `prefix`.
    #[must_use]
    pub fn prefix<P: KeyPrefix<K>>(prefix: &P) -> Self {
        let low = prefix.to_key_bytes();
        Self { high: prefix_end(&low), low, key: PhantomData }
    }

    /// The part of the span above `key`: the next page after one that ended with `key`.
    #[must_use]
    pub fn after(mut self, key: &K) -> Self {
        self.low = self.low.max(successor(key.to_key_bytes()));
        self
    }

    /// The part of the span from `key` on.
    #[must_use]
    pub fn from(mut self, key: &K) -> Self {
        self.low = self.low.max(key.to_key_bytes());
        self
    }

    /// The part of the span below `key`.
    #[must_use]
    pub fn before(mut self, key: &K) -> Self {
        let key = key.to_key_bytes();
        self.high = Some(self.high.map_or_else(|| key.clone(), |high| high.min(key.clone())));
        self
    }

    /// The span in the store's space of keys: `low` included, `high` excluded.
    pub(super) fn raw(&self, table: TableDef) -> RawSpan {
        let low = raw_key(table, &self.low);
        let high = self.high.as_ref().map_or_else(
            || table.id.checked_add(1).map(|id| id.to_be_bytes().to_vec()),
            |high| Some(raw_key(table, high)),
        );
        RawSpan { low, high }
    }
}

/// Part of the store's space of keys: `low` included, `high` excluded, `None` is the end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RawSpan {
    /// First key.
    pub low: Vec<u8>,
    /// First key after the span.
    pub high: Option<Vec<u8>>,
}

impl RawSpan {
    pub(super) fn point(key: &[u8]) -> Self {
        Self { low: key.to_vec(), high: Some(successor(key.to_vec())) }
    }

    /// Everything above `key`, in all tables.
    pub(super) fn above(key: &[u8]) -> Self {
        Self { low: successor(key.to_vec()), high: None }
    }

    /// Whether no key lies in the span. Maps panic on such bounds, so it is asked first.
    pub(super) fn is_empty(&self) -> bool {
        self.high.as_ref().is_some_and(|high| *high <= self.low)
    }

    /// Whether `key` lies in the span.
    #[must_use]
    pub fn contains(&self, key: &[u8]) -> bool {
        key >= self.low.as_slice() && self.high.as_ref().is_none_or(|high| key < high.as_slice())
    }

    pub(super) fn bounds(&self) -> (Bound<&[u8]>, Bound<&[u8]>) {
        let high = self.high.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        (Bound::Included(self.low.as_slice()), high)
    }
}

pub(super) fn raw_key(table: TableDef, key: &[u8]) -> Vec<u8> {
    let mut raw = Vec::with_capacity(2 + key.len());
    raw.extend_from_slice(&table.id.to_be_bytes());
    raw.extend_from_slice(key);
    raw
}

/// The smallest byte string above `bytes`.
fn successor(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.push(0);
    bytes
}

/// The smallest byte string above everything that begins with `prefix`; `None` when there is none.
fn prefix_end(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|&byte| byte != 0xff)?;
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    Some(end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const EDGE: Table<(u8, u8), u64> = Table::new(0xffff, "edge");

    #[test]
    fn duplicate_ids_and_names_are_found() {
        let (a, b) = (TableDef { id: 1, name: "a" }, TableDef { id: 2, name: "b" });
        let (same_id, same_name) = (TableDef { id: 1, name: "c" }, TableDef { id: 3, name: "b" });
        assert_eq!(duplicate_table(&[a, b]), None);
        assert_eq!(duplicate_table(&[a, b, same_id]), Some((a, same_id)));
        assert_eq!(duplicate_table(&[a, b, same_name]), Some((b, same_name)));
    }

    proptest! {
        #[test]
        fn spans_hold_exactly_the_keys_they_name(
            key: (u8, u8), low: (u8, u8), high: (u8, u8), first: u8
        ) {
            let raw = raw_key(EDGE.def(), &key.to_key_bytes());
            let holds = |span: Span<(u8, u8)>| {
                let span = span.raw(EDGE.def());
                assert!(!(span.is_empty() && span.contains(&raw)));
                span.contains(&raw)
            };
            prop_assert!(holds(Span::all()));
            prop_assert_eq!(holds(Span::keys(low..high)), (low..high).contains(&key));
            prop_assert_eq!(holds(Span::keys(low..=high)), (low..=high).contains(&key));
            prop_assert_eq!(holds(Span::prefix(&(first,))), key.0 == first);
            prop_assert_eq!(
                holds(Span::prefix(&(first,)).after(&low)), key.0 == first && key > low
            );
            prop_assert_eq!(
                holds(Span::prefix(&(first,)).before(&high)), key.0 == first && key < high
            );
            prop_assert_eq!(holds(Span::all().from(&low).before(&high)), low <= key && key < high);
        }
    }
}
