//! Pure: what is wanted of one game server, in full, so that a node needs nothing else to run it.
//!
//! The hub renders a blueprint and a tenant's choices into a [`ServerSpec`]; the edge runs exactly
//! that. [`ServerSpec::check`] is called on both sides: before the hub signs, and before the edge
//! adopts.

mod install;
mod mounts;
mod sharing;

pub use install::{
    INSTALL_MS_MAX, Install, InstallAsk, InstallFiles, SCRIPT_BYTES_MAX, install_limits,
    is_secret_name, mask, mask_typed, secret_values,
};
pub use mounts::{MOUNTS_MAX, Mount, check_mounts};
pub use sharing::{Sharing, THREADS_MAX, Threads};

use crate::{
    clock::UnixMs,
    error::Invalid,
    units::{Mib, Millicores},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, net::IpAddr};

/// Least memory a server can be given; below it no engine reliably starts a container.
pub const MEMORY_MIB_MIN: u32 = 32;
/// Most memory, swap or disk: 1 TiB and 64 TiB; above is a typing error.
pub const MEMORY_MIB_MAX: u32 = 1 << 20;
/// Most disk, 64 TiB.
pub const DISK_MIB_MAX: u32 = 64 << 20;
/// Least disk; the console history and config files of a server need a little room.
pub const DISK_MIB_MIN: u32 = 16;
/// Least CPU: below 5 % of a core no game gets through its start-up.
pub const CPU_MILLICORES_MIN: u32 = 50;
/// Most CPU: 512 cores.
pub const CPU_MILLICORES_MAX: u32 = 512_000;
/// Fewest processes and threads: a shell and a game with a few threads.
pub const PIDS_MIN: u32 = 16;
/// Processes and threads of a server whose maker may not choose: as much as Pterodactyl gives.
pub const PIDS_DEFAULT: u32 = 512;
/// Most processes and threads: the kernel's default for a whole machine.
pub const PIDS_MAX: u32 = 32_768;
/// Longest time between a stop and the kill.
pub const STOP_GRACE_MS_MAX: u32 = 600_000;
/// Longest start line in bytes; the longest known egg has about 2,000.
pub const STARTUP_BYTES_MAX: usize = 16_384;
/// Most environment variables; the largest known egg has 52.
pub const VARIABLES_MAX: usize = 256;
/// Most bytes of one variable's value.
pub const VARIABLE_BYTES_MAX: usize = 8_192;
/// Most ports of one server.
pub const PORTS_MAX: usize = 64;
/// Most config files rewritten before a start, and most replacements in one.
pub const CONFIG_FILES_MAX: usize = 64;
/// Most replacements in one config file.
pub const REPLACEMENTS_MAX: usize = 256;
/// Most bytes of one done pattern.
pub const DONE_BYTES_MAX: usize = 1_024;
/// Most done patterns.
pub const DONE_MAX: usize = 16;
/// Most memory of one compiled pattern: patterns come from outside.
const REGEX_BYTES_MAX: usize = 1 << 20;
/// Most bytes of a server's name.
pub const NAME_BYTES_MAX: usize = 64;

/// Everything a node needs to run one server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ServerSpec {
    /// The name people gave it. Shown, never used as a key or path.
    pub name: String,
    /// Image reference as the container engine understands it, for example `mamba/minetest:1`.
    pub image: String,
    /// Shell line that starts the game. `$NAME` is expanded by the shell in the container.
    pub startup: String,
    /// Who runs it.
    pub entry: Entry,
    /// Environment of the game.
    pub environment: BTreeMap<String, String>,
    /// Console lines that say the game is ready; one match is enough. Empty means that it is ready
    /// as soon as it runs.
    pub done: Vec<DoneMatch>,
    /// How the game is asked to stop.
    pub stop: StopMethod,
    /// Time between asking and killing, in milliseconds.
    pub stop_grace_ms: u32,
    /// What it may use.
    pub limits: Limits,
    /// Ports published on the node.
    pub ports: Vec<PortBinding>,
    /// Capabilities kept, of those that the node allows; all others are dropped.
    pub capabilities: Vec<Capability>,
    /// Whether it starts by itself when the node comes up.
    pub auto_start: AutoStart,
    /// What happens when it ends by itself.
    pub restart: RestartPolicy,
    /// Files rewritten in the data directory before each start, in this order.
    pub config_files: Vec<ConfigFile>,
    /// Folders of the node that it sees besides its own data.
    pub mounts: Vec<Mount>,
    /// Set when the hub does not allow it to run, whatever else says so.
    pub suspended: bool,
    /// End of the entitlement to run, by hub time. The node stops the server then without being
    /// told. `None` means without end.
    pub run_until: Option<UnixMs>,
    /// How the game gets into its folder before its first start. `None`: the image holds all of it.
    pub install: Option<Install>,
}

