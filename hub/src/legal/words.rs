//! Pure: what stands in the place of placeholders.

use super::{LegalError, markdown::BadLink};
use std::path::PathBuf;

/// All placeholders.
pub(super) const KNOWN: [&str; 5] = ["company", "address", "email", "country", "url"];

/// Who runs the hub, for its legal pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LegalWords {
    /// Name of the company or person.
    pub company: Option<String>,
    /// Where mail on paper goes.
    pub address: Option<String>,
    /// Where mail goes.
    pub email: Option<String>,
    /// Whose law applies.
    pub country: Option<String>,
    /// Where the panel is.
    pub url: String,
}

impl Default for LegalWords {
    fn default() -> Self {
        let url = "http://localhost:8080".to_owned();
        Self { company: None, address: None, email: None, country: None, url }
    }
}

/// What is wrong with a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Problem {
    Unknown { line: usize, name: String },
    Unset { line: usize, name: &'static str },
    Link(BadLink),
}

impl From<BadLink> for Problem {
    fn from(link: BadLink) -> Self {
        Self::Link(link)
    }
}

impl Problem {
    /// Says in which file.
    pub(super) fn at(self, file: PathBuf) -> LegalError {
        match self {
            Self::Unknown { line, name } => LegalError::Unknown { file, line, name },
            Self::Unset { line, name } => LegalError::Unset { file, line, name },
            Self::Link(BadLink { line, to }) => LegalError::Link { file, line, to },
        }
    }
}

impl LegalWords {
    /// Puts words in the place of `{{name}}`. What is not set is shown as missing where that is allowed.
    /// Lines stay what they are, and no word becomes a sign of the text around it.
    pub(super) fn fill(&self, text: &str, may_miss: bool) -> Result<String, Problem> {
        let mut out = String::with_capacity(text.len());
        for (index, line) in text.lines().enumerate() {
            let mut rest = line;
            while let Some((before, behind)) = rest.split_once("{{") {
                let Some((name, after)) = behind.split_once("}}") else { break };
                out.push_str(before);
                out.push_str(&self.word(name.trim(), index + 1, may_miss)?);
                rest = after;
            }
            out.push_str(rest);
            out.push('\n');
        }
        Ok(out)
    }

    fn word(&self, name: &str, line: usize, may_miss: bool) -> Result<String, Problem> {
        let Some(known) = KNOWN.into_iter().find(|known| *known == name) else {
            return Err(Problem::Unknown { line, name: name.chars().take(64).collect() });
        };
        let value = match known {
            "company" => self.company.as_ref(),
            "address" => self.address.as_ref(),
            "email" => self.email.as_ref(),
            "country" => self.country.as_ref(),
            _ => Some(&self.url),
        };
        match value {
            // A word is no list, no heading and no link.
            Some(value) => Ok(value.replace(['*', '[', ']', '\n'], " ")),
            None if may_miss => Ok(format!("**({known} is not set)**")),
            None => Err(Problem::Unset { line, name: known }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_take_their_places_and_missing_ones_are_shown() {
        let words = LegalWords { company: Some("A*B".to_owned()), ..LegalWords::default() };
        for (text, expected) in [
            ("by {{company}}, {{ company }}", "by A B, A B\n"),
            ("{{ open and }} closed", ""),
            ("{{company", "{{company\n"),
            ("{{email}}", "**(email is not set)**\n"),
            ("", ""),
        ] {
            let filled = words.fill(text, true).unwrap_or_default();
            assert_eq!(filled, expected, "{text}");
        }
        let unset = Problem::Unset { line: 2, name: "country" };
        assert_eq!(words.fill("a\n{{country}}", false), Err(unset));
    }
}
