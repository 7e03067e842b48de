//! Pure: how a game gets into its server's folder: a script of the blueprint, run once in a container
//! of its own.
//!
//! A run is named by the rank of the wish that asked for it, which only rises, also over a restored
//! hub. A node that has not seen a run end makes it; one that has never makes it again.

use super::{Invalid, Limits, Sharing, VARIABLES_MAX, check_text, is_variable_name};
use crate::{
    desired::Order,
    units::{Mib, Millicores},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Most bytes of an install script. It travels in the server's envelope.
pub const SCRIPT_BYTES_MAX: usize = 96 * 1_024;
/// Longest run, the fetching of its image included: the largest games have 60 GiB, which a line of
/// 300 Mbit/s brings in this time.
pub const INSTALL_MS_MAX: u64 = 1_800_000;
/// Least memory of a run, whatever the server has: package managers and downloaders need it.
const INSTALL_MEMORY_MIB_MIN: u32 = 1_024;
/// Least CPU of a run: one core.
const INSTALL_CPU_MILLICORES_MIN: u32 = 1_000;
/// Least processes of a run: `apt` and `steamcmd` start dozens.
const INSTALL_PIDS_MIN: u32 = 256;
/// Shortest value that is masked: shorter ones stand in too many words by chance.
const SECRET_BYTES_MIN: usize = 4;

/// One run of an install script, in full.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Install {
    /// Rank of the wish that asked for it.
    pub asked: Order,
    /// Image that it runs in.
    pub image: String,
    /// Program that runs the script, with arguments.
    pub entrypoint: String,
    /// The script.
    pub script: String,
    /// What becomes of the files that are there.
    pub files: InstallFiles,
    /// Variables whose values must not be seen in the log.
    pub secrets: BTreeSet<String>,
    /// Whether it shall not be made, or be ended.
    pub cancelled: bool,
}

/// What becomes of the files that are there before a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum InstallFiles {
    /// They stay; the script may overwrite them.
    #[default]
    Keep,
    /// They are deleted.
    Wipe,
}

/// A run as it is asked for, before it is rendered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InstallAsk {
    /// Rank of the wish that asked for it.
    pub asked: Order,
    /// What becomes of the files that are there.
    pub files: InstallFiles,
    /// Whether it shall not be made, or be ended.
    pub cancelled: bool,
}

impl InstallAsk {
    /// Asks for a run with the wish of this rank.
    #[must_use]
    pub fn new(asked: Order, files: InstallFiles) -> Self {
        Self { asked, files, cancelled: false }
    }
}

impl Install {
    /// Checks every rule that does not depend on a node.
    ///
    /// # Errors
    /// The first field that breaks a rule, with the rule.
    pub fn check(&self) -> Result<(), Invalid> {
        check_text("image", &self.image, 1, 255)?;
        if self.image.chars().any(char::is_whitespace) || self.image.starts_with('-') {
            return Err(Invalid::new("image", "must be an image reference without blanks"));
        }
        check_text("entrypoint", &self.entrypoint, 1, 255)?;
        if self.entrypoint.trim().is_empty() {
            return Err(Invalid::new("entrypoint", "must not be empty"));
        }
        let is_sound = !self.script.trim().is_empty() && !self.script.contains('\0');
        if !is_sound || self.script.len() > SCRIPT_BYTES_MAX {
            let rule = format!("must be 1 to {SCRIPT_BYTES_MAX} bytes without NUL");
            return Err(Invalid::new("script", rule));
        }
        let is_bounded = self.secrets.len() <= VARIABLES_MAX;
        if !is_bounded || !self.secrets.iter().all(|name| is_variable_name(name)) {
            let rule = format!("must be at most {VARIABLES_MAX} names of variables");
            return Err(Invalid::new("secrets", rule));
        }
        Ok(())
    }

    /// Returns the values that must not be seen, the longest first, so that none hides in another.
    #[must_use]
    pub fn secret_values(&self, environment: &BTreeMap<String, String>) -> Vec<String> {
        secret_values(environment.iter().filter(|(name, _)| self.secrets.contains(*name)))
    }
}

/// Returns the values of variables as [`mask`] wants them: the longest first, none twice, and none that
/// is too short to be told from other words.
#[must_use]
pub fn secret_values<'a>(secret: impl Iterator<Item = (&'a String, &'a String)>) -> Vec<String> {
    let values = secret.map(|(_, value)| value).filter(|it| it.len() >= SECRET_BYTES_MIN);
    let mut values: Vec<String> = values.cloned().collect();
    values.sort_by(|a, b| (b.len(), a).cmp(&(a.len(), b)));
    values.dedup();
    values
}

