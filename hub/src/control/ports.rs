//! Which ports servers have: found by an index of what is free, taken and given back inside the
//! transaction that needs them.
//!
//! `FREE_PORTS` holds exactly the allocations without a server. What a deleted server had is not
//! written in the transaction of the facts that tell of its end: `GONE_PORTS` notes the server, and
//! the next transaction that takes ports of the node settles it.

use super::wish::{ServerKey, holder};
use crate::{
    HubError,
    store::{
        ALLOCATION_NODES, ALLOCATIONS, AllocationRecord, FREE_PORTS, FreePort, GONE_PORTS, NODES,
        NodeRef, SERVERS, ServerRecord,
    },
};
use mamba_core::{
    allocation::{Granted, Offer, PortRange, choose, lowest_unused},
    db::{Snapshot, Span, Txn},
    ids::{AllocationId, NodeId},
    server::{PORTS_MAX, PortBinding, PortProtocol},
};

/// Most allocations of one node: every port of one address, once.
pub(crate) const ALLOCATIONS_MAX: usize = 65_535;
/// Free ports looked at in one step: more than a server needs, few enough to be read for each node.
const STEP: usize = 64;
/// Deleted servers whose ports are given back at once, so that the transaction stays small.
const SETTLED_MAX: usize = 16;

/// Offers a new port, or makes a lost one again.
pub(crate) fn put(
    txn: &mut Txn<'_>,
    node: NodeId,
    allocation: AllocationId,
    record: &AllocationRecord,
) -> Result<(), HubError> {
    let free = (node, record.binding.port, allocation);
    if record.server.is_some() {
        txn.delete(FREE_PORTS, &free)?;
    } else {
        txn.put(FREE_PORTS, &free, &FreePort(record.binding.clone()))?;
    }
    txn.put(ALLOCATIONS, &(node, allocation), record)?;
    Ok(txn.put(ALLOCATION_NODES, &allocation, &NodeRef(node))?)
}

/// Withdraws a port.
pub(crate) fn remove(
    txn: &mut Txn<'_>,
    node: NodeId,
    allocation: AllocationId,
    record: &AllocationRecord,
) -> Result<(), HubError> {
    txn.delete(FREE_PORTS, &(node, record.binding.port, allocation))?;
    txn.delete(ALLOCATIONS, &(node, allocation))?;
    Ok(txn.delete(ALLOCATION_NODES, &allocation)?)
}

/// Gives the ports of deleted servers back.
pub(super) fn settle_gone(txn: &mut Txn<'_>, node: NodeId) -> Result<(), HubError> {
    for (owner, allocations) in unsettled(txn, node)? {
        for allocation in allocations {
            give_back(txn, node, owner, allocation)?;
        }
        txn.delete(GONE_PORTS, &(node, owner.0, owner.1))?;
    }
    Ok(())
}

/// Returns the deleted servers that [`settle_gone`] looks at, each with its ports. A restore can bring
/// a server back: then it keeps its ports.
fn unsettled(
    txn: &impl Snapshot,
    node: NodeId,
) -> Result<Vec<(ServerKey, Vec<AllocationId>)>, HubError> {
    let mut found = Vec::new();
    for ((_, tenant, server), _) in txn.prefix(GONE_PORTS, &(node,), SETTLED_MAX)? {
        let record = txn.get(SERVERS, &(tenant, server))?.filter(|it| !it.is_present());
        found.push(((tenant, server), record.map(|it| it.allocations).unwrap_or_default()));
    }
    Ok(found)
}

/// Frees a port unless another server has it by now.
pub(crate) fn give_back(
    txn: &mut Txn<'_>,
    node: NodeId,
    owner: ServerKey,
    allocation: AllocationId,
) -> Result<(), HubError> {
    let Some(record) = held(txn, node, owner, allocation)? else { return Ok(()) };
    put(txn, node, allocation, &AllocationRecord { server: None, note: None, ..record })
}

/// Returns a port if the server has it.
fn held(
    txn: &impl Snapshot,
    node: NodeId,
    owner: ServerKey,
    allocation: AllocationId,
) -> Result<Option<AllocationRecord>, HubError> {
    let found = txn.get(ALLOCATIONS, &(node, allocation))?;
    Ok(found.filter(|it| it.server == Some(owner)))
}

/// Returns why a node has no such ports; `None` when [`settle_gone`] and then [`grant`] find them.
pub(super) fn missing(
    txn: &impl Snapshot,
    node: NodeId,
    needs: &[PortProtocol],
    wishes: &[AllocationId],
) -> Result<Option<String>, HubError> {
    match grant(txn, node, needs, wishes) {
        Err(HubError::Invalid(_)) => {}
        found => return found.map(|_| None),
    }
    let mut gone = Vec::new();
    for (owner, allocations) in unsettled(txn, node)? {
        for allocation in allocations.into_iter().filter(|it| !wishes.contains(it)) {
            let port = held(txn, node, owner, allocation)?;
            gone.extend(port.map(|it| Offer { allocation, binding: it.binding, is_taken: false }));
        }
    }
    match grant_beside(txn, node, needs, wishes, gone) {
        Ok(_) => Ok(None),
        Err(HubError::Invalid(err)) => Ok(Some(format!("{}: {}", err.field, err.rule))),
        Err(err) => Err(err),
    }
}

