//! The part of `hub.toml` about legal pages.

use super::Place;
use crate::legal::LegalWords;
use mamba_core::{server::check_text, settings::SettingsError};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use toml::Spanned;

/// Longest word: an address of some lines.
const WORD_BYTES_MAX: usize = 256;

/// Where legal pages are, and what stands in the place of their placeholders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LegalConfig {
    /// Folder with files that take the place of templates.
    pub dir: PathBuf,
    /// What is put in.
    pub words: LegalWords,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawLegal {
    dir: Option<PathBuf>,
    company: Option<Spanned<String>>,
    address: Option<Spanned<String>>,
    email: Option<Spanned<String>>,
    country: Option<Spanned<String>>,
}

impl Place<'_> {
    pub(super) fn legal(
        &self,
        raw: RawLegal,
        data_dir: &Path,
        url: String,
    ) -> Result<LegalConfig, SettingsError> {
        let word = |key: &str, value: Option<Spanned<String>>| {
            let Some(value) = value else { return Ok(None) };
            check_text(key, value.get_ref(), 1, WORD_BYTES_MAX)
                .map_err(|err| self.error(value.span(), &format!("legal.{key}"), err.rule))?;
            Ok(Some(value.into_inner()))
        };
        let words = LegalWords {
            company: word("company", raw.company)?,
            address: word("address", raw.address)?,
            email: word("email", raw.email)?,
            country: word("country", raw.country)?,
            url,
        };
        Ok(LegalConfig { dir: raw.dir.unwrap_or_else(|| data_dir.join("legal")), words })
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    const LEAST: &str = "data_dir = \"/d\"\npublic_link_address = \"h:1\"\n";

    #[test]
    fn who_runs_the_hub_is_read_and_checked() {
        let text = format!(
            "{LEAST}public_url = \"https://a.org\"\n[legal]\ncompany = \"Acme\"\nemail = \"a@a.org\"\n"
        );
        let legal = Config::parse("hub.toml", &text).unwrap().legal;
        assert_eq!(legal.words.company.as_deref(), Some("Acme"));
        assert_eq!((legal.words.url.as_str(), legal.words.country), ("https://a.org", None));
        assert_eq!(legal.dir.to_str(), Some("/d/legal"));
        let err = Config::parse("hub.toml", &format!("{LEAST}[legal]\ncompany = \"\"\n"));
        let told = err.unwrap_err().to_string();
        assert!(told.starts_with("hub.toml line 4: `legal.company` must"), "{told}");
    }
}
