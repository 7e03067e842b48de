//! Pure: records of machines.

use mamba_core::{
    clock::UnixMs,
    ids::{InstanceId, NodeId, ServerId, TenantId, TokenId},
    placement::NodeSettings,
    record,
    server::PortBinding,
};
use mamba_wire::{
    api::node::{LinkEvent, Standing},
    link::v1::NodeState,
};
use serde::{Deserialize, Serialize};

/// One machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeRecord {
    /// Its name, for people.
    pub name: String,
    /// Its Ed25519 key: this is the node.
    pub key: [u8; 32],
    /// Whether it may connect.
    pub standing: Standing,
    /// Why its standing is not active, for people.
    pub why: Option<String>,
    /// When it joined.
    pub enrolled_at: UnixMs,
    /// When its key was replaced last.
    pub replaced_at: Option<UnixMs>,
    /// End of the newest certificate that it was given.
    pub certificate_until: Option<UnixMs>,
    /// What an administrator says about it.
    pub settings: NodeSettings,
}
record!(NodeRecord, 1);

/// Whose key it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRecord {
    /// The node.
    pub node: NodeId,
    /// When it was replaced by another key; it opens nothing since then.
    pub revoked_at: Option<UnixMs>,
}
record!(KeyRecord, 1);

/// A change of a node's link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkRecord {
    /// When.
    pub at: UnixMs,
    /// What it was.
    pub event: LinkEvent,
    /// Address that it came from, or why it was lost.
    pub detail: String,
}
record!(LinkRecord, 1);

/// Last connection of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeSeen {
    /// When it was heard last.
    pub last_heard: UnixMs,
    /// When its last session began.
    pub connected_at: UnixMs,
    /// Which run of its daemon.
    pub instance: InstanceId,
    /// Version of its program.
    pub software: String,
    /// Address that it came from.
    pub remote: String,
    /// Its calendar minus the hub's when the session began, in milliseconds.
    pub calendar_ahead_ms: i64,
}
record!(NodeSeen, 1);

/// What a node said of its machine last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeStateRecord {
    /// When.
    pub received_at: UnixMs,
    /// What.
    pub state: NodeState,
}
record!(NodeStateRecord, 1);

/// A join token, stored under the hash of its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinTokenRecord {
    /// Names it in lists.
    pub token: TokenId,
    /// Name of the node that will join with it.
    pub name: String,
    /// When it was made.
    pub made_at: UnixMs,
    /// End of its life.
    pub expires_at: UnixMs,
    /// The node that gets a new key with it; `None` to make a new node.
    pub replaces: Option<NodeId>,
    /// The node that was made, or given a new key, and that key. `None` while it is unused.
    pub used: Option<(NodeId, [u8; 32])>,
}
record!(JoinTokenRecord, 1);

/// A port that a node offers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AllocationRecord {
    /// The socket.
    pub binding: PortBinding,
    /// Who has it, `None` while it is free.
    pub server: Option<(TenantId, ServerId)>,
    /// What players are told instead of its address.
    pub alias: Option<String>,
    /// What its server's people wrote about it. Goes with the server.
    pub note: Option<String>,
}
record!(AllocationRecord, 1);

impl AllocationRecord {
    /// Makes one that no server has.
    #[must_use]
    pub fn free(binding: PortBinding) -> Self {
        Self { binding, server: None, alias: None, note: None }
    }
}

/// A port that no server has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FreePort(pub PortBinding);
record!(FreePort, 1);
