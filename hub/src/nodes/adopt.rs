//! Takes over wishes that a node holds and the hub lost: after the restore of an older backup, the
//! nodes know better what was wanted.

use super::registry::raise;
use crate::{
    Hub, HubError, blueprints,
    control::{
        hidden::{self, Whole},
        holder, ports,
    },
    store::{
        ALLOCATIONS, AlarmKind, AllocationRecord, Deletion, LEASES, Lease, PLACED, PlacedServer,
        SERVER_TENANTS, SERVERS, ServerRecord, TenantRef,
    },
};
use mamba_core::{
    blueprint::{Blueprint, Choices, Pick},
    clock::UnixMs,
    db::{Snapshot as _, Txn},
    desired::{Envelope, SignedEnvelope, Verdict, Wish, judge},
    ids::{AllocationId, EventId, NodeId},
    lifecycle::Actor,
    placement::Size,
    scope::NodeScope,
    server::{InstallAsk, PortBinding, ServerSpec},
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
            self.write(move |txn| take(&hub, txn, &envelope, &signed, now, alarms)).await?;
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
) -> Result<(), HubError> {
    let Envelope { tenant, node, server, order, .. } = *envelope;
    let key = (tenant, server);
    let owner = txn.get(SERVER_TENANTS, &server)?;
    let placed = txn.get(PLACED, &(node, server))?;
    // A server that the hub knows under another owner, or on another node, was not lost.
    let known = txn.get(SERVERS, &key)?;
    let is_elsewhere = owner.is_some_and(|TenantRef(owner)| owner != tenant)
        || known.as_ref().is_some_and(|record| record.node != node);
    // The record of a deleted server outlives its place: a disk that went back brings nothing back.
    let is_older = known.as_ref().is_some_and(|record| order <= record.order);
    let held = placed.as_ref().map(|it| (it.order, it.hash));
    if is_elsewhere || is_older || judge(held, (order, signed.hash())) != Verdict::Adopt {
        return Ok(());
    }
    let mut taken = Vec::new();
    let record = match (&envelope.body, known) {
        (Wish::Exist(spec), known) => {
            Whole::made(existing(txn, envelope, spec, known, now, &mut taken)?)
        }
        (Wish::Deleted { retain_ms }, Some(mut record)) => {
            record.deletion = Some(Deletion {
                asked_at: now,
                by: Actor::Hub,
                not_before: envelope.not_before,
                retain_ms: *retain_ms,
                done_at: None,
            });
            Whole::of(hub, txn, &key, ServerRecord { order, changed_at: now, ..record })?
        }
        // Neither made nor deleted in the life that this hub remembers: nothing is left to do.
        (Wish::Deleted { .. }, None) => return Ok(()),
    };
    if txn.prefix(LEASES, &key, 1)?.is_empty() {
        let lease = Lease { node, until: None };
        txn.put(LEASES, &(tenant, server, UnixMs(0)), &lease)?;
    }
    let (ending, hash) = (record.is_ending(), signed.hash());
    let held = Some(order);
    let promised = Size::of(&record.choices.limits);
    let (gone, refused) = (false, None);
    let placed = PlacedServer { tenant, order, hash, ending, promised, gone, held, refused };
    txn.put(PLACED, &(node, server), &placed)?;
    txn.put(SERVER_TENANTS, &server, &TenantRef(tenant))?;
    hidden::put_wish(hub, txn, &key, order, signed)?;
    record.put(hub, txn, &key)?;
    blueprints::note_use(txn, key, &record)?;
    let text = "what is wanted of this server was taken over from its node";
    let about = (Some(node), Some(key));
    raise(txn, alarms[0], now, about, AlarmKind::WishAdopted, text)?;
    if taken.is_empty() {
        return Ok(());
    }
    let text = format!(
        "this server was taken over from its node without what belongs to another server by now: \
         {}; the two cannot run at one time: make this one anew",
        taken.join(", ")
    );
    raise(txn, alarms[1], now, about, AlarmKind::PortTaken, &text)
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
    let key = known.as_ref().map(|it| (it.blueprint.clone(), it.blueprint_version));
    let blueprint = match &key {
        Some((key, version)) => blueprints::version(txn, key, *version).ok(),
        None => {
            let runs = |it: &Blueprint| it.images.iter().any(|it| it.image == spec.image);
            Blueprint::built_in().into_iter().find(runs)
        }
    };
    let blueprint = blueprint.as_ref();
    let mut variables = spec.environment.clone();
    variables.retain(|name, _| {
        blueprint.is_some_and(|it| it.variables.iter().any(|variable| variable.env == *name))
    });
    let mut allocations = Vec::new();
    for binding in &spec.ports {
        // Named also when another server has it, for the node holds a wish with this port.
        let (allocation, is_its) = allocation(txn, envelope, binding)?;
        allocations.push(allocation);
        if !is_its {
            taken.push(format!("port {} of {}", binding.port, binding.ip));
        }
    }
    let choices = Choices {
        name: spec.name.clone(),
        image: Some(match blueprint {
            Some(blueprint) => blueprint.pick_of_image(&spec.image),
            None => Pick::Own(spec.image.clone()),
        }),
        startup: match blueprint {
            Some(blueprint) => blueprint.pick_of_startup(&spec.startup),
            None => Some(Pick::Own(spec.startup.clone())),
        },
        variables,
        limits: spec.limits,
        ports: spec.ports.clone(),
        auto_start: spec.auto_start,
        restart: spec.restart,
        mounts: spec.mounts.clone(),
        suspended: spec.suspended,
        run_until: spec.run_until,
        install: spec.install.as_ref().map(|it| InstallAsk {
            asked: it.asked,
            files: it.files,
            cancelled: it.cancelled,
        }),
    };
    Ok(ServerRecord {
        node: envelope.node,
        blueprint_version: key.as_ref().map_or(0, |(_, version)| *version),
        blueprint: match key {
            Some((key, _)) => key,
            None => blueprint.map(|it| it.key.clone()).unwrap_or_default(),
        },
        has_secrets: false,
        choices,
        allocations,
        allocation_limit: known.as_ref().map_or(0, |it| it.allocation_limit),
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
