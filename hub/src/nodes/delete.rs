//! Deletes nodes: a machine that is no part of the installation any more.
//!
//! Where servers live is not deleted: they are moved or deleted first. Neither is a node that still holds
//! facts, as far as it is known: what it measured would never be billed. Who lost the machine says so with
//! [`Force`]: tombstones and copies that it never confirmed then count as done, and the tails of its
//! streams are written down as possibly lost. What it told before stays, with all that was billed from it.
//!
//! Its key opens nothing, for ever. The node is barred first, so that nothing comes while the rest is done
//! in steps; who is interrupted finds it revoked and deletes it again.

use super::registry::find;
use crate::{
    Hub, HubError, audit,
    control::{end_on_node, ports, transfer},
    link::backend::Standing as LinkStanding,
    store::{
        ALLOCATIONS, COUNTERS, GONE_PORTS, INTENTS_OF_NODE, JOIN_TOKENS, KeyRecord, LINK_CHANGES,
        NODE_KEYS, NODE_STATES, NODES, NODES_SEEN, OPEN_EPOCHS, PLACED, PlacedServer, STREAM_GAPS,
        STREAMS, StreamGap, StreamGapKind, stream_number,
    },
};
use mamba_core::{
    audit::Change,
    clock::UnixMs,
    db::{Snapshot, Span, Txn},
    fact::Stream,
    ids::{NodeId, ServerId},
    scope::AdminScope,
    seq::Epoch,
};
use mamba_wire::{api::node::Standing, link::v1::SERVERS_MAX};

/// Rows of one kind that one transaction removes: some hundred writes each.
const STEP: usize = 100;

/// Whether what a node did not confirm, and may hold still, is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Force {
    /// It is lost.
    GiveUp,
    /// Then it is not deleted.
    Keep,
}

/// What stands against the deletion of a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Holds {
    /// Servers that live there.
    servers: usize,
    /// Servers that it was to clear away and did not confirm.
    unconfirmed: usize,
    /// Servers on their way to it.
    coming: usize,
    /// Facts that the hub does not have; `None` when it never said.
    facts: Option<u64>,
    /// Whether it was ever connected.
    is_known: bool,
}

impl Holds {
    /// Pure: why a node is not deleted.
    fn refusal(self, force: Force) -> Option<String> {
        let Self { servers, unconfirmed, coming, facts, is_known } = self;
        if servers + coming > 0 {
            let all = servers + coming;
            return Some(format!("{all} servers live on the node: move or delete them first"));
        }
        if force == Force::GiveUp {
            return None;
        }
        if unconfirmed > 0 {
            return Some(format!(
                "node did not confirm that it cleared {unconfirmed} servers away: repeat with force \
                 if it is lost"
            ));
        }
        match facts {
            Some(0) => None,
            None if !is_known => None,
            Some(facts) => Some(format!(
                "node holds {facts} facts that the hub does not have, such as usage that would \
                 never be billed: repeat with force if it is lost"
            )),
            None => Some(
                "it is not known whether the node holds facts: repeat with force if it is lost"
                    .to_owned(),
            ),
        }
    }
}

impl Hub {
    /// Deletes a node with its ports and open join tokens; its session ends within seconds.
    ///
    /// # Errors
    /// `NotFound`, `Invalid` when the typed name is not its name, or `Refused` for what it holds; then
    /// nothing was changed.
    pub async fn delete_node(
        &self,
        admin: &AdminScope,
        node: NodeId,
        typed: String,
        force: Force,
    ) -> Result<(), HubError> {
        self.write(move |txn| bar(txn, node, &typed, force)).await?;
        self.live().set_standing(node, LinkStanding::Revoked);
        let now = self.now();
        while self.write(move |txn| clear(txn, node, now)).await? {}
        let admin = admin.clone();
        self.write(move |txn| remove(txn, &admin, now, node)).await
    }
}

/// Ends a node's right to connect, if nothing stands against its deletion.
fn bar(txn: &mut Txn<'_>, node: NodeId, typed: &str, force: Force) -> Result<(), HubError> {
    let mut record = find(txn, node)?;
    if record.name != typed {
        return Err(HubError::invalid("name", "must be the name of the node"));
    }
    if let Some(why) = holds(txn, node)?.refusal(force) {
        return Err(HubError::Refused(why));
    }
    record.standing = Standing::Revoked;
    record.why = Some("being deleted by an admin".to_owned());
    Ok(txn.put(NODES, &node, &record)?)
}

fn holds(view: &impl Snapshot, node: NodeId) -> Result<Holds, HubError> {
    let placed = view.prefix(PLACED, &(node,), SERVERS_MAX)?;
    let mut holds = Holds {
        coming: transfer::coming(view, node)?,
        facts: facts_of(view, node)?,
        is_known: view.contains(NODES_SEEN, &node)?,
        ..Holds::default()
    };
    for (key, it) in placed.into_iter().filter(|(_, it)| !it.gone) {
        if it.left || is_deleted(view, key.1, &it)? {
            holds.unconfirmed += 1;
        } else {
            holds.servers += 1;
        }
    }
    Ok(holds)
}

