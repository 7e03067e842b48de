//! The machine comes up and the hub is not there.

use super::{Amount, Scene};
use crate::{
    Outcome,
    engine::{self, Floor},
    report::{Figure, say},
};
use futures_util::future::try_join_all;
use mamba_core::{
    clock::{Clock, SystemClock, UnixMs},
    lifecycle::ServerState,
};
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::time::Instant;

/// Containers that the edge starts at the same time by default.
const STARTS_AT_ONCE: usize = 4;

/// Ends hub, edge and games as a power cut does and starts the edge alone.
pub(super) async fn measure(scene: &mut Scene, amount: Amount) -> Outcome<Vec<Figure>> {
    let count = amount.size_max();
    say(&format!("boot without the hub, {count} servers"));
    let container = engine::container_of(&scene.first()?.to_string()).await?;
    let floor = Floor::like(&container).await?;
    scene.hub.stop().await?;
    cut(scene).await?;
    let engine_s = all_at_the_engine(floor, count).await?;
    engine::remove_own();

    let clock = SystemClock::new()?;
    let (begun, began_at) = (Instant::now(), clock.wall());
    scene.edge.spawn()?;
    // What it saw last before the cut is what it says until it has looked at the engine.
    scene
        .edge
        .until_all(count, |it| {
            it.state == ServerState::Running && it.started_at.is_some_and(|at| at >= began_at)
        })
        .await?;
    let all_s = begun.elapsed().as_secs_f64();
    let last_s = last_start(count, began_at, clock.wall()).await?.since(began_at) as f64 / 1_000.0;
    let name = |what: &str| format!("{what}, {count} servers");
    Ok(vec![
        Figure::new(&name("the engine starts all, 4 at a time"), "s", engine_s),
        Figure::new(&name("boot without the hub until all run"), "s", all_s).beside(engine_s),
        Figure::new(&name("boot until the engine has made the last start"), "s", last_s)
            .beside(engine_s),
        Figure::new(&name("of it beyond the engine's own pace"), "s", (last_s - engine_s).max(0.0))
            .at_most(2.0),
    ])
}

/// Kills edge and games.
async fn cut(scene: &mut Scene) -> Outcome {
    scene.edge.kill().await?;
    let filter = format!("label=mamba.node={}", scene.edge.node);
    let running = engine::docker(&["ps", "--quiet", "--no-trunc", "--filter", &filter]).await?;
    let mut args = vec!["kill", "--signal", "KILL"];
    args.extend(running.split_whitespace());
    engine::docker(&args).await.map(drop)
}

/// Lets the engine alone create and start so many; returns the seconds that took.
async fn all_at_the_engine(floor: Floor, count: usize) -> Outcome<f64> {
    let (left, begun) = (AtomicUsize::new(count), Instant::now());
    let workers = (0..STARTS_AT_ONCE).map(async |_| {
        let mut floor = floor.again().await?;
        while left.try_update(Ordering::Relaxed, Ordering::Relaxed, |it| it.checked_sub(1)).is_ok()
        {
            floor.start().await?;
        }
        Outcome::Ok(())
    });
    try_join_all(workers).await?;
    Ok(begun.elapsed().as_secs_f64())
}

/// Returns when the engine made the last of so many starts since then.
async fn last_start(count: usize, since: UnixMs, until: UnixMs) -> Outcome<UnixMs> {
    let seconds = |at: UnixMs| format!("{}.{:03}", at.0 / 1_000, at.0 % 1_000);
    let (since, until) = (seconds(since), seconds(until));
    let filters = ["--filter", "type=container", "--filter", "event=start"];
    let span = ["events", "--since", &since, "--until", &until, "--format", "{{.TimeNano}}"];
    let told = engine::docker(&[span.as_slice(), &filters].concat()).await?;
    let mut starts = told.lines().map(str::parse::<u64>).collect::<Result<Vec<_>, _>>()?;
    starts.sort_unstable();
    let last =
        starts.get(count - 1).ok_or_else(|| format!("{} of {count} starts", starts.len()))?;
    Ok(UnixMs(last / 1_000_000))
}
