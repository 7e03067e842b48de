//! Pure: cursors of lists, sealed so that a client can only hand them back.
//!
//! What a list makes of its place goes out with a hash of the endpoint, the path, and every other
//! parameter of the query: the cursor of one list, filter or order means nothing in another, and is
//! refused there instead of giving a page from the wrong place. `limit` may change between pages.

use super::ApiError;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use mamba_core::error::Invalid;

/// Bytes of the hash: enough against mistakes; a cursor gives no rights that need more.
const HASH_BYTES: usize = 8;
/// Room for a page from the start, so that it is not moved many times while it grows: 50 servers take some
/// 60 KiB. It is given back with the answer.
const PAGE_BYTES: usize = 64 * 1_024;
/// How the last page ends.
const LAST: &[u8] = br#""next":null}"#;
/// What comes before the cursor in every other one, and behind it.
const BEFORE: &[u8] = br#""next":""#;
const END: &[u8] = br#""}"#;

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
    /// `Bug` when it has no JSON form, or one without a `next` at its end.
    pub(super) fn page(&self, page: &impl serde::Serialize) -> Result<Vec<u8>, ApiError> {
        let mut json = Vec::with_capacity(PAGE_BYTES);
        serde_json::to_writer(&mut json, page)
            .map_err(|err| ApiError::bug(format!("answer has no JSON form: {err}")))?;
        self.close(json)
    }

    /// Seals the `next` of a page that is JSON already.
    ///
    /// # Errors
    /// `Bug` when it has no `next` at its end.
    pub(super) fn close(&self, mut json: Vec<u8>) -> Result<Vec<u8>, ApiError> {
        if json.ends_with(LAST) {
            return Ok(json);
        }
        let start =
            next_of(&json).ok_or_else(|| ApiError::bug("page without `next` at its end"))?;
        let end = json.len() - END.len();
        let sealed = URL_SAFE_NO_PAD.encode([&self.0, &json[start..end]].concat());
        json.splice(start..end, sealed.into_bytes());
        Ok(json)
    }
}

/// Returns where the cursor of a page begins. It ends the page: a list of servers is long, and is not read
/// again to find it. What handlers put there is plain text, which JSON does not change.
fn next_of(json: &[u8]) -> Option<usize> {
    let text = json.strip_suffix(END)?;
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(byte);
    let length = text.iter().rev().take_while(|byte| is_plain(byte)).count();
    let start = text.len() - length;
    text[..start].ends_with(BEFORE).then_some(start)
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
        let page: serde_json::Value = serde_json::from_slice(
            &own.page(&serde_json::json!({"items":[],"next":"0a"})).unwrap(),
        )
        .unwrap();
        let next = page["next"].as_str().unwrap();
        assert_eq!(own.page(&serde_json::json!({"next":null})).unwrap(), br#"{"next":null}"#);
        for odd in [serde_json::json!({"next":"0a","items":[]}), serde_json::json!({"next":"\""})] {
            assert!(own.page(&odd).is_err(), "{odd}");
        }
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
