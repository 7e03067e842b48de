//! Pure: nodes and the tokens with which they join.

use super::{Freshness, RequestBody, page::unfiltered, params::params};
use crate::link::v1::NodeState;
use mamba_core::{
    clock::UnixMs,
    ids::{NodeId, TokenId},
    placement::{NodeSettings, Rejected},
    server::Threads,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Node {
    /// Its id.
    pub node: NodeId,
    /// The name that its join token gave it.
    pub name: String,
    /// Whether it may connect.
    pub standing: Standing,
    /// When it joined.
    pub enrolled_at: UnixMs,
    /// Version of its daemon, as it said last.
    pub software: Option<String>,
    /// The machine, as it said last.
    pub machine: Option<NodeState>,
    /// Servers placed on it.
    pub servers: u32,
    /// What an administrator says about it.
    pub settings: NodeSettings,
    /// What its servers may use together.
    pub promised: Promised,
    /// How old this is.
    pub freshness: Freshness,
}

/// What the servers of a node may use together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Promised {
    /// Memory in MiB.
    pub memory_mib: u64,
    /// Disk in MiB.
    pub disk_mib: u64,
    /// CPU in thousandths of a core.
    pub cpu_millicores: u64,
}

/// Body of [`super::table::UpdateNode`]: what is missing stays.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateNode {
    /// New name, 1 to 64 bytes, which no other node has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// New settings, all of them: those that are missing get their default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<NodeSettings>,
}

impl RequestBody for UpdateNode {}

params! {
    /// Which nodes. Filters that are missing let everything through.
    NodeQuery {
        /// With this text in the name, in any case.
        name: Option<String>,
        /// In this region.
        region: Option<String>,
        /// With this tag.
        tag: Option<String>,
        /// Whose link is so: `live`, `delayed` or `unreachable`.
        link: Option<String>,
        /// `made` (default) or `name`; with `-` in front from the end.
        sort: Option<String>,
        /// Like [`super::PageQuery::after`].
        after: Option<String>,
        /// Like [`super::PageQuery::limit`].
        limit: Option<u32> where 1..=super::page::PAGE_ITEMS_MAX,
    }

    /// What a server to be placed needs. What is missing is not needed.
    PlacementQuery {
        /// Short name of its blueprint, which says how many ports it needs.
        blueprint: Option<String>,
        /// Memory in MiB.
        memory_mib: Option<u32>,
        /// Disk in MiB.
        disk_mib: Option<u32>,
        /// CPU in thousandths of a core.
        cpu_millicores: Option<u32>,
        /// Region of its node.
        region: Option<String>,
        /// Tags that its node must have, with commas between them.
        tags: Option<String>,
        /// Processors that its node must have, for example `0,2-3`.
        threads: Option<Threads>,
    }

    /// What confirms the deletion of a node.
    DeleteNodeQuery {
        /// The name of the node.
        name: Option<String>,
        /// Whether what the node holds, and did not tell or clear away, is given up as lost.
        force: Option<bool>,
    }
}

unfiltered!(NodeQuery { name, region, tag, link, sort });

/// Whether a node may connect.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It may.
    Active,
    /// Two daemons fight over its identity: it may not until a replacement is approved.
    Quarantined,
    /// Never again.
    Revoked,
}

/// What is known of a node's link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NodeLink {
    /// Its public key (Ed25519) in hexadecimal digits: this is the node, certificates only wrap it.
    pub key: String,
    /// When its key was replaced last; `null` when never.
    pub replaced_at: Option<UnixMs>,
    /// End of the newest certificate that it was given; `null` when it never got one. It asks for another
    /// one when two thirds of the time are over, and can do so after the end too.
    pub certificate_until: Option<UnixMs>,
    /// Why its standing is not active.
    pub why: Option<String>,
    /// Its last session; `null` when it never had one.
    pub session: Option<NodeSession>,
    /// Facts taken into custody.
    pub facts: u64,
    /// Facts that came again.
    pub repeated: u64,
    /// Facts that were not booked, and wait in quarantine.
    pub quarantined: u64,
}

/// A node's last session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NodeSession {
    /// When it began.
    pub connected_at: UnixMs,
    /// When the node was heard last.
    pub last_heard: UnixMs,
    /// Address that it came from.
    pub remote: String,
    /// The node's calendar minus the hub's when it began, in milliseconds.
    pub calendar_ahead_ms: i64,
}

/// A change of a node's link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LinkChange {
    /// When.
    pub at: UnixMs,
    /// What it was.
    pub change: LinkEvent,
    /// Address that it came from, or why it was lost, in words.
    pub detail: String,
}

/// What became of a link.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum LinkEvent {
    /// A session began.
    Connected,
    /// The last session ended.
    Lost,
}

/// Where a server would be placed now. Nothing is kept free for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Placement {
    /// The node that would take it; `null` when none can.
    pub node: Option<NodeId>,
    /// Its name.
    pub name: Option<String>,
    /// Nodes that could not, each with its reason.
    pub rejected: Vec<Rejected>,
}

/// Where servers can be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Regions {
    /// Names, in their order.
    pub regions: Vec<String>,
}

/// Body of [`super::table::CreateJoinToken`].
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateJoinToken {
    /// Name of the node that will join with it; not needed when it takes a place.
    #[serde(default)]
    pub name: String,
    /// Node whose place is taken: it gets the new machine's key, and the old key opens nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<NodeId>,
}

impl RequestBody for CreateJoinToken {}

/// A new join token.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
pub struct NewJoinToken {
    /// Names it in lists.
    pub id: TokenId,
    /// The token: holds the hub's address, the hash of its CA and the secret. Shown only now.
    pub token: String,
    /// End of its life.
    pub expires_at: UnixMs,
}

/// A join token that was not used yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct JoinToken {
    /// Names it.
    pub id: TokenId,
    /// Name of the node that may join with it.
    pub name: String,
    /// Node whose place is taken with it; `null` for a new node.
    pub replaces: Option<NodeId>,
    /// When it was made.
    pub made_at: UnixMs,
    /// End of its life.
    pub expires_at: UnixMs,
}
