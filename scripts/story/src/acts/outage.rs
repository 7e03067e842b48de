//! What must go on while the hub is away, whether it is dead or only cut off.

use crate::{
    acts::{
        cast::{Cast, Role},
        plain,
    },
    docker::{self, Container},
    edge::SAMPLE_EVERY,
    report::{Played, Report, Stopped, ensure, seconds, until},
    stage::Cut,
};
use futures_util::future::try_join_all;
use mamba_core::{
    clock::UnixMs,
    fact::{Activity, GapReason, UsageBody, UsageFact},
    lifecycle::ServerState,
};
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

async fn power_all(cast: &Cast, action: &str) -> Played {
    let all = cast.roles.iter().map(|role| async move {
        cast.edge_of(role)?.must(&["power", &role.name, action, "--wait", "50"]).await
    });
    try_join_all(all).await.map(drop)
}

/// Kills the edges; games go on, and the new daemons take the same processes over.
pub(crate) async fn edge_restart(report: &mut Report, cast: &mut Cast) -> Result<(), Stopped> {
    let mut away = Vec::new();
    let adopted = async {
        let before = cast.containers().await?;
        for edge in &mut cast.edges {
            let from = edge.status().await?.now;
            edge.kill().await?;
            away.push(Away { from, to: from });
        }
        cast.all_answer(seconds(20)).await?;
        tokio::time::sleep(AWAY).await;
        let from = Instant::now();
        for (edge, away) in cast.edges.iter_mut().zip(&mut away) {
            away.to = edge.start().await?.now;
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
    report.step("kill -9 the edge: the next one adopts what runs", adopted).await?;
    let metered = async {
        try_join_all(cast.roles.iter().map(|role| no_false_gap(cast, role, &away))).await?;
        let spans: Vec<String> =
            away.iter().map(|away| format!("{} ms", away.to.since(away.from))).collect();
        Ok(((), format!("daemons were away for {}", spans.join(", "))))
    };
    report.step("metering shows no gap that was not real", metered).await
}

/// When a daemon was not there, by the node's calendar.
#[derive(Clone, Copy, Debug)]
struct Away {
    from: UnixMs,
    to: UnixMs,
}

/// Waits for usage from after the daemon's absence, and looks at the time line around it.
async fn no_false_gap(cast: &Cast, role: &Role, away: &[Away]) -> Played {
    let away = away.get(role.edge).copied().ok_or("no such edge")?;
    let mut facts = until(seconds(30), async || {
        let facts = cast.edge_of(role)?.usage(&role.name).await?;
        let newest = facts.iter().map(|fact| fact.to).max();
        ensure(newest.is_some_and(|to| to > away.to), || {
            format!("newest usage ends at {newest:?}")
        })?;
        Ok(facts)
    })
    .await?;
    facts.sort_by_key(|fact| (fact.from, fact.to));
    check_time_line(&facts, away).map_err(|err| format!("{}: {err}", role.name).into())
}

/// Fails when a span around the daemon's absence is missing, counted twice, or called a gap although
/// the daemon was there.
fn check_time_line(facts: &[UsageFact], away: Away) -> Played {
    // The last sample before the kill and the first one after the start are this far off at most.
    let slack_ms = 2 * u64::try_from(SAMPLE_EVERY.as_millis())?;
    let begin = UnixMs(away.from.0.saturating_sub(slack_ms));
    let end = away.to.plus(slack_ms);
    let mut covered = None;
    for fact in facts.iter().filter(|fact| fact.to > begin) {
        let before = covered.unwrap_or(fact.from);
        match &fact.body {
            UsageBody::Gap(reason) => {
                let is_real =
                    *reason == GapReason::Recovered && fact.from >= begin && fact.to <= end;
                ensure(is_real, || format!("gap {fact:?}, daemon was away {away:?}"))?;
            }
            UsageBody::Measured(_) => {
                ensure(fact.from >= before, || format!("measured twice up to {before}: {fact:?}"))?;
                let is_hole = fact.from > before;
                let is_real = before >= begin && fact.from <= end;
                ensure(!is_hole || is_real, || {
                    format!("nothing from {before} to {}, daemon was away {away:?}", fact.from)
                })?;
                covered = Some(fact.to);
            }
            UsageBody::ClockStep { by_ms } => {
                return Err(format!("a clock step of {by_ms} ms that nobody made").into());
            }
        }
    }
    ensure(covered.is_some_and(|to| to > away.to), || {
        "nothing measured after the absence".to_owned()
    })
}

/// Kills edges and containers at once, as a power cut does, and starts only the edges.
pub(crate) async fn power_cut(report: &mut Report, cast: &mut Cast) -> Result<(), Stopped> {
    let booted = async {
        let before = cast.containers().await?;
        for edge in &mut cast.edges {
            edge.kill().await?;
        }
        let ids: Vec<String> = before.iter().map(|container| container.id.clone()).collect();
        docker::kill(&ids).await?;
        let from = Instant::now();
        for edge in &mut cast.edges {
            edge.start().await?;
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
pub(crate) async fn cut(report: &mut Report, cast: &mut Cast) -> Result<Cut, Stopped> {
    let port = cast.hub.link_port;
    let cut = async { Ok((Cut::of_udp_port(port).await?, format!("UDP port {port}"))) };
    let cut = report.step("the firewall drops everything between hub and edges", cut).await?;
    let alone = async { cast.admin.nodes().await.map(drop).map(plain) };
    report.step("the hub still serves its own users", alone).await?;
    Ok(cut)
}

fn figure(from: Instant) -> String {
    format!("{:.1} s", from.elapsed().as_secs_f64())
}
