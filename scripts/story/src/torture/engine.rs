//! The Docker Engine restarts under the edge: one that this act starts itself.

use super::{
    checks,
    ledger::Ledger,
    scene::{self, READY_MAX, Set},
};
use crate::{
    acts::cast,
    docker::{self, Container},
    edge::EdgeSettings,
    engine::{Containers, Engine},
    games::Game,
    hub::HubPlace,
    report::{Played, Report, Stopped, ensure, seconds},
    stage::Stage,
};
use std::time::Duration;

/// How long the engine is away: the edge has to notice.
const AWAY: Duration = seconds(5);

/// Plays it.
pub(super) async fn play(report: &mut Report, stage: &mut Stage) -> Result<(), Stopped> {
    report.act("the engine restarts", Vec::new());
    let started = async {
        let mut engine = Engine::prepare(stage)?;
        engine.start(Containers::Stay).await?;
        engine.load(&["mamba/openttd:1", "mamba/teeworlds:1"]).await?;
        Ok((engine, String::new()))
    };
    let mut engine = report.step("a Docker Engine of our own", started).await?;
    let assembled = async {
        let edge = EdgeSettings {
            docker_socket: engine.socket.clone(),
            ..EdgeSettings::plain("engine-edge", "10.217.0.0/17")
        };
        let games = [Game::Openttd, Game::Teeworlds];
        let set = scene::assemble(stage, "engine", HubPlace::default(), edge, &games).await?;
        set.cast.all_answer(READY_MAX).await?;
        checks::recovered(&set.cast, set.node).await?;
        Ok((set, String::new()))
    };
    let set = report.step("an edge on it with two games", assembled).await?;
    report.act("the engine restarts", set.cast.logs());
    let mut ledger = Ledger::default();
    let killed = async { Ok(((), killed(&mut engine, &set, &mut ledger).await?)) };
    report.step("killed, while containers go on: they are adopted", killed).await?;
    let ended = async { Ok(((), ended(&mut engine, &set, &mut ledger).await?)) };
    report.step("restarted in order with all containers: they are started", ended).await?;
    let left = async {
        for id in
            docker::engine(&engine.socket, &["ps", "--all", "--quiet"]).await?.split_whitespace()
        {
            docker::engine(&engine.socket, &["rm", "--force", id]).await?;
        }
        engine.stop().await?;
        Ok(((), String::new()))
    };
    set.cast.leave(report).await?;
    report.step("the engine ends in order", left).await
}

async fn containers(engine: &Engine, set: &Set) -> Played<Vec<Container>> {
    let mut all = Vec::new();
    let edge = set.cast.edges.first().ok_or("no edge")?;
    for role in &set.cast.roles {
        let id = edge.server(&role.name).await?.container.ok_or("no container")?;
        all.push(docker::inspect_at(&engine.socket, &id).await?);
    }
    Ok(all)
}

async fn killed(engine: &mut Engine, set: &Set, ledger: &mut Ledger) -> Played<String> {
    let before = containers(engine, set).await?;
    engine.kill().await?;
    tokio::time::sleep(AWAY).await;
    engine.start(Containers::Stay).await?;
    is_well(set, ledger).await?;
    let after = containers(engine, set).await?;
    ensure(before == after, || format!("before {before:?}, after {after:?}"))?;
    is_well(set, ledger).await
}

async fn ended(engine: &mut Engine, set: &Set, ledger: &mut Ledger) -> Played<String> {
    engine.stop().await?;
    tokio::time::sleep(AWAY).await;
    engine.start(Containers::End).await?;
    engine.stop().await?;
    engine.start(Containers::End).await?;
    is_well(set, ledger).await
}

async fn is_well(set: &Set, ledger: &mut Ledger) -> Played<String> {
    let took = checks::recovered(&set.cast, set.node).await?;
    for role in &set.cast.roles {
        cast::answers(role, seconds(60)).await?;
    }
    let figures = ledger.agrees(&set.cast).await?;
    let events = ledger.same_events(&set.cast).await?;
    Ok(format!(
        "all run after {:.1} s, {} facts and {events} events once",
        took.running.as_secs_f64(),
        figures.custody
    ))
}
