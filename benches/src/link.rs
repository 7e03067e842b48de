//! The line between a node and its hub: what it carries when all is well, and how it does when it is bad.

use crate::{
    Outcome,
    console::Console,
    edge::{self, Edge},
    fleet::Fleet,
    game,
    hub::Hub,
    node::echo,
    proxy::{Faults, Proxy},
    report::{Figure, quantile, say},
};
use mamba_bench::sample;
use mamba_core::{
    clock::{Clock, HOUR_MS, SystemClock, UnixMs},
    db::{DataDir, Store, StoreOptions, Txn},
    fact::Stream,
    ids::{ServerId, TenantId},
    lifecycle::{PowerAction, ServerState},
};
use mamba_edge::outbox::{self, OutboxError, usage_facts_max};
use mamba_wire::{
    api::{params::ServerPath, server::Power, table},
    node::{Answer, NodeRequest, OutboxLine},
};
use std::{path::Path, time::Duration};
use tokio::time::{Instant, sleep};

/// Seed of losses.
const SEED: u64 = 6;
/// Servers whose facts have waited.
const BACKLOG_SERVERS: u64 = 50;
/// Days that they have waited.
const BACKLOG_DAYS: u64 = 30;
/// Facts in one transaction.
const CHUNK_FACTS: usize = 64;
/// Longest drain.
const DRAIN_MAX: Duration = Duration::from_secs(900);

/// Measures the link.
pub(crate) async fn run(programs: &Path, out: &Path, is_quick: bool) -> Outcome<Vec<Figure>> {
    let mut figures = steady(programs, out, is_quick).await?;
    figures.extend(bad_line(programs, out, is_quick).await?);
    Ok(figures)
}

/// Nodes that report usage as they do every five minutes, on a good line.
async fn steady(programs: &Path, out: &Path, is_quick: bool) -> Outcome<Vec<Figure>> {
    let mut figures = Vec::new();
    let rounds = if is_quick { 12 } else { 60 };
    for servers in [10_u16, 50] {
        let fleet = Fleet::assemble(programs, out, (1, servers)).await?;
        // The first batches say what later ones repeat.
        fleet.report(1).await?;
        let before = fleet.bytes();
        for _ in 0..rounds {
            fleet.report(1).await?;
            sleep(Duration::from_millis(200)).await;
        }
        let all = (fleet.bytes() - before) as f64;
        let per_fact = all / f64::from(rounds) / f64::from(servers);
        let name = format!("usage on the wire, {servers} servers on the node");
        let figure = Figure::new(&name, "bytes per server-hour", per_fact * 12.0);
        figures.push(if servers == 50 { figure.at_most(250.0) } else { figure });
    }
    Ok(figures)
}

/// A hub, and an edge behind a line that can be made bad.
struct Scene {
    hub: Hub,
    proxy: Proxy,
    edge: Edge,
    admin: crate::client::Client,
    tenant: TenantId,
    server: ServerId,
}

impl Scene {
    async fn assemble(programs: &Path, out: &Path) -> Outcome<Self> {
        let mut proxy = Proxy::bind().await?;
        let hub = Hub::new(programs, &out.join("hub"), Some(proxy.at)).await?;
        proxy.carry_to(hub.link, SEED);
        let mut admin = hub.admin().await?;
        let edge = Edge::new(programs, &out.join("edge"), &mut admin).await?;
        let tenant = game::introduce(&mut admin).await?;
        let server = edge::create_server(&mut admin, tenant, edge.node, "game").await?;
        edge.until(1, ServerState::Offline).await?;
        Ok(Self { hub, proxy, edge, admin, tenant, server })
    }

    async fn outbox(&self) -> Outcome<OutboxLine> {
        match self.edge.ask(&NodeRequest::Outbox).await? {
            Answer::Outbox(lines) => {
                let usage = lines.into_iter().find(|line| line.stream == Stream::Usage);
                Ok(usage.ok_or("no outbox of usage")?)
            }
            other => Err(format!("`Outbox` was answered with {other:?}").into()),
        }
    }

