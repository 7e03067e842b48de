//! Pure: `config` of an egg: files to rewrite, when the game is ready, how it stops.

use super::{Notes, fields};
use crate::{
    error::Invalid,
    server::{ConfigFile, ConfigParser, DoneMatch, Replacement, Signal, StopMethod, ValueKind},
};
use serde_json::{Map, Value};

/// Returns the files that are rewritten before a start.
pub(super) fn files(
    config: &Map<String, Value>,
    notes: &mut Notes,
) -> Result<Vec<ConfigFile>, Invalid> {
    let files = fields::unfolded(config.get("files"), "config.files")?;
    let mut out = Vec::new();
    for (name, file) in files.iter() {
        let path = format!("config.files.{name}");
        let file = fields::map(Some(file), &path)?;
        let parser = parser(&file, &path)?;
        let find = fields::map(file.get("find"), &format!("{path}.find"))?;
        let mut replace = Vec::new();
        for (key, value) in find.iter() {
            replacements(key, value, &format!("{path}.find.{key}"), &mut replace, notes)?;
        }
        out.push(ConfigFile { path: inner_path(name, &path, notes), parser, replace });
    }
    Ok(out)
}

fn parser(file: &Map<String, Value>, path: &str) -> Result<ConfigParser, Invalid> {
    let path = format!("{path}.parser");
    let name = fields::text(file.get("parser"), &path)?;
    Ok(match name.trim().to_ascii_lowercase().as_str() {
        "file" => ConfigParser::File,
        "properties" => ConfigParser::Properties,
        "ini" => ConfigParser::Ini,
        "json" => ConfigParser::Json,
        "yaml" | "yml" => ConfigParser::Yaml,
        "xml" => ConfigParser::Xml,
        "toml" => ConfigParser::Toml,
        _ => {
            let rule = "must be one of file, properties, ini, json, yaml, yml, xml, toml";
            return Err(Invalid::new(path, rule));
        }
    })
}

/// Makes the path of a file one below the server's folder.
fn inner_path(name: &str, path: &str, notes: &mut Notes) -> String {
    let parts: Vec<&str> =
        name.trim().split(['/', '\\']).filter(|part| !part.is_empty() && *part != ".").collect();
    let inner = parts.join("/");
    if inner != name {
        notes.add(path, format!("is taken as `{inner}` in the server's folder"));
    }
    inner
}

fn replacements(
    key: &str,
    value: &Value,
    path: &str,
    out: &mut Vec<Replacement>,
    notes: &mut Notes,
) -> Result<(), Invalid> {
    let Value::Object(conditions) = value else {
        out.extend(replacement(key, value, None, path, notes)?);
        return Ok(());
    };
    for (present, value) in conditions {
        let path = format!("{path}.{present}");
        out.extend(replacement(key, value, Some(present.clone()), &path, notes)?);
    }
    Ok(())
}

fn replacement(
    key: &str,
    value: &Value,
    if_value: Option<String>,
    path: &str,
    notes: &mut Notes,
) -> Result<Option<Replacement>, Invalid> {
    let (value, kind) = match value {
        Value::String(text) => (text.clone(), ValueKind::Text),
        Value::Bool(_) | Value::Number(_) => (value.to_string(), ValueKind::Json),
        Value::Null => {
            notes.add(path, "has no value and is left out");
            return Ok(None);
        }
        Value::Array(_) | Value::Object(_) => {
            let rule = "must be text, a number, `true`, `false` or a map of conditions to values";
            return Err(Invalid::new(path, rule));
        }
    };
    Ok(Some(Replacement { key: key.to_owned(), value, kind, if_value }))
}

/// Returns how the game says that it is ready. Blanks in a text matter and stay.
pub(super) fn done(
    config: &Map<String, Value>,
    notes: &mut Notes,
) -> Result<Vec<DoneMatch>, Invalid> {
    let startup = fields::unfolded(config.get("startup"), "config.startup")?;
    let path = "config.startup.done";
    for key in startup.keys().filter(|key| !matches!(key.as_str(), "done" | "strip_ansi")) {
        notes.add(format!("config.startup.{key}"), "means nothing any more and is left out");
    }
    let texts: Vec<String> = match startup.get("done") {
        None | Some(Value::Null) => {
            notes.add(path, "is missing: the game is ready as soon as it runs");
            vec![]
        }
        Some(Value::Array(list)) => list
            .iter()
            .enumerate()
            .map(|(index, it)| fields::text(Some(it), &format!("{path}.{index}")))
            .collect::<Result<_, _>>()?,
        Some(single) => vec![fields::text(Some(single), path)?],
    };
    if texts.iter().any(String::is_empty) {
        notes.add(path, "is empty: the game is ready with its first line");
    }
    let matcher = |text: String| match text.strip_prefix("regex:") {
        Some(pattern) => DoneMatch::Regex(pattern.to_owned()),
        None => DoneMatch::Contains(text),
    };
    Ok(texts.into_iter().map(matcher).collect())
}

/// Returns how the game is stopped, as the file spells it.
pub(super) fn stop(config: &Map<String, Value>, notes: &mut Notes) -> Result<String, Invalid> {
    let path = "config.stop";
    let stop = fields::text(config.get("stop"), path)?;
    match StopMethod::parse(&stop) {
        StopMethod::Runtime => notes.add(path, "is empty: the image's own stop signal is sent"),
        StopMethod::Signal(Signal::Kill) => notes.add(path, "kills without letting it save"),
        StopMethod::Signal(signal) if stop != "^C" => {
            notes.add(path, format!("`{stop}` is sent as {}", signal.name()));
        }
        StopMethod::Command(line) if line.len() == 1 && line != stop => {
            let byte = line.bytes().next().unwrap_or_default();
            notes.add(path, format!("`{stop}` is typed as the control character {byte:#04x}"));
        }
        StopMethod::Signal(_) | StopMethod::Command(_) => {}
    }
    Ok(stop)
}

/// Whether the file asks for a log of its own.
pub(super) fn has_logs(config: &Map<String, Value>) -> bool {
    fields::unfolded(config.get("logs"), "config.logs").map_or(true, |logs| !logs.is_empty())
}
