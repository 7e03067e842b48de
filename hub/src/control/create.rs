//! Makes servers: checks the input, finds a node and ports, and records all of it at once.

use super::wish::{Happened, commit, find_blueprint, holder};
use crate::{
    Hub, HubError,
    store::{
        ALLOCATIONS, AllocationRecord, LEASES, Lease, NODE_STATES, NODES, NodeRecord,
        NodeStateRecord, PLACED, SERVER_TENANTS, SERVERS, ServerRecord, TenantRef,
    },
};
use mamba_core::{
    allocation::{Granted, Offer, choose},
    blueprint::{Blueprint, Choices},
    db::{Snapshot, Span, Txn},
    desired::Order,
    fact::Activity,
    ids::{AllocationId, NodeId, ServerId},
    placement::{Candidate, Size, no_room, place},
    scope::TenantScope,
    server::{AutoStart, Limits, PortBinding, PortProtocol, RestartPolicy},
    units::Mib,
};
use mamba_wire::{
    api::{node::Standing, server::Server},
    link::v1::SERVERS_MAX,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr},
};

/// Most nodes that are looked at to place a server, and most that a hub lists at once.
pub(crate) const NODES_MAX: usize = 10_000;
/// Most allocations of one node: every port of one address, once.
pub(crate) const ALLOCATIONS_MAX: usize = 65_535;

/// A server to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewServer {
    /// Name for people.
    pub name: String,
    /// Where it runs; `None` lets the hub choose a connected node with room.
    pub node: Option<NodeId>,
    /// Key of its blueprint.
    pub blueprint: String,
    /// One of the blueprint's images; its first without.
    pub image: Option<String>,
    /// Values of variables; the others have their default.
    pub variables: BTreeMap<String, String>,
    /// What it may use.
    pub limits: Limits,
    /// Allocations for its ports, in the blueprint's order; missing ones are chosen.
    pub allocations: Vec<AllocationId>,
    /// Whether it starts with its node.
    pub auto_start: AutoStart,
    /// What happens when it ends by itself.
    pub restart: RestartPolicy,
}

impl NewServer {
    fn choices(&self, ports: Vec<PortBinding>) -> Choices {
        Choices {
            name: self.name.clone(),
            image: self.image.clone(),
            variables: self.variables.clone(),
            limits: self.limits,
            ports,
            auto_start: self.auto_start,
            restart: self.restart,
            suspended: false,
            run_until: None,
        }
    }

    /// Renders it with made-up ports, so that bad input is told before a node is looked for.
    fn check(&self, blueprint: &Blueprint) -> Result<(), HubError> {
        let ip = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        let ports = blueprint.ports.iter().zip(1..);
        let ports = ports.map(|(protocol, port)| PortBinding { ip, port, protocol: *protocol });
        blueprint.render(self.choices(ports.collect()))?;
        Ok(())
    }
}

impl Hub {
    /// Makes a server for the tenant of `scope`, which must exist. Durable on return; the node
    /// learns of it when its session next looks.
    ///
    /// # Errors
    /// `Invalid` names the field, `NoNode` the reason per node; nothing is left of the server.
    pub async fn create_server(
        &self,
        scope: &TenantScope,
        new: NewServer,
    ) -> Result<Server, HubError> {
        let blueprint = find_blueprint(&new.blueprint)?;
        new.check(&blueprint)?;
        let key = (scope.tenant(), self.new_id(ServerId::new));
        let happened = Happened::now(self, scope.actor());
        let connected = self.live().connected();
        let hub = self.clone();
        let node = self
            .write(move |txn| {
                let seat = Seat::find(txn, &new, &blueprint.ports, &connected)?;
                let record = seat.take(&hub, txn, key, &new, &happened)?;
                happened.record(txn, &key, Activity::Created)?;
                Ok(record.node)
            })
            .await?;
        self.live().changed(node);
        self.server(scope, key.1)
    }
}

/// The node and the ports that a new server gets.
struct Seat {
    node: NodeId,
    ports: Vec<Granted>,
}

impl Seat {
    fn find(
        txn: &impl Snapshot,
        new: &NewServer,
        needs: &[PortProtocol],
        connected: &BTreeSet<NodeId>,
    ) -> Result<Self, HubError> {
        let Some(node) = new.node else {
            let nodes = txn.range(NODES, Span::all(), NODES_MAX)?;
            let candidates: Vec<Candidate> = nodes
                .iter()
                .map(|(node, record)| candidate(txn, *node, record, new, needs, connected))
                .collect::<Result<_, _>>()?;
            let node = place(&candidates, &new.limits).map_err(HubError::NoNode)?;
            let ports = choose(&offers(txn, node)?, needs, &new.allocations)?;
            return Ok(Self { node, ports });
        };
        let unknown = || HubError::invalid("node", "is not a node of this hub");
        let record = txn.get(NODES, &node)?.ok_or_else(unknown)?;
        if record.standing != Standing::Active {
            return Err(HubError::invalid("node", "is revoked or in quarantine"));
        }
        let ports = choose(&offers(txn, node)?, needs, &new.allocations)?;
        let candidate = candidate(txn, node, &record, new, needs, connected)?;
        match no_room(&candidate, &new.limits) {
            Some(reason) => Err(HubError::invalid("node", reason)),
            None => Ok(Self { node, ports }),
        }
    }

