//! Moves as people ask for them, look at them and cancel them.

use super::{
    OPEN, OPEN_MAX, RESERVED, Reserved, TRANSFERS, TransferRecord,
    records::OpenTransfer,
    steps::{Given, give_up},
};
use crate::{
    Hub, HubError,
    control::{
        Cut,
        create::{NODES_MAX, Placing, candidate},
        install,
        placing::with_ports,
        ports::{self, grant, settle_gone},
        wish::{Happened, ServerKey, find_kept},
    },
    store::{Moving, NODES, PLACED, SERVERS, ServerRecord},
};
use mamba_core::{
    allocation::Granted,
    db::{Snapshot, Span, Txn},
    fact::Activity,
    ids::{AllocationId, NodeId, ServerId, TransferId},
    lifecycle::transfer::Phase,
    placement::{Needs, Rejected, Size, check_label, check_tags, closed, no_place, place},
    scope::TenantScope,
    server::PortProtocol,
};
use mamba_wire::{
    api::{Page, PageQuery, transfer::Transfer},
    link::v1::SERVERS_MAX,
};
use std::collections::BTreeSet;

/// A move to be begun.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewTransfer {
    /// Where to; `None` lets the hub choose a connected node with room.
    pub node: Option<NodeId>,
    /// Ports there, in the order of the present ones; missing ones are chosen.
    pub allocations: Vec<AllocationId>,
    /// Where the hub looks for a node when none is named.
    pub placing: Placing,
}

impl Hub {
    /// Begins to move a server to another node. Its place there is reserved on return.
    ///
    /// # Errors
    /// `NotFound`, `Invalid` with the field, `NoNode` with the reason per node, `Refused` for a
    /// server that is being deleted, installed or moved. Nothing was changed.
    pub async fn start_transfer(
        &self,
        scope: &TenantScope,
        server: ServerId,
        new: NewTransfer,
    ) -> Result<Transfer, HubError> {
        if let Some(region) = &new.placing.region {
            check_label("region", region)?;
        }
        check_tags("tags", &new.placing.tags)?;
        let key = (scope.tenant(), server);
        let (happened, transfer) = (Happened::of(self, scope), self.new_id(TransferId::new));
        let connected = self.live().connected();
        self.write(move |txn| start(txn, key, transfer, &new, &connected, &happened)).await?;
        self.transfer(scope, server)
    }

    /// Shows the newest move of a server.
    ///
    /// # Errors
    /// `NotFound`, also for a server that was never moved.
    pub fn transfer(&self, scope: &TenantScope, server: ServerId) -> Result<Transfer, HubError> {
        let record = self.read(|txn| Ok(txn.get(TRANSFERS, &(scope.tenant(), server))?))?;
        let record = record.ok_or(HubError::NotFound { what: "transfer" })?;
        Ok(self.show_transfer(server, record))
    }

    /// Lists the moves of all tenants that are not over, by tenant and server.
    ///
    /// # Errors
    /// `Invalid` for the query.
    pub fn open_transfers(&self, query: &PageQuery) -> Result<Page<Transfer>, HubError> {
        let cut = Cut::<ServerKey>::new(query)?;
        self.read(|txn| {
            let mut span = Span::all();
            if let Some(after) = &cut.after {
                span = span.after(after);
            }
            let mut found = Vec::new();
            for (key, _) in txn.range(OPEN, span, cut.fetch())? {
                if let Some(record) = txn.get(TRANSFERS, &key)? {
                    found.push((key, self.show_transfer(key.1, record)));
                }
            }
            Ok(cut.page(found))
        })
    }

    fn show_transfer(&self, server: ServerId, record: TransferRecord) -> Transfer {
        let TransferRecord { transfer, from, to, phase, phase_at, asked_at, error, .. } = record;
        let progress = self.progresses().of(transfer);
        Transfer {
            transfer,
            server,
            from,
            to,
            phase,
            since: phase_at,
            asked_at,
            waiting: progress.waiting.filter(|_| !phase.is_ended()),
            trouble: progress.trouble.filter(|_| !phase.is_ended()),
            error,
            bytes_done: progress.done,
            bytes_total: progress.total,
        }
    }

    /// Cancels the move of a server, which goes on where it is.
    ///
    /// # Errors
    /// `NotFound`; `Refused` when there is none, or the server belongs to the other node already.
    /// Nothing was changed.
    pub async fn cancel_transfer(
        &self,
        scope: &TenantScope,
        server: ServerId,
    ) -> Result<Transfer, HubError> {
        let (hub, key) = (self.clone(), (scope.tenant(), server));
        let happened = Happened::of(self, scope);
        let node = self
            .write(move |txn| {
                let known = txn.get(TRANSFERS, &key)?;
                let known = known.ok_or(HubError::NotFound { what: "transfer" })?;
                if known.phase.is_ended() {
                    return Err(HubError::Refused("server is not being moved".to_owned()));
                }
                if !known.phase.is_of_source() {
                    let why = "the move is decided: the server belongs to the other node";
                    return Err(HubError::Refused(why.to_owned()));
                }
                give_up(&hub, txn, key, known, &Given::Cancelled, &happened)
            })
            .await?;
        self.live().changed(node);
        self.transfer(scope, server)
    }
}

