//! How the installation is and was, for everybody: looked at each minute, summed up per day.
//!
//! A look adds the time since the look before to its day: as time in which the hub ran, and in which
//! store, ingest and the nodes of each region worked. Time in which no hub ran is what is missing. So a
//! day is one small row, and [`STATUS_DAYS`] of them are all that is kept. Only regions are named.

mod days;
mod records;

pub use records::TABLES;

use crate::{
    Hub, HubError,
    store::{NODE_STATES, NODES},
};
use days::{Look, Seen, Times};
use mamba_core::{
    clock::UnixMs,
    db::{Snapshot, Span},
    error::chain,
};
use mamba_wire::api::{
    LinkState,
    node::Standing,
    status::{Condition, STATUS_DAYS, Status},
};
use records::{DAYS, SINCE};
use std::{collections::BTreeMap, time::Duration};
use tokio::{sync::watch, time::sleep};

/// Time between two looks: what is shorter than that is not seen.
const LOOK_MS: u64 = 60_000;
/// Longest time between two looks that counts as time in which the hub ran: beyond it the machine slept.
const STEP_MS_MAX: u64 = 5 * LOOK_MS;
/// Most nodes that are looked at.
const NODES_MAX: usize = 10_000;
/// Most regions that are told apart; nodes of further ones are counted as standing nowhere.
const REGIONS_MAX: usize = 32;
/// A report that waits longer on its node than this is late: usage is reported every five minutes.
const LATE_MS: u64 = 10 * 60_000;
/// Days removed with one look; more than one day begins between two looks only after a long sleep.
const REMOVED_MAX: usize = 8;

impl Hub {
    /// Says how the installation is and was.
    ///
    /// # Errors
    /// What the store says.
    pub fn status(&self) -> Result<Status, HubError> {
        let now = self.now();
        let can_write = self.store().health().borrow().can_write();
        self.read(|view| {
            let seen = self.look(view, now)?;
            let since = view.get(SINCE, &())?.map(UnixMs);
            let oldest = days::oldest(now);
            let days = usize::try_from(STATUS_DAYS).unwrap_or(usize::MAX);
            let rows = view.range(DAYS, Span::keys(oldest..), days)?;
            Ok(days::status(now, since, can_write, &seen, rows.into_iter().collect()))
        })
    }

    /// Looks at all nodes that may connect.
    fn look(&self, view: &impl Snapshot, now: UnixMs) -> Result<Seen, HubError> {
        let mut seen = Seen::default();
        let nodes = view.range(NODES, Span::all(), NODES_MAX)?;
        for (node, record) in nodes.iter().filter(|(_, it)| it.standing == Standing::Active) {
            let mut region = record.settings.region.clone().unwrap_or_default();
            if !seen.regions.contains_key(&region) && seen.regions.len() >= REGIONS_MAX {
                region = String::new();
            }
            let entry = seen.regions.entry(region).or_default();
            entry.0 += 1;
            if self.live().link_state(*node, now) == LinkState::Unreachable {
                continue;
            }
            entry.1 += 1;
            let state = view.get(NODE_STATES, node)?.map(|it| it.state);
            let mut waiting = state.iter().flat_map(|it| &it.outbox);
            seen.late += u32::from(waiting.any(|it| it.oldest_age_ms > LATE_MS));
        }
        Ok(seen)
    }

    /// Adds a look to its day, and removes days that are too old.
    pub(crate) async fn record_look(&self, look: Look) -> Result<(), HubError> {
        self.write(move |txn| {
            let day = days::start(look.now);
            let mut record = txn.get(DAYS, &day)?.unwrap_or_default();
            days::add(&mut record, &look);
            txn.put(DAYS, &day, &record)?;
            if !txn.contains(SINCE, &())? {
                txn.put(SINCE, &(), &look.now.0)?;
            }
            let old = Span::keys(..days::oldest(look.now));
            for (day, _) in txn.range(DAYS, old, REMOVED_MAX)? {
                txn.delete(DAYS, &day)?;
            }
            Ok(())
        })
        .await
    }
}

/// Looks each minute until told to stop. What a store that cannot write did not take is added once it
/// can.
pub async fn keep_status(hub: Hub, mut stop: watch::Receiver<bool>) {
    let (mut last, mut times) = (hub.clock().boot(), Times::default());
    loop {
        let boot = hub.clock().boot();
        times.go_on(boot.since(last));
        last = boot;
        match take(&hub, times).await {
            Ok(()) => times = Times::default(),
            Err(err) => {
                tracing::debug!(cause = chain(&err), "status could not be recorded");
                times.fail();
            }
        }
        tokio::select! {
            () = sleep(Duration::from_millis(LOOK_MS)) => {}
            ended = stop.wait_for(|stop| *stop) => {
                // An error means that nobody is left who could say stop.
                drop(ended);
                return;
            }
        }
    }
}

async fn take(hub: &Hub, times: Times) -> Result<(), HubError> {
    let now = hub.now();
    let seen = hub.read(|view| hub.look(view, now))?;
    hub.record_look(Look { now, times, seen }).await
}

/// The worst of some conditions.
fn worst(all: impl IntoIterator<Item = Condition>) -> Condition {
    all.into_iter().max().unwrap_or(Condition::Good)
}

/// Nodes and connected nodes by region.
type Regions = BTreeMap<String, (u32, u32)>;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::World;
    use mamba_core::placement::NodeSettings;

    #[tokio::test]
    async fn looks_become_days_and_old_days_go() {
        let mut world = World::new().await;
        let node = world.node("secret-name").await;
        let settings = NodeSettings { region: Some("eu-west".to_owned()), ..Default::default() };
        let admin = crate::testing::admin();
        world.hub.change_node(&admin, node, None, Some(settings)).await.unwrap();
        for _ in 0..100 {
            world.clock.advance(days::DAY_MS);
            let mut times = Times::default();
            times.go_on(LOOK_MS);
            take(&world.hub, times).await.unwrap();
        }
        let status = world.hub.status().unwrap();
        assert_eq!(status.days.len(), 90);
        assert_eq!(
            world.hub.read(|view| Ok(view.range(DAYS, Span::all(), 200)?)).unwrap().len(),
            90
        );
        let region = &status.regions[0];
        assert_eq!((region.region.as_deref(), region.nodes), (Some("eu-west"), 1));
        assert_eq!(status.days[0].regions[0].region.as_deref(), Some("eu-west"));
        let text = serde_json::to_string(&status).unwrap();
        assert!(!text.contains("secret") && !text.contains(&node.to_string()), "{text}");
    }
}
