//! A node that is cut off for thirty days with fifty servers: what it keeps, and what its return
//! costs.
//!
//! Everything is the product's own, on the simulated disk, clock and network. The daemon does not
//! even dial meanwhile, which would only cost time here, and looks at its servers every minute instead
//! of every ten seconds; the facts that it makes are as many. Less often would not do: a gauge is
//! known for so long only, and each of its gaps is a fact.

use super::{
    chance::millis,
    check::Truth,
    machine::Image,
    plan::Plan,
    world::{World, runtime},
};
use mamba_core::{
    db::{Snapshot as _, Span, TxnError, sim::Survives},
    fact::Stream,
    usage::integrate::{BRIDGE_MS_MAX, SMOOTH_MS_MAX},
};
use mamba_edge::{
    meter::MeterConfig,
    outbox::{self, OutboxError, USAGE_FACT_BYTES, usage_facts_max},
};
use mamba_hub::store::{GAPS, POSTINGS};
use std::{sync::atomic::Ordering::SeqCst, time::Duration};
use tokio::time::Instant;

/// Environment variable with the days.
const DAYS_VARIABLE: &str = "MAMBA_SIM_DAYS";
/// Days that every `cargo test` plays.
const DAYS: u64 = 2;
const SERVERS: usize = 50;
const DAY: Duration = Duration::from_secs(86_400);
/// Longest drain on a line without loss: minutes, in which other streams go on, too.
const DRAIN_MAX: Duration = Duration::from_secs(600);

#[test]
fn weeks_offline_fit_the_bound_and_are_sent_once() {
    let days = std::env::var(DAYS_VARIABLE).map_or(DAYS, |text| text.parse().unwrap());
    let plan = Plan { servers: vec![SERVERS], events: vec![], ..Plan::draw(1, &[]) };
    runtime().block_on(play(plan, days));
}

async fn play(plan: Plan, days: u64) {
    let mut world = World::new(plan, false).await;
    let mut truth = Truth::default();
    // All run, and their data was counted.
    tokio::time::sleep(Duration::from_secs(600)).await;
    restart(&mut world, false).await;
    tokio::time::sleep(DAY * u32::try_from(days).unwrap()).await;

    let line = usage(&world);
    let waits = line.next.0 - line.first_retained.0;
    let disk_bytes = world.machines[0].disk.used_bytes();
    let most = usage_facts_max(SERVERS as u64, days) + 4 * SERVERS as u64;
    assert!(waits <= most, "{waits} facts, at most {most}");
    assert!(line.bytes <= waits * USAGE_FACT_BYTES, "{line:?}");
    assert!(waits >= most / 2, "{waits} facts: nothing was metered");

    let (came, bytes) = (world.centre.came.load(SeqCst), world.net.bytes());
    restart(&mut world, true).await;
    truth.read_facts(&world);
    let began = Instant::now();
    while usage(&world).acked < line.next {
        assert!(began.elapsed() < DRAIN_MAX, "{:?}", usage(&world));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let took_ms = millis(began, Instant::now());
    let bytes = world.net.bytes() - bytes;
    let all_sent = world.centre.came.load(SeqCst) - came;
    let acked: u64 = lines(&world).iter().map(|it| it.acked.0).sum();

    // The window that was open is reported, and everything is held against what truly ran.
    tokio::time::sleep(Duration::from_secs(4_000)).await;
    truth.is_at_rest(&world).unwrap();
    truth.check_at_rest(&world).unwrap_or_else(|broken| panic!("{broken}"));
    let ledger = ledger(&world);
    println!(
        "{days} days offline, {SERVERS} servers: {waits} usage facts of {} bytes in the outbox \
         (at most {most} facts), store of {disk_bytes} bytes; drained in {took_ms} ms with {bytes} \
         bytes on the wire, both ways; {all_sent} facts sent, {acked} acknowledged, {ledger} in the \
         ledger",
        line.bytes,
    );
    let all_came = world.centre.came.load(SeqCst);
    let all_acked: u64 = lines(&world).iter().map(|it| it.acked.0).sum();
    assert_eq!(all_came, all_acked, "facts were sent twice");
    assert_eq!(ledger, usage(&world).acked.0, "each usage fact is in the ledger once");
    println!("1 passed, 0 failed");
}

async fn restart(world: &mut World, dials: bool) {
    let machine = &mut world.machines[0];
    // As when only the process is killed.
    let disk = machine.disk.crash_with(Survives::Written);
    machine.kill(Image::Of(disk)).await;
    machine.dials = dials;
    machine.meter_config = if dials {
        MeterConfig::default()
    } else {
        let sample = Duration::from_millis(SMOOTH_MS_MAX);
        // So that the restart is bridged.
        let checkpoint_ms = BRIDGE_MS_MAX - 2 * SMOOTH_MS_MAX;
        MeterConfig { sample, checkpoint_ms, ..MeterConfig::default() }
    };
    machine.start().await;
}

fn lines(world: &World) -> Vec<mamba_wire::node::OutboxLine> {
    let lines: Result<_, OutboxError> =
        world.machines[0].daemon.as_ref().unwrap().store.read(outbox::lines);
    lines.unwrap()
}

fn usage(world: &World) -> mamba_wire::node::OutboxLine {
    lines(world).into_iter().find(|line| line.stream == Stream::Usage).unwrap()
}

/// Returns how many usage facts the hub has booked: measured ones, and gaps.
fn ledger(world: &World) -> u64 {
    let store = world.centre.running.as_ref().unwrap().hub.store();
    let rows: Result<usize, TxnError> = store.read(|txn| {
        let postings = txn.range(POSTINGS, Span::all(), 1_000_000)?;
        Ok(postings.len() + txn.range(GAPS, Span::all(), 1_000_000)?.len())
    });
    rows.unwrap() as u64
}
