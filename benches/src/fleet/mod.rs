//! A hub in its own process and many nodes in this one: the product's enrolment, certificates, QUIC,
//! link and session for each, only the node's store and engine are missing. Some more nodes are whole,
//! with everything but the engine.

mod edge;
mod socket;
mod storm;
mod whole;

use crate::{
    Outcome,
    client::Client,
    hub::Hub,
    report::{Figure, quantile, say},
};
use edge::{NoDoor, Node};
use futures_util::{StreamExt, TryStreamExt, stream};
use mamba_core::{
    clock::{Clock, SystemClock, SystemEntropy, draw},
    ids::{InstanceId, NodeId, ServerId, TenantId},
    seq::Epoch,
};
use mamba_edge::link::{EdgeLink, EnrolConfig, LinkConfig, LinkHandle};
use mamba_wire::{
    api::table,
    link::{enrol::Machine, token::JoinToken},
};
use serde_json::{from_value, json};
use socket::Wire;
use std::{
    path::Path,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, interval, sleep},
};

/// Time between two facts of one server in the product.
const FACTS_EVERY: Duration = Duration::from_secs(300);
/// Requests and enrolments at the same time while everything is made.
const AT_ONCE: usize = 16;
/// Longest wait for anything that the whole fleet does.
const FLEET_MAX: Duration = Duration::from_secs(600);
/// Facts of each server that have waited. With ten servers on each of 5,000 nodes these are a million,
/// as many as 114 servers report in a year that they spend cut off.
const BACKLOG_ROUNDS: u32 = 20;
/// Whole nodes and servers on each: every node has a file that it syncs, and a thread for that.
const WHOLE: (u32, u16) = (100, 10);
/// First port of each node.
const PORT_FIRST: u16 = 20_000;

/// How large the fleet is.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Size {
    /// Nodes.
    #[arg(long)]
    nodes: Option<u32>,
    /// Servers on each.
    #[arg(long)]
    servers: Option<u16>,
}

impl Size {
    /// Fills in what was not said.
    pub(crate) fn or(self, (nodes, servers): (u32, u16)) -> (u32, u16) {
        (self.nodes.unwrap_or(nodes), self.servers.unwrap_or(servers))
    }
}

/// A hub and its nodes.
pub(crate) struct Fleet {
    pub(crate) hub: Hub,
    pub(crate) admin: Client,
    pub(crate) servers: Vec<ServerId>,
    nodes: Vec<Member>,
    wire: Arc<Wire>,
    /// Memory of the hub that each connected node takes, in KiB.
    node_kib: f64,
    /// From the first dial until all sessions are up.
    connected_in: Duration,
    _stop: watch::Sender<bool>,
    _links: JoinSet<()>,
    _dir: tempfile::TempDir,
}

struct Member {
    id: NodeId,
    node: Arc<Node>,
    link: LinkHandle,
}

