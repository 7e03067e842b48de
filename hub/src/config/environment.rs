//! Pure: settings from the environment, which win over the file.
//!
//! A key `name` of a section `[part]` is `MAMBA_HUB_PART_NAME`; one above all sections is
//! `MAMBA_HUB_NAME`. Which keys there are, and of which type, is read from the documented file
//! ([`DOCUMENTED`]), so that a key that is documented can be set so, and no other. One of the second
//! section `[[part]]`, which may be there several times, is `MAMBA_HUB_PART_2_NAME`. Lists are written with
//! commas. Secrets are read from files that keys ending in `_file` name.

use mamba_core::settings::SettingsError;
use toml::{Table, Value};

/// The settings file with every key, its unit and its default.
pub const DOCUMENTED: &str = include_str!("../../hub.toml.example");
/// What the name of each variable begins with.
pub(super) const PREFIX: &str = "MAMBA_HUB_";
/// Variables with this beginning are no settings: see `secrets`.
const OTHERS: &str = "MAMBA_HUB_MASTER_KEY";

/// One key of the file.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Key {
    pub(super) section: Option<String>,
    pub(super) name: String,
    /// A value of its type.
    pub(super) example: Value,
    /// Whether its section may be there several times.
    pub(super) is_repeated: bool,
}

impl Key {
    /// Name of its variable; with the number of its section, from 1, where there may be several.
    pub(super) fn variable(&self, number: Option<usize>) -> String {
        let section = self.section.as_ref().map_or(String::new(), |section| format!("{section}_"));
        let number = number.map_or(String::new(), |number| format!("{number}_"));
        format!("{PREFIX}{section}{number}{}", self.name).to_ascii_uppercase()
    }

    /// The number in a variable's name, when it is this key's.
    fn number_in(&self, variable: &str) -> Option<usize> {
        let section = self.section.as_ref().filter(|_| self.is_repeated)?;
        let rest = variable.strip_prefix(&format!("{PREFIX}{section}_").to_ascii_uppercase())?;
        let number = rest.split_once('_')?.0.parse().ok().filter(|number| *number > 0)?;
        (self.variable(Some(number)) == variable).then_some(number)
    }

    /// Its name as errors tell it.
    pub(super) fn path(&self) -> String {
        let section = self.section.as_ref().map_or(String::new(), |section| format!("{section}."));
        format!("{section}{}", self.name)
    }

    fn read(&self, text: &str) -> Result<Value, String> {
        let number = |_| format!("`{}` must be a number", self.path());
        match &self.example {
            Value::Integer(_) => text.trim().parse().map(Value::Integer).map_err(number),
            Value::Boolean(_) => {
                let word = |_| format!("`{}` must be `true` or `false`", self.path());
                text.trim().parse().map(Value::Boolean).map_err(word)
            }
            Value::Array(_) => {
                let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
                Ok(Value::Array(parts.map(|part| Value::String(part.to_owned())).collect()))
            }
            Value::String(_) | Value::Float(_) | Value::Datetime(_) | Value::Table(_) => {
                Ok(Value::String(text.to_owned()))
            }
        }
    }
}

/// Returns every key of the documented file, in its order.
pub(super) fn keys() -> Vec<Key> {
    let (mut keys, mut section, mut is_repeated) = (Vec::new(), None, false);
    for line in DOCUMENTED.lines() {
        let line = line.strip_prefix("# ").or(line.strip_prefix('#')).unwrap_or(line);
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            let repeated = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
            is_repeated = repeated.is_some();
            section = Some(repeated.unwrap_or(name).to_owned());
        }
        let Some((name, _)) = line.split_once(" = ").filter(|(name, _)| is_name(name)) else {
            continue;
        };
        let table = line.parse::<Table>().unwrap_or_default();
        if let Some(example) = table.get(name).cloned() {
            let (section, name) = (section.clone(), name.to_owned());
            keys.push(Key { section, name, example, is_repeated });
        }
    }
    keys
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|c| c.is_ascii_lowercase() || c == b'_')
}

/// A key that the environment had.
#[derive(Debug)]
pub(super) struct Used {
    key: Key,
    /// Which of several sections it is in, from 1.
    number: Option<usize>,
}

impl Used {
    /// Name of its variable.
    pub(super) fn variable(&self) -> String {
        self.key.variable(self.number)
    }

    /// Whether a mistake is about it, which was found at a line of the text that it was put into.
    pub(super) fn is_meant(&self, mistake: &SettingsError, text: &str) -> bool {
        let head = self.key.section.as_ref().map_or(String::new(), |it| format!("[[{it}]]"));
        let before = text.lines().take(mistake.line).filter(|line| *line == head).count();
        mistake.problem.starts_with(&format!("`{}`", self.key.path()))
            && self.number.is_none_or(|number| number == before)
    }
}

/// Puts settings from the environment over a file that was read, and returns the keys that it had.
///
/// # Errors
/// Names the variable that is no setting, or whose value has the wrong type.
pub(super) fn put(
    file: &mut Table,
    variables: &[(String, String)],
) -> Result<Vec<Used>, SettingsError> {
    let known = keys();
    let mut found = Vec::new();
    for (name, text) in variables {
        if !name.starts_with(PREFIX) || name.starts_with(OTHERS) {
            continue;
        }
        let refuse = |problem: String| SettingsError::new(name, "", 0, problem);
        let single = || known.iter().find(|key| !key.is_repeated && key.variable(None) == *name);
        let one_of = || known.iter().find_map(|key| Some((key, Some(key.number_in(name)?))));
        let key = single().map(|key| (key, None)).or_else(one_of);
        let (key, number) = key.ok_or_else(|| refuse("is no setting of the hub".to_owned()))?;
        found.push((Used { key: key.clone(), number }, key.read(text).map_err(refuse)?));
    }
    // A section is made when the one before it is there.
    found.sort_by_key(|(used, _)| used.number);
    for (used, value) in &found {
        let refuse = |problem| SettingsError::new(&used.variable(), "", 0, problem);
        let place = place_of(file, used).map_err(refuse)?;
        place.insert(used.key.name.clone(), value.clone());
    }
    Ok(found.into_iter().map(|(used, _)| used).collect())
}

/// Returns the part of the file that a key belongs to, made when it is not there.
fn place_of<'a>(file: &'a mut Table, used: &Used) -> Result<&'a mut Table, String> {
    let Some(section) = &used.key.section else { return Ok(file) };
    let Some(number) = used.number else {
        let part = file.entry(section.clone()).or_insert(Value::Table(Table::new()));
        let wrong = || format!("`{section}` must be a section of the file");
        return part.as_table_mut().ok_or_else(wrong);
    };
    let parts = file.entry(section.clone()).or_insert(Value::Array(Vec::new()));
    let wrong = || format!("`{section}` must be sections of the file, written `[[{section}]]`");
    let parts = parts.as_array_mut().ok_or_else(wrong)?;
    if parts.len() + 1 == number {
        parts.push(Value::Table(Table::new()));
    }
    let count = parts.len();
    let part = parts.get_mut(number - 1);
    let part = part.ok_or_else(|| format!("is in section {number}, but there are only {count}"))?;
    part.as_table_mut().ok_or_else(wrong)
}
