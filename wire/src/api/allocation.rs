//! Pure: addresses and ports that a node can give to servers.

use super::{RequestBody, page::unfiltered, params::params};
use mamba_core::{
    ids::{AllocationId, NodeId, ServerId},
    server::PortProtocol,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

params! {
    /// Which allocations.
    AllocationQuery {
        /// Of this node; of all without.
        node: Option<NodeId>,
        /// With this port.
        port: Option<u32>,
        /// That a server has, or that are free.
        taken: Option<bool>,
        /// `made` (default; node by node), `port` or `ip`; with `-` in front from the end.
        sort: Option<String>,
        /// Like [`super::PageQuery::after`].
        after: Option<String>,
        /// Like [`super::PageQuery::limit`].
        limit: Option<u32> where 1..=super::page::PAGE_ITEMS_MAX,
    }
}

unfiltered!(AllocationQuery { node, port, taken, sort });

/// Body of [`super::table::CreateAllocations`].
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateAllocations {
    /// On which node.
    pub node: NodeId,
    /// Address on the node, without brackets; `0.0.0.0` for all of IPv4, `::` for all of both.
    pub ip: IpAddr,
    /// First port, 1 to 65535.
    pub port: u16,
    /// Last port, at most 999 above the first; the first one alone without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port_last: Option<u16>,
    /// What may be published on them.
    pub protocol: PortProtocol,
    /// Host name or address that players are told instead of `ip`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alias: Option<String>,
    /// A note, 1 to 256 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// Body of [`super::table::UpdateAllocation`]: what is missing or `null` is removed.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateAllocation {
    /// Host name or address that players are told instead of the allocation's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alias: Option<String>,
    /// A note, 1 to 256 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// Body of [`super::table::AddServerAllocation`].
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AddServerAllocation {
    /// A free allocation of the server's node; only an administrator may name one. Without it the
    /// server gets the lowest port of the range that its node offers for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allocation: Option<AllocationId>,
}

/// Body of [`super::table::UpdateServerAllocation`].
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateServerAllocation {
    /// A note, 1 to 256 bytes; missing or `null` removes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl RequestBody for CreateAllocations {}
impl RequestBody for UpdateAllocation {}
impl RequestBody for AddServerAllocation {}
impl RequestBody for UpdateServerAllocation {}

/// What was made: one allocation for each port, in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NewAllocations {
    /// The allocations.
    pub items: Vec<Allocation>,
}

/// One allocation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Allocation {
    /// Its id.
    pub allocation: AllocationId,
    /// On which node.
    pub node: NodeId,
    /// Address on the node.
    pub ip: IpAddr,
    /// Port.
    pub port: u16,
    /// What may be published on it.
    pub protocol: PortProtocol,
    /// What players are told instead of `ip`.
    pub alias: Option<String>,
    /// A note. It goes when the server that has the allocation gives it back.
    pub note: Option<String>,
    /// Server that has it; `null` while it is free.
    pub server: Option<ServerId>,
}
