//! Pure: what the settings files of both daemons have in common, and what is said about one that breaks a
//! rule.

/// How lines of the log are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object each.
    Json,
}

/// A settings file that cannot be used, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file} line {line}: {problem}")]
pub struct SettingsError {
    /// The file as it was named.
    pub file: String,
    /// Line of the problem, from 1.
    pub line: usize,
    /// The key and the rule that it breaks.
    pub problem: String,
}

impl SettingsError {
    /// Makes one from the text of the file and the offset of the problem in it, in bytes.
    #[must_use]
    pub fn new(file: &str, text: &str, offset: usize, problem: impl Into<String>) -> Self {
        let before = text.as_bytes().get(..offset).unwrap_or(text.as_bytes());
        // Counts line ends in at most one settings file, at start.
        let line = before.iter().fold(1, |line, byte| line + usize::from(*byte == b'\n'));
        Self { file: file.to_owned(), line, problem: problem.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_names_its_line() {
        for (offset, line) in [(0, 1), (2, 1), (3, 2), (99, 3)] {
            assert_eq!(SettingsError::new("x.toml", "ab\ncd\n", offset, "no").line, line);
        }
    }
}
