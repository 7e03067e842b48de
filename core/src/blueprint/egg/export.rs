//! Pure: writes a blueprint as an egg that Pterodactyl and Pelican read.
//!
//! What the egg format has no field for stands in `mamba`, which other panels leave out, and in
//! `startup_commands`, `tags` and `uuid`, which Pelican knows.

use super::top::{PORTS, STOP_GRACE_MS, slug};
use crate::{
    blueprint::{Blueprint, Entry, Rule, Variable},
    server::{ConfigFile, ConfigParser, DoneMatch, Replacement, ValueKind},
};
use serde_json::{Map, Value, json};

/// Writes `PTDL_v2`.
#[must_use]
pub fn to_ptdl_v2(blueprint: &Blueprint) -> String {
    let files: Map<String, Value> = blueprint.config_files.iter().map(file).collect();
    let startup = match done(&blueprint.done) {
        Some(done) => json!({ "done": done }),
        None => json!({}),
    };
    let images: Map<String, Value> = images(blueprint);
    let install = blueprint.install.as_ref();
    let script = |text: fn(&crate::blueprint::InstallScript) -> &str| install.map_or("", text);
    let mut egg = json!({
        "_comment": "DO NOT EDIT: FILE GENERATED AUTOMATICALLY BY MAMBA HOST PANEL",
        "meta": { "version": "PTDL_v2", "update_url": blueprint.update_url },
        "name": blueprint.name,
        "author": blueprint.author,
        "description": blueprint.description,
        "features": blueprint.features,
        "docker_images": images,
        "file_denylist": blueprint.file_denylist,
        "startup": blueprint.startup,
        "config": {
            "files": pretty(&Value::Object(files)),
            "startup": pretty(&startup),
            "logs": "{}",
            "stop": blueprint.stop,
        },
        "scripts": { "installation": {
            "script": script(|it| &it.script),
            "container": script(|it| &it.image),
            "entrypoint": script(|it| &it.entrypoint),
        } },
        "variables": blueprint.variables.iter().map(variable).collect::<Vec<_>>(),
    });
    if let Value::Object(egg) = &mut egg {
        egg.extend(beyond(blueprint));
    }
    let mut text = pretty(&egg);
    text.push('\n');
    text
}

/// What only some readers know.
fn beyond(blueprint: &Blueprint) -> Map<String, Value> {
    let mut extra = Map::new();
    if let Some(uuid) = &blueprint.uuid {
        extra.insert("uuid".to_owned(), json!(uuid));
    }
    if !blueprint.tags.is_empty() {
        extra.insert("tags".to_owned(), json!(blueprint.tags));
    }
    if !blueprint.startups.is_empty() {
        let lines = blueprint.startups.iter().map(|it| (it.label.clone(), json!(it.line)));
        extra.insert("startup_commands".to_owned(), Value::Object(lines.collect()));
    }
    let mut own = Map::new();
    if blueprint.key != slug(&blueprint.name) {
        own.insert("key".to_owned(), json!(blueprint.key));
    }
    if blueprint.entry != Entry::Image {
        own.insert("entry".to_owned(), json!(blueprint.entry));
    }
    if blueprint.stop_grace_ms != STOP_GRACE_MS {
        own.insert("stop_grace_ms".to_owned(), json!(blueprint.stop_grace_ms));
    }
    if blueprint.ports != PORTS {
        own.insert("ports".to_owned(), json!(blueprint.ports));
    }
    if !blueprint.capabilities.is_empty() {
        own.insert("capabilities".to_owned(), json!(blueprint.capabilities));
    }
    if !own.is_empty() {
        extra.insert("mamba".to_owned(), Value::Object(own));
    }
    extra
}

/// Images by label. A label that is taken gets the image behind it, since a map has each only once.
fn images(blueprint: &Blueprint) -> Map<String, Value> {
    let mut images = Map::new();
    for choice in &blueprint.images {
        let is_taken = images.contains_key(&choice.label);
        let label = if is_taken {
            format!("{} ({})", choice.label, choice.image)
        } else {
            choice.label.clone()
        };
        images.insert(label, json!(choice.image));
    }
    images
}

fn file(file: &ConfigFile) -> (String, Value) {
    let parser = match file.parser {
        ConfigParser::File => "file",
        ConfigParser::Properties => "properties",
        ConfigParser::Ini => "ini",
        ConfigParser::Json => "json",
        ConfigParser::Yaml => "yaml",
        ConfigParser::Xml => "xml",
        ConfigParser::Toml => "toml",
    };
    let mut find = Map::new();
    for each in &file.replace {
        let value = value(each);
        match (&each.if_value, find.get_mut(&each.key)) {
            (Some(present), Some(Value::Object(conditions))) => {
                conditions.insert(present.clone(), value);
            }
            (Some(present), _) => {
                find.insert(each.key.clone(), json!({ present.as_str(): value }));
            }
            (None, _) => {
                find.insert(each.key.clone(), value);
            }
        }
    }
    (file.path.clone(), json!({ "parser": parser, "find": find }))
}

fn value(each: &Replacement) -> Value {
    let typed = match each.kind {
        ValueKind::Json => serde_json::from_str(&each.value).ok(),
        ValueKind::Text => None,
    };
    typed.unwrap_or_else(|| json!(each.value))
}

/// A single text when there is one, a list otherwise.
fn done(done: &[DoneMatch]) -> Option<Value> {
    let text = |it: &DoneMatch| match it {
        DoneMatch::Contains(text) => text.clone(),
        DoneMatch::Regex(pattern) => format!("regex:{pattern}"),
    };
    match done {
        [] => None,
        [single] => Some(json!(text(single))),
        several => Some(json!(several.iter().map(text).collect::<Vec<_>>())),
    }
}

fn variable(it: &Variable) -> Value {
    let rules: Vec<String> = it.rules.iter().map(Rule::to_laravel).collect();
    // A rule with `|` in it can only stand in a list.
    let is_plain = rules.iter().all(|rule| !rule.contains('|'));
    let rules = if is_plain { json!(rules.join("|")) } else { json!(rules) };
    let mut variable = json!({
        "name": it.name,
        "description": it.description,
        "env_variable": it.env,
        "default_value": it.default,
        "user_viewable": it.user_viewable,
        "user_editable": it.user_editable,
        "rules": rules,
        "field_type": "text",
    });
    if let (Some(sort), Value::Object(fields)) = (it.sort, &mut variable) {
        fields.insert("sort".to_owned(), json!(sort));
    }
    variable
}

fn pretty(value: &Value) -> String {
    // Maps with text keys always have a form.
    serde_json::to_string_pretty(value).unwrap_or_default()
}
