//! Makes servers: checks the input, finds a node and ports, and records all of it at once.

use super::{
    hidden::Whole,
    leases,
    names::{check_description, name_outside},
    placing::candidates,
    ports::{self, grant, settle_gone},
    transfer::RESERVED,
    wish::{Happened, ServerKey, commit, next_order},
};
use crate::{
    Hub, HubError,
    blueprints::{self, Known},
    external::ExternalId,
    store::{NODE_STATES, NODES, NodeRecord, PLACED, SERVER_TENANTS, ServerRecord, TenantRef},
    tenants::{check_quota, check_quota_limits_all},
};
use mamba_core::{
    allocation::Granted,
    blueprint::{Blueprint, Choices, Pick},
    db::{Snapshot, Span, Txn},
    desired::{Home, Order},
    fact::Activity,
    ids::{AllocationId, NodeId, ServerId},
    placement::{
        Candidate, Needs, Placed, Rejected, Size, check_label, check_tags, closed, no_place,
        no_room, place,
    },
    scope::TenantScope,
    server::{
        AutoStart, InstallAsk, InstallFiles, Limits, PortBinding, PortProtocol, RestartPolicy,
        check_range,
    },
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

/// Most that a limit of ports can be: what one server can have.
pub(super) const ALLOCATION_LIMIT_MAX: u32 = 64;
const _: () = assert!(ALLOCATION_LIMIT_MAX as usize == mamba_core::server::PORTS_MAX);

/// Most that a limit of backups can be: one each hour for six weeks; above is a typing error.
pub(super) const BACKUP_LIMIT_MAX: u32 = 1_000;

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
    /// Where the hub looks for a node when none is named.
    pub placing: Placing,
    /// What it is for, for people.
    pub description: Option<String>,
    /// Its name in another system.
    pub external_id: Option<ExternalId>,
    /// Most ports that its owner may bring it to.
    pub allocation_limit: u32,
    /// Most backups that it may have.
    pub backup_limit: u32,
    /// Whether its install script is never run.
    pub skip_scripts: bool,
    /// Who makes it.
    pub maker: Maker,
}

/// Who makes a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Maker {
    /// An administrator of the hub, who may see its nodes.
    #[default]
    Administrator,
    /// A member of its tenant: within a quota that limits everything, with the variables that users
    /// may edit, and told nothing about nodes.
    Member,
}

impl Maker {
    /// Takes out of an error what this maker may not know.
    fn may_know(self, err: HubError) -> HubError {
        match err {
            HubError::NoNode(_) if self == Self::Member => {
                HubError::Refused("no node has room for this server at the moment".to_owned())
            }
            err => err,
        }
    }
}

/// Where the hub looks for a node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Placing {
    /// In this region; in any without.
    pub region: Option<String>,
    /// Among nodes with all of these tags.
    pub tags: BTreeSet<String>,
}

impl NewServer {
    /// Describes a server as an administrator makes it who leaves everything else to the hub.
    #[must_use]
    pub fn new(name: String, blueprint: String, limits: Limits) -> Self {
        Self {
            name,
            node: None,
            blueprint,
            image: None,
            variables: BTreeMap::new(),
            limits,
            allocations: Vec::new(),
            auto_start: AutoStart::LastState,
            restart: RestartPolicy::default(),
            placing: Placing::default(),
            description: None,
            external_id: None,
            allocation_limit: 0,
            backup_limit: 0,
            skip_scripts: false,
            maker: Maker::Administrator,
        }
    }

    fn needs(&self) -> Needs {
        let Placing { region, tags } = self.placing.clone();
        Needs { size: Size::of(&self.limits), region, tags, threads: self.limits.sharing.threads }
    }

    fn choices(&self, ports: Vec<PortBinding>) -> Choices {
        Choices {
            name: self.name.clone(),
            image: self.image.clone().map(Pick::Listed),
            startup: None,
            variables: self.variables.clone(),
            limits: self.limits,
            ports,
            auto_start: self.auto_start,
            restart: self.restart,
            mounts: vec![],
            suspended: false,
            run_until: None,
            install: None,
            eula_accepted: false,
        }
    }

