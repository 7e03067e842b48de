//! The outbox on a simulated disk.

use super::*;
use mamba_core::{
    db::{
        Store, StoreOptions,
        sim::{SimDisk, SimMode},
    },
    fact::{Quantities, UsageBody},
    ids::{ServerId, TenantId},
};
use std::collections::BTreeSet;

/// Counts up instead of drawing: every epoch is new.
#[derive(Default)]
struct Counting(std::sync::atomic::AtomicU8);

impl Entropy for Counting {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1);
    }
}

struct Bench {
    disk: SimDisk,
    store: Store,
    outbox: Outbox,
    entropy: Counting,
}

impl Bench {
    async fn new() -> Self {
        let disk = SimDisk::new(0);
        let options = StoreOptions { runs_twice: true, ..StoreOptions::EDGE };
        let store = Store::inline(disk.clone(), options).unwrap();
        store.write(|txn| init(txn, &Counting::default())).await.unwrap();
        let entropy = Counting(100.into());
        Self { disk, outbox: Outbox::new(store.clone()), store, entropy }
    }

    async fn append(&self, count: u64) {
        self.store
            .write(move |txn| {
                (0..count).try_for_each(|_| append_usage(txn, UnixMs(7), &usage(txn)?).map(drop))
            })
            .await
            .unwrap();
    }

    async fn ack(&self, acked: u64, backed_up: u64) -> Result<(), WriteError<OutboxError>> {
        let marks = Watermarks { acked: Seq(acked), backed_up: Seq(backed_up) };
        self.outbox.ack(Stream::Usage, self.line().epoch, marks).await
    }

    fn line(&self) -> mamba_wire::node::OutboxLine {
        self.store.read(|txn| line(txn, Stream::Usage)).unwrap()
    }

    fn window(&self, after: u64) -> Result<Window, OutboxError> {
        self.store.read(|txn| window(txn, Stream::Usage, Seq(after), 256, 1 << 20))
    }

    /// Rows of all lanes.
    fn rows(&self) -> usize {
        self.store.read(|txn| txn.range(FACTS, mamba_core::db::Span::all(), 1 << 20)).unwrap().len()
    }
}

/// A fact whose content is told by its place.
fn usage(txn: &Txn<'_>) -> Result<UsageFact, OutboxError> {
    Ok(fact(meta(txn, Stream::Usage)?.next.0))
}

fn fact(number: u64) -> UsageFact {
    UsageFact {
        tenant: TenantId::from_bytes([1; 16]),
        server: ServerId::from_bytes([2; 16]),
        from: UnixMs(number),
        to: UnixMs(number + 1),
        body: UsageBody::Measured(Quantities { cpu_used: number.into(), ..Quantities::default() }),
    }
}

fn activity_fact(number: u8) -> ActivityFact {
    ActivityFact {
        event: EventId::from_bytes([number; 16]),
        at: UnixMs(number.into()),
        about: None,
        actor: Actor::Edge,
        body: Activity::Started,
    }
}

#[tokio::test]
async fn facts_come_back_in_order_with_the_chain_of_the_protocol() {
    let bench = Bench::new().await;
    bench.append(300).await;
    let window = bench.window(3).unwrap();
    let epoch = bench.line().epoch;
    assert_eq!(window.facts.len(), 256);
    let mut chain = Chain::default();
    for number in 1..=300 {
        chain = chain.then(epoch, Seq(number), &fact(number).encode().unwrap());
        if number == 3 + 256 {
            assert_eq!(window.chain, chain);
        }
        let index = usize::try_from(number).unwrap().checked_sub(4);
        if let Some((seq, body)) = index.and_then(|index| window.facts.get(index)) {
            assert_eq!((*seq, body), (Seq(number), &fact(number).encode().unwrap()));
        }
        let stored = bench.store.read(|txn| chain_at(txn, Stream::Usage, Seq(number))).unwrap();
        assert_eq!(stored, Some(chain));
    }
    assert_eq!(bench.line().chain_head, chain);
    let end = bench.window(300).unwrap();
    assert_eq!((end.facts.len(), end.chain), (0, chain));
    assert!(matches!(bench.window(301), Err(OutboxError::NotKept { .. })));
}

#[tokio::test]
async fn a_window_has_a_bound_in_bytes_and_always_one_fact() {
    let bench = Bench::new().await;
    bench.append(10).await;
    let size = fact(1).encode().unwrap().len();
    let count = |bytes| {
        let window = bench.store.read(|txn| window(txn, Stream::Usage, Seq(0), 256, bytes));
        window.unwrap().facts.len()
    };
    assert_eq!(count(size * 3), 3);
    assert_eq!(count(size * 4 - 1), 3);
    assert_eq!(count(1), 1);
}

