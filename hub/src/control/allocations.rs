//! Ports that nodes offer to servers.

use super::{
    ports::{self, ALLOCATIONS_MAX},
    sort::{PlaceOf, Sort},
    wish::holder,
};
use crate::{
    Hub, HubError, audit,
    store::{ALLOCATION_NODES, ALLOCATIONS, AllocationRecord, NODES, NodeRef},
};
use mamba_core::{
    allocation::{check_address, check_words, overlaps},
    audit::Change,
    db::{Snapshot, Span},
    ids::{AllocationId, NodeId, ServerId},
    scope::AdminScope,
    server::{PortBinding, PortProtocol},
};
use mamba_wire::api::{
    Page, PageQuery,
    allocation::{Allocation, AllocationQuery},
};
use std::{collections::BTreeMap, net::IpAddr, ops::RangeInclusive};

/// Most allocations made by one call, so that its transaction stays bounded.
pub(super) const ALLOCATIONS_AT_ONCE_MAX: usize = 1_000;

/// What people are told about an allocation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllocationWords {
    /// Shown instead of its address.
    pub alias: Option<String>,
    /// A note.
    pub note: Option<String>,
}

/// Names an allocation to the audit trail.
fn named(node: NodeId, it: &AllocationRecord) -> Change {
    let PortBinding { ip, port, .. } = &it.binding;
    Change::set("allocation", format!("{ip} {port} of {node}"))
}

impl Hub {
    /// Offers a range of ports of a node, one allocation each, all or none.
    ///
    /// # Errors
    /// `Invalid` names the field: an unknown node, a port of 0, a port that is offered already.
    pub async fn create_allocations(
        &self,
        admin: &AdminScope,
        node: NodeId,
        ip: IpAddr,
        ports: RangeInclusive<u16>,
        protocol: PortProtocol,
        words: AllocationWords,
    ) -> Result<Vec<Allocation>, HubError> {
        check_address(ip)?;
        if *ports.start() == 0 || ports.is_empty() {
            return Err(HubError::invalid("port", "must be 1 to 65535"));
        }
        if ports.len() > ALLOCATIONS_AT_ONCE_MAX {
            let rule = format!("must be at most {ALLOCATIONS_AT_ONCE_MAX} at once");
            return Err(HubError::invalid("port", rule));
        }
        let told = [
            Change::set("node", node.to_string()),
            Change::set("ip", ip.to_string()),
            Change::set("ports", format!("{}-{}", ports.start(), ports.end())),
        ];
        let (admin, now) = (admin.clone(), self.now());
        let new: Vec<(AllocationId, PortBinding)> = ports
            .map(|port| (self.new_id(AllocationId::new), PortBinding { ip, port, protocol }))
            .collect();
        check_words(words.alias.as_deref(), words.note.as_deref())?;
        let AllocationWords { alias, note } = words;
        let record = move |binding: &PortBinding| AllocationRecord {
            alias: alias.clone(),
            note: note.clone(),
            ..AllocationRecord::free(binding.clone())
        };
        self.write(move |txn| {
            if !txn.contains(NODES, &node)? {
                return Err(HubError::invalid("node", "is not a node of this hub"));
            }
            let known = txn.prefix(ALLOCATIONS, &(node,), ALLOCATIONS_MAX)?;
            if known.len() + new.len() > ALLOCATIONS_MAX {
                let rule = format!("must be at most {ALLOCATIONS_MAX} on one node");
                return Err(HubError::invalid("port", rule));
            }
            // Only those of one port can overlap, and a port has few.
            let mut of_port: BTreeMap<u16, Vec<&PortBinding>> = BTreeMap::new();
            for (_, it) in &known {
                of_port.entry(it.binding.port).or_default().push(&it.binding);
            }
            for (allocation, binding) in &new {
                let near = of_port.get(&binding.port).map_or(&[][..], Vec::as_slice);
                if near.iter().any(|it| overlaps(it, binding)) {
                    let rule = format!("{} is offered on this node already", binding.port);
                    return Err(HubError::invalid("port", rule));
                }
                ports::put(txn, node, *allocation, &record(binding))?;
            }
            audit::append_admin(txn, &admin, now, "allocation:create", told.clone())?;
            Ok(new.iter().map(|(id, binding)| show(node, *id, record(binding), None)).collect())
        })
        .await
    }

