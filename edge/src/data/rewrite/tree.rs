//! Pure: values set in a tree, for formats that are read as one; TOML as such.

use super::{
    DEPTH_MAX, New, RewriteError, VALUES_MAX, decide,
    path::{Part, parse},
};
use mamba_core::server::{Replacement, ValueKind};
use serde_json::{Map, Value};

/// A change that was made: the way to a value, and whether it is a new one.
pub(super) struct Change {
    pub(super) way: Vec<Part>,
    pub(super) value: Value,
    pub(super) is_new: bool,
}

/// Sets the values in a tree and tells what changed, in order.
pub(super) fn set(root: &mut Value, replace: &[Replacement]) -> Result<Vec<Change>, RewriteError> {
    let mut changes = Vec::new();
    for group in replace.chunk_by(|one, other| one.key == other.key) {
        let Some(key) = group.first().map(|it| it.key.as_str()) else { continue };
        let mut walk = Walk { key, group, way: Vec::new(), changes: &mut changes };
        walk.step(root, &parse(key), false)?;
    }
    Ok(changes)
}

/// Refuses a tree that is too deep or has too many values.
pub(super) fn check(root: &Value) -> Result<(), RewriteError> {
    fn count(value: &Value, depth: usize, left: &mut usize) -> Option<()> {
        *left = left.checked_sub(1)?;
        if depth > DEPTH_MAX {
            return None;
        }
        match value {
            Value::Object(map) => map.values().try_for_each(|it| count(it, depth + 1, left)),
            Value::Array(list) => list.iter().try_for_each(|it| count(it, depth + 1, left)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Some(()),
        }
    }
    count(root, 0, &mut VALUES_MAX.clone()).ok_or(RewriteError::TooManyValues)
}

/// Returns the value in the type that the present one has; without one, numbers and truth values are
/// recognised by their text.
pub(super) fn typed(present: &Value, new: &New) -> Value {
    let text = || Value::String(new.text.clone());
    let parsed = match serde_json::from_str(&new.text) {
        Ok(value @ (Value::Bool(_) | Value::Number(_))) => value,
        Ok(_) | Err(_) => text(),
    };
    match (new.kind, present) {
        (ValueKind::Json, _) => parsed,
        (ValueKind::Text, Value::String(_)) => text(),
        (ValueKind::Text, Value::Bool(_)) if new.text == "1" => Value::Bool(true),
        (ValueKind::Text, Value::Bool(_)) if new.text == "0" => Value::Bool(false),
        (ValueKind::Text, _) => parsed,
    }
}

struct Walk<'a> {
    key: &'a str,
    group: &'a [Replacement],
    way: Vec<Part>,
    changes: &'a mut Vec<Change>,
}

impl Walk<'_> {
    fn step(&mut self, node: &mut Value, path: &[Part], is_new: bool) -> Result<(), RewriteError> {
        let Some((part, rest)) = path.split_first() else { return self.set(node, is_new) };
        if node.is_null() {
            // Only a value without a condition makes what is missing.
            if decide(self.group, None)?.is_none() || path.contains(&Part::Any) {
                return Ok(());
            }
            *node = match part {
                Part::Index(_) => Value::Array(vec![]),
                Part::Key(_) | Part::Any => Value::Object(Map::new()),
            };
            return self.step(node, path, true);
        }
        let no_container = || RewriteError::NoContainer { key: self.key.to_owned() };
        match (node, part) {
            (Value::Object(map), Part::Any) => {
                for (key, child) in map.iter_mut() {
                    self.into(Part::Key(key.clone()), child, rest, is_new)?;
                }
                Ok(())
            }
            (Value::Array(list), Part::Any) => {
                for (index, child) in list.iter_mut().enumerate() {
                    self.into(Part::Index(index), child, rest, is_new)?;
                }
                Ok(())
            }
            (Value::Object(map), part) => {
                let key = part.key().unwrap_or_default();
                let is_missing = !map.contains_key(&key);
                if is_missing && decide(self.group, None)?.is_none() {
                    return Ok(());
                }
                let child = map.entry(key.clone()).or_insert(Value::Null);
                self.into(Part::Key(key), child, rest, is_new || is_missing)
            }
            (Value::Array(list), part) => {
                let index = part.index().ok_or_else(no_container)?;
                let is_missing = index == list.len();
                if is_missing {
                    if decide(self.group, None)?.is_none() {
                        return Ok(());
                    }
                    list.push(Value::Null);
                }
                match list.get_mut(index) {
                    Some(child) => self.into(Part::Index(index), child, rest, is_new || is_missing),
                    None => Ok(()),
                }
            }
            (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_), _) => {
                Err(no_container())
            }
        }
    }

    fn into(
        &mut self,
        part: Part,
        child: &mut Value,
        rest: &[Part],
        is_new: bool,
    ) -> Result<(), RewriteError> {
        self.way.push(part);
        let result = self.step(child, rest, is_new);
        self.way.pop();
        result
    }

    fn set(&mut self, node: &mut Value, is_new: bool) -> Result<(), RewriteError> {
        let shown = match &*node {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let present = (!is_new).then_some(shown.as_str());
        let Some(new) = decide(self.group, present)? else { return Ok(()) };
        let value = typed(node, &new);
        if is_new || *node != value {
            node.clone_from(&value);
            self.changes.push(Change { way: self.way.clone(), value, is_new });
        }
        Ok(())
    }
}

/// Sets the values in a TOML file.
pub(super) fn rewrite_toml(text: &str, replace: &[Replacement]) -> Result<String, RewriteError> {
    let syntax = |error: String| RewriteError::Syntax { format: "TOML", error };
    let table: toml::Table =
        toml::from_str(text).map_err(|err| syntax(err.message().to_owned()))?;
    let mut root = from_toml(toml::Value::Table(table)).map_err(syntax)?;
    check(&root)?;
    if set(&mut root, replace)?.is_empty() {
        return Ok(text.to_owned());
    }
    toml::to_string(&root).map_err(|err| syntax(err.to_string()))
}

fn from_toml(value: toml::Value) -> Result<Value, String> {
    Ok(match value {
        toml::Value::String(text) => Value::String(text),
        toml::Value::Integer(number) => number.into(),
        toml::Value::Float(number) => number.into(),
        toml::Value::Boolean(value) => Value::Bool(value),
        // It would come back as text.
        toml::Value::Datetime(date) => return Err(format!("the date `{date}` cannot be kept")),
        toml::Value::Array(list) => {
            Value::Array(list.into_iter().map(from_toml).collect::<Result<_, _>>()?)
        }
        toml::Value::Table(table) => {
            let entry = |(key, value)| Ok::<_, String>((key, from_toml(value)?));
            Value::Object(table.into_iter().map(entry).collect::<Result<_, _>>()?)
        }
    })
}
