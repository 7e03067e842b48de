//! Pure: what administrators are told of the settings in force. Secrets are not among it.

use super::{
    Config, LegalConfig, MetricsConfig, TlsConfig,
    environment::{Key, keys},
};
use crate::{
    identity::{Provider, ProviderKind, Registration, SecondFactorPolicy},
    mail::{SmtpConfig, SmtpTls},
};
use mamba_core::settings::LogFormat;
use mamba_wire::api::hub::Setting;

impl Config {
    /// Returns each setting of the documented file with its value, in its order; those of a section that
    /// may be there several times, once for each.
    #[must_use]
    pub fn shown(&self) -> Vec<Setting> {
        let (repeated, single): (Vec<Key>, Vec<Key>) =
            keys().into_iter().partition(|key| key.is_repeated);
        let mut shown: Vec<Setting> = single
            .iter()
            .map(|key| {
                let value = self.value(&key.path()).unwrap_or_default();
                Setting { key: key.path(), variable: Some(key.variable(None)), value }
            })
            .collect();
        for (number, provider) in (1..).zip(&self.accounts.providers) {
            shown.extend(repeated.iter().map(|key| {
                let value = of_provider(provider, &key.name).unwrap_or_default();
                Setting { key: key.path(), variable: Some(key.variable(Some(number))), value }
            }));
        }
        shown
    }

    /// Returns the value of a key, `None` when it has none or is not known.
    fn value(&self, key: &str) -> Option<String> {
        if let Some(name) = key.strip_prefix("smtp.") {
            return of_smtp(self.smtp.as_ref()?, name);
        }
        if let Some(name) = key.strip_prefix("legal.") {
            return of_legal(&self.legal, name);
        }
        let minutes = self.backup.every.as_secs() / 60;
        let days = self.audit_retain_ms / super::DAY_MS;
        Some(match key {
            "data_dir" => self.data_dir.display().to_string(),
            "http_listen" => self.http_listen.to_string(),
            "http_plain_public" => {
                let is_plain = self.tls.is_none() && !self.http_listen.ip().is_loopback();
                is_plain.to_string()
            }
            "trusted_proxies" => {
                let all: Vec<_> = self.trusted_proxies.iter().map(ToString::to_string).collect();
                all.join(", ")
            }
            "link_listen" => self.link_listen.to_string(),
            "public_link_address" => self.public_link_address.clone(),
            "log" => self.log.clone(),
            "log_format" => match self.log_format {
                LogFormat::Text => "text".to_owned(),
                LogFormat::Json => "json".to_owned(),
            },
            "public_url" => self.accounts.public_url.to_string(),
            "backup.dir" => self.backup.dir.display().to_string(),
            "backup.every_minutes" => minutes.to_string(),
            "backup.keep" => self.backup.keep.to_string(),
            "limits.store_cache_mib" => (self.store_cache_bytes >> 20).to_string(),
            "limits.consoles_max" => self.consoles.all_max.to_string(),
            "limits.consoles_per_user_max" => self.consoles.user_max.to_string(),
            "limits.connections_max" => self.connections.all_max.to_string(),
            "limits.connections_per_address_max" => self.connections.per_address_max.to_string(),
            "limits.requests_per_minute_per_address" => self.requests.per_address.to_string(),
            "limits.requests_per_minute_per_account" => self.requests.per_account.to_string(),
            "accounts.registration" => match self.accounts.registration {
                Registration::Closed => "closed".to_owned(),
                Registration::Open => "open".to_owned(),
            },
            "accounts.second_factor" => match self.accounts.second_factor {
                SecondFactorPolicy::None => "none".to_owned(),
                SecondFactorPolicy::Admins => "admins".to_owned(),
                SecondFactorPolicy::All => "all".to_owned(),
            },
            "audit.retain_days" => days.to_string(),
            other => return of_doors(self.tls.as_ref(), self.metrics.as_ref(), other),
        })
    }
}

fn of_doors(tls: Option<&TlsConfig>, metrics: Option<&MetricsConfig>, key: &str) -> Option<String> {
    match (key, tls) {
        ("tls.certificate_file", Some(TlsConfig::Given(files))) => {
            return Some(files.certificate.display().to_string());
        }
        ("tls.key_file", Some(TlsConfig::Given(files))) => {
            return Some(files.key.display().to_string());
        }
        ("tls.self_made", tls) => return Some((tls == Some(&TlsConfig::SelfMade)).to_string()),
        _ => {}
    }
    match key {
        "metrics.listen" => Some(metrics?.listen.to_string()),
        "metrics.token_file" => Some(metrics?.token_file.as_ref()?.display().to_string()),
        _ => None,
    }
}

fn of_legal(legal: &LegalConfig, name: &str) -> Option<String> {
    match name {
        "dir" => Some(legal.dir.display().to_string()),
        "company" => legal.words.company.clone(),
        "address" => legal.words.address.clone(),
        "email" => legal.words.email.clone(),
        "country" => legal.words.country.clone(),
        _ => None,
    }
}

/// What stands for a secret, or for content of a file.
const GIVEN: &str = "given";

fn of_smtp(smtp: &SmtpConfig, name: &str) -> Option<String> {
    match name {
        "host" => Some(smtp.host.clone()),
        "port" => Some(smtp.port.to_string()),
        "tls" => Some(
            match smtp.tls {
                SmtpTls::StartTls => "starttls",
                SmtpTls::Tls => "tls",
                SmtpTls::None => "none",
            }
            .to_owned(),
        ),
        "authority_file" => smtp.authority.as_ref().map(|_| GIVEN.to_owned()),
        "user" => smtp.login.as_ref().map(|(user, _)| user.clone()),
        "password_file" => smtp.login.as_ref().map(|_| GIVEN.to_owned()),
        "from" => Some(smtp.from.clone()),
        _ => None,
    }
}

fn of_provider(provider: &Provider, name: &str) -> Option<String> {
    match name {
        "id" => Some(provider.id.clone()),
        "name" => Some(provider.name.clone()),
        "kind" => Some(
            match provider.kind {
                ProviderKind::Oidc { .. } => "oidc",
                ProviderKind::Discord { .. } => "discord",
            }
            .to_owned(),
        ),
        "issuer" => match &provider.kind {
            ProviderKind::Oidc { issuer } => Some(issuer.clone()),
            ProviderKind::Discord { .. } => None,
        },
        "client_id" => Some(provider.client_id.clone()),
        "client_secret_file" => Some(GIVEN.to_owned()),
        _ => None,
    }
}
