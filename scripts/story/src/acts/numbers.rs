//! Compares what the hub holds with what the edges counted, and both with the kernel's counters.

use crate::{
    acts::{
        cast::{Cast, Role},
        outage, plain, reunion,
    },
    api::Api,
    docker::{self, Counters},
    edge::{Away, SAMPLE_EVERY},
    report::{Failure, Played, Report, Stopped, ensure, seconds, until},
};
use futures_util::future::try_join_all;
use mamba_core::{
    clock::UnixMs,
    fact::{GapReason, Meter, UsageBody, UsageFact},
    ids::{EventId, ServerId},
};
use mamba_wire::api::usage::Usage;
use std::{collections::BTreeSet, time::Duration};

/// Longest wait for a moment in which nothing is under way between edge and hub.
const QUIET_MAX: Duration = seconds(60);
/// Times that each game is asked, so that there is traffic to compare.
const QUERIES: usize = 20;
/// CPU that a game may use between the last look at the counters here and its end: its limit for the
/// time that the slowest takes to save its world.
const CPU_SLACK_US: u64 = 2_000_000;
/// Bytes that it may send in that time.
const SENT_SLACK_BYTES: u64 = 16 * 1024;

/// What an edge held of one server: it forgets what is in a backup of the hub.
#[derive(Clone, Debug, Default)]
pub(crate) struct Books {
    usage: Vec<UsageFact>,
    events: BTreeSet<EventId>,
}

/// Returns what the edges hold of all servers, in the order of the roles.
pub(crate) async fn books(cast: &Cast) -> Played<Vec<Books>> {
    try_join_all(cast.roles.iter().map(|role| async move {
        let edge = cast.edge_of(role)?;
        let events = edge.facts(&role.name).await?.iter().map(|fact| fact.event).collect();
        Ok(Books { usage: edge.usage(&role.name).await?, events })
    }))
    .await
}

/// Compares usage and events at the hub with what the edges hold and held before; returns how many
/// facts and events that are.
pub(crate) async fn same_books(cast: &Cast, before: &[Books]) -> Played<(usize, usize)> {
    let all = cast.roles.iter().zip(before).map(|(role, before)| async move {
        Ok::<_, Failure>((
            same_usage(cast, role, before).await?,
            same_activity(cast, role, before).await?,
        ))
    });
    let all = try_join_all(all).await?;
    Ok((all.iter().map(|it| it.0).sum(), all.iter().map(|it| it.1).sum()))
}

/// Compares everything.
pub(crate) async fn compare(report: &mut Report, cast: &mut Cast) -> Result<(), Stopped> {
    // A process that ends closes its span, so that there is nothing left to come.
    let stopped = async {
        let runs = try_join_all(cast.roles.iter().map(|role| observe(cast, role))).await?;
        outage::power_all(cast, "stop").await?;
        reunion::converged(cast).await?;
        Ok((runs, String::new()))
    };
    let runs = report.step("servers are stopped, all facts are in custody", stopped).await?;
    let books = async {
        let nothing = vec![Books::default(); cast.roles.len()];
        let (facts, events) = same_books(cast, &nothing).await?;
        Ok(format!("{facts} facts with seven equal meters, {events} events"))
    };
    report.check("usage and activity at the hub are those of the edges, once each", books).await;
    let counters = async {
        let all = cast.roles.iter().zip(&runs).map(|(role, run)| same_counters(cast, role, run));
        Ok(try_join_all(all).await?.first().cloned().unwrap_or_default())
    };
    report.check("usage agrees with the containers' own counters", counters).await;
    let gaps = async {
        let gaps: usize = try_join_all(cast.roles.iter().map(|role| no_false_gap(cast, role)))
            .await?
            .iter()
            .sum();
        let away: Vec<String> = cast
            .edges
            .iter()
            .flat_map(|edge| &edge.away)
            .map(|away| away.to.since(away.from).to_string())
            .collect();
        Ok(format!("{gaps} gaps; daemons were away for {} ms", away.join(", ")))
    };
    report.check("metering shows no gap that was not real", gaps).await;
    let started = async { outage::power_all(cast, "start").await.map(plain) };
    report.step("servers are started again", started).await
}

/// The present process of a server and what the kernel counted for it: `low` was surely seen by the
/// meter, `high` is the newest.
struct Run {
    started: UnixMs,
    low: Counters,
    high: Counters,
}

async fn observe(cast: &Cast, role: &Role) -> Played<Run> {
    for _ in 0..QUERIES {
        // Some games stop answering one who asks so often; what they sent is compared all the same.
        if role.game.query(role.port).await.is_err() {
            break;
        }
    }
    let detail = cast.edge_of(role)?.server(&role.name).await?;
    let started = detail.observed.started_at.ok_or("server has no process")?;
    let container = docker::inspect(&detail.container.ok_or("server has no container")?).await?;
    let low = docker::counters(&container)?;
    tokio::time::sleep(SAMPLE_EVERY * 3).await;
    Ok(Run { started, low, high: docker::counters(&container)? })
}

