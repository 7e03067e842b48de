//! Pure: makes a server's spec from a blueprint and choices, and fills placeholders.

use super::{Blueprint, Choices, Feature, InstallScript, Pick, Variable, feature, rules};
use crate::{
    error::Invalid,
    server::{Install, InstallAsk, ServerSpec, StopMethod, check_script, is_variable_name},
};
use std::collections::{BTreeMap, BTreeSet};

/// The one placeholder that is left for the node to fill in.
pub const NODE_ADDRESS: &str = "config.docker.interface";

/// What people read in place of a secret value, as in Pterodactyl.
pub const HIDDEN: &str = "[hidden]";
/// What a game listens on in its network of its own.
const EVERY_ADDRESS: &str = "0.0.0.0";

/// Puts the address of the node inside the server's network where a value names it.
#[must_use]
pub fn fill_node_address(text: &str, address: &str) -> String {
    fill(text, |holder| {
        matches!(Holder::parse(holder), Some(Holder::Node)).then(|| address.to_owned())
    })
}

impl Blueprint {
    /// Checks the values that somebody gives who is no administrator: none for variables that users may
    /// not see, and for those that they may not edit only what `is_current`.
    ///
    /// # Errors
    /// The first variable that breaks a rule, as `variables.NAME`.
    pub fn check_users_choice(
        &self,
        values: &BTreeMap<String, String>,
        is_current: impl Fn(&Variable, &str) -> bool,
    ) -> Result<(), Invalid> {
        let given = || self.variables.iter().filter_map(|it| Some((it, values.get(&it.env)?)));
        let refuse = |it: &Variable, rule: &str| {
            Err(Invalid::new(format!("variables.{}", it.env), rule.to_owned()))
        };
        // One that may not be seen is as good as none: comparing it would tell its value.
        if let Some((it, _)) = given().find(|(it, _)| !it.user_viewable) {
            return refuse(it, "is not a variable of this blueprint");
        }
        match given().find(|(it, value)| !it.user_editable && !is_current(it, value)) {
            Some((it, _)) => refuse(it, "may only be changed by an administrator"),
            None => Ok(()),
        }
    }

