//! Takes over wishes that a node holds and the hub lost: after the restore of an older backup, the
//! nodes know better what was wanted.

use super::{
    origin::{choices, origin},
    registry::raise,
};
use crate::{
    Hub, HubError, blueprints,
    control::{
        commit,
        hidden::{self, Whole},
        holder, leases, pass, ports,
        transfer::{came_home, lost_leaving, lost_moved, taken_back},
    },
    store::{
        ALLOCATIONS, AlarmKind, AllocationRecord, Deletion, PLACED, PlacedServer, SERVER_TENANTS,
        SERVERS, ServerRecord, TenantRef,
    },
};
use mamba_core::{
    clock::UnixMs,
    db::{Snapshot as _, Txn},
    desired::{Envelope, Home, SignedEnvelope, Verdict, Wish, judge},
    ids::{AllocationId, EventId, NodeId, TransferId},
    lifecycle::Actor,
    placement::Size,
    scope::NodeScope,
    server::{PortBinding, ServerSpec},
};
use mamba_wire::{link::v1::SERVERS_MAX, net::keys::EnvelopeVerifier};

impl Hub {
    /// Takes over wishes of the node that are signed by this hub, meant for this node, and newer
    /// than what the hub has. Others are left alone.
    ///
    /// # Errors
    /// `Unavailable`; then some of them may have been taken over.
    pub async fn adopt(
        &self,
        scope: &NodeScope,
        envelopes: Vec<SignedEnvelope>,
    ) -> Result<(), HubError> {
        let node = scope.node();
        let verifier = EnvelopeVerifier::new(self.keys().envelopes.public());
        for signed in envelopes.into_iter().take(SERVERS_MAX) {
            let Ok(envelope) = verifier.open(&signed) else { continue };
            if envelope.node != node {
                continue;
            }
            let alarms = [self.new_id(EventId::new), self.new_id(EventId::new)];
            let now = self.now();
            let hub = self.clone();
            let told =
                self.write(move |txn| take(&hub, txn, &envelope, &signed, now, alarms)).await?;
            if let Some(told) = told {
                self.live().changed(told);
            }
        }
        self.live().changed(node);
        Ok(())
    }
}

fn take(
    hub: &Hub,
    txn: &mut Txn<'_>,
    envelope: &Envelope,
    signed: &SignedEnvelope,
    now: UnixMs,
    alarms: [EventId; 2],
) -> Result<Option<NodeId>, HubError> {
    let Envelope { tenant, node, server, order, home, .. } = *envelope;
    let key = (tenant, server);
    if let Some(known) = given_away(hub, txn, envelope)? {
        let text = "this server belongs to another tenant than the hub knew: it was given to it";
        raise(txn, alarms[0], now, (Some(node), Some(key)), AlarmKind::WishAdopted, text)?;
        // What was wanted of it since the restore counts for more than what the node holds.
        if home.moves <= known.home.moves && (known.node != node || order <= known.order) {
            let mut record = Whole::of(hub, txn, &key, known)?;
            record.changed_at = now;
            commit(hub, txn, key, &mut record, false)?;
            return Ok(Some(record.node));
        }
    }
    let owner = txn.get(SERVER_TENANTS, &server)?;
    let placed = txn.get(PLACED, &(node, server))?;
    // A server that the hub knows under another owner, or on another node, was not lost.
    let known = txn.get(SERVERS, &key)?;
    let is_others = owner.is_some_and(|TenantRef(owner)| owner != tenant);
    let former = known.as_ref().filter(|it| it.node != node).map(|it| (it.node, it.home));
    // But where it was moved to is known best by whoever holds the newest of its homes.
    let came = former.filter(|(_, known)| home.moves > known.moves).map(|(former, _)| former);
    let is_elsewhere = is_others || (former.is_some() && came.is_none());
    // The record of a deleted server outlives its place: a disk that went back brings nothing back.
    let is_older = known.as_ref().is_some_and(|record| order <= record.order);
    let held = placed.as_ref().map(|it| (it.order, it.hash));
    let is_news = judge(held, (order, signed.hash())) == Verdict::Adopt;
    if is_elsewhere || (came.is_none() && (is_older || !is_news)) {
        return Ok(None);
    }
    if let (Some(former), Some(known), Some(spec)) = (came, &known, envelope.body.spec()) {
        let told = take_home(hub, txn, envelope, (spec, known), former, now)?;
        let text = "this server lives on another node than the hub knew: it was moved";
        raise(txn, alarms[0], now, (Some(node), Some(key)), AlarmKind::WishAdopted, text)?;
        return Ok(Some(told));
    }
    let mut taken = Vec::new();
    let record = taken_over(hub, txn, envelope, (known, came), (now, alarms[0]), &mut taken)?;
    let Some(record) = record else { return Ok(None) };
    if leases::newest(txn, key)?.is_none() {
        leases::begin(txn, key, node, UnixMs(0))?;
    }
    let (ending, hash) = (record.is_ending(), signed.hash());
    let held = Some(order);
    let promised = Size::of(&record.choices.limits);
    let (left, gone, refused) = (false, false, None);
    let placed = PlacedServer { tenant, order, hash, ending, promised, left, gone, held, refused };
    txn.put(PLACED, &(node, server), &placed)?;
    txn.put(SERVER_TENANTS, &server, &TenantRef(tenant))?;
    hidden::put_wish(hub, txn, &key, order, signed)?;
    record.put(hub, txn, &key)?;
    blueprints::note_use(txn, key, &record)?;
    let text = "what is wanted of this server was taken over from its node";
    let about = (Some(node), Some(key));
    raise(txn, alarms[0], now, about, AlarmKind::WishAdopted, text)?;
    if taken.is_empty() {
        return Ok(None);
    }
    let text = format!(
        "this server was taken over from its node without what belongs to another server by now: \
         {}; the two cannot run at one time: make this one anew",
        taken.join(", ")
    );
    raise(txn, alarms[1], now, about, AlarmKind::PortTaken, &text)?;
    Ok(None)
}

