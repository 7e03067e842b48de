//! Pure: versions of what a read answers, for `etag`, `if-match` and `if-none-match`.
//!
//! A tag is `"version.whole"`, two hashes of the answer in hexadecimal digits. `whole` covers every
//! byte: `if-none-match` looks at both, so that a reader learns of everything. `version` leaves out
//! the fields in [`VOLATILE`], which nodes and the clock change: `if-match` looks at it alone, so that
//! a change is refused when another change came in between, and not because a server printed a line.

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;
use std::fmt;

/// Fields at the top of an answer that change without a change by the API.
pub const VOLATILE: &[&str] = &[
    "capacity",
    "freshness",
    "last_seen_at",
    "last_used_at",
    "machine",
    "observed",
    "servers",
    "sessions",
    "software",
    "usage",
    "used_at",
];

/// A version of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Etag {
    version: u64,
    whole: u64,
}

impl Etag {
    /// Returns the tag of a JSON answer; `None` when it is no JSON object.
    #[must_use]
    pub fn of(body: &[u8]) -> Option<Self> {
        let Fields(fields) = serde_json::from_slice(body).ok()?;
        let mut lasting = blake3::Hasher::new();
        for (name, value) in fields.iter().filter(|(name, _)| !VOLATILE.contains(&name.as_str())) {
            lasting.update(name.as_bytes()).update(b":").update(value.get().as_bytes());
        }
        Some(Self { version: short(lasting.finalize()), whole: short(blake3::hash(body)) })
    }

    /// Returns the tag of a page of a list. It is not read for that: nothing at its top is left out, and
    /// no change is based on a page.
    #[must_use]
    pub fn of_page(body: &[u8]) -> Self {
        let whole = short(blake3::hash(body));
        Self { version: whole, whole }
    }

    /// Returns it as the header has it, quotes included.
    #[must_use]
    pub fn text(self) -> String {
        format!("\"{:016x}.{:016x}\"", self.version, self.whole)
    }

    /// Whether an `if-none-match` names exactly this answer.
    #[must_use]
    pub fn is_named_by(self, header: &str) -> bool {
        let is_this = |tag: &str| tag == "*" || tag.trim_start_matches("W/") == self.text();
        header.split(',').any(|tag| is_this(tag.trim()))
    }

    /// Whether an `if-match` names this version, however it looks at the moment.
    #[must_use]
    pub fn has_version_of(self, header: &str) -> bool {
        let version = format!("\"{:016x}.", self.version);
        let is_this = |tag: &str| tag == "*" || tag.starts_with(&version);
        header.split(',').any(|tag| is_this(tag.trim()))
    }
}

fn short(hash: blake3::Hash) -> u64 {
    let mut short = [0; 8];
    short.copy_from_slice(&hash.as_bytes()[..8]);
    u64::from_be_bytes(short)
}

/// Fields of an object in their order, with values that are not looked into.
struct Fields<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }
        from.deserialize_map(Object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(text: &str) -> Etag {
        Etag::of(text.as_bytes()).unwrap()
    }

    #[test]
    fn what_a_node_reports_is_new_to_read_and_not_to_change() {
        let first = tag(r#"{"name":"a","observed":1}"#);
        let reported = tag(r#"{"name":"a","observed":2}"#);
        let renamed = tag(r#"{"name":"b","observed":2}"#);
        for (now, is_same_answer, is_same_version) in
            [(first, true, true), (reported, false, true), (renamed, false, false)]
        {
            assert_eq!(now.is_named_by(&first.text()), is_same_answer);
            assert_eq!(now.has_version_of(&first.text()), is_same_version);
        }
        assert!(first.is_named_by(&format!("\"x\", W/{}", first.text())) && first.is_named_by("*"));
        assert!(
            first.has_version_of("*") && !first.has_version_of("") && !first.has_version_of("\"")
        );
        let page = Etag::of_page(b"{}");
        assert!(page.is_named_by(&page.text()) && page != Etag::of_page(b"{ }"));
        assert_eq!(Etag::of(b"[1]"), None);
        assert_eq!(Etag::of(b""), None);
    }
}
