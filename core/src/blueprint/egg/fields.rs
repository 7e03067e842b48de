//! Pure: takes values of known kinds out of a tree, forgiving what has one meaning.

use super::{Notes, read::inner_json};
use crate::error::Invalid;
use serde_json::{Map, Value};
use std::borrow::Cow;

/// Returns a value as text: numbers and truth values in their usual spelling, nothing as empty.
pub(super) fn text(value: Option<&Value>, path: &str) -> Result<String, Invalid> {
    match value {
        None | Some(Value::Null) => Ok(String::new()),
        Some(Value::String(text)) => Ok(text.clone()),
        // As it was written: YAML eggs leave out the quotes around `true`.
        Some(Value::Bool(value)) => Ok(value.to_string()),
        Some(Value::Number(number)) => Ok(number.to_string()),
        Some(Value::Array(list)) if list.is_empty() => Ok(String::new()),
        Some(Value::Object(map)) if map.is_empty() => Ok(String::new()),
        Some(Value::Array(_) | Value::Object(_)) => Err(Invalid::new(path, "must be text")),
    }
}

/// Returns text without blanks around it; says so when there were some.
pub(super) fn trimmed(
    value: Option<&Value>,
    path: &str,
    notes: &mut Notes,
) -> Result<String, Invalid> {
    let text = text(value, path)?;
    if text.trim() != text {
        notes.add(path, "blanks around it left out");
    }
    Ok(text.trim().to_owned())
}

/// Returns one line of text for people: control characters become blanks.
pub(super) fn line(
    value: Option<&Value>,
    path: &str,
    notes: &mut Notes,
) -> Result<String, Invalid> {
    let text = trimmed(value, path, notes)?;
    if text.chars().any(char::is_control) {
        notes.add(path, "control characters replaced by blanks");
        return Ok(text.replace(char::is_control, " "));
    }
    Ok(text)
}

/// Returns a truth value; numbers and their texts count too.
pub(super) fn truth(value: Option<&Value>, path: &str, default: bool) -> Result<bool, Invalid> {
    match value {
        None | Some(Value::Null) => Ok(default),
        Some(Value::Bool(value)) => Ok(*value),
        Some(value) => match text(Some(value), path)?.to_ascii_lowercase().as_str() {
            "1" | "true" | "yes" | "on" => Ok(true),
            "0" | "false" | "no" | "off" | "" => Ok(false),
            _ => Err(Invalid::new(path, "must be `true` or `false`")),
        },
    }
}

/// Returns a list of texts. Nothing, `{}` and an empty text are empty lists; of a map the values.
pub(super) fn list(
    value: Option<&Value>,
    path: &str,
    notes: &mut Notes,
) -> Result<Vec<String>, Invalid> {
    let items: Vec<&Value> = match value {
        None | Some(Value::Null) => vec![],
        Some(Value::Array(items)) => items.iter().collect(),
        Some(Value::Object(map)) => {
            if !map.is_empty() {
                notes.add(path, "is a map; its values are taken as the list");
            }
            map.values().collect()
        }
        Some(Value::String(text)) if text.trim().is_empty() => vec![],
        Some(single) => {
            notes.add(path, "is a single value; taken as a list of one");
            vec![single]
        }
    };
    let mut texts = Vec::new();
    for (index, item) in items.into_iter().enumerate() {
        let text = trimmed(Some(item), &format!("{path}.{index}"), notes)?;
        if !text.is_empty() && !texts.contains(&text) {
            texts.push(text);
        }
    }
    Ok(texts)
}

/// Returns the value of a field that may be JSON inside a text. Nothing, `[]` and an empty text are
/// empty maps.
pub(super) fn unfolded<'a>(
    value: Option<&'a Value>,
    path: &str,
) -> Result<Cow<'a, Map<String, Value>>, Invalid> {
    let empty = || Cow::Owned(Map::new());
    match value {
        None | Some(Value::Null) => Ok(empty()),
        Some(Value::Array(list)) if list.is_empty() => Ok(empty()),
        Some(Value::String(text)) if text.trim().is_empty() => Ok(empty()),
        Some(Value::Object(map)) => Ok(Cow::Borrowed(map)),
        Some(Value::String(text)) => {
            match inner_json(text).map_err(|rule| Invalid::new(path, rule))? {
                Value::Object(map) => Ok(Cow::Owned(map)),
                Value::Array(list) if list.is_empty() => Ok(empty()),
                Value::Null => Ok(empty()),
                _ => Err(Invalid::new(path, "must hold JSON fields")),
            }
        }
        Some(_) => Err(Invalid::new(path, "must be a map, or JSON of a map as text")),
    }
}

/// Returns a field that is a map; nothing and `[]` are empty.
pub(super) fn map<'a>(
    value: Option<&'a Value>,
    path: &str,
) -> Result<Cow<'a, Map<String, Value>>, Invalid> {
    match value {
        Some(Value::String(text)) if !text.trim().is_empty() => {
            Err(Invalid::new(path, "must be a map"))
        }
        other => unfolded(other, path),
    }
}