/// Who runs a start line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Entry {
    /// `/bin/sh` in the container; the image's entrypoint is left out.
    #[default]
    Shell,
    /// The image's entrypoint, which reads the line from `STARTUP`, as images for Pterodactyl do.
    Image,
}

/// One way to see that a game is ready.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DoneMatch {
    /// A line contains this text, blanks included. An empty text matches the first line.
    Contains(String),
    /// A line matches this regular expression.
    Regex(String),
}

/// How a game is asked to stop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StopMethod {
    /// A line typed into the console.
    Command(String),
    /// A signal to the container's first process.
    Signal(Signal),
    /// The container engine's own stop: the image's stop signal.
    Runtime,
}

impl StopMethod {
    /// Reads a blueprint's stop value: `^C`, `^^C`, `^c` and the like are SIGINT, `^X` is the
    /// control character 0x18 typed into the console, `SIGTERM`, `^SIGTERM` and the like name a
    /// signal, empty is the engine's own stop, anything else is a console command.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let bare = text.trim_start_matches('^');
        if text.is_empty() {
            return Self::Runtime;
        }
        if text.starts_with('^') && bare.eq_ignore_ascii_case("c") {
            return Self::Signal(Signal::Int);
        }
        if let Some(signal) = Signal::parse(bare) {
            return Self::Signal(signal);
        }
        match (text.starts_with('^'), bare.as_bytes()) {
            (true, [letter @ (b'a'..=b'z' | b'A'..=b'Z')]) => {
                // Control characters are the letter's position in the alphabet.
                Self::Command(char::from(letter.to_ascii_uppercase() - b'@').to_string())
            }
            _ => Self::Command(text.to_owned()),
        }
    }
}

/// Signals that end a game.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Signal {
    /// SIGHUP.
    Hup,
    /// SIGINT, what Ctrl-C sends.
    Int,
    /// SIGQUIT.
    Quit,
    /// SIGABRT.
    Abrt,
    /// SIGKILL; cannot be caught.
    Kill,
    /// SIGUSR1.
    Usr1,
    /// SIGUSR2.
    Usr2,
    /// SIGTERM.
    Term,
}

impl Signal {
    const ALL: [(Self, &'static str); 8] = [
        (Self::Hup, "SIGHUP"),
        (Self::Int, "SIGINT"),
        (Self::Quit, "SIGQUIT"),
        (Self::Abrt, "SIGABRT"),
        (Self::Kill, "SIGKILL"),
        (Self::Usr1, "SIGUSR1"),
        (Self::Usr2, "SIGUSR2"),
        (Self::Term, "SIGTERM"),
    ];

    /// Reads a name with its `SIG`, in any case.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(_, name)| name.eq_ignore_ascii_case(text)).map(|(it, _)| it)
    }

    /// Returns the name with its `SIG`.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL.into_iter().find(|(it, _)| *it == self).map_or("SIGTERM", |(_, name)| name)
    }
}

/// What a server may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Memory; above it the kernel kills.
    pub memory_mib: Mib,
    /// Swap on top of memory.
    pub swap_mib: Mib,
    /// CPU time.
    pub cpu_millicores: Millicores,
    /// Room for the data directory.
    pub disk_mib: Mib,
    /// Processes and threads.
    pub pids: u32,
    /// How it shares its node beyond these amounts; as usual without.
    #[serde(default)]
    pub sharing: Sharing,
}

/// One published port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PortBinding {
    /// Address on the node.
    pub ip: IpAddr,
    /// Port on the node and in the container: games announce the port they listen on.
    pub port: u16,
    /// What is published.
    pub protocol: PortProtocol,
}

/// Transport of a published port.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum PortProtocol {
    /// TCP only.
    Tcp,
    /// UDP only.
    Udp,
    /// Both.
    Both,
}

impl PortProtocol {
    /// Whether two servers with these protocols clash on one address and port.
    #[must_use]
    pub fn overlaps(self, other: Self) -> bool {
        self == other || self == Self::Both || other == Self::Both
    }
}

