//! The task on a machine, a supervisor, a clock and a disk that do what they are told.

mod crash_points;
mod taken_back;

use super::*;
use crate::{
    calendar::Calendar,
    outbox::{self, Outbox, Watermarks},
};
use mamba_core::{
    clock::{BootId, BootMs, SystemEntropy},
    db::{
        Snapshot, Span, StoreOptions,
        sim::{SimDisk, SimMode},
    },
    fact::{GapReason, Meter as Quantity, Quantities, Stream, UsageBody, UsageFact},
    ids::TenantId,
    seq::Seq,
    server::Limits,
    units::{Mib, Millicores},
    usage::{coverage::HourSpan, integrate::Reading, window::RunKey},
};
use std::{
    future::Future,
    path::PathBuf,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

/// The start of an hour.
const NOON: u64 = 500_000 * 3_600_000;
const LIMITS: Limits = Limits {
    memory_mib: Mib(64),
    swap_mib: Mib(0),
    cpu_millicores: Millicores(500),
    disk_mib: Mib(100),
    pids: 64,
    sharing: mamba_core::server::Sharing::USUAL,
};

struct Hand {
    ms: AtomicU64,
    boot: u8,
}

impl Clock for Hand {
    fn wall(&self) -> UnixMs {
        UnixMs(NOON + self.ms.load(Relaxed))
    }
    fn boot(&self) -> BootMs {
        BootMs(5_000 + self.ms.load(Relaxed))
    }
    fn boot_id(&self) -> BootId {
        BootId([self.boot; 16])
    }
}

#[derive(Clone, Default)]
struct FakeRoll(Arc<Mutex<BTreeMap<ServerId, Metered>>>);

impl Roll for FakeRoll {
    fn servers(&mut self) -> BTreeMap<ServerId, Metered> {
        self.0.lock().unwrap().clone()
    }
    fn changed(&mut self) -> impl Future<Output = bool> + Send {
        std::future::pending()
    }
}

/// A node without a hub.
struct Bench {
    disk: SimDisk,
    store: Store,
    clock: Arc<Hand>,
    probe: FakeProbe,
    roll: FakeRoll,
    meter: Option<Meter<FakeProbe, FakeRoll>>,
    handle: Option<MeterHandle>,
    cpu_us: u64,
}

fn server() -> ServerId {
    ServerId::from_bytes([2; 16])
}

impl Bench {
    async fn new() -> Self {
        let disk = SimDisk::new(0);
        let store = Store::inline(disk.clone(), StoreOptions::EDGE).unwrap();
        store.write(|txn| outbox::init(txn, &SystemEntropy)).await.unwrap();
        let clock = Arc::new(Hand { ms: 0.into(), boot: 1 });
        let (probe, roll) = (FakeProbe::default(), FakeRoll::default());
        probe.tell_disk("/data", 1_000);
        let mut bench =
            Self { disk, store, clock, probe, roll, meter: None, handle: None, cpu_us: 0 };
        bench.edit(|_| {});
        bench.daemon();
        bench
    }

    /// Starts the daemon anew, from what is on disk.
    fn daemon(&mut self) {
        let remembered = self.store.read(crate::calendar::load).unwrap();
        let clock: Arc<dyn Clock> = self.clock.clone();
        let parts = MeterParts {
            store: self.store.clone(),
            clock: Arc::clone(&clock),
            calendar: Arc::new(HubCalendar::new(clock, remembered)),
            probe: self.probe.clone(),
            roll: self.roll.clone(),
            config: MeterConfig::default(),
        };
        let (meter, handle) = Meter::load(parts).unwrap();
        (self.meter, self.handle) = (Some(meter), Some(handle));
    }

    /// The power fails; the machine comes up after `ms` with nothing running.
    fn reboot(&mut self, seed: u64, ms: u64) {
        self.meter = None;
        self.store = Store::inline(self.disk.crash(seed), StoreOptions::EDGE).unwrap();
        let ms = self.clock.ms.load(Relaxed) + ms;
        self.clock = Arc::new(Hand { ms: ms.into(), boot: self.clock.boot + 1 });
        self.edit(|metered| metered.process = None);
        self.daemon();
    }

    fn edit(&self, edit: impl FnOnce(&mut Metered)) {
        let mut roll = self.roll.0.lock().unwrap();
        let metered = roll.entry(server()).or_insert(Metered {
            tenant: TenantId::from_bytes([1; 16]),
            limits: LIMITS,
            data_dir: PathBuf::from("/data"),
            process: None,
            is_looked_at: true,
            last_exit_at: None,
        });
        edit(metered);
    }

    fn start(&mut self, pid: u32) {
        self.cpu_us = 0;
        let key = RunKey { container: format!("c{pid}"), started_at: self.clock.wall(), pid };
        self.edit(|metered| metered.process = Some(Process { key, limits: LIMITS }));
        self.work(0);
    }

    fn stop(&mut self, pid: u32) {
        let at = self.clock.wall();
        self.probe.tell(pid, None);
        self.edit(|metered| {
            metered.process = None;
            metered.last_exit_at = Some(at);
        });
    }

    /// The process uses CPU and sends as many bytes.
    fn work(&mut self, us: u64) {
        self.cpu_us += us;
        let pid = self.roll.0.lock().unwrap()[&server()].process.as_ref().unwrap().key.pid;
        let reading = Reading {
            memory_bytes: Some(4_096),
            cpu_us: Some(self.cpu_us),
            sent_bytes: Some(self.cpu_us),
            disk_bytes: None,
        };
        self.probe.tell(pid, Some(reading));
    }

    fn pass(&self, ms: u64) {
        self.clock.ms.fetch_add(ms, Relaxed);
    }

    async fn round(&mut self) -> bool {
        self.meter.as_mut().unwrap().round().await
    }

    /// Passes time in looks of ten seconds, in each of which the process works 7 us.
    async fn rounds(&mut self, count: u64) {
        for _ in 0..count {
            self.pass(10_000);
            self.work(7);
            self.round().await;
        }
    }

    /// Closes the window and puts everything on disk.
    async fn flush(&mut self) -> bool {
        self.meter.as_mut().unwrap().flush().await
    }

    fn facts(&self) -> Vec<UsageFact> {
        let window = self
            .store
            .read(|txn| outbox::window(txn, Stream::Usage, Seq(0), 4_000, 1 << 24))
            .unwrap();
        window.facts.iter().map(|(_, body)| UsageFact::decode(body).unwrap()).collect()
    }

    /// Sum of what is in the outbox; spans of measured facts are disjoint and ascending.
    fn total(&self) -> Quantities {
        let mut total = Quantities::default();
        let mut end = UnixMs(0);
        for fact in self.facts() {
            HourSpan::new(fact.from, fact.to).unwrap();
            if let UsageBody::Measured(quantities) = &fact.body {
                assert!(end <= fact.from, "{end} {}", fact.from);
                end = fact.to;
                for meter in Quantity::ALL {
                    *total.of_mut(meter) += quantities.of(meter);
                }
            }
        }
        total
    }

    fn gaps(&self) -> Vec<(u64, u64, GapReason)> {
        let gap = |fact: UsageFact| match fact.body {
            UsageBody::Gap(reason) => Some((fact.from.0 - NOON, fact.to.0 - NOON, reason)),
            UsageBody::Measured(_) | UsageBody::ClockStep { .. } => None,
        };
        self.facts().into_iter().filter_map(gap).collect()
    }
}

fn allocated(total: Quantities, running_ms: u64) {
    let ms = u128::from(running_ms);
    assert_eq!(total.memory_allocated, u128::from(LIMITS.memory_mib.bytes()) * ms);
    assert_eq!(total.cpu_allocated, 500 * ms);
}

#[tokio::test]
async fn a_servers_life_is_in_the_outbox_to_the_unit() {
    let mut bench = Bench::new().await;
    bench.pass(5_000);
    bench.round().await;
    bench.pass(1_500);
    bench.start(10);
    bench.pass(500);
    bench.rounds(100).await;
    bench.pass(3_000);
    bench.stop(10);
    bench.pass(1_000);
    bench.round().await;
    bench.pass(60_000);
    assert!(bench.flush().await);
    let total = bench.total();
    assert_eq!((total.cpu_used, total.egress), (700, 700));
    allocated(total, 500 + 1_000_000 + 3_000);
    let existed_ms = bench.clock.ms.load(Relaxed) - 5_000;
    assert_eq!(total.disk_allocated, u128::from(existed_ms) * u128::from(LIMITS.disk_mib.bytes()));
    // From the first window on the grid to the end: no window is longer than five minutes and a look.
    let facts = bench.facts();
    assert!(facts.iter().all(|fact| fact.to.since(fact.from) <= 310_000));
    // Memory grows from zero until the first look, and falls to it after the last.
    assert_eq!(total.memory_used, 4_096 * (10_500 / 2 + 990_000 + 3_000 / 2));
    assert_eq!(bench.gaps(), []);
}

#[tokio::test]
async fn a_killed_daemon_continues_counters_and_time_and_bridges_gauges() {
    let mut bench = Bench::new().await;
    bench.start(10);
    bench.rounds(50).await;
    // Nothing is told to the daemon: it is just not there any more.
    bench.pass(120_000);
    bench.work(1_000);
    bench.daemon();
    // The supervisor does not list the process before it has looked at the engine.
    let process = bench.roll.0.lock().unwrap()[&server()].process.clone();
    bench.edit(|metered| (metered.process, metered.is_looked_at) = (None, false));
    bench.round().await;
    bench.edit(|metered| (metered.process, metered.is_looked_at) = (process, true));
    bench.rounds(50).await;
    assert!(bench.flush().await);
    let total = bench.total();
    assert_eq!((total.cpu_used, total.egress), (1_700, 1_700));
    allocated(total, 1_120_000);
    assert_eq!(bench.gaps(), [], "two minutes are bridged");
    assert!(total.memory_used > 4_096 * 1_100_000);
}

#[tokio::test]
async fn a_long_absence_is_a_gap_for_gauges_only() {
    let mut bench = Bench::new().await;
    bench.start(10);
    bench.rounds(6).await;
    bench.flush().await;
    bench.pass(400_000);
    bench.work(1_000);
    bench.daemon();
    bench.rounds(6).await;
    bench.flush().await;
    let total = bench.total();
    assert_eq!(total.cpu_used, 1_084);
    allocated(total, 520_000);
    assert_eq!(bench.gaps(), [(60_000, 470_000, GapReason::Recovered)]);
}

#[tokio::test]
async fn a_process_that_ended_while_the_daemon_was_away_is_billed_to_its_end() {
    let mut bench = Bench::new().await;
    bench.start(10);
    bench.rounds(6).await;
    bench.flush().await;
    bench.pass(40_000);
    bench.stop(10);
    bench.pass(50_000);
    bench.daemon();
    bench.start(11);
    bench.rounds(6).await;
    bench.flush().await;
    let total = bench.total();
    assert_eq!(total.cpu_used, 84);
    allocated(total, 60_000 + 40_000 + 60_000);
}

#[tokio::test]
async fn a_power_cut_loses_a_minute_at_most_and_says_so() {
    for seed in 0..10 {
        let mut bench = Bench::new().await;
        bench.start(10);
        bench.rounds(100).await;
        let before = bench.cpu_us;
        bench.reboot(seed, 200_000);
        bench.start(11);
        bench.rounds(10).await;
        assert!(bench.flush().await);
        let total = bench.total();
        let lost = before + bench.cpu_us - u64::try_from(total.cpu_used).unwrap();
        assert!(lost <= 42, "seed {seed}: {lost} us of six looks");
        let [(from, to, GapReason::Reboot)] = bench.gaps()[..] else {
            panic!("{:?}", bench.gaps())
        };
        assert_eq!(to, 1_200_000);
        assert!((940_000..=1_000_000).contains(&from), "{from}");
        // What is on disk is billed, and nothing that is not.
        allocated(total, from + 100_000);
    }
}

#[tokio::test]
async fn a_disk_that_takes_no_writes_delays_and_changes_nothing() {
    for mode in [SimMode::ReadOnly, SimMode::Dead] {
        let mut bench = Bench::new().await;
        bench.start(10);
        bench.rounds(40).await;
        bench.disk.set_mode(mode);
        bench.rounds(500).await;
        assert!(!bench.round().await);
        assert!(bench.handle.as_ref().unwrap().trouble().is_some());
        let live = bench.handle.as_ref().unwrap().current(server()).unwrap();
        assert_eq!(live.memory_bytes, Some(4_096));
        bench.disk.set_mode(SimMode::Works);
        bench.rounds(40).await;
        assert!(bench.flush().await);
        assert_eq!(bench.handle.as_ref().unwrap().trouble(), None);
        let total = bench.total();
        assert_eq!(total.cpu_used, 7 * 580);
        allocated(total, 5_800_000);
        assert_eq!(bench.gaps(), []);
    }
}

#[tokio::test]
async fn a_commit_that_fails_anywhere_is_neither_lost_nor_doubled() {
    let mut failed = 0;
    for change in 1..60 {
        let mut bench = Bench::new().await;
        bench.start(10);
        bench.rounds(31).await;
        bench.disk.fail_change(change);
        for _ in 0..40 {
            bench.pass(10_000);
            bench.work(7);
            failed += u32::from(!bench.round().await);
        }
        assert!(bench.flush().await);
        let total = bench.total();
        assert_eq!(total.cpu_used, 7 * 71, "change {change}");
        allocated(total, 710_000);
    }
    assert!(failed > 20, "only {failed} commits failed");
}

#[tokio::test]
async fn a_commit_of_unknown_outcome_is_repeated_as_it_was() {
    let mut bench = Bench::new().await;
    bench.start(10);
    bench.rounds(31).await;
    bench.flush().await;
    bench.rounds(3).await;
    let meter = bench.meter.as_mut().unwrap();
    for entry in meter.entries.values_mut() {
        entry.meter.cut();
        entry.is_dirty = true;
    }
    let calendar = meter.parts.calendar.remembered();
    let batch = commit::Batch::next(&meter.entries, |_| false, calendar, UnixMs(1)).unwrap();
    // It did happen, and nobody heard of it.
    let writing = batch.clone();
    bench.store.write(move |txn| writing.write(txn)).await.unwrap();
    bench.meter.as_mut().unwrap().in_doubt = Some(batch);
    bench.rounds(3).await;
    assert!(bench.flush().await);
    let total = bench.total();
    assert_eq!(total.cpu_used, 7 * 37);
    allocated(total, 370_000);
}

#[tokio::test]
async fn without_acks_for_a_day_windows_are_hours() {
    let mut bench = Bench::new().await;
    bench.pass(10_000);
    for _ in 0..25 * 12 {
        bench.pass(300_000);
        bench.round().await;
    }
    let before = bench.facts().len();
    for _ in 0..24 * 12 {
        bench.pass(300_000);
        bench.round().await;
    }
    assert_eq!(bench.facts().len(), before + 24);
    let line = bench.store.read(|txn| outbox::line(txn, Stream::Usage)).unwrap();
    let marks = Watermarks { acked: Seq(line.next.0 - 1), backed_up: Seq(0) };
    Outbox::new(bench.store.clone()).ack(Stream::Usage, line.epoch, marks).await.unwrap();
    for _ in 0..24 {
        bench.pass(300_000);
        bench.round().await;
    }
    assert!(bench.facts().len() >= before + 24 + 23);
}

#[tokio::test]
async fn a_server_that_is_gone_is_closed_and_forgotten_later() {
    let mut bench = Bench::new().await;
    bench.pass(10_000);
    bench.round().await;
    bench.pass(10_000);
    bench.round().await;
    let metered = bench.roll.0.lock().unwrap().remove(&server()).unwrap();
    let other = ServerId::from_bytes([9; 16]);
    bench.roll.0.lock().unwrap().insert(other, metered);
    bench.pass(10_000);
    bench.round().await;
    let rows = |bench: &Bench| {
        let rows: Vec<(ServerId, Kept)> =
            bench.store.read(|txn| txn.range(METERS, Span::all(), 9)).unwrap();
        rows.into_iter().map(|(server, _)| server).collect::<Vec<_>>()
    };
    assert_eq!(rows(&bench), [server(), other]);
    bench.pass(700_000);
    bench.round().await;
    bench.flush().await;
    assert_eq!(rows(&bench), [other]);
    let ends = bench.facts().into_iter().filter(|fact| fact.server == server()).map(|fact| fact.to);
    assert_eq!(ends.max(), Some(UnixMs(NOON + 20_000)), "nothing after it was seen last");
}

#[tokio::test]
async fn a_server_that_is_gone_has_no_gap_after_a_restart_of_the_machine() {
    let mut bench = Bench::new().await;
    bench.pass(10_000);
    bench.round().await;
    bench.roll.0.lock().unwrap().clear();
    bench.round().await;
    bench.reboot(3, 120_000);
    bench.roll.0.lock().unwrap().clear();
    bench.pass(10_000);
    bench.round().await;
    assert_eq!(bench.gaps(), vec![]);
}

#[tokio::test]
async fn limits_count_from_the_change_on() {
    let mut bench = Bench::new().await;
    bench.start(10);
    bench.rounds(3).await;
    bench.edit(|metered| {
        metered.process.as_mut().unwrap().limits.cpu_millicores = Millicores(1_000);
    });
    bench.round().await;
    bench.rounds(2).await;
    bench.flush().await;
    assert_eq!(bench.total().cpu_allocated, 500 * 30_000 + 1_000 * 20_000);
}

#[tokio::test]
async fn an_adopted_process_of_a_lost_store_is_counted_from_now_on() {
    let mut bench = Bench::new().await;
    bench.start(10);
    bench.work(5_000);
    bench.pass(50_000);
    bench.daemon();
    bench.rounds(2).await;
    bench.flush().await;
    let total = bench.total();
    assert_eq!(total.cpu_used, 7, "of the time between the first look and the second");
    assert_eq!(bench.gaps(), [(0, 60_000, GapReason::DiskLoss)]);
}

#[tokio::test]
async fn an_adopted_process_that_is_found_after_its_server_is_no_younger_for_that() {
    let mut bench = Bench::new().await;
    bench.start(10);
    bench.work(5_000);
    let mut found = None;
    bench.edit(|metered| found = metered.process.take());
    bench.pass(50_000);
    bench.daemon();
    bench.round().await;
    bench.edit(|metered| metered.process = found);
    bench.rounds(2).await;
    bench.flush().await;
    assert_eq!(bench.total().cpu_used, 7, "of the time between the first look and the second");
    let until_found = (50_000, 60_000, GapReason::Recovered);
    assert_eq!(bench.gaps(), [(0, 50_000, GapReason::DiskLoss), until_found]);
}

#[tokio::test]
async fn a_stepped_calendar_bills_what_passed() {
    let mut bench = Bench::new().await;
    bench.start(10);
    bench.rounds(6).await;
    let calendar = Arc::clone(&bench.meter.as_ref().unwrap().parts.calendar);
    assert_eq!(calendar.learn(calendar.now().plus(3_600_000), 0), Some(3_600_000));
    bench.rounds(6).await;
    bench.flush().await;
    allocated(bench.total(), 120_000);
    let steps: Vec<_> = bench
        .facts()
        .into_iter()
        .filter(|fact| fact.body == UsageBody::ClockStep { by_ms: 3_600_000 })
        .collect();
    assert_eq!(steps.len(), 1);
}

#[tokio::test]
async fn the_task_answers_its_handle_and_ends_with_it() {
    let mut bench = Bench::new().await;
    bench.start(10);
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(bench.meter.take().unwrap().run());
    let handle = bench.handle.take().unwrap();
    let is_counted = |shown: &Arc<Shown>| shown.live.values().any(|live| live.disk.is_some());
    while !is_counted(&handle.shown.borrow().clone()) {
        assert!(handle.flush().await);
    }
    bench.pass(10_000);
    bench.work(5_000_000);
    handle.look();
    assert!(handle.flush().await);
    let live = handle.current(server()).unwrap();
    assert_eq!((live.memory_bytes, live.sent_bytes), (Some(4_096), Some(5_000_000)));
    assert_eq!(live.disk.map(|(bytes, _)| bytes), Some(1_000));
    assert_eq!(bench.total().cpu_used, 5_000_000);
    let recent = handle.recent(server()).await.unwrap();
    let told = recent.iter().map(|it| (it.at.0 - NOON, it.cpu_millicores)).collect::<Vec<_>>();
    assert_eq!(told, [(0, None), (10_000, Some(500))]);
    assert_eq!(handle.recent(ServerId::from_bytes([9; 16])).await, Some(Vec::new()));
    drop(handle);
    assert!(tasks.join_next().await.unwrap().is_ok());
}

#[tokio::test]
async fn the_recent_past_begins_anew_with_the_daemon() {
    let mut bench = Bench::new().await;
    bench.start(10);
    bench.rounds(5).await;
    for expected in [5, 0] {
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(bench.meter.take().unwrap().run());
        let recent = bench.handle.take().unwrap().recent(server()).await;
        assert_eq!(recent.map(|it| it.len()), Some(expected));
        bench.daemon();
    }
}
