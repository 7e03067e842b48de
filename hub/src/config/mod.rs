//! `hub.toml`: as written, then as checked. A mistake is told with file, line and key.

mod accounts;
mod environment;
mod legal;
mod shown;

pub use environment::DOCUMENTED;
pub use legal::LegalConfig;

use crate::{
    api::{ConnectionLimits, RequestLimits, TlsFiles},
    identity::Settings,
    mail::SmtpConfig,
};
use accounts::{RawAccounts, RawProvider, RawSmtp};
use legal::RawLegal;
use mamba_core::settings::{LogFormat, SettingsError};
use serde::Deserialize;
use std::{
    fmt::Display,
    net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4},
    ops::Range,
    path::{Path, PathBuf},
    time::Duration,
};
use toml::Spanned;

/// Milliseconds of a day.
const DAY_MS: u64 = 24 * 3_600_000;
/// Where the API listens without a word in the file.
const HTTP_DEFAULT: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 8080));
/// Where edges connect without a word in the file.
const LINK_DEFAULT: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 7443));
/// Most proxies; each request is compared with all.
const PROXIES_MAX: usize = 64;
/// Longest config file; ours has two kilobytes.
const FILE_BYTES_MAX: u64 = 256 * 1024;

/// What the hub runs on: checked once, never again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Everything that the hub keeps.
    pub data_dir: PathBuf,
    /// Where the API listens.
    pub http_listen: SocketAddr,
    /// Proxies in front of the API, whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpAddr>,
    /// Where edges connect (UDP).
    pub link_listen: SocketAddr,
    /// Host and port that go into join tokens.
    pub public_link_address: String,
    /// Filter of the log.
    pub log: String,
    /// How lines of the log are written.
    pub log_format: LogFormat,
    /// What the API is encrypted with, `None` when something in front does that.
    pub tls: Option<TlsConfig>,
    /// Numbers for Prometheus, `None` when they are not served.
    pub metrics: Option<MetricsConfig>,
    /// Copies of the store.
    pub backup: BackupConfig,
    /// Memory for pages of the store.
    pub store_cache_bytes: usize,
    /// Consoles.
    pub consoles: ConsoleLimits,
    /// Requests to the API.
    pub requests: RequestLimits,
    /// How many connections the API may have.
    pub connections: ConnectionLimits,
    /// Accounts.
    pub accounts: Settings,
    /// How long entries of the audit trail are kept.
    pub audit_retain_ms: u64,
    /// Where mails go; `None` when they stay in the hub.
    pub smtp: Option<SmtpConfig>,
    /// Legal pages.
    pub legal: LegalConfig,
}

/// What the API is encrypted with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TlsConfig {
    /// A certificate and its key in files; read again when they change.
    Given(TlsFiles),
    /// One that the hub makes for itself: for a start, until there is a better one.
    SelfMade,
}

/// Where numbers are served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricsConfig {
    /// The address.
    pub listen: SocketAddr,
    /// File with the token that a reader must send.
    pub token_file: Option<PathBuf>,
}

/// Copies of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupConfig {
    /// Where they are made.
    pub dir: PathBuf,
    /// Time between two of them.
    pub every: Duration,
    /// How many are kept.
    pub keep: usize,
}

/// Consoles open at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConsoleLimits {
    /// Over all users.
    pub all_max: usize,
    /// Of one user.
    pub user_max: usize,
}

