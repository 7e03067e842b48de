//! Moves that a hub forgot because it came back from an older backup, as the nodes tell of them.
//!
//! Where a server lives is known to whoever holds the wish with most moves in it. A source that holds
//! one that forbids to run tells that a move was under way: nothing is given back to it before the
//! target has said that it does not own the server.

use super::{
    OPEN, RESERVED, TRANSFERS, TransferRecord,
    records::OpenTransfer,
    steps::{Given, find, give_back, give_up, hand_over, leave, pass_lease, release},
};
use crate::{
    Hub, HubError,
    control::{
        ports::{self, grant, settle_gone},
        wish::{Happened, ServerKey, next_order},
    },
    store::{Moving, PLACED, ServerRecord},
};
use mamba_core::{
    clock::UnixMs,
    db::{Snapshot as _, Txn},
    desired::{Home, Order},
    ids::{NodeId, TransferId},
    lifecycle::{Actor, transfer::Phase},
    server::PortProtocol,
};

/// A source holds a wish that forbids to run, which the hub does not know.
pub(crate) fn lost_leaving(
    txn: &mut Txn<'_>,
    key: ServerKey,
    record: &mut ServerRecord,
    (transfer, to): (TransferId, NodeId),
    now: UnixMs,
) -> Result<(), HubError> {
    record.moving = Some(Moving { transfer, to, is_frozen: true });
    let open = open(txn, &key)?;
    if let Some(mut known) = open.filter(|it| it.transfer == transfer && it.phase.is_of_source()) {
        // The hub only does not know how far it had come.
        known.frozen = Some(record.order);
        known.phase = known.phase.max(Phase::Stopping);
        return Ok(txn.put(TRANSFERS, &key, &known)?);
    }
    lose(txn, key, record.node, (transfer, to), None, now)
}

/// A source holds the wish to clear its copy away, which the hub does not know.
pub(crate) fn lost_moved(
    txn: &mut Txn<'_>,
    key: ServerKey,
    record: &mut ServerRecord,
    (transfer, to): (TransferId, NodeId),
    home: Home,
    now: UnixMs,
) -> Result<(), HubError> {
    record.moving = Some(Moving { transfer, to, is_frozen: true });
    lose(txn, key, record.node, (transfer, to), Some(home), now)
}

/// A node holds a newer wish to let the server exist as before: what the hub knows of a move is over.
pub(crate) fn taken_back(
    txn: &mut Txn<'_>,
    key: ServerKey,
    record: &mut ServerRecord,
    now: UnixMs,
) -> Result<(), HubError> {
    record.moving = None;
    let Some(mut known) = open(txn, &key)?.filter(|it| it.phase.is_of_source()) else {
        return Ok(());
    };
    known.error = Some("hub came back from a backup that is older than its end".to_owned());
    forsake(txn, key, known, now)
}

/// Ends a move that the nodes know more of than the hub, and gives the place at its target back.
fn forsake(
    txn: &mut Txn<'_>,
    key: ServerKey,
    mut known: TransferRecord,
    now: UnixMs,
) -> Result<(), HubError> {
    give_back(txn, key, &known)?;
    (known.phase, known.phase_at) = (Phase::Failed, now);
    txn.put(TRANSFERS, &key, &known)?;
    Ok(txn.delete(OPEN, &key)?)
}

/// A node holds a wish with more moves in it than the hub knows of: the server lives there. `record`
/// has its new place already.
pub(crate) fn came_home(
    hub: &Hub,
    txn: &mut Txn<'_>,
    key: ServerKey,
    record: &mut ServerRecord,
    from: NodeId,
    now: UnixMs,
) -> Result<NodeId, HubError> {
    let to = record.node;
    leave(hub, txn, key, from)?;
    pass_lease(txn, key, (from, to), record.home.since)?;
    record.order = next_order(hub, record);
    release(hub, txn, key, (from, to), Some(record.order), record.home)?;
    record.moving = None;
    txn.delete(RESERVED, &(to, key.1))?;
    if let Some(mut known) = open(txn, &key)? {
        if known.to == to && record.deletion.is_none() {
            known.left = Some(record.order);
            (known.phase, known.phase_at) = (Phase::Leaving, now);
            txn.put(TRANSFERS, &key, &known)?;
        } else {
            forsake(txn, key, known, now)?;
        }
    }
    Ok(from)
}

fn open(txn: &Txn<'_>, key: &ServerKey) -> Result<Option<TransferRecord>, HubError> {
    Ok(txn.get(TRANSFERS, key)?.filter(|it| !it.phase.is_ended()))
}

fn lose(
    txn: &mut Txn<'_>,
    key: ServerKey,
    from: NodeId,
    (transfer, to): (TransferId, NodeId),
    let_go: Option<Home>,
    now: UnixMs,
) -> Result<(), HubError> {
    if let Some(known) = open(txn, &key)? {
        give_back(txn, key, &known)?;
    }
    let known = TransferRecord {
        transfer,
        from,
        to,
        ports: Vec::new(),
        phase: Phase::Lost,
        phase_at: now,
        by: Actor::Hub,
        asked_at: now,
        copies: 1,
        frozen: None::<Order>,
        left: None,
        let_go,
        error: None,
    };
    txn.put(TRANSFERS, &key, &known)?;
    Ok(txn.put(OPEN, &key, &OpenTransfer(transfer))?)
}

/// The target of a lost move said that it does not own the server. Who it is given to depends on
/// whether the source still may: one that was told to clear its copy away will not run it again.
pub(super) fn settle(
    hub: &Hub,
    txn: &mut Txn<'_>,
    key: ServerKey,
    transfer: TransferId,
    happened: &Happened,
) -> Result<Vec<NodeId>, HubError> {
    let Some(mut known) = open(txn, &key)?.filter(|it| it.transfer == transfer) else {
        return Ok(Vec::new());
    };
    let Some(home) = known.let_go else {
        let why = "hub came back from a backup that is older than the move".to_owned();
        return Ok(vec![give_up(hub, txn, key, known, &Given::Failed(why), happened)?]);
    };
    let record = find(hub, txn, &key)?;
    let protocols: Vec<PortProtocol> = record.choices.ports.iter().map(|it| it.protocol).collect();
    settle_gone(txn, known.to)?;
    let granted = grant(txn, known.to, &protocols, &[])?;
    ports::take(txn, known.to, key, &granted)?;
    known.ports = granted.into_iter().map(|it| (it.allocation, it.binding)).collect();
    hand_over(hub, txn, key, &mut known, Some(home), happened)?;
    if let Some(mut placed) = txn.get(PLACED, &(known.from, key.1))? {
        placed.gone = true;
        txn.put(PLACED, &(known.from, key.1), &placed)?;
    }
    (known.phase, known.phase_at) = (Phase::Done, happened.now);
    txn.put(TRANSFERS, &key, &known)?;
    txn.delete(OPEN, &key)?;
    Ok(vec![known.from, known.to])
}
