//! Gives servers to other tenants.
//!
//! It happens in one transaction, at one moment of the hub's clock. What names the owner is written anew;
//! what was before stays with the former one: the hours that it is billed for, its activity and audit
//! trail, and a record of the server that says that it is not there any more. From that moment on usage
//! is the new owner's, whatever its node knows ([`mamba_core::usage::owners`]): neither pays for the
//! other, and a node that is cut off need not be waited for.
//!
//! Sub-users are not kept: whom the former owner let in is nobody to the new one. Their grants are void
//! with the change itself, for a grant counts only under the tenant that gave it; the rows are removed
//! after it, so that the transaction stays small. What the hub forbids stays forbidden: a suspended
//! server is suspended for whoever owns it.
//!
//! A hub that came back from an older backup learns from the node whose the server is and since when.
//! Of two changes that are both lost it learns the second: what names the owner between them is set
//! aside for an administrator, and billed to nobody.
//!
//! The node learns of it as of any wish. A process that runs is stopped there and started again, since it
//! stands in the network of its former owner.

use super::{
    hidden::{self, Whole},
    install, leases,
    transfer::{self, TRANSFERS},
    wish::{Happened, ServerKey, commit},
};
use crate::{
    Hub, HubError, audit, blueprints,
    store::{
        ALLOCATIONS, EXTERNAL_IDS, INTENTS, INTENTS_OF_NODE, IntentState, OBSERVED, OWNERS, PLACED,
        SERVER_TENANTS, SERVERS, ServerRecord, ServerRef, TenantRef,
    },
    tenants::{self, check_quota},
};
use mamba_core::{
    audit::{AuditEntry, Change, HUB_CHAIN},
    clock::UnixMs,
    db::{Snapshot, Txn},
    desired::Home,
    error::chain,
    fact::Activity,
    ids::{EventId, NodeId, ServerId, TenantId},
    lifecycle::transfer::Phase,
    scope::TenantScope,
};
use mamba_wire::{api::server::Server, link::v1::INTENTS_MAX};

/// Most owners of one server in the course of time: each of its facts is held against all of them.
pub(crate) const OWNERS_MAX: usize = 100;

impl Hub {
    /// Gives a server to the tenant of `to`. Durable on return; from then on the former owner has no
    /// part in it.
    ///
    /// # Errors
    /// `NotFound`; `Invalid` for the tenant; `Refused` for a server that is being deleted, installed or
    /// moved, and when it is more than the quota of the new owner allows. Nothing was changed.
    pub async fn give_server(
        &self,
        from: &TenantScope,
        to: &TenantScope,
        server: ServerId,
    ) -> Result<Server, HubError> {
        let (given, taken) = (Happened::of(self, from), self.new_id(EventId::new));
        let keys = ((from.tenant(), server), (to.tenant(), server));
        // It may have owned it before: nobody whom it let in then comes back with it.
        self.dismiss(keys.1).await?;
        let hub = self.clone();
        let node = self.write(move |txn| give(&hub, txn, keys, &given, taken)).await?;
        self.live().changed(node);
        if let Err(err) = self.dismiss(keys.0).await {
            // They are void all the same.
            tracing::warn!(%server, error = chain(&err), "sub-users of a former owner are still listed");
        }
        self.server(to, server)
    }

    /// Removes the sub-users of a server under a tenant that does not own it.
    async fn dismiss(&self, key: ServerKey) -> Result<(), HubError> {
        while self.write(move |txn| dismiss(txn, key)).await? {}
        Ok(())
    }
}

/// Removes some of them; says whether there may be more.
fn dismiss(txn: &mut Txn<'_>, (tenant, server): ServerKey) -> Result<bool, HubError> {
    let owner = txn.get(SERVER_TENANTS, &server)?;
    if owner.is_none_or(|TenantRef(owner)| owner == tenant) {
        return Ok(false);
    }
    tenants::dismiss(txn, (tenant, server))
}

/// Returns the owners of a server in the order of time; none when it never changed hands.
pub(crate) fn owners(
    view: &impl Snapshot,
    server: ServerId,
) -> Result<Vec<(UnixMs, TenantId)>, HubError> {
    let rows = view.prefix(OWNERS, &(server,), OWNERS_MAX)?;
    Ok(rows.into_iter().map(|((_, from), TenantRef(tenant))| (from, tenant)).collect())
}