/// Waits for a moment in which hub and edge agree to the last unit; returns how many facts that took.
async fn same_usage(cast: &Cast, role: &Role, earlier: &Books) -> Played<usize> {
    let edge = cast.edge_of(role)?;
    until(QUIET_MAX, async || {
        let before = edge.usage(&role.name).await?;
        let hub = cast.owner.usage(role.server).await?;
        let after = edge.usage(&role.name).await?;
        ensure(before == after, || "the edge reported something meanwhile".to_owned())?;
        let forgotten = earlier.usage.iter().filter(|fact| !after.contains(fact)).cloned();
        let before: Vec<UsageFact> = forgotten.chain(before).collect();
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

/// Sums what was measured of one meter.
pub(crate) fn metered(facts: &[UsageFact], meter: Meter) -> u128 {
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

/// Compares CPU time and bytes sent of the last process with what the kernel counted for it.
async fn same_counters(cast: &Cast, role: &Role, run: &Run) -> Played<String> {
    let mut facts = cast.edge_of(role)?.usage(&role.name).await?;
    facts.retain(|fact| fact.to > run.started);
    let (cpu, sent) = (metered(&facts, Meter::CpuUsed), metered(&facts, Meter::Egress));
    let (low, high) = (run.low, run.high);
    for (what, metered, low, high) in [
        ("CPU microseconds", cpu, low.cpu_us, high.cpu_us + CPU_SLACK_US),
        ("bytes sent", sent, low.sent_bytes, high.sent_bytes + SENT_SLACK_BYTES),
    ] {
        ensure((u128::from(low)..=u128::from(high)).contains(&metered), || {
            format!("{} {what}: metered {metered}, the kernel counted {low} to {high}", role.name)
        })?;
    }
    Ok(format!(
        "{}: metered {cpu} us of CPU and {sent} bytes sent, the kernel said {} us and {} bytes shortly \
         before the end",
        role.name, high.cpu_us, high.sent_bytes
    ))
}

/// Looks at the whole time line of a server: nothing is missing, nothing is there twice, and what is
/// called a gap was one. Returns how many gaps there are.
async fn no_false_gap(cast: &Cast, role: &Role) -> Played<usize> {
    let edge = cast.edge_of(role)?;
    let mut facts = edge.usage(&role.name).await?;
    facts.sort_by_key(|fact| (fact.from, fact.to));
    check_time_line(&facts, &edge.away).map_err(|err| format!("{}: {err}", role.name).into())
}

fn check_time_line(facts: &[UsageFact], away: &[Away]) -> Played<usize> {
    // The last look before the kill and the first one after the start are this far off at most.
    let slack_ms = 3 * u64::try_from(SAMPLE_EVERY.as_millis())?;
    let is_real = |fact: &UsageFact| {
        away.iter()
            .any(|away| fact.from.plus(slack_ms) >= away.from && fact.to <= away.to.plus(slack_ms))
    };
    let mut covered: Option<UnixMs> = None;
    let mut gaps = 0;
    for fact in facts {
        match &fact.body {
            UsageBody::Measured(_) => {
                let before = covered.unwrap_or(fact.from);
                ensure(fact.from == before, || {
                    format!("measured up to {before}, then from {}", fact.from)
                })?;
                covered = Some(fact.to);
            }
            UsageBody::Gap(GapReason::Recovered) if is_real(fact) => gaps += 1,
            UsageBody::Gap(_) | UsageBody::ClockStep { .. } => {
                return Err(format!("{fact:?}, but daemons were away only {away:?}").into());
            }
        }
    }
    ensure(covered.is_some(), || "nothing was measured".to_owned())?;
    Ok(gaps)
}

/// Compares event ids. The hub adds events of its own kinds, which no edge makes.
async fn same_activity(cast: &Cast, role: &Role, earlier: &Books) -> Played<usize> {
    until(QUIET_MAX, async || {
        let edge = cast.edge_of(role)?.facts(&role.name).await?;
        let edge = edge.iter().map(|fact| fact.event).chain(earlier.events.iter().copied());
        let edge: BTreeSet<EventId> = edge.collect();
        let arrived = events_of_edge(&cast.owner, role.server).await?;
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

/// Returns the events of a server that came from its edge, as the hub shows them.
pub(crate) async fn events_of_edge(owner: &Api, server: ServerId) -> Played<Vec<EventId>> {
    let all = owner.activity(server).await?;
    let from_edge = all.iter().filter(|it| !it.activity.is_made_at_hub());
    Ok(from_edge.map(|it| it.event).collect())
}
