//! Pure: game definitions, and how a definition and a tenant's choices become a server's spec.
//!
//! A definition (a *blueprint*; Pterodactyl calls it an egg) names placeholders in two places:
//! - in `startup`, `{{NAME}}` becomes `${NAME}` and is expanded by the shell in the container from
//!   the environment, so that a value is never read as shell code;
//! - in values of config files it is replaced by the value's text.
//!
//! Spelled `{{NAME}}`, `{{env.NAME}}`, `{{server.environment.NAME}}` or `{{server.build.env.NAME}}`
//! for variables, `{{server.allocations.default.port}}` or `{{server.build.default.port}}` (and
//! `.ip`) for the primary port, `{{server.build.memory}}` or `{{server.build.memory_limit}}` for the
//! memory, and `{{config.docker.interface}}` for the address of the node inside the server's network,
//! which the node fills in. Nothing else can be named: no other value of the daemon is within reach.
//! What is not on this list stays as it is, and [`Blueprint::unknown_placeholders`] tells it.

pub mod egg;
mod feature;
mod render;
mod rules;

pub use crate::server::Entry;
pub use feature::{Feature, eula_file, first_seen};
pub use render::{HIDDEN, NODE_ADDRESS, fill_node_address};
pub use rules::{Matches, RULES_MAX, Rule, check as check_value, check_with as check_value_with};

use crate::{
    clock::UnixMs,
    error::Invalid,
    server::{
        AutoStart, Capability, ConfigFile, DoneMatch, InstallAsk, Limits, Mount, PortBinding,
        PortProtocol, RestartPolicy, SCRIPT_BYTES_MAX, STARTUP_BYTES_MAX, STOP_GRACE_MS_MAX,
        VARIABLE_BYTES_MAX, VARIABLES_MAX, check_config_files, check_done, check_range,
        check_script, check_text, is_secret_name, is_variable_name,
    },
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

/// Version of our own file format.
pub const FORMAT: &str = "MAMBA_v1";
/// Most bytes of one blueprint in our own format: it is stored as one value.
pub const BLUEPRINT_BYTES_MAX: usize = 256 * 1_024;
/// Most images; the largest known egg has 18.
pub const IMAGES_MAX: usize = 64;
/// Most entries of a list of short texts: features, tags, denied files, start lines.
pub const LIST_MAX: usize = 128;
/// Most bytes of a description.
pub const DESCRIPTION_BYTES_MAX: usize = 16 * 1_024;

/// One game definition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Blueprint {
    /// [`FORMAT`].
    pub format: String,
    /// Short name in lower case, used in URLs and commands.
    pub key: String,
    /// Name for people.
    pub name: String,
    /// What it is, for people.
    pub description: String,
    /// Who wrote it.
    #[serde(default)]
    pub author: String,
    /// Id that an imported one had elsewhere.
    #[serde(default)]
    pub uuid: Option<String>,
    /// Where an imported one says that newer versions are.
    #[serde(default)]
    pub update_url: Option<String>,
    /// Words to find it by.
    #[serde(default)]
    pub tags: Vec<String>,
    /// What the panel helps with, by Pterodactyl's names: see [`Feature`]; and how the game is asked for its
    /// players: see [`Query::of`](crate::players::Query::of).
    #[serde(default)]
    pub features: Vec<String>,
    /// Files that users may not open in the file manager.
    #[serde(default)]
    pub file_denylist: Vec<String>,
    /// Images to choose from, the default first.
    pub images: Vec<ImageChoice>,
    /// Shell line that starts the game.
    pub startup: String,
    /// All start lines when there are several, that in `startup` first.
    #[serde(default)]
    pub startups: Vec<StartupChoice>,
    /// Who runs the start line.
    #[serde(default)]
    pub entry: Entry,
    /// How it says that it is ready.
    pub done: Vec<DoneMatch>,
    /// How it is stopped, in the words of [`StopMethod::parse`].
    ///
    /// [`StopMethod::parse`]: crate::server::StopMethod::parse
    pub stop: String,
    /// Time between stop and kill, in milliseconds.
    pub stop_grace_ms: u32,
    /// Transport of each port that it needs, the primary first.
    pub ports: Vec<PortProtocol>,
    /// Capabilities that it keeps.
    pub capabilities: Vec<Capability>,
    /// What can be set.
    pub variables: Vec<Variable>,
    /// Files rewritten before each start; values hold placeholders.
    pub config_files: Vec<ConfigFile>,
    /// How the game gets into the server's folder. `None`: the image holds all of it.
    #[serde(default)]
    pub install: Option<InstallScript>,
}

/// One image of a blueprint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ImageChoice {
    /// Name for people.
    pub label: String,
    /// Reference for the engine.
    pub image: String,
}

