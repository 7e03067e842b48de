//! The daemon's settings: as written in `edge.toml`, then as checked.
//!
//! Every key is optional; `edge.toml.example` shows each with its unit and default.

use crate::runtime::{
    docker::{Registries, RegistryLogin},
    subnet::{Subnet, SubnetPool},
};
use mamba_core::settings::{LogFormat, SettingsError};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};
use toml::Spanned;
use tracing_subscriber::EnvFilter;

/// Where the settings are looked for when no file is named.
pub const CONFIG_PATH: &str = "/etc/mamba/edge.toml";

/// Length of the prefix of a tenant's network: 64 addresses, 61 of them for servers.
const TENANT_PREFIX: u8 = 26;

/// The file exactly as written. Unknown keys are refused.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    #[serde(default = "default_data_dir")]
    data_dir: PathBuf,
    #[serde(default)]
    hub: Vec<Spanned<String>>,
    #[serde(default = "default_docker_socket")]
    docker_socket: PathBuf,
    #[serde(default)]
    allow_old_runc: Option<bool>,
    #[serde(default = "default_game_uid")]
    game_uid: Spanned<u32>,
    #[serde(default = "default_network_pool")]
    network_pool: Spanned<String>,
    #[serde(default = "default_starts_at_once")]
    starts_at_once: Spanned<u32>,
    #[serde(default = "default_sample_every_s")]
    sample_every_s: Spanned<u32>,
    #[serde(default = "default_log")]
    log: Spanned<String>,
    #[serde(default)]
    log_format: LogFormat,
    #[serde(default)]
    allowed_mounts: Vec<Spanned<PathBuf>>,
    #[serde(default)]
    registries: BTreeMap<Spanned<String>, RawRegistry>,
}

/// One entry of `registries`.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRegistry {
    user: String,
    password_file: Spanned<PathBuf>,
}

/// What the daemon runs on: checked once, never checked again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Holds everything that the daemon owns.
    pub data_dir: PathBuf,
    /// Addresses of the hub that replace those learned at enrolment. Empty without replacement.
    pub hub: Vec<String>,
    /// Socket of the container engine.
    pub docker_socket: PathBuf,
    /// Whether games are started by a runc with known ways out of a container; without, only by one that
    /// a distribution may have mended.
    pub allow_old_runc: Option<bool>,
    /// User and group that games run as; never 0.
    pub game_uid: u32,
    /// Addresses that tenants' networks are cut from.
    pub network_pool: SubnetPool,
    /// Servers that are started at the same time at most.
    pub starts_at_once: usize,
    /// Time between two looks at what a server uses.
    pub sample_every: Duration,
    /// What is logged, in the words of `tracing_subscriber`'s `EnvFilter`.
    pub log: String,
    /// How its lines are written.
    pub log_format: LogFormat,
    /// Folders below which games may be given what is there.
    pub allowed_mounts: Vec<PathBuf>,
    /// Logins for image registries.
    pub registries: Registries,
}

fn default_data_dir() -> PathBuf {
    "/var/lib/mamba-edge".into()
}
fn default_docker_socket() -> PathBuf {
    "/var/run/docker.sock".into()
}
fn default_game_uid() -> Spanned<u32> {
    Spanned::new(0..0, 988)
}
fn default_network_pool() -> Spanned<String> {
    Spanned::new(0..0, "10.213.0.0/16".to_owned())
}
fn default_starts_at_once() -> Spanned<u32> {
    Spanned::new(0..0, 4)
}
fn default_sample_every_s() -> Spanned<u32> {
    Spanned::new(0..0, 10)
}
fn default_log() -> Spanned<String> {
    Spanned::new(0..0, "info".to_owned())
}

impl Config {
    /// Reads the named file; without a name the one at [`CONFIG_PATH`] if there is one, otherwise
    /// every default.
    ///
    /// # Errors
    /// When a named file cannot be read, or a key breaks a rule.
    pub fn load(path: Option<&Path>) -> Result<Self, ConfigError> {
        let file = path.unwrap_or(Path::new(CONFIG_PATH));
        match std::fs::read_to_string(file) {
            Ok(text) => Ok(Self::parse(&file.display().to_string(), &text)?),
            Err(err) if path.is_none() && err.kind() == std::io::ErrorKind::NotFound => {
                Ok(Self::parse(CONFIG_PATH, "")?)
            }
            Err(source) => Err(ConfigError::Read { file: file.to_owned(), source }),
        }
    }

