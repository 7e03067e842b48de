//! How fast the store and the outbox are on a real file, every write synced.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group};
use futures_util::future::join_all;
use mamba_bench::sample;
use mamba_core::{
    clock::{SystemEntropy, UnixMs},
    db::{DataDir, Snapshot, Store, StoreOptions, Table, Txn, TxnError},
    fact::{Stream, UsageFact},
    ids::{ServerId, TenantId},
    seq::{Epoch, Seq},
};
use mamba_edge::outbox::{self, Outbox, OutboxError, Watermarks};
use mamba_wire::link::v1::{BATCH_BYTES_MAX, BATCH_FACTS_MAX};
use std::{error::Error, time::Duration};
use tokio::runtime::{Builder, Runtime};

const START: UnixMs = UnixMs(1_795_366_800_000);
/// A table of the benches' own.
const ROWS: Table<u64, Vec<u8>> = Table::new(1, "rows");
/// What a record of a server takes, about.
const ROW_BYTES: usize = 200;

struct Bench {
    store: Store,
    runtime: Runtime,
    _dir: tempfile::TempDir,
}

impl Bench {
    fn new() -> Result<Self, Box<dyn Error>> {
        // On the disk of the build, because the usual place may be memory.
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
        let data = DataDir::open(&dir.path().join("data"), mamba_edge::store::KIND)?;
        let store = Store::open(&data, 0, StoreOptions::EDGE)?;
        let runtime = Builder::new_current_thread().enable_all().build()?;
        Ok(Self { store, runtime, _dir: dir })
    }

    /// Writes `count` rows at the same time, each in a transaction of its own.
    fn write_rows(&self, count: u64, next: &mut u64) {
        let writes = (0..count).map(|_| {
            *next += 1;
            let key = *next;
            let put = move |txn: &mut Txn<'_>| txn.put(ROWS, &key, &vec![7; ROW_BYTES]);
            self.store.write::<(), TxnError, _>(put)
        });
        let done = self.runtime.block_on(join_all(writes));
        assert!(done.iter().all(Result::is_ok), "{done:?}");
    }

    fn append(&self, facts: Vec<UsageFact>) {
        let append = move |txn: &mut Txn<'_>| {
            facts.iter().try_for_each(|fact| outbox::append_usage(txn, START, fact).map(drop))
        };
        let done = self.runtime.block_on(self.store.write::<(), OutboxError, _>(append));
        assert!(done.is_ok(), "{done:?}");
    }
}

fn group_commit(c: &mut Criterion) {
    let Ok(bench) = Bench::new() else { return };
    let mut group = c.benchmark_group("durable writes at once");
    group.sample_size(20).measurement_time(Duration::from_secs(4));
    let mut next = 0;
    for writers in [1, 16, 256] {
        group.throughput(Throughput::Elements(writers));
        group.bench_with_input(BenchmarkId::from_parameter(writers), &writers, |b, &writers| {
            b.iter(|| bench.write_rows(writers, &mut next));
        });
    }
    group.finish();
}

/// Appends as the meter of a node with 50 servers does, then reads and acknowledges as the link does.
fn outboxes(c: &mut Criterion) {
    let Ok(bench) = Bench::new() else { return };
    let made = bench
        .runtime
        .block_on(bench.store.write::<(), OutboxError, _>(|txn| outbox::init(txn, &SystemEntropy)));
    assert!(made.is_ok(), "{made:?}");
    let server = (TenantId::from_bytes([1; 16]), ServerId::from_bytes([2; 16]));
    let facts = |count: u64| -> Vec<UsageFact> {
        (0..count).map(|i| sample::usage(server, START.plus(i * 1_000), 1_000)).collect()
    };
    let mut group = c.benchmark_group("outbox");
    group.sample_size(20).measurement_time(Duration::from_secs(4));
    group.throughput(Throughput::Elements(50));
    group.bench_function("append 50 facts in one transaction", |b| {
        b.iter_batched(
            || facts(50),
            |facts| bench.append(facts),
            criterion::BatchSize::PerIteration,
        );
    });
    while kept(&bench.store) < BATCH_FACTS_MAX as u64 {
        bench.append(facts(50));
    }
    group.throughput(Throughput::Elements(BATCH_FACTS_MAX as u64));
    group.bench_function("read a window of 256", |b| {
        b.iter(|| {
            let read = |txn: &_| -> Result<_, OutboxError> {
                outbox::window(txn, Stream::Usage, first(txn)?, BATCH_FACTS_MAX, BATCH_BYTES_MAX)
            };
            bench.store.read(read).map(|window| window.facts.len())
        });
    });
    group.throughput(Throughput::Elements(50));
    let outbox = Outbox::new(bench.store.clone());
    group.bench_function("acknowledge and remove 50 facts", |b| {
        b.iter_batched(
            || {
                bench.append(facts(50));
                marks(&bench.store)
            },
            |(epoch, marks)| {
                let done = bench.runtime.block_on(outbox.ack(Stream::Usage, epoch, marks));
                assert!(done.is_ok(), "{done:?}");
            },
            criterion::BatchSize::PerIteration,
        );
    });
    group.finish();
}

fn first(txn: &impl Snapshot) -> Result<Seq, OutboxError> {
    outbox::line(txn, Stream::Usage).map(|line| Seq(line.first_retained.0 - 1))
}

fn kept(store: &Store) -> u64 {
    let line = store.read(|txn| outbox::line(txn, Stream::Usage));
    line.map_or(0, |line| line.next.0 - line.first_retained.0)
}

/// What the hub says when it holds everything but what the window above needs.
fn marks(store: &Store) -> (Epoch, Watermarks) {
    let line = store.read(|txn| outbox::line(txn, Stream::Usage));
    line.map_or_else(
        |_| (Epoch(0), Watermarks::default()),
        |line| {
            let held = Seq(line.first_retained.0 + 49);
            (line.epoch, Watermarks { acked: held, backed_up: held })
        },
    )
}

criterion_group!(benches, group_commit, outboxes);