/// Takes a server for the tenant's that the node knows as its owner, when it changed hands in a life of
/// the hub that was lost. Returns its record then.
fn given_away(
    hub: &Hub,
    txn: &mut Txn<'_>,
    envelope: &Envelope,
) -> Result<Option<ServerRecord>, HubError> {
    let Envelope { tenant, server, home, .. } = *envelope;
    let Some(TenantRef(owner)) = txn.get(SERVER_TENANTS, &server)? else { return Ok(None) };
    let Some(known) = txn.get(SERVERS, &(owner, server))? else { return Ok(None) };
    if owner == tenant || home.owners <= known.home.owners {
        return Ok(None);
    }
    let (owners, owned_since) = (home.owners, home.owned_since);
    let home = Home { owners, owned_since, ..known.home };
    let record = Whole::of(hub, txn, &(owner, server), known)?;
    pass(hub, txn, ((owner, server), (tenant, server)), record, home)?;
    txn.get(SERVERS, &(tenant, server)).map_err(HubError::from)
}

/// Takes a server for one of the node that holds its newest home, with what was wanted of it last.
/// Returns the node where the hub took it to be.
fn take_home(
    hub: &Hub,
    txn: &mut Txn<'_>,
    envelope: &Envelope,
    (spec, known): (&ServerSpec, &ServerRecord),
    former: NodeId,
    now: UnixMs,
) -> Result<NodeId, HubError> {
    let key = (envelope.tenant, envelope.server);
    let mut taken = Vec::new();
    let there = existing(txn, envelope, spec, Some(known.clone()), now, &mut taken)?;
    for allocation in &known.allocations {
        ports::give_back(txn, former, key, *allocation)?;
    }
    let mut record = if envelope.order > known.order {
        Whole::made(there)
    } else {
        let mut record = Whole::of(hub, txn, &key, known.clone())?;
        (record.node, record.home, record.allocations) =
            (there.node, there.home, there.allocations);
        record.choices.ports = there.choices.ports;
        record
    };
    let told = came_home(hub, txn, key, &mut record, former, now)?;
    if let Wish::Leaving { transfer, to, .. } = &envelope.body {
        lost_leaving(txn, key, &mut record, (*transfer, *to), now)?;
    }
    commit(hub, txn, key, &mut record, false)?;
    Ok(told)
}

/// Names a move of which only its end is known.
fn lost_transfer(event: EventId) -> TransferId {
    TransferId::from_bytes(event.to_bytes())
}

/// Makes the record of what a node holds. `came` is the node from which the server came to it since.
/// `None` when nothing follows from it.
fn taken_over(
    hub: &Hub,
    txn: &mut Txn<'_>,
    envelope: &Envelope,
    (known, came): (Option<ServerRecord>, Option<NodeId>),
    (now, event): (UnixMs, EventId),
    taken: &mut Vec<String>,
) -> Result<Option<Whole>, HubError> {
    let Envelope { tenant, node, server, order, home, .. } = *envelope;
    let key = (tenant, server);
    Ok(Some(match (&envelope.body, known) {
        (Wish::Exist(spec), known) => {
            let made = existing(txn, envelope, spec, known, now, taken)?;
            let mut record = Whole::made(made);
            taken_back(txn, key, &mut record, now)?;
            record
        }
        (Wish::Leaving { spec, transfer, to }, known) => {
            let made = existing(txn, envelope, spec, known, now, taken)?;
            let mut record = Whole::made(made);
            lost_leaving(txn, key, &mut record, (*transfer, *to), now)?;
            record
        }
        (Wish::Moved { to, .. }, Some(record)) if record.node == node => {
            let record = ServerRecord { order, changed_at: now, ..record };
            let mut record = Whole::of(hub, txn, &key, record)?;
            lost_moved(txn, key, &mut record, (lost_transfer(event), *to), home, now)?;
            record
        }
        (Wish::Deleted { retain_ms }, Some(mut record)) => {
            record.deletion = Some(Deletion {
                asked_at: now,
                by: Actor::Hub,
                not_before: envelope.not_before,
                retain_ms: *retain_ms,
                done_at: None,
            });
            let mut record = ServerRecord { order, changed_at: now, ..record };
            if let Some(former) = came {
                // It was moved before it was deleted: its ports there are nobody's any more.
                for allocation in std::mem::take(&mut record.allocations) {
                    ports::give_back(txn, former, key, allocation)?;
                }
                record.choices.ports.clear();
                (record.node, record.home) = (node, home);
                came_home(hub, txn, key, &mut record, former, now)?;
            } else {
                taken_back(txn, key, &mut record, now)?;
            }
            Whole::of(hub, txn, &key, record)?
        }
        // Neither made nor deleted in the life that this hub remembers: nothing is left to do.
        (Wish::Deleted { .. } | Wish::Moved { .. }, _) => return Ok(None),
    }))
}

