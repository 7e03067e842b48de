//! Turns a server's record into its next envelope, inside the transaction that changes the record.

use super::hidden::{self, Whole};
use crate::{
    Hub, HubError, audit, blueprints,
    store::{
        ACTIVITY, ActivityRecord, AllocationRecord, EVENTS, Moving, PLACED, PlacedServer, SERVERS,
        ServerRecord,
    },
};
use mamba_core::{
    audit::{AuditEntry, Change, Origin, event_of},
    blueprint::Blueprint,
    clock::UnixMs,
    db::{Snapshot, Txn},
    desired::{Envelope, Order, Wish, is_within_mass_limit},
    fact::Activity,
    ids::{EventId, NodeId, ServerId, TenantId},
    lifecycle::Actor,
    placement::Size,
    scope::TenantScope,
    server::ServerSpec,
};
use mamba_wire::{api::server::Server, link::v1::SERVERS_MAX};

/// Returns the blueprint of a server, in the version that it is made from.
pub(super) fn blueprint_of(
    txn: &impl Snapshot,
    record: &ServerRecord,
) -> Result<Blueprint, HubError> {
    blueprints::version(txn, &record.blueprint, record.blueprint_version)
}

/// Names one server.
pub(crate) type ServerKey = (TenantId, ServerId);

impl Hub {
    /// Changes what is wanted of a server in one write, has its node told, and shows the server. `change`
    /// returns the node.
    pub(super) async fn make_wish(
        &self,
        scope: &TenantScope,
        server: ServerId,
        change: impl Fn(&Self, &mut Txn<'_>, ServerKey, &Happened) -> Result<NodeId, HubError>
        + Send
        + 'static,
    ) -> Result<Server, HubError> {
        let (hub, key) = (self.clone(), (scope.tenant(), server));
        let happened = Happened::of(self, scope);
        let node = self.write(move |txn| change(&hub, txn, key, &happened)).await?;
        self.live().changed(node);
        self.server(scope, server)
    }
}

/// Returns the record of a server that exists for the tenant: not one that is deleted and gone.
pub(crate) fn find(txn: &impl Snapshot, key: &ServerKey) -> Result<ServerRecord, HubError> {
    let record = txn.get(SERVERS, key)?.filter(ServerRecord::is_present);
    record.ok_or(HubError::NotFound { what: "server" })
}

/// Returns the record of a server whose deletion was not asked for.
pub(super) fn find_alive(txn: &impl Snapshot, key: &ServerKey) -> Result<ServerRecord, HubError> {
    let record = find(txn, key)?;
    match record.deletion {
        None => Ok(record),
        Some(_) => Err(HubError::Refused("server is being deleted".to_owned())),
    }
}

/// Returns the record of a server that is neither being deleted nor moved.
pub(super) fn find_kept(txn: &impl Snapshot, key: &ServerKey) -> Result<ServerRecord, HubError> {
    let record = find_alive(txn, key)?;
    check_stays(&record)?;
    Ok(record)
}

/// Refuses what cannot be done to a server that is being moved.
pub(super) fn check_stays(record: &ServerRecord) -> Result<(), HubError> {
    match record.moving {
        None => Ok(()),
        Some(_) => {
            let why = "server is being moved to another node: wait, or cancel the move first";
            Err(HubError::Refused(why.to_owned()))
        }
    }
}

/// Returns the rank of a server's next wish.
pub(super) fn next_order(hub: &Hub, record: &ServerRecord) -> Order {
    Order { incarnation: hub.incarnation(), generation: record.order.generation.next() }
}

/// Stores `record` as the next generation: signs its envelope and updates the node's index. Sets
/// `record.order`.
pub(crate) fn commit(
    hub: &Hub,
    txn: &mut Txn<'_>,
    (tenant, server): ServerKey,
    record: &mut Whole,
    force: bool,
) -> Result<(), HubError> {
    record.order = next_order(hub, record);
    let moving = record.moving.filter(|it| it.is_frozen);
    let (not_before, body) = match (&record.deletion, moving) {
        (Some(deletion), _) => {
            (deletion.not_before, Wish::Deleted { retain_ms: deletion.retain_ms })
        }
        (None, None) => (UnixMs(0), Wish::Exist(Box::new(render(txn, record)?))),
        (None, Some(Moving { transfer, to, .. })) => {
            let spec = Box::new(render(txn, record)?);
            (UnixMs(0), Wish::Leaving { spec, transfer, to })
        }
    };
    let (node, order, home) = (record.node, record.order, record.home);
    // What stops a server for its move was asked for this one server.
    let force = force || moving.is_some();
    let envelope = Envelope { tenant, node, server, order, home, not_before, force, body };
    let signed = hub.sign(&envelope)?;
    let placed = txn.get(PLACED, &(node, server))?;
    let (held, refused) = placed.map_or((None, None), |it| (it.held, it.refused));
    let ending = record.is_ending();
    let hash = signed.hash();
    let promised = Size::of(&record.choices.limits);
    let (left, gone) = (false, false);
    let placed = PlacedServer { tenant, order, hash, ending, promised, left, gone, held, refused };
    txn.put(PLACED, &(node, server), &placed)?;
    hidden::put_wish(hub, txn, &(tenant, server), order, &signed)?;
    record.put(hub, txn, &(tenant, server))?;
    blueprints::note_use(txn, (tenant, server), record)
}

fn render(txn: &impl Snapshot, record: &ServerRecord) -> Result<ServerSpec, HubError> {
    Ok(blueprint_of(txn, record)?.render(record.choices.clone())?)
}

/// Refuses a change after which the node would have to end too many servers that it still runs (D2).
pub(super) fn check_mass_limit(
    txn: &impl Snapshot,
    node: NodeId,
    ending_now: ServerId,
) -> Result<(), HubError> {
    let placed = txn.prefix(PLACED, &(node,), SERVERS_MAX)?;
    let present = || placed.iter().filter(|(_, it)| !it.gone);
    // What the node has taken over already is no longer ahead of it.
    let is_ahead = |it: &PlacedServer| it.ending && it.held.is_none_or(|held| held < it.order);
    let ending =
        present().filter(|((_, server), it)| *server == ending_now || is_ahead(it)).count();
    let total = present().count();
    if is_within_mass_limit(total, ending) {
        return Ok(());
    }
    Err(HubError::NeedsForce { total, ending })
}

/// Returns the server that has an allocation. A server that its node deleted has none any more;
/// its allocations are not written for that, so that a batch of facts stays a small transaction.
pub(crate) fn holder(
    txn: &impl Snapshot,
    allocation: &AllocationRecord,
) -> Result<Option<ServerId>, HubError> {
    let Some(key) = allocation.server else { return Ok(None) };
    let record = txn.get(SERVERS, &key)?;
    Ok(record.filter(ServerRecord::is_present).map(|_| key.1))
}

/// One event that the hub itself makes.
#[derive(Clone)]
pub(super) struct Happened {
    pub(super) event: EventId,
    pub(super) now: UnixMs,
    pub(super) actor: Actor,
    pub(super) origin: Origin,
}

impl Happened {
    /// Draws what a change needs before its transaction.
    pub(super) fn now(hub: &Hub, actor: &Actor) -> Self {
        let (event, origin) = (hub.new_id(EventId::new), Origin::default());
        Self { event, now: hub.now(), actor: actor.clone(), origin }
    }

