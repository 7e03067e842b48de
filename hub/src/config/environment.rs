//! Pure: settings from the environment, which win over the file.
//!
//! A key `name` of a section `[part]` is `MAMBA_HUB_PART_NAME`; one above all sections is
//! `MAMBA_HUB_NAME`. Which keys there are, and of which type, is read from the documented file
//! ([`DOCUMENTED`]), so that a key that is documented can be set so, and no other; but for those of a
//! section that may be there several times (`[[part]]`). Lists are written with commas. Secrets are read from files that keys ending in `_file` name.

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
    /// Name of its variable.
    pub(super) fn variable(&self) -> String {
        let section = self.section.as_ref().map_or(String::new(), |section| format!("{section}_"));
        format!("{PREFIX}{section}{}", self.name).to_ascii_uppercase()
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

/// Puts settings from the environment over a file that was read, and returns the keys that it had.
///
/// # Errors
/// Names the variable that is no setting, or whose value has the wrong type.
pub(super) fn put(
    file: &mut Table,
    variables: &[(String, String)],
) -> Result<Vec<Key>, SettingsError> {
    let known = keys();
    let mut used = Vec::new();
    for (name, text) in variables {
        if !name.starts_with(PREFIX) || name.starts_with(OTHERS) {
            continue;
        }
        let refuse = |problem: String| SettingsError::new(name, "", 0, problem);
        let key = known.iter().find(|key| !key.is_repeated && key.variable() == *name);
        let key = key.ok_or_else(|| refuse("is no setting of the hub".to_owned()))?;
        let value = key.read(text).map_err(refuse)?;
        let place = match &key.section {
            None => &mut *file,
            Some(section) => {
                let part = file.entry(section.clone()).or_insert(Value::Table(Table::new()));
                let wrong = || refuse(format!("`{section}` must be a section of the file"));
                part.as_table_mut().ok_or_else(wrong)?
            }
        };
        place.insert(key.name.clone(), value);
        used.push(key.clone());
    }
    Ok(used)
}
