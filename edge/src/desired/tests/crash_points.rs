//! Wishes, power, exits, facts, acks, pruning and a fork, with a crash at each operation of the disk.
//!
//! The same steps are played once without a crash, keeping what the store holds after each. Then
//! once per crash point: what is found afterwards is what was acknowledged, with or without the step
//! under way and nothing between, and when the daemon goes on it ends with the very same store.

use super::*;
use crate::{
    outbox::{Outbox, Watermarks},
    store::{Life, News},
};
use mamba_core::{
    db::{
        Order as Direction, RawPair, RawSpan, Source as _, TxnError,
        sim::{Survives, crash_images, crash_points},
    },
    fact::{Chain, Quantities, Stream, UsageBody, UsageFact},
    lifecycle::{
        Exit,
        crash::{CrashHistory, Verdict},
        plan::Ending,
    },
    seq::{Epoch, Seq},
};

/// Points of the default run.
const SOME: u64 = 80;
/// Usage facts of one step; below the limit of a transaction, and above what one removes or copies.
const FACTS: u64 = 150;

#[derive(Clone, Debug)]
enum Step {
    Adopt { number: u8, generation: u64 },
    Delete { number: u8, generation: u64 },
    Intent(u8, PowerAction),
    Power(u8, PowerAction),
    Exit { number: u8, crashes: u32 },
    Measure { first: u64 },
    Ack { stream: Stream, acked: u64, backed_up: u64 },
    Fork,
}

use Step::{
    Ack, Adopt, Delete, Exit as Exited, Fork, Intent as Intended, Measure, Power as Powered,
};

const STEPS: [Step; 20] = [
    Adopt { number: 1, generation: 1 },
    Adopt { number: 2, generation: 1 },
    Powered(1, PowerAction::Start),
    Measure { first: 0 },
    Intended(1, PowerAction::Start),
    Exited { number: 1, crashes: 1 },
    Ack { stream: Stream::Usage, acked: 120, backed_up: 0 },
    Ack { stream: Stream::Usage, acked: 130, backed_up: 110 },
    Adopt { number: 1, generation: 2 },
    Measure { first: FACTS },
    Exited { number: 2, crashes: 2 },
    Ack { stream: Stream::Activity, acked: 5, backed_up: 3 },
    Fork,
    Measure { first: 2 * FACTS },
    Intended(2, PowerAction::Stop),
    Powered(2, PowerAction::Kill),
    Delete { number: 2, generation: 2 },
    Ack { stream: Stream::Usage, acked: 200, backed_up: 150 },
    Ack { stream: Stream::Usage, acked: 340, backed_up: 340 },
    Ack { stream: Stream::Activity, acked: 9, backed_up: 9 },
];

/// Ids that depend on the step alone: a step that is played again makes the same ones.
struct Seeded(u8);

impl Entropy for Seeded {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(self.0 + 1);
    }
}

fn usage(number: u64) -> UsageFact {
    let from = UnixMs(number * 1_000);
    let body = UsageBody::Measured(Quantities { egress: number.into(), ..Quantities::default() });
    let tenant = TenantId::from_bytes([9; 16]);
    UsageFact { tenant, server: server(1), from, to: from.plus(1_000), body }
}

impl Step {
    /// Whether it is one transaction.
    fn is_whole(&self) -> bool {
        !matches!(self, Ack { .. } | Fork)
    }

    /// Whether whoever asked for it asks again when he heard no answer.
    fn is_repeated(&self) -> bool {
        matches!(self, Adopt { .. } | Delete { .. } | Intended(..) | Ack { .. })
    }

    /// Plays it. Returns whether it was acknowledged.
    async fn play(&self, index: usize, adopter: &Adopter) -> bool {
        let seeded = Seeded(u8::try_from(index).unwrap());
        let store = adopter.store.raw();
        let event = EventId::new(NOW, [seeded.0; 10]);
        match *self {
            Adopt { number, generation } => {
                adopted(adopter, seeded, &exist(number, generation)).await
            }
            Delete { number, generation } => {
                adopted(adopter, seeded, &deleted(number, generation)).await
            }
            Intended(number, action) => {
                let intent = intent(seeded.0, server(number), action);
                let write = store.write(move |txn| accept_intent(txn, &intent, event, NOW)).await;
                write.is_ok_and(|result| result.outcome == IntentOutcome::Accepted)
            }
            Powered(number, action) => {
                let write = store.write(move |txn| {
                    record_power(txn, server(number), action, &Actor::Edge, event, NOW)
                });
                write.await.is_ok_and(|result| result.is_ok())
            }
            Exited { number, crashes } => {
                adopter.store.save(server(number), exit(number, crashes, event)).await.is_ok()
            }
            Measure { first } => {
                let append = store.write(move |txn| {
                    (first..first + FACTS)
                        .try_for_each(|it| outbox::append_usage(txn, NOW, &usage(it)).map(drop))
                });
                append.await.is_ok()
            }
            Ack { stream, acked, backed_up } => {
                let Ok(line) = store.read(|txn| outbox::line(txn, stream)) else { return false };
                let marks = Watermarks { acked: Seq(acked), backed_up: Seq(backed_up) };
                Outbox::new(store.clone()).ack(stream, line.epoch, marks).await.is_ok()
            }
            Fork => Outbox::new(store.clone()).fork(Stream::Usage, &seeded).await.is_ok(),
        }
    }

