//! The meter with a crash at each operation of its disk: what was used is in the outbox once.

use super::*;
use mamba_core::db::sim::{Survives, crash_images, crash_points};

/// Looks before and after the crash; windows are five minutes, so that both see some end.
const ROUNDS: u64 = 70;
/// Looks before that: what was never committed cannot be known after a crash.
const BEFORE: u64 = 2;
/// Points of the default run.
const SOME: u64 = 60;

impl Bench {
    /// Works until the disk is dead or the rounds are over. Returns how many looks it was.
    async fn work_until_dead(&mut self) -> u64 {
        for round in 1..=ROUNDS {
            self.rounds(1).await;
            if self.disk.is_dead() {
                return round;
            }
        }
        ROUNDS
    }

    /// The daemon dies and the machine lives on: the game runs, its counters go on.
    fn restart(&mut self, survives: Survives) {
        self.meter = None;
        self.disk = self.disk.crash_with(survives);
        self.store = Store::inline(self.disk.clone(), StoreOptions::EDGE).unwrap();
        self.daemon();
    }
}

/// A server whose meter is on disk.
async fn started() -> Bench {
    let mut bench = Bench::new().await;
    bench.start(10);
    bench.rounds(BEFORE).await;
    assert!(bench.flush().await);
    bench
}

/// What the store says after the crash is of one moment: facts and baseline add up to a count
/// that the game really had.
fn check_one_moment(bench: &Bench, at: &str) -> u128 {
    let facts = bench.total().cpu_used;
    let window = bench.meter.as_ref().unwrap();
    let pending: u128 = window
        .entries
        .values()
        .flat_map(|entry| entry.meter.pending())
        .map(|fact| match &fact.body {
            UsageBody::Measured(quantities) => quantities.cpu_used,
            UsageBody::Gap(_) | UsageBody::ClockStep { .. } => 0,
        })
        .sum();
    let told = facts + pending;
    assert!(told <= u128::from(bench.cpu_us) && told.is_multiple_of(7), "{at}: {told}");
    told
}

#[tokio::test]
async fn a_killed_daemon_bills_everything_once_wherever_it_was_killed() {
    let mut bench = started().await;
    let before = bench.disk.changes_count();
    bench.work_until_dead().await;
    let points = crash_points(bench.disk.changes_count() - before, SOME);
    let mut images_count = 0;
    for &point in &points {
        for survives in crash_images(point) {
            let mut bench = started().await;
            bench.disk.cut_power(point);
            let done = bench.work_until_dead().await;
            assert!(bench.disk.is_dead(), "the workload is the same each time");
            bench.restart(survives);
            let at = format!("point {point}, {survives:?}");
            check_one_moment(&bench, &at);
            bench.rounds(ROUNDS).await;
            assert!(bench.flush().await, "{at}");
            let total = bench.total();
            assert_eq!(total.cpu_used, u128::from(7 * (BEFORE + done + ROUNDS)), "{at}");
            allocated(total, 10_000 * (BEFORE + done + ROUNDS));
            assert_eq!(bench.gaps(), [], "{at}");
            images_count += 1;
        }
    }
    println!("meter, killed: {} points, {images_count} images", points.len());
    assert!(points.len() as u64 >= SOME);
}

#[tokio::test]
async fn a_power_cut_anywhere_doubles_nothing_and_loses_what_was_not_committed() {
    let mut bench = started().await;
    let before = bench.disk.changes_count();
    bench.work_until_dead().await;
    let points = crash_points(bench.disk.changes_count() - before, SOME);
    let mut images_count = 0;
    for &point in &points {
        for survives in crash_images(point) {
            let mut bench = started().await;
            bench.disk.cut_power(point);
            bench.work_until_dead().await;
            let (real, real_ms) = (bench.cpu_us, bench.clock.ms.load(Relaxed));
            bench.disk = bench.disk.crash_with(survives);
            bench.reboot(0, 30_000);
            let at = format!("point {point}, {survives:?}");
            check_one_moment(&bench, &at);
            bench.start(11);
            bench.rounds(ROUNDS).await;
            assert!(bench.flush().await, "{at}");
            let after = u128::from(7 * ROUNDS);
            let billed = bench.total().cpu_used - after;
            // A checkpoint is made each minute, and the look that crashed may be the sixth.
            let lost = u128::from(real) - billed;
            assert!(lost <= 7 * 7, "{at}: lost {lost} us");
            let [(from, to, GapReason::Reboot)] = bench.gaps()[..] else {
                panic!("{at}: {:?}", bench.gaps())
            };
            assert!(from <= real_ms && real_ms + 30_000 <= to, "{at}: {from} {to}");
            images_count += 1;
        }
    }
    println!("meter, power cut: {} points, {images_count} images", points.len());
}
