//! Request bodies: bounded in bytes and time, JSON only, refused by the path of the field.

use super::{ApiError, dispatch::BodyStream};
use futures_util::StreamExt;
use mamba_core::error::Invalid;
use mamba_wire::api::{Code, Row};
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, Error as _, MapAccess, SeqAccess, Visitor},
};
use std::{collections::BTreeSet, fmt, time::Duration};
use warp::http::HeaderMap;

/// Time for a whole body to arrive: 64 KiB on the slowest link worth serving.
const BODY_MS_MAX: u64 = 10_000;
/// Longest part of a path that is told back.
const KEY_CHARS_MAX: usize = 64;

/// Checks what the head says of a body that an endpoint expects, or does not.
///
/// # Errors
/// `NotJson`, `TooLarge`, or `Malformed` for a body that nobody expects. Nothing was read.
pub(super) fn check_head(headers: &HeaderMap, row: &Row) -> Result<(), ApiError> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let length = text("content-length").map_or(Ok(None), |text| text.parse::<u64>().map(Some));
    let length =
        length.map_err(|_| ApiError::new(Code::Malformed, "content-length is not a number"))?;
    if !row.has_body {
        return match length {
            Some(1..) => Err(ApiError::new(Code::Malformed, "this endpoint takes no body")),
            Some(0) | None => Ok(()),
        };
    }
    let kind = text("content-type").unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case("application/json") {
        return Err(ApiError::new(Code::NotJson, "content-type must be application/json"));
    }
    match length {
        Some(length) if length > row.body_bytes_max as u64 => Err(too_large(row)),
        _ => Ok(()),
    }
}

/// Reads a body to its end.
///
/// # Errors
/// `TooLarge` as soon as the limit is passed, `Timeout`, or `Malformed` when the connection breaks.
pub(super) async fn read(mut stream: BodyStream, row: &Row) -> Result<Vec<u8>, ApiError> {
    let reading = async {
        let mut body = Vec::new();
        while let Some(part) = stream.next().await {
            let part = part.map_err(|_| ApiError::new(Code::Malformed, "the body was cut off"))?;
            if body.len() + part.len() > row.body_bytes_max {
                return Err(too_large(row));
            }
            body.extend_from_slice(&part);
        }
        Ok(body)
    };
    match tokio::time::timeout(Duration::from_millis(BODY_MS_MAX), reading).await {
        Ok(result) => result,
        Err(_) => Err(ApiError::new(Code::Timeout, "the body took too long to arrive")),
    }
}

/// Pure: reads a body as one JSON value.
///
/// # Errors
/// `Malformed` when it is not JSON, `Invalid` with the field's path when it is, but another value.
pub(super) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    let twice = serde_json::from_slice(bytes).map(|Unique| ());
    twice.and_then(|()| serde_json::from_slice(bytes)).map_err(|err| {
        if !err.is_data() {
            return ApiError::new(Code::Malformed, format!("the body is not JSON: {err}"));
        }
        let rule = err.to_string();
        // The place in the text says less than the path.
        let rule = rule.rsplit_once(" at line ").map_or(rule.as_str(), |(rule, _)| rule);
        let mut offset = offset_of(bytes, err.line(), err.column());
        // serde_json tells some errors of a value only behind the end of what holds it. What lacks
        // something is that holder itself.
        let is_of_holder = rule.starts_with("missing field") || rule.starts_with("invalid length");
        if !is_of_holder && matches!(bytes.get(offset.wrapping_sub(1)), Some(b'}' | b']')) {
            offset -= 1;
        }
        let path = path_at(bytes, offset);
        Invalid::new(if path.is_empty() { "body" } else { &path }, rule).into()
    })
}

/// Any JSON in which no object has a key twice: of two values for one name, which one counts would
/// depend on who reads.
struct Unique;

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(UniqueVisitor)
    }
}

struct UniqueVisitor;

impl<'de> Visitor<'de> for UniqueVisitor {
    type Value = Unique;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Unique, A::Error> {
        let mut seen = BTreeSet::new();
        while let Some(key) = map.next_key::<String>()? {
            if !seen.insert(key) {
                return Err(A::Error::custom("must not be given twice"));
            }
            let Unique = map.next_value()?;
        }
        Ok(Unique)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Unique, A::Error> {
        while items.next_element::<Unique>()?.is_some() {}
        Ok(Unique)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_str<E>(self, _: &str) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_unit<E>(self) -> Result<Unique, E> {
        Ok(Unique)
    }
}

/// Turns a line and a column, both counted from 1 and the column in bytes, into an offset.
fn offset_of(bytes: &[u8], line: usize, column: usize) -> usize {
    let before = bytes.split_inclusive(|byte| *byte == b'\n').take(line.saturating_sub(1));
    before.map(<[u8]>::len).sum::<usize>() + column
}

/// Names the value that was read last before an offset, in JSON that is valid up to there: keys and
/// places in arrays from the outside in, with dots between.
fn path_at(bytes: &[u8], offset: usize) -> String {
    let mut path: Vec<Part> = Vec::new();
    let mut rest = bytes.get(..offset).unwrap_or(bytes);
    let mut is_key_next = false;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match (byte, path.last_mut()) {
            (b'{', _) => path.push(Part::Key(String::new())),
            (b'[', _) => path.push(Part::Index(0)),
            (b'}' | b']', _) => drop(path.pop()),
            (b',', Some(Part::Index(index))) => *index += 1,
            (b'"', last) => {
                let end = end_of_text(rest);
                if let Some(Part::Key(key)) = last.filter(|_| is_key_next) {
                    let text = String::from_utf8_lossy(&rest[..end]);
                    *key = text.chars().take(KEY_CHARS_MAX).collect();
                }
                rest = rest.get(end + 1..).unwrap_or_default();
            }
            _ => {}
        }
        match byte {
            b'{' | b',' => is_key_next = true,
            b'"' => is_key_next = false,
            _ => {}
        }
    }
    let named = path.into_iter().filter_map(|part| match part {
        Part::Key(key) => (!key.is_empty()).then_some(key),
        Part::Index(index) => Some(index.to_string()),
    });
    named.collect::<Vec<_>>().join(".")
}

/// One step of a path.
enum Part {
    /// Last key read of an object; empty before the first.
    Key(String),
    /// Place in an array.
    Index(usize),
}

/// Returns where the text ends whose opening quote is just behind.
fn end_of_text(bytes: &[u8]) -> usize {
    let mut is_escaped = false;
    let end = bytes.iter().position(|byte| {
        let is_end = *byte == b'"' && !is_escaped;
        is_escaped = *byte == b'\\' && !is_escaped;
        is_end
    });
    end.unwrap_or(bytes.len())
}

fn too_large(row: &Row) -> ApiError {
    ApiError::new(Code::TooLarge, format!("the body is over {} bytes", row.body_bytes_max))
}

#[cfg(test)]
mod tests {
    use super::*;
    use mamba_wire::api::{server, tenant};

