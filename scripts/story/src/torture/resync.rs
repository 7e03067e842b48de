//! Resync in both directions, with the commands of the README: a node that lost its disk while its
//! games run, and a hub restored from a backup.

use super::{
    checks,
    ledger::Ledger,
    scene::{self, READY_MAX, Set},
};
use crate::{
    acts::{cast, outage},
    docker::Container,
    edge::EdgeSettings,
    games::Game,
    hub::HubPlace,
    report::{Played, Report, Stopped, ensure, seconds, until},
    stage::Stage,
};
use mamba_core::{
    fact::{GapReason, Meter, UsageBody},
    server::Limits,
    units::{Mib, Millicores},
};
use mamba_wire::api::{params::ServerPath, server::UpdateLimits, table};
use serde_json::Value;
use std::fs;

/// Longest wait for a figure of the hub that changes once a minute.
const SHOWN_MAX: std::time::Duration = seconds(90);

/// Plays both.
pub(super) async fn play(report: &mut Report, stage: &mut Stage) -> Result<(), Stopped> {
    report.act("resync", Vec::new());
    let assembled = async {
        let edge = EdgeSettings::plain("resync-edge", "10.213.0.0/17");
        let games = [Game::Openttd, Game::Teeworlds];
        let set = scene::assemble(stage, "resync", HubPlace::default(), edge, &games).await?;
        set.cast.all_answer(READY_MAX).await?;
        checks::recovered(&set.cast, set.node).await?;
        Ok((set, String::new()))
    };
    let mut set = report.step("a hub, an edge and two games", assembled).await?;
    report.act("the hub is restored from a backup", set.cast.logs());
    restored_hub(report, stage, &mut set).await?;
    report.act("the node lost its disk", set.cast.logs());
    lost_disk(report, &mut set).await?;
    set.cast.leave(report).await
}

/// What the first game is given after the backup.
const RESIZED: Limits = Limits {
    memory_mib: Mib(200),
    swap_mib: Mib(0),
    cpu_millicores: Millicores(900),
    disk_mib: Mib(128),
    pids: 64,
    sharing: mamba_core::server::Sharing::USUAL,
};

/// Backup, then changes, then the loss of the hub's disk.
async fn restored_hub(
    report: &mut Report,
    stage: &mut Stage,
    set: &mut Set,
) -> Result<(), Stopped> {
    let file = set.cast.hub.dir.join("hub.backup");
    let mut ledger = Ledger::default();
    let copied = async {
        // Stopped and started: what was measured so far becomes facts.
        outage::power_all(&set.cast, "restart").await?;
        checks::recovered(&set.cast, set.node).await?;
        ledger.agrees(&set.cast).await?;
        Ok(((), set.cast.hub.cli(&["backup", &file.to_string_lossy()]).await?))
    };
    report.step("`mamba-hub backup FILE`", copied).await?;
    let limits = RESIZED;
    let changed = async {
        let first = set.cast.roles.first().ok_or("no server")?.server;
        let path = ServerPath { server: first };
        set.cast
            .admin
            .call::<table::UpdateLimits>(
                &path,
                &(),
                &UpdateLimits { limits, allocation_limit: None, backup_limit: None },
            )
            .await?;
        let (name, port) = ("resync-after-backup".to_owned(), stage.port()?);
        let role = scene::create(set, Game::Armagetronad, name, port).await?;
        set.cast.roles.push(role);
        set.cast.all_answer(READY_MAX).await?;
        outage::power_all(&set.cast, "restart").await?;
        checks::recovered(&set.cast, set.node).await?;
        let figures = ledger.agrees(&set.cast).await?;
        Ok(((), format!("{} facts in custody", figures.custody)))
    };
    report.step("afterwards a server is made, one is resized, all are metered", changed).await?;
    let held = async {
        let games = set.cast.containers().await?;
        set.edge()?.kill().await?;
        set.cast.hub.kill().await?;
        let said = set.cast.hub.restore(&file).await?;
        set.cast.hub.start().await?;
        set.cast.sign_in().await?;
        let open = complete_to(set).await?;
        Ok(((games, open), format!("{said}; usage is complete up to {open} only")))
    };
    let (games, held) =
        report.step("disk lost, `mamba-hub restore FILE`, no node is there", held).await?;
    let resynced = async {
        set.edge()?.start().await?;
        let took = checks::recovered(&set.cast, set.node).await?;
        untouched(set, &games).await?;
        let first = set.cast.roles.first().ok_or("no server")?.server;
        let now = set.cast.owner.server(first).await?.limits;
        ensure(now == limits, || format!("limits {now:?}, wanted {limits:?}"))?;
        Ok(((), format!("after {:.1} s; no game was touched", took.converged.as_secs_f64())))
    };
    report.step("the node's newer wishes are taken over", resynced).await?;
    let billed = async {
        let figures = ledger.agrees(&set.cast).await?;
        let events = ledger.same_events(&set.cast).await?;
        let open = until(SHOWN_MAX, async || {
            let open = complete_to(set).await?;
            ensure(open > held, || format!("usage is complete up to {open}, was {held}"))?;
            Ok(open)
        })
        .await?;
        Ok(format!("{} facts, {events} events; usage is complete up to {open}", figures.custody))
    };
    report.check("every fact is at the hub once, and bills may go on", billed).await;
    Ok(())
}

