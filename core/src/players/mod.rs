//! Pure: how a game is asked how many people play, and how its answer is read.
//!
//! What answers is a program of the server's owner, so it is believed in nothing: an answer has a longest
//! length, an asking a number of datagrams, a number a highest value, and whatever breaks a rule is an error,
//! which means that nothing is known. A game that does not answer is never one without players.
//!
//! A blueprint says how its game is asked by a feature, `query:` and the name of a [`Query`]; eggs are
//! known by the features that they have anyway: see [`Query::of`].

mod minecraft;
mod source;
mod teeworlds;

#[cfg(test)]
mod tests;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Longest answer over TCP: Minecraft's may hold a picture of 64 times 64 points in base64, and a text.
pub const ANSWER_BYTES_MAX: usize = 128 * 1024;
/// Longest datagram that is read; what games send stays below the 1,500 bytes of an Ethernet frame.
pub const DATAGRAM_BYTES_MAX: usize = 2_048;
/// Most datagrams of one asking: a challenge, a second one when the first was for another, and the answer.
pub const DATAGRAMS_MAX: u32 = 4;
/// Most players that are believed: the largest networks have some 100,000.
const PLAYERS_MAX: u64 = 1_000_000;

/// How many people play.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Players {
    /// Now.
    pub now: u32,
    /// At most.
    pub max: u32,
}

impl Players {
    fn new(now: u64, max: u64) -> Result<Self, Unreadable> {
        let number = |it: u64| match u32::try_from(it) {
            Ok(number) if it <= PLAYERS_MAX => Ok(number),
            _ => Err(Unreadable("more players than there can be")),
        };
        Ok(Self { now: number(now)?, max: number(max)? })
    }
}

/// What a game is asked with, on its primary port.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Query {
    /// Server List Ping of Minecraft: Java Edition, over TCP.
    Minecraft,
    /// `A2S_INFO` of Source and many games that are sold on Steam, over UDP.
    Source,
    /// Server info of Teeworlds 0.7, over UDP.
    Teeworlds,
}

/// What a query goes over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// A connection; what came is read as a whole.
    Tcp,
    /// Datagrams, each read by itself.
    Udp,
}

impl Query {
    /// Returns what a blueprint with these features is asked with, `None` when that is not known.
    #[must_use]
    pub fn of(features: &[String]) -> Option<Self> {
        let told = features.iter().find_map(|it| it.strip_prefix("query:"));
        if let Some(name) = told {
            return Self::named(name);
        }
        features.iter().find_map(|it| match it.as_str() {
            "eula" | "java_version" => Some(Self::Minecraft),
            "gsl_token" | "steam_disk_space" => Some(Self::Source),
            _ => None,
        })
    }

    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "minecraft" => Self::Minecraft,
            "source" => Self::Source,
            "teeworlds" => Self::Teeworlds,
            _ => return None,
        })
    }

    /// Whether a feature says how a game is asked: `query:none` says that it is not.
    #[must_use]
    pub fn is_told_by(feature: &str) -> bool {
        let name = feature.strip_prefix("query:");
        name.is_some_and(|it| it == "none" || Self::named(it).is_some())
    }

    /// Returns what it goes over.
    #[must_use]
    pub fn transport(self) -> Transport {
        match self {
            Self::Minecraft => Transport::Tcp,
            Self::Source | Self::Teeworlds => Transport::Udp,
        }
    }
}

/// Why an answer says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("answer of the game cannot be read: {0}")]
pub struct Unreadable(&'static str);

/// What comes next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// This is sent, and another answer awaited.
    Send(Vec<u8>),
    /// There is more to come.
    More,
    /// The game has answered.
    Told(Players),
}

/// One asking.
#[derive(Clone, Copy, Debug)]
pub struct Asking {
    query: Query,
    /// Makes answers to others useless here.
    nonce: [u8; 4],
    /// How much has been read.
    datagrams: u32,
}

impl Asking {
    /// Begins one, and returns what is sent first. `port` is that of the game.
    #[must_use]
    pub fn begin(query: Query, port: u16, nonce: [u8; 4]) -> (Self, Vec<u8>) {
        let first = match query {
            Query::Minecraft => minecraft::ask(port),
            Query::Source => source::ask(None),
            Query::Teeworlds => teeworlds::ask(nonce),
        };
        (Self { query, nonce, datagrams: 0 }, first)
    }

    /// Reads an answer: the datagram that came, or all that came over the connection so far.
    ///
    /// # Errors
    /// `Unreadable`: it breaks a rule, and the asking is over.
    pub fn read(&mut self, answer: &[u8]) -> Result<Next, Unreadable> {
        match self.query.transport() {
            Transport::Tcp if answer.len() > ANSWER_BYTES_MAX => {
                return Err(Unreadable("too long"));
            }
            Transport::Tcp => {}
            Transport::Udp => {
                self.datagrams += 1;
                if self.datagrams > DATAGRAMS_MAX || answer.len() > DATAGRAM_BYTES_MAX {
                    return Err(Unreadable("too much"));
                }
            }
        }
        match self.query {
            Query::Minecraft => minecraft::read(answer),
            Query::Source => source::read(answer),
            Query::Teeworlds => teeworlds::read(answer, self.nonce),
        }
    }
}

/// What is left of an answer.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Unreadable> {
        let (head, rest) = self.0.split_at_checked(count).ok_or(Unreadable("it ends early"))?;
        self.0 = rest;
        Ok(head)
    }

    fn byte(&mut self) -> Result<u8, Unreadable> {
        Ok(self.take(1)?[0])
    }

    /// Skips a text that ends with a zero.
    fn text(&mut self) -> Result<(), Unreadable> {
        let end = self.0.iter().position(|it| *it == 0).ok_or(Unreadable("a text has no end"))?;
        self.take(end + 1).map(drop)
    }

    /// Takes what is expected, or refuses.
    fn expect(&mut self, bytes: &[u8]) -> Result<(), Unreadable> {
        if self.take(bytes.len())? == bytes {
            Ok(())
        } else {
            Err(Unreadable("it is another answer"))
        }
    }
}