#[tokio::test]
async fn a_failed_transaction_leaves_no_gap() {
    let bench = Bench::new().await;
    bench.append(2).await;
    let refused: Result<(), WriteError<OutboxError>> = bench
        .store
        .write(|txn| {
            append_usage(txn, UnixMs(7), &fact(99))?;
            Err(OutboxError::NotMade(Stream::Usage))
        })
        .await;
    assert!(matches!(refused, Err(WriteError::Refused(_))));
    bench.disk.set_mode(SimMode::Dead);
    let dead = bench.store.write(|txn| append_usage(txn, UnixMs(7), &fact(99))).await;
    assert!(dead.is_err());
    bench.disk.set_mode(SimMode::Works);
    bench.append(1).await;
    let bodies: Vec<_> = bench.window(0).unwrap().facts;
    let expected: Vec<_> = (1..=3).map(|n| (Seq(n), fact(n).encode().unwrap())).collect();
    assert_eq!(bodies, expected);
}

#[tokio::test]
async fn only_what_is_acked_and_backed_up_is_removed() {
    for (acked, backed_up, first) in [(0, 0, 1), (5, 0, 1), (5, 3, 4), (2, 9, 3), (10, 10, 11)] {
        let bench = Bench::new().await;
        bench.append(10).await;
        bench.ack(acked, backed_up).await.unwrap();
        let line = bench.line();
        assert_eq!(line.first_retained, Seq(first), "{acked} {backed_up}");
        assert_eq!((line.acked, line.backed_up), (Seq(acked), Seq(backed_up)));
        assert_eq!(bench.rows() as u64, 11 - first);
        let kept: u64 = (first..=10).map(|n| fact(n).encode().unwrap().len() as u64).sum();
        assert_eq!(line.bytes, kept);
        assert_eq!(line.oldest_unacked_at, (acked < 10).then_some(UnixMs(7)));
        // The chain of the last removed fact is still known, and no other.
        assert!(bench.window(first - 1).is_ok());
        assert_eq!(bench.window(first.saturating_sub(2)).is_ok(), first == 1);
    }
}

#[tokio::test]
async fn watermarks_never_fall() {
    let bench = Bench::new().await;
    bench.append(10).await;
    bench.ack(8, 4).await.unwrap();
    bench.ack(3, 2).await.unwrap();
    let line = bench.line();
    assert_eq!((line.acked, line.backed_up, line.first_retained), (Seq(8), Seq(4), Seq(5)));
}

#[tokio::test]
async fn acks_of_another_epoch_or_of_facts_never_made_are_refused() {
    let bench = Bench::new().await;
    bench.append(3).await;
    let marks = Watermarks { acked: Seq(3), backed_up: Seq(3) };
    let foreign = bench.outbox.ack(Stream::Usage, Epoch(4), marks).await;
    assert!(matches!(foreign, Err(WriteError::Refused(OutboxError::ForeignEpoch { .. }))));
    for (acked, backed_up) in [(4, 0), (0, 4)] {
        let ahead = bench.ack(acked, backed_up).await;
        assert!(matches!(ahead, Err(WriteError::Refused(OutboxError::AheadOfUs { .. }))));
    }
    assert_eq!(bench.rows(), 3);
}

/// Wings CVE-2026-21696: more rows than one statement could delete stopped the drain, and the same
/// rows were sent for ever.
#[tokio::test]
async fn a_hundred_thousand_facts_drain() {
    let disk = SimDisk::new(0);
    let store = Store::inline(disk, StoreOptions::EDGE).unwrap();
    store.write(|txn| init(txn, &Counting::default())).await.unwrap();
    let outbox = Outbox::new(store.clone());
    for _ in 0..250 {
        let append = |txn: &mut Txn<'_>| {
            (0..400).try_for_each(|_| append_usage(txn, UnixMs(7), &usage(txn)?).map(drop))
        };
        store.write(append).await.unwrap();
    }
    let mut seen = 0;
    let mut chain = Chain::default();
    loop {
        let window =
            store.read(|txn| window(txn, Stream::Usage, Seq(seen), 256, 256 << 10)).unwrap();
        let Some((last, _)) = window.facts.last() else { break };
        for (seq, body) in &window.facts {
            assert_eq!(seq.0, seen + 1, "each fact is handed out once");
            seen = seq.0;
            chain = chain.then(window.epoch, *seq, body);
        }
        assert_eq!(window.chain, chain);
        // The backup lags behind by many more facts than one transaction removes.
        let backed_up = if seen.is_multiple_of(40_000) || seen == 100_000 { *last } else { Seq(0) };
        let marks = Watermarks { acked: *last, backed_up };
        outbox.ack(Stream::Usage, window.epoch, marks).await.unwrap();
    }
    let line = store.read(|txn| line(txn, Stream::Usage)).unwrap();
    assert_eq!(seen, 100_000);
    assert_eq!((line.first_retained, line.bytes), (Seq(100_001), 0));
    assert_eq!(store.read(|txn| txn.first(FACTS, mamba_core::db::Span::all())).unwrap(), None);
}