    /// Records the server: its ports, its lease and its first generation.
    fn take(
        &self,
        hub: &Hub,
        txn: &mut Txn<'_>,
        (tenant, server): (mamba_core::ids::TenantId, ServerId),
        new: &NewServer,
        happened: &Happened,
    ) -> Result<ServerRecord, HubError> {
        let Self { node, ports } = self;
        if txn.prefix(PLACED, &(*node,), SERVERS_MAX)?.len() >= SERVERS_MAX {
            let rule = format!("holds {SERVERS_MAX} servers, more is not possible");
            return Err(HubError::invalid("node", rule));
        }
        for port in ports {
            let key = (*node, port.allocation);
            let gone = || HubError::Bug("a granted allocation is gone".to_owned());
            let found = txn.get(ALLOCATIONS, &key)?.ok_or_else(gone)?;
            assert!(holder(txn, &found)?.is_none(), "an allocation is given once");
            let server = Some((tenant, server));
            txn.put(ALLOCATIONS, &key, &AllocationRecord { server, ..found })?;
        }
        let mut record = ServerRecord {
            node: *node,
            blueprint: new.blueprint.clone(),
            choices: new.choices(ports.iter().map(|port| port.binding.clone()).collect()),
            allocations: ports.iter().map(|port| port.allocation).collect(),
            order: Order::default(),
            made_by: happened.actor.clone(),
            made_at: happened.now,
            changed_at: happened.now,
            deletion: None,
        };
        let lease = Lease { node: *node, until: None };
        txn.put(LEASES, &(tenant, server, happened.now), &lease)?;
        txn.put(SERVER_TENANTS, &server, &TenantRef(tenant))?;
        commit(hub, txn, (tenant, server), &mut record, false)?;
        Ok(record)
    }
}

fn candidate(
    txn: &impl Snapshot,
    node: NodeId,
    record: &NodeRecord,
    new: &NewServer,
    needs: &[PortProtocol],
    connected: &BTreeSet<NodeId>,
) -> Result<Candidate, HubError> {
    let ports = choose(&offers(txn, node)?, needs, &new.allocations);
    Ok(Candidate {
        node,
        name: record.name.clone(),
        is_active: record.standing == Standing::Active,
        is_connected: connected.contains(&node),
        size: size(txn, node)?,
        promised: promised(txn, node)?,
        ports_missing: ports.err().map(|err| format!("{}: {}", err.field, err.rule)),
    })
}

/// Checks that the node has room for what a server's limits grow by. What shrinks always fits, also
/// on a node that was promised away already.
pub(super) fn check_growth(
    txn: &impl Snapshot,
    record: &ServerRecord,
    before: &Limits,
) -> Result<(), HubError> {
    let after = record.choices.limits;
    let growth = Limits {
        memory_mib: Mib(after.memory_mib.0.saturating_sub(before.memory_mib.0)),
        disk_mib: Mib(after.disk_mib.0.saturating_sub(before.disk_mib.0)),
        ..after
    };
    if Size::of(&growth) == Size::default() {
        return Ok(());
    }
    let candidate = Candidate {
        node: record.node,
        name: String::new(),
        is_active: true,
        is_connected: true,
        size: size(txn, record.node)?,
        promised: promised(txn, record.node)?,
        ports_missing: None,
    };
    match no_room(&candidate, &growth) {
        Some(reason) => Err(HubError::invalid("limits", format!("the server's node {reason}"))),
        None => Ok(()),
    }
}

fn size(txn: &impl Snapshot, node: NodeId) -> Result<Option<Size>, HubError> {
    let size = |it: NodeStateRecord| Size {
        memory_bytes: it.state.memory_bytes,
        disk_bytes: it.state.disk_bytes,
    };
    Ok(txn.get(NODE_STATES, &node)?.map(size))
}

/// Returns what the servers of a node may use together.
fn promised(txn: &impl Snapshot, node: NodeId) -> Result<Size, HubError> {
    let mut sum = Size::default();
    for ((_, server), placed) in txn.prefix(PLACED, &(node,), SERVERS_MAX)? {
        if !placed.gone
            && let Some(record) = txn.get(SERVERS, &(placed.tenant, server))?
        {
            sum = sum.plus(Size::of(&record.choices.limits));
        }
    }
    Ok(sum)
}

fn offers(txn: &impl Snapshot, node: NodeId) -> Result<Vec<Offer>, HubError> {
    let found = txn.prefix(ALLOCATIONS, &(node,), ALLOCATIONS_MAX)?;
    let offer = |((_, allocation), it): ((NodeId, AllocationId), AllocationRecord)| {
        let is_taken = holder(txn, &it)?.is_some();
        Ok(Offer { allocation, binding: it.binding, is_taken })
    };
    found.into_iter().map(offer).collect()
}
