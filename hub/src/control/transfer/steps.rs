//! What each step of a move changes in the books, one transaction each.

use super::{
    OPEN, RESERVED, RETAIN_MS, TRANSFERS, TransferRecord,
    records::{DROPS, Drop},
};
use crate::{
    Hub, HubError,
    control::{
        hidden::{self, Whole},
        leases, ports,
        wish::{Happened, ServerKey, commit, next_order},
    },
    store::{ENVELOPES, PLACED, SERVERS},
};
use mamba_core::{
    clock::UnixMs,
    db::{Snapshot, Span, Txn},
    desired::{Envelope, Home, Order, Wish},
    fact::Activity,
    ids::{NodeId, ServerId, TransferId},
    lifecycle::transfer::{Phase, Then},
};
use std::collections::BTreeSet;

/// Rows of what is to be thrown away that are read at once.
const PAGE_DROPS: usize = 500;
/// Longest reason of a failure that is kept.
const ERROR_BYTES_MAX: usize = 512;

/// Why a move is given up.
pub(super) enum Given {
    Cancelled,
    Failed(String),
}

/// Writes down what follows from a step that was done in `phase`. Returns nodes that have to hear of
/// it. Does nothing when the move is another or further by now: somebody cancelled it.
pub(super) fn advance(
    hub: &Hub,
    txn: &mut Txn<'_>,
    key: ServerKey,
    (transfer, phase): (TransferId, Phase),
    then: &Then,
    happened: &Happened,
) -> Result<Vec<NodeId>, HubError> {
    let known = txn.get(TRANSFERS, &key)?;
    let Some(mut known) = known.filter(|it| it.transfer == transfer && it.phase == phase) else {
        return Ok(Vec::new());
    };
    let mut told = Vec::new();
    match then {
        Then::Again(_) => return Ok(told),
        Then::GiveUp(why) => {
            let given = Given::Failed(why.clone());
            return Ok(vec![give_up(hub, txn, key, known, &given, happened)?]);
        }
        Then::CopyAgain => {
            known.copies += 1;
            known.phase = Phase::Copying;
        }
        Then::Go(next) => {
            match (phase, next) {
                (Phase::Preparing, _) => told.push(freeze(hub, txn, key, &mut known, happened)?),
                (Phase::Sealing, _) => {
                    told.extend([known.from, known.to]);
                    hand_over(hub, txn, key, &mut known, None, happened)?;
                }
                (Phase::Arriving, _) => {
                    told.push(known.from);
                    let home = find(hub, txn, &key)?.home;
                    release(hub, txn, key, (known.from, known.to), known.left, home)?;
                }
                (Phase::Leaving, _) => txn.delete(OPEN, &key)?,
                _ => {}
            }
            known.phase = *next;
        }
    }
    known.phase_at = happened.now;
    txn.put(TRANSFERS, &key, &known)?;
    Ok(told)
}

/// Reads a server, whatever became of it.
pub(super) fn find(hub: &Hub, txn: &Txn<'_>, key: &ServerKey) -> Result<Whole, HubError> {
    let record = txn.get(SERVERS, key)?.ok_or(HubError::NotFound { what: "server" })?;
    Whole::of(hub, txn, key, record)
}

/// Forbids the source to run the server.
fn freeze(
    hub: &Hub,
    txn: &mut Txn<'_>,
    key: ServerKey,
    known: &mut TransferRecord,
    happened: &Happened,
) -> Result<NodeId, HubError> {
    let mut record = find(hub, txn, &key)?;
    if let Some(moving) = &mut record.moving {
        moving.is_frozen = true;
    }
    record.changed_at = happened.now;
    commit(hub, txn, key, &mut record, true)?;
    known.frozen = Some(record.order);
    Ok(record.node)
}

/// Makes the target the owner: the one commit that decides. `home` is given when it was decided
/// before, in a life of the hub that was lost.
pub(super) fn hand_over(
    hub: &Hub,
    txn: &mut Txn<'_>,
    key: ServerKey,
    known: &mut TransferRecord,
    home: Option<Home>,
    happened: &Happened,
) -> Result<(), HubError> {
    let (from, to) = (known.from, known.to);
    let mut record = find(hub, txn, &key)?;
    leave(hub, txn, key, from)?;
    let moves = record.home.moves.saturating_add(1);
    record.home = home.unwrap_or(Home { moves, since: happened.now, ..record.home });
    pass_lease(txn, key, (from, to), record.home.since)?;
    for allocation in std::mem::take(&mut record.allocations) {
        ports::give_back(txn, from, key, allocation)?;
    }
    let ports = known.granted();
    record.allocations = ports.iter().map(|it| it.allocation).collect();
    record.choices.ports = ports.into_iter().map(|it| it.binding).collect();
    record.node = to;
    record.moving = None;
    record.changed_at = happened.now;
    // Kept for the source, so that its last wish is the same whoever makes it.
    record.order = next_order(hub, &record);
    known.left = Some(record.order);
    txn.delete(RESERVED, &(to, key.1))?;
    hidden::forget_left(txn, (to, key.1))?;
    commit(hub, txn, key, &mut record, false)?;
    happened.record(txn, &key, Activity::Transferred { from, to })
}