/// Linux capabilities that a blueprint may ask to keep. What is not in this list cannot be asked
/// for: the others open a way out of the container.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Capability {
    /// Change the owner of files.
    Chown,
    /// Bypass file permission checks inside the container.
    DacOverride,
    /// Signal processes of other users inside the container.
    Kill,
    /// Bind ports below 1024.
    NetBindService,
    /// Change group ids.
    Setgid,
    /// Change user ids.
    Setuid,
    /// Raise priorities.
    SysNice,
}

impl Capability {
    /// Returns the name as the container engine writes it, without `CAP_`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Chown => "CHOWN",
            Self::DacOverride => "DAC_OVERRIDE",
            Self::Kill => "KILL",
            Self::NetBindService => "NET_BIND_SERVICE",
            Self::Setgid => "SETGID",
            Self::Setuid => "SETUID",
            Self::SysNice => "SYS_NICE",
        }
    }
}

/// Whether a server starts by itself when its node comes up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AutoStart {
    /// Always, also when somebody had stopped it.
    Always,
    /// When it was wanted running before.
    LastState,
    /// Never.
    Never,
}

/// What happens when a game ends by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RestartPolicy {
    /// Whether it is started again at all.
    pub enabled: bool,
    /// Whether an end with exit code 0 counts as a crash. Otherwise it counts as a stop.
    pub exit_zero_is_crash: bool,
    /// Wait before the first restart; doubles with each crash inside the window.
    pub delay_ms_min: u32,
    /// Longest wait between restarts.
    pub delay_ms_max: u32,
    /// Crashes inside the window after which it is left down.
    pub crashes_max: u32,
    /// Length of the window, and the time of quiet after which a crash is forgotten.
    pub window_ms: u32,
}

impl Default for RestartPolicy {
    fn default() -> Self {
        Self {
            enabled: true,
            exit_zero_is_crash: true,
            delay_ms_min: 1_000,
            delay_ms_max: 60_000,
            crashes_max: 5,
            window_ms: 600_000,
        }
    }
}

/// One file to rewrite before a start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConfigFile {
    /// Path below the data directory.
    pub path: String,
    /// How the file is read and written.
    pub parser: ConfigParser,
    /// What is set, in order. The file is made when it does not exist.
    pub replace: Vec<Replacement>,
}

/// Syntax of a config file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ConfigParser {
    /// Lines; a key is the beginning of a line, the whole line is replaced by the value.
    File,
    /// `key=value` lines.
    Properties,
    /// Sections in brackets with `key = value` lines; keys are `section.key`.
    Ini,
    /// JSON; keys are dotted paths. A part is a name, an index (`list[0]` or `list.0`) or `*` for
    /// every entry.
    Json,
    /// YAML; keys as in JSON.
    Yaml,
    /// XML; keys are dotted paths of element names from the root on, `*` for every one.
    Xml,
    /// TOML; keys as in JSON.
    Toml,
}

/// One value to set in a config file, rendered: no placeholder is left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Replacement {
    /// Key in the parser's own form.
    pub key: String,
    /// Value to set.
    pub value: String,
    /// Whether the value is text, or JSON that gives its type.
    #[serde(default)]
    pub kind: ValueKind,
    /// Set only when the present value equals this. After `regex:` it is a regular expression: what
    /// it matches in the present value is replaced, `$1` in the new value is its first group. Of
    /// several conditions for one key the first that holds counts.
    #[serde(default)]
    pub if_value: Option<String>,
}

/// What the value of a replacement is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ValueKind {
    /// Text. Where the format has types it takes that of the present value; without one, whole
    /// numbers and truth values are recognised by their text.
    #[default]
    Text,
    /// A JSON number or truth value, set as such where the format has types.
    Json,
}