#[tokio::test]
async fn a_fork_issues_everything_kept_anew() {
    let bench = Bench::new().await;
    bench.append(250).await;
    bench.ack(120, 10).await.unwrap();
    let old = bench.line();
    let epoch = bench.outbox.fork(Stream::Usage, &bench.entropy).await.unwrap();
    let line = bench.line();
    assert_ne!(epoch, old.epoch);
    assert_eq!((line.epoch, line.first_retained, line.next), (epoch, Seq(1), Seq(241)));
    assert_eq!((line.acked, line.backed_up), (Seq(0), Seq(0)));
    assert_eq!(line.bytes, old.bytes);
    assert_eq!(bench.rows(), 240);
    let window = bench.window(0).unwrap();
    let mut chain = Chain::default();
    for (index, (seq, body)) in window.facts.iter().enumerate() {
        assert_eq!((seq.0, body), (index as u64 + 1, &fact(index as u64 + 11).encode().unwrap()));
        chain = chain.then(epoch, *seq, body);
    }
    assert_eq!((line.chain_head, window.chain), (chain, chain));
}

#[tokio::test]
async fn a_fork_cut_off_anywhere_is_finished_later_and_never_seen_half_done() {
    // One commit copies at most 96 facts, so that 250 take three.
    for cut in 1..=3 {
        let bench = Bench::new().await;
        bench.append(250).await;
        let old = bench.line();
        let first_epoch = Epoch(77);
        for _ in 1..cut {
            let step = bench.store.write(move |txn| fork::step(txn, Stream::Usage, first_epoch));
            assert_eq!(step.await.unwrap(), None);
        }
        // Before the last step the old lane is the one that is seen, and it takes appends and acks.
        assert_eq!(bench.line(), old);
        bench.append(1).await;
        bench.ack(100, 100).await.unwrap();
        let kept: BTreeSet<Vec<u8>> = (0..2)
            .flat_map(|i| {
                bench
                    .window(100.max(i * 256))
                    .unwrap_or(Window { epoch: old.epoch, facts: vec![], chain: Chain::default() })
                    .facts
            })
            .map(|(_, body)| body)
            .collect();
        let epoch = bench.outbox.fork(Stream::Usage, &bench.entropy).await.unwrap();
        assert_eq!(epoch == first_epoch, cut > 1, "goes on with the epoch it began with");
        let line = bench.line();
        assert_eq!(line.epoch, epoch);
        let issued: BTreeSet<Vec<u8>> =
            bench.window(0).unwrap().facts.into_iter().map(|(_, body)| body).collect();
        assert!(kept.is_subset(&issued), "cut at {cut}");
        assert_eq!(bench.rows() as u64, line.next.0 - 1, "the old lane is gone");
    }
}

#[tokio::test]
async fn activity_over_the_cap_is_counted_and_told() {
    let bench = Bench::new().await;
    let append = async |number: u8| {
        let append =
            move |txn: &mut Txn<'_>| append_activity_capped(txn, &activity_fact(number), 5);
        bench.store.write(append).await.unwrap()
    };
    for number in 1..=4 {
        assert_eq!(append(number).await, Some(Seq(number.into())));
    }
    assert_eq!((append(5).await, append(6).await), (None, None));
    let text = bench.store.read(trouble).unwrap().unwrap();
    assert!(text.contains("2 facts were not kept"), "{text}");
    let epoch = bench.store.read(|txn| hello(txn, Stream::Activity)).unwrap().epoch;
    let marks = Watermarks { acked: Seq(2), backed_up: Seq(2) };
    bench.outbox.ack(Stream::Activity, epoch, marks).await.unwrap();
    assert_eq!(append(7).await, Some(Seq(6)), "after the count");
    let kept = bench.store.read(|txn| activity(txn, None, 2)).unwrap();
    assert_eq!(kept[0], activity_fact(7));
    assert_eq!(kept[1].body, Activity::Lost { count: 2 });
    assert_eq!(bench.store.read(trouble).unwrap(), None);
}

#[tokio::test]
async fn waiting_ends_with_a_new_fact_and_with_a_fork() {
    let bench = Bench::new().await;
    bench.append(1).await;
    let epoch = bench.line().epoch;
    bench.outbox.wait(Stream::Usage, epoch, Seq(0)).await.unwrap();
    let wait = bench.outbox.wait(Stream::Usage, epoch, Seq(1));
    let (waited, ()) = tokio::join!(wait, bench.append(1));
    waited.unwrap();
    let wait = bench.outbox.wait(Stream::Usage, epoch, Seq(2));
    let (waited, forked) = tokio::join!(wait, bench.outbox.fork(Stream::Usage, &bench.entropy));
    waited.unwrap();
    forked.unwrap();
}

#[tokio::test]
async fn everything_acked_survives_a_power_cut() {
    let bench = Bench::new().await;
    bench.append(50).await;
    bench.ack(30, 20).await.unwrap();
    for seed in 0..20 {
        let store = Store::inline(bench.disk.crash(seed), StoreOptions::EDGE).unwrap();
        assert_eq!(store.read(|txn| line(txn, Stream::Usage)).unwrap(), bench.line());
    }
}