/// Why there is no config.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("config file `{}` could not be read", file.display())]
    Read {
        /// Which.
        file: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file breaks a rule.
    #[error(transparent)]
    Invalid(#[from] SettingsError),
}

/// The file exactly as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    data_dir: Spanned<PathBuf>,
    http_listen: Option<Spanned<String>>,
    http_plain_public: Option<bool>,
    #[serde(default)]
    trusted_proxies: Vec<Spanned<String>>,
    link_listen: Option<Spanned<String>>,
    public_link_address: Spanned<String>,
    log: Option<Spanned<String>>,
    #[serde(default)]
    log_format: LogFormat,
    #[serde(default)]
    tls: RawTls,
    #[serde(default)]
    metrics: RawMetrics,
    #[serde(default)]
    backup: RawBackup,
    #[serde(default)]
    limits: RawLimits,
    public_url: Option<Spanned<String>>,
    #[serde(default)]
    accounts: RawAccounts,
    smtp: Option<RawSmtp>,
    #[serde(default)]
    provider: Vec<RawProvider>,
    #[serde(default)]
    audit: RawAudit,
    #[serde(default)]
    legal: RawLegal,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawAudit {
    retain_days: Option<Spanned<u32>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTls {
    certificate_file: Option<Spanned<PathBuf>>,
    key_file: Option<Spanned<PathBuf>>,
    self_made: Option<Spanned<bool>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawMetrics {
    listen: Option<Spanned<String>>,
    token_file: Option<PathBuf>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawBackup {
    dir: Option<PathBuf>,
    every_minutes: Option<Spanned<u32>>,
    keep: Option<Spanned<u32>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLimits {
    store_cache_mib: Option<Spanned<u32>>,
    consoles_max: Option<Spanned<u32>>,
    consoles_per_user_max: Option<Spanned<u32>>,
    connections_max: Option<Spanned<u32>>,
    connections_per_address_max: Option<Spanned<u32>>,
    requests_per_minute_per_address: Option<Spanned<u32>>,
    requests_per_minute_per_account: Option<Spanned<u32>>,
}

/// What `[limits]` says.
struct Limits {
    store_cache_bytes: usize,
    consoles: ConsoleLimits,
    connections: ConnectionLimits,
    requests: RequestLimits,
}

impl Config {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// When the file cannot be read, or a key breaks a rule.
    pub fn load(file: &Path) -> Result<Self, ConfigError> {
        let failed = |source| ConfigError::Read { file: file.to_path_buf(), source };
        let text = std::fs::File::open(file)
            .and_then(|open| std::io::read_to_string(std::io::Read::take(open, FILE_BYTES_MAX)))
            .map_err(failed)?;
        let is_ours = |name: &String| name.starts_with(environment::PREFIX);
        let variables = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .filter(|(name, _)| is_ours(name));
        let variables: Vec<(String, String)> = variables.collect();
        Ok(Self::parse_with(&file.display().to_string(), &text, &variables)?)
    }

    /// Checks the text of a file with settings from the environment over it.
    ///
    /// # Errors
    /// The first mistake, told where it is: with the variable, or with file and line.
    pub fn parse_with(
        file: &str,
        text: &str,
        variables: &[(String, String)],
    ) -> Result<Self, SettingsError> {
        if variables.is_empty() {
            return Self::parse(file, text);
        }
        let Ok(mut table) = text.parse::<toml::Table>() else {
            return Self::parse(file, text);
        };
        let used = environment::put(&mut table, variables)?;
        let whole = table.to_string();
        Self::parse(file, &whole).map_err(|err| {
            let key = used.iter().find(|key| key.is_meant(&err, &whole));
            match (key, Self::parse(file, text)) {
                (Some(key), _) => SettingsError { file: key.variable(), line: 1, ..err },
                // Lines are those of the file as it was written.
                (None, Err(own)) => own,
                (None, Ok(_)) => err,
            }
        })
    }

    /// Checks the text of a file; `file` is only named.
    ///
    /// # Errors
    /// The first mistake.
    pub fn parse(file: &str, text: &str) -> Result<Self, SettingsError> {
        let place = Place { file, text };
        let raw: Raw = toml::from_str(text).map_err(|err| {
            let offset = err.span().map_or(0, |span| span.start);
            SettingsError::new(file, text, offset, err.message().replace('\n', " "))
        })?;
        let data_dir = raw.data_dir.into_inner();
        let (tls, limits) = (place.tls(raw.tls)?, place.limits(raw.limits)?);
        let accounts = Settings {
            has_smtp: raw.smtp.is_some(),
            providers: place.providers(raw.provider)?,
            ..place.accounts(raw.public_url, &raw.accounts)?
        };
        Ok(Self {
            legal: place.legal(raw.legal, &data_dir, accounts.public_url.origin())?,
            http_listen: place
                .http(raw.http_listen, raw.http_plain_public == Some(true) || tls.is_some())?,
            tls,
            metrics: place.metrics(raw.metrics)?,
            log_format: raw.log_format,
            trusted_proxies: place.proxies(raw.trusted_proxies)?,
            link_listen: place.socket("link_listen", raw.link_listen, LINK_DEFAULT)?,
            public_link_address: place.public_address(raw.public_link_address)?,
            log: place.log(raw.log)?,
            backup: place.backup(raw.backup, &data_dir)?,
            store_cache_bytes: limits.store_cache_bytes,
            consoles: limits.consoles,
            connections: limits.connections,
            requests: limits.requests,
            accounts,
            audit_retain_ms: DAY_MS
                * u64::from(place.number(
                    "audit.retain_days",
                    raw.audit.retain_days,
                    730,
                    30..=36_500,
                )?),
            smtp: raw.smtp.map(|smtp| place.smtp(smtp)).transpose()?,
            data_dir,
        })
    }
}

/// Where a mistake is told to be.
struct Place<'a> {
    file: &'a str,
    text: &'a str,
}

impl Place<'_> {
    fn error(&self, span: Range<usize>, key: &str, rule: impl Display) -> SettingsError {
        SettingsError::new(self.file, self.text, span.start, format!("`{key}` {rule}"))
    }

    fn limits(&self, raw: RawLimits) -> Result<Limits, SettingsError> {
        let cache_mib =
            self.count("limits.store_cache_mib", raw.store_cache_mib, 256, 16..=65_536)?;
        Ok(Limits {
            store_cache_bytes: (1 << 20) * cache_mib,
            consoles: ConsoleLimits {
                all_max: self.count("limits.consoles_max", raw.consoles_max, 1_000, 1..=10_000)?,
                user_max: self.count(
                    "limits.consoles_per_user_max",
                    raw.consoles_per_user_max,
                    20,
                    1..=10_000,
                )?,
            },
            connections: ConnectionLimits {
                all_max: self.count(
                    "limits.connections_max",
                    raw.connections_max,
                    2_000,
                    10..=50_000,
                )?,
                per_address_max: self.count(
                    "limits.connections_per_address_max",
                    raw.connections_per_address_max,
                    200,
                    1..=50_000,
                )?,
            },
            requests: RequestLimits {
                per_address: self.number(
                    "limits.requests_per_minute_per_address",
                    raw.requests_per_minute_per_address,
                    3_000,
                    10..=1_000_000,
                )?,
                per_account: self.number(
                    "limits.requests_per_minute_per_account",
                    raw.requests_per_minute_per_account,
                    1_200,
                    10..=1_000_000,
                )?,
            },
        })
    }

    fn socket(
        &self,
        key: &str,
        value: Option<Spanned<String>>,
        default: SocketAddr,
    ) -> Result<SocketAddr, SettingsError> {
        let Some(value) = value else { return Ok(default) };
        let rule = "must be an address and a port such as `127.0.0.1:8080`";
        value.get_ref().parse().map_err(|_| self.error(value.span(), key, rule))
    }

    fn http(
        &self,
        value: Option<Spanned<String>>,
        is_public: bool,
    ) -> Result<SocketAddr, SettingsError> {
        let span = value.as_ref().map_or(0..0, Spanned::span);
        let address = self.socket("http_listen", value, HTTP_DEFAULT)?;
        if address.ip().is_loopback() || is_public {
            return Ok(address);
        }
        let rule = "must be a loopback address, for passwords would travel in the clear: set \
                    `[tls]`, or `http_plain_public = true` when something in front encrypts";
        Err(self.error(span, "http_listen", rule))
    }

    fn tls(&self, raw: RawTls) -> Result<Option<TlsConfig>, SettingsError> {
        let is_self_made = raw.self_made.as_ref().is_some_and(|it| *it.get_ref());
        match (raw.certificate_file, raw.key_file) {
            (None, None) => Ok(is_self_made.then_some(TlsConfig::SelfMade)),
            (Some(certificate), Some(_)) if is_self_made => {
                let rule = "must not be given with `tls.self_made = true`";
                Err(self.error(certificate.span(), "tls.certificate_file", rule))
            }
            (Some(certificate), Some(key)) => Ok(Some(TlsConfig::Given(TlsFiles {
                certificate: certificate.into_inner(),
                key: key.into_inner(),
            }))),
            (Some(one), None) => {
                let rule = "needs `tls.key_file` too";
                Err(self.error(one.span(), "tls.certificate_file", rule))
            }
            (None, Some(one)) => {
                Err(self.error(one.span(), "tls.key_file", "needs `tls.certificate_file` too"))
            }
        }
    }

    fn backup(&self, raw: RawBackup, data_dir: &Path) -> Result<BackupConfig, SettingsError> {
        let every = self.number("backup.every_minutes", raw.every_minutes, 15, 1..=1_440)?;
        Ok(BackupConfig {
            dir: raw.dir.unwrap_or_else(|| data_dir.join("backups")),
            every: Duration::from_secs(60 * u64::from(every)),
            keep: self.count("backup.keep", raw.keep, 48, 2..=1_000)?,
        })
    }

    fn metrics(&self, raw: RawMetrics) -> Result<Option<MetricsConfig>, SettingsError> {
        let Some(listen) = raw.listen else { return Ok(None) };
        let (span, key) = (listen.span(), "metrics.listen");
        let listen = self.socket(key, Some(listen), HTTP_DEFAULT)?;
        if !listen.ip().is_loopback() && raw.token_file.is_none() {
            let rule = "must be a loopback address unless `metrics.token_file` is given";
            return Err(self.error(span, key, rule));
        }
        Ok(Some(MetricsConfig { listen, token_file: raw.token_file }))
    }

    fn proxies(&self, values: Vec<Spanned<String>>) -> Result<Vec<IpAddr>, SettingsError> {
        let (key, rule) = ("trusted_proxies", "must be addresses such as `127.0.0.1`");
        let parse = |value: Spanned<String>| match value.get_ref().parse::<IpAddr>() {
            Ok(address) => Ok(address.to_canonical()),
            Err(_) => Err(self.error(value.span(), key, rule)),
        };
        if let Some(first) = values.get(PROXIES_MAX) {
            let rule = format_args!("must be at most {PROXIES_MAX} addresses");
            return Err(self.error(first.span(), key, rule));
        }
        values.into_iter().map(parse).collect()
    }

    fn public_address(&self, value: Spanned<String>) -> Result<String, SettingsError> {
        let is_host = |host: &str| {
            let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
            match inner {
                Some(ip) => ip.parse::<std::net::Ipv6Addr>().is_ok(),
                None => {
                    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
                    !host.is_empty() && host.len() <= 253 && host.chars().all(fits)
                }
            }
        };
        let parts = value.get_ref().rsplit_once(':');
        let is_good = parts.is_some_and(|(host, port)| {
            is_host(host) && port.parse::<u16>().is_ok_and(|port| port > 0)
        });
        if is_good {
            return Ok(value.into_inner());
        }
        let rule = "must be a host and a port such as `hub.example.org:7443`";
        Err(self.error(value.span(), "public_link_address", rule))
    }

    fn log(&self, value: Option<Spanned<String>>) -> Result<String, SettingsError> {
        let Some(value) = value else { return Ok("info".to_owned()) };
        match tracing_subscriber::EnvFilter::try_new(value.get_ref()) {
            Ok(_) => Ok(value.into_inner()),
            Err(err) => {
                Err(self.error(value.span(), "log", format_args!("must be a filter: {err}")))
            }
        }
    }

    fn number(
        &self,
        key: &str,
        value: Option<Spanned<u32>>,
        default: u32,
        range: std::ops::RangeInclusive<u32>,
    ) -> Result<u32, SettingsError> {
        let Some(value) = value else { return Ok(default) };
        if range.contains(value.get_ref()) {
            return Ok(value.into_inner());
        }
        let rule = format_args!("must be {} to {}", range.start(), range.end());
        Err(self.error(value.span(), key, rule))
    }

    fn count(
        &self,
        key: &str,
        value: Option<Spanned<u32>>,
        default: u32,
        range: std::ops::RangeInclusive<u32>,
    ) -> Result<usize, SettingsError> {
        Ok(usize::try_from(self.number(key, value, default, range)?).unwrap_or(usize::MAX))
    }
}

#[cfg(test)]
mod tests;
