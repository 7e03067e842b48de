//! Hub and edges find each other again: what was asked meanwhile, and what is then shown.

use crate::{
    acts::{
        cast::{self, Cast},
        plain,
    },
    docker,
    report::{Played, Report, Stopped, ensure, seconds, until},
    stage::Cut,
};
use mamba_core::{
    fact::Activity,
    ids::IntentId,
    lifecycle::{PowerAction, ServerState},
};
use mamba_wire::api::{
    params::ServerPath,
    server::{DeleteQuery, Intent, IntentState, Power},
    table,
};
use std::time::Duration;

/// Invariant L1: converged within 120 s after the last fault ended.
const CONVERGE_MAX: Duration = seconds(120);
/// Life of the power action that is to come too late.
const SHORT_LIFE: Duration = seconds(2);

/// Starts the hub again and waits until it shows what is.
pub(crate) async fn hub_back(report: &mut Report, cast: &mut Cast) -> Result<(), Stopped> {
    let back = async { cast.hub.start().await.map(plain) };
    report.step("the hub starts again on its store", back).await?;
    let live = async { converged(cast).await.map(plain) };
    report.step("edges connect, all facts are in the hub's custody", live).await?;
    let seen = cast.hub_sees(ServerState::Running);
    report.step("the hub shows what was observed meanwhile", seen).await
}

/// Waits until every node is live and its outbox empty.
pub(crate) async fn converged(cast: &Cast) -> Played {
    for edge in &cast.edges {
        cast::live(&cast.admin, edge.node().await?).await?;
        until(CONVERGE_MAX, async || {
            for stream in edge.outbox().await? {
                let unacked = stream.next.0.saturating_sub(1) - stream.acked.0;
                ensure(unacked == 0, || format!("{unacked} facts of {:?} wait", stream.stream))?;
            }
            Ok(())
        })
        .await?;
    }
    Ok(())
}

/// Power actions that were given while the node could not be reached.
pub(crate) struct Asked {
    in_time: Intent,
    too_late: Intent,
}

/// Gives two power actions to the hub while it cannot reach the node: one that may wait, one that
/// will have expired.
pub(crate) async fn ask_meanwhile(report: &mut Report, cast: &mut Cast) -> Result<Asked, Stopped> {
    let asked = async {
        let first = cast.roles.first().ok_or("no server")?.server;
        let last = cast.roles.last().ok_or("no server")?.server;
        let life_ms = u64::try_from(SHORT_LIFE.as_millis())?;
        let short = Power { action: PowerAction::Kill, expires_in_ms: Some(life_ms) };
        let long = Power { action: PowerAction::Restart, expires_in_ms: Some(600_000) };
        let too_late = cast.owner.power(last, &short).await?;
        let in_time = cast.owner.power(first, &long).await?;
        for intent in [&too_late, &in_time] {
            let state = state_of(cast, intent).await?;
            // A hub that has not noticed the cut yet has handed it to a link that leads nowhere.
            let is_open = matches!(state, IntentState::Pending | IntentState::Sent);
            ensure(is_open, || format!("{:?} is {state:?}", intent.action))?;
        }
        tokio::time::sleep(SHORT_LIFE).await;
        Ok((
            Asked { in_time, too_late },
            format!("`kill` for {SHORT_LIFE:?}, `restart` for 10 min"),
        ))
    };
    report.step("power actions for an unreachable node are shown pending", asked).await
}

async fn state_of(cast: &Cast, intent: &Intent) -> Played<IntentState> {
    let id: IntentId = intent.intent;
    let intents = cast.owner.intents(intent.server).await?;
    let found = intents.into_iter().find(|it| it.intent == id);
    Ok(found.ok_or_else(|| format!("intent {id} is not listed"))?.state)
}

/// Mends the line and waits until what was asked in time is done, and what came too late is not.
pub(crate) async fn mend(
    report: &mut Report,
    cast: &mut Cast,
    cut: Cut,
    asked: Asked,
) -> Result<(), Stopped> {
    let before = report
        .step("the line works again", async {
            let before = cast.containers().await?;
            drop(cut);
            Ok((before, String::new()))
        })
        .await?;
    let settled = async {
        until(CONVERGE_MAX, async || {
            let (in_time, late) =
                (state_of(cast, &asked.in_time).await?, state_of(cast, &asked.too_late).await?);
            ensure(in_time == IntentState::Applied && late == IntentState::Expired, || {
                format!("`restart` is {in_time:?}, `kill` is {late:?}")
            })
        })
        .await?;
        let old = before.first().ok_or("no container")?;
        until(seconds(30), async || {
            let now = cast.containers().await?;
            let now = now.first().ok_or("no container")?;
            ensure(now.is_running && now.started_at != old.started_at, || format!("still {now:?}"))
        })
        .await?;
        cast.all_answer(seconds(60)).await
    };
    report.step("the pending `restart` is applied, the expired `kill` is not", settled).await?;
    let not_killed = async {
        for role in &cast.roles {
            let facts = cast.edge_of(role)?.facts(&role.name).await?;
            let kill = facts
                .iter()
                .find(|fact| fact.body == Activity::Power { action: PowerAction::Kill });
            ensure(kill.is_none(), || format!("{} was killed: {kill:?}", role.name))?;
        }
        converged(cast).await.map(plain)
    };
    report.step("no edge ever took the `kill` over; all facts are in custody", not_killed).await?;
    report
        .step("the hub shows what was observed meanwhile", cast.hub_sees(ServerState::Running))
        .await
}

/// Deletes a server: its container goes, nothing else does.
pub(crate) async fn delete(report: &mut Report, cast: &mut Cast) -> Result<(), Stopped> {
    let deleted = async {
        let role = cast.roles.pop().ok_or("no server")?;
        let edge = cast.edges.get(role.edge).ok_or("no such edge")?;
        let container = edge.server(&role.name).await?.container.ok_or("no container")?;
        let query = DeleteQuery { after_ms: Some(0), retain_ms: Some(0), force: Some(true) };
        let path = ServerPath { server: role.server };
        cast.admin.call::<table::DeleteServer>(&path, &query, &()).await?;
        until(seconds(60), async || {
            let left = docker::of_node(&edge.node().await?.to_string()).await?;
            ensure(!left.contains(&container), || format!("container {container} is still there"))?;
            let lines = edge.servers().await?;
            ensure(lines.iter().all(|line| line.name != role.name), || {
                format!("the edge still lists {}", role.name)
            })
        })
        .await?;
        cast.all_answer(seconds(20)).await?;
        Ok(((), role.name))
    };
    report.step("a deleted server goes, the others stay", deleted).await
}
