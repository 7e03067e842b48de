//! Pure: cursors of lists, sealed so that a client can only hand them back.
//!
//! What a list makes of its place goes out with a hash of the endpoint, the path, and every other
//! parameter of the query: the cursor of one list, filter or order means nothing in another, and is
//! refused there instead of giving a page from the wrong place. `limit` may change between pages.

use super::ApiError;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use mamba_core::error::Invalid;
use serde_json::Value;

/// Bytes of the hash: enough against mistakes; a cursor gives no rights that need more.
const HASH_BYTES: usize = 8;

/// Seals the cursors of one list.
pub(super) struct Seal([u8; HASH_BYTES]);

impl Seal {
    pub(super) fn new(
        endpoint: &str,
        path: &[(String, String)],
        query: &[(String, String)],
    ) -> Self {
        let mut query: Vec<_> =
            query.iter().filter(|(name, _)| name != "after" && name != "limit").collect();
        query.sort();
        let mut hasher = blake3::Hasher::new();
        let parts = path.iter().chain(query).flat_map(|(name, value)| [name, value]);
        for part in std::iter::once(endpoint).chain(parts.map(String::as_str)) {
            hasher.update(&(part.len() as u64).to_be_bytes());
            hasher.update(part.as_bytes());
        }
        let mut hash = [0; HASH_BYTES];
        hash.copy_from_slice(&hasher.finalize().as_bytes()[..HASH_BYTES]);
        Self(hash)
    }

    /// Returns what is in a cursor.
    ///
    /// # Errors
    /// `Invalid` when it is not of this list.
    pub(super) fn open(&self, cursor: &str) -> Result<String, Invalid> {
        let bytes = URL_SAFE_NO_PAD.decode(cursor).ok();
        let place = bytes.as_deref().and_then(|bytes| bytes.strip_prefix(&self.0));
        place.and_then(|place| String::from_utf8(place.to_vec()).ok()).ok_or_else(|| {
            Invalid::new("after", "must be the `next` of a page with the same filter and order")
        })
    }

    /// Seals the `next` of a page; returns the page as JSON.
    ///
    /// # Errors
    /// `Bug` when it has no JSON form.
    pub(super) fn page(&self, page: &impl serde::Serialize) -> Result<Vec<u8>, ApiError> {
        let failed = |err| ApiError::bug(format!("answer has no JSON form: {err}"));
        let mut page = serde_json::to_value(page).map_err(failed)?;
        if let Some(Value::String(next)) = page.get_mut("next") {
            *next = URL_SAFE_NO_PAD.encode([&self.0, next.as_bytes()].concat());
        }
        serde_json::to_vec(&page).map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_cursor_is_good_for_its_own_list_only() {
        let seal =
            |endpoint, path: &[_], query: &[_]| Seal::new(endpoint, &pairs(path), &pairs(query));
        let own = seal("List", &[("server", "a")], &[("sort", "name"), ("limit", "2")]);
        let page: Value = serde_json::from_slice(
            &own.page(&serde_json::json!({"items":[],"next":"0a"})).unwrap(),
        )
        .unwrap();
        let next = page["next"].as_str().unwrap();
        assert_eq!(own.open(next).unwrap(), "0a");
        let query = [("limit", "3"), ("after", next), ("sort", "name")];
        assert_eq!(seal("List", &[("server", "a")], &query).open(next).unwrap(), "0a");
        for other in [
            seal("Other", &[("server", "a")], &[("sort", "name")]),
            seal("List", &[("server", "b")], &[("sort", "name")]),
            seal("List", &[("server", "a")], &[("sort", "-name")]),
            seal("List", &[("server", "a")], &[]),
        ] {
            assert_eq!(other.open(next).unwrap_err().field, "after");
        }
        for garbage in ["", "0a", "é", "AAAAAAAAAAAAAAAA"] {
            assert!(own.open(garbage).is_err(), "{garbage}");
        }
    }
}
