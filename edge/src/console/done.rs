//! Pure: sees in the console that a game is ready.

use mamba_core::server::DoneMatch;
use regex::Regex;
use std::borrow::Cow;

/// Most memory of one compiled pattern; the same bound as in the check of the server's spec.
const PATTERN_BYTES_MAX: usize = 1 << 20;

/// Compiled patterns of which one must match.
#[derive(Debug)]
pub struct DoneMatcher {
    contains: Vec<String>,
    patterns: Vec<Regex>,
}

/// A pattern that does not compile.
#[derive(Debug, thiserror::Error)]
#[error("done pattern `{pattern}` is not a regular expression")]
pub struct DoneError {
    pattern: String,
    #[source]
    source: regex::Error,
}

impl DoneMatcher {
    /// Compiles the patterns of a server. Without any, nothing matches.
    ///
    /// # Errors
    /// The first pattern that does not compile, which the check of the spec refuses already.
    pub fn new(done: &[DoneMatch]) -> Result<Self, DoneError> {
        let mut it = Self { contains: vec![], patterns: vec![] };
        for each in done {
            match each {
                DoneMatch::Contains(text) => it.contains.push(text.clone()),
                DoneMatch::Regex(text) => {
                    let compiled =
                        regex::RegexBuilder::new(text).size_limit(PATTERN_BYTES_MAX).build();
                    it.patterns.push(
                        compiled.map_err(|source| DoneError { pattern: text.clone(), source })?,
                    );
                }
            }
        }
        Ok(it)
    }

    /// Whether a line, colours and cursor movements left out, matches any pattern.
    #[must_use]
    pub fn is_match(&self, line: &str) -> bool {
        let line = plain(line);
        self.contains.iter().any(|text| line.contains(text.as_str()))
            || self.patterns.iter().any(|pattern| pattern.is_match(&line))
    }
}

/// Returns the line without ANSI escape sequences.
fn plain(line: &str) -> Cow<'_, str> {
    if !line.contains('\u{1b}') {
        return Cow::Borrowed(line);
    }
    let (mut out, mut chars) = (String::with_capacity(line.len()), line.chars().peekable());
    while let Some(char) = chars.next() {
        if char != '\u{1b}' {
            out.push(char);
            continue;
        }
        match chars.next() {
            // Control sequence: ends with a letter or one of `@[\]^_`{|}~`.
            Some('[') => while chars.next().is_some_and(|it| !matches!(it, '@'..='~')) {},
            // Operating system command, for example a window title: ends with BEL or `ESC \`.
            Some(']') => {
                while let Some(it) = chars.next() {
                    if it == '\u{7}' || (it == '\u{1b}' && chars.next_if_eq(&'\\').is_some()) {
                        break;
                    }
                }
            }
            // Choice of a character set has one more character.
            Some('(' | ')') => drop(chars.next()),
            _ => {}
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_matches_when_one_pattern_does() {
        let check = |done: &[DoneMatch], line: &str, expected: bool| {
            assert_eq!(
                DoneMatcher::new(done).unwrap().is_match(line),
                expected,
                "{done:?} {line:?}"
            );
        };
        let contains = |text: &str| DoneMatch::Contains(text.to_owned());
        let regex = |text: &str| DoneMatch::Regex(text.to_owned());
        check(&[], "anything", false);
        check(&[contains("")], "anything", true);
        check(&[contains(")! For help, ")], "[12:00:00] Done (3.1s)! For help, type", true);
        check(&[contains("Done ")], "done ", false);
        check(&[contains("x"), regex(r"listening on \S+:\d+$")], "listening on 0.0.0.0:80", true);
        check(&[regex("^ready$")], "\u{1b}[32mready\u{1b}[0m", true);
        check(&[contains("ready")], "re\u{1b}[1;31mady", true);
        check(&[contains("ready")], "\u{1b}]0;title\u{7}re\u{1b}(Bady", true);
        check(&[contains("ready")], "\u{1b}]0;ready", false);
        check(&[contains("ready")], "\u{1b}[", false);
    }

    #[test]
    fn a_bad_pattern_is_named() {
        let err = DoneMatcher::new(&[DoneMatch::Regex("(".to_owned())]).unwrap_err();
        assert_eq!(err.to_string(), "done pattern `(` is not a regular expression");
    }
}
