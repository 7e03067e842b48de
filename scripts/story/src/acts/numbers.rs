//! Compares what the hub holds with what the edges counted, and both with the kernel's counters.

use crate::{
    acts::cast::{Cast, Role},
    docker::{self, Counters},
    edge::Edge,
    report::{Played, Report, Stopped, ensure, seconds, until},
};
use futures_util::future::try_join_all;
use mamba_core::{
    fact::{Activity, Meter, UsageBody, UsageFact},
    ids::EventId,
};
use mamba_wire::api::usage::Usage;
use std::{collections::BTreeSet, time::Duration};

/// Longest wait for a moment in which nothing is under way between edge and hub.
const QUIET_MAX: Duration = seconds(60);
/// Times that each game is asked, so that there is traffic to compare.
const QUERIES: usize = 20;

/// Compares everything.
pub(crate) async fn compare(report: &mut Report, cast: &mut Cast) -> Result<(), Stopped> {
    let usage = async {
        let all = try_join_all(cast.roles.iter().map(|role| same_usage(cast, role))).await?;
        let facts: usize = all.iter().sum();
        Ok(((), format!("{} servers, {facts} facts, all seven meters equal", all.len())))
    };
    report.step("usage per hour at the hub is the sum of the edge's facts", usage).await?;
    let activity = async {
        let all = try_join_all(cast.roles.iter().map(|role| same_activity(cast, role))).await?;
        Ok(((), format!("{} events", all.iter().sum::<usize>())))
    };
    report.step("activity at the hub holds each of the edge's events once", activity).await?;
    let counters = async {
        let all = try_join_all(cast.roles.iter().map(|role| same_counters(cast, role))).await?;
        Ok(((), all.first().cloned().unwrap_or_default()))
    };
    report.step("usage agrees with the containers' own counters", counters).await
}

/// Waits for a moment in which hub and edge agree to the last unit; returns how many facts that took.
async fn same_usage(cast: &Cast, role: &Role) -> Played<usize> {
    let edge = cast.edge_of(role)?;
    until(QUIET_MAX, async || {
        let before = edge.usage(&role.name).await?;
        let hub = cast.owner.usage(role.server).await?;
        let after = edge.usage(&role.name).await?;
        ensure(before == after, || "the edge reported something meanwhile".to_owned())?;
        for meter in Meter::ALL {
            let (edge, hub) = (metered(&before, meter), billed(&hub, meter)?);
            ensure(edge == hub, || {
                format!("{} {meter:?}: edge counted {edge}, hub holds {hub}", role.name)
            })?;
        }
        ensure(metered(&before, Meter::CpuUsed) > 0, || "nothing was metered".to_owned())?;
        Ok(before.len())
    })
    .await
}

fn metered(facts: &[UsageFact], meter: Meter) -> u128 {
    let measured = facts.iter().filter_map(|fact| match &fact.body {
        UsageBody::Measured(quantities) => Some(quantities.of(meter)),
        UsageBody::Gap(_) | UsageBody::ClockStep { .. } => None,
    });
    measured.sum()
}

fn billed(usage: &Usage, meter: Meter) -> Played<u128> {
    let mut sum = 0;
    for amount in usage.hours.iter().flat_map(|hour| &hour.amounts) {
        if amount.meter == meter {
            sum += amount.amount.parse::<u128>()?;
        }
    }
    Ok(sum)
}

/// Compares event ids. The hub adds events of its own kinds, which no edge makes.
async fn same_activity(cast: &Cast, role: &Role) -> Played<usize> {
    until(QUIET_MAX, async || {
        let edge = cast.edge_of(role)?.facts(&role.name).await?;
        let edge: BTreeSet<EventId> = edge.iter().map(|fact| fact.event).collect();
        let hub = cast.owner.activity(role.server).await?;
        let arrived: Vec<EventId> =
            hub.iter().filter(|it| !is_made_at_hub(&it.activity)).map(|it| it.event).collect();
        let once: BTreeSet<EventId> = arrived.iter().copied().collect();
        ensure(arrived.len() == once.len(), || {
            format!("{}: {} events, {} different ones", role.name, arrived.len(), once.len())
        })?;
        ensure(once == edge, || {
            let (missing, extra) = (edge.difference(&once).count(), once.difference(&edge).count());
            format!("{}: {missing} events are missing at the hub, {extra} are its own", role.name)
        })?;
        Ok(arrived.len())
    })
    .await
}

fn is_made_at_hub(activity: &Activity) -> bool {
    matches!(
        activity,
        Activity::Created
            | Activity::Changed { .. }
            | Activity::PowerAsked { .. }
            | Activity::DeletionAsked { .. }
    )
}

/// Compares CPU time and bytes sent of the present process with what the kernel counted: at least
/// what it showed before the newest fact ended, at most what it shows after.
async fn same_counters(cast: &Cast, role: &Role) -> Played<String> {
    let edge = cast.edge_of(role)?;
    for _ in 0..QUERIES {
        role.game.query(role.port).await?;
    }
    let detail = edge.server(&role.name).await?;
    let started = detail.observed.started_at.ok_or("server has no process")?;
    let container = docker::inspect(&detail.container.ok_or("server has no container")?).await?;
    let low = docker::counters(&container)?;
    let facts = until(seconds(30), async || fresh_facts(edge, role).await).await?;
    let high = docker::counters(&container)?;
    let facts: Vec<UsageFact> = facts.into_iter().filter(|fact| fact.to > started).collect();
    let cpu = metered(&facts, Meter::CpuUsed);
    let sent = metered(&facts, Meter::Egress);
    within("CPU microseconds", cpu, low.cpu_us, high.cpu_us)?;
    within("bytes sent", sent, low.sent_bytes, high.sent_bytes)?;
    let Counters { cpu_us, sent_bytes } = high;
    Ok(format!(
        "{}: {cpu} us of CPU and {sent} bytes sent, kernel says {} to {cpu_us} and {} to {sent_bytes}",
        role.name, low.cpu_us, low.sent_bytes
    ))
}

/// The facts, when the newest ends after this was called the first time.
async fn fresh_facts(edge: &Edge, role: &Role) -> Played<Vec<UsageFact>> {
    let now = edge.status().await?.now;
    let facts = until(seconds(20), async || {
        let facts = edge.usage(&role.name).await?;
        let newest = facts.iter().map(|fact| fact.to).max();
        ensure(newest.is_some_and(|to| to >= now), || format!("newest usage ends at {newest:?}"))?;
        Ok(facts)
    });
    facts.await
}

fn within(what: &str, metered: u128, low: u64, high: u64) -> Played {
    ensure((u128::from(low)..=u128::from(high)).contains(&metered), || {
        format!("{what}: metered {metered}, the kernel counted {low} to {high}")
    })
}