    #[track_caller]
    fn check<T: DeserializeOwned>(body: &str, code: Code, field: &str, rule: &str) {
        let err = parse::<T>(body.as_bytes()).err().unwrap();
        assert_eq!(err.code, code, "{err}");
        if let Some(invalid) = err.errors.first() {
            assert_eq!(invalid.field, field, "{invalid}");
            assert!(invalid.rule.contains(rule), "{invalid}");
        } else {
            assert!(err.detail.contains(rule), "{}", err.detail);
        }
    }

    #[test]
    fn refused_json_names_the_field() {
        check::<server::UpdateLimits>("{", Code::Malformed, "", "EOF");
        check::<server::UpdateLimits>("", Code::Malformed, "", "EOF");
        check::<server::Power>(r#"{"action":"stop"} x"#, Code::Malformed, "", "trailing");
        check::<server::Power>("7", Code::Invalid, "body", "invalid");
        check::<server::Power>("{}", Code::Invalid, "body", "missing field `action`");
        check::<server::Power>(r#"{"action":"fly"}"#, Code::Invalid, "action", "unknown variant");
        let limits = r#"{"limits":{"memory_mib":-1}}"#;
        check::<server::UpdateLimits>(limits, Code::Invalid, "limits.memory_mib", "invalid value");
        let variables = "{\"variables\": {\"A\\\"\": \"[{,\",\n\n \"B\" : 7 }}";
        check::<server::UpdateServer>(variables, Code::Invalid, "variables.B", "expected a string");
        let places = r#"{"name":"a","tenant":"01890a5d-ac96-774b-bcce-b302099a8057","blueprint":"b",
            "allocations":["01890a5d-ac96-774b-bcce-b302099a8057", "x"]}"#;
        check::<server::CreateServer>(places, Code::Invalid, "allocations.1", "is not an id");
        let last = r#"{"name":"a","blueprint":"b","tenant":"x"}"#;
        check::<server::CreateServer>(last, Code::Invalid, "tenant", "is not an id");
        let first = r#"{"tenant":"x","name":"a","blueprint":"b"}"#;
        check::<server::CreateServer>(first, Code::Invalid, "tenant", "is not an id");
        let less = r#"{"name":"a","owner":{"email":"a@b"}}"#;
        check::<tenant::CreateTenant>(less, Code::Invalid, "owner", "missing field `password`");
        let owner = r#"{"name":"a","owner":{"email":"a@b","password":"p","admin":true}}"#;
        check::<tenant::CreateTenant>(owner, Code::Invalid, "owner.admin", "unknown field");
        let twice = r#"{"variables":{"A":"1","B":[{}],"\u0041":"2"}}"#;
        check::<server::UpdateServer>(twice, Code::Invalid, r"variables.\u0041", "given twice");
        let twice = r#"{"action":"stop", "action":"start"}"#;
        check::<server::Power>(twice, Code::Invalid, "action", "given twice");
    }

    #[test]
    fn heads_are_checked_before_anything_is_read() {
        let head = |pairs: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.insert(*name, value.parse().unwrap());
            }
            headers
        };
        let code = |pairs: &[(&'static str, &'static str)], expected: bool| {
            let name = if expected { "CreateTenant" } else { "ListTenants" };
            let row = mamba_wire::api::ENDPOINTS.iter().find(|row| row.name == name).unwrap();
            check_head(&head(pairs), row).err().map(|err| err.code)
        };
        let json = ("content-type", "Application/JSON; charset=utf-8");
        assert_eq!(code(&[json], true), None);
        assert_eq!(code(&[json, ("content-length", "65536")], true), None);
        assert_eq!(code(&[json, ("content-length", "65537")], true), Some(Code::TooLarge));
        assert_eq!(code(&[("content-type", "text/plain")], true), Some(Code::NotJson));
        assert_eq!(code(&[], true), Some(Code::NotJson));
        assert_eq!(code(&[], false), None);
        assert_eq!(code(&[("content-length", "0")], false), None);
        assert_eq!(code(&[("content-length", "1")], false), Some(Code::Malformed));
    }
}
