//! Pure: the live feed over a WebSocket: what changed, and what servers use just now.
//!
//! The client asks for a ticket and opens the socket with it: `GET /api/v1/feed?ticket=..`. Each text
//! message from the hub is one [`FeedMessage`], each from the client one [`FeedSend`]. The feed carries
//! no state but gauges: it says that something changed, and the client reads that again through the
//! endpoint that it came from, so that nothing can be shown which the hub would not answer.
//!
//! The client says what it looks at; the hub answers with what of it the client may see, and again
//! whenever that changes. A client that is too slow is told once that it missed something. The hub ends
//! the socket with one of the close codes of [`super::console`].

use super::{
    console::{CLOSE_ENDED, CLOSE_MALFORMED, CLOSE_SHUTDOWN, CLOSE_SIGNED_OUT, CLOSE_TOO_MANY},
    params::params,
};
use crate::node::Gauges;
use mamba_core::{clock::UnixMs, ids::ServerId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Most topics of one feed: a page looks at a handful.
pub const TOPICS_MAX: usize = 64;
/// Most servers whose gauges one feed carries: as many as fit on a screen as charts.
pub const GAUGES_MAX: usize = 8;
/// Largest message from the client: all topics, with room to spare.
pub const SEND_BYTES_MAX: usize = TOPICS_MAX * 64 + 1_024;
/// A sign of life of the hub comes at least so often. A browser shows no pings to a page; after three
/// of these without a message the page opens another feed.
pub const BEAT_MS: u64 = 10_000;

/// Close codes that a feed may end with.
pub const CLOSE_CODES: [u16; 5] =
    [CLOSE_ENDED, CLOSE_SHUTDOWN, CLOSE_MALFORMED, CLOSE_SIGNED_OUT, CLOSE_TOO_MANY];

params! {
    /// Opens a feed.
    FeedQuery {
        /// The ticket.
        ticket: Option<String>,
    }
}

/// Something that a client can look at.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Topic {
    /// The list of servers that the caller may see: any of them, and the link of their nodes.
    Servers,
    /// The list of nodes; needs the right to read nodes.
    Nodes,
    /// What the administration keeps beside nodes: tenants, blueprints, alarms and join tokens; needs
    /// some right over the installation.
    Administration,
    /// One server: itself, its power actions, its activity and the link of its node.
    Server(ServerId),
    /// What one server uses just now.
    Gauges(ServerId),
}

/// One message from the client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FeedSend {
    /// From now on it looks at these, at most [`TOPICS_MAX`] of which at most [`GAUGES_MAX`] are
    /// gauges, and at nothing else.
    Look(Vec<Topic>),
}

impl FeedSend {
    /// Reads a message.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub fn read(text: &str) -> Result<Self, &'static str> {
        let Ok(Self::Look(topics)) = serde_json::from_str(text) else {
            return Err(r#"messages must be like {"look":["servers",{"server":"<id>"}]}"#);
        };
        let gauges = topics.iter().filter(|topic| matches!(topic, Topic::Gauges(_))).count();
        if topics.len() > TOPICS_MAX || gauges > GAUGES_MAX {
            return Err("a feed carries at most 64 topics, of which 8 are gauges");
        }
        Ok(Self::Look(topics))
    }
}

/// One message from the hub. Exactly one field is present.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FeedMessage {
    /// Of what the client looks at, this is what it may see. What changes from now on is told.
    Looking(Vec<Topic>),
    /// These changed: read them again.
    Changed(Vec<Topic>),
    /// Something was not told: read everything again.
    Missed(bool),
    /// What a server uses just now.
    Gauges(Gauges),
    /// The hub lives; its time.
    Beat(UnixMs),
    /// Why the feed ends.
    Error(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_read_by_their_rules_and_nothing_else_gets_in() {
        let server = ServerId::from_bytes([7; 16]);
        let text = |topics: &[Topic]| {
            serde_json::to_string(&FeedSend::Look(topics.to_vec())).expect("it has a JSON form")
        };
        let look = [
            Topic::Servers,
            Topic::Nodes,
            Topic::Administration,
            Topic::Server(server),
            Topic::Gauges(server),
        ];
        assert_eq!(FeedSend::read(&text(&look)), Ok(FeedSend::Look(look.to_vec())));
        assert!(FeedSend::read(&text(&[Topic::Servers; TOPICS_MAX])).is_ok());
        let longest = text(&[Topic::Gauges(server); GAUGES_MAX]);
        assert!(FeedSend::read(&longest).is_ok());
        assert!(text(&[Topic::Server(server); TOPICS_MAX]).len() <= SEND_BYTES_MAX);
        for broken in [
            "",
            "null",
            "{}",
            "[]",
            r#"{"look":"servers"}"#,
            r#"{"look":["consoles"]}"#,
            r#"{"look":[{"server":"x"}]}"#,
            r#"{"look":[],"write":[]}"#,
            r#"{"listen":[]}"#,
            &text(&[Topic::Servers; TOPICS_MAX + 1]),
            &text(&[Topic::Gauges(server); GAUGES_MAX + 1]),
            &"[".repeat(SEND_BYTES_MAX),
        ] {
            assert!(FeedSend::read(broken).is_err(), "{broken}");
        }
        let said = serde_json::to_string(&FeedMessage::Changed(look.to_vec())).expect("JSON");
        let expected = format!(
            r#"{{"changed":["servers","nodes","administration",{{"server":"{server}"}},{{"gauges":"{server}"}}]}}"#
        );
        assert_eq!(said, expected);
    }
}
