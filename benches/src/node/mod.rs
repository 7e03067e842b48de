//! One node as its users feel it: a real hub, a real edge and the machine's Docker Engine, with a game
//! that answers each line and writes on demand.

mod boot;
mod lines;
mod power;

pub(crate) use lines::echo;

use crate::{
    Outcome,
    client::Client,
    edge::{self, Edge},
    engine, game,
    hub::Hub,
    report::{Figure, say},
};
use futures_util::future::try_join_all;
use mamba_core::{
    ids::ServerId,
    lifecycle::{PowerAction, ServerState},
};
use mamba_wire::api::{params::ServerPath, server::Power, table};
use std::{path::Path, time::Duration};
use tokio::time::sleep;

/// Time for what a start or stop leaves behind, before anything idle is measured.
const SETTLE: Duration = Duration::from_secs(5);

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Amount {
    /// Containers at each step, ascending.
    sizes: &'static [usize],
    /// Length of a look at something that goes on.
    span: Duration,
    /// Starts, each beside one of the engine's own.
    starts: usize,
    /// Lines typed.
    echoes: usize,
    /// Lines of a flood.
    flood: u64,
}

impl Amount {
    /// As much as a figure needs, or what fits into two minutes.
    pub(crate) const fn new(is_quick: bool) -> Self {
        if is_quick {
            let span = Duration::from_secs(5);
            Self { sizes: &[1, 50], span, starts: 5, echoes: 100, flood: 200_000 }
        } else {
            let span = Duration::from_secs(30);
            Self { sizes: &[1, 10, 50], span, starts: 15, echoes: 500, flood: 1_000_000 }
        }
    }

    /// Containers at the largest step.
    fn size_max(&self) -> usize {
        self.sizes.last().copied().unwrap_or(1)
    }
}

/// A hub, a node and servers on it.
pub(crate) struct Scene {
    hub: Hub,
    edge: Edge,
    admin: Client,
    servers: Vec<ServerId>,
}

impl Scene {
    async fn assemble(programs: &Path, out: &Path, servers: usize) -> Outcome<Self> {
        engine::docker(&["image", "inspect", game::IMAGE])
            .await
            .map_err(|err| format!("{err}: `scripts/images probe` makes it"))?;
        let hub = Hub::new(programs, &out.join("hub"), None).await?;
        let mut admin = hub.admin().await?;
        let edge = Edge::new(programs, &out.join("edge"), &mut admin).await?;
        let tenant = game::introduce(&mut admin).await?;
        let mut made = Vec::new();
        for number in 0..servers {
            let name = format!("game {number}");
            made.push(edge::create_server(&mut admin, tenant, edge.node, &name).await?);
        }
        edge.until(servers, ServerState::Offline).await?;
        Ok(Self { hub, edge, admin, servers: made })
    }

    /// The first server.
    fn first(&self) -> Outcome<ServerId> {
        Ok(*self.servers.first().ok_or("no server")?)
    }

    /// Asks the hub for a power action.
    async fn power(&self, client: &mut Client, server: ServerId, action: PowerAction) -> Outcome {
        let power = Power { action, expires_in_ms: None };
        client.call::<table::Power>(&ServerPath { server }, &(), &power).await.map(drop)
    }

    /// Starts the first `count` servers and waits until they run.
    async fn run(&self, count: usize) -> Outcome {
        let mut client = self.admin.again().await?;
        for server in self.servers.iter().take(count) {
            self.power(&mut client, *server, PowerAction::Start).await?;
        }
        self.edge.until(count, ServerState::Running).await
    }
}

/// Measures the node.
pub(crate) async fn run(programs: &Path, out: &Path, is_quick: bool) -> Outcome<Vec<Figure>> {
    let amount = Amount::new(is_quick);
    let mut scene = Scene::assemble(programs, out, amount.size_max()).await?;
    let mut figures = Vec::new();
    say("an edge without a running server");
    sleep(SETTLE).await;
    figures.extend(idle(&scene, 0, amount.span).await?);
    say("starts beside the engine's own");
    figures.extend(power::measure(&scene, amount.starts).await?);
    for &size in amount.sizes {
        say(&format!("{size} running"));
        scene.run(size).await?;
        sleep(SETTLE).await;
        figures.extend(idle(&scene, size, amount.span).await?);
    }
    figures.extend(lines::measure(&scene, amount).await?);
    figures.extend(boot::measure(&mut scene, amount).await?);
    engine::remove_own();
    Ok(figures)
}

/// What the edge takes while nothing happens.
async fn idle(scene: &Scene, running: usize, span: Duration) -> Outcome<Vec<Figure>> {
    let before = scene.edge.usage()?;
    sleep(span).await;
    let after = scene.edge.usage()?;
    let (memory, peer) = match running {
        0 => (Some(12.0), Some(29.0)),
        50 => (Some(20.0), Some(43.0)),
        _ => (None, None),
    };
    let name = |what: &str| format!("{what}, {running} running");
    let mib = Figure::new(&name("edge memory"), "MiB", after.resident_kib / 1_024.0);
    let program =
        Figure::new(&name("of it pages of the program"), "MiB", after.program_kib / 1_024.0);
    let percent = (after.cpu_s - before.cpu_s) / span.as_secs_f64() * 100.0;
    let cpu = Figure::new(&name("edge CPU"), "% of a core", percent);
    Ok(vec![
        Figure { peer, ..memory.map_or(mib.clone(), |limit| mib.at_most(limit)) },
        program,
        if running == 50 { cpu.at_most(1.0).beside(1.3) } else { cpu },
    ])
}

/// Lets every server do something at the same time, and waits for all.
async fn all<T, F: Future<Output = Outcome<T>>>(
    scene: &Scene,
    each: impl Fn(ServerId) -> F,
) -> Outcome<Vec<T>> {
    try_join_all(scene.servers.iter().map(|server| each(*server))).await
}
