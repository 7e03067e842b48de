//! Which values of a body are objects, by the schemas of the contract. serde takes the fields of a struct
//! from a list too, by their order: nobody is to depend on an order that no contract tells.

use mamba_core::error::Invalid;
use mamba_wire::api::{ENDPOINTS, Row};
use serde_json::Value;
use std::{collections::BTreeMap, sync::LazyLock};

/// Schemas of all bodies by the endpoint's name, made with the first body that holds a list.
static SCHEMAS: LazyLock<BTreeMap<&str, Value>> = LazyLock::new(|| {
    let rows = ENDPOINTS.iter().filter(|row| row.has_body);
    rows.map(|row| (row.name, (row.body_schema)())).collect()
});

/// References and choices that are followed within one another; the contract has three.
const DEPTH_MAX: usize = 16;

/// Refuses a list where the contract has an object. What is no JSON is left to who reads it.
///
/// # Errors
/// Names the path of the list.
pub(super) fn check(row: &Row, body: &[u8]) -> Result<(), Invalid> {
    if !body.contains(&b'[') {
        return Ok(());
    }
    let (Some(schema), Ok(value)) = (SCHEMAS.get(row.name), serde_json::from_slice(body)) else {
        return Ok(());
    };
    check_value(schema, &value)
}

fn check_value(schema: &Value, value: &Value) -> Result<(), Invalid> {
    let mut path = Vec::new();
    if is_right(schema, &[schema], value, &mut path) {
        return Ok(());
    }
    let path = if path.is_empty() { "body".to_owned() } else { path.join(".") };
    Err(Invalid::new(path, "must be an object"))
}

/// Whether a value fits one of the schemas that stand at its place, as far as lists and objects go. When
/// it does not, the path leads to where.
fn is_right(root: &Value, schemas: &[&Value], value: &Value, path: &mut Vec<String>) -> bool {
    let mut all = Vec::new();
    schemas.iter().for_each(|it| unfold(root, it, DEPTH_MAX, &mut all));
    let mut go = |name: String, below: Vec<&Value>, value: &Value| {
        path.push(name);
        let is_right = is_right(root, &below, value, path);
        if is_right {
            path.pop();
        }
        is_right
    };
    match value {
        Value::Array(items) => {
            let takes_lists = all.iter().any(|it| takes(it, "array"));
            let below: Vec<_> = all.iter().filter_map(|it| it.get("items")).collect();
            let is_struct = all.iter().any(|it| takes(it, "object"));
            (takes_lists || !is_struct)
                && items.iter().enumerate().all(|(at, it)| go(at.to_string(), below.clone(), it))
        }
        Value::Object(fields) => fields.iter().all(|(name, value)| {
            let below = all.iter().copied().filter_map(|it| field(it, name)).collect();
            go(name.clone(), below, value)
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
    }
}

/// Follows references and choices down to schemas that say something themselves.
fn unfold<'a>(root: &'a Value, schema: &'a Value, depth: usize, all: &mut Vec<&'a Value>) {
    let Some(depth) = depth.checked_sub(1) else { return };
    all.push(schema);
    let target = schema.get("$ref").and_then(Value::as_str).and_then(|it| it.strip_prefix('#'));
    if let Some(target) = target.and_then(|it| root.pointer(it)) {
        unfold(root, target, depth, all);
    }
    for choice in ["anyOf", "oneOf", "allOf"] {
        let some = schema.get(choice).and_then(Value::as_array);
        some.into_iter().flatten().for_each(|it| unfold(root, it, depth, all));
    }
}

/// Whether a schema takes values of a type. One that refers or chooses says nothing itself; one that says
/// nothing at all takes everything.
fn takes(schema: &Value, kind: &str) -> bool {
    let says = ["$ref", "anyOf", "oneOf", "allOf", "type", "const", "enum"];
    match schema.get("type") {
        Some(Value::String(one)) => one == kind,
        Some(Value::Array(some)) => some.iter().any(|it| it == kind),
        Some(_) | None => !says.iter().any(|it| schema.get(it).is_some()),
    }
}

/// Returns what a schema says of a field.
fn field<'a>(schema: &'a Value, name: &str) -> Option<&'a Value> {
    let named = schema.get("properties").and_then(|it| it.get(name));
    named.or_else(|| schema.get("additionalProperties"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_list_is_taken_where_the_contract_has_one() {
        let schema = json!({
            "type": "object",
            "properties": {
                "limits": { "$ref": "#/$defs/Limits" },
                "maybe": { "anyOf": [{ "$ref": "#/$defs/Limits" }, { "type": "null" }] },
                "either": { "oneOf": [{ "type": "string" }, {
                    "type": "object",
                    "properties": { "deep": { "$ref": "#/$defs/Limits" } },
                }] },
                "names": { "type": ["array", "null"], "items": { "type": "string" } },
                "many": { "type": "array", "items": { "$ref": "#/$defs/Limits" } },
                "map": { "type": "object", "additionalProperties": { "$ref": "#/$defs/Limits" } },
                "any": true,
            },
            "$defs": { "Limits": { "type": "object", "properties": { "cpu": { "type": "integer" } } } },
        });
        for (body, path) in [
            (json!({ "limits": { "cpu": 1 } }), None),
            (json!({ "limits": [1] }), Some("limits")),
            (json!({ "maybe": [1] }), Some("maybe")),
            (json!({ "maybe": null }), None),
            (json!({ "either": [[1]] }), Some("either")),
            (json!({ "either": { "deep": [] } }), Some("either.deep")),
            (json!({ "names": ["a"] }), None),
            (json!({ "many": [{ "cpu": 1 }, [1]] }), Some("many.1")),
            (json!({ "map": { "a": {}, "b": [1] } }), Some("map.b")),
            (json!({ "any": [[1], { "a": [] }] }), None),
            // Not known, and refused by who reads it.
            (json!({ "other": [1] }), None),
            (json!([1]), Some("body")),
        ] {
            let found = check_value(&schema, &body).err().map(|it| it.field);
            assert_eq!(found.as_deref(), path, "{body}");
        }
    }
}
