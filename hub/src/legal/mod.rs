//! Legal pages: templates with placeholders, which whoever runs the hub replaces by files of its own.
//!
//! A page `terms` is read from `terms.md` in the folder of `[legal]` when the hub starts, and is the
//! template in this program when there is no such file. `{{company}}`, `{{address}}`, `{{email}}` and
//! `{{country}}` stand for keys of `[legal]`, `{{url}}` for `public_url`. In a file of one's own each that is
//! used must be set; in a template what is not set is shown as missing. What a page may hold besides is
//! in `markdown`.

mod markdown;
mod words;

pub use words::LegalWords;

use mamba_wire::api::legal::{LEGAL_PAGES, LegalPage};
use std::{
    collections::BTreeMap,
    io::{self, Read as _},
    path::{Path, PathBuf},
};
use words::Problem;

/// Longest file: terms of large companies have a quarter of it.
const FILE_BYTES_MAX: u64 = 256 * 1024;

/// Templates in the order of [`LEGAL_PAGES`].
const TEMPLATES: [&str; LEGAL_PAGES.len()] = [
    include_str!("templates/terms.md"),
    include_str!("templates/privacy.md"),
    include_str!("templates/refund.md"),
    include_str!("templates/aup.md"),
    include_str!("templates/dmca.md"),
];

/// Why the pages cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum LegalError {
    /// A file cannot be read.
    #[error("`{}` could not be read", file.display())]
    Read {
        /// Which.
        file: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file is too long.
    #[error("`{}` must have at most {FILE_BYTES_MAX} bytes", file.display())]
    TooLong {
        /// Which.
        file: PathBuf,
    },
    /// A file names a placeholder that there is not.
    #[error("`{}`, line {line}: `{{{{{name}}}}}` is not known; there are {}", file.display(), words::KNOWN.join(", "))]
    Unknown {
        /// Which.
        file: PathBuf,
        /// Line, from 1.
        line: usize,
        /// What stands between the braces.
        name: String,
    },
    /// A file names a placeholder that the settings do not fill.
    #[error("`{}`, line {line}: `{{{{{name}}}}}` needs `legal.{name}`", file.display())]
    Unset {
        /// Which.
        file: PathBuf,
        /// Line, from 1.
        line: usize,
        /// What stands between the braces.
        name: &'static str,
    },
    /// A link leads where it must not.
    #[error("`{}`, line {line}: a link must begin with `https://`, `http://`, `mailto:` or `/`, not `{to}`", file.display())]
    Link {
        /// Which.
        file: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Where it leads.
        to: String,
    },
}

/// All pages, read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Legal {
    pages: BTreeMap<&'static str, LegalPage>,
}

impl Legal {
    /// Reads the pages: files in `dir`, and templates in the place of those that are not there.
    ///
    /// # Errors
    /// The first file that breaks a rule.
    pub fn load(dir: &Path, words: &LegalWords) -> Result<Self, LegalError> {
        let mut pages = BTreeMap::new();
        for (name, template) in LEGAL_PAGES.into_iter().zip(TEMPLATES) {
            let file = dir.join(format!("{name}.md"));
            let own = read(&file)?;
            let is_template = own.is_none();
            let text = own.as_deref().unwrap_or(template);
            let page = page(name, text, is_template, words).map_err(|err| err.at(file))?;
            pages.insert(name, page);
        }
        Ok(Self { pages })
    }

    /// Returns a page by its short name.
    #[must_use]
    pub fn page(&self, name: &str) -> Option<&LegalPage> {
        self.pages.get(name)
    }
}

/// Returns the text of a template, to be edited.
#[must_use]
pub fn template(name: &str) -> Option<&'static str> {
    let index = LEGAL_PAGES.iter().position(|page| *page == name)?;
    TEMPLATES.get(index).copied()
}

fn read(file: &Path) -> Result<Option<String>, LegalError> {
    let failed = |source| LegalError::Read { file: file.to_path_buf(), source };
    let open = match std::fs::File::open(file) {
        Ok(open) => open,
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(err) => return Err(failed(err)),
    };
    let mut text = String::new();
    open.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(failed)?;
    if u64::try_from(text.len()).is_ok_and(|length| length > FILE_BYTES_MAX) {
        return Err(LegalError::TooLong { file: file.to_path_buf() });
    }
    Ok(Some(text))
}

fn page(
    name: &str,
    text: &str,
    is_template: bool,
    words: &LegalWords,
) -> Result<LegalPage, Problem> {
    let text = words.fill(text, is_template)?;
    let document = markdown::read(&text)?;
    let title = document.title.unwrap_or_else(|| name.to_owned());
    Ok(LegalPage { page: name.to_owned(), title, is_template, blocks: document.blocks })
}

#[cfg(test)]
mod tests {
    use super::*;
    use mamba_core::error::chain;

    fn words() -> LegalWords {
        LegalWords { company: Some("Acme <b>GmbH".to_owned()), ..LegalWords::default() }
    }

    #[test]
    fn templates_are_pages_with_or_without_settings() {
        let dir = tempfile::tempdir().unwrap();
        for words in [LegalWords::default(), words()] {
            let legal = Legal::load(dir.path(), &words).unwrap();
            for name in LEGAL_PAGES {
                let page = legal.page(name).unwrap();
                assert!(page.is_template && page.blocks.len() > 8 && page.title != name, "{name}");
                let text = serde_json::to_string(page).unwrap();
                assert!(!text.contains("{{"), "{name}");
            }
        }
        assert!(legal_text(&Legal::load(dir.path(), &words()).unwrap()).contains("Acme <b>GmbH"));
        assert_eq!(template("terms").map(|it| it.starts_with("# ")), Some(true));
        assert_eq!((Legal::default().page("terms"), template("../terms")), (None, None));
    }

    fn legal_text(legal: &Legal) -> String {
        serde_json::to_string(legal.page("terms").unwrap()).unwrap()
    }

    #[test]
    fn files_win_over_templates_and_their_mistakes_are_told_with_the_line() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("terms.md");
        let load = |text: &str| {
            std::fs::write(&file, text).unwrap();
            Legal::load(dir.path(), &words())
        };
        let legal = load("# Ours\n\nBy {{company}} at {{ url }}.").unwrap();
        let page = legal.page("terms").unwrap();
        assert_eq!((page.title.as_str(), page.is_template), ("Ours", false));
        assert!(legal_text(&legal).contains("By Acme <b>GmbH at http://localhost:8080."));
        for (text, expected) in [
            ("a\nb {{compani}}", "line 2: `{{compani}}` is not known; there are company,"),
            ("{{email}}", "line 1: `{{email}}` needs `legal.email`"),
            ("a\n\n[x](javascript:1)", "line 3: a link must begin with"),
            (&"x".repeat(300_000), "must have at most 262144 bytes"),
        ] {
            let told = chain(&load(text).unwrap_err());
            assert!(told.contains(expected) && told.contains("terms.md"), "{told}");
        }
        std::fs::remove_file(&file).unwrap();
        std::fs::create_dir(&file).unwrap();
        assert!(
            chain(&Legal::load(dir.path(), &words()).unwrap_err()).contains("could not be read")
        );
    }
}
