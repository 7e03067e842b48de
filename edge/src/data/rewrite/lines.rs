//! Pure: config files made of lines: plain ones, properties, INI. Comments, order, blank lines and line
//! ends stay. A key that is not there is added at the end (of its section), unless it would not be found
//! there the next time: the file would grow with every start.

use super::{RewriteError, decide};
use mamba_core::server::Replacement;

/// Which lines belong together.
#[derive(Clone, Copy)]
pub(super) enum Syntax {
    /// A key is the beginning of a line, blanks included.
    Plain,
    /// `key=value`.
    Properties,
    /// Sections with `key=value`.
    Ini,
}

/// Sets the values.
pub(super) fn rewrite(
    syntax: Syntax,
    text: &str,
    replace: &[Replacement],
) -> Result<String, RewriteError> {
    let mut lines = Lines::new(text);
    for group in replace.chunk_by(|one, other| one.key == other.key) {
        let Some(key) = group.first().map(|it| it.key.as_str()) else { continue };
        match syntax {
            Syntax::Plain => set_prefix(&mut lines, key, group)?,
            Syntax::Properties => set_pair(&mut lines, None, key, group)?,
            Syntax::Ini => {
                let (section, key) = split_ini_key(key);
                set_pair(&mut lines, Some(section), key, group)?;
            }
        }
        lines.check()?;
    }
    Ok(lines.into_text())
}

/// A text as lines, with the line end that it uses.
struct Lines {
    lines: Vec<String>,
    end: &'static str,
}

impl Lines {
    fn new(text: &str) -> Self {
        let end = if text.contains("\r\n") { "\r\n" } else { "\n" };
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        // Half a line end behind the last line would become a whole one of the other kind.
        if let Some(last) = lines.last_mut().filter(|_| !text.ends_with('\n')) {
            last.truncate(last.trim_end_matches('\r').len());
        }
        Self { lines, end }
    }

    /// Many lines may have grown at once.
    fn check(&self) -> Result<(), RewriteError> {
        super::check_size(self.lines.iter().map(|line| line.len() + self.end.len()).sum())
    }

    fn into_text(self) -> String {
        let mut text = self.lines.join(self.end);
        if !self.lines.is_empty() {
            text.push_str(self.end);
        }
        text
    }
}

/// Replaces every line that begins with the key by the value. Adds it when there is none, but for a key
/// that begins with a blank: that one belongs into a block, and nobody knows which.
fn set_prefix(lines: &mut Lines, key: &str, group: &[Replacement]) -> Result<(), RewriteError> {
    let mut found = false;
    for line in &mut lines.lines {
        let Some(present) = line.strip_prefix(key) else { continue };
        found = true;
        if let Some(new) = decide(group, Some(present.trim()))? {
            *line = new.text;
        }
    }
    if !found
        && !key.starts_with([' ', '\t'])
        && let Some(new) = decide(group, None)?
        && new.text.starts_with(key)
    {
        lines.lines.push(new.text);
    }
    Ok(())
}

/// Sets `key = value` in a section; `None` takes the whole text for one section.
fn set_pair(
    lines: &mut Lines,
    section: Option<&str>,
    key: &str,
    group: &[Replacement],
) -> Result<(), RewriteError> {
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
        if let Some(new) = decide(group, Some(present))? {
            let indent = &line[..line.len() - line.trim_start().len()];
            // Only what is in front of it tells the style: a value may begin with a space.
            let is_spaced = line.split_once('=').is_some_and(|(front, _)| front.ends_with(' '));
            let equals = if is_spaced { " = " } else { "=" };
            *line = format!("{indent}{key}{equals}{}", new.text);
        }
    }
    if found {
        return Ok(());
    }
    let Some(new) = decide(group, None)? else { return Ok(()) };
    let new = format!("{key}={}", new.text);
    let is_found = pair(&new).is_some_and(|(found, _)| found == key)
        && (section.is_none() || heading(&new).is_none());
    if !is_found {
        return Ok(());
    }
    if let Some(at) = insert_at {
        lines.lines.insert(at, new);
        return Ok(());
    }
    let section = section.unwrap_or_default();
    let own = format!("[{section}]");
    if heading(&own) == Some(section) {
        lines.lines.extend([own, new]);
    }
    Ok(())
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
