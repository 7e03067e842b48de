//! Pure: bytes to a tree of values, whether they are JSON or YAML.

use super::{EGG_BYTES_MAX, Notes};
use crate::error::Invalid;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use std::{cell::RefCell, fmt};

/// Deepest nesting. Real files have 5 levels.
pub(super) const DEPTH_MAX: usize = 32;
/// Most values in one YAML file.
const NODES_MAX: usize = 200_000;

/// Reads a file.
///
/// # Errors
/// Its size, its encoding, or the line of its first syntax error.
pub(super) fn read(bytes: &[u8], notes: &mut Notes) -> Result<Map<String, Value>, Invalid> {
    let file = |rule: String| Invalid::new("file", rule);
    if bytes.len() > EGG_BYTES_MAX {
        return Err(file(format!("must be at most {EGG_BYTES_MAX} bytes, not {}", bytes.len())));
    }
    let text = std::str::from_utf8(bytes)
        .map_err(|err| file(format!("must be UTF-8; byte {} is not", err.valid_up_to())))?;
    let text = match text.strip_prefix('\u{feff}') {
        Some(rest) => {
            notes.add("file", "byte order mark left out");
            rest
        }
        None => text,
    };
    if text.trim().is_empty() {
        return Err(file("must not be empty".to_owned()));
    }
    let doubled = RefCell::new(Vec::new());
    let value = if text.trim_start().starts_with(['{', '[']) {
        json(text, &doubled)
    } else {
        yaml(text, &doubled)
    }?;
    for key in doubled.into_inner() {
        notes.add(key, "is given twice; the last one counts");
    }
    match value {
        Value::Object(map) => Ok(map),
        _ => Err(file("must hold fields, not a list or a single value".to_owned())),
    }
}

/// Reads JSON that stands in a text field of a file.
///
/// # Errors
/// The syntax error.
pub(super) fn inner_json(text: &str) -> Result<Value, String> {
    json(text, &RefCell::default()).map_err(|err| format!("must hold JSON: {}", err.rule))
}

fn json(text: &str, doubled: &RefCell<Vec<String>>) -> Result<Value, Invalid> {
    let failed = |err: serde_json::Error| {
        Invalid::new(format!("line {}", err.line()), format!("is not JSON: {err}"))
    };
    let mut reader = serde_json::Deserializer::from_str(text);
    let tree = Tree { doubled, path: String::new(), depth: 0 };
    let value = tree.deserialize(&mut reader).map_err(failed)?;
    reader.end().map_err(failed)?;
    Ok(value)
}

fn yaml(text: &str, doubled: &RefCell<Vec<String>>) -> Result<Value, Invalid> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: DEPTH_MAX,
            max_nodes: NODES_MAX,
            max_documents: 1,
            max_aliases: 0,
            max_anchors: 0,
        },
        duplicate_keys: serde_saphyr::DuplicateKeyPolicy::LastWins,
    };
    let read = serde_saphyr::with_deserializer_from_str_with_options(text, options, |reader| {
        Tree { doubled, path: String::new(), depth: 0 }.deserialize(reader)
    });
    read.map_err(|err| {
        let line = err.location().map_or(1, |it| it.line());
        let text = err.to_string();
        let first = text.lines().next().unwrap_or_default();
        Invalid::new(format!("line {line}"), format!("is not YAML: {first}"))
    })
}

/// Reads any value; notes keys that are given twice and keeps their last value.
struct Tree<'a> {
    doubled: &'a RefCell<Vec<String>>,
    path: String,
    depth: usize,
}

impl Tree<'_> {
    fn child<E: Error>(&self, key: &str) -> Result<Tree<'_>, E> {
        if self.depth == DEPTH_MAX {
            return Err(E::custom(format!("nested deeper than {DEPTH_MAX}")));
        }
        let path =
            if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) };
        Ok(Tree { doubled: self.doubled, path, depth: self.depth + 1 })
    }
}

impl<'de> DeserializeSeed<'de> for Tree<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Value, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Tree<'_> {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, reader: D) -> Result<Value, D::Error> {
        self.deserialize(reader)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self.child(&list.len().to_string())?)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            let child = self.child(&key)?;
            let path = child.path.clone();
            if map.insert(key, entries.next_value_seed(child)?).is_some() {
                self.doubled.borrow_mut().push(path);
            }
        }
        Ok(Value::Object(map))
    }
}
