//! What must hold whenever the faults have stopped.

use crate::{
    acts::cast::{self, Cast},
    docker,
    report::{Played, ensure, seconds, until},
};
use mamba_core::{
    ids::{NodeId, ServerId},
    lifecycle::{NotRunning, ServerState},
};
use mamba_wire::{api::LinkState, node::ServerLine};
use std::{collections::BTreeMap, time::Duration};
use tokio::time::Instant;

/// Invariant D4: every server that should run does so within this time of the daemon being up.
pub(super) const RUNNING_MAX: Duration = seconds(60);
/// Invariant L1: everything has converged this long after the last fault.
pub(super) const CONVERGED_MAX: Duration = seconds(120);

/// How long it took until all was well again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Recovery {
    /// Until everything ran that should.
    pub(super) running: Duration,
    /// Until hub and edge agreed.
    pub(super) converged: Duration,
}

/// Waits until everything that should run does, then until hub and edge agree on everything.
pub(super) async fn recovered(cast: &Cast, node: NodeId) -> Played<Recovery> {
    let from = Instant::now();
    until(RUNNING_MAX, async || running(cast, node).await).await?;
    let running = from.elapsed();
    cast::live(&cast.admin, node).await?;
    until(CONVERGED_MAX.saturating_sub(from.elapsed()), async || agreed(cast).await).await?;
    Ok(Recovery { running, converged: from.elapsed() })
}

/// Each server has at most one container, and a process exactly if it should.
async fn running(cast: &Cast, node: NodeId) -> Played {
    let mut processes: BTreeMap<String, bool> = BTreeMap::new();
    let edge = cast.edges.first().ok_or("no edge")?;
    let socket = &edge.settings.docker_socket;
    for (server, runs) in docker::servers_of_node(socket, &node.to_string()).await? {
        let other = processes.insert(server.clone(), runs);
        ensure(other.is_none(), || format!("server {server} has two containers"))?;
    }
    for line in lines(cast).await? {
        let it = &line.observed;
        let runs = processes.remove(&it.server.to_string()).unwrap_or(false);
        if it.wish.running && it.not_running == Some(NotRunning::NotWanted) {
            // It is being deleted, which may take as long as its game takes to end: hub and edge
            // agree about that later.
            continue;
        }
        let wanted = if it.wish.running { ServerState::Running } else { ServerState::Offline };
        ensure(it.state == wanted && runs == it.wish.running, || {
            let (state, why) = (it.state, &it.not_running);
            format!("{} is {state:?}, wanted {wanted:?}, process {runs}: {why:?}", line.name)
        })?;
    }
    ensure(processes.is_empty(), || format!("containers of no server are left: {processes:?}"))
}

/// Hub and edge have the same servers, wishes and states, and nothing waits.
async fn agreed(cast: &Cast) -> Played {
    let mut theirs: BTreeMap<ServerId, ServerLine> = BTreeMap::new();
    for line in lines(cast).await? {
        let (server, name) = (line.observed.server, line.name.clone());
        let other = theirs.insert(server, line);
        ensure(other.is_none(), || format!("the edge lists {name} twice"))?;
    }
    for server in cast.admin.servers().await? {
        let name = &server.name;
        let line = theirs.remove(&server.server);
        if server.deleted_at.is_some() {
            ensure(line.is_none(), || format!("{name} is deleted, and still on the edge"))?;
            continue;
        }
        let line = line.ok_or_else(|| format!("{name} is not on the edge"))?;
        ensure(line.observed.applied == Some(server.desired), || {
            format!("{name}: wanted {:?}, applied {:?}", server.desired, line.observed.applied)
        })?;
        ensure(server.freshness.link == LinkState::Live, || format!("{name} is not live"))?;
        ensure(server.observed.as_ref() == Some(&line.observed), || {
            format!("{name}: the hub shows {:?}, it is {:?}", server.observed, line.observed)
        })?;
    }
    ensure(theirs.is_empty(), || format!("the hub does not know {:?}", theirs.keys()))?;
    for edge in &cast.edges {
        for stream in edge.outbox().await? {
            let waiting = stream.next.0.saturating_sub(1) - stream.acked.0;
            ensure(waiting == 0, || format!("{waiting} facts of {:?} wait", stream.stream))?;
        }
    }
    Ok(())
}

async fn lines(cast: &Cast) -> Played<Vec<ServerLine>> {
    let mut lines = Vec::new();
    for edge in &cast.edges {
        lines.extend(edge.servers().await?);
    }
    Ok(lines)
}

/// Waits until every game that should run answers its players.
pub(super) async fn games_answer(cast: &Cast) -> Played<usize> {
    let mut count = 0;
    for line in lines(cast).await? {
        let role = cast.roles.iter().find(|role| role.server == line.observed.server);
        if let Some(role) = role.filter(|_| line.observed.wish.running) {
            cast::answers(role, seconds(30)).await?;
            count += 1;
        }
    }
    Ok(count)
}

/// Median and maximum in seconds, for people.
pub(super) fn spread(mut times: Vec<Duration>) -> String {
    times.sort();
    let median = times.get(times.len() / 2).copied().unwrap_or_default().as_secs_f64();
    let most = times.last().copied().unwrap_or_default().as_secs_f64();
    format!("median {median:.1} s, max {most:.1} s")
}