fn start(
    txn: &mut Txn<'_>,
    key: ServerKey,
    transfer: TransferId,
    new: &NewTransfer,
    connected: &BTreeSet<NodeId>,
    happened: &Happened,
) -> Result<(), HubError> {
    let refused = |why: &str| Err(HubError::Refused(why.to_owned()));
    let mut record = find_kept(txn, &key)?;
    install::check_closed(txn, &key, &record)?;
    if txn.range(OPEN, Span::all(), OPEN_MAX)?.len() >= OPEN_MAX {
        return refused("too many servers are being moved at the moment");
    }
    let (to, ports) = seat(txn, key, &record, new, connected)?;
    ports::take(txn, to, key, &ports)?;
    let size = Size::of(&record.choices.limits);
    txn.put(RESERVED, &(to, key.1), &Reserved(size))?;
    let known = TransferRecord {
        transfer,
        from: record.node,
        to,
        ports: ports.into_iter().map(|it| (it.allocation, it.binding)).collect(),
        phase: Phase::Preparing,
        phase_at: happened.now,
        by: happened.actor.clone(),
        asked_at: happened.now,
        copies: 1,
        frozen: None,
        left: None,
        let_go: None,
        error: None,
    };
    txn.put(TRANSFERS, &key, &known)?;
    txn.put(OPEN, &key, &OpenTransfer(transfer))?;
    record.moving = Some(Moving { transfer, to, is_frozen: false });
    txn.put(SERVERS, &key, &record)?;
    happened.record(txn, &key, Activity::TransferAsked { to })
}

/// Finds a node with room and ports.
fn seat(
    txn: &mut Txn<'_>,
    key: ServerKey,
    record: &ServerRecord,
    new: &NewTransfer,
    connected: &BTreeSet<NodeId>,
) -> Result<(NodeId, Vec<Granted>), HubError> {
    let protocols: Vec<PortProtocol> = record.choices.ports.iter().map(|it| it.protocol).collect();
    let Placing { region, tags } = new.placing.clone();
    let limits = &record.choices.limits;
    let needs = Needs { size: Size::of(limits), region, tags, threads: limits.sharing.threads };
    if let Some(node) = new.node {
        let unknown = || HubError::invalid("node", "is not a node of this hub");
        let found = txn.get(NODES, &node)?.ok_or_else(unknown)?;
        let candidate = candidate(txn, node, found, true)?;
        let refusal = closed(&candidate).or_else(|| no_place(&candidate, &needs));
        if let Some(reason) = refusal.or(unfit(txn, key, record, node)?) {
            return Err(HubError::invalid("node", reason));
        }
        settle_gone(txn, node)?;
        return Ok((node, grant(txn, node, &protocols, &new.allocations)?));
    }
    let (mut candidates, mut rejected) = (Vec::new(), Vec::new());
    for (node, found) in txn.range(NODES, Span::all(), NODES_MAX)? {
        let candidate = candidate(txn, node, found, connected.contains(&node))?;
        if let Some(reason) = unfit(txn, key, record, node)? {
            rejected.push(Rejected { node, name: candidate.name, reason });
            continue;
        }
        let ports = (protocols.as_slice(), new.allocations.as_slice());
        candidates.push(with_ports(txn, candidate, &needs, ports)?);
    }
    match place(&candidates, &needs) {
        Ok(placed) => {
            settle_gone(txn, placed.node)?;
            let ports = grant(txn, placed.node, &protocols, &new.allocations)?;
            Ok((placed.node, ports))
        }
        Err(others) => {
            rejected.extend(others);
            Err(HubError::NoNode(rejected))
        }
    }
}

/// Returns why a server cannot go to a node because of where it is or was.
fn unfit(
    txn: &impl Snapshot,
    (_, server): ServerKey,
    record: &ServerRecord,
    node: NodeId,
) -> Result<Option<String>, HubError> {
    if node == record.node {
        return Ok(Some("has the server already".to_owned()));
    }
    if txn.get(PLACED, &(node, server))?.is_some_and(|it| !it.gone) {
        return Ok(Some("still clears an older copy of the server away".to_owned()));
    }
    let is_full = txn.prefix(PLACED, &(node,), SERVERS_MAX)?.len() >= SERVERS_MAX;
    Ok(is_full.then(|| format!("holds {SERVERS_MAX} servers, more is not possible")))
}