    /// Returns an allocation.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn allocation(
        &self,
        _admin: &AdminScope,
        allocation: AllocationId,
    ) -> Result<Allocation, HubError> {
        self.read(|view| {
            let missing = || HubError::NotFound { what: "allocation" };
            let NodeRef(node) = view.get(ALLOCATION_NODES, &allocation)?.ok_or_else(missing)?;
            let record = view.get(ALLOCATIONS, &(node, allocation))?.ok_or_else(missing)?;
            let server = holder(view, &record)?;
            Ok(show(node, allocation, record, server))
        })
    }

    /// Writes what people are told about an allocation; what is `None` is removed. No node need
    /// know of it.
    ///
    /// # Errors
    /// `NotFound`, or `Invalid` with the field.
    pub async fn change_allocation(
        &self,
        admin: &AdminScope,
        allocation: AllocationId,
        words: AllocationWords,
    ) -> Result<Allocation, HubError> {
        check_words(words.alias.as_deref(), words.note.as_deref())?;
        let (admin, now) = (admin.clone(), self.now());
        self.write(move |txn| {
            let missing = || HubError::NotFound { what: "allocation" };
            let NodeRef(node) = txn.get(ALLOCATION_NODES, &allocation)?.ok_or_else(missing)?;
            let found = txn.get(ALLOCATIONS, &(node, allocation))?.ok_or_else(missing)?;
            let AllocationWords { alias, note } = words.clone();
            let told = [
                named(node, &found),
                Change::new("alias", found.alias.clone(), alias.clone()),
                Change::new("note", found.note.clone(), note.clone()),
            ];
            audit::append_admin(txn, &admin, now, "allocation:update", told)?;
            let record = AllocationRecord { alias, note, ..found };
            txn.put(ALLOCATIONS, &(node, allocation), &record)?;
            let server = holder(txn, &record)?;
            Ok(show(node, allocation, record, server))
        })
        .await
    }

    /// Withdraws a free allocation.
    ///
    /// # Errors
    /// `NotFound`, or `Refused` while a server has it.
    pub async fn delete_allocation(
        &self,
        admin: &AdminScope,
        allocation: AllocationId,
    ) -> Result<(), HubError> {
        let (admin, now) = (admin.clone(), self.now());
        self.write(move |txn| {
            let missing = || HubError::NotFound { what: "allocation" };
            let NodeRef(node) = txn.get(ALLOCATION_NODES, &allocation)?.ok_or_else(missing)?;
            let record = txn.get(ALLOCATIONS, &(node, allocation))?.ok_or_else(missing)?;
            if let Some(server) = holder(txn, &record)? {
                return Err(HubError::Refused(format!("allocation belongs to server {server}")));
            }
            let told = [named(node, &record)];
            audit::append_admin(txn, &admin, now, "allocation:delete", told)?;
            ports::remove(txn, node, allocation, &record)
        })
        .await
    }

    /// Lists allocations of one node or of all: node by node in the order of their making, unless another
    /// order is asked for.
    ///
    /// # Errors
    /// `Invalid` for the query.
    pub fn allocations(
        &self,
        _admin: &AdminScope,
        query: &AllocationQuery,
    ) -> Result<Page<Allocation>, HubError> {
        let AllocationQuery { node, port, taken, sort, after, limit } = query.clone();
        let others: [(_, PlaceOf<AllocationRecord>); 2] = [
            ("port", |it| it.binding.port.to_be_bytes().to_vec()),
            ("ip", |it| address_place(it.binding.ip, it.binding.port)),
        ];
        let sort = Sort::read(sort.as_deref(), "made", &others)?;
        self.read(|txn| {
            let span = node.map_or_else(Span::all, |node| Span::prefix(&(node,)));
            sort.page(
                &PageQuery { after, limit },
                port.is_some() || taken.is_some(),
                |after: Option<&(NodeId, AllocationId)>, most| {
                    let mut span = span.clone();
                    if let Some(after) = after {
                        span = span.after(after);
                    }
                    Ok(txn.range(ALLOCATIONS, span, most)?)
                },
                |_, it| {
                    if port.is_some_and(|port| port != u32::from(it.binding.port)) {
                        return Ok(false);
                    }
                    let Some(taken) = taken else { return Ok(true) };
                    Ok(holder(txn, it)?.is_some() == taken)
                },
                |key, it| {
                    let server = holder(txn, &it)?;
                    Ok(show(key.0, key.1, it, server))
                },
            )
        })
    }
}

/// Returns bytes that sort addresses: IPv4 first, and of each its ports upwards.
fn address_place(ip: IpAddr, port: u16) -> Vec<u8> {
    let mut place = match ip {
        IpAddr::V4(ip) => [&[4], ip.octets().as_slice()].concat(),
        IpAddr::V6(ip) => [&[6], ip.octets().as_slice()].concat(),
    };
    place.extend(port.to_be_bytes());
    place
}

fn show(
    node: NodeId,
    allocation: AllocationId,
    record: AllocationRecord,
    server: Option<ServerId>,
) -> Allocation {
    let AllocationRecord { binding, alias, note, .. } = record;
    let PortBinding { ip, port, protocol } = binding;
    Allocation { allocation, node, ip, port, protocol, alias, note, server }
}