/// Makes the record again from what was rendered from it. Ports that another server has by now are
/// told in `taken`.
fn existing(
    txn: &mut Txn<'_>,
    envelope: &Envelope,
    spec: &ServerSpec,
    known: Option<ServerRecord>,
    now: UnixMs,
    taken: &mut Vec<String>,
) -> Result<ServerRecord, HubError> {
    let origin = origin(txn, spec, known.as_ref())?;
    let blueprint = origin.as_ref().map(|(_, _, blueprint)| blueprint);
    let mut allocations = Vec::new();
    for binding in &spec.ports {
        // Named also when another server has it, for the node holds a wish with this port.
        let (allocation, is_its) = allocation(txn, envelope, binding)?;
        allocations.push(allocation);
        if !is_its {
            taken.push(format!("port {} of {}", binding.port, binding.ip));
        }
    }
    let choices = choices(blueprint, spec);
    // Of one that the hub does not know any more the name stays.
    let remembered = known.as_ref().map(|it| (it.blueprint.clone(), it.blueprint_version));
    let found = origin.map(|(key, version, _)| (key, version));
    let (blueprint, blueprint_version) = found.or(remembered).unwrap_or_default();
    Ok(ServerRecord {
        node: envelope.node,
        home: envelope.home,
        moving: None,
        passed_on: None,
        blueprint,
        blueprint_version,
        has_secrets: false,
        choices,
        allocations,
        allocation_limit: known.as_ref().map_or(0, |it| it.allocation_limit),
        backup_limit: known.as_ref().map_or(0, |it| it.backup_limit),
        description: known.as_ref().and_then(|it| it.description.clone()),
        external_id: known.as_ref().and_then(|it| it.external_id.clone()),
        skip_scripts: known.as_ref().is_some_and(|it| it.skip_scripts),
        order: envelope.order,
        made_by: known.as_ref().map_or(Actor::Hub, |it| it.made_by.clone()),
        made_at: known.as_ref().map_or(now, |it| it.made_at),
        changed_at: now,
        deletion: None,
    })
}

/// Returns the allocation of a port, made again when it was lost, and whether it is the server's
/// now. It is never taken from another server that the hub knows.
fn allocation(
    txn: &mut Txn<'_>,
    envelope: &Envelope,
    binding: &PortBinding,
) -> Result<(AllocationId, bool), HubError> {
    let node = envelope.node;
    let owner = Some((envelope.tenant, envelope.server));
    let most = crate::control::ALLOCATIONS_MAX;
    let found = txn.prefix(ALLOCATIONS, &(node,), most)?;
    let is_it =
        |it: &AllocationRecord| it.binding.ip == binding.ip && it.binding.port == binding.port;
    let (allocation, record) = match found.into_iter().find(|(_, it)| is_it(it)) {
        Some(((_, allocation), it)) => {
            if holder(txn, &it)?.is_some_and(|holder| holder != envelope.server) {
                return Ok((allocation, false));
            }
            (allocation, AllocationRecord { server: owner, ..it })
        }
        None => {
            let free = AllocationRecord::free(binding.clone());
            let record = AllocationRecord { server: owner, ..free };
            (lost_id(node, binding), record)
        }
    };
    ports::put(txn, node, allocation, &record)?;
    Ok((allocation, true))
}

/// Returns the same id for the same socket, since the change may run twice.
fn lost_id(node: NodeId, binding: &PortBinding) -> AllocationId {
    let text = format!("{node} {} {} {:?}", binding.ip, binding.port, binding.protocol);
    let hash = blake3::derive_key("mamba 2026 id of an allocation that was lost", text.as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash[..16]);
    AllocationId::from_bytes(bytes)
}
