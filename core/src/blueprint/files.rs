//! Pure: sets values in a game's config file and leaves everything else as it was.
//!
//! Comments, order, blank lines and line ends stay. A key that is not there is added at the end (of
//! its section). Setting the same values twice changes nothing the second time.

use crate::server::{ConfigParser, Replacement};
use serde_json::Value;

/// Largest config file that is read, in bytes. Real ones are far smaller; above this the file is an
/// attempt to use up memory.
pub const FILE_BYTES_MAX: usize = 4 << 20;

/// Why a config file could not be rewritten.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RewriteError {
    /// Over [`FILE_BYTES_MAX`].
    #[error("config file of {bytes} bytes is over the limit of {FILE_BYTES_MAX}")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// Not JSON.
    #[error("config file is not JSON: {0}")]
    Json(String),
    /// A key goes through something that holds no keys.
    #[error("config key `{key}` goes through a value that is no object or list")]
    NoContainer {
        /// The key.
        key: String,
    },
}

/// Returns the text with the values set.
///
/// # Errors
/// When the file is too large, or not what the parser reads.
pub fn rewrite(
    parser: ConfigParser,
    text: &str,
    replace: &[Replacement],
) -> Result<String, RewriteError> {
    if text.len() > FILE_BYTES_MAX {
        return Err(RewriteError::TooLarge { bytes: text.len() });
    }
    match parser {
        ConfigParser::Json => rewrite_json(text, replace),
        ConfigParser::File | ConfigParser::Properties | ConfigParser::Ini => {
            let mut lines = Lines::new(text);
            for each in replace {
                match parser {
                    ConfigParser::File => set_prefix(&mut lines, each),
                    ConfigParser::Properties => set_pair(&mut lines, None, &each.key, each),
                    ConfigParser::Ini | ConfigParser::Json => {
                        let (section, key) = split_ini_key(&each.key);
                        set_pair(&mut lines, Some(section), key, each);
                    }
                }
            }
            Ok(lines.into_text())
        }
    }
}

/// A text as lines, with the line end that it uses.
struct Lines {
    lines: Vec<String>,
    end: &'static str,
}

impl Lines {
    fn new(text: &str) -> Self {
        let end = if text.contains("\r\n") { "\r\n" } else { "\n" };
        Self { lines: text.lines().map(str::to_owned).collect(), end }
    }

    fn into_text(self) -> String {
        let mut text = self.lines.join(self.end);
        if !text.is_empty() {
            text.push_str(self.end);
        }
        text
    }
}

/// Replaces every line that begins with the key by the value; adds it when there is none.
fn set_prefix(lines: &mut Lines, each: &Replacement) {
    let mut found = false;
    for line in &mut lines.lines {
        if line.trim_start().starts_with(&each.key) {
            found = true;
            let present = line.trim_start()[each.key.len()..].trim();
            if each.if_value.as_deref().is_none_or(|value| value == present) {
                line.clone_from(&each.value);
            }
        }
    }
    if !found && each.if_value.is_none() {
        lines.lines.push(each.value.clone());
    }
}

/// Sets `key = value` in a section; `None` takes the whole text for one section.
fn set_pair(lines: &mut Lines, section: Option<&str>, key: &str, each: &Replacement) {
    let mut current = String::new();
    // Where a new key goes: behind the last line of the section that is not blank.
    let mut insert_at = section.is_none_or(str::is_empty).then_some(0);
    let mut found = false;
    for (index, line) in lines.lines.iter_mut().enumerate() {
        let heading = if section.is_some() { heading(line) } else { None };
        if let Some(heading) = heading {
            heading.clone_into(&mut current);
        }
        if section.is_some_and(|section| section != current) || line.trim().is_empty() {
            continue;
        }
        insert_at = Some(index + 1);
        let Some((present_key, present)) = pair(line) else { continue };
        if present_key != key {
            continue;
        }
        found = true;
        if each.if_value.as_deref().is_none_or(|value| value == present) {
            let indent = &line[..line.len() - line.trim_start().len()];
            // Only what is in front of it tells the style: a value may begin with a space.
            let is_spaced = line.split_once('=').is_some_and(|(front, _)| front.ends_with(' '));
            let equals = if is_spaced { " = " } else { "=" };
            *line = format!("{indent}{key}{equals}{}", each.value);
        }
    }
    if found || each.if_value.is_some() {
        return;
    }
    let new = format!("{key}={}", each.value);
    if let Some(at) = insert_at {
        lines.lines.insert(at, new);
    } else {
        lines.lines.push(format!("[{}]", section.unwrap_or_default()));
        lines.lines.push(new);
    }
}

/// Returns the name of a section when the line is its heading.
fn heading(line: &str) -> Option<&str> {
    line.trim().strip_prefix('[')?.strip_suffix(']').map(str::trim)
}

/// Returns key and value of a line that sets one.
fn pair(line: &str) -> Option<(&str, &str)> {
    let line = line.trim();
    if line.starts_with(['#', ';', '!']) {
        return None;
    }
    line.split_once('=').map(|(key, value)| (key.trim(), value.trim()))
}

/// Splits `section.key`, or `[section with.dots].key`; without a section it is empty.
fn split_ini_key(key: &str) -> (&str, &str) {
    if let Some((section, rest)) = key.strip_prefix('[').and_then(|rest| rest.split_once("].")) {
        return (section, rest);
    }
    key.split_once('.').unwrap_or(("", key))
}