    /// Renders it with made-up ports, so that bad input is told before a node is looked for.
    fn check(&self, blueprint: &Blueprint) -> Result<(), HubError> {
        if let Some(region) = &self.placing.region {
            check_label("region", region)?;
        }
        check_tags("tags", &self.placing.tags)?;
        check_description(self.description.as_deref())?;
        check_range("allocation_limit", self.allocation_limit, 0, ALLOCATION_LIMIT_MAX)?;
        check_range("backup_limit", self.backup_limit, 0, BACKUP_LIMIT_MAX)?;
        if self.maker == Maker::Member {
            blueprint.check_users_choice(&self.variables, |it, value| value == it.default)?;
        }
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
        Ok(self.place_server(scope, new).await?.0)
    }

    /// Makes a server as [`Hub::create_server`] does, and says which nodes could not take it, unless
    /// a member of the tenant makes it.
    ///
    /// # Errors
    /// As there; for members `Refused` without reasons where no node can take it.
    pub async fn place_server(
        &self,
        scope: &TenantScope,
        new: NewServer,
    ) -> Result<(Server, Vec<Rejected>), HubError> {
        let unknown = || HubError::invalid("blueprint", "is not a blueprint of this hub");
        let found = self.read(|txn| blueprints::newest(txn, &new.blueprint))?;
        let Known { version, blueprint } = found.ok_or_else(unknown)?;
        new.check(&blueprint)?;
        let key = (scope.tenant(), self.new_id(ServerId::new));
        let happened = Happened::of(self, scope);
        let connected = self.live().connected();
        let hub = self.clone();
        let maker = new.maker;
        let (node, rejected) = self
            .write(move |txn| {
                if new.maker == Maker::Member {
                    check_quota_limits_all(txn, key.0)?;
                }
                let seat = Seat::find(txn, &new, &blueprint.ports, &connected)?;
                let has_script = blueprint.install.is_some() && !new.skip_scripts;
                let made = Made { key, new: &new, blueprint_version: version, has_script };
                let node = seat.take(&hub, txn, &made, &happened)?;
                check_quota(txn, key.0)?;
                happened.record(txn, &key, Activity::Created)?;
                Ok((node, seat.rejected))
            })
            .await
            .map_err(|err| maker.may_know(err))?;
        let rejected = if maker == Maker::Member { Vec::new() } else { rejected };
        self.live().changed(node);
        Ok((self.server(scope, key.1)?, rejected))
    }
}

/// A server that is being made.
struct Made<'a> {
    key: ServerKey,
    new: &'a NewServer,
    blueprint_version: u32,
    /// Whether an install script is run before its first start.
    has_script: bool,
}

/// The node and the ports that a new server gets.
struct Seat {
    node: NodeId,
    ports: Vec<Granted>,
    /// Nodes that could not take it.
    rejected: Vec<Rejected>,
}

impl Seat {
    fn find(
        txn: &mut Txn<'_>,
        new: &NewServer,
        protocols: &[PortProtocol],
        connected: &BTreeSet<NodeId>,
    ) -> Result<Self, HubError> {
        let needs = new.needs();
        let Some(node) = new.node else {
            let ports = (protocols, new.allocations.as_slice());
            let candidates = candidates(txn, Span::all(), NODES_MAX, &needs, ports, connected)?;
            let Placed { node, rejected } = place(&candidates, &needs).map_err(HubError::NoNode)?;
            settle_gone(txn, node)?;
            let ports = grant(txn, node, protocols, &new.allocations)?;
            return Ok(Self { node, ports, rejected });
        };
        let unknown = || HubError::invalid("node", "is not a node of this hub");
        let record = txn.get(NODES, &node)?.ok_or_else(unknown)?;
        // A node that is asked for by name may be away, of unknown size or in another region.
        let candidate = candidate(txn, node, record, true)?;
        let refusal = closed(&candidate).or_else(|| no_place(&candidate, &needs));
        if let Some(reason) = refusal {
            return Err(HubError::invalid("node", reason));
        }
        settle_gone(txn, node)?;
        let ports = grant(txn, node, protocols, &new.allocations)?;
        Ok(Self { node, ports, rejected: Vec::new() })
    }