/// Chooses ports of a node for `needs`, see [`choose`]. Reads no more of the index than it takes.
pub(super) fn grant(
    txn: &impl Snapshot,
    node: NodeId,
    needs: &[PortProtocol],
    wishes: &[AllocationId],
) -> Result<Vec<Granted>, HubError> {
    grant_beside(txn, node, needs, wishes, Vec::new())
}

/// Chooses as [`grant`] does, also from `offers` that the index does not hold.
fn grant_beside(
    txn: &impl Snapshot,
    node: NodeId,
    needs: &[PortProtocol],
    wishes: &[AllocationId],
    mut offers: Vec<Offer>,
) -> Result<Vec<Granted>, HubError> {
    for wish in wishes.iter().take(PORTS_MAX) {
        offers.extend(offer(txn, node, *wish)?);
    }
    if wishes.len() >= needs.len() {
        return Ok(choose(&offers, needs, wishes)?);
    }
    let mut span = Span::prefix(&(node,));
    loop {
        let found = txn.range(FREE_PORTS, span.clone(), STEP)?;
        let last = found.last().map(|(key, _)| *key);
        offers.extend(found.into_iter().filter(|(key, _)| !wishes.contains(&key.2)).map(
            |((_, _, allocation), FreePort(binding))| Offer {
                allocation,
                binding,
                is_taken: false,
            },
        ));
        match (choose(&offers, needs, wishes), last) {
            // More of the index may hold what is missing.
            (Err(err), Some(last)) if err.field == "allocations" => span = span.after(&last),
            (chosen, _) => return Ok(chosen?),
        }
    }
}

fn offer(
    txn: &impl Snapshot,
    node: NodeId,
    allocation: AllocationId,
) -> Result<Option<Offer>, HubError> {
    let Some(record) = txn.get(ALLOCATIONS, &(node, allocation))? else { return Ok(None) };
    let is_taken = holder(txn, &record)?.is_some();
    Ok(Some(Offer { allocation, binding: record.binding, is_taken }))
}

/// Gives granted ports to a server.
pub(super) fn take(
    txn: &mut Txn<'_>,
    node: NodeId,
    owner: ServerKey,
    ports: &[Granted],
) -> Result<(), HubError> {
    for port in ports {
        let gone = || HubError::Bug("a granted allocation is gone".to_owned());
        let found = txn.get(ALLOCATIONS, &(node, port.allocation))?.ok_or_else(gone)?;
        assert!(holder(txn, &found)?.is_none(), "an allocation is given once");
        let taken = AllocationRecord { server: Some(owner), note: None, ..found };
        put(txn, node, port.allocation, &taken)?;
    }
    Ok(())
}

/// Sets the ports that a server has, in this order, the primary first. All are its own already.
///
/// # Errors
/// `Invalid` when one does not carry what the blueprint needs in its place.
pub(super) fn arrange(
    txn: &impl Snapshot,
    record: &mut ServerRecord,
    needs: &[PortProtocol],
    order: &[AllocationId],
) -> Result<(), HubError> {
    let mut offers = Vec::new();
    for allocation in order {
        let found = offer(txn, record.node, *allocation)?;
        offers.extend(found.map(|it| Offer { is_taken: false, ..it }));
    }
    let ports = choose(&offers, needs, order)?;
    record.allocations = ports.iter().map(|it| it.allocation).collect();
    record.choices.ports = ports.into_iter().map(|it| it.binding).collect();
    Ok(())
}

/// Finds a port that an owner may take: a free one of the node's range at the address, or else a
/// new one with the id `fresh`, which is made here.
///
/// # Errors
/// `Refused` when the node has no such range, or nothing in it is left.
pub(super) fn self_serve(
    txn: &mut Txn<'_>,
    node: NodeId,
    primary: &PortBinding,
    fresh: AllocationId,
) -> Result<AllocationId, HubError> {
    let range = txn.get(NODES, &node)?.and_then(|it| it.settings.self_service_ports);
    let none = || HubError::Refused("the server's node offers no ports to choose".to_owned());
    let range = range.ok_or_else(none)?;
    let (low, high) = (AllocationId::from_bytes([0; 16]), AllocationId::from_bytes([0xff; 16]));
    let span = Span::keys((node, range.first, low)..=(node, range.last, high));
    let mut rest = span;
    loop {
        let free = txn.range(FREE_PORTS, rest.clone(), STEP)?;
        if let Some((key, _)) = free.iter().find(|(_, it)| it.0.ip == primary.ip) {
            return Ok(key.2);
        }
        let Some((last, _)) = free.last() else { break };
        rest = rest.after(last);
    }
    let binding = unused(txn, node, range, primary)?;
    put(txn, node, fresh, &AllocationRecord::free(binding))?;
    Ok(fresh)
}

fn unused(
    txn: &impl Snapshot,
    node: NodeId,
    range: PortRange,
    primary: &PortBinding,
) -> Result<PortBinding, HubError> {
    let known = txn.prefix(ALLOCATIONS, &(node,), ALLOCATIONS_MAX)?;
    let full = || HubError::Refused("no port to choose is left on the server's node".to_owned());
    if known.len() >= ALLOCATIONS_MAX {
        return Err(full());
    }
    let near = known.into_iter().map(|(_, it)| it.binding);
    let near: Vec<PortBinding> = near.filter(|it| range.contains(it.port)).collect();
    let port = lowest_unused(range, primary.ip, &near).ok_or_else(full)?;
    Ok(PortBinding { ip: primary.ip, port, protocol: PortProtocol::Both })
}
