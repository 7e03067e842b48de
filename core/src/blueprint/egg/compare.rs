//! Pure: whether two definitions mean the same.

use crate::blueprint::Blueprint;
use serde_json::Value;

/// Returns the paths of the fields in which two definitions differ, in order. Everything counts, the
/// order of images, variables and files too: the first image is the default.
#[must_use]
pub fn differences(one: &Blueprint, other: &Blueprint) -> Vec<String> {
    let mut paths = Vec::new();
    match (serde_json::to_value(one), serde_json::to_value(other)) {
        (Ok(one), Ok(other)) => walk("", &one, &other, &mut paths),
        // Plain values always have a form; without one nothing can be said.
        _ => paths.push("blueprint".to_owned()),
    }
    paths
}

fn walk(path: &str, one: &Value, other: &Value, paths: &mut Vec<String>) {
    let inner =
        |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            for (name, value) in one {
                walk(&inner(name), value, other.get(name).unwrap_or(&Value::Null), paths);
            }
            let missing = other.keys().filter(|name| !one.contains_key(*name));
            paths.extend(missing.map(|name| inner(name)));
        }
        (Value::Array(one), Value::Array(other)) => {
            for index in 0..one.len().max(other.len()) {
                let at = |list: &[Value]| list.get(index).cloned().unwrap_or(Value::Null);
                walk(&inner(&index.to_string()), &at(one), &at(other), paths);
            }
        }
        (one, other) if one == other => {}
        _ => paths.push(path.to_owned()),
    }
}
