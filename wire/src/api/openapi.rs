//! Pure: the contract table as an OpenAPI 3.1 document.
//!
//! Everything in it comes from the rows, the types and their docs. Schemas of what goes in and of
//! what comes out are made apart: a field with a default may be missing in a request, but is always
//! there in an answer. Where the two differ, that of the request is named with `Input` at its end.

use super::{
    AREAS, BODY_BYTES_MAX, Code, Endpoint, KEY_BYTES_MAX, Params as _, Permission, Problem,
    RequestBody as _, Row, params::Parameter,
};
use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// The document.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Document(pub Map<String, Value>);

/// Makers of schemas.
pub struct Schemas {
    input: SchemaGenerator,
    output: SchemaGenerator,
}

/// Types of one endpoint as schemas.
pub struct Described {
    path: Vec<Parameter>,
    query: Vec<Parameter>,
    body: Option<Schema>,
    out: Option<Schema>,
}

/// Describes the types of an endpoint.
pub(super) fn describe<E: Endpoint>(schemas: &mut Schemas) -> Described {
    let has_out = E::STATUS != 204 && E::STATUS != 101;
    Described {
        path: E::Path::describe(&mut schemas.input),
        query: E::Query::describe(&mut schemas.input),
        body: E::Body::EXPECTED.then(|| schemas.input.subschema_for::<E::Body>()),
        out: has_out.then(|| schemas.output.subschema_for::<E::Out>()),
    }
}

/// Returns the schema of the body of an endpoint, with all that it refers to.
pub(super) fn body_schema<E: Endpoint>() -> Value {
    let generator = SchemaSettings::draft2020_12().into_generator();
    generator.into_root_schema_for::<E::Body>().into()
}

/// Makes the document; `version` is that of the program.
#[must_use]
pub fn document(version: &str) -> Document {
    let settings = || {
        let mut settings = SchemaSettings::draft2020_12();
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
        settings
    };
    let mut schemas = Schemas {
        input: settings().into_generator(),
        output: settings().for_serialize().into_generator(),
    };
    let problem = schemas.output.subschema_for::<Problem>();
    let rows = || AREAS.iter().flat_map(|area| area.rows);
    let described: Vec<Described> = rows().map(|row| (row.describe)(&mut schemas)).collect();
    let mut definitions = schemas.output.take_definitions(true);
    let input = schemas.input.take_definitions(true);
    let renamed = differing(&input, &definitions);
    for (name, mut schema) in input {
        rename(&mut schema, &renamed);
        let name = renamed.get(&name).cloned().unwrap_or(name);
        definitions.insert(name, schema);
    }
    let mut paths: Map<String, Value> = Map::new();
    for (row, described) in rows().zip(described) {
        let mut operation = operation(row, described, &problem, &renamed);
        tidy(&mut operation);
        let methods = paths.entry(row.path).or_insert_with(|| json!({}));
        methods[row.method.name().to_lowercase()] = operation;
    }
    let mut definitions = Value::Object(definitions);
    tidy(&mut definitions);
    let tags: Vec<Value> =
        AREAS.iter().map(|area| json!({ "name": area.tag, "description": area.about })).collect();
    let document = json!({
        "openapi": "3.1.0",
        "info": info(version),
        "servers": [{ "url": "/", "description": "This hub." }],
        "tags": tags,
        "paths": paths,
        "components": { "schemas": definitions, "securitySchemes": security_schemes() },
    });
    match document {
        Value::Object(fields) => Document(fields),
        _ => Document(Map::new()),
    }
}

fn info(version: &str) -> Value {
    json!({
        "title": "Mamba Host Panel",
        "version": version,
        "license": { "name": "AGPL-3.0-or-later", "identifier": "AGPL-3.0-or-later" },
        "description": format!(
            "Runs game servers on nodes behind links that come and go.\n\n\
             Requests and answers are JSON; a request has at most {BODY_BYTES_MAX} bytes, and a field \
             or parameter that is not known is refused by its name. Times are milliseconds since \
             1970-01-01 UTC. Every refusal is a problem (RFC 9457) with a `code` for programs. Lists \
             come in pages: give `next` of one as `after` of the following. What belongs to another \
             tenant answers exactly like what does not exist."
        ),
    })
}