fn give(
    hub: &Hub,
    txn: &mut Txn<'_>,
    (from, to): (ServerKey, ServerKey),
    happened: &Happened,
    taken: EventId,
) -> Result<NodeId, HubError> {
    let refused = |why: &str| Err(HubError::Refused(why.to_owned()));
    let record = Whole::find_kept(hub, txn, &from)?;
    if from.0 == to.0 {
        return Err(HubError::invalid("tenant", "owns the server already"));
    }
    // Tenants without a record: the hub's own tests have such.
    if tenants::lineage(txn, to.0)?.is_empty() && !tenants::lineage(txn, from.0)?.is_empty() {
        return Err(HubError::NotFound { what: "tenant" });
    }
    install::check_closed(txn, &from, &record)?;
    if txn.get(TRANSFERS, &from)?.is_some_and(|it| it.phase == Phase::Arriving) {
        return refused("server is being moved to another node: wait until it has arrived");
    }
    let past = owners(txn, from.1)?;
    if past.len() >= OWNERS_MAX {
        return refused("server changed hands too often");
    }
    let at = moment(txn, from, &past, happened.now)?;
    let owners = record.home.owners.saturating_add(1);
    let home = Home { owners, owned_since: at, ..record.home };
    let mut record = pass(hub, txn, (from, to), record, home)?;
    record.changed_at = happened.now;
    commit(hub, txn, to, &mut record, false)?;
    check_quota(txn, to.0)?;
    happened.record(txn, &from, Activity::GivenAway)?;
    let received = Happened { event: taken, ..happened.clone() };
    received.record(txn, &to, Activity::TakenOver)?;
    let change = Change::new("tenant", Some(from.0.to_string()), Some(to.0.to_string()));
    let entry = AuditEntry::new(happened.now, &happened.actor, happened.origin, "server:give");
    audit::append(txn, HUB_CHAIN, entry.about(from.1).with([change]))?;
    Ok(record.node)
}

/// Returns the moment of the change: now, but after everything that was decided before, also by a clock
/// that was ahead.
fn moment(
    txn: &impl Snapshot,
    key: ServerKey,
    past: &[(UnixMs, TenantId)],
    now: UnixMs,
) -> Result<UnixMs, HubError> {
    let leased = leases::newest(txn, key)?.map(|(from, _)| from);
    let changed = past.last().map(|(from, _)| *from);
    let before = leased.into_iter().chain(changed).max();
    Ok(before.map_or(now, |before| now.max(before.plus(1))))
}

/// Writes everything that names the owner anew, from the moment that `home` says. Returns the record,
/// which the caller stores with its next wish.
pub(crate) fn pass(
    hub: &Hub,
    txn: &mut Txn<'_>,
    (from, to): (ServerKey, ServerKey),
    mut record: Whole,
    home: Home,
) -> Result<Whole, HubError> {
    let (server, at) = (from.1, home.owned_since);
    if owners(txn, server)?.is_empty() {
        txn.put(OWNERS, &(server, UnixMs(0)), &TenantRef(from.0))?;
    }
    txn.put(OWNERS, &(server, at), &TenantRef(to.0))?;
    txn.put(SERVER_TENANTS, &server, &TenantRef(to.0))?;
    leases::end(txn, from, None, at)?;
    leases::begin(txn, to, record.node, at)?;
    for allocation in &record.allocations {
        let place = (record.node, *allocation);
        if let Some(mut known) = txn.get(ALLOCATIONS, &place)?.filter(|it| it.server == Some(from))
        {
            known.server = Some(to);
            txn.put(ALLOCATIONS, &place, &known)?;
        }
    }
    if let Some(name) = &record.external_id {
        txn.put(EXTERNAL_IDS, &name.as_str().to_owned(), &ServerRef(to.0, server))?;
    }
    if let Some(mut placed) = txn.get(PLACED, &(record.node, server))? {
        placed.tenant = to.0;
        txn.put(PLACED, &(record.node, server), &placed)?;
    }
    if let Some(observed) = txn.get(OBSERVED, &from)? {
        txn.delete(OBSERVED, &from)?;
        txn.put(OBSERVED, &to, &observed)?;
    }
    call_off(txn, from, record.node, at)?;
    transfer::pass(txn, from, to)?;
    blueprints::pass_use(txn, to, &record)?;
    hidden::pass(txn, &from)?;
    txn.put(SERVERS, &from, &former(&record, at))?;
    record.home = home;
    record.put(hub, txn, &to)?;
    Ok(record)
}

/// What stays with the former owner: what it was called, and that it is gone.
fn former(record: &ServerRecord, at: UnixMs) -> ServerRecord {
    let mut former = record.clone();
    former.passed_on = Some(at);
    (former.moving, former.has_secrets, former.external_id) = (None, false, None);
    former.allocations.clear();
    former.choices.ports.clear();
    former.choices.variables.clear();
    former
}

/// Takes back power actions that the node has not answered: who gave them has no say any more.
fn call_off(txn: &mut Txn<'_>, key: ServerKey, node: NodeId, at: UnixMs) -> Result<(), HubError> {
    for ((node, intent), waiting) in txn.prefix(INTENTS_OF_NODE, &(node,), INTENTS_MAX)? {
        if (waiting.tenant, waiting.server) != key {
            continue;
        }
        let place = (key.0, key.1, intent);
        if let Some(mut record) = txn.get(INTENTS, &place)? {
            (record.state, record.state_at) = (IntentState::Cancelled, at);
            txn.put(INTENTS, &place, &record)?;
        }
        txn.delete(INTENTS_OF_NODE, &(node, intent))?;
    }
    Ok(())
}