/// Waits until the edge has looked at its containers, which must be those of before with the same
/// processes.
async fn untouched(set: &Set, before: &[Container]) -> Played {
    until(seconds(30), async || {
        let now = set.cast.containers().await?;
        ensure(before == now, || format!("before {before:?}, now {now:?}"))
    })
    .await
}

/// Up to when the hub says that the node's usage is complete, in milliseconds; zero when it says
/// nothing. Nothing later may be billed.
async fn complete_to(set: &Set) -> Played<u64> {
    let report: Value = serde_json::from_str(&set.cast.hub.cli(&["--json", "reconcile"]).await?)?;
    let node = report["nodes"].get(0).ok_or("reconciliation names no node")?;
    Ok(node["complete_to"].as_u64().unwrap_or(0))
}

/// The disk of the edge is gone, its containers run on.
async fn lost_disk(report: &mut Report, set: &mut Set) -> Result<(), Stopped> {
    let before = async {
        outage::power_all(&set.cast, "restart").await?;
        checks::recovered(&set.cast, set.node).await?;
        let billed = billed(set).await?;
        Ok(((set.cast.containers().await?, billed), String::new()))
    };
    let (games, billed_before) = report.step("the last facts arrive", before).await?;
    let replaced = async {
        let name = set.edge()?.settings.name.clone();
        let data = set.edge()?.data();
        set.edge()?.kill().await?;
        fs::remove_dir_all(data)?;
        let token = set.cast.hub.cli(&["node", "token", "--replaces", &name]).await?;
        let token = token.split_whitespace().find(|word| word.len() > TOKEN_BYTES_MIN);
        let token = token.ok_or("no token was printed")?.to_owned();
        let ended = set.edge()?.enrol(&token).await?;
        ensure(ended.code == Some(0), || format!("enrol: {}", ended.stderr.trim()))?;
        let again = set.edge()?.enrol(&token).await?;
        ensure(again.code != Some(0), || "the token was good a second time".to_owned())?;
        set.edge()?.start().await?;
        let node = set.edge()?.node().await?;
        ensure(node == set.node, || format!("it became node {node}"))?;
        cast::live(&set.cast.admin, node).await?;
        Ok(((), format!("node {node} again")))
    };
    report
        .step("`mamba-hub node token --replaces NODE`, `mamba-edge enrol TOKEN`", replaced)
        .await?;
    let adopted = async {
        let took = checks::recovered(&set.cast, set.node).await?;
        untouched(set, &games).await?;
        Ok(((), format!("same processes, after {:.1} s", took.converged.as_secs_f64())))
    };
    report.step("the servers come back from the hub and their containers", adopted).await?;
    let resumed = async {
        outage::power_all(&set.cast, "restart").await?;
        checks::recovered(&set.cast, set.node).await?;
        set.cast.hub.cli(&["reconcile"]).await?;
        resumed(set, &billed_before).await
    };
    report.check("metering goes on from what the hub has, the loss is a gap", resumed).await;
    Ok(())
}

/// Shorter words than this are no join token.
const TOKEN_BYTES_MIN: usize = 60;

/// CPU time that the hub billed of each server.
async fn billed(set: &Set) -> Played<Vec<u128>> {
    let mut all = Vec::new();
    for role in &set.cast.roles {
        let usage = set.cast.owner.usage(role.server).await?;
        let mut sum = 0;
        for amount in usage.hours.iter().flat_map(|hour| &hour.amounts) {
            if amount.meter == Meter::CpuUsed {
                sum += amount.amount.parse::<u128>()?;
            }
        }
        all.push(sum);
    }
    Ok(all)
}

/// What was billed before is billed still, and more has come; the new edge says what it cannot know.
async fn resumed(set: &Set, before: &[u128]) -> Played<String> {
    let after = billed(set).await?;
    let edge = set.cast.edges.first().ok_or("no edge")?;
    let facts = edge.usage_of_all().await?;
    let mut gaps = 0;
    for ((role, before), after) in set.cast.roles.iter().zip(before).zip(&after) {
        let mut own = facts.iter().filter(|fact| fact.server == role.server);
        let is_gap = |body: &UsageBody| *body == UsageBody::Gap(GapReason::DiskLoss);
        let lost = own.find(|fact| is_gap(&fact.body));
        let lost = lost.ok_or_else(|| format!("{}: no gap was written down", role.name))?;
        gaps += 1;
        let measured = facts.iter().filter(|fact| {
            fact.server == role.server && matches!(fact.body, UsageBody::Measured(_))
        });
        for fact in measured {
            ensure(fact.from >= lost.to, || format!("{} is billed in its gap", role.name))?;
        }
        ensure(after > before, || format!("{}: billed {before}, then {after}", role.name))?;
    }
    Ok(format!("{gaps} gaps"))
}
