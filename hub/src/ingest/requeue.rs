//! Books facts that were put into quarantine and have become bookable since: the hub's clock was
//! behind, or an older hub did not know their version.
//!
//! They go the way of every fact, so that coverage keeps what was billed meanwhile from being billed
//! again, and leave quarantine in the transaction that books them.

use super::Booking;
use crate::{
    Hub, HubError,
    store::{COUNTERS, CUSTODY, FactKey, QUARANTINE, RECEIVED, stream_number},
};
use mamba_core::{
    clock::UnixMs,
    db::{Snapshot, Span, Txn},
    error::chain,
    fact::Stream,
    scope::AdminScope,
};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tokio::{sync::watch, time::sleep};

/// Time between two looks. An operator who cannot wait has `mamba-hub requeue`.
const EVERY_MS: u64 = 3_600_000;
/// Facts looked at in one snapshot, so that none is held for long.
const LOOK_FACTS_MAX: usize = 500;
/// Facts booked in one transaction: each changes up to six rows, of at most 100.
const BOOK_FACTS_MAX: usize = 16;

/// What became of the facts in quarantine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requeued {
    /// Facts that are booked now.
    pub booked: u64,
    /// Facts that stay.
    pub left: u64,
}

impl Hub {
    /// Books what has become bookable of the facts in quarantine. Cancelled, some of it is booked.
    ///
    /// # Errors
    /// `Unavailable`; then some of it may be booked.
    pub async fn requeue(&self) -> Result<Requeued, HubError> {
        let now = self.now();
        let mut done = Requeued::default();
        let mut after = None;
        loop {
            let (seen, bookable) = self.read(|view| look(self, view, after, now))?;
            let Some(last) = seen.last() else { return Ok(done) };
            after = Some(*last);
            let mut booked = 0;
            for keys in bookable.chunks(BOOK_FACTS_MAX) {
                let keys = keys.to_vec();
                let hub = self.clone();
                booked += self.write(move |txn| book(&hub, txn, &keys, now)).await?;
            }
            done.booked += booked;
            done.left += (seen.len() as u64).saturating_sub(booked);
        }
    }

    /// Takes an administrator's word that the hub's clock is right now, although facts came at a
    /// later time: the clock was ahead then. Facts are taken again.
    ///
    /// # Errors
    /// `Unavailable`; nothing was changed.
    pub async fn trust_clock(&self, _admin: &AdminScope) -> Result<(), HubError> {
        let now = self.now();
        self.write(move |txn| Ok(txn.put(RECEIVED, &(), &now.0)?)).await
    }
}

/// Looks at quarantine now and then until `stop` becomes true; failures are logged and tried again.
pub async fn keep_requeued(hub: Hub, mut stop: watch::Receiver<bool>) {
    loop {
        match hub.requeue().await {
            Ok(Requeued { booked: 0, .. }) => {}
            Ok(done) => tracing::info!(done.booked, done.left, "facts left quarantine"),
            Err(err) => tracing::warn!(cause = chain(&err), "quarantine could not be looked at"),
        }
        tokio::select! {
            () = sleep(Duration::from_millis(EVERY_MS)) => {}
            ended = stop.wait_for(|stop| *stop) => {
                // An error means that nobody is left who could say stop.
                drop(ended);
                return;
            }
        }
    }
}

/// Returns the next facts in quarantine, and those of them that can be booked.
fn look(
    hub: &Hub,
    view: &impl Snapshot,
    after: Option<FactKey>,
    now: UnixMs,
) -> Result<(Vec<FactKey>, Vec<FactKey>), HubError> {
    let span = after.map_or_else(Span::all, |after| Span::all().after(&after));
    let rows = view.range(QUARANTINE, span, LOOK_FACTS_MAX)?;
    let seen: Vec<FactKey> = rows.into_iter().map(|(key, _)| key).collect();
    let mut bookable = Vec::new();
    for key in &seen {
        let Some((mut booking, body)) = take_up(hub, view, key, now)? else { continue };
        let is_bookable = match booking.stream {
            Stream::Usage => booking.read_usage(view, &body)?.is_ok(),
            Stream::Activity => booking.read_activity(view, &body)?.is_ok(),
        };
        if is_bookable {
            bookable.push(*key);
        }
    }
    Ok((seen, bookable))
}

/// Books facts that are in quarantine, and returns how many.
fn book(hub: &Hub, txn: &mut Txn<'_>, keys: &[FactKey], now: UnixMs) -> Result<u64, HubError> {
    let mut booked = 0;
    for key in keys {
        if !txn.contains(QUARANTINE, key)? {
            continue;
        }
        let Some((mut booking, body)) = take_up(hub, txn, key, now)? else { continue };
        if booking.decide(txn, key.3, &body)?.is_err() {
            continue;
        }
        booking.touched.assert_sums(txn)?;
        booking.counters.quarantined = booking.counters.quarantined.saturating_sub(1);
        txn.put(COUNTERS, &booking.node, &booking.counters)?;
        txn.delete(QUARANTINE, key)?;
        booked += 1;
    }
    Ok(booked)
}

/// Returns a fact in custody with its booking.
fn take_up(
    hub: &Hub,
    view: &impl Snapshot,
    key: &FactKey,
    now: UnixMs,
) -> Result<Option<(Booking, Vec<u8>)>, HubError> {
    let (node, number, epoch, _) = *key;
    let stream = Stream::ALL.into_iter().find(|stream| stream_number(*stream) == number);
    let (Some(stream), Some(custody)) = (stream, view.get(CUSTODY, key)?) else { return Ok(None) };
    Ok(Some((Booking::new(hub, view, (node, stream, epoch), now)?, custody.body)))
}

