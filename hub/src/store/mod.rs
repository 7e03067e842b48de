//! Pure: what the hub stores: tables, keys and records. Nothing here reads or writes.
//!
//! Keys of what a tenant owns begin with the tenant. Table ids 100 to 149, 240 to 242 and 370 are here; 150
//! to 179 belong to identity. An id is never used for another meaning.
//!
//! | tables | hold |
//! |---|---|
//! | [`META`] | the life of this database |
//! | [`NODES`] .. [`ALLOCATIONS`] | machines, what they said last, and what they offer |
//! | [`SERVERS`] .. [`INTENTS_OF_NODE`] | what is wanted of servers |
//! | [`OBSERVED`] | what is seen of them |
//! | [`STREAMS`] .. [`STREAM_GAPS`] | custody of facts |
//! | [`POSTINGS`] .. [`GAPS`] | usage, which is money |
//! | [`ACTIVITY`] .. [`ALARMS_OF`] | what happened |

mod node;
mod server;
mod facts;

pub use facts::{
    ActivityRecord, Alarm, AlarmKind, Counters, Coverage, CustodyRecord, Gap, HourRecord, Posting,
    Quarantined, StreamGap, StreamGapKind, StreamRecord,
};
pub use node::{
    AllocationRecord, FreePort, JoinTokenRecord, KeyRecord, LinkRecord, NodeRecord, NodeSeen,
    NodeStateRecord,
};
pub use server::{
    Deletion, EnvelopeRecord, IntentRecord, IntentState, IntentWaiting, Lease, Moving,
    ObservedRecord, PlacedServer, ServerPort, ServerRecord,
};

use mamba_core::{
    clock::UnixMs,
    db::{StoreKind, Table, TableDef},
    fact::Stream,
    ids::{AllocationId, EventId, IntentId, NodeId, ServerId, TenantId},
    record,
    seq::{Epoch, Incarnation, Seq},
};
use serde::{Deserialize, Serialize};

/// What a hub's data directory is marked with.
pub const KIND: StoreKind = StoreKind { name: "hub", version: 1 };

/// Names one fact: node, number of the stream, epoch and sequence.
pub type FactKey = (NodeId, u8, Epoch, Seq);
/// Names one epoch of a stream.
pub type StreamKey = (NodeId, u8, Epoch);
/// Names one server's UTC hour by its start.
pub type HourKey = (TenantId, ServerId, UnixMs);

/// The life of this database.
pub const META: Table<(), Meta> = Table::new(100, "meta");
/// Machines.
pub const NODES: Table<NodeId, NodeRecord> = Table::new(102, "nodes");
/// When and how a node was connected last.
pub const NODES_SEEN: Table<NodeId, NodeSeen> = Table::new(103, "nodes_seen");
/// The last changes of each node's link, numbered from 1 on.
pub const LINK_CHANGES: Table<(NodeId, u64), LinkRecord> = Table::new(370, "link_changes");
/// What a node said of its machine last.
pub const NODE_STATES: Table<NodeId, NodeStateRecord> = Table::new(104, "node_states");
/// Join tokens by the hash of their secret.
pub const JOIN_TOKENS: Table<[u8; 32], JoinTokenRecord> = Table::new(105, "join_tokens");
/// Ports that nodes offer.
pub const ALLOCATIONS: Table<(NodeId, AllocationId), AllocationRecord> =
    Table::new(106, "allocations");
/// Node of each allocation.
pub const ALLOCATION_NODES: Table<AllocationId, NodeRef> = Table::new(107, "allocation_nodes");
/// Every public key that a node ever had, to find it by its certificate.
pub const NODE_KEYS: Table<[u8; 32], KeyRecord> = Table::new(108, "node_keys");
/// Allocations that no server has, by port.
pub const FREE_PORTS: Table<(NodeId, u16, AllocationId), FreePort> = Table::new(240, "free_ports");
/// Deleted servers whose ports were not given back yet, with the time of their end.
pub const GONE_PORTS: Table<(NodeId, TenantId, ServerId), u64> = Table::new(241, "gone_ports");
/// Servers by the name that another system gave them.
pub const EXTERNAL_IDS: Table<String, ServerRef> = Table::new(242, "external_ids");

/// What is wanted of servers.
pub const SERVERS: Table<(TenantId, ServerId), ServerRecord> = Table::new(110, "servers");
/// Owner of each server.
pub const SERVER_TENANTS: Table<ServerId, TenantRef> = Table::new(111, "server_tenants");
/// Newest envelope of each server.
pub const ENVELOPES: Table<(TenantId, ServerId), EnvelopeRecord> = Table::new(112, "envelopes");
/// Servers on each node, with what the node knows of their envelopes.
pub const PLACED: Table<(NodeId, ServerId), PlacedServer> = Table::new(113, "placed");
/// Which node speaks for a server, from when on.
pub const LEASES: Table<(TenantId, ServerId, UnixMs), Lease> = Table::new(114, "leases");
/// Power wishes.
pub const INTENTS: Table<(TenantId, ServerId, IntentId), IntentRecord> = Table::new(115, "intents");
/// Power wishes that a node has not answered.
pub const INTENTS_OF_NODE: Table<(NodeId, IntentId), IntentWaiting> =
    Table::new(116, "intents_of_node");
