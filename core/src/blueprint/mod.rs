//! Pure: game definitions, and how a definition and a tenant's choices become a server's spec.
//!
//! A definition (a *blueprint*; Pterodactyl calls it an egg) names placeholders in two places:
//! - in `startup`, `{{NAME}}` becomes `${NAME}` and is expanded by the shell in the container from
//!   the environment, so that a value is never read as shell code;
//! - in values of config files it is replaced by the value's text.
//!
//! Spelled `{{NAME}}`, `{{env.NAME}}`, `{{server.environment.NAME}}` or `{{server.build.env.NAME}}`
//! for variables, and `{{server.allocations.default.port}}` or `{{server.build.default.port}}` (and
//! `.ip`) for the primary port. Nothing else can be named: no value of the daemon is within reach.

pub mod files;
mod rules;

pub use rules::Rule;

use crate::{
    clock::UnixMs,
    error::Invalid,
    server::{
        AutoStart, Capability, ConfigFile, DoneMatch, Limits, PortBinding, PortProtocol,
        RestartPolicy, ServerSpec, StopMethod, check_text, is_variable_name,
    },
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Version of our own file format.
pub const FORMAT: &str = "MAMBA_v1";

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
    /// Images to choose from, the default first.
    pub images: Vec<ImageChoice>,
    /// Shell line that starts the game.
    pub startup: String,
    /// How it says that it is ready.
    pub done: Vec<DoneMatch>,
    /// How it is stopped, in the words of [`StopMethod::parse`].
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
}

/// Choices for one server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Choices {
    /// The server's name.
    pub name: String,
    /// One of the blueprint's images, `None` for its first.
    pub image: Option<String>,
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
    /// Whether the hub forbids it to run.
    pub suspended: bool,
    /// End of the entitlement to run.
    pub run_until: Option<UnixMs>,
}

impl Blueprint {
    /// Returns the definitions that come with the product, by key.
    ///
    /// # Panics
    /// Never: a test reads and checks every one.
    #[must_use]
    pub fn built_in() -> Vec<Self> {
        let texts = [
            include_str!("built_in/armagetronad.json"),
            include_str!("built_in/minetest.json"),
            include_str!("built_in/openttd.json"),
            include_str!("built_in/teeworlds.json"),
        ];
        #[expect(clippy::expect_used, reason = "the texts are compiled in and tested")]
        texts.into_iter().map(|text| Self::from_json(text).expect("built-in blueprint")).collect()
    }

    /// Reads our own format and checks it.
    ///
    /// # Errors
    /// Names the field, or the line and column of a syntax error.
    pub fn from_json(text: &str) -> Result<Self, Invalid> {
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
        check_text("name", &self.name, 1, 128)?;
        if self.images.is_empty() {
            return Err(Invalid::new("images", "must name at least one image"));
        }
        let mut names = BTreeSet::new();
        for (index, variable) in self.variables.iter().enumerate() {
            variable.check().map_err(|err| err.under(&format!("variables.{index}")))?;
            if !names.insert(variable.env.as_str()) {
                let field = format!("variables.{index}.env");
                return Err(Invalid::new(field, "must not be given twice"));
            }
        }
        let known = |name: &str| names.contains(name) || GIVEN.contains(&name);
        self.for_each_placeholder(|field, holder| match Holder::parse(holder) {
            Some(Holder::Variable(name)) if known(name) => Ok(()),
            Some(Holder::Port | Holder::Ip) => Ok(()),
            Some(Holder::Variable(name)) => {
                let rule = format!("names the variable `{name}`, which the blueprint has not");
                Err(Invalid::new(field, rule))
            }
            None => Err(Invalid::new(field, format!("has the unknown placeholder `{holder}`"))),
        })
    }

    /// Makes the spec of one server.
    ///
    /// # Errors
    /// The first field of `choices` that breaks a rule of the blueprint or of [`ServerSpec`], by
    /// its path in a request: `variables.NAME`, `limits.memory_mib`, `image`, `ports`.
    pub fn render(&self, choices: Choices) -> Result<ServerSpec, Invalid> {
        let image = self.image(choices.image.as_deref())?;
        if choices.ports.len() < self.ports.len() {
            let rule = format!("must be at least {} for this blueprint", self.ports.len());
            return Err(Invalid::new("ports", rule));
        }
        let environment = self.environment(&choices)?;
        let mut config_files = self.config_files.clone();
        for value in config_files.iter_mut().flat_map(|file| &mut file.replace) {
            value.value = fill(&value.value, |holder| match Holder::parse(holder) {
                Some(Holder::Variable(name)) => environment.get(name).cloned(),
                Some(Holder::Port) => environment.get("SERVER_PORT").cloned(),
                Some(Holder::Ip) => environment.get("SERVER_IP").cloned(),
                None => None,
            });
        }
        let startup = fill(&self.startup, |holder| match Holder::parse(holder) {
            Some(Holder::Variable(name)) => Some(format!("${{{name}}}")),
            Some(Holder::Port) => Some("${SERVER_PORT}".to_owned()),
            Some(Holder::Ip) => Some("${SERVER_IP}".to_owned()),
            None => None,
        });
        let spec = ServerSpec {
            name: choices.name,
            image,
            startup,
            environment,
            done: self.done.clone(),
            stop: StopMethod::parse(&self.stop),
            stop_grace_ms: self.stop_grace_ms,
            limits: choices.limits,
            ports: choices.ports,
            capabilities: self.capabilities.clone(),
            auto_start: choices.auto_start,
            restart: choices.restart,
            config_files,
            suspended: choices.suspended,
            run_until: choices.run_until,
        };
        spec.check()?;
        Ok(spec)
    }

