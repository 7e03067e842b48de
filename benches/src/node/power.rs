//! From the wish to the running process, beside what the engine needs for the same container.

use super::Scene;
use crate::{
    Outcome,
    client::Client,
    engine::{self, Floor},
    report::{Figure, median},
};
use mamba_core::{
    ids::ServerId,
    lifecycle::{PowerAction, ServerState},
};
use mamba_wire::api::{params::ServerPath, table};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Time between two looks at the hub: below what is measured, and far above the cost of a look.
const LOOK_EVERY: Duration = Duration::from_millis(3);
/// Longest start or end.
const TURN_MAX: Duration = Duration::from_secs(60);

/// Starts a server through the hub and the same container by the engine, in turns.
pub(super) async fn measure(scene: &Scene, starts: usize) -> Outcome<Vec<Figure>> {
    let server = scene.first()?;
    let mut client = scene.admin.again().await?;
    // The first start makes network and folders.
    turn(scene, &mut client, server, PowerAction::Start).await?;
    let container = engine::container_of(&server.to_string()).await?;
    let mut floor = Floor::like(&container).await?;
    turn(scene, &mut client, server, PowerAction::Kill).await?;
    let (mut ours, mut engines) = (Vec::new(), Vec::new());
    for _ in 0..starts {
        ours.push(turn(scene, &mut client, server, PowerAction::Start).await?);
        turn(scene, &mut client, server, PowerAction::Kill).await?;
        let (id, ms) = floor.start().await?;
        engines.push(ms);
        engine::remove(&id).await?;
    }
    let (ours, engines) = (median(&mut ours), median(&mut engines));
    Ok(vec![
        Figure::new("the engine creates and starts the container", "ms", engines),
        Figure::new("request at the hub to running at the hub", "ms", ours).beside(engines),
        Figure::new("the same, times the engine's own time", "", ours / engines)
            .at_most(1.15)
            .beside(1.32),
    ])
}

/// Asks the hub for something and waits until the hub shows it; returns the time in milliseconds.
async fn turn(
    scene: &Scene,
    client: &mut Client,
    server: ServerId,
    action: PowerAction,
) -> Outcome<f64> {
    let state = match action {
        PowerAction::Start | PowerAction::Restart => ServerState::Running,
        PowerAction::Stop | PowerAction::Kill => ServerState::Offline,
    };
    let begun = Instant::now();
    scene.power(client, server, action).await?;
    loop {
        let shown = client.call::<table::ShowServer>(&ServerPath { server }, &(), &()).await?;
        if shown.observed.as_ref().is_some_and(|it| it.state == state) {
            return Ok(begun.elapsed().as_secs_f64() * 1_000.0);
        }
        if begun.elapsed() > TURN_MAX {
            return Err(format!("server is not {state:?}: {:?}", shown.observed).into());
        }
        sleep(LOOK_EVERY).await;
    }
}
