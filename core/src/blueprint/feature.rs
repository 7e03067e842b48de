//! Pure: what a game needs somebody for, and the console lines that tell it.
//!
//! The phrases are those of Pterodactyl's panel, which eggs are written for. A line is looked at in
//! whatever case it is written.

use super::Blueprint;
use crate::server::{ConfigFile, ConfigParser, Replacement, ServerSpec, ValueKind};

/// Where Minecraft looks whether its licence was agreed to.
const EULA_FILE: &str = "eula.txt";
/// What it wants to find there.
const EULA_KEY: &str = "eula";

/// What the panel can help with when a game's console asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Feature {
    /// Minecraft's licence has to be agreed to.
    Eula,
    /// The game wants another Java.
    JavaVersion,
    /// Steam wants a game server token.
    GslToken,
    /// The limit of processes is reached.
    PidLimit,
    /// Steam has not enough room.
    SteamDiskSpace,
}

impl Feature {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Eula, Self::JavaVersion, Self::GslToken, Self::PidLimit, Self::SteamDiskSpace];

    /// Returns the feature of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "eula" => Self::Eula,
            "java_version" => Self::JavaVersion,
            "gsl_token" => Self::GslToken,
            "pid_limit" => Self::PidLimit,
            "steam_disk_space" => Self::SteamDiskSpace,
            _ => return None,
        })
    }

    /// Returns what a console line contains, in lower case, when the game asks for it.
    #[must_use]
    pub fn signs(self) -> &'static [&'static str] {
        match self {
            Self::Eula => &["you need to agree to the eula in order to run the server"],
            Self::JavaVersion => &[
                "unsupportedclassversionerror",
                "minecraft 1.17 requires running the server with java 16 or above",
                "minecraft 1.18 requires running the server with java 17 or above",
                "minecraft 1.19 requires running the server with java 17 or above",
                "unsupported major.minor version",
                "has been compiled by a more recent version of the java runtime",
            ],
            Self::GslToken => &[
                "(gsl token expired)",
                "(account not found)",
                "no steam account token was specified",
            ],
            Self::PidLimit => &[
                "pthread_create failed",
                "failed to create thread",
                "unable to create thread",
                "unable to create native thread",
                "unable to create new native thread",
                "exception in thread \"craft async scheduler management thread\"",
            ],
            Self::SteamDiskSpace => {
                &["steamcmd needs 250mb of free disk space to update", "0x202 after update job"]
            }
        }
    }

    /// Whether a console line says that the game needs somebody for this.
    #[must_use]
    pub fn is_seen_in(self, line: &str) -> bool {
        self.signs().iter().any(|sign| contains(line, sign))
    }
}

/// Returns the first of these features that a console line speaks of.
#[must_use]
pub fn first_seen(features: &[Feature], line: &str) -> Option<Feature> {
    features.iter().copied().find(|it| it.is_seen_in(line))
}

impl Blueprint {
    /// Whether it names a feature.
    #[must_use]
    pub fn has(&self, feature: Feature) -> bool {
        self.features.iter().any(|name| Feature::parse(name) == Some(feature))
    }
}

impl ServerSpec {
    /// Whether its files say that the licence was agreed to.
    #[must_use]
    pub fn accepts_eula(&self) -> bool {
        self.config_files.contains(&eula_file())
    }
}

/// Returns the file that says that the licence was agreed to. The node sets it before each start, so
/// that it also holds after the files were wiped.
#[must_use]
pub fn eula_file() -> ConfigFile {
    let agreed = Replacement {
        key: EULA_KEY.to_owned(),
        value: "true".to_owned(),
        kind: ValueKind::Text,
        if_value: None,
    };
    let (path, parser) = (EULA_FILE.to_owned(), ConfigParser::Properties);
    ConfigFile { path, parser, replace: vec![agreed] }
}

/// Whether `line` contains `sign`, which is ASCII in lower case, without a copy of the line: a game
/// may write a hundred thousand of them in a second.
fn contains(line: &str, sign: &str) -> bool {
    line.as_bytes().windows(sign.len()).any(|part| part.eq_ignore_ascii_case(sign.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_real_games_are_known_by_pterodactyls_phrases() {
        for (line, expected) in [
            (
                "[12:00:01] [main/INFO]: You need to agree to the EULA in order to run the server. Go to eula.txt for more info.",
                Some(Feature::Eula),
            ),
            (
                "Exception in thread \"main\" java.lang.UnsupportedClassVersionError: net/minecraft/server/Main",
                Some(Feature::JavaVersion),
            ),
            (
                "Minecraft 1.17 requires running the server with Java 16 or above.",
                Some(Feature::JavaVersion),
            ),
            (
                "Minecraft 1.18 requires running the server with Java 17 or above.",
                Some(Feature::JavaVersion),
            ),
            ("java: Unsupported major.minor version 52.0", Some(Feature::JavaVersion)),
            (
                "Main has been compiled by a more recent version of the Java Runtime (class file version 61.0)",
                Some(Feature::JavaVersion),
            ),
            (
                "Could not establish connection to Steam servers. (GSL token expired)",
                Some(Feature::GslToken),
            ),
            ("logged off (Account Not Found)", Some(Feature::GslToken)),
            ("*  No Steam account token was specified.", Some(Feature::GslToken)),
            ("pthread_create failed (EAGAIN)", Some(Feature::PidLimit)),
            ("Failed to create thread: Resource temporarily unavailable", Some(Feature::PidLimit)),
            ("OutOfMemoryError: unable to create native thread", Some(Feature::PidLimit)),
            ("OutOfMemoryError: unable to create new native thread", Some(Feature::PidLimit)),
            (
                "Exception in thread \"Craft Async Scheduler Management Thread\" java.lang",
                Some(Feature::PidLimit),
            ),
            ("SteamCMD needs 250MB of free disk space to update.", Some(Feature::SteamDiskSpace)),
            ("Error! App '730' state is 0x202 after update job.", Some(Feature::SteamDiskSpace)),
            ("<Steve> do I need to agree to the eula?", None),
            ("Done (3.2s)! For help, type \"help\"", None),
            ("ü", None),
            ("", None),
        ] {
            assert_eq!(first_seen(&Feature::ALL, line), expected, "{line}");
            assert_eq!(
                first_seen(&Feature::ALL, &line.to_uppercase()),
                expected,
                "{line}, shouted"
            );
        }
    }

    #[test]
    fn only_what_the_blueprint_names_is_looked_for() {
        let line = "You need to agree to the EULA in order to run the server";
        assert_eq!(first_seen(&[Feature::PidLimit, Feature::JavaVersion], line), None);
        assert_eq!(first_seen(&[Feature::PidLimit, Feature::Eula], line), Some(Feature::Eula));
        assert_eq!(first_seen(&[], line), None);
    }

    #[test]
    fn signs_are_written_as_they_are_compared() {
        for sign in Feature::ALL.iter().flat_map(|it| it.signs()) {
            assert!(sign.is_ascii() && !sign.is_empty(), "{sign}");
            assert_eq!(*sign, sign.to_ascii_lowercase());
        }
    }
}
