//! Pure: what is kept of moves.

use crate::store::EnvelopeRecord;
use mamba_core::{
    allocation::Granted,
    clock::UnixMs,
    db::{Snapshot, Table, TableDef, Txn, TxnError},
    desired::{Home, Order},
    ids::{AllocationId, NodeId, ServerId, TenantId, TransferId},
    lifecycle::{Actor, transfer::Phase},
    placement::Size,
    record,
    server::PortBinding,
};
use mamba_wire::link::v1::SERVERS_MAX;
use serde::{Deserialize, Serialize};

/// The newest move of each server.
pub const TRANSFERS: Table<(TenantId, ServerId), TransferRecord> = Table::new(280, "transfers");
/// Those that are not over.
pub const OPEN: Table<(TenantId, ServerId), OpenTransfer> = Table::new(281, "open_transfers");
/// What is promised to servers on their way, by the node that they go to.
pub(crate) const RESERVED: Table<(NodeId, ServerId), Reserved> = Table::new(282, "reserved");
/// Envelopes for servers that live on another node by now, by the node that they left.
pub(crate) const LEFT: Table<(NodeId, ServerId), EnvelopeRecord> = Table::new(283, "left");
/// Moves that were given up and of which a node may still have data.
pub(super) const DROPS: Table<(NodeId, TransferId), Drop> = Table::new(284, "transfer_drops");

/// All tables of this module.
pub const TABLES: &[TableDef] =
    &[TRANSFERS.def(), OPEN.def(), RESERVED.def(), LEFT.def(), DROPS.def()];

/// Returns how many servers are on their way to a node.
pub(crate) fn coming(view: &impl Snapshot, node: NodeId) -> Result<usize, TxnError> {
    Ok(view.prefix(RESERVED, &(node,), SERVERS_MAX)?.len())
}

/// Forgets some of what a node was still to be told, which is never connected again; says whether there
/// may be more.
pub(crate) fn forget_node(txn: &mut Txn<'_>, node: NodeId, most: usize) -> Result<bool, TxnError> {
    let left = txn.prefix(LEFT, &(node,), most)?;
    for (key, _) in &left {
        txn.delete(LEFT, key)?;
    }
    let drops = txn.prefix(DROPS, &(node,), most)?;
    for (key, _) in &drops {
        txn.delete(DROPS, key)?;
    }
    Ok(left.len() == most || drops.len() == most)
}

/// One move.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransferRecord {
    /// Which.
    pub transfer: TransferId,
    /// Where the server was.
    pub from: NodeId,
    /// Where it goes.
    pub to: NodeId,
    /// Ports that it gets there, in the order of those that it had. None for a lost one.
    pub ports: Vec<(AllocationId, PortBinding)>,
    /// How far it is.
    pub phase: Phase,
    /// Since when.
    pub phase_at: UnixMs,
    /// Who wants it.
    pub by: Actor,
    /// When it was asked for.
    pub asked_at: UnixMs,
    /// Copies that were begun.
    pub copies: u32,
    /// Rank of the wish that forbids the source to run the server, once it was made.
    pub frozen: Option<Order>,
    /// Rank of the wish that tells the source to clear its copy away, from the commit on.
    pub left: Option<Order>,
    /// The server's home by the word of a source that was told to clear its copy away, in a life of
    /// the hub that was lost.
    pub let_go: Option<Home>,
    /// Why it was given up.
    pub error: Option<String>,
}
record!(TransferRecord, 1);

impl TransferRecord {
    pub(super) fn granted(&self) -> Vec<Granted> {
        let ports = self.ports.iter().cloned();
        ports.map(|(allocation, binding)| Granted { allocation, binding }).collect()
    }
}

/// An open move.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenTransfer(pub TransferId);
record!(OpenTransfer, 1);

/// What is promised to a server on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reserved(pub Size);
record!(Reserved, 1);

/// Data that a node has to throw away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Drop(pub(super) ServerId);
record!(Drop, 1);
