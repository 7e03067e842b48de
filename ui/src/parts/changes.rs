//! What became of what, as a small table: only the fields that changed, and names in the place of ids.

use crate::{i18n::t, reactive::selector};
use mamba_core::{audit::Change, ids::UserId};
use serde_json::Value;
use std::collections::BTreeMap;
use sycamore::prelude::*;

/// Fields inside fields that are told apart; what is deeper stays as it was written.
const DEPTH_MAX: usize = 4;
/// What is shown of an id that nobody has a name for.
const ID_CHARS: usize = 8;
/// Letters of an id.
const ID_LEN: usize = 36;

/// What ids stand for, as far as the reader may know.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Known {
    /// Addresses of accounts.
    pub(crate) users: BTreeMap<UserId, String>,
    /// Names of servers, nodes and tenants, and where they are.
    pub(crate) things: BTreeMap<String, (String, String)>,
}

/// What ids stand for; it may come later than the entries.
pub(crate) type Names = ReadSignal<Known>;

impl Known {
    /// Adds things that are known.
    pub(crate) fn with(
        mut self,
        area: &str,
        things: impl Iterator<Item = (String, String)>,
    ) -> Self {
        let placed = things.map(|(id, name)| {
            let to = format!("{area}/{id}");
            (id, (name, to))
        });
        self.things.extend(placed);
        self
    }

    /// Returns the name of an id, and where that is, if anywhere.
    pub(crate) fn of(&self, id: &str) -> Option<(String, Option<String>)> {
        if let Some((name, to)) = self.things.get(id) {
            return Some((name.clone(), Some(to.clone())));
        }
        let user = id.parse::<UserId>().ok()?;
        self.users.get(&user).map(|name| (name.clone(), None))
    }
}

/// One field that changed.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    pub(super) field: String,
    pub(super) before: Option<String>,
    pub(super) after: Option<String>,
}

/// Returns the fields that a change changed. What was written as an object is told by its fields.
pub(super) fn rows(change: &Change) -> Vec<Row> {
    let object = |text: &Option<String>| {
        let value = serde_json::from_str::<Value>(text.as_deref()?).ok()?;
        value.is_object().then_some(value)
    };
    let (before, after) = (object(&change.before), object(&change.after));
    let is_told = |text: &Option<String>, value: &Option<Value>| text.is_none() == value.is_none();
    let mut rows = Vec::new();
    if (before.is_some() || after.is_some())
        && is_told(&change.before, &before)
        && is_told(&change.after, &after)
    {
        differ(&change.field, before.as_ref(), after.as_ref(), 0, &mut rows);
    }
    if rows.is_empty() {
        let Change { field, before, after } = change.clone();
        rows.push(Row { field, before, after });
    }
    rows
}

