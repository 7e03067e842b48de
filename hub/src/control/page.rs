//! Pure: the part of a list that is asked for.

use crate::HubError;
use mamba_core::db::Key;
use mamba_wire::api::{
    Page, PageQuery,
    page::{PAGE_ITEMS_DEFAULT, PAGE_ITEMS_MAX},
};

/// Most digits of a cursor: what a row is sorted by, cut to a length, and its key take less.
const CURSOR_DIGITS_MAX: usize = 640;

/// Where a page begins and how long it is, checked. A cursor is the key of the last item in
/// hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut<K> {
    /// Key of the last item of the page before.
    pub after: Option<K>,
    /// Most items.
    pub limit: usize,
}

impl<K: Key> Cut<K> {
    /// Checks a query.
    ///
    /// # Errors
    /// Names `after` or `limit`.
    pub fn new(query: &PageQuery) -> Result<Self, HubError> {
        let limit = query.limit.unwrap_or(PAGE_ITEMS_DEFAULT);
        if !(1..=PAGE_ITEMS_MAX).contains(&limit) {
            return Err(HubError::invalid("limit", format!("must be 1 to {PAGE_ITEMS_MAX}")));
        }
        let after = query.after.as_deref().map(read_cursor).transpose()?;
        Ok(Self { after, limit: usize::try_from(limit).unwrap_or(1) })
    }

    /// Returns how many items to look for: one more tells whether another page follows.
    #[must_use]
    pub fn fetch(&self) -> usize {
        self.limit + 1
    }

    /// Returns the `next` that goes on behind a key.
    #[must_use]
    pub fn cursor(&self, key: &K) -> String {
        write_cursor(key)
    }

    /// Makes the page of what [`Cut::fetch`] asked for.
    #[must_use]
    pub fn page<T>(&self, mut found: Vec<(K, T)>) -> Page<T> {
        let has_more = found.len() > self.limit;
        found.truncate(self.limit);
        let next = found.last().filter(|_| has_more).map(|(key, _)| write_cursor(key));
        Page { items: found.into_iter().map(|(_, item)| item).collect(), next }
    }
}

/// Rows that one request with a filter looks at: what fits nothing gives an empty page with the place to
/// go on from.
const LOOK_MAX: usize = 2_000;

impl<K: Key + Clone> Cut<K> {
    /// Makes the page of those rows that are shown. `read` gives up to that many rows behind the cursor in
    /// the order of the list; `show` gives `None` for one that does not fit. With a filter the page may be
    /// short, or empty, and have a next one all the same.
    ///
    /// # Errors
    /// What `read` and `show` say.
    pub fn sift<V, T, E>(
        &self,
        is_filtered: bool,
        read: impl FnOnce(usize) -> Result<Vec<(K, V)>, E>,
        mut show: impl FnMut(&K, V) -> Result<Option<T>, E>,
    ) -> Result<Page<T>, E> {
        let look = if is_filtered { LOOK_MAX } else { self.fetch() };
        let rows = read(look)?;
        let is_cut_short = is_filtered && rows.len() == look;
        let last_seen = rows.last().map(|(key, _)| key.clone()).filter(|_| is_cut_short);
        let mut found = Vec::new();
        for (key, row) in rows {
            if found.len() == self.fetch() {
                break;
            }
            if let Some(item) = show(&key, row)? {
                found.push((key, item));
            }
        }
        let mut page = self.page(found);
        if page.next.is_none() {
            page.next = last_seen.map(|key| self.cursor(&key));
        }
        Ok(page)
    }
}

fn write_cursor(key: &impl Key) -> String {
    key.to_key_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn read_cursor<K: Key>(text: &str) -> Result<K, HubError> {
    let digits: Option<Vec<u8>> = (text.len().is_multiple_of(2) && text.len() <= CURSOR_DIGITS_MAX)
        .then(|| {
            let digit = |c: &u8| char::from(*c).to_digit(16).and_then(|it| u8::try_from(it).ok());
            let pair = |pair: &[u8]| Some(digit(&pair[0])? << 4 | digit(&pair[1])?);
            text.as_bytes().chunks(2).map(pair).collect()
        })
        .flatten();
    digits
        .and_then(|bytes| K::from_key_bytes(&bytes).ok())
        .ok_or_else(|| HubError::invalid("after", "must be the `next` of the page before"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(after: Option<&str>, limit: Option<u32>) -> PageQuery {
        PageQuery { after: after.map(str::to_owned), limit }
    }

    #[test]
    fn a_page_ends_with_the_cursor_of_the_next() {
        let cut = Cut::<u16>::new(&query(None, Some(2))).unwrap();
        let found = |count: u16| (1..=count).map(|key| (key, key)).collect::<Vec<_>>();
        assert_eq!(cut.page(found(2)), Page { items: vec![1, 2], next: None });
        let page = cut.page(found(3));
        assert_eq!(page, Page { items: vec![1, 2], next: Some("0002".to_owned()) });
        let cut = Cut::<u16>::new(&query(page.next.as_deref(), None)).unwrap();
        assert_eq!(cut, Cut { after: Some(2), limit: 50 });
    }

    #[test]
    fn bad_queries_name_the_field() {
        for (after, limit, field) in [
            (None, Some(0), "limit"),
            (None, Some(201), "limit"),
            (Some("xyz1"), None, "after"),
            (Some("001"), None, "after"),
            (Some("000102"), None, "after"),
            (Some("é00"), None, "after"),
        ] {
            match Cut::<u16>::new(&query(after, limit)) {
                Err(HubError::Invalid(err)) => assert_eq!(err.field, field),
                other => panic!("{other:?}"),
            }
        }
    }
}
