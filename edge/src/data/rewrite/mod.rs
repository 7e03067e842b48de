//! Pure: sets values in a game's config file and leaves everything else as it was.
//!
//! Comments, order, blank lines and line ends stay in all formats but two: a YAML file that gets a new
//! key, or is not written in blocks, and a TOML file that changes are written anew. A key that is not
//! there is added. Setting the same values twice changes nothing the second time, unless a condition
//! says otherwise.
//!
//! The files come from games and people: their size, depth and number of values are bounded, and so is
//! what they can grow to.

mod path;
mod lines;
mod json;
mod tree;
mod yaml;
mod xml;
#[cfg(test)]
mod tests;

use mamba_core::server::{ConfigParser, Replacement, ValueKind, compile_regex};
use std::{borrow::Cow, ops::Range};

/// Largest config file that is read or written, in bytes. Real ones are far smaller; above this the
/// file is an attempt to use up memory.
pub const FILE_BYTES_MAX: usize = 4 << 20;
/// Most values in one file: what they take in memory is a multiple of their bytes.
const VALUES_MAX: usize = 200_000;
/// Deepest nesting.
const DEPTH_MAX: usize = 64;

/// Why a config file could not be rewritten.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RewriteError {
    /// Over [`FILE_BYTES_MAX`], before or after.
    #[error("config file of {bytes} bytes is over the limit of {FILE_BYTES_MAX}")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// More values or deeper levels than are read.
    #[error("config file has more than {VALUES_MAX} values or {DEPTH_MAX} levels")]
    TooManyValues,
    /// Not in the format that the blueprint says.
    #[error("config file is not {format}: {error}")]
    Syntax {
        /// The format.
        format: &'static str,
        /// What is wrong and where.
        error: String,
    },
    /// A key goes through something that holds no keys.
    #[error("config key `{key}` goes through a value that is no object or list")]
    NoContainer {
        /// The key.
        key: String,
    },
    /// A condition is no regular expression, which the check of the spec refuses already.
    #[error("condition of a config key {0}")]
    Condition(String),
}

/// Returns the text with the values set.
///
/// # Errors
/// When the file is or gets too large, or is not what the parser reads.
pub fn rewrite(
    parser: ConfigParser,
    text: &str,
    replace: &[Replacement],
) -> Result<String, RewriteError> {
    check_size(text.len())?;
    let (bom, text) = match text.strip_prefix('\u{feff}') {
        Some(rest) => ("\u{feff}", rest),
        None => ("", text),
    };
    let new = match parser {
        ConfigParser::File => lines::rewrite(lines::Syntax::Plain, text, replace)?,
        ConfigParser::Properties => lines::rewrite(lines::Syntax::Properties, text, replace)?,
        ConfigParser::Ini => lines::rewrite(lines::Syntax::Ini, text, replace)?,
        ConfigParser::Json => json::rewrite(text, replace)?,
        ConfigParser::Yaml => yaml::rewrite(text, replace)?,
        ConfigParser::Toml => tree::rewrite_toml(text, replace)?,
        ConfigParser::Xml => xml::rewrite(text, replace)?,
    };
    check_size(new.len())?;
    Ok(format!("{bom}{new}"))
}

fn check_size(bytes: usize) -> Result<(), RewriteError> {
    if bytes > FILE_BYTES_MAX { Err(RewriteError::TooLarge { bytes }) } else { Ok(()) }
}

/// A value to write.
#[derive(Clone, Debug, PartialEq, Eq)]
struct New {
    text: String,
    kind: ValueKind,
}

/// Returns the new value of a key by the first of its replacements whose condition holds. Without a
/// present value only one without a condition does.
fn decide(group: &[Replacement], present: Option<&str>) -> Result<Option<New>, RewriteError> {
    for each in group {
        let text = match (each.if_value.as_deref(), present) {
            (None, _) => Some(Cow::Borrowed(each.value.as_str())),
            (Some(_), None) => None,
            (Some(condition), Some(present)) => match condition.strip_prefix("regex:") {
                Some(pattern) => {
                    let regex = compile_regex(pattern).map_err(RewriteError::Condition)?;
                    regex
                        .is_match(present)
                        .then(|| regex.replace_all(present, group_names(&each.value).as_ref()))
                        .map(|new| Cow::Owned(new.into_owned()))
                }
                None => (condition == present).then_some(Cow::Borrowed(each.value.as_str())),
            },
        };
        if let Some(text) = text {
            return Ok(Some(New { text: text.into_owned(), kind: each.kind }));
        }
    }
    Ok(None)
}

/// Puts braces around the numbers of groups: `$1x` means group 1 and an `x`, not a group named `1x`.
fn group_names(value: &str) -> Cow<'_, str> {
    if !value.contains('$') {
        return Cow::Borrowed(value);
    }
    let (mut out, mut rest) = (String::new(), value);
    while let Some((before, behind)) = rest.split_once('$') {
        out.push_str(before);
        let digits = behind.bytes().take_while(u8::is_ascii_digit).count();
        if digits == 0 {
            // No group: a dollar.
            out.push_str("$$");
        } else {
            out.push_str(&format!("${{{}}}", &behind[..digits]));
        }
        rest = &behind[digits..];
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// Replaces parts of a text. The edits do not overlap.
fn splice(text: &str, mut edits: Vec<(Range<usize>, String)>) -> Result<String, RewriteError> {
    edits.sort_by_key(|(range, _)| range.start);
    let added: usize = edits.iter().map(|(_, new)| new.len()).sum();
    check_size(text.len().saturating_add(added))?;
    let (mut out, mut at) = (String::with_capacity(text.len() + added), 0);
    for (range, new) in edits {
        out.push_str(&text[at..range.start]);
        out.push_str(&new);
        at = range.end;
    }
    out.push_str(&text[at..]);
    Ok(out)
}