    /// Records the server: its ports, its lease and its first generation.
    fn take(
        &self,
        hub: &Hub,
        txn: &mut Txn<'_>,
        made: &Made<'_>,
        happened: &Happened,
    ) -> Result<NodeId, HubError> {
        let Self { node, ports, .. } = self;
        let Made { key, new, blueprint_version, has_script } = *made;
        let (tenant, server) = key;
        if txn.prefix(PLACED, &(*node,), SERVERS_MAX)?.len() >= SERVERS_MAX {
            let rule = format!("holds {SERVERS_MAX} servers, more is not possible");
            return Err(HubError::invalid("node", rule));
        }
        ports::take(txn, *node, key, ports)?;
        name_outside(txn, key, None, new.external_id.as_ref())?;
        let mut record = Whole::made(ServerRecord {
            node: *node,
            home: Home::default(),
            moving: None,
            passed_on: None,
            blueprint: new.blueprint.clone(),
            blueprint_version,
            has_secrets: false,
            choices: new.choices(ports.iter().map(|port| port.binding.clone()).collect()),
            allocations: ports.iter().map(|port| port.allocation).collect(),
            allocation_limit: new.allocation_limit,
            backup_limit: new.backup_limit,
            description: new.description.clone(),
            external_id: new.external_id.clone(),
            skip_scripts: new.skip_scripts,
            order: Order::default(),
            made_by: happened.actor.clone(),
            made_at: happened.now,
            changed_at: happened.now,
            deletion: None,
        });
        if has_script {
            let asked = next_order(hub, &record);
            record.choices.install = Some(InstallAsk::new(asked, InstallFiles::Keep));
        }
        leases::begin(txn, key, *node, happened.now)?;
        txn.put(SERVER_TENANTS, &server, &TenantRef(tenant))?;
        commit(hub, txn, key, &mut record, false)?;
        Ok(record.node)
    }
}

/// Returns what is known of a node, except of its ports.
pub(super) fn candidate(
    txn: &impl Snapshot,
    node: NodeId,
    record: NodeRecord,
    is_connected: bool,
) -> Result<Candidate, HubError> {
    let known = txn.get(NODE_STATES, &node)?.map(|it| it.state);
    Ok(Candidate {
        node,
        name: record.name,
        is_active: record.standing == Standing::Active,
        is_connected,
        settings: record.settings,
        size: known.as_ref().map(|it| Size {
            memory_bytes: it.memory_bytes,
            disk_bytes: it.disk_bytes,
            cpu_millicores: u64::from(it.cpus) * 1_000,
        }),
        cpus: known.map_or(0, |it| it.cpus),
        promised: promised(txn, node)?,
        ports_missing: None,
    })
}

/// Checks that the node has what a server's limits grow by. What shrinks always fits, also on a node
/// that was promised away already; and processors that are gone since stop no other change.
pub(super) fn check_growth(
    txn: &impl Snapshot,
    record: &ServerRecord,
    before: &Limits,
) -> Result<(), HubError> {
    let limits = &record.choices.limits;
    let growth = Size::of(limits).beyond(Size::of(before));
    let threads =
        limits.sharing.threads.filter(|_| limits.sharing.threads != before.sharing.threads);
    if growth == Size::default() && threads.is_none() {
        return Ok(());
    }
    let unknown = || HubError::Bug("the node of a server has no record".to_owned());
    let node = txn.get(NODES, &record.node)?.ok_or_else(unknown)?;
    let candidate = candidate(txn, record.node, node, true)?;
    if let Some(reason) = threads.and_then(|it| it.missing_on(candidate.cpus)) {
        return Err(HubError::invalid("limits.sharing.threads", format!("the node {reason}")));
    }
    match no_room(&candidate, growth) {
        Some(reason) => Err(HubError::invalid("limits", format!("the server's node {reason}"))),
        None => Ok(()),
    }
}

/// Returns what the servers of a node may use together, and those that are on their way to it.
pub(crate) fn promised(txn: &impl Snapshot, node: NodeId) -> Result<Size, HubError> {
    let placed = txn.prefix(PLACED, &(node,), SERVERS_MAX)?;
    let present = placed.into_iter().filter(|(_, it)| !it.gone);
    let present = present.fold(Size::default(), |sum, (_, it)| sum.plus(it.promised));
    let coming = txn.prefix(RESERVED, &(node,), SERVERS_MAX)?;
    Ok(coming.into_iter().fold(present, |sum, (_, it)| sum.plus(it.0)))
}
