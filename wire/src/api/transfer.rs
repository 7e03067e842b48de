//! Pure: moves of servers between nodes.

use super::RequestBody;
use mamba_core::{
    clock::UnixMs,
    ids::{AllocationId, NodeId, ServerId, TransferId},
    lifecycle::transfer::{Phase, Waiting},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Body of [`super::table::StartTransfer`].
///
/// Files go along with content, permissions and times of change, and symbolic links as they are.
/// Extended attributes and access lists do not; hard links become files of their own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StartTransfer {
    /// Where to; without, the hub chooses a connected node with room.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeId>,
    /// Its ports there: free allocations of the node, in the order of its present ports; missing ones
    /// are chosen.
    #[serde(default)]
    pub allocations: Vec<AllocationId>,
    /// Region of the node that the hub chooses; any without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Tags that the node that the hub chooses must have, all of them.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub tags: BTreeSet<String>,
}

impl RequestBody for StartTransfer {}

/// The newest move of a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Transfer {
    /// Which.
    pub transfer: TransferId,
    /// Which server.
    pub server: ServerId,
    /// Where it was.
    pub from: NodeId,
    /// Where it goes, or went.
    pub to: NodeId,
    /// How far it is. Until it is `arriving` the server belongs to `from` and the move can be
    /// cancelled.
    pub phase: Phase,
    /// Since when it is so.
    pub since: UnixMs,
    /// When it was asked for.
    pub asked_at: UnixMs,
    /// What it waits for at the moment.
    pub waiting: Option<Waiting>,
    /// What went wrong at the last attempt of a step that is tried again.
    pub trouble: Option<String>,
    /// Why it was given up.
    pub error: Option<String>,
    /// Bytes of content that the target has on its disk, once it has said so.
    pub bytes_done: Option<u64>,
    /// Bytes of content in all, as far as the source can know.
    pub bytes_total: Option<u64>,
}