impl ServerSpec {
    /// Checks every rule that does not depend on a node or a tenant.
    ///
    /// # Errors
    /// The first field that breaks a rule, by its path, with the rule.
    pub fn check(&self) -> Result<(), Invalid> {
        check_text("name", &self.name, 1, NAME_BYTES_MAX)?;
        check_text("image", &self.image, 1, 255)?;
        if self.image.chars().any(char::is_whitespace) {
            return Err(Invalid::new("image", "must not contain blanks"));
        }
        check_script("startup", &self.startup)?;
        self.check_environment()?;
        check_done(&self.done)?;
        if let StopMethod::Command(line) = &self.stop
            && (line.is_empty() || line.len() > 1_024 || line.contains(['\n', '\r', '\0']))
        {
            return Err(Invalid::new("stop", "must be one line of 1 to 1024 bytes"));
        }
        check_range("stop_grace_ms", self.stop_grace_ms, 0, STOP_GRACE_MS_MAX)?;
        self.limits.check().map_err(|err| err.under("limits"))?;
        self.check_ports()?;
        self.restart.check().map_err(|err| err.under("restart"))?;
        check_mounts(&self.mounts)?;
        check_config_files(&self.config_files)?;
        let install = self.install.as_ref();
        install.map_or(Ok(()), |it| it.check().map_err(|err| err.under("install")))
    }

    fn check_environment(&self) -> Result<(), Invalid> {
        if self.environment.len() > VARIABLES_MAX {
            let rule = format!("must have at most {VARIABLES_MAX} variables");
            return Err(Invalid::new("environment", rule));
        }
        for (name, value) in &self.environment {
            let field = format!("environment.{name}");
            if !is_variable_name(name) {
                return Err(Invalid::new(field, "must be named by letters, digits and `_`"));
            }
            if value.len() > VARIABLE_BYTES_MAX || value.contains('\0') {
                let rule = format!("must be at most {VARIABLE_BYTES_MAX} bytes without NUL");
                return Err(Invalid::new(field, rule));
            }
        }
        Ok(())
    }

    fn check_ports(&self) -> Result<(), Invalid> {
        if self.ports.len() > PORTS_MAX {
            return Err(Invalid::new("ports", format!("must be at most {PORTS_MAX}")));
        }
        for (index, port) in self.ports.iter().enumerate() {
            let field = format!("ports.{index}.port");
            if port.port == 0 {
                return Err(Invalid::new(field, "must be 1 to 65535"));
            }
            let clash = self.ports[..index].iter().any(|other| {
                (other.ip, other.port) == (port.ip, port.port)
                    && other.protocol.overlaps(port.protocol)
            });
            if clash {
                return Err(Invalid::new(field, "must not be given twice"));
            }
        }
        Ok(())
    }
}

/// Checks the patterns that say that a game is ready.
///
/// # Errors
/// The first that breaks a rule, by its path below `done`.
pub fn check_done(done: &[DoneMatch]) -> Result<(), Invalid> {
    if done.len() > DONE_MAX {
        return Err(Invalid::new("done", format!("must have at most {DONE_MAX} patterns")));
    }
    for (index, done) in done.iter().enumerate() {
        let (DoneMatch::Contains(text) | DoneMatch::Regex(text)) = done;
        let field = format!("done.{index}");
        if text.len() > DONE_BYTES_MAX {
            let rule = format!("must be at most {DONE_BYTES_MAX} bytes");
            return Err(Invalid::new(field, rule));
        }
        if let DoneMatch::Regex(text) = done {
            compile_regex(text).map_err(|rule| Invalid::new(field, rule))?;
        }
    }
    Ok(())
}

/// Checks the rewriting of config files.
///
/// # Errors
/// The first field that breaks a rule, by its path below `config_files`.
pub fn check_config_files(files: &[ConfigFile]) -> Result<(), Invalid> {
    if files.len() > CONFIG_FILES_MAX {
        let rule = format!("must be at most {CONFIG_FILES_MAX}");
        return Err(Invalid::new("config_files", rule));
    }
    for (index, file) in files.iter().enumerate() {
        let field = |name: &str| format!("config_files.{index}.{name}");
        if !is_inner_path(&file.path) {
            let rule = "must be a relative path of at most 512 bytes without `..`";
            return Err(Invalid::new(field("path"), rule));
        }
        if file.replace.len() > REPLACEMENTS_MAX {
            let rule = format!("must be at most {REPLACEMENTS_MAX}");
            return Err(Invalid::new(field("replace"), rule));
        }
        for (at, each) in file.replace.iter().enumerate() {
            each.check().map_err(|err| err.under(&field(&format!("replace.{at}"))))?;
        }
    }
    Ok(())
}