/// One start line of several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StartupChoice {
    /// Name for people.
    pub label: String,
    /// Shell line.
    pub line: String,
}

/// How a game gets into its folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InstallScript {
    /// Image that the script runs in.
    pub image: String,
    /// Program that runs it, with arguments.
    pub entrypoint: String,
    /// The script, never looked into: it has placeholders of its own.
    pub script: String,
}

/// One thing that can be set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Variable {
    /// Name in the environment.
    pub env: String,
    /// Name for people.
    pub name: String,
    /// What it does, for people.
    pub description: String,
    /// Value when none is given.
    pub default: String,
    /// Whether the server's owner may see it.
    pub user_viewable: bool,
    /// Whether the server's owner may change it.
    pub user_editable: bool,
    /// Rules for its value.
    pub rules: Vec<Rule>,
    /// Place among the others where people see them. `None`: as listed.
    #[serde(default)]
    pub sort: Option<i64>,
}

/// Choices for one server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Choices {
    /// The server's name.
    pub name: String,
    /// Its image, `None` for the blueprint's first.
    pub image: Option<Pick>,
    /// Its start line, `None` for the blueprint's first.
    pub startup: Option<Pick>,
    /// Values by environment name; the others have their default.
    pub variables: BTreeMap<String, String>,
    /// What it may use.
    pub limits: Limits,
    /// Its ports, the primary first; as many as the blueprint needs, or more.
    pub ports: Vec<PortBinding>,
    /// Whether it starts with its node.
    pub auto_start: AutoStart,
    /// What happens when it ends by itself.
    pub restart: RestartPolicy,
    /// Folders of the node that it sees besides its own data.
    pub mounts: Vec<Mount>,
    /// Whether the hub forbids it to run.
    pub suspended: bool,
    /// End of the entitlement to run.
    pub run_until: Option<UnixMs>,
    /// The newest run of the blueprint's install script. `None`: it was never asked for.
    pub install: Option<InstallAsk>,
    /// Whether somebody agreed to the game's licence, see [`Feature::Eula`].
    pub eula_accepted: bool,
}

/// One of what a blueprint lists, or an administrator's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Pick {
    /// Must be one of the blueprint's.
    Listed(String),
    /// Chosen by an administrator, whatever the blueprint lists.
    Own(String),
}

impl Pick {
    /// Returns what was chosen.
    #[must_use]
    pub fn text(&self) -> &str {
        let (Self::Listed(text) | Self::Own(text)) = self;
        text
    }
}

