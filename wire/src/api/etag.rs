//! Pure: versions of what a read answers, for `etag`, `if-match` and `if-none-match`.
//!
//! A tag is `"version.whole"`, two hashes of the answer in hexadecimal digits. `whole` covers every
//! byte: `if-none-match` looks at both, so that a reader learns of everything. `version` leaves out
//! the fields in [`VOLATILE`], which nodes and the clock change: `if-match` looks at it alone, so that
//! a change is refused when another change came in between, and not because a server printed a line.

use serde_json::Value;

/// Fields at the top of an answer that change without a change by the API.
pub const VOLATILE: &[&str] = &[
    "capacity",
    "freshness",
    "last_seen_at",
    "last_used_at",
    "machine",
    "observed",
    "servers",
    "software",
    "usage",
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
        let Value::Object(mut fields) = serde_json::from_slice(body).ok()? else { return None };
        for name in VOLATILE {
            fields.shift_remove(*name);
        }
        let lasting = serde_json::to_vec(&fields).ok()?;
        Some(Self { version: short(&lasting), whole: short(body) })
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

fn short(bytes: &[u8]) -> u64 {
    let mut short = [0; 8];
    short.copy_from_slice(&blake3::hash(bytes).as_bytes()[..8]);
    u64::from_be_bytes(short)
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
        assert_eq!(Etag::of(b"[1]"), None);
        assert_eq!(Etag::of(b""), None);
    }
}