impl Replacement {
    fn check(&self) -> Result<(), Invalid> {
        if self.key.is_empty() || self.key.contains(['\n', '\r', '\0']) {
            return Err(Invalid::new("key", "must be one line with at least one character"));
        }
        if self.value.len() > VARIABLE_BYTES_MAX || self.value.contains(['\n', '\r', '\0']) {
            let rule = format!("must be one line of at most {VARIABLE_BYTES_MAX} bytes");
            return Err(Invalid::new("value", rule));
        }
        if self.kind == ValueKind::Json
            && !matches!(
                serde_json::from_str(&self.value),
                Ok(serde_json::Value::Bool(_) | serde_json::Value::Number(_))
            )
        {
            return Err(Invalid::new("value", "must be a JSON number or truth value"));
        }
        match self.if_value.as_deref().and_then(|text| text.strip_prefix("regex:")) {
            Some(pattern) => {
                compile_regex(pattern).map(drop).map_err(|rule| Invalid::new("if_value", rule))
            }
            None => Ok(()),
        }
    }
}

/// Compiles a pattern that came from outside, with a bound on its memory.
///
/// # Errors
/// Says what is wrong with it.
pub fn compile_regex(pattern: &str) -> Result<regex::Regex, String> {
    regex::RegexBuilder::new(pattern)
        .size_limit(REGEX_BYTES_MAX)
        .build()
        .map_err(|err| format!("must be a regular expression: {err}"))
}

impl Limits {
    /// Checks each limit against its bounds.
    ///
    /// # Errors
    /// The first limit out of bounds.
    pub fn check(&self) -> Result<(), Invalid> {
        check_range("memory_mib", self.memory_mib.0, MEMORY_MIB_MIN, MEMORY_MIB_MAX)?;
        check_range("swap_mib", self.swap_mib.0, 0, MEMORY_MIB_MAX)?;
        let cpu = self.cpu_millicores.0;
        check_range("cpu_millicores", cpu, CPU_MILLICORES_MIN, CPU_MILLICORES_MAX)?;
        check_range("disk_mib", self.disk_mib.0, DISK_MIB_MIN, DISK_MIB_MAX)?;
        check_range("pids", self.pids, PIDS_MIN, PIDS_MAX)?;
        self.sharing.check().map_err(|err| err.under("sharing"))
    }
}

impl RestartPolicy {
    /// Checks each number against its bounds.
    ///
    /// # Errors
    /// The first number out of bounds.
    pub fn check(&self) -> Result<(), Invalid> {
        check_range("delay_ms_min", self.delay_ms_min, 100, 3_600_000)?;
        check_range("delay_ms_max", self.delay_ms_max, self.delay_ms_min, 3_600_000)?;
        check_range("crashes_max", self.crashes_max, 1, 1_000)?;
        check_range("window_ms", self.window_ms, 1_000, 86_400_000)
    }
}

/// Checks that a number lies in a closed range.
///
/// # Errors
/// Names the field and both bounds.
pub fn check_range(field: &str, value: u32, min: u32, max: u32) -> Result<(), Invalid> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    Err(Invalid::new(field, format!("must be {min} to {max}, not {value}")))
}

/// Checks the length of one line of text in bytes, and that it has no control character.
///
/// # Errors
/// Names the field and the rule.
pub fn check_text(field: &str, text: &str, min: usize, max: usize) -> Result<(), Invalid> {
    if text.len() < min || text.len() > max {
        return Err(Invalid::new(field, format!("must be {min} to {max} bytes long")));
    }
    if text.chars().any(char::is_control) {
        return Err(Invalid::new(field, "must not contain control characters"));
    }
    Ok(())
}

/// Whether the text can name an environment variable.
#[must_use]
pub fn is_variable_name(name: &str) -> bool {
    let mut chars = name.bytes();
    let first = chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == b'_');
    first && name.len() <= 128 && chars.all(|c| c.is_ascii_alphanumeric() || c == b'_')
}

/// Checks a start line.
///
/// # Errors
/// Names the field and the rule.
pub fn check_script(field: &str, text: &str) -> Result<(), Invalid> {
    if text.trim().is_empty() || text.len() > STARTUP_BYTES_MAX || text.contains('\0') {
        let rule = format!("must be 1 to {STARTUP_BYTES_MAX} bytes without NUL");
        return Err(Invalid::new(field, rule));
    }
    Ok(())
}

/// Whether a path stays below the folder it is taken from, as far as its text can tell.
#[must_use]
pub fn is_inner_path(path: &str) -> bool {
    let inner = |part: &str| !part.is_empty() && part != "." && part != "..";
    path.len() <= 512 && !path.contains(['\0', '\\']) && path.split('/').all(inner)
}

#[cfg(test)]
mod tests;
