//! Pure: what happened to a server.

use mamba_core::{
    clock::UnixMs,
    fact::Activity,
    ids::{EventId, ServerId},
    lifecycle::Actor,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One thing that happened, newest first in lists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ActivityItem {
    /// Its id.
    pub event: EventId,
    /// When, by the node's calendar.
    pub at: UnixMs,
    /// When the hub learnt of it.
    pub received_at: UnixMs,
    /// The server it is about.
    pub server: ServerId,
    /// Who caused it.
    pub actor: Actor,
    /// What it was.
    pub activity: Activity,
}