fn rewrite_json(text: &str, replace: &[Replacement]) -> Result<String, RewriteError> {
    let mut root: Value = if text.trim().is_empty() {
        Value::Object(serde_json::Map::new())
    } else {
        serde_json::from_str(text).map_err(|err| RewriteError::Json(err.to_string()))?
    };
    for each in replace {
        set_json(&mut root, each)?;
    }
    let mut text =
        serde_json::to_string_pretty(&root).map_err(|err| RewriteError::Json(err.to_string()))?;
    text.push('\n');
    Ok(text)
}

fn set_json(root: &mut Value, each: &Replacement) -> Result<(), RewriteError> {
    let no_container = || RewriteError::NoContainer { key: each.key.clone() };
    let mut place = root;
    for part in each.key.split('.') {
        if place.is_null() {
            *place = Value::Object(serde_json::Map::new());
        }
        place = match place {
            Value::Object(map) => map.entry(part).or_insert(Value::Null),
            Value::Array(list) => {
                let index: usize = part.parse().map_err(|_| no_container())?;
                list.get_mut(index).ok_or_else(no_container)?
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                return Err(no_container());
            }
        };
    }
    let present = match &*place {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    if each.if_value.as_deref().is_none_or(|value| value == present) {
        *place = json_value(place, &each.value);
    }
    Ok(())
}

/// Returns the value in the type that the present one has; without one, numbers and truth values
/// are recognised by their text.
fn json_value(present: &Value, text: &str) -> Value {
    if present.is_string() {
        return Value::String(text.to_owned());
    }
    match serde_json::from_str(text) {
        Ok(value @ (Value::Bool(_) | Value::Number(_))) => value,
        Ok(_) | Err(_) => Value::String(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(key: &str, value: &str) -> Replacement {
        Replacement { key: key.into(), value: value.into(), if_value: None }
    }

    #[track_caller]
    fn check(parser: ConfigParser, text: &str, replace: &[Replacement], expected: &str) {
        let once = rewrite(parser, text, replace).unwrap();
        assert_eq!(once, expected);
        assert_eq!(rewrite(parser, &once, replace).unwrap(), expected, "the second time");
    }

    #[test]
    fn lines_are_found_by_their_beginning() {
        let replace = [set("sv_port ", "sv_port 8304"), set("sv_name ", "sv_name \"x y\"")];
        check(
            ConfigParser::File,
            "# sv_name a\nsv_port 1\nsv_portal 2\n",
            &replace,
            "# sv_name a\nsv_port 8304\nsv_portal 2\nsv_name \"x y\"\n",
        );
    }

    #[test]
    fn properties_keep_comments_order_and_line_ends() {
        check(
            ConfigParser::Properties,
            "#port=1\r\nport = 2\r\n\r\nmotd=hi\r\n",
            &[set("port", "3"), set("motd", "a=b"), set("new", "x")],
            "#port=1\r\nport = 3\r\n\r\nmotd=a=b\r\nnew=x\r\n",
        );
        check(ConfigParser::Properties, "", &[set("a", "1")], "a=1\n");
    }

    #[test]
    fn ini_keys_belong_to_their_section() {
        let text = "port=0\n[a]\nport = 1\n\n[b/c.d]\nport=2\n";
        check(
            ConfigParser::Ini,
            text,
            &[set("a.port", "7"), set("[b/c.d].port", "8"), set("a.new", "9"), set("z.k", "v")],
            "port=0\n[a]\nport = 7\nnew=9\n\n[b/c.d]\nport=8\n[z]\nk=v\n",
        );
        check(ConfigParser::Ini, "[a]\nx=1\n", &[set("x", "2")], "x=2\n[a]\nx=1\n");
        check(ConfigParser::Ini, "x=  #\n", &[set("x", "  #")], "x=  #\n");
    }

    #[test]
    fn a_condition_guards_a_value() {
        let mut replace = set("a", "2");
        replace.if_value = Some("1".into());
        check(ConfigParser::Properties, "a=0\n", std::slice::from_ref(&replace), "a=0\n");
        let done = rewrite(ConfigParser::Properties, "a=1\n", &[replace]).unwrap();
        assert_eq!(done, "a=2\n");
    }

    #[test]
    fn json_values_keep_their_type() {
        check(
            ConfigParser::Json,
            r#"{"port": 1, "name": "5", "list": [{"x": true}]}"#,
            &[set("port", "2"), set("name", "6"), set("list.0.x", "false"), set("n.m", "q")],
            "{\n  \"list\": [\n    {\n      \"x\": false\n    }\n  ],\n  \"n\": {\n    \"m\": \"q\"\n  \
             },\n  \"name\": \"6\",\n  \"port\": 2\n}\n",
        );
        let through = rewrite(ConfigParser::Json, r#"{"a":1}"#, &[set("a.b", "1")]);
        assert_eq!(through, Err(RewriteError::NoContainer { key: "a.b".into() }));
        assert!(matches!(rewrite(ConfigParser::Json, "{", &[]), Err(RewriteError::Json(_))));
    }

    /// CVE-2026-52857: a config parser without a size limit.
    #[test]
    fn a_huge_file_is_refused() {
        let text = "a".repeat(FILE_BYTES_MAX + 1);
        let refused = rewrite(ConfigParser::File, &text, &[]);
        assert_eq!(refused, Err(RewriteError::TooLarge { bytes: FILE_BYTES_MAX + 1 }));
    }
}