    /// Makes the spec of one server.
    ///
    /// # Errors
    /// The first field of `choices` that breaks a rule of the blueprint or of [`ServerSpec`], by
    /// its path in a request: `variables.NAME`, `limits.memory_mib`, `image`, `ports`.
    pub fn render(&self, choices: Choices) -> Result<ServerSpec, Invalid> {
        let image = self.image(choices.image.as_ref())?;
        let startup = self.startup(choices.startup.as_ref())?;
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
                Some(Holder::Memory) => environment.get("SERVER_MEMORY").cloned(),
                Some(Holder::Node) | None => None,
            });
        }
        if choices.eula_accepted && self.has(Feature::Eula) {
            config_files.push(feature::eula_file());
        }
        let spec = ServerSpec {
            name: choices.name,
            image,
            startup: shell_line(startup),
            entry: self.entry,
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
            mounts: choices.mounts,
            suspended: choices.suspended,
            run_until: choices.run_until,
            install: choices.install.and_then(|ask| self.install_run(ask)),
        };
        spec.check()?;
        Ok(spec)
    }

    fn image(&self, wanted: Option<&Pick>) -> Result<String, Invalid> {
        let found = match wanted {
            None => self.images.first().map(|choice| &choice.image),
            Some(Pick::Own(image)) => {
                super::check_image("image", image)?;
                Some(image)
            }
            Some(Pick::Listed(image)) => {
                self.images.iter().map(|choice| &choice.image).find(|it| *it == image)
            }
        };
        found.cloned().ok_or_else(|| {
            let names: Vec<&str> = self.images.iter().map(|it| it.image.as_str()).collect();
            Invalid::new("image", format!("must be one of {}", names.join(", ")))
        })
    }

    fn startup<'a>(&'a self, wanted: Option<&'a Pick>) -> Result<&'a str, Invalid> {
        let lines = || self.startups.iter().map(|choice| choice.line.as_str());
        match wanted {
            None => Ok(&self.startup),
            Some(Pick::Own(line)) => check_script("startup", line).map(|()| line.as_str()),
            Some(Pick::Listed(line)) => {
                let found = lines().chain([self.startup.as_str()]).find(|it| it == line);
                found.ok_or_else(|| {
                    Invalid::new("startup", "must be one of the blueprint's start lines")
                })
            }
        }
    }

    /// Returns a start line as people read it: with values in it, [`HIDDEN`] for those of secret variables
    /// and nothing for what is not known. Only the shell in the container says what really becomes of it.
    #[must_use]
    pub fn shown_line(&self, line: &str, choices: &Choices) -> String {
        fill(line, |holder| {
            let port = choices.ports.first().map_or(0, |port| port.port);
            Some(match Holder::parse(holder)? {
                Holder::Variable("SERVER_PORT") | Holder::Port => port.to_string(),
                Holder::Variable("SERVER_IP") | Holder::Ip => EVERY_ADDRESS.to_owned(),
                Holder::Variable("SERVER_MEMORY") | Holder::Memory => {
                    choices.limits.memory_mib.0.to_string()
                }
                Holder::Variable(name) => self.shown_value(name, choices),
                Holder::Node => return None,
            })
        })
    }

    fn shown_value(&self, name: &str, choices: &Choices) -> String {
        match self.variables.iter().find(|it| it.env == name) {
            Some(variable) if variable.is_secret() => HIDDEN.to_owned(),
            Some(variable) => choices.variables.get(name).unwrap_or(&variable.default).clone(),
            None => String::new(),
        }
    }

    /// Returns the pick that renders to this image, as a node holds it.
    #[must_use]
    pub fn pick_of_image(&self, image: &str) -> Pick {
        match self.images.iter().any(|choice| choice.image == image) {
            true => Pick::Listed(image.to_owned()),
            false => Pick::Own(image.to_owned()),
        }
    }

    /// Returns the pick that renders to this start line, as a node holds it. `None`: the first.
    #[must_use]
    pub fn pick_of_startup(&self, rendered: &str) -> Option<Pick> {
        if shell_line(&self.startup) == rendered {
            return None;
        }
        let mut lines = self.startups.iter().map(|choice| &choice.line);
        let listed = lines.find(|line| shell_line(line) == rendered);
        Some(listed.map_or_else(|| Pick::Own(rendered.to_owned()), |it| Pick::Listed(it.clone())))
    }

    /// Makes a run of the install script. `None` without one.
    fn install_run(&self, ask: InstallAsk) -> Option<Install> {
        let InstallScript { image, entrypoint, script } = self.install.clone()?;
        let secret = self.variables.iter().filter(|it| it.is_secret());
        let names = |env: &String| [env.clone(), env.to_ascii_uppercase()];
        let secrets = secret.flat_map(|it| names(&it.env)).collect();
        let InstallAsk { asked, files, cancelled } = ask;
        Some(Install { asked, image, entrypoint, script, files, secrets, cancelled })
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
            // A line end in it would be a line of its own in a config file.
            if value != &variable.default && value.contains(['\n', '\r']) {
                let field = format!("variables.{}", variable.env);
                return Err(Invalid::new(field, "must be one line"));
            }
            environment.insert(variable.env.clone(), value.clone());
        }
        // In its network of its own the game listens on every address; the engine publishes the
        // port on the right one.
        let port = choices.ports.first().map_or(0, |port| port.port);
        for (name, value) in [
            ("SERVER_IP", EVERY_ADDRESS.to_owned()),
            ("SERVER_PORT", port.to_string()),
            ("SERVER_MEMORY", choices.limits.memory_mib.0.to_string()),
        ] {
            environment.insert(name.to_owned(), value);
        }
        environment.entry("TZ".to_owned()).or_insert_with(|| "UTC".to_owned());
        // Pterodactyl gives every variable in upper case, however the egg spells it.
        for variable in &self.variables {
            let upper = variable.env.to_ascii_uppercase();
            if let Some(value) = environment.get(&variable.env).cloned() {
                environment.entry(upper).or_insert(value);
            }
        }
        Ok(environment)
    }

    /// Returns each placeholder that nothing will fill: where it stands, and what it names. In a start
    /// line a variable that does not exist is empty; everywhere else it stays as it is.
    #[must_use]
    pub fn unknown_placeholders(&self) -> Vec<(String, String)> {
        let names: BTreeSet<&str> = self.variables.iter().map(|it| it.env.as_str()).collect();
        let is_given = |name: &str| super::GIVEN.contains(&name) || name == "TZ";
        let is_known = |holder: &str, in_file: bool| match Holder::parse(holder) {
            Some(Holder::Variable(name)) => names.contains(name) || is_given(name),
            Some(Holder::Port | Holder::Ip | Holder::Memory) => true,
            Some(Holder::Node) => in_file,
            None => false,
        };
        let unknown = |field: String, text: &str, in_file| {
            let holders = placeholders(text).filter(move |it| !is_known(it, in_file));
            holders.map(|it| (field.clone(), it.to_owned())).collect::<Vec<_>>()
        };
        let mut found = unknown("startup".to_owned(), &self.startup, false);
        for (index, file) in self.config_files.iter().enumerate() {
            for (at, each) in file.replace.iter().enumerate() {
                let field = format!("config_files.{index}.replace.{at}.value");
                found.extend(unknown(field, &each.value, true));
            }
        }
        found
    }
}

/// Fills a start line for the shell. What is not known is empty there.
fn shell_line(line: &str) -> String {
    fill(line, |holder| match Holder::parse(holder) {
        Some(Holder::Variable(name)) => Some(format!("${{{name}}}")),
        Some(Holder::Port) => Some("${SERVER_PORT}".to_owned()),
        Some(Holder::Ip) => Some("${SERVER_IP}".to_owned()),
        Some(Holder::Memory) => Some("${SERVER_MEMORY}".to_owned()),
        Some(Holder::Node) | None => None,
    })
}

/// What a placeholder names.
enum Holder<'a> {
    Variable(&'a str),
    Port,
    Ip,
    Memory,
    Node,
}

impl<'a> Holder<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        match text {
            "server.build.default.port" | "server.allocations.default.port" => Some(Self::Port),
            "server.build.default.ip" | "server.allocations.default.ip" => Some(Self::Ip),
            "server.build.memory" | "server.build.memory_limit" => Some(Self::Memory),
            NODE_ADDRESS | "config.docker.network.interface" => Some(Self::Node),
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