fn security_schemes() -> Value {
    json!({
        "bearer": {
            "type": "http",
            "scheme": "bearer",
            "description": "An access token, from signing in.",
        },
        "ticket": {
            "type": "apiKey",
            "in": "query",
            "name": "ticket",
            "description": "A single-use ticket for one console.",
        },
    })
}

fn operation(
    row: &Row,
    described: Described,
    problem: &Schema,
    renamed: &BTreeMap<String, String>,
) -> Value {
    let Described { path, query, body, out } = described;
    let parameter = |place: &str, it: Parameter| {
        let mut schema = Value::from(it.schema);
        rename(&mut schema, renamed);
        json!({
            "name": it.name,
            "in": place,
            "required": it.is_required,
            "description": it.about,
            "schema": schema,
        })
    };
    let mut parameters: Vec<Value> = path.into_iter().map(|it| parameter("path", it)).collect();
    // The ticket is a credential, and stands there.
    let is_credential =
        |it: &Parameter| row.permission == Permission::Ticket && it.name == "ticket";
    let query = query.into_iter().filter(|it| !is_credential(it));
    parameters.extend(query.map(|it| parameter("query", it)));
    parameters.extend(header_parameters(row));
    let mut operation = json!({
        "operationId": row.name,
        "tags": [row.tag],
        "summary": row.summary,
        "description": audience(row.permission),
        "security": security(row.permission),
        "parameters": parameters,
        "responses": responses(row, out, problem),
    });
    if let Some(body) = body {
        let mut schema = Value::from(body);
        rename(&mut schema, renamed);
        operation["requestBody"] =
            json!({ "required": true, "content": { "application/json": { "schema": schema } } });
    }
    operation
}

fn header_parameters(row: &Row) -> Vec<Value> {
    let header = |name: &str, about: &str, schema: Value| {
        json!({
            "name": name, "in": "header", "required": false, "description": about, "schema": schema,
        })
    };
    let mut all = Vec::new();
    if row.keyed {
        let about = "The same key with the same body gives the first answer again for a day, and \
                     does nothing.";
        let schema = json!({
            "type": "string", "minLength": 1, "maxLength": KEY_BYTES_MAX, "pattern": "^[!-~]+$",
        });
        all.push(header("idempotency-key", about, schema));
    }
    if row.is_tagged() {
        let about = "Tags that are known: the answer is 304 without a body when it is one of them.";
        all.push(header("if-none-match", about, json!({ "type": "string" })));
    }
    if row.object().is_some() {
        let about = "The `etag` that the change is based on: refused with 412 when another change \
                     came in between.";
        all.push(header("if-match", about, json!({ "type": "string" })));
    }
    all
}

/// Who may ask, in words.
fn audience(permission: Permission) -> String {
    let key = |key: Value| key.as_str().unwrap_or_default().to_owned();
    match permission {
        Permission::Public => "For everybody.".to_owned(),
        Permission::SettingUp => {
            "For everybody who is signed in, also without a second factor that is due.".to_owned()
        }
        Permission::SignedIn => "For everybody who is signed in.".to_owned(),
        Permission::Ticket => "For the holder of a ticket.".to_owned(),
        Permission::Admin(right) => {
            format!("For administrators with `{}`.", key(json!(right)))
        }
        Permission::Tenant(right) => {
            format!("For who has `{}` over the tenant.", key(json!(right)))
        }
        Permission::Server(right) => {
            format!("For who has `{}` for the server.", key(json!(right)))
        }
    }
}

fn security(permission: Permission) -> Value {
    match permission {
        Permission::Public => json!([]),
        Permission::Ticket => json!([{ "ticket": [] }]),
        Permission::SettingUp
        | Permission::SignedIn
        | Permission::Admin(_)
        | Permission::Tenant(_)
        | Permission::Server(_) => {
            json!([{ "bearer": [] }])
        }
    }
}

