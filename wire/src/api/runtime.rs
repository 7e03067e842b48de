//! Pure: what is asked of a running server in one request.

use super::{Freshness, RequestBody};
use crate::node::{Gauges, Moment};
use mamba_core::{clock::UnixMs, ids::ServerId, lifecycle::ServerState};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Body of [`super::table::SendCommand`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SendCommand {
    /// One line of 1 to 4096 bytes without control characters.
    pub command: String,
}
impl RequestBody for SendCommand {}

/// What a server uses just now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Resources {
    /// Which.
    pub server: ServerId,
    /// Its state by its node's last word; `null` before the first.
    pub state: Option<ServerState>,
    /// Since when it is in it.
    pub since: Option<UnixMs>,
    /// Whether the hub does not allow it to run.
    pub suspended: bool,
    /// What it uses, as its node sees it now; `null` while the node does not answer.
    pub gauges: Option<Gauges>,
    /// How long ago the node looked, in milliseconds, by its clock and the hub's.
    pub age_ms: Option<u64>,
    /// How old the state is.
    pub freshness: Freshness,
}

/// What a server used in the last minutes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RecentResources {
    /// Which.
    pub server: ServerId,
    /// Oldest first, at most 128 of the last ten minutes, by the node's clock. Empty when it did not run
    /// then, or its node began only now. Between two that are more than 16 s apart nothing is known.
    pub moments: Vec<Moment>,
}
