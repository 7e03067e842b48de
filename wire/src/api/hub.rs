//! Pure: the hub itself: what a person should look at, and what it was set up with.

use super::params::params;
use mamba_core::{
    clock::UnixMs,
    ids::{EventId, NodeId, ServerId},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Something that a person should look at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Alarm {
    /// Its id, to clear it.
    pub alarm: EventId,
    /// When it happened first.
    pub at: UnixMs,
    /// When it happened last.
    pub last_at: UnixMs,
    /// How often it happened.
    pub count: u64,
    /// About which node.
    pub node: Option<NodeId>,
    /// About which server.
    pub server: Option<ServerId>,
    /// What happened last.
    pub text: String,
}

params! {
    /// Names an alarm.
    AlarmPath {
        /// Which.
        alarm: EventId,
    }
}

/// One setting that is in force. A secret is never told, only whether there is one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Setting {
    /// Its key in `hub.toml`, with its section, for example `backup.keep`.
    pub key: String,
    /// The variable of the environment that wins over the file; `null` where there can be several.
    pub variable: Option<String>,
    /// Its value; empty when there is none.
    pub value: String,
}
