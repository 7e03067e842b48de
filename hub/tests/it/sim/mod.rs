//! The simulator: one real hub and real edges on one thread, with everything around them made up.
//!
//! Virtual time is tokio's paused clock. Network (`net`), disks (`SimDisk`), clocks and randomness
//! (`chance`), and the container engine (`FakeRuntime`) come from one seed; link, ingest, outbox,
//! supervisor and meter are the product's own, put together as its `app.rs` do. `plan` draws what
//! happens, `world` plays it, `check` holds the invariants against what truly ran.
//!
//! The network is our own and not turmoil's: it loses, doubles and reorders single packets, which
//! turmoil does not, has no ticks, and its run is the same in every build. Only QUIC over UDP is
//! needed here, so its hosts and names would be unused.
//!
//! What makes a run repeat: Ed25519 certificates, seeded QUIC, `biased` selects, no thread whose order
//! matters (consoles write behind, and nobody here reads them), and file work in place.
//!
//! `scripts/sim` drives [`many_seeds`] through environment variables.

mod centre;
mod chance;
mod check;
mod faults;
mod machine;
mod net;
mod offline;
mod panics;
mod plan;
mod planted;
mod world;

use check::Broken;
use plan::{CLASSES, Event, Plan};
use planted::Bug;
use std::time::{Duration, Instant};
use world::{Played, play};

/// Seeds that every `cargo test` plays.
const SEEDS: u64 = 4;
/// Most plays to shorten a failing plan.
const SHRINKS_MAX: usize = 40;

/// Seeds whose traces are compared.
const SAME: std::ops::RangeInclusive<u64> = 7..=9;
/// Asks the test below for its traces only.
const DIGESTS_VARIABLE: &str = "MAMBA_SIM_DIGESTS";

/// The first promise: a seed is a run, here and in another process.
#[test]
fn the_same_seed_gives_the_same_trace() {
    let digest = |seed| match play(&Plan::draw(seed, &[]), false) {
        Ok(Played { digest: (hash, entries), .. }) => format!("digest of {seed}: {hash} {entries}"),
        Err(broken) => panic!("{broken}"),
    };
    let first: Vec<String> = SAME.map(digest).collect();
    if std::env::var_os(DIGESTS_VARIABLE).is_some() {
        return first.iter().for_each(|line| println!("{line}"));
    }
    assert_eq!(first, SAME.map(digest).collect::<Vec<_>>());
    assert!(first[0].split(' ').nth(3) != first[1].split(' ').nth(3), "{first:?}");
    let other = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["sim::the_same_seed_gives_the_same_trace", "--exact", "--nocapture"])
        .env(DIGESTS_VARIABLE, "1")
        .output()
        .unwrap();
    let told = String::from_utf8(other.stdout).unwrap();
    let told: Vec<&str> = told.lines().filter(|line| line.starts_with("digest of")).collect();
    assert_eq!(first, told);
}

/// Each of these seeds broke an invariant once.
#[test]
fn what_once_failed_holds() {
    const ONCE: [u64; 10] = [169, 592, 702, 823, 860, 968, 1003, 1074, 1130, 1429];
    for seed in ONCE {
        play(&Plan::draw(seed, &[]), false).unwrap_or_else(|broken| panic!("{seed}: {broken}"));
    }
}

#[test]
fn nothing_is_lost_or_billed_twice_without_faults() {
    let mut plan = Plan::draw(1, &["none".to_owned()]);
    plan.lasts_ms = 1_800_000;
    assert!(plan.faults().next().is_none());
    let played = play(&plan, false).unwrap_or_else(|broken| panic!("{broken}"));
    assert!(played.facts > 10, "{} facts", played.facts);
}

/// Plays seeds: `MAMBA_SIM_SEEDS` of them from `MAMBA_SIM_FROM` on, with faults of the classes in
/// `MAMBA_SIM_FAULTS` only, or shows the one in `MAMBA_SIM_TRACE`.
#[test]
fn many_seeds() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let faults = std::env::var("MAMBA_SIM_FAULTS").unwrap_or_default();
    let faults: Vec<String> =
        faults.split(',').filter(|it| !it.is_empty()).map(str::to_owned).collect();
    for class in &faults {
        let is_known = class == "none" || CLASSES.contains(&class.as_str());
        assert!(is_known, "`{class}` is none of {CLASSES:?}");
    }
    if let Some(seed) = number("MAMBA_SIM_TRACE") {
        let plan = Plan::draw(seed, &faults);
        println!("{plan:#?}");
        let ended = play(&plan, true);
        return println!("{}", told(&ended));
    }
    let from = number("MAMBA_SIM_FROM").unwrap_or(1);
    let seeds = number("MAMBA_SIM_SEEDS").unwrap_or(SEEDS);
    let shrinks =
        number("MAMBA_SIM_SHRINKS").map_or(SHRINKS_MAX, |it| usize::try_from(it).unwrap());
    let failed = campaign(from..from + seeds, &faults, shrinks);
    assert_eq!(failed, 0, "seeds failed");
}

