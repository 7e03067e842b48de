//! Pure: YAML. A value that stands alone in its line is replaced there, so that comments and everything
//! else stay; the result is read again and compared with what it must mean. Where that does not hold,
//! and where a key is new, the file is written anew.

use super::{
    DEPTH_MAX, RewriteError, VALUES_MAX,
    path::Part,
    tree::{self, Change},
};
use mamba_core::server::Replacement;
use serde_json::Value;
use std::ops::Range;

/// Aliases in one file: each repeats what it stands for.
const ALIASES_MAX: usize = 1_000;

/// Sets the values.
pub(super) fn rewrite(text: &str, replace: &[Replacement]) -> Result<String, RewriteError> {
    let mut root = if text.trim().is_empty() { Value::Null } else { read(text)? };
    tree::check(&root)?;
    let changes = tree::set(&mut root, replace)?;
    if changes.is_empty() {
        return Ok(text.to_owned());
    }
    tree::check(&root)?;
    if let Some(new) = in_place(text, &changes)
        && read(&new).is_ok_and(|again| again == root)
    {
        return Ok(new);
    }
    serde_saphyr::to_string(&root).map_err(|err| syntax(&err.to_string()))
}

fn syntax(error: &str) -> RewriteError {
    let first = error.lines().next().unwrap_or_default();
    RewriteError::Syntax { format: "YAML", error: first.to_owned() }
}

fn read(text: &str) -> Result<Value, RewriteError> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: DEPTH_MAX,
            max_nodes: VALUES_MAX,
            max_documents: 1,
            max_aliases: ALIASES_MAX,
            max_total_scalar_bytes: super::FILE_BYTES_MAX,
        },
        duplicate_keys: serde_saphyr::DuplicateKeyPolicy::LastWins,
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|err| syntax(&err.to_string()))
}

/// Replaces each changed value in its line. `None` when one cannot be found so.
fn in_place(text: &str, changes: &[Change]) -> Option<String> {
    let mut text = text.to_owned();
    for change in changes {
        if change.is_new || change.value.is_array() || change.value.is_object() {
            return None;
        }
        let span = Lines::new(&text).find(&change.way)?;
        let new = serde_saphyr::to_string(&change.value).ok()?;
        let new = new.trim_end();
        if new.contains('\n') || text.len() + new.len() > super::FILE_BYTES_MAX {
            return None;
        }
        text.replace_range(span, new);
    }
    Some(text)
}

/// A text as the lines that hold something. The dash of a list's entry counts as a blank once the entry
/// is entered.
struct Lines {
    lines: Vec<Line>,
}

#[derive(Clone)]
struct Line {
    /// Where it begins in the text.
    start: usize,
    text: String,
}

impl Line {
    fn indent(&self) -> usize {
        self.text.len() - self.text.trim_start_matches(' ').len()
    }

    fn content(&self) -> &str {
        self.text.trim_start_matches(' ')
    }

    fn is_entry(&self) -> bool {
        self.content() == "-" || self.content().starts_with("- ")
    }
}

impl Lines {
    fn new(text: &str) -> Self {
        let mut start = 0;
        let mut lines = Vec::new();
        for line in text.split_inclusive('\n') {
            let content = line.trim_end_matches(['\n', '\r']);
            let shown = content.trim_start();
            if !shown.is_empty() && !shown.starts_with('#') && content != "---" {
                lines.push(Line { start, text: content.to_owned() });
            }
            start += line.len();
        }
        Self { lines }
    }

    /// Returns where the value at the end of a way stands.
    fn find(mut self, way: &[Part]) -> Option<Range<usize>> {
        let mut range = 0..self.lines.len();
        for (index, part) in way.iter().enumerate() {
            let is_last = index + 1 == way.len();
            let indent = self.lines.get(range.start)?.indent();
            let (at, value) = match part {
                Part::Key(key) => self.key(&range, indent, key)?,
                Part::Index(index) => (self.entry(&range, indent, *index)?, indent + 1),
                Part::Any => return None,
            };
            if is_last {
                return self.lines[at].value(value);
            }
            let end = self.end(&range, at, indent, matches!(part, Part::Key(_)));
            range = match part {
                Part::Index(_) => {
                    self.lines[at].text.replace_range(indent..=indent, " ");
                    if self.lines[at].text.trim().is_empty() { at + 1..end } else { at..end }
                }
                Part::Key(_) | Part::Any => at + 1..end,
            };
        }
        None
    }

    /// The line of a key, and where its value begins.
    fn key(&self, range: &Range<usize>, indent: usize, key: &str) -> Option<(usize, usize)> {
        range.clone().rev().find_map(|at| {
            let line = &self.lines[at];
            if line.indent() != indent {
                return None;
            }
            let spellings = [key.to_owned(), format!("\"{key}\""), format!("'{key}'")];
            spellings.iter().find_map(|spelling| {
                let rest = line.content().strip_prefix(spelling.as_str())?.trim_start();
                rest.strip_prefix(':').filter(|it| it.is_empty() || it.starts_with(' '))?;
                let colon = line.text[indent + spelling.len()..].find(':')?;
                Some((at, indent + spelling.len() + colon + 1))
            })
        })
    }

    /// The line of a list's entry.
    fn entry(&self, range: &Range<usize>, indent: usize, index: usize) -> Option<usize> {
        let is_entry =
            |at: &usize| self.lines[*at].indent() == indent && self.lines[*at].is_entry();
        range.clone().filter(is_entry).nth(index)
    }

    /// Where what belongs to a line ends. A list may stand as far left as its key.
    fn end(&self, range: &Range<usize>, at: usize, indent: usize, is_key: bool) -> usize {
        let belongs = |line: &Line| {
            line.indent() > indent || (is_key && line.indent() == indent && line.is_entry())
        };
        (at + 1..range.end).find(|at| !belongs(&self.lines[*at])).unwrap_or(range.end)
    }
}

impl Line {
    /// Where the value behind a column stands in the text, without blanks and comment.
    fn value(&self, column: usize) -> Option<Range<usize>> {
        let rest = self.text.get(column..)?;
        let value = rest.trim_start();
        let start = column + rest.len() - value.len();
        let length = match value.chars().next()? {
            quote @ ('"' | '\'') => value[1..].find(quote)? + 2,
            '|' | '>' | '&' | '*' | '{' | '[' | '!' | '#' => return None,
            _ => value.find(" #").unwrap_or(value.len()),
        };
        let length = value[..length].trim_end().len();
        Some(self.start + start..self.start + start + length)
    }
}