    fn image(&self, wanted: Option<&str>) -> Result<String, Invalid> {
        let found = match wanted {
            None => self.images.first(),
            Some(image) => self.images.iter().find(|choice| choice.image == image),
        };
        found.map(|choice| choice.image.clone()).ok_or_else(|| {
            let names: Vec<&str> = self.images.iter().map(|it| it.image.as_str()).collect();
            Invalid::new("image", format!("must be one of {}", names.join(", ")))
        })
    }

    /// Returns the whole environment: what we give, then the variables.
    fn environment(&self, choices: &Choices) -> Result<BTreeMap<String, String>, Invalid> {
        for name in choices.variables.keys() {
            if !self.variables.iter().any(|variable| variable.env == *name) {
                let field = format!("variables.{name}");
                return Err(Invalid::new(field, "is not a variable of this blueprint"));
            }
        }
        let mut environment = BTreeMap::new();
        for variable in &self.variables {
            let value = choices.variables.get(&variable.env).unwrap_or(&variable.default);
            rules::check(&variable.rules, value)
                .map_err(|rule| Invalid::new(format!("variables.{}", variable.env), rule))?;
            environment.insert(variable.env.clone(), value.clone());
        }
        // In its network of its own the game listens on every address; the engine publishes the
        // port on the right one.
        let port = choices.ports.first().map_or(0, |port| port.port);
        for (name, value) in [
            ("SERVER_IP", "0.0.0.0".to_owned()),
            ("SERVER_PORT", port.to_string()),
            ("SERVER_MEMORY", choices.limits.memory_mib.0.to_string()),
            ("TZ", "UTC".to_owned()),
        ] {
            environment.insert(name.to_owned(), value);
        }
        Ok(environment)
    }

    fn for_each_placeholder(
        &self,
        mut check: impl FnMut(String, &str) -> Result<(), Invalid>,
    ) -> Result<(), Invalid> {
        for holder in placeholders(&self.startup) {
            check("startup".to_owned(), holder)?;
        }
        for (index, file) in self.config_files.iter().enumerate() {
            for (at, each) in file.replace.iter().enumerate() {
                for holder in placeholders(&each.value) {
                    check(format!("config_files.{index}.replace.{at}.value"), holder)?;
                }
            }
        }
        Ok(())
    }
}

/// Variables that every server is given and no blueprint may define.
const GIVEN: [&str; 4] = ["SERVER_IP", "SERVER_PORT", "SERVER_MEMORY", "TZ"];

impl Variable {
    fn check(&self) -> Result<(), Invalid> {
        if !is_variable_name(&self.env) {
            let rule = "must be letters, digits and `_`, not beginning with a digit";
            return Err(Invalid::new("env", rule));
        }
        if GIVEN.contains(&self.env.as_str()) {
            return Err(Invalid::new("env", "is given by the panel and cannot be defined"));
        }
        rules::check_rules(&self.rules)
    }
}

/// What a placeholder names.
enum Holder<'a> {
    Variable(&'a str),
    Port,
    Ip,
}

impl<'a> Holder<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        match text {
            "server.build.default.port" | "server.allocations.default.port" => Some(Self::Port),
            "server.build.default.ip" | "server.allocations.default.ip" => Some(Self::Ip),
            _ => {
                let name = ["server.build.env.", "server.environment.", "env."]
                    .into_iter()
                    .find_map(|prefix| text.strip_prefix(prefix))
                    .unwrap_or(text);
                is_variable_name(name).then_some(Self::Variable(name))
            }
        }
    }
}

/// Returns what stands between `{{` and `}}`, trimmed, in order.
fn placeholders(text: &str) -> impl Iterator<Item = &str> {
    text.split("{{").skip(1).filter_map(|rest| rest.split_once("}}")).map(|(name, _)| name.trim())
}

/// Replaces each placeholder that `value` knows and leaves the others as they are. What is put in
/// is not looked at again.
fn fill(text: &str, value: impl Fn(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once("{{") {
        out.push_str(before);
        match behind.split_once("}}").and_then(|(name, after)| Some((value(name.trim())?, after))) {
            Some((filled, after)) => {
                out.push_str(&filled);
                rest = after;
            }
            None => {
                out.push_str("{{");
                rest = behind;
            }
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests;