impl Fleet {
    /// Makes a hub, enrols and connects all nodes, and makes servers on them.
    pub(crate) async fn assemble(
        programs: &Path,
        out: &Path,
        (nodes, servers): (u32, u16),
    ) -> Outcome<Self> {
        let hub = Hub::new(programs, &out.join("hub"), None).await?;
        let admin = hub.admin().await?;
        let dir = tempfile::tempdir_in(out)?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new()?);
        let wire = Arc::new(Wire::default());
        say(&format!("enrolling {nodes} nodes"));
        let enrolled = stream::iter((0..nodes).map(|number| {
            let (clock, wire, admin) = (&clock, &wire, &admin);
            let path = dir.path().join(number.to_string());
            async move { enrol(admin, clock, wire, number, &path).await }
        }));
        let ids: Vec<NodeId> = enrolled.buffered(AT_ONCE).try_collect().await?;
        let before = hub.usage()?;
        let begun = Instant::now();
        let (stop, stopped) = watch::channel(false);
        let mut links = JoinSet::new();
        let mut members = Vec::new();
        for (number, id) in (0..nodes).zip(ids) {
            let epoch = Epoch(u64::from_be_bytes(draw(&SystemEntropy)));
            let node = Arc::new(Node::new(Arc::clone(&clock), epoch));
            let config = LinkConfig {
                data_dir: dir.path().join(number.to_string()),
                hubs: vec![],
                instance: InstanceId::new(clock.wall(), draw(&SystemEntropy)),
                software: "bench".to_owned(),
                net: socket::plug(&wire, number)?,
            };
            let entropy = Arc::new(SystemEntropy);
            let (edge, link) =
                EdgeLink::new(config, Arc::clone(&node), Arc::clone(&clock), entropy);
            links.spawn(edge.run(Arc::new(NoDoor), stopped.clone()));
            members.push(Member { id, node, link });
        }
        let (node_kib, connected_in) = (0.0, Duration::ZERO);
        let mut fleet = Self {
            hub,
            admin,
            servers: Vec::new(),
            nodes: members,
            wire,
            node_kib,
            connected_in,
            _stop: stop,
            _links: links,
            _dir: dir,
        };
        fleet.wait("sessions", |member| member.link.status.borrow().up).await?;
        fleet.connected_in = begun.elapsed();
        let after = fleet.hub.usage()?;
        fleet.node_kib = (after.resident_kib - before.resident_kib) / f64::from(nodes);
        fleet.make_servers(servers).await?;
        Ok(fleet)
    }

    async fn make_servers(&mut self, count: u16) -> Outcome {
        say(&format!("making {count} servers on each node"));
        // The session of the API may have ended while many nodes were enrolled.
        self.admin = self.hub.admin().await?;
        let tenant = make_tenant(&mut self.admin).await?;
        let made = stream::iter(&self.nodes).map(|member| {
            let admin = &self.admin;
            async move { servers_on(admin, tenant, member.id, count).await }
        });
        let made: Vec<Vec<ServerId>> = made.buffered(AT_ONCE).try_collect().await?;
        self.servers = made.into_iter().flatten().collect();
        self.wait("wishes adopted", |member| member.node.servers() == usize::from(count)).await
    }

    /// Waits until something is so for all nodes; returns an error that says for how many it was.
    async fn wait(&self, what: &str, is_so: impl Fn(&Member) -> bool) -> Outcome {
        let begun = Instant::now();
        loop {
            let count = self.nodes.iter().filter(|member| is_so(member)).count();
            if count == self.nodes.len() {
                return Ok(());
            }
            if begun.elapsed() > FLEET_MAX {
                let first = self.nodes.iter().find(|member| !is_so(member));
                let last_error = first.and_then(|it| it.link.status.borrow().last_error.clone());
                let all = self.nodes.len();
                return Err(format!("{what}: {count} of {all}; {last_error:?}").into());
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Makes half of the nodes lose every packet, or mends them.
    pub(crate) fn black_hole(&self, is_black: bool) {
        self.wire.half_is_black.store(is_black, Ordering::Relaxed);
    }

    /// Bytes in both directions so far, headers included.
    pub(crate) fn bytes(&self) -> u64 {
        self.wire.bytes()
    }

    /// Makes so many facts of each server at each node and waits until the hub has them.
    pub(crate) async fn report(&self, rounds: usize) -> Outcome {
        for member in &self.nodes {
            member.node.measure(rounds);
        }
        self.wait("facts acknowledged", |member| member.node.unacked() == 0).await
    }

    fn latencies_ms(&self) -> Vec<f64> {
        let taken = self.nodes.iter().flat_map(|member| member.node.take_latencies_ms());
        let mut all: Vec<f64> = taken.collect();
        all.sort_by(f64::total_cmp);
        all
    }
}

async fn enrol(
    admin: &Client,
    clock: &Arc<dyn Clock>,
    wire: &Arc<Wire>,
    number: u32,
    dir: &Path,
) -> Outcome<NodeId> {
    let name = format!("node-{number}");
    let body = from_value(json!({ "name": name }))?;
    let made = admin.again().await?.call::<table::CreateJoinToken>(&(), &(), &body).await?;
    let token: JoinToken = made.token.parse()?;
    std::fs::create_dir_all(dir)?;
    let config = EnrolConfig {
        data_dir: dir.to_owned(),
        hubs: vec![],
        name_hint: name,
        machine: Machine::default(),
        net: socket::plug(wire, number)?,
    };
    Ok(mamba_edge::link::enrol(&config, &token, clock, &SystemEntropy).await?.node)
}

async fn make_tenant(admin: &mut Client) -> Outcome<TenantId> {
    let owner = json!({ "email": "owner@tenant.example", "password": crate::hub::PASSWORD });
    let tenant = from_value(json!({ "name": "Tenant", "owner": owner }))?;
    Ok(admin.call::<table::CreateTenant>(&(), &(), &tenant).await?.tenant)
}

async fn servers_on(
    admin: &Client,
    tenant: TenantId,
    node: NodeId,
    count: u16,
) -> Outcome<Vec<ServerId>> {
    let mut client = admin.again().await?;
    let ports = from_value(json!({
        "node": node, "ip": "127.0.0.1", "protocol": "both",
        "port": PORT_FIRST, "port_last": PORT_FIRST + count,
    }))?;
    client.call::<table::CreateAllocations>(&(), &(), &ports).await?;
    let mut servers = Vec::new();
    for number in 0..count {
        let body = from_value(json!({
            "name": format!("world {number}"), "tenant": tenant, "node": node,
            "blueprint": "teeworlds",
            "limits": {
                "memory_mib": 256, "swap_mib": 0, "cpu_millicores": 500,
                "disk_mib": 512, "pids": 64,
            },
        }))?;
        servers.push(client.call::<table::CreateServer>(&(), &(), &body).await?.server.server);
    }
    Ok(servers)
}

/// Measures the fleet.
pub(crate) async fn run(
    programs: &Path,
    out: &Path,
    size: (u32, u16),
    is_quick: bool,
) -> Outcome<Vec<Figure>> {
    // A whole one reports every five minutes.
    let (whole, span) = if is_quick { ((5, 5), 20) } else { (WHOLE, 330) };
    let whole = whole::measure(programs, out, whole, Duration::from_secs(span)).await?;
    let mut fleet = Fleet::assemble(programs, out, size).await?;
    let seconds = if is_quick { 16 } else { 120 };
    let nodes = f64::from(size.0);
    let mut figures = vec![
        Figure::new("nodes", "", nodes),
        Figure::new("servers on each", "", f64::from(size.1)),
        Figure::new("all nodes connected at once after", "s", fleet.connected_in.as_secs_f64()),
        Figure::new("hub memory per connected node", "KiB", fleet.node_kib).at_most(60.0),
    ];
    // A quick look is shorter than the time in which each node reports once.
    let pace = if is_quick { Duration::from_secs(seconds.into()) } else { FACTS_EVERY };
    figures.extend(quiet(&fleet, size, seconds, pace).await?);
    figures.extend(backlog(&fleet, size, BACKLOG_ROUNDS).await?);
    figures.extend(storm::measure(&mut fleet, size).await?);
    figures.extend(whole);
    Ok(figures)
}

/// Nothing happens, then each node reports usage at the pace of the product.
async fn quiet(
    fleet: &Fleet,
    size: (u32, u16),
    seconds: u32,
    pace: Duration,
) -> Outcome<Vec<Figure>> {
    // The first reports say what later ones repeat.
    fleet.report(1).await?;
    fleet.latencies_ms();
    say(&format!("idle for {seconds} s"));
    let (nodes, span) = (f64::from(size.0), f64::from(seconds));
    let (bytes, used) = (fleet.wire.bytes(), fleet.hub.usage()?);
    sleep(Duration::from_secs(seconds.into())).await;
    let idle_bytes = bytes_since(fleet, bytes);
    let idle_cpu = fleet.hub.usage()?.cpu_s - used.cpu_s;
    say(&format!("usage for {seconds} s"));
    let (bytes, used) = (fleet.wire.bytes(), fleet.hub.usage()?);
    let mut tick = interval(pace / size.0.max(1));
    let begun = Instant::now();
    let mut reported = 0.0;
    for member in fleet.nodes.iter().cycle() {
        tick.tick().await;
        if begun.elapsed() >= Duration::from_secs(seconds.into()) {
            break;
        }
        member.node.measure(1);
        reported += f64::from(size.1);
    }
    fleet.wait("facts acknowledged", |member| member.node.unacked() == 0).await?;
    let busy_bytes = bytes_since(fleet, bytes);
    let busy_cpu = fleet.hub.usage()?.cpu_s - used.cpu_s;
    let ms = fleet.latencies_ms();
    let (p50, p99) = (quantile(&ms, 0.5), quantile(&ms, 0.99));
    // What facts add to the quiet link; one server reports twelve times an hour.
    let per_fact = (busy_bytes - idle_bytes).max(0.0) / f64::max(reported, 1.0);
    let idle_kib = idle_bytes / nodes / span * 3_600.0 / 1_024.0;
    Ok(vec![
        Figure::new("idle link, both directions", "KiB per node-hour", idle_kib).at_most(40.0),
        Figure::new("usage on the wire", "bytes per server-hour", per_fact * 12.0).at_most(250.0),
        Figure::new("ack of a fact, p50", "ms", p50),
        Figure::new("ack of a fact, p99", "ms", p99).at_most(1_000.0),
        Figure::new(
            "hub CPU, idle nodes",
            "s of CPU per node-hour",
            idle_cpu / nodes / span * 3_600.0,
        ),
        Figure::new(
            "hub CPU, reporting nodes",
            "s of CPU per node-hour",
            busy_cpu / nodes / span * 3_600.0,
        ),
    ])
}

fn bytes_since(fleet: &Fleet, before: u64) -> f64 {
    (fleet.wire.bytes() - before) as f64
}

/// All nodes come back from a long time without the hub, with `rounds` facts of each server.
async fn backlog(fleet: &Fleet, size: (u32, u16), rounds: u32) -> Outcome<Vec<Figure>> {
    let count = f64::from(size.0) * f64::from(size.1) * f64::from(rounds);
    say(&format!("a backlog of {count} facts"));
    let (used, database) = (fleet.hub.usage()?, fleet.hub.database_bytes()?);
    let begun = Instant::now();
    fleet.report(usize::try_from(rounds)?).await?;
    let seconds = begun.elapsed().as_secs_f64();
    fleet.latencies_ms();
    let cpu_s = fleet.hub.usage()?.cpu_s - used.cpu_s;
    let after = fleet.hub.database_bytes()?;
    let grown = after.saturating_sub(database) as f64;
    Ok(vec![
        Figure::new("facts taken from a backlog", "per s", count / seconds),
        Figure::new("hub CPU for a backlog", "s of CPU per million facts", cpu_s / count * 1e6),
        Figure::new("database grows by", "bytes per fact", grown / count),
        Figure::new("database", "MiB", after as f64 / 1_048_576.0),
    ])
}
