//! What must go on while the hub is away, whether it is dead or only cut off.

use crate::{
    acts::{cast::Cast, plain},
    docker::{self, Container},
    edge::{Away, Edge},
    report::{Played, Report, Stopped, ensure, seconds, until},
    stage::{Cut, Stage},
};
use futures_util::future::try_join_all;
use mamba_core::{fact::Activity, lifecycle::ServerState};
use std::time::Duration;
use tokio::time::Instant;

/// Longest time until a crashed server answers again, on two busy cores.
const BACK_MAX: Duration = seconds(60);
/// Invariant D4: with the hub away every server that should run does so within 60 s of the daemon
/// being up.
const BOOT_MAX: Duration = seconds(60);
/// How long the edge stays away when it is killed: long enough for a gap to be seen.
const AWAY: Duration = seconds(3);

/// Crashes every game and waits until all answer again.
pub(crate) async fn crash(report: &mut Report, cast: &mut Cast) -> Result<(), Stopped> {
    let crashed = async {
        let before = cast.containers().await?;
        let ids: Vec<String> = before.iter().map(|container| container.id.clone()).collect();
        let from = Instant::now();
        cast.worlds_are_made().await?;
        docker::kill(&ids).await?;
        restarted(cast, &before, BACK_MAX).await?;
        Ok(((), format!("{} back after {:.1} s", ids.len(), from.elapsed().as_secs_f64())))
    };
    report.step("games are killed and come back without the hub", crashed).await
}

/// Waits until every server runs in a later process than before, and answers.
async fn restarted(cast: &Cast, before: &[Container], within: Duration) -> Played {
    until(within, async || {
        for (old, new) in before.iter().zip(cast.containers().await?) {
            ensure(new.is_running && new.started_at != old.started_at, || {
                format!("{} started at {}, runs: {}", new.name, new.started_at, new.is_running)
            })?;
        }
        Ok(())
    })
    .await?;
    cast.all_answer(within).await.map(drop)
}

/// Stops and starts every server from the local command line.
pub(crate) async fn power_by_cli(report: &mut Report, cast: &mut Cast) -> Result<(), Stopped> {
    let stopped = async {
        let from = Instant::now();
        power_all(cast, "stop").await?;
        for container in cast.containers().await.unwrap_or_default() {
            ensure(!container.is_running, || format!("{} still runs", container.name))?;
        }
        for role in &cast.roles {
            ensure(role.game.query(role.port).await.is_err(), || format!("{} answers", role.name))?;
        }
        Ok(((), figure(from)))
    };
    report.step("`mamba-edge power NAME stop` stops them", stopped).await?;
    let started = async {
        let from = Instant::now();
        power_all(cast, "start").await?;
        cast.all_answer(BACK_MAX).await?;
        Ok(((), figure(from)))
    };
    report.step("`mamba-edge power NAME start` starts them", started).await
}

pub(crate) async fn power_all(cast: &Cast, action: &str) -> Played {
    let all = cast.roles.iter().map(|role| async move {
        cast.edge_of(role)?.must(&["power", &role.name, action, "--wait", "50"]).await
    });
    try_join_all(all).await.map(drop)
}

/// Kills the edges; games go on, and the new daemons take the same processes over.
pub(crate) async fn edge_restart(report: &mut Report, cast: &mut Cast) -> Result<(), Stopped> {
    let adopted = async {
        let before = cast.containers().await?;
        for edge in &mut cast.edges {
            let from = edge.status().await?.now;
            edge.kill().await?;
            edge.away.push(Away { from, to: from });
        }
        cast.all_answer(seconds(20)).await?;
        tokio::time::sleep(AWAY).await;
        let from = Instant::now();
        for edge in &mut cast.edges {
            start_again(edge).await?;
        }
        let up = from.elapsed().as_secs_f64();
        all_running(cast, BOOT_MAX).await?;
        let after = cast.containers().await?;
        ensure(before == after, || format!("before {before:?}, after {after:?}"))?;
        for role in &cast.roles {
            let facts = cast.edge_of(role)?.facts(&role.name).await?;
            let newest = facts.iter().find(|fact| {
                matches!(
                    fact.body,
                    Activity::Adopted | Activity::Started | Activity::Crashed { .. }
                )
            });
            ensure(newest.is_some_and(|fact| fact.body == Activity::Adopted), || {
                format!("{}: newest of its facts is {newest:?}", role.name)
            })?;
        }
        Ok(((), format!("same containers and processes; up after {up:.2} s")))
    };
    report.step("kill -9 the edge: the next one adopts what runs", adopted).await
}

/// Starts an edge whose absence began, and notes the end of that.
async fn start_again(edge: &mut Edge) -> Played {
    let to = edge.start().await?.now;
    if let Some(away) = edge.away.last_mut() {
        away.to = to;
    }
    Ok(())
}

/// Kills edges and containers at once, as a power cut does, and starts only the edges.
pub(crate) async fn power_cut(report: &mut Report, cast: &mut Cast) -> Result<(), Stopped> {
    let booted = async {
        let before = cast.containers().await?;
        for edge in &mut cast.edges {
            let from = edge.status().await?.now;
            edge.kill().await?;
            edge.away.push(Away { from, to: from });
        }
        let ids: Vec<String> = before.iter().map(|container| container.id.clone()).collect();
        cast.worlds_are_made().await?;
        docker::kill(&ids).await?;
        let from = Instant::now();
        for edge in &mut cast.edges {
            start_again(edge).await?;
        }
        let up = from.elapsed().as_secs_f64();
        restarted(cast, &before, BOOT_MAX).await?;
        let all = from.elapsed().as_secs_f64();
        Ok(((), format!("daemons up after {up:.2} s, {} games answer after {all:.1} s", ids.len())))
    };
    report.step("a power cut: the edges start all from their stores", booted).await
}

/// Waits until the edges show every server running.
async fn all_running(cast: &Cast, within: Duration) -> Played {
    until(within, async || {
        for edge in &cast.edges {
            for line in edge.servers().await? {
                let it = &line.observed;
                ensure(it.state == ServerState::Running, || {
                    format!("{} is {:?}, {:?}", line.name, it.state, it.not_running)
                })?;
            }
        }
        Ok(())
    })
    .await
}

/// Cuts the line between hub and edges without telling either.
pub(crate) async fn cut(report: &mut Report, stage: &Stage, cast: &Cast) -> Result<Cut, Stopped> {
    let port = cast.hub.link_port;
    let cut = async {
        Ok((Cut::of_udp_port(port, stage.rule_comment()).await?, format!("UDP port {port}")))
    };
    let cut = report.step("the firewall drops everything between hub and edges", cut).await?;
    let alone = async { cast.admin.nodes().await.map(drop).map(plain) };
    report.step("the hub still serves its own users", alone).await?;
    Ok(cut)
}

fn figure(from: Instant) -> String {
    format!("{:.1} s", from.elapsed().as_secs_f64())
}