    /// Reads the text of a settings file.
    ///
    /// # Errors
    /// Names the line, the key and the rule.
    pub fn parse(file: &str, text: &str) -> Result<Self, SettingsError> {
        let raw: Raw = toml::from_str(text).map_err(|err| {
            let offset = err.span().map_or(0, |span| span.start);
            SettingsError::new(file, text, offset, err.message().replace('\n', " "))
        })?;
        let refuse = |at: usize, problem: &str| SettingsError::new(file, text, at, problem);
        let ranged = |value: &Spanned<u32>, min: u32, max: u32, key: &str, unit: &str| {
            if (min..=max).contains(value.get_ref()) {
                return Ok(*value.get_ref());
            }
            let problem = format!("`{key}` must be {min} to {max}{unit}, not {}", value.get_ref());
            Err(refuse(value.span().start, &problem))
        };
        for hub in &raw.hub {
            if !is_address(hub.get_ref()) {
                let problem = format!(
                    "`hub` must hold addresses such as `hub.example:7443`, not `{}`",
                    hub.get_ref()
                );
                return Err(refuse(hub.span().start, &problem));
            }
        }
        for folder in &raw.allowed_mounts {
            if !folder.get_ref().is_absolute() || folder.get_ref() == Path::new("/") {
                let problem = "`allowed_mounts` must hold absolute paths other than `/`";
                return Err(refuse(folder.span().start, problem));
            }
        }
        EnvFilter::try_new(raw.log.get_ref()).map_err(|err| {
            refuse(raw.log.span().start, &format!("`log` must be a filter: {err}"))
        })?;
        let pool = &raw.network_pool;
        let network_pool = parse_pool(pool.get_ref()).ok_or_else(|| {
            let problem =
                "`network_pool` must be an IPv4 network of /8 to /24, its first address, such as `10.213.0.0/16`";
            refuse(pool.span().start, problem)
        })?;
        Ok(Self {
            data_dir: raw.data_dir,
            hub: raw.hub.into_iter().map(Spanned::into_inner).collect(),
            docker_socket: raw.docker_socket,
            allow_old_runc: raw.allow_old_runc,
            game_uid: ranged(&raw.game_uid, 1, 60_000, "game_uid", "")?,
            network_pool,
            starts_at_once: ranged(&raw.starts_at_once, 1, 64, "starts_at_once", "")? as usize,
            sample_every: Duration::from_secs(
                ranged(&raw.sample_every_s, 1, 60, "sample_every_s", " s")?.into(),
            ),
            log: raw.log.into_inner(),
            log_format: raw.log_format,
            allowed_mounts: raw.allowed_mounts.into_iter().map(Spanned::into_inner).collect(),
            registries: raw
                .registries
                .into_iter()
                .map(|(host, login)| check_registry(host, login))
                .collect::<Result<_, _>>()
                .map_err(|(at, problem)| refuse(at, &problem))?,
        })
    }

    /// Returns the path of the local socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.data_dir.join("edge.sock")
    }
}

/// Why there are no settings.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("settings file `{}` cannot be read", file.display())]
    Read {
        /// Which.
        file: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file breaks a rule.
    #[error(transparent)]
    Bad(#[from] SettingsError),
}

/// Whether the text is a host and a port.
fn is_address(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty() && !host.contains(char::is_whitespace) && port.parse::<u16>().is_ok()
    })
}

/// Checks one entry of `registries`; an error comes with its place.
fn check_registry(
    host: Spanned<String>,
    login: RawRegistry,
) -> Result<(String, RegistryLogin), (usize, String)> {
    let at = host.span().start;
    let host = host.into_inner();
    let is_host = |it: char| it.is_ascii_lowercase() || it.is_ascii_digit() || ".:-[]".contains(it);
    if host.is_empty() || !host.chars().all(is_host) {
        let rule = "must be the host that images name, such as `ghcr.io` or `localhost:5000`";
        return Err((at, format!("`registries`: `{host}` {rule}")));
    }
    let file = login.password_file;
    if !file.get_ref().is_absolute() {
        let problem = format!("`registries.\"{host}\".password_file` must be an absolute path");
        return Err((file.span().start, problem));
    }
    Ok((host, RegistryLogin { user: login.user, password_file: file.into_inner() }))
}

/// Reads a network that at least four tenants fit into.
fn parse_pool(text: &str) -> Option<SubnetPool> {
    let pool: Subnet = text.parse().ok()?;
    let is_sized = (8..=TENANT_PREFIX - 2).contains(&pool.prefix);
    is_sized.then(|| SubnetPool::new(pool, TENANT_PREFIX)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_refused(text: &str, line: usize, says: &str) {
        let err = Config::parse("edge.toml", text).expect_err(text);
        assert_eq!(err.line, line, "{err}");
        assert!(err.to_string().contains(says), "{err}");
    }

    #[test]
    fn an_empty_file_gives_the_defaults_and_the_example_shows_them() {
        let defaults = Config::parse("edge.toml", "").unwrap();
        let example = include_str!("../edge.toml.example");
        assert_eq!(Config::parse("edge.toml.example", example).unwrap(), defaults);
        for key in
            ["data_dir", "hub", "docker_socket", "game_uid", "network_pool", "log", "log_format"]
        {
            assert!(example.contains(&format!("{key} = ")), "{key}");
        }
    }

    #[test]
    fn an_old_runc_is_allowed_or_not_or_nothing_is_said() {
        let read = |text: &str| Config::parse("edge.toml", text).unwrap().allow_old_runc;
        assert_eq!(read(""), None);
        assert_eq!(read("allow_old_runc = true"), Some(true));
        assert_eq!(read("allow_old_runc = false"), Some(false));
        check_refused("\nallow_old_runc = 1", 2, "invalid type");
    }

    #[test]
    fn a_bad_key_is_named_with_its_line() {
        check_refused("log = \"info\"\n\nhbu = []\n", 3, "hbu");
        check_refused("\nhub = [\n\"a:1\",\n\"b\"]\n", 4, "`hub`");
        check_refused("game_uid = 0\n", 1, "`game_uid`");
        check_refused("network_pool = \"10.0.0.1/16\"", 1, "`network_pool`");
        check_refused("\nstarts_at_once = 99", 2, "`starts_at_once` must be 1 to 64");
        check_refused("\nallowed_mounts = [\"/srv\", \"/\"]", 2, "`allowed_mounts`");
        check_refused("log = 5", 1, "invalid type");
        check_refused("\nlog = \"loud=very\"", 2, "`log` must be a filter");
        check_refused("log_format = \"xml\"", 1, "xml");
        let registry = "user = \"u\"\npassword_file = ";
        check_refused(
            &format!("[registries.\"https://a/b\"]\n{registry}\"/x\""),
            1,
            "`https://a/b`",
        );
        check_refused(&format!("[registries.\"a.b\"]\n{registry}\"x\""), 3, "absolute path");
        check_refused("[registries.\"a.b\"]\nuser = \"u\"", 1, "password_file");
        check_refused("log = ", 1, "");
    }
}