/// Shows that the simulator sees: each planted bug breaks one of its invariants within
/// `MAMBA_SIM_PLANTED` seeds, of the share `MAMBA_SIM_JOB` of `MAMBA_SIM_JOBS` of the bugs. Looks for
/// the cheapest one of them when that is not set.
#[test]
fn planted_bugs_are_found() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<usize>().unwrap());
    let most = number("MAMBA_SIM_PLANTED");
    let bugs = if most.is_some() { Bug::ALL.as_slice() } else { &Bug::ALL[..1] };
    let (job, jobs) = (number("MAMBA_SIM_JOB").unwrap_or(0), number("MAMBA_SIM_JOBS").unwrap_or(1));
    let share: Vec<_> = bugs.iter().skip(job).step_by(jobs).collect();
    let seeds_max = most.unwrap_or(20) as u64;
    let missed = share.iter().filter(|(bug, breaks)| !is_found(*bug, breaks, seeds_max));
    let missed: Vec<Bug> = missed.map(|(bug, _)| *bug).collect();
    println!("{} passed, {} failed", share.len() - missed.len(), missed.len());
    assert_eq!(missed, [], "planted bugs that were not found");
}

#[expect(clippy::disallowed_methods, reason = "how long it really took is a figure to report")]
fn is_found(bug: Bug, breaks: &[&str], seeds_max: u64) -> bool {
    let began = Instant::now();
    let found = (1..=seeds_max).find_map(|seed| {
        let plan = Plan { bug: Some(bug), ..Plan::draw(seed, &[]) };
        let broken = play(&plan, false).err()?;
        breaks.contains(&broken.invariant).then_some((seed, broken))
    });
    let took = began.elapsed().as_secs_f64();
    match &found {
        Some((seed, broken)) => println!("{bug:?}: seed {seed}, after {took:.1} s: {broken}"),
        None => println!("{bug:?}: not found in {seeds_max} seeds, {took:.1} s"),
    }
    found.is_some()
}

#[expect(clippy::disallowed_methods, reason = "how long it really took is a figure to report")]
fn campaign(seeds: std::ops::Range<u64>, faults: &[String], shrinks: usize) -> u64 {
    let (mut passed, mut failed, mut virtual_ms, mut facts) = (0_u64, 0_u64, 0, 0);
    let began = Instant::now();
    for seed in seeds {
        let plan = Plan::draw(seed, faults);
        match play(&plan, false) {
            Ok(played) => {
                passed += 1;
                virtual_ms += played.virtual_ms;
                facts += played.facts;
            }
            Err(broken) => {
                failed += 1;
                report(&plan, &broken, faults, shrinks);
            }
        }
    }
    let wall = began.elapsed();
    println!(
        "{} seeds, {:.1} virtual hours, {facts} usage facts, {:.1} s wall time, {:.0} x real time",
        passed + failed,
        hours(virtual_ms),
        wall.as_secs_f64(),
        Duration::from_millis(virtual_ms).as_secs_f64() / wall.as_secs_f64().max(0.001),
    );
    println!("{passed} passed, {failed} failed");
    failed
}

fn report(plan: &Plan, broken: &Broken, faults: &[String], shrinks: usize) {
    let short = shrink(plan, broken.invariant, shrinks);
    let list =
        if faults.is_empty() { String::new() } else { format!(" --faults {}", faults.join(",")) };
    println!("seed {} broke {broken}", plan.seed);
    println!("  events that are left when it is shortened:");
    for (at, event) in &short.events {
        println!("    {:>8.1} s {event:?}", Duration::from_millis(*at).as_secs_f64());
    }
    println!("  replay: scripts/sim --trace {}{list}", plan.seed);
}

/// Leaves out events as long as the same invariant breaks.
fn shrink(plan: &Plan, invariant: &str, shrinks_max: usize) -> Plan {
    let mut short = plan.clone();
    let mut plays = 0;
    let mut chunk = (short.events.len() / 2).max(1);
    loop {
        let mut at = 0;
        while at < short.events.len() && plays < shrinks_max {
            let mut less = short.clone();
            less.events.drain(at..(at + chunk).min(short.events.len()));
            plays += 1;
            match play(&less, false) {
                Err(broken) if broken.invariant == invariant => short = less,
                Ok(_) | Err(_) => at += chunk,
            }
        }
        if chunk == 1 || plays >= shrinks_max {
            short.events.sort_by_key(|(at, event)| (*at, matches!(event, Event::Act(_))));
            return short;
        }
        chunk /= 2;
    }
}

fn told(ended: &Result<Played, Broken>) -> String {
    match ended {
        Ok(played) => {
            let (hash, entries) = &played.digest;
            let hours = hours(played.virtual_ms);
            format!(
                "held: {hours:.2} virtual hours, {} facts, trace {hash} of {entries}",
                played.facts
            )
        }
        Err(broken) => format!("broke {broken}"),
    }
}

fn hours(ms: u64) -> f64 {
    Duration::from_millis(ms).as_secs_f64() / 3_600.0
}