/// Owners of a server that changed hands, each from a moment on; the first from 0.
pub const OWNERS: Table<(ServerId, UnixMs), TenantRef> = Table::new(119, "owners");
/// What is seen of servers.
pub const OBSERVED: Table<(TenantId, ServerId), ObservedRecord> = Table::new(117, "observed");

/// How far each epoch of each stream is in custody.
pub const STREAMS: Table<StreamKey, StreamRecord> = Table::new(120, "streams");
/// Facts as they came.
pub const CUSTODY: Table<FactKey, CustodyRecord> = Table::new(121, "custody");
/// Facts that were not understood or not believed, and why.
pub const QUARANTINE: Table<FactKey, Quarantined> = Table::new(122, "quarantine");
/// Sequences that never came.
pub const STREAM_GAPS: Table<(NodeId, u8, Epoch, UnixMs), StreamGap> =
    Table::new(123, "stream_gaps");
/// The open epoch of each stream.
pub const OPEN_EPOCHS: Table<(NodeId, u8), u64> = Table::new(125, "open_epochs");
/// Counts per node.
pub const COUNTERS: Table<NodeId, Counters> = Table::new(124, "counters");
/// Newest hub time, in milliseconds since 1970, at which a fact came into custody.
pub const RECEIVED: Table<(), u64> = Table::new(126, "received");

/// The ledger: what each usage fact added to the hour it lies in, named by its start and source.
pub const POSTINGS: Table<(TenantId, ServerId, UnixMs, Epoch, Seq), Posting> =
    Table::new(130, "postings");
/// Spans already billed, per hour.
pub const COVERAGE: Table<HourKey, Coverage> = Table::new(131, "coverage");
/// Sums per hour.
pub const HOURS: Table<HourKey, HourRecord> = Table::new(132, "hours");
/// Spans not, or not wholly, measured.
pub const GAPS: Table<(TenantId, ServerId, UnixMs, Epoch, Seq), Gap> = Table::new(133, "gaps");

/// What happened to a tenant's servers, by time.
pub const ACTIVITY: Table<(TenantId, ServerId, UnixMs, EventId), ActivityRecord> =
    Table::new(140, "activity");
/// Place of each event of a tenant, to recognise a second copy.
pub const EVENTS: Table<(TenantId, EventId), u64> = Table::new(141, "events");
/// What happened to nodes, by time.
pub const NODE_ACTIVITY: Table<(NodeId, UnixMs, EventId), ActivityRecord> =
    Table::new(142, "node_activity");
/// Place of each event of a node.
pub const NODE_EVENTS: Table<(NodeId, EventId), u64> = Table::new(143, "node_events");
/// What somebody should look at.
pub const ALARMS: Table<EventId, Alarm> = Table::new(144, "alarms");
/// The newest alarm about each thing: node, server and [`AlarmKind::number`], where zeros stand for
/// the hub itself and for no server. It may have been cleared.
pub const ALARMS_OF: Table<(NodeId, ServerId, u8), EventRef> = Table::new(145, "alarms_of");

/// All tables of this module.
pub const TABLES: &[TableDef] = &[
    META.def(),
    NODES.def(),
    NODES_SEEN.def(),
    LINK_CHANGES.def(),
    NODE_STATES.def(),
    JOIN_TOKENS.def(),
    ALLOCATIONS.def(),
    ALLOCATION_NODES.def(),
    NODE_KEYS.def(),
    FREE_PORTS.def(),
    GONE_PORTS.def(),
    EXTERNAL_IDS.def(),
    SERVERS.def(),
    SERVER_TENANTS.def(),
    ENVELOPES.def(),
    PLACED.def(),
    LEASES.def(),
    INTENTS.def(),
    INTENTS_OF_NODE.def(),
    OBSERVED.def(),
    OWNERS.def(),
    STREAMS.def(),
    CUSTODY.def(),
    QUARANTINE.def(),
    STREAM_GAPS.def(),
    OPEN_EPOCHS.def(),
    COUNTERS.def(),
    RECEIVED.def(),
    POSTINGS.def(),
    COVERAGE.def(),
    HOURS.def(),
    GAPS.def(),
    ACTIVITY.def(),
    EVENTS.def(),
    NODE_ACTIVITY.def(),
    NODE_EVENTS.def(),
    ALARMS.def(),
    ALARMS_OF.def(),
];

/// The life of this database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    /// One more after each restore.
    pub incarnation: Incarnation,
    /// When the hub was made.
    pub made_at: UnixMs,
    /// When it was restored last, `None` when never.
    pub restored_at: Option<UnixMs>,
}
record!(Meta, 1);

/// Points to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeRef(pub NodeId);
record!(NodeRef, 1);

/// Points to a tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantRef(pub TenantId);
record!(TenantRef, 1);

/// Points to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerRef(pub TenantId, pub ServerId);
record!(ServerRef, 1);

/// Points to an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventRef(pub EventId);
record!(EventRef, 1);

/// Number of a stream in keys. Never changes.
#[must_use]
pub fn stream_number(stream: Stream) -> u8 {
    match stream {
        Stream::Usage => 0,
        Stream::Activity => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_tables_share_an_id_or_name() {
        assert_eq!(mamba_core::db::duplicate_table(TABLES), None);
        assert!(TABLES.iter().all(|table| (100..390).contains(&table.id)));
    }
}
