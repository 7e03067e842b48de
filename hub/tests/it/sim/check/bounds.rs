//! S1 and S3: what was billed, meter by meter, held against the processes that there truly were.

use super::{
    super::{
        chance::millis,
        machine::{CPU_US, DISK_BYTES, MEMORY_BYTES, SENT_BYTES},
        world::{Placed, World, limits},
    },
    Broken,
};
use mamba_core::fact::{Meter, Quantities};
use mamba_edge::runtime::fake::FakeRun;
use tokio::time::Instant;

/// Newest usage that is not yet a fact: a window and a sample.
const OPEN_MS: u64 = 5 * 60_000 + 20_000;
/// Clock error of each start and stop that may be billed.
pub(super) const SLACK_MS: u64 = 2_000;
/// Part of a time that a drifting clock may add, as a divisor.
const DRIFT: u64 = 4_000;
/// What is not seen of a process between its start, its last look and its end.
const UNSEEN_MS: u64 = 25_000;
/// Until the first count of a data directory: one with each look, and then some.
const UNCOUNTED_MS: u64 = 200_000;
const LOOK_MS: u64 = 10_000;
/// Faults that keep nothing from being measured.
const HARMLESS: [&str; 6] = ["loss", "partition", "flap", "rebind", "hub-crash", "restore"];

/// Holds what was billed of a server against the least and the most that it may be.
///
/// `cut_ms` is by how much the calendar may have been corrected where the hub cuts a span that partly
/// came before.
pub(super) fn check(
    world: &World,
    placed: &Placed,
    billed: &Quantities,
    cut_ms: u64,
) -> Result<(), Broken> {
    let now = Instant::now();
    let (mut least, mut most) = (Quantities::default(), Quantities::default());
    let mut first = None;
    for run in runs(world, placed) {
        allocated(world, &run, now, (&mut least, &mut most));
        used(world, &run, now, (&mut least, &mut most));
        first = Some(first.map_or(run.from, |first: Instant| first.min(run.from)));
    }
    most.cpu_used += u128::from(CPU_US * cut_ms);
    most.egress += u128::from(SENT_BYTES * cut_ms);
    let disk_limit = u128::from(limits().disk_mib.bytes());
    let existed_ms = u128::from(stretched(millis(placed.made_at, now)));
    most.disk_allocated = disk_limit * existed_ms;
    most.disk_used = u128::from(DISK_BYTES) * existed_ms;
    // One that was moved existed nowhere for a while.
    if let Some(first) = first.filter(|_| !placed.is_deleted && placed.wanted_on.is_empty()) {
        let ms = told(world, first, now, now);
        least.disk_allocated = disk_limit * u128::from(ms.saturating_sub(UNSEEN_MS));
        let uncounted_ms = UNCOUNTED_MS + LOOK_MS * world.plan.servers[placed.edge] as u64;
        least.disk_used = u128::from(DISK_BYTES) * u128::from(ms.saturating_sub(uncounted_ms));
    }
    let is_exact = world.plan.faults().all(|fault| HARMLESS.contains(&fault.class()));
    for meter in Meter::ALL {
        let (is, least, most) = (billed.of(meter), least.of(meter), most.of(meter));
        if is > most {
            let text = format!("{}: {meter:?} billed {is}, at most {most} was", placed.id);
            return Err(Broken::new("S3", text));
        }
        if is_exact && is < least {
            let text = format!("{}: {meter:?} billed {is}, at least {least} was", placed.id);
            return Err(Broken::new("S1", text));
        }
    }
    Ok(())
}

/// Returns the processes of a server that there truly were.
pub(super) fn runs(world: &World, placed: &Placed) -> Vec<FakeRun> {
    let engines = world.machines.iter().map(|it| &it.engine).chain(&world.clone_engines);
    let runs = engines.flat_map(|it| it.runs().into_values());
    runs.filter(|run| run.server == placed.id).collect()
}

/// Adds what limits a process had, by the times of their changes.
fn allocated(
    world: &World,
    run: &FakeRun,
    now: Instant,
    (least, most): (&mut Quantities, &mut Quantities),
) {
    let end = run.to.unwrap_or(now);
    for (index, (from, limits)) in run.limits.iter().enumerate() {
        let until = run.limits.get(index + 1).map_or(end, |(at, _)| *at);
        // A change of limits is seen some time after it was made.
        let most_ms = u128::from(stretched(millis(*from, until)));
        let least_ms = u128::from(told(world, *from, until, now).saturating_sub(SLACK_MS));
        let memory = u128::from(limits.memory_mib.bytes());
        let cpu = u128::from(limits.cpu_millicores.0);
        let largest = run.limits.iter().map(|(_, it)| u128::from(it.memory_mib.bytes())).max();
        most.memory_allocated += memory * most_ms;
        most.memory_allocated += (largest.unwrap_or(0) - memory) * u128::from(SLACK_MS);
        least.memory_allocated += memory * least_ms;
        most.cpu_allocated += cpu * most_ms;
        least.cpu_allocated += cpu * least_ms;
    }
}

/// Adds what a process used.
fn used(
    world: &World,
    run: &FakeRun,
    now: Instant,
    (least, most): (&mut Quantities, &mut Quantities),
) {
    let end = run.to.unwrap_or(now);
    let ms = millis(run.from, end);
    let seen_ms = told(world, run.from, end, now).saturating_sub(UNSEEN_MS);
    most.memory_used += u128::from(MEMORY_BYTES) * u128::from(stretched(ms));
    least.memory_used += u128::from(MEMORY_BYTES) * u128::from(seen_ms);
    // Counters are the kernel's: no clock of ours is in them.
    most.cpu_used += u128::from(CPU_US * ms);
    least.cpu_used += u128::from(CPU_US * seen_ms);
    most.egress += u128::from(SENT_BYTES * ms);
    least.egress += u128::from(SENT_BYTES * seen_ms);
}

fn stretched(ms: u64) -> u64 {
    ms + ms / DRIFT + SLACK_MS
}

/// How much of a time must have been reported by now.
fn told(world: &World, from: Instant, until: Instant, now: Instant) -> u64 {
    let told_ms = millis(world.begin, now).saturating_sub(OPEN_MS);
    millis(world.begin, until).min(told_ms).saturating_sub(millis(world.begin, from))
}