fn responses(row: &Row, out: Option<Schema>, problem: &Schema) -> Value {
    let mut all = Map::new();
    let mut headers = json!({
        "x-request-id": header("Names the request in the hub's log."),
        "ratelimit-limit": header("Requests that may come at once."),
        "ratelimit-remaining": header("Requests that may still come at once."),
        "ratelimit-reset": header("Seconds until all of them may come again."),
    });
    let told = headers.clone();
    if row.is_tagged() {
        headers["etag"] = header("Version of the answer.");
        let unchanged =
            json!({ "description": "It is as `if-none-match` says.", "headers": headers });
        all.insert("304".to_owned(), unchanged);
    }
    let mut success = json!({ "description": row.summary, "headers": headers });
    if let Some(schema) = out.clone() {
        success["content"] = json!({ "application/json": { "schema": schema } });
    }
    all.insert(row.status.to_string(), success);
    let mut by_status: BTreeMap<u16, Vec<Code>> = BTreeMap::new();
    for code in row.codes() {
        by_status.entry(code.status()).or_default().push(code);
    }
    for (status, codes) in by_status {
        let lines: Vec<String> =
            codes.iter().map(|code| format!("`{}`: {}.", code.text(), code.title())).collect();
        let mut headers = told.clone();
        if matches!(status, 429 | 503) {
            headers["retry-after"] = header("Seconds to wait before trying again.");
        }
        let mut content = json!({ "application/problem+json": { "schema": problem } });
        // Health says what is wrong in its own form.
        if let Some(schema) = out.as_ref().filter(|_| status == 503 && row.tag == "health") {
            content["application/json"] = json!({ "schema": schema });
        }
        let refusal = json!({
            "description": lines.join(" "), "headers": headers, "content": content,
        });
        all.insert(status.to_string(), refusal);
    }
    all.sort_keys();
    Value::Object(all)
}

fn header(about: &str) -> Value {
    json!({ "description": about, "schema": { "type": "string" } })
}

/// Names of the input's definitions that are not like the output's of the same name, directly or
/// through what they refer to, with the names that they get.
fn differing(input: &Map<String, Value>, output: &Map<String, Value>) -> BTreeMap<String, String> {
    let is_unlike = |(name, schema): &(&String, &Value)| {
        output.get(*name).is_some_and(|other| other != *schema)
    };
    let mut unlike: BTreeSet<&String> =
        input.iter().filter(is_unlike).map(|(name, _)| name).collect();
    loop {
        let refers = |schema: &Value| {
            let mut found = false;
            visit_references(schema, &mut |name| found |= unlike.iter().any(|it| *it == name));
            found
        };
        let more: Vec<&String> = input
            .iter()
            .filter(|(name, schema)| {
                !unlike.contains(name) && output.contains_key(*name) && refers(schema)
            })
            .map(|(name, _)| name)
            .collect();
        if more.is_empty() {
            return unlike.into_iter().map(|name| (name.clone(), format!("{name}Input"))).collect();
        }
        unlike.extend(more);
    }
}

const REFERENCE: &str = "#/components/schemas/";

fn visit_references(schema: &Value, seen: &mut impl FnMut(&str)) {
    match schema {
        Value::Object(fields) => {
            for (key, value) in fields {
                match value.as_str().and_then(|text| text.strip_prefix(REFERENCE)) {
                    Some(name) if key == "$ref" => seen(name),
                    _ => visit_references(value, seen),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| visit_references(item, seen)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Puts new names into references.
fn rename(schema: &mut Value, names: &BTreeMap<String, String>) {
    match schema {
        Value::Object(fields) => {
            for (key, value) in fields {
                let name = value.as_str().and_then(|text| text.strip_prefix(REFERENCE));
                match name.and_then(|name| names.get(name)).filter(|_| key == "$ref") {
                    Some(name) => *value = json!(format!("{REFERENCE}{name}")),
                    None => rename(value, names),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| rename(item, names)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Takes the links of rustdoc out of descriptions.
fn tidy(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                match value {
                    Value::String(text) if key == "description" => {
                        *text =
                            text.replace("[`super::", "`").replace("[`", "`").replace("`]", "`");
                    }
                    _ => tidy(value),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