fn facts_of(view: &impl Snapshot, node: NodeId) -> Result<Option<u64>, HubError> {
    let state = view.get(NODE_STATES, &node)?;
    // One that cannot say what waits in its outbox is not one with nothing waiting.
    let told = state.map(|it| it.state.outbox).filter(|lines| !lines.is_empty());
    Ok(told.map(|lines| lines.iter().map(|line| line.unacked).sum()))
}

/// Whether somebody asked for the end of a server that is placed.
fn is_deleted(
    view: &impl Snapshot,
    server: ServerId,
    placed: &PlacedServer,
) -> Result<bool, HubError> {
    let record = view.get(crate::store::SERVERS, &(placed.tenant, server))?;
    Ok(record.is_none_or(|it| it.deletion.is_some()))
}

/// Clears some of what belongs to a node away; says whether there may be more.
fn clear(txn: &mut Txn<'_>, node: NodeId, now: UnixMs) -> Result<bool, HubError> {
    let placed = txn.prefix(PLACED, &(node,), SERVERS_MAX)?.into_iter();
    let open: Vec<_> = placed.filter(|(_, it)| !it.gone).take(STEP).collect();
    for (key, it) in &open {
        if !it.left {
            end_on_node(txn, node, (it.tenant, key.1), now)?;
        }
        // Whoever waits for it to be cleared away waits no more.
        txn.put(PLACED, key, &PlacedServer { gone: true, ..it.clone() })?;
    }
    let freed = txn.prefix(GONE_PORTS, &(node,), STEP)?;
    for (key, _) in &freed {
        txn.delete(GONE_PORTS, key)?;
    }
    let links = txn.prefix(LINK_CHANGES, &(node,), STEP)?;
    for (key, _) in &links {
        txn.delete(LINK_CHANGES, key)?;
    }
    let offered = txn.prefix(ALLOCATIONS, &(node,), STEP)?;
    for ((_, allocation), record) in &offered {
        ports::remove(txn, node, *allocation, record)?;
    }
    let intents = txn.prefix(INTENTS_OF_NODE, &(node,), STEP)?;
    for (key, _) in &intents {
        txn.delete(INTENTS_OF_NODE, key)?;
    }
    let is_more = transfer::forget_node(txn, node, STEP)?;
    let counts = [open.len(), freed.len(), links.len(), offered.len(), intents.len()];
    Ok(is_more || counts.contains(&STEP))
}

/// Removes the node itself. Its key stays known as one that opens nothing.
fn remove(
    txn: &mut Txn<'_>,
    admin: &AdminScope,
    now: UnixMs,
    node: NodeId,
) -> Result<(), HubError> {
    let record = find(txn, node)?;
    let facts = facts_of(txn, node)?;
    txn.put(NODE_KEYS, &record.key, &KeyRecord { node, revoked_at: Some(now) })?;
    for (hash, token) in txn.range(JOIN_TOKENS, Span::all(), 2 * super::TOKENS_MAX)? {
        if token.replaces == Some(node) && token.used.is_none() {
            txn.delete(JOIN_TOKENS, &hash)?;
        }
    }
    for stream in Stream::ALL {
        close(txn, (node, stream_number(stream)), now, facts == Some(0))?;
    }
    txn.delete(NODES_SEEN, &node)?;
    txn.delete(NODE_STATES, &node)?;
    txn.delete(COUNTERS, &node)?;
    txn.delete(NODES, &node)?;
    let text = facts.map_or_else(|| "unknown".to_owned(), |facts| facts.to_string());
    let told = [
        Change::new("node", Some(node.to_string()), None::<String>),
        Change::new("name", Some(record.name), None::<String>),
        Change::set("facts-given-up", text),
    ];
    audit::append_admin(txn, admin, now, "node:delete", told)
}

/// Closes the open epoch of a stream; what may have come after it is written down, unless the node said
/// that there is nothing.
fn close(
    txn: &mut Txn<'_>,
    (node, number): (NodeId, u8),
    now: UnixMs,
    is_empty: bool,
) -> Result<(), HubError> {
    let Some(epoch) = txn.get(OPEN_EPOCHS, &(node, number))?.map(Epoch) else { return Ok(()) };
    txn.delete(OPEN_EPOCHS, &(node, number))?;
    let key = (node, number, epoch);
    let Some(mut record) = txn.get(STREAMS, &key)? else { return Ok(()) };
    record.closed_at = Some(now);
    txn.put(STREAMS, &key, &record)?;
    if is_empty {
        return Ok(());
    }
    let first = record.watermark.next();
    let gap = StreamGap { first, last: None, kind: StreamGapKind::TailPossiblyLost };
    Ok(txn.put(STREAM_GAPS, &(node, number, epoch, now), &gap)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_node_holds_decides_whether_it_is_deleted() {
        let empty = Holds { facts: Some(0), is_known: true, ..Holds::default() };
        for (holds, is_refused, is_refused_by_force) in [
            (empty, false, false),
            (Holds::default(), false, false),
            (Holds { servers: 1, ..empty }, true, true),
            (Holds { coming: 1, ..empty }, true, true),
            (Holds { unconfirmed: 1, ..empty }, true, false),
            (Holds { facts: Some(3), ..empty }, true, false),
            (Holds { facts: None, ..empty }, true, false),
        ] {
            let refused = [Force::Keep, Force::GiveUp].map(|it| holds.refusal(it).is_some());
            assert_eq!(refused, [is_refused, is_refused_by_force], "{holds:?}");
        }
    }
}
