//! Pure: reads and writes the egg files of Pterodactyl (`PTDL_v1`, `PTDL_v2`) and Pelican (`PLCN_v1` to
//! `PLCN_v3`), JSON or YAML, and our own format.
//!
//! Real files are untidy: JSON inside JSON strings, maps where lists belong, numbers where texts belong,
//! CRLF line ends, blanks around image names. Everything that has one meaning is read, and what was
//! changed on the way is told in notes with its path. Nothing is trimmed that may matter: the blanks in
//! a `done` text, the script. What has no meaning is refused with the path of the field.

mod read;
mod fields;
mod top;
mod config;
mod variables;
mod export;
mod compare;

pub use compare::differences;
pub use export::to_ptdl_v2;

use super::{Blueprint, FORMAT};
use crate::error::Invalid;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Most bytes of a file that is read. The largest known egg has 310 KiB, most of it its icon.
pub const EGG_BYTES_MAX: usize = 2 << 20;
/// Most notes that one import gives; what is beyond says nothing new.
const NOTES_MAX: usize = 256;

/// Something that was changed or is unusual.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Note {
    /// Path of the field in the file.
    pub path: String,
    /// What was done, or should be known.
    pub text: String,
}

/// What a file was read as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// Its format: `PTDL_v2`, `MAMBA_v1` and so on.
    pub format: String,
    /// The definition, checked.
    pub blueprint: Blueprint,
    /// What was changed or is unusual.
    pub notes: Vec<Note>,
}

/// Reads a file of any known format.
///
/// # Errors
/// The path of the first field that has no meaning, with the reason; `line N` for a syntax error.
pub fn import(bytes: &[u8]) -> Result<Imported, Invalid> {
    let mut notes = Notes::default();
    let file = read::read(bytes, &mut notes)?;
    if file.get("format").and_then(|it| it.as_str()) == Some(FORMAT) {
        let text = String::from_utf8_lossy(bytes);
        let blueprint = Blueprint::from_json(text.trim_start_matches('\u{feff}'))?;
        return Ok(Imported { format: FORMAT.to_owned(), blueprint, notes: notes.list });
    }
    let (format, blueprint) = top::blueprint(&file, &mut notes)?;
    // Names of our own fields, because no field of the file is to blame alone.
    blueprint.check()?;
    for (path, holder) in blueprint.unknown_placeholders() {
        notes.add(path, format!("names `{{{{{holder}}}}}`, which nothing fills in"));
    }
    Ok(Imported { format, blueprint, notes: notes.list })
}

/// Checks that a definition means the same after it was written and read again, in each format.
///
/// # Errors
/// The first field that differs.
pub fn verify(blueprint: &Blueprint) -> Result<(), Invalid> {
    let own = serde_json::to_string_pretty(blueprint)
        .map_err(|err| Invalid::new("export", err.to_string()))?;
    for (format, text) in [("PTDL_v2", to_ptdl_v2(blueprint)), (FORMAT, own)] {
        let again = import(text.as_bytes())
            .map_err(|err| Invalid::new(format!("{format} export: {}", err.field), err.rule))?;
        if let Some(field) = differences(blueprint, &again.blueprint).into_iter().next() {
            let rule = "means something else after export and import";
            return Err(Invalid::new(format!("{format} export: {field}"), rule));
        }
    }
    Ok(())
}

/// Notes as they are taken.
#[derive(Debug, Default)]
struct Notes {
    list: Vec<Note>,
}

impl Notes {
    fn add(&mut self, path: impl Into<String>, text: impl Into<String>) {
        if self.list.len() < NOTES_MAX {
            self.list.push(Note { path: path.into(), text: text.into() });
        }
    }
}

#[cfg(test)]
mod tests;
