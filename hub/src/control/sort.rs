//! Pure: lists in the order that is asked for.
//!
//! Each list has an order of its own, that of its keys, and is read in it from a cursor on. In another order, or
//! from the end, all of it is looked at for each page, and what belongs on the page is kept: never more
//! rows than that. The place of a row is what it is sorted by and its key, which decides between equals. A
//! cursor is the place of the last row: it stays good when that row changes or goes, and a row that keeps
//! its place is on one page only, whatever happens to others.

use super::Cut;
use crate::HubError;
use mamba_core::db::{Key, Span};
use mamba_wire::api::{Page, PageQuery};
use std::collections::BTreeMap;

/// Rows that a page in another order looks at: a longer list would hold up everything else while it is
/// read, and is given in its own order, or by a filter that reads less.
const ROWS_MAX: usize = 100_000;
/// Rows read in one step.
const STEP: usize = 256;
/// Bytes of what a row is sorted by that count, so that a cursor stays short. Of longer ones that begin
/// alike the keys decide.
const PLACE_BYTES_MAX: usize = 64;

/// Returns bytes whose order is that of the rows.
pub(crate) type PlaceOf<V> = fn(&V) -> Vec<u8>;
/// What a row is sorted by, and its key.
type Place<K> = (Vec<u8>, K);

/// Returns the keys behind one, or all.
pub(crate) fn behind<K: Key>(after: Option<&K>) -> Span<K> {
    after.map_or_else(Span::all, |after| Span::all().after(after))
}

/// The order of a list.
pub(crate) struct Sort<V> {
    /// That of the keys without.
    place: Option<PlaceOf<V>>,
    from_end: bool,
}

/// What belongs on one page, out of rows that come in any order.
pub(crate) struct Sorted<K, V> {
    sort: Sort<V>,
    cut: Cut<Place<K>>,
    kept: BTreeMap<Place<K>, V>,
    looked_at: usize,
}

impl<V> Sort<V> {
    /// Reads the `sort` of a query: a name, with `-` in front from the end. `own` is the name of the order
    /// of the keys, which is that of a query without.
    ///
    /// # Errors
    /// Names `sort`.
    pub(crate) fn read(
        text: Option<&str>,
        own: &str,
        others: &[(&str, PlaceOf<V>)],
    ) -> Result<Self, HubError> {
        let text = text.unwrap_or(own);
        let (name, from_end) = text.strip_prefix('-').map_or((text, false), |name| (name, true));
        let place = others.iter().find(|(other, _)| *other == name).map(|(_, place)| *place);
        if place.is_none() && name != own {
            let names = std::iter::once(&own).chain(others.iter().map(|(other, _)| other));
            let names = names.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
            let rule = format!("must be one of {names}, with `-` in front from the end");
            return Err(HubError::invalid("sort", rule));
        }
        Ok(Self { place, from_end })
    }

    /// Whether it is the list's own order.
    pub(crate) fn is_own(&self) -> bool {
        self.place.is_none() && !self.from_end
    }

    fn place(&self, row: &V) -> Vec<u8> {
        let mut place = self.place.map(|place| place(row)).unwrap_or_default();
        place.truncate(PLACE_BYTES_MAX);
        place
    }

    /// Makes a page of those rows that fit. `read` gives up to so many rows behind a key, in the order of
    /// keys, and fewer at the end only. In the list's own order a page with a filter may be short, or
    /// empty, and have a next one all the same.
    ///
    /// # Errors
    /// `Invalid` for the query, or for `sort` of a list that is too long; what the functions say.
    pub(crate) fn page<K: Key + Ord + Clone, T, E: From<HubError>>(
        self,
        query: &PageQuery,
        is_filtered: bool,
        mut read: impl FnMut(Option<&K>, usize) -> Result<Vec<(K, V)>, E>,
        mut fits: impl FnMut(&K, &V) -> Result<bool, E>,
        mut show: impl FnMut(&K, V) -> Result<T, E>,
    ) -> Result<Page<T>, E> {
        if self.is_own() {
            let cut = Cut::<K>::new(query)?;
            let read = |most| read(cut.after.as_ref(), most);
            return cut.sift(is_filtered, read, |key, row| {
                fits(key, &row)?.then(|| show(key, row)).transpose()
            });
        }
        let mut sorted = Sorted::new(self, query)?;
        let mut after = None;
        loop {
            let rows = read(after.as_ref(), STEP)?;
            sorted.look_at(rows.len())?;
            let is_last = rows.len() < STEP;
            after = rows.last().map(|(key, _)| key.clone());
            for (key, row) in rows {
                if fits(&key, &row)? {
                    sorted.offer(key, row);
                }
            }
            if is_last {
                return sorted.page(show);
            }
        }
    }
}

impl<K: Key + Ord, V> Sorted<K, V> {
    /// Checks a query.
    ///
    /// # Errors
    /// Names `after` or `limit`.
    pub(crate) fn new(sort: Sort<V>, query: &PageQuery) -> Result<Self, HubError> {
        Ok(Self { sort, cut: Cut::new(query)?, kept: BTreeMap::new(), looked_at: 0 })
    }

    /// Counts rows that were read.
    ///
    /// # Errors
    /// Names `sort` when they are too many.
    pub(crate) fn look_at(&mut self, rows: usize) -> Result<(), HubError> {
        self.looked_at += rows;
        if self.looked_at > ROWS_MAX {
            let rule = format!("must be left out for a list of more than {ROWS_MAX}");
            return Err(HubError::invalid("sort", rule));
        }
        Ok(())
    }

