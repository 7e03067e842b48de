//! How fast lines go into a server's console and out to a reader.

use criterion::{Criterion, Throughput, criterion_group};
use mamba_core::{
    clock::{Clock, SystemClock},
    ids::ServerId,
    seq::LineNumber,
};
use mamba_edge::console::Consoles;
use mamba_wire::node::{ConsoleEvent, ConsoleFrom, LineSource};
use std::{error::Error, sync::Arc};
use tokio::runtime::Builder;

/// Lines of one read of a pipe of 64 KiB, about.
const CHUNK_LINES: usize = 500;
/// Reads of one burst.
const CHUNKS: usize = 2;
/// Lines of one burst.
const LINES: u64 = (CHUNKS * CHUNK_LINES) as u64;

#[expect(clippy::expect_used, reason = "a bench that cannot begin has nothing to measure")]
fn ring(c: &mut Criterion) {
    measure(c).expect("a console");
}

fn measure(c: &mut Criterion) -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new()?);
    let consoles = Consoles::open(dir.path(), clock)?;
    let server = ServerId::from_bytes([1; 16]);
    let sink = consoles.sink(server);
    let line = format!("[12:00:00] [Server thread/INFO]: {}\n", "a line of a game ".repeat(5));
    let chunk = line.repeat(CHUNK_LINES);
    let push = || {
        for _ in 0..CHUNKS {
            sink.push(LineSource::Stdout, chunk.as_bytes());
        }
    };
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let mut group = c.benchmark_group("console, 1000 lines");
    group.throughput(Throughput::Elements(LINES));
    group.bench_function("into the ring", |b| b.iter(push));
    group.bench_function("into the ring and out to a reader", |b| {
        b.iter(|| {
            let from = LineNumber(consoles.last_number(server).0 + 1);
            let mut reader = consoles.reader(server, ConsoleFrom::Line(from));
            push();
            let last = consoles.last_number(server).0;
            runtime.block_on(async {
                loop {
                    if let ConsoleEvent::Lines { first, lines } = reader.next().await
                        && first.0 + lines.len() as u64 > last
                    {
                        break;
                    }
                }
            });
        });
    });
    group.finish();
    Ok(())
}

criterion_group!(benches, ring);
