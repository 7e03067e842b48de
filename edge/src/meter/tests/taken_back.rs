//! A disk that is taken back to an older state, as a snapshot of a virtual machine is, while the game
//! runs on.

use super::*;
use mamba_core::db::sim::Survives;

/// The game ran from 15 s to 75 s when the disk is taken back to its state of 10 s. The supervisor
/// has not looked yet.
async fn taken_back() -> Bench {
    let mut bench = Bench::new().await;
    bench.round().await;
    bench.pass(10_000);
    assert!(bench.flush().await);
    let before = bench.disk.crash_with(Survives::Synced);
    bench.pass(5_000);
    bench.start(10);
    bench.rounds(6).await;
    bench.meter = None;
    bench.disk = before;
    bench.store = Store::inline(bench.disk.clone(), StoreOptions::EDGE).unwrap();
    bench.daemon();
    let listed = bench.roll.0.lock().unwrap()[&server()].process.clone();
    bench.edit(|metered| (metered.process, metered.is_looked_at) = (None, false));
    bench.round().await;
    bench.edit(|metered| metered.process = listed);
    bench
}

#[tokio::test]
async fn its_use_lies_where_the_hub_may_have_it_already() {
    let mut bench = taken_back().await;
    bench.edit(|metered| metered.is_looked_at = true);
    bench.flush().await;
    let measured: Vec<_> = bench.facts().iter().map(|it| it.from.0 - NOON).collect();
    assert_eq!(measured, [0, 10_000, 15_000], "what the process used is all after its start");
    let total = bench.total();
    assert_eq!(total.cpu_used, 42);
    allocated(total, 60_000);
}

#[tokio::test]
async fn of_two_limits_the_lower_counts() {
    let mut bench = Bench::new().await;
    bench.start(10);
    bench.rounds(6).await;
    assert!(bench.flush().await);
    bench.daemon();
    bench.edit(|metered| metered.is_looked_at = false);
    bench.pass(10_000);
    bench.round().await;
    bench.edit(|metered| {
        metered.is_looked_at = true;
        metered.process.as_mut().unwrap().limits.cpu_millicores = Millicores(100);
    });
    bench.rounds(2).await;
    bench.flush().await;
    assert_eq!(bench.total().cpu_allocated, 500 * 60_000 + 100 * 30_000);
}

#[tokio::test]
async fn without_a_look_for_a_minute_a_process_is_counted_from_its_sight_on() {
    let mut bench = taken_back().await;
    let listed = bench.roll.0.lock().unwrap()[&server()].process.clone();
    bench.edit(|metered| metered.process = None);
    bench.pass(60_001);
    bench.round().await;
    bench.edit(|metered| (metered.process, metered.is_looked_at) = (listed, true));
    bench.work(5_000);
    bench.round().await;
    bench.rounds(2).await;
    bench.flush().await;
    assert_eq!(bench.total().cpu_used, 14);
}