    /// Puts usage of a long time into the outbox of the edge, which does not run.
    async fn fill(&self, days: u64) -> Outcome<u64> {
        let count = usage_facts_max(BACKLOG_SERVERS, days);
        let dir = DataDir::open(&self.edge.data(), mamba_edge::store::KIND)?;
        let store = Store::open(&dir, 0, StoreOptions::EDGE)?;
        let now = SystemClock::new()?.wall();
        let hours = count / BACKLOG_SERVERS;
        let begin = UnixMs(now.hour().0 - hours * HOUR_MS);
        let tenant = self.tenant;
        let facts: Vec<_> = (0..count)
            .map(|index| {
                let server = some_server(index % BACKLOG_SERVERS);
                let from = begin.plus(index / BACKLOG_SERVERS * HOUR_MS);
                sample::varied((tenant, server), from, HOUR_MS, index)
            })
            .collect();
        for chunk in facts.chunks(CHUNK_FACTS) {
            let chunk = chunk.to_vec();
            let append = move |txn: &mut Txn<'_>| {
                chunk.iter().try_for_each(|fact| outbox::append_usage(txn, now, fact).map(drop))
            };
            store.write::<(), OutboxError, _>(append).await?;
        }
        store.close().await;
        Ok(count)
    }
}

/// A server that is nowhere but in facts, with an id as random as real ones.
fn some_server(number: u64) -> ServerId {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&sample::random(2 * number).to_be_bytes());
    id[8..].copy_from_slice(&sample::random(2 * number + 1).to_be_bytes());
    ServerId::from_bytes(id)
}

/// One node far away.
async fn bad_line(programs: &Path, out: &Path, is_quick: bool) -> Outcome<Vec<Figure>> {
    let mut scene = Scene::assemble(programs, out).await?;
    let (span, count, days) = if is_quick { (16, 30, 2) } else { (240, 300, BACKLOG_DAYS) };
    say(&format!("an idle node for {span} s"));
    sleep(Duration::from_secs(5)).await;
    let before = scene.proxy.bytes();
    sleep(Duration::from_secs(span)).await;
    let idle = (scene.proxy.bytes() - before) as f64 / 1_024.0 / span as f64 * 3_600.0;
    let power = Power { action: PowerAction::Start, expires_in_ms: None };
    let path = ServerPath { server: scene.server };
    scene.admin.call::<table::Power>(&path, &(), &power).await?;
    scene.edge.until(1, ServerState::Running).await?;

    say("a console on a bad line");
    scene.proxy.set(Faults::BAD);
    let alone = typed(&scene, count).await?;
    say(&format!("{days} days of facts and a console on a bad line"));
    scene.edge.stop().await?;
    let facts = scene.fill(days).await?;
    let before = scene.proxy.bytes();
    scene.edge.start().await?;
    scene.edge.connected().await?;
    let begun = Instant::now();
    let (beside, drained) = tokio::join!(typed(&scene, count), drained(&scene, begun));
    let (beside, drained) = (beside?, drained?);
    let carried = (scene.proxy.bytes() - before) as f64;
    let floor = carried * 8.0 / 1e6;
    scene.hub.stop().await?;
    let name = |what: &str| format!("{what} at 1 Mbit/s, 5 % loss, 80 ms");
    let echo = |what: &str, of: &[f64], part| Figure::new(&name(what), "ms", quantile(of, part));
    Ok(vec![
        Figure::new("idle link, both directions", "KiB per hour", idle).at_most(40.0),
        echo("console echo, p50,", &alone, 0.5).beside(80.0),
        echo("console echo, p99,", &alone, 0.99),
        echo("console echo beside a backlog, p50,", &beside, 0.5).beside(80.0),
        echo("console echo beside a backlog, p99,", &beside, 0.99),
        Figure::new(&format!("facts of {days} days of 50 servers"), "", facts as f64),
        Figure::new(&name("drain of these,"), "s", drained).beside(floor),
        Figure::new("bytes on the wire for each of these", "bytes", carried / facts as f64),
    ])
}

/// Sorted times of typed lines through the hub.
async fn typed(scene: &Scene, count: usize) -> Outcome<Vec<f64>> {
    let mut ms = echo(Console::through_hub(&scene.admin, scene.server).await?, count).await?;
    ms.sort_by(f64::total_cmp);
    Ok(ms)
}

/// Waits until the hub has everything; returns the seconds that took.
async fn drained(scene: &Scene, begun: Instant) -> Outcome<f64> {
    loop {
        let line = scene.outbox().await?;
        if line.acked.next() == line.next {
            return Ok(begun.elapsed().as_secs_f64());
        }
        if begun.elapsed() > DRAIN_MAX {
            return Err(format!("outbox is not empty: {line:?}").into());
        }
        sleep(Duration::from_millis(100)).await;
    }
}
