//! Everything that an edge said it measured and saw, gathered over its life, and whether the hub has
//! exactly that.

use crate::{
    acts::{cast::Cast, numbers},
    report::{Played, ensure, seconds, until},
};
use mamba_core::{
    fact::{Meter, UsageBody, UsageFact},
    ids::{EventId, ServerId},
};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// Longest wait for a moment in which nothing is made and nothing is under way.
const QUIET_MAX: Duration = seconds(90);

/// What was gathered.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// Usage facts by their text: facts have no id, and no two are the same.
    usage: BTreeMap<String, UsageFact>,
    events: BTreeMap<ServerId, BTreeSet<EventId>>,
}

/// How much that is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Figures {
    pub(super) usage: usize,
    /// Facts of all streams that the hub holds.
    pub(super) custody: u64,
    /// Bytes of facts that the edge keeps.
    pub(super) outbox_bytes: u64,
}

impl Ledger {
    /// Adds what the edge keeps now. The newest 500 of each kind are shown, so this has to happen
    /// more often than that; [`Ledger::agrees`] sees when it did not.
    pub(super) async fn gather(&mut self, cast: &Cast) -> Played {
        for edge in &cast.edges {
            for fact in edge.usage_of_all().await? {
                self.usage.insert(serde_json::to_string(&fact)?, fact);
            }
            for fact in edge.facts_of_all().await? {
                if let Some((_, server)) = fact.about {
                    self.events.entry(server).or_default().insert(fact.event);
                }
            }
        }
        Ok(())
    }

    /// Waits for a moment in which the hub holds exactly this: the same sums of all meters, the same
    /// number of facts as was ever numbered, and reconciled books.
    pub(super) async fn agrees(&mut self, cast: &Cast) -> Played<Figures> {
        until(QUIET_MAX, async || {
            let before = numbered(cast).await?;
            self.gather(cast).await?;
            let report: Value =
                serde_json::from_str(&cast.hub.cli(&["--json", "reconcile"]).await?)?;
            ensure(before == numbered(cast).await?, || "facts were made meanwhile".to_owned())?;
            self.compare(&report, before)
        })
        .await
    }

    fn compare(&self, report: &Value, (numbered, outbox_bytes): (u64, u64)) -> Played<Figures> {
        let custody = report["facts"].as_u64().ok_or("reconciliation says no number of facts")?;
        ensure(custody == numbered, || {
            format!("the edges numbered {numbered} facts, the hub holds {custody}")
        })?;
        let facts: Vec<UsageFact> = self.usage.values().cloned().collect();
        for meter in Meter::ALL {
            let edge = numbers::metered(&facts, meter);
            let hub = reported(report, meter)?;
            ensure(edge == hub, || format!("{meter:?}: edge counted {edge}, hub holds {hub}"))?;
        }
        Ok(Figures { usage: facts.len(), custody, outbox_bytes })
    }

    /// Compares the events of every server that the hub shows with those of the edge, one by one.
    pub(super) async fn same_events(&self, cast: &Cast) -> Played<usize> {
        let mut count = 0;
        for role in &cast.roles {
            let ours = self.events.get(&role.server).cloned().unwrap_or_default();
            let theirs = numbers::events_of_edge(&cast.owner, role.server).await?;
            let once: BTreeSet<EventId> = theirs.iter().copied().collect();
            ensure(once.len() == theirs.len(), || format!("{}: an event is twice", role.name))?;
            ensure(once == ours, || {
                let (lost, made_up) = (ours.difference(&once).count(), once.difference(&ours));
                format!("{}: {lost} events are lost, {} made up", role.name, made_up.count())
            })?;
            count += once.len();
        }
        Ok(count)
    }

    /// How much of the time was written down as not measured.
    pub(super) fn gaps(&self) -> usize {
        self.usage.values().filter(|fact| matches!(fact.body, UsageBody::Gap(_))).count()
    }
}

/// Returns how many facts the edges ever numbered, and the bytes that they keep. Holds as long as no
/// edge begins a new epoch.
async fn numbered(cast: &Cast) -> Played<(u64, u64)> {
    let (mut count, mut bytes) = (0, 0);
    for edge in &cast.edges {
        for stream in edge.outbox().await? {
            count += stream.next.0.saturating_sub(1);
            bytes += stream.bytes;
        }
    }
    Ok((count, bytes))
}

/// Sums what the hub says was reported of a meter.
fn reported(report: &Value, meter: Meter) -> Played<u128> {
    let meter = serde_json::to_value(meter)?;
    let mut sum = 0;
    for row in report["rows"].as_array().ok_or("reconciliation has no rows")? {
        if row["meter"] == meter {
            sum += row["reported"].as_str().ok_or("a row has no sum")?.parse::<u128>()?;
        }
    }
    Ok(sum)
}