    /// Whether the hub would see that it was done: it asks for no second fork of a new epoch.
    fn is_seen_done(&self, index: usize, adopter: &Adopter) -> bool {
        let epoch = Epoch(u64::from_be_bytes([u8::try_from(index).unwrap() + 1; 8]));
        let line = adopter.store.raw().read(|txn| outbox::line(txn, Stream::Usage)).unwrap();
        matches!(self, Fork) && line.epoch == epoch
    }
}

async fn adopted(adopter: &Adopter, seeded: Seeded, envelope: &Envelope) -> bool {
    let adopter = Adopter { entropy: Arc::new(seeded), ..adopter.clone() };
    outcomes(&adopter, vec![signed(envelope)]).await == [DesiredOutcome::Adopted]
}

fn exit(number: u8, crashes: u32, event: EventId) -> News {
    let exit = Exit { code: 1, oom_killed: false, at: NOW };
    let verdict = Verdict::RestartAt { at: NOW.plus(1_000), delay_ms: 1_000, crashes };
    let life = Life {
        ending: Some(Ending { exit: exit.clone(), verdict, power: 1 }),
        crashes: CrashHistory { recent: vec![NOW], total: crashes.into() },
        ..Life::default()
    };
    let body = Activity::Crashed { exit, crashes, lines: vec!["bye".to_owned()] };
    let about = (TenantId::from_bytes([9; 16]), server(number));
    let fact = fact_about(event, NOW, about, Actor::Edge, body);
    News { life: Some(life), facts: vec![fact], ..News::default() }
}

fn dump(adopter: &Adopter) -> Vec<RawPair> {
    let all = RawSpan::default();
    let scan = |txn: &mamba_core::db::ReadTxn| {
        txn.raw_scan(&all, Direction::Ascending, usize::MAX).map_err(TxnError::Storage)
    };
    adopter.store.raw().read(scan).unwrap()
}

/// Each stream is whole: no gap in its sequence, and the chain of the protocol.
fn check_streams(adopter: &Adopter, at: &str) {
    for stream in Stream::ALL {
        let read = |txn: &mamba_core::db::ReadTxn| {
            let line = outbox::line(txn, stream)?;
            let before = Seq(line.first_retained.0 - 1);
            let chain = outbox::chain_at(txn, stream, before)?;
            Ok::<_, outbox::OutboxError>((
                line,
                chain.unwrap_or_default(),
                outbox::window(txn, stream, before, 10_000, usize::MAX)?,
            ))
        };
        let (line, before, window) = adopter.store.raw().read(read).unwrap();
        let count = line.next.0 - line.first_retained.0;
        assert_eq!(window.facts.len() as u64, count, "{at}: {stream:?} has a gap");
        let chain = window
            .facts
            .iter()
            .fold(before, |chain: Chain, (seq, body)| chain.then(line.epoch, *seq, body));
        assert_eq!((window.chain, line.chain_head), (chain, chain), "{at}: {stream:?}");
        assert!(line.first_retained.0 <= line.acked.min(line.backed_up).0 + 1, "{at}: S5");
    }
}

/// Plays all steps with a crash at one operation, and the rest of them afterwards.
async fn crash_and_go_on(point: u64, survives: Survives, after: &[Vec<RawPair>]) {
    let disk = SimDisk::new(0);
    let adopter = adopter(disk.clone()).await;
    disk.cut_power(point);
    let mut acknowledged = 0;
    while acknowledged < STEPS.len() && STEPS[acknowledged].play(acknowledged, &adopter).await {
        acknowledged += 1;
    }
    assert!(disk.is_dead(), "the steps are the same each time");
    let at = format!("point {point}, {survives:?}, step {acknowledged}");
    let adopter = self::adopter(disk.crash_with(survives)).await;
    check_streams(&adopter, &at);
    let Some(step) = STEPS.get(acknowledged) else {
        assert!(dump(&adopter) == after[acknowledged], "{at}");
        return;
    };
    let found = dump(&adopter);
    let is_done = found == after[acknowledged + 1];
    if step.is_whole() {
        assert!(is_done || found == after[acknowledged], "{at}: neither before nor after");
    }
    let skip = is_done && !step.is_repeated() || step.is_seen_done(acknowledged, &adopter);
    for (index, step) in STEPS.iter().enumerate().skip(acknowledged + usize::from(skip)) {
        assert!(step.play(index, &adopter).await, "{at}: step {index}");
    }
    check_streams(&adopter, &at);
    assert!(dump(&adopter) == after[STEPS.len()], "{at}: the end differs");
}

#[tokio::test]
async fn a_crash_anywhere_loses_nothing_acknowledged_and_tears_nothing() {
    let disk = SimDisk::new(0);
    let adopter = adopter(disk.clone()).await;
    let before = disk.changes_count();
    let mut after = vec![dump(&adopter)];
    for (index, step) in STEPS.iter().enumerate() {
        assert!(step.play(index, &adopter).await, "{step:?}");
        after.push(dump(&adopter));
    }
    let points = crash_points(disk.changes_count() - before, SOME);
    for &point in &points {
        for survives in crash_images(point) {
            crash_and_go_on(point, survives, &after).await;
        }
    }
    println!("edge: {} points, {} images", points.len(), points.len() * 3);
    assert!(points.len() as u64 >= SOME);
}
