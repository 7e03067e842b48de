//! The parts of `hub.toml` about accounts and mail.

use super::Place;
use crate::{
    identity::{
        PROVIDERS_MAX, Provider, ProviderKind, PublicUrl, Registration, SecondFactorPolicy,
        Settings, is_safe,
    },
    mail::{Secret, SmtpConfig, SmtpTls},
};
use mamba_core::settings::SettingsError;
use serde::Deserialize;
use std::path::PathBuf;
use toml::Spanned;
use zeroize::Zeroizing;

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawAccounts {
    registration: Option<Spanned<String>>,
    second_factor: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSmtp {
    host: Spanned<String>,
    port: Option<u16>,
    tls: Option<Spanned<String>>,
    authority_file: Option<Spanned<PathBuf>>,
    user: Option<String>,
    password_file: Option<Spanned<PathBuf>>,
    from: Spanned<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawProvider {
    id: Spanned<String>,
    name: Option<String>,
    kind: Option<Spanned<String>>,
    issuer: Option<Spanned<String>>,
    client_id: String,
    client_secret_file: Spanned<PathBuf>,
}

/// How a provider is spoken to, as written.
#[derive(Clone, Copy)]
enum Kind {
    Oidc,
    Google,
    Discord,
}

impl Place<'_> {
    pub(super) fn providers(&self, raw: Vec<RawProvider>) -> Result<Vec<Provider>, SettingsError> {
        let mut all: Vec<Provider> = Vec::new();
        for raw in raw {
            let (id, span) = (raw.id.get_ref().clone(), raw.id.span());
            let is_short = (1..=32).contains(&id.len())
                && id.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
            if !is_short || all.len() >= PROVIDERS_MAX || all.iter().any(|other| other.id == id) {
                let rule = "must be 1 to 32 small letters and digits, unique among at most 16";
                return Err(self.error(span, "provider.id", rule));
            }
            let kinds =
                [("oidc", Kind::Oidc), ("google", Kind::Google), ("discord", Kind::Discord)];
            let kind = self.one_of("provider.kind", raw.kind.as_ref(), &kinds)?;
            let kind = match (kind.unwrap_or(Kind::Oidc), raw.issuer) {
                (Kind::Oidc, Some(issuer)) => {
                    if !issuer.get_ref().parse().is_ok_and(|url| is_safe(&url)) {
                        let rule = "must be an `https` URL: only one on this machine may be `http`";
                        return Err(self.error(issuer.span(), "provider.issuer", rule));
                    }
                    ProviderKind::Oidc { issuer: issuer.into_inner() }
                }
                (Kind::Google, None) => {
                    ProviderKind::Oidc { issuer: "https://accounts.google.com".to_owned() }
                }
                (Kind::Discord, None) => {
                    ProviderKind::Discord { base: "https://discord.com".to_owned() }
                }
                _ => {
                    let rule = "must be given for `oidc`, and for nothing else";
                    return Err(self.error(span, "provider.issuer", rule));
                }
            };
            let client_secret = self.word("provider.client_secret_file", raw.client_secret_file)?;
            let name = raw.name.unwrap_or_else(|| id.clone());
            all.push(Provider { id, name, kind, client_id: raw.client_id, client_secret });
        }
        Ok(all)
    }

    pub(super) fn accounts(
        &self,
        public_url: Option<Spanned<String>>,
        raw: &RawAccounts,
    ) -> Result<Settings, SettingsError> {
        let default = Settings::default();
        let public_url = match public_url {
            None => default.public_url,
            Some(text) => PublicUrl::parse(text.get_ref())
                .map_err(|rule| self.error(text.span(), "public_url", rule))?,
        };
        let registration = self.one_of(
            "accounts.registration",
            raw.registration.as_ref(),
            &[("closed", Registration::Closed), ("open", Registration::Open)],
        )?;
        let second_factor = self.one_of(
            "accounts.second_factor",
            raw.second_factor.as_ref(),
            &[
                ("none", SecondFactorPolicy::None),
                ("admins", SecondFactorPolicy::Admins),
                ("all", SecondFactorPolicy::All),
            ],
        )?;
        Ok(Settings {
            public_url,
            registration: registration.unwrap_or(default.registration),
            second_factor: second_factor.unwrap_or(default.second_factor),
            ..default
        })
    }

    pub(super) fn smtp(&self, raw: RawSmtp) -> Result<SmtpConfig, SettingsError> {
        let kinds =
            [("starttls", SmtpTls::StartTls), ("tls", SmtpTls::Tls), ("none", SmtpTls::None)];
        let tls = self.one_of("smtp.tls", raw.tls.as_ref(), &kinds)?.unwrap_or_default();
        let usual_port = match tls {
            SmtpTls::StartTls => 587,
            SmtpTls::Tls => 465,
            SmtpTls::None => 25,
        };
        let login = match (raw.user, raw.password_file) {
            (None, None) => None,
            (Some(user), Some(file)) => Some((user, self.word("smtp.password_file", file)?)),
            _ => {
                let rule = "needs both `user` and `password_file`, or neither";
                return Err(self.error(raw.host.span(), "smtp", rule));
            }
        };
        if login.is_some() && tls == SmtpTls::None {
            let rule = "must be encrypted where a password is sent";
            return Err(self.error(raw.host.span(), "smtp.tls", rule));
        }
        if raw.from.get_ref().parse::<lettre::message::Mailbox>().is_err() {
            let rule = "must be an address such as `Panel <panel@example.org>`";
            return Err(self.error(raw.from.span(), "smtp.from", rule));
        }
        let authority = raw.authority_file.map(|file| self.file("smtp.authority_file", file));
        Ok(SmtpConfig {
            host: raw.host.into_inner(),
            port: raw.port.unwrap_or(usual_port),
            tls,
            authority: authority.transpose()?,
            login,
            from: raw.from.into_inner(),
        })
    }

    fn one_of<T: Copy>(
        &self,
        key: &str,
        value: Option<&Spanned<String>>,
        known: &[(&str, T)],
    ) -> Result<Option<T>, SettingsError> {
        let Some(value) = value else { return Ok(None) };
        let found = known.iter().find(|(name, _)| name == value.get_ref());
        let names = || {
            let names: Vec<_> = known.iter().map(|(name, _)| format!("`{name}`")).collect();
            format!("must be one of {}", names.join(", "))
        };
        let found = found.ok_or_else(|| self.error(value.span(), key, names()))?;
        Ok(Some(found.1))
    }

    /// Reads the first line of a file.
    fn word(&self, key: &str, file: Spanned<PathBuf>) -> Result<Secret, SettingsError> {
        let text = Zeroizing::new(self.file(key, file)?);
        let text = String::from_utf8_lossy(&text);
        Ok(Secret(Zeroizing::new(text.lines().next().unwrap_or_default().to_owned())))
    }

    fn file(&self, key: &str, file: Spanned<PathBuf>) -> Result<Vec<u8>, SettingsError> {
        std::fs::read(file.get_ref()).map_err(|err| {
            let rule = format!("names `{}`, which cannot be read: {err}", file.get_ref().display());
            self.error(file.span(), key, rule)
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::{config::Config, identity::SecondFactorPolicy, mail::SmtpTls};

    const LEAST: &str = "data_dir = \"/d\"\npublic_link_address = \"h:1\"\n";

    #[test]
    fn accounts_and_mail_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let password = dir.path().join("password");
        std::fs::write(&password, "secret\n").unwrap();
        let text = format!(
            "{LEAST}public_url = \"https://a.org\"\n[accounts]\nsecond_factor = \"admins\"\n\
             [smtp]\nhost = \"mail.a.org\"\ntls = \"tls\"\nuser = \"u\"\n\
             password_file = \"{}\"\nfrom = \"Panel <p@a.org>\"\n",
            password.display()
        );
        let config = Config::parse("hub.toml", &text).unwrap();
        assert_eq!(config.accounts.second_factor, SecondFactorPolicy::Admins);
        assert_eq!(config.accounts.public_url.origin(), "https://a.org");
        let smtp = config.smtp.unwrap();
        assert_eq!((smtp.port, smtp.tls), (465, SmtpTls::Tls));
        assert_eq!(smtp.login.as_ref().unwrap().1.0.as_str(), "secret");
        assert!(!format!("{smtp:?}").contains("secret"));
    }

    #[test]
    fn providers_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let secret = dir.path().join("secret");
        std::fs::write(&secret, "word\n").unwrap();
        let one = |id: &str, kind: &str| {
            let file = secret.display();
            format!(
                "[[provider]]\nid = \"{id}\"\nkind = \"{kind}\"\nclient_id = \"c\"\n\
                 client_secret_file = \"{file}\"\n"
            )
        };
        let text = format!(
            "{LEAST}{}{}{}issuer = \"https://id.a.org\"\n",
            one("google", "google"),
            one("discord", "discord"),
            one("own", "oidc")
        );
        let config = Config::parse("hub.toml", &text).unwrap();
        let ids: Vec<_> = config.accounts.providers.iter().map(|it| it.id.as_str()).collect();
        assert_eq!(ids, ["google", "discord", "own"]);
        let own = one("own", "oidc");
        let with =
            |issuer: &str| Config::parse("f", &format!("{LEAST}{own}issuer = \"{issuer}\"\n"));
        assert!(with("http://localhost:8080").is_ok());
        for issuer in ["http://id.a.org", "ftp://id.a.org", "id.a.org", ""] {
            let err = with(issuer).unwrap_err().to_string();
            assert!(err.contains("`provider.issuer` must be an `https` URL"), "{issuer}: {err}");
        }
        for bad in [one("own", "oidc"), one("A", "google"), one("x", "google").repeat(2)] {
            assert!(Config::parse("hub.toml", &format!("{LEAST}{bad}")).is_err(), "{bad}");
        }
    }

    #[test]
    fn mistakes_name_the_key() {
        for (text, key) in [
            ("public_url = \"http://a.org\"", "`public_url` must be an origin"),
            ("[accounts]\nregistration = \"maybe\"", "`accounts.registration` must be one of"),
            ("[smtp]\nhost = \"h\"\nfrom = \"nobody\"", "`smtp.from` must be an address"),
            ("[smtp]\nhost = \"h\"\nfrom = \"a@b\"\nuser = \"u\"", "`smtp` needs both"),
            ("[smtp]\nhost = \"h\"\nfrom = \"a@b\"\ntls = \"ssl\"", "`smtp.tls` must be one of"),
        ] {
            let err = Config::parse("hub.toml", &format!("{LEAST}{text}\n")).unwrap_err();
            assert!(err.to_string().contains(key), "{err}");
        }
    }
}
