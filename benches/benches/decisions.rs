//! How fast pure decisions are made: the supervisor's plan, and what of a span is billed.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group};
use mamba_bench::sample;
use mamba_core::{
    clock::{BootMs, UnixMs},
    ids::ServerId,
    lifecycle::{
        Actor, PowerAction,
        plan::{ConsoleLink, Now, Process, RunView, STARTS_MAX, ServerView, Wanted, World, plan},
        power::Power,
    },
    server::{AutoStart, Limits, RestartPolicy, ServerSpec, StopMethod},
    units::{Mib, Millicores},
    usage::coverage::{Coverage, HourSpan, SPANS_MAX},
};
use std::{collections::BTreeMap, hint::black_box};

const LIMITS: Limits = Limits {
    memory_mib: Mib(256),
    swap_mib: Mib(0),
    cpu_millicores: Millicores(500),
    disk_mib: Mib(512),
    pids: 64,
    sharing: mamba_core::server::Sharing::USUAL,
};
const HOUR: UnixMs = UnixMs(1_795_366_800_000);

fn spec() -> ServerSpec {
    ServerSpec {
        name: "world".into(),
        image: "game:1".into(),
        startup: "exec ./game".into(),
        entry: mamba_core::server::Entry::Shell,
        environment: BTreeMap::new(),
        done: vec![],
        stop: StopMethod::Runtime,
        stop_grace_ms: 10_000,
        limits: LIMITS,
        ports: vec![],
        capabilities: vec![],
        auto_start: AutoStart::LastState,
        restart: RestartPolicy::default(),
        config_files: vec![],
        mounts: vec![],
        suspended: false,
        run_until: None,
        install: None,
    }
}

/// A node on which every tenth server has yet to be started and the others run.
fn world<'a>(spec: &'a ServerSpec, power: &'a Power, count: u32) -> World<'a> {
    let run = RunView {
        power: 1,
        is_outdated: false,
        limits: &LIMITS,
        is_ready: true,
        console: ConsoleLink::Attached,
    };
    let servers = (0..count).map(|index| {
        let mut id = [7; 16];
        id[..4].copy_from_slice(&index.to_be_bytes());
        let runs = index % 10 != 0;
        let view = ServerView {
            wanted: Wanted::Exist(spec),
            is_leaving: false,
            is_among_others: false,
            next_wish_at: None,
            power,
            process: if runs { Process::Running } else { Process::Absent },
            run: runs.then_some(run),
            operation: None,
            ending: None,
            failure: None,
            stopping: None,
            is_image_ready: true,
            install: None,
        };
        (ServerId::from_bytes(id), view)
    });
    World { engine_error: None, starts_max: STARTS_MAX, servers: servers.collect() }
}

fn plans(c: &mut Criterion) {
    let spec = spec();
    let power = Power::never_asked().then(PowerAction::Start, Actor::Edge, UnixMs(1));
    let now = Now { calendar: HOUR, certain: HOUR, boot: BootMs(50_000) };
    let mut group = c.benchmark_group("plan of a node");
    for count in [10, 100, 1_000] {
        let world = world(&spec, &power, count);
        group.throughput(Throughput::Elements(count.into()));
        group.bench_with_input(BenchmarkId::from_parameter(count), &world, |b, world| {
            b.iter(|| plan(black_box(world), now));
        });
    }
    group.finish();
}

fn clipping(c: &mut Criterion) {
    let span = |from: u64, to: u64| HourSpan::new(HOUR.plus(from), HOUR.plus(to)).ok();
    let mut group = c.benchmark_group("claim of 5 minutes");
    // As an honest node claims: what follows the span before.
    let mut smooth = Coverage::default();
    span(0, 300_000).into_iter().for_each(|span| smooth.insert(span));
    // The worst that a record can hold.
    let mut torn = Coverage::default();
    let holes = (0..SPANS_MAX as u64).filter_map(|i| span(i * 20_000, i * 20_000 + 10_000));
    holes.for_each(|span| torn.insert(span));
    for (name, coverage) in [("next to what is covered", smooth), ("over 128 spans", torn)] {
        let Some(next) = span(300_000, 600_000) else { return };
        group.bench_function(name, |b| {
            b.iter_batched(
                || coverage.clone(),
                |mut coverage| coverage.claim(black_box(next), &sample::QUANTITIES),
                criterion::BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, plans, clipping);
