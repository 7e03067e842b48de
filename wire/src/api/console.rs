//! Pure: a server's console over a WebSocket.
//!
//! The client asks for a ticket and opens the socket with it: `GET ..console?ticket=..`. Each text
//! message from the hub is one [`ConsoleMessage`], each from the client one [`ConsoleSend`]. The hub
//! begins with the newest kept lines, says `caught_up`, then goes on live. A reader that is too slow
//! gets a `gap`, never a stalled game. The hub ends the socket with one of the close codes below.

use super::{RequestBody, params::params};
use crate::node::{INPUT_BYTES_MAX, LineSource};
use mamba_core::{clock::UnixMs, lifecycle::ServerState, seq::LineNumber};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Life of a ticket: time for a browser to open the socket.
pub const TICKET_TTL_MS: u64 = 30_000;
/// Largest message from the client: a line of [`INPUT_BYTES_MAX`] bytes, each escaped as `\u00xx`,
/// with the object around it.
pub const SEND_BYTES_MAX: usize = 6 * INPUT_BYTES_MAX + 1_024;

/// Close code: the console ended in the ordinary way.
pub const CLOSE_ENDED: u16 = 1000;
/// Close code: the hub shuts down; connect again.
pub const CLOSE_SHUTDOWN: u16 = 1001;
/// Close code: the client sent something that is not a [`ConsoleSend`].
pub const CLOSE_MALFORMED: u16 = 4400;
/// Close code: the session that asked for the ticket ended.
pub const CLOSE_SIGNED_OUT: u16 = 4401;
/// Close code: the server is not on its node, or not yet.
pub const CLOSE_NO_SERVER: u16 = 4404;
/// Close code: the node could not serve it; a message before says why.
pub const CLOSE_FAILED: u16 = 4500;
/// Close code: too many open consoles.
pub const CLOSE_TOO_MANY: u16 = 4429;
/// Close code: the node is not connected, or went away.
pub const CLOSE_NODE_OFFLINE: u16 = 4503;

params! {
    /// Opens a console.
    ConsoleQuery {
        /// The ticket.
        ticket: Option<String>,
    }
}

/// Body of [`super::table::CreateConsoleTicket`].
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateTicket {
    /// Whether the holder may also type.
    pub write: bool,
}

impl RequestBody for CreateTicket {}

/// A ticket for a socket: a console's, or the live feed's.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
pub struct Ticket {
    /// Opens it once.
    pub ticket: String,
    /// Path and query of the socket, ticket included.
    pub target: String,
    /// End of its life.
    pub expires_at: UnixMs,
}

/// One message from the hub. Exactly one field is present.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ConsoleMessage {
    /// Lines in order, without gaps inside.
    Lines(Vec<Line>),
    /// Lines that this reader does not get.
    Gap(Gap),
    /// Everything kept was sent; what follows is live.
    CaughtUp(bool),
    /// The server is now in this state.
    State(ServerState),
    /// Something was refused, or the console cannot go on, and why.
    Error(String),
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Line {
    /// Its number; grows by one.
    pub n: LineNumber,
    /// When it came, by the node's calendar.
    pub at: UnixMs,
    /// Where it came from.
    pub source: LineSource,
    /// Text without line end.
    pub text: String,
}

/// Missed lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Gap {
    /// Number of the first one.
    pub first: LineNumber,
    /// How many.
    pub count: u64,
}

/// One message from the client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ConsoleSend {
    /// A line to type, without its end, at most [`INPUT_BYTES_MAX`] bytes.
    Input(String),
}