/// Puts `***` in place of each secret. A line holds no line end, so a secret never spans two.
#[must_use]
pub fn mask(text: &str, secrets: &[String]) -> String {
    let mut text = text.to_owned();
    for secret in secrets {
        if text.contains(secret.as_str()) {
            text = text.replace(secret.as_str(), crate::audit::MASK);
        }
    }
    text
}

/// Masks a line that somebody typed: each secret, and all that follows a command whose own name says that
/// it sets one, for example `rcon_password`.
#[must_use]
pub fn mask_typed(line: &str, secrets: &[String]) -> String {
    let line = mask(line, secrets);
    let command = line.split_whitespace().next().unwrap_or_default();
    let has_more = line.split_whitespace().nth(1).is_some();
    if has_more && is_secret_name(command) {
        format!("{command} {}", crate::audit::MASK)
    } else {
        line
    }
}

/// Whether a variable's name says that its value is secret.
#[must_use]
pub fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    ["PASS", "SECRET", "TOKEN", "KEY", "GSLT", "RCON"].iter().any(|part| name.contains(part))
}

/// Returns what a run may use: the server's own limits, raised to what installers need.
#[must_use]
pub fn install_limits(own: &Limits) -> Limits {
    Limits {
        memory_mib: Mib(own.memory_mib.0.max(INSTALL_MEMORY_MIB_MIN)),
        cpu_millicores: Millicores(own.cpu_millicores.0.max(INSTALL_CPU_MILLICORES_MIN)),
        pids: own.pids.max(INSTALL_PIDS_MIN),
        // A script that waits for ever installs nothing.
        sharing: Sharing { oom_disabled: false, ..own.sharing },
        ..*own
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn install() -> Install {
        Install {
            asked: Order::default(),
            image: "debian:12".into(),
            entrypoint: "bash -e".into(),
            script: "#!/bin/bash\ntrue\n".into(),
            files: InstallFiles::Keep,
            secrets: ["TOKEN".to_owned(), "SHORT".to_owned(), "LONGER".to_owned()].into(),
            cancelled: false,
        }
    }

    #[test]
    fn what_breaks_a_rule_names_its_field() {
        assert_eq!(install().check(), Ok(()));
        for (field, change) in [
            ("image", (|it| it.image = "a b".into()) as fn(&mut Install)),
            ("image", |it| it.image = "--privileged".into()),
            ("entrypoint", |it| it.entrypoint = " ".into()),
            ("script", |it| it.script = "\n".into()),
            ("script", |it| it.script = "x".repeat(SCRIPT_BYTES_MAX + 1)),
            ("script", |it| it.script = "a\0b".into()),
            ("secrets", |it| it.secrets = ["a b".to_owned()].into()),
        ] {
            let mut install = install();
            change(&mut install);
            assert_eq!(install.check().expect_err(field).field, field);
        }
    }

    #[test]
    fn what_is_typed_shows_no_secret() {
        let secrets = ["hunter2".to_owned()];
        for (line, expected) in [
            ("say hello", "say hello"),
            ("login hunter2 now", "login *** now"),
            ("rcon_password other words", "rcon_password ***"),
            ("  sv_Password\tx", "sv_Password ***"),
            ("rcon_password", "rcon_password"),
            ("say the rcon_password", "say the rcon_password"),
            ("", ""),
        ] {
            assert_eq!(mask_typed(line, &secrets), expected, "{line}");
        }
    }

    #[test]
    fn secrets_are_masked_wherever_they_stand_and_in_each_other() {
        let environment: BTreeMap<String, String> = [
            ("TOKEN", "hunter2"),
            ("LONGER", "hunter2-and-more"),
            ("SHORT", "abc"),
            ("OPEN", "visible"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        let secrets = install().secret_values(&environment);
        assert_eq!(secrets, ["hunter2-and-more", "hunter2"]);
        for (text, expected) in [
            ("login hunter2 ok", "login *** ok"),
            ("hunter2hunter2", "******"),
            ("hunter2-and-more", "***"),
            ("abc visible", "abc visible"),
        ] {
            assert_eq!(mask(text, &secrets), expected);
        }
    }

    #[test]
    fn small_servers_are_installed_with_enough() {
        let own = Limits {
            memory_mib: Mib(256),
            swap_mib: Mib(5),
            cpu_millicores: Millicores(4_000),
            disk_mib: Mib(512),
            pids: 64,
            sharing: Sharing::USUAL,
        };
        let limits = install_limits(&own);
        assert_eq!((limits.memory_mib, limits.cpu_millicores), (Mib(1_024), Millicores(4_000)));
        assert_eq!((limits.pids, limits.disk_mib, limits.swap_mib), (256, Mib(512), Mib(5)));
    }
}