/// Adds what differs between two values.
fn differ(
    field: &str,
    before: Option<&Value>,
    after: Option<&Value>,
    depth: usize,
    rows: &mut Vec<Row>,
) {
    let before = before.filter(|it| !it.is_null());
    let after = after.filter(|it| !it.is_null());
    if before == after {
        return;
    }
    let fields =
        |value: Option<&Value>| value.and_then(Value::as_object).cloned().unwrap_or_default();
    let is_object = |value: Option<&Value>| value.is_none_or(Value::is_object);
    if depth < DEPTH_MAX && is_object(before) && is_object(after) {
        let (before, after) = (fields(before), fields(after));
        let mut names: Vec<&String> = before.keys().chain(after.keys()).collect();
        names.sort();
        names.dedup();
        for name in names {
            let path = if depth == 0 { name.clone() } else { format!("{field}.{name}") };
            differ(&path, before.get(name), after.get(name), depth + 1, rows);
        }
        return;
    }
    rows.push(Row { field: field.to_owned(), before: before.map(text), after: after.map(text) });
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(text).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

/// Returns a field of the API in the words of its setting: `limits.memory_mib` is `Limits › Memory (MiB)`.
/// What has no words is called as it is there: `a_b` is `a b`, and the variable `MAX_PLAYERS` itself.
pub(crate) fn field_title(field: &str) -> String {
    field.split('.').map(word).collect::<Vec<_>>().join(" › ")
}

fn word(field: &str) -> String {
    let texts = &t().servers;
    let (word, unit) = match field {
        "name" => (texts.name, ""),
        "description" => (texts.description, ""),
        "external_id" => (texts.field_external_id, ""),
        "blueprint" => (texts.game, ""),
        "image" => (texts.image, ""),
        "startup" => (texts.start_template, ""),
        "variables" => (texts.variables, ""),
        "auto_start" => (texts.boot, ""),
        "restart" => (texts.field_restart, ""),
        "suspended" => (texts.suspended, ""),
        "eula" => (texts.field_eula, ""),
        "skip_scripts" => (texts.field_skip_scripts, ""),
        "mounts" => (texts.mounts, ""),
        "allocations" => (texts.ports, ""),
        "allocation_limit" => (texts.port_limit, ""),
        "backup_limit" => (texts.backup_limit, ""),
        "limits" => (texts.limits, ""),
        "memory_mib" => (texts.memory, "MiB"),
        "swap_mib" => (texts.swap, "MiB"),
        "cpu_millicores" => (texts.cpu, texts.millicores),
        "disk_mib" => (texts.disk, "MiB"),
        "pids" => (texts.pids, ""),
        "threads" => (texts.threads, ""),
        "io_weight" => (texts.io_weight, ""),
        "oom_disabled" => (texts.oom_disabled, ""),
        other if other.contains(char::is_uppercase) => return other.to_owned(),
        other => return other.replace(['_', '-'], " "),
    };
    if unit.is_empty() { word.to_owned() } else { format!("{word} ({unit})") }
}

/// Whether a text is an id.
fn is_id(text: &str) -> bool {
    text.len() == ID_LEN
        && text.chars().enumerate().all(|(at, it)| match at {
            8 | 13 | 18 | 23 => it == '-',
            _ => it.is_ascii_hexdigit(),
        })
}

/// Returns the table of an entry's changes.
pub(super) fn changes(all: &[Change], names: Names) -> View {
    let lines: Vec<View> = all.iter().flat_map(rows).map(|row| line(row, names)).collect();
    let lines = View::from(lines);
    view! { dl(class="changes") { (lines) } }
}

fn line(row: Row, names: Names) -> View {
    let Row { field, before, after } = row;
    let (before, after) = (before.filter(|it| !it.is_empty()), after.filter(|it| !it.is_empty()));
    let was = before.is_some();
    let field = field_title(&field);
    let before = before.map_or_else(super::nothing, |it| {
        let value = value(it, names);
        view! { del { (value) } }
    });
    let after = after.map_or_else(
        || view! { span(class="muted") { "–" } },
        |it| {
            let value = value(it, names);
            view! { ins { (value) } }
        },
    );
    view! {
        div {
            dt { (field) }
            dd { (before) (if was { view! { span(aria-hidden="true") { " → " } } } else { super::nothing() }) (after) }
        }
    }
}

/// Returns a value: a name where it is an id that is known.
fn value(text: String, names: Names) -> View {
    if !is_id(&text) {
        return view! { (text) };
    }
    let id = text.clone();
    let known = selector(move || names.with(|it| it.of(&id)));
    view! {
        (match known.get_clone() {
            Some((name, Some(to))) => view! { a(href=to) { (name) } },
            Some((name, None)) => view! { (name) },
            None => {
                let (whole, short) = (text.clone(), text.chars().take(ID_CHARS).collect::<String>());
                view! { code(title=whole) { (short) "…" } }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(before: Option<&str>, after: Option<&str>) -> Vec<(String, String, String)> {
        let or_none = |text: Option<String>| text.unwrap_or_else(|| "none".to_owned());
        rows(&Change::new("settings", before, after))
            .into_iter()
            .map(|it| (field_title(&it.field), or_none(it.before), or_none(it.after)))
            .collect()
    }

    #[test]
    fn only_fields_that_differ_are_told() {
        let row = |field: &str, before: &str, after: &str| {
            (field.to_owned(), before.to_owned(), after.to_owned())
        };
        let before =
            r#"{"region":null,"memory_mib":512,"tags":["a"],"ports":{"first":1,"last":2}}"#;
        let after =
            r#"{"region":"eu","memory_mib":512,"tags":["a","b"],"ports":{"first":1,"last":9}}"#;
        assert_eq!(
            told(Some(before), Some(after)),
            [row("ports › last", "2", "9"), row("region", "none", "eu"), row("tags", "a", "a, b")]
        );
        assert_eq!(told(None, Some(r#"{"a_b":1}"#)), [row("a b", "none", "1")]);
        // What was cut is no JSON any more, and a text that changed into an object is told whole.
        assert_eq!(told(Some("{\"a"), Some("{}")), [row("settings", "{\"a", "{}")]);
        assert_eq!(told(Some("x"), Some("y")), [row("settings", "x", "y")]);
        assert_eq!(told(Some("x"), None), [row("settings", "x", "none")]);
    }

    #[test]
    fn fields_are_called_as_their_settings_are() {
        for (field, expected) in [
            ("auto_start", "When the node starts"),
            ("limits.memory_mib", "Limits › Memory (MiB)"),
            ("cpu_millicores", "CPU (1/1000 core)"),
            ("variables.MAX_PLAYERS", "Variables › MAX_PLAYERS"),
            ("delay_ms_min", "delay ms min"),
        ] {
            assert_eq!(field_title(field), expected);
        }
    }

    #[test]
    fn ids_have_the_names_that_the_reader_may_know() {
        let id = "01a208db-ef3f-765b-9845-bc2dc53a2c41";
        assert!(is_id(id) && !is_id("01a208db") && !is_id(&id.replace('d', "g")));
        let things = std::iter::once((id.to_owned(), "alpha".to_owned()));
        let known = Known::default().with("/servers", things);
        let link = format!("/servers/{id}");
        assert_eq!(known.of(id), Some(("alpha".to_owned(), Some(link))));
        assert_eq!(known.of(&id.replace('1', "2")), None);
    }
}