    /// Keeps a row when it is behind the cursor and among the first of those.
    pub(crate) fn offer(&mut self, key: K, row: V) {
        let place = (self.sort.place(&row), key);
        let is_before = self.cut.after.as_ref().is_some_and(|after| match self.sort.from_end {
            false => place <= *after,
            true => place >= *after,
        });
        if is_before {
            return;
        }
        self.kept.insert(place, row);
        if self.kept.len() > self.cut.fetch() {
            match self.sort.from_end {
                false => self.kept.pop_last(),
                true => self.kept.pop_first(),
            };
        }
    }

    /// Makes the page of what was kept.
    ///
    /// # Errors
    /// What `show` says.
    pub(crate) fn page<T, E>(
        self,
        mut show: impl FnMut(&K, V) -> Result<T, E>,
    ) -> Result<Page<T>, E> {
        let mut rows: Vec<(Place<K>, V)> = self.kept.into_iter().collect();
        if self.sort.from_end {
            rows.reverse();
        }
        let mut found = Vec::with_capacity(rows.len());
        for (place, row) in rows {
            let item = show(&place.1, row)?;
            found.push((place, item));
        }
        Ok(self.cut.page(found))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows by key, sorted by their text or by their keys.
    type Rows = BTreeMap<u32, &'static str>;

    fn sort(text: Option<&str>) -> Result<Sort<&'static str>, HubError> {
        Sort::read(text, "made", &[("name", |row| row.to_lowercase().into_bytes())])
    }

    /// Reads one page of those rows whose text has a letter.
    fn page(rows: &Rows, text: Option<&str>, with: &str, after: Option<String>) -> Page<u32> {
        let read = |after: Option<&u32>, most| {
            let rest = rows.iter().filter(|(key, _)| after.is_none_or(|after| *key > after));
            Ok::<_, HubError>(rest.take(most).map(|(key, row)| (*key, *row)).collect())
        };
        let query = PageQuery { after, limit: Some(2) };
        let fits = |_: &u32, row: &&str| Ok(row.contains(with));
        sort(text).unwrap().page(&query, !with.is_empty(), read, fits, |key, _| Ok(*key)).unwrap()
    }

    fn pages(rows: &Rows, text: Option<&str>, with: &str) -> Vec<u32> {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page = page(rows, text, with, after);
            assert!(page.items.len() <= 2);
            found.extend(page.items);
            after = page.next;
            if after.is_none() {
                return found;
            }
        }
    }

    #[test]
    fn pages_together_are_the_list_in_the_order_that_is_asked_for() {
        let rows = Rows::from([(1, "Bea"), (2, "ada"), (3, "bea"), (4, "Cy"), (5, "ada"), (6, "")]);
        for (text, with, expected) in [
            (None, "", vec![1, 2, 3, 4, 5, 6]),
            (Some("made"), "", vec![1, 2, 3, 4, 5, 6]),
            (Some("-made"), "", vec![6, 5, 4, 3, 2, 1]),
            (Some("name"), "", vec![6, 2, 5, 1, 3, 4]),
            (Some("-name"), "", vec![4, 3, 1, 5, 2, 6]),
            (None, "a", vec![1, 2, 3, 5]),
            (Some("name"), "a", vec![2, 5, 1, 3]),
            (Some("-made"), "a", vec![5, 3, 2, 1]),
            (Some("name"), "x", vec![]),
        ] {
            assert_eq!(pages(&rows, text, with), expected, "{text:?} {with}");
        }
        // More rows than are read in one step.
        let many: Rows = (0..1_000).map(|key| (key, "same")).collect();
        let back: Vec<u32> = (0..1_000).rev().collect();
        assert_eq!(pages(&many, Some("-name"), ""), back);
    }

    #[test]
    fn what_changes_between_pages_moves_nothing_else() {
        for (text, first, second) in
            [("name", [1, 2], vec![4, 5]), ("-name", [5, 4], vec![2]), ("-made", [5, 4], vec![2])]
        {
            let mut rows = Rows::from([(1, "a"), (2, "b"), (3, "c"), (4, "d"), (5, "e")]);
            let one = page(&rows, Some(text), "", None);
            assert_eq!(one.items, first, "{text}");
            // The last of the page goes, and so does the next one; one is made in front of the cursor.
            rows.remove(&first[1]);
            rows.remove(&3);
            rows.insert(6, if text == "name" { "0" } else { "z" });
            let mut rest = page(&rows, Some(text), "", one.next).items;
            rest.retain(|key| *key != 1);
            assert_eq!(rest, second, "{text}");
        }
    }

    #[test]
    fn long_texts_make_short_cursors() {
        let long: &'static str = "é".repeat(500).leak();
        let rows = Rows::from([(1, long), (2, long), (3, long)]);
        let one = page(&rows, Some("name"), "", None);
        assert!(one.next.as_ref().is_some_and(|it| it.len() <= 4 * PLACE_BYTES_MAX));
        assert_eq!(page(&rows, Some("name"), "", one.next).items, [3]);
    }

    #[test]
    fn a_bad_order_and_a_list_too_long_are_refused_by_name() {
        for text in ["", "-", "--name", "+name", "Name", "name,made"] {
            let err = sort(Some(text)).err().unwrap();
            let rule = "`sort`: must be one of `made`, `name`, with `-` in front from the end";
            assert_eq!(err.to_string(), rule, "{text}");
        }
        let read = |after: Option<&u32>, most: usize| {
            let start = after.map_or(0, |after| after + 1);
            Ok::<_, HubError>((start..).take(most).map(|key| (key, "same")).collect())
        };
        let sorted = sort(Some("-made")).unwrap();
        let endless = sorted.page(&PageQuery::FIRST, false, read, |_, _| Ok(true), |_, _| Ok(()));
        let rule = "`sort`: must be left out for a list of more than 100000";
        assert_eq!(endless.unwrap_err().to_string(), rule);
    }
}