    /// Draws it for what is done in a scope.
    pub(super) fn of(hub: &Hub, scope: &TenantScope) -> Self {
        Self { origin: scope.origin(), ..Self::now(hub, scope.actor()) }
    }

    /// Writes the event in the transaction of what it tells.
    pub(super) fn record(
        &self,
        txn: &mut Txn<'_>,
        key: &ServerKey,
        activity: Activity,
    ) -> Result<(), HubError> {
        self.record_change(txn, key, activity, Vec::new())
    }

    /// Writes the event with what became of what.
    pub(super) fn record_change(
        &self,
        txn: &mut Txn<'_>,
        key: &ServerKey,
        activity: Activity,
        changes: Vec<Change>,
    ) -> Result<(), HubError> {
        self.tell(txn, key, &event_of(&activity), changes)?;
        self.list(txn, key, activity)
    }

    /// Writes an entry of the audit trail alone.
    pub(super) fn tell(
        &self,
        txn: &mut Txn<'_>,
        key: &ServerKey,
        event: &str,
        changes: Vec<Change>,
    ) -> Result<(), HubError> {
        let entry = AuditEntry::new(self.now, &self.actor, self.origin, event);
        audit::append(txn, key.0, entry.about(key.1).with(changes))
    }

    /// Lists the event among what the server did alone.
    pub(super) fn list(
        &self,
        txn: &mut Txn<'_>,
        key: &ServerKey,
        activity: Activity,
    ) -> Result<(), HubError> {
        let record = ActivityRecord {
            at: self.now,
            received_at: self.now,
            actor: self.actor.clone(),
            activity,
        };
        note(txn, key, self.event, &record)
    }
}

/// Lists an event of a server, which is not listed yet.
pub(crate) fn note(
    txn: &mut Txn<'_>,
    (tenant, server): &ServerKey,
    event: EventId,
    record: &ActivityRecord,
) -> Result<(), HubError> {
    // The place in the list is never ahead of hub time, so that a node with a calendar ten years
    // ahead does not stay on top for ten years.
    let place = record.at.min(record.received_at);
    txn.put(EVENTS, &(*tenant, event), &place.0)?;
    txn.put(ACTIVITY, &(*tenant, *server, place, event), record)?;
    Ok(())
}