#[cfg(test)]
mod tests {
    use super::{super::tests::*, Requeued};
    use crate::{
        link::backend::IngestError,
        testing::{START, admin},
    };
    use mamba_core::{
        clock::{HOUR_MS, UnixMs},
        fact::UsageFact,
    };
    use mamba_wire::api::PageQuery;
    use proptest::prelude::*;

    #[tokio::test]
    async fn what_a_late_clock_took_for_the_future_is_billed_once_when_it_is_right() {
        let (world, node, server) = world_with_server().await;
        let facts: Vec<_> = (0..40).map(|i| usage(server, i * 60_000, 60_000, 10)).collect();
        let mut outbox = usage_outbox(&facts);
        outbox.bodies.push(vec![99]);
        greet(&world, node, vec![outbox.hello(1)]).await;
        world.clock.set(UnixMs(START.0 - HOUR_MS));
        assert_eq!(send(&world, node, outbox.batch(1, 41)).await, Ok(41), "nothing tells it yet");
        assert_eq!((cpu_billed(&world, server), reasons(&world).len()), (0, 41));
        let requeued = |booked, left| Requeued { booked, left };
        assert_eq!(world.hub.requeue().await.unwrap(), requeued(0, 41));
        world.clock.set(START.plus(HOUR_MS));
        for expected in [requeued(40, 1), requeued(0, 1)] {
            assert_eq!(world.hub.requeue().await.unwrap(), expected);
            assert_eq!(cpu_billed(&world, server), 400);
        }
        assert_eq!(reasons(&world), ["fact has version 99, known are versions up to 1"]);
        let counters = world.hub.node_detail(&admin(), node).unwrap().counters;
        assert_eq!((counters.quarantined, counters.facts), (1, 41));
    }

    #[tokio::test]
    async fn a_hub_whose_clock_went_back_takes_nothing_and_raises_one_alarm() {
        let (world, node, server) = world_with_server().await;
        let facts: Vec<_> = (0..4).map(|i| usage(server, i * 60_000, 60_000, 10)).collect();
        let outbox = usage_outbox(&facts);
        greet(&world, node, vec![outbox.hello(1)]).await;
        assert_eq!(send(&world, node, outbox.batch(1, 1)).await, Ok(1));
        let right = START.plus(HOUR_MS);
        world.clock.set(UnixMs(right.0 - super::super::BACK_MS_MAX));
        assert_eq!(send(&world, node, outbox.batch(2, 2)).await, Ok(2), "a step");
        world.clock.set(START);
        for _ in 0..3 {
            let refused = send(&world, node, outbox.batch(3, 4)).await.unwrap_err();
            assert!(matches!(&refused, IngestError::Store(why) if why.0.contains("hub's clock")));
        }
        let alarms = world.hub.alarms(&admin(), &PageQuery::FIRST).unwrap().items;
        assert_eq!(alarms.iter().map(|it| it.count).collect::<Vec<_>>(), [3]);
        assert_eq!((cpu_billed(&world, server), reasons(&world).len()), (20, 0));
        world.clock.set(right);
        assert_eq!(send(&world, node, outbox.batch(3, 3)).await, Ok(3));
        // It was the earlier time that was wrong: an administrator says so.
        world.clock.set(START.plus(HOUR_MS / 2));
        assert!(send(&world, node, outbox.batch(4, 4)).await.is_err());
        world.hub.trust_clock(&admin()).await.unwrap();
        assert_eq!(send(&world, node, outbox.batch(4, 4)).await, Ok(4));
        assert_eq!(cpu_billed(&world, server), 40);
    }

    /// What may happen to the hub while a node sends.
    #[derive(Clone, Debug)]
    enum Step {
        Clock { before_minutes: u64 },
        Send { again: u64, count: u64 },
        Requeue,
        Trust,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            3 => (0..300_u64).prop_map(|before_minutes| Step::Clock { before_minutes }),
            5 => (0..4_u64, 1..9_u64).prop_map(|(again, count)| Step::Send { again, count }),
            1 => Just(Step::Requeue),
            1 => Just(Step::Trust),
        ];
        prop::collection::vec(step, 1..40)
    }

    async fn run(steps: Vec<Step>) {
        const FACTS: u64 = 120;
        let (world, node, server) = world_with_server().await;
        let right = START.plus(3 * HOUR_MS);
        let facts: Vec<UsageFact> =
            (0..FACTS).map(|i| usage(server, i * 60_000, 60_000, 10)).collect();
        let outbox = usage_outbox(&facts);
        greet(&world, node, vec![outbox.hello(1)]).await;
        let mut acked = 0;
        for step in steps {
            match step {
                Step::Clock { before_minutes } => {
                    world.clock.set(UnixMs(right.0 - before_minutes * 60_000));
                }
                Step::Send { again, count } => {
                    let first = (acked + 1_u64).saturating_sub(again).clamp(1, FACTS);
                    let last = (first + count).min(FACTS);
                    acked = send(&world, node, outbox.batch(first, last)).await.unwrap_or(acked);
                }
                Step::Requeue => drop(world.hub.requeue().await.unwrap()),
                Step::Trust => world.hub.trust_clock(&admin()).await.unwrap(),
            }
        }
        world.clock.set(right);
        if acked < FACTS {
            acked = send(&world, node, outbox.batch(acked + 1, FACTS)).await.unwrap();
        }
        world.hub.requeue().await.unwrap();
        assert_eq!((acked, reasons(&world)), (FACTS, vec![]));
        assert_eq!(cpu_billed(&world, server), u128::from(FACTS) * 10);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn a_clock_that_goes_back_and_comes_right_bills_everything_once(steps in steps()) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(run(steps));
        }
    }
}