/// Gives a node that a server left a place of its own in the books.
pub(super) fn leave(
    hub: &Hub,
    txn: &mut Txn<'_>,
    (tenant, server): ServerKey,
    from: NodeId,
) -> Result<(), HubError> {
    let known = txn.get(ENVELOPES, &(tenant, server))?;
    if let (Some(known), Some(signed)) = (known, hidden::wish(hub, txn, &(tenant, server))?) {
        hidden::put_left(hub, txn, (from, server), known.order, &signed)?;
    }
    if let Some(mut placed) = txn.get(PLACED, &(from, server))? {
        (placed.left, placed.ending) = (true, false);
        txn.put(PLACED, &(from, server), &placed)?;
    }
    Ok(())
}

/// Ends the right of one node to speak for the server, and begins that of another.
pub(super) fn pass_lease(
    txn: &mut Txn<'_>,
    key: ServerKey,
    (from, to): (NodeId, NodeId),
    at: UnixMs,
) -> Result<(), HubError> {
    leases::end(txn, key, Some(from), at)?;
    leases::begin(txn, key, to, at)
}

/// Tells the source to clear its copy away.
pub(super) fn release(
    hub: &Hub,
    txn: &mut Txn<'_>,
    (tenant, server): ServerKey,
    (from, to): (NodeId, NodeId),
    order: Option<Order>,
    home: Home,
) -> Result<(), HubError> {
    let order = order.ok_or_else(|| HubError::Bug("a move was decided without rank".to_owned()))?;
    let body = Wish::Moved { to, retain_ms: RETAIN_MS };
    // The same bytes whenever they are made: nothing in them depends on when that is.
    let (node, not_before, force) = (from, home.since, true);
    let envelope = Envelope { tenant, node, server, order, home, not_before, force, body };
    let signed = hub.sign(&envelope)?;
    if let Some(mut placed) = txn.get(PLACED, &(from, server))? {
        (placed.order, placed.hash, placed.left) = (order, signed.hash(), true);
        txn.put(PLACED, &(from, server), &placed)?;
    }
    hidden::put_left(hub, txn, (from, server), order, &signed)
}

/// Ends a move before it was decided: the server goes on at its source, which is returned.
pub(super) fn give_up(
    hub: &Hub,
    txn: &mut Txn<'_>,
    key: ServerKey,
    mut known: TransferRecord,
    given: &Given,
    happened: &Happened,
) -> Result<NodeId, HubError> {
    let mut record = find(hub, txn, &key)?;
    let moving = record.moving.take_if(|it| it.transfer == known.transfer);
    if moving.is_some_and(|it| it.is_frozen) {
        record.changed_at = happened.now;
        commit(hub, txn, key, &mut record, false)?;
    } else {
        record.put(hub, txn, &key)?;
    }
    give_back(txn, key, &known)?;
    let activity = match given {
        Given::Cancelled => {
            known.phase = Phase::Cancelled;
            Activity::TransferCancelled
        }
        Given::Failed(why) => {
            let error = why[..why.floor_char_boundary(ERROR_BYTES_MAX)].to_owned();
            known.phase = Phase::Failed;
            known.error = Some(error.clone());
            Activity::TransferFailed { error }
        }
    };
    known.phase_at = happened.now;
    txn.put(TRANSFERS, &key, &known)?;
    txn.delete(OPEN, &key)?;
    happened.record(txn, &key, activity)?;
    Ok(known.from)
}

/// Keeps a move that is over, or as good as that, with a server that changes hands.
pub(in crate::control) fn pass(
    txn: &mut Txn<'_>,
    from: ServerKey,
    to: ServerKey,
) -> Result<(), HubError> {
    if let Some(known) = txn.get(TRANSFERS, &from)? {
        txn.delete(TRANSFERS, &from)?;
        txn.put(TRANSFERS, &to, &known)?;
    }
    if let Some(open) = txn.get(OPEN, &from)? {
        txn.delete(OPEN, &from)?;
        txn.put(OPEN, &to, &open)?;
    }
    Ok(())
}

/// Gives the place at the target back, and has what is there thrown away.
pub(super) fn give_back(
    txn: &mut Txn<'_>,
    key: ServerKey,
    known: &TransferRecord,
) -> Result<(), HubError> {
    for (allocation, _) in &known.ports {
        ports::give_back(txn, known.to, key, *allocation)?;
    }
    txn.delete(RESERVED, &(known.to, key.1))?;
    Ok(txn.put(DROPS, &(known.to, known.transfer), &Drop(key.1))?)
}

/// Returns data that connected nodes have to throw away. One that never comes back keeps its rows and
/// is passed over.
pub(super) fn drops(
    txn: &impl Snapshot,
    connected: &BTreeSet<NodeId>,
    most: usize,
) -> Result<Vec<(NodeId, TransferId, ServerId)>, HubError> {
    let (mut due, mut span) = (Vec::new(), Span::all());
    loop {
        let found = txn.range(DROPS, span.clone(), PAGE_DROPS)?;
        let Some((last, _)) = found.last() else { return Ok(due) };
        span = span.after(last);
        let reached = found.into_iter().filter(|((node, _), _)| connected.contains(node));
        due.extend(reached.map(|((node, transfer), Drop(server))| (node, transfer, server)));
        if due.len() >= most {
            due.truncate(most);
            return Ok(due);
        }
    }
}

/// Notes that a node threw data away, or has none.
pub(super) fn dropped(
    txn: &mut Txn<'_>,
    node: NodeId,
    transfer: TransferId,
) -> Result<(), HubError> {
    Ok(txn.delete(DROPS, &(node, transfer))?)
}