impl Blueprint {
    /// Returns the definitions that come with the product, by key.
    ///
    /// # Panics
    /// Never: a test reads and checks every one.
    #[must_use]
    pub fn built_in() -> &'static [Self] {
        /// Reading and checking them takes a millisecond, and every server shown asks for one.
        #[expect(clippy::expect_used, reason = "the texts are compiled in and tested")]
        static ALL: LazyLock<[Blueprint; 4]> = LazyLock::new(|| {
            [
                include_str!("built_in/armagetronad.json"),
                include_str!("built_in/minetest.json"),
                include_str!("built_in/openttd.json"),
                include_str!("built_in/teeworlds.json"),
            ]
            .map(|text| Blueprint::from_json(text).expect("built-in blueprint"))
        });
        &*ALL
    }

    /// Reads our own format and checks it.
    ///
    /// # Errors
    /// Names the field, or the line and column of a syntax error.
    pub fn from_json(text: &str) -> Result<Self, Invalid> {
        if text.len() > BLUEPRINT_BYTES_MAX {
            let rule = format!("must be at most {BLUEPRINT_BYTES_MAX} bytes");
            return Err(Invalid::new("file", rule));
        }
        let blueprint: Self = serde_json::from_str(text)
            .map_err(|err| Invalid::new(format!("line {}", err.line()), err.to_string()))?;
        blueprint.check()?;
        Ok(blueprint)
    }

    /// Checks every rule that does not depend on a server.
    ///
    /// # Errors
    /// The first field that breaks a rule, with the rule.
    pub fn check(&self) -> Result<(), Invalid> {
        if self.format != FORMAT {
            return Err(Invalid::new("format", format!("must be `{FORMAT}`")));
        }
        let is_key_char = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if self.key.is_empty() || self.key.len() > 48 || !self.key.chars().all(is_key_char) {
            return Err(Invalid::new("key", "must be 1 to 48 of a-z, 0-9 and `-`"));
        }
        check_text("name", &self.name, 1, 255)?;
        check_text("author", &self.author, 0, 255)?;
        check_length("description", &self.description, DESCRIPTION_BYTES_MAX)?;
        for (field, text) in [("uuid", &self.uuid), ("update_url", &self.update_url)] {
            text.as_ref().map_or(Ok(()), |text| check_text(field, text, 0, 2_048))?;
        }
        for (field, list) in [
            ("tags", &self.tags),
            ("features", &self.features),
            ("file_denylist", &self.file_denylist),
        ] {
            check_count(field, list.len(), LIST_MAX)?;
            for (index, text) in list.iter().enumerate() {
                check_text(&format!("{field}.{index}"), text, 1, 512)?;
            }
        }
        self.check_images()?;
        self.check_startup()?;
        check_done(&self.done)?;
        check_length("stop", &self.stop, 1_024)?;
        check_range("stop_grace_ms", self.stop_grace_ms, 0, STOP_GRACE_MS_MAX)?;
        check_count("ports", self.ports.len(), crate::server::PORTS_MAX)?;
        self.check_variables()?;
        check_config_files(&self.config_files)?;
        self.install.as_ref().map_or(Ok(()), |it| it.check().map_err(|err| err.under("install")))
    }

    fn check_images(&self) -> Result<(), Invalid> {
        if self.images.is_empty() {
            return Err(Invalid::new("images", "must name at least one image"));
        }
        check_count("images", self.images.len(), IMAGES_MAX)?;
        for (index, choice) in self.images.iter().enumerate() {
            check_text(&format!("images.{index}.label"), &choice.label, 1, 255)?;
            check_image(&format!("images.{index}.image"), &choice.image)?;
        }
        Ok(())
    }

    fn check_startup(&self) -> Result<(), Invalid> {
        check_script("startup", &self.startup)?;
        check_count("startups", self.startups.len(), LIST_MAX)?;
        if self.startups.first().is_some_and(|first| first.line != self.startup) {
            return Err(Invalid::new("startups", "must begin with the line in `startup`"));
        }
        for (index, choice) in self.startups.iter().enumerate() {
            check_text(&format!("startups.{index}.label"), &choice.label, 1, 255)?;
            check_script(&format!("startups.{index}.line"), &choice.line)?;
        }
        Ok(())
    }

    fn check_variables(&self) -> Result<(), Invalid> {
        check_count("variables", self.variables.len(), VARIABLES_MAX)?;
        let mut names = BTreeSet::new();
        for (index, variable) in self.variables.iter().enumerate() {
            variable.check().map_err(|err| err.under(&format!("variables.{index}")))?;
            if !names.insert(variable.env.as_str()) {
                let field = format!("variables.{index}.env");
                return Err(Invalid::new(field, "must not be given twice"));
            }
        }
        Ok(())
    }
}

impl Variable {
    /// Whether its value is not for everybody's eyes.
    #[must_use]
    pub fn is_secret(&self) -> bool {
        !self.user_viewable || is_secret_name(&self.env)
    }
}

impl InstallScript {
    fn check(&self) -> Result<(), Invalid> {
        check_image("image", &self.image)?;
        check_text("entrypoint", &self.entrypoint, 1, 255)?;
        if self.script.trim().is_empty() {
            return Err(Invalid::new("script", "must not be empty"));
        }
        check_length("script", &self.script, SCRIPT_BYTES_MAX)
    }
}

/// Variables that every server is given and no blueprint may define.
const GIVEN: [&str; 4] = ["SERVER_IP", "SERVER_PORT", "SERVER_MEMORY", "STARTUP"];

impl Variable {
    fn check(&self) -> Result<(), Invalid> {
        if !is_variable_name(&self.env) {
            let rule = "must be letters, digits and `_`, not beginning with a digit";
            return Err(Invalid::new("env", rule));
        }
        if GIVEN.contains(&self.env.as_str()) {
            return Err(Invalid::new("env", "is given by the panel and cannot be defined"));
        }
        check_length("name", &self.name, 255)?;
        check_length("description", &self.description, DESCRIPTION_BYTES_MAX)?;
        check_length("default", &self.default, VARIABLE_BYTES_MAX)?;
        rules::check_rules(&self.rules)
    }
}

fn check_count(field: &str, count: usize, max: usize) -> Result<(), Invalid> {
    if count > max {
        return Err(Invalid::new(field, format!("must be at most {max}, not {count}")));
    }
    Ok(())
}

fn check_length(field: &str, text: &str, bytes_max: usize) -> Result<(), Invalid> {
    if text.len() > bytes_max || text.contains('\0') {
        return Err(Invalid::new(field, format!("must be at most {bytes_max} bytes without NUL")));
    }
    Ok(())
}

fn check_image(field: &str, image: &str) -> Result<(), Invalid> {
    check_text(field, image, 1, 255)?;
    if image.chars().any(char::is_whitespace) || image.starts_with('-') {
        return Err(Invalid::new(field, "must be an image reference without blanks"));
    }
    Ok(())
}

const _: () = assert!(STARTUP_BYTES_MAX + SCRIPT_BYTES_MAX < crate::desired::ENVELOPE_BYTES_MAX);

#[cfg(test)]
mod tests;
