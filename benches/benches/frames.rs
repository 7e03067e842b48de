//! How fast frames and facts are written and read.

use criterion::{Criterion, Throughput, criterion_group};
use mamba_bench::sample;
use mamba_core::{
    clock::UnixMs,
    fact::{Chain, Stream, UsageFact},
    ids::{ServerId, TenantId},
    seq::{Epoch, Seq},
};
use mamba_wire::{
    frame::Decoder,
    link::v1::{BATCH_FACTS_MAX, EdgeFrame, Facts},
};
use std::hint::black_box;

fn batch() -> Facts {
    let server = (TenantId::from_bytes([1; 16]), ServerId::from_bytes([2; 16]));
    let body = sample::usage(server, UnixMs(1_795_366_800_000), 300_000).encode();
    let body = body.unwrap_or_default();
    let (epoch, first) = (Epoch(7), Seq(1));
    let bodies = vec![body; BATCH_FACTS_MAX];
    let chain = sample::chain_over(epoch, (Seq(0), Chain::default()), &bodies);
    Facts { stream: Stream::Usage, epoch, first, bodies, chain }
}

fn facts(c: &mut Criterion) {
    let server = (TenantId::from_bytes([1; 16]), ServerId::from_bytes([2; 16]));
    let fact = sample::usage(server, UnixMs(1_795_366_800_000), 300_000);
    let body = fact.encode().unwrap_or_default();
    c.bench_function("usage fact to bytes", |b| b.iter(|| black_box(&fact).encode()));
    c.bench_function("usage fact from bytes", |b| b.iter(|| UsageFact::decode(black_box(&body))));
    let batch = batch();
    let mut group = c.benchmark_group("batch of 256 usage facts");
    group.throughput(Throughput::Elements(BATCH_FACTS_MAX as u64));
    group.bench_function("chain", |b| {
        b.iter(|| {
            let seqs = (1..).map(Seq);
            seqs.zip(&batch.bodies).fold(Chain::default(), |chain, (seq, body)| {
                chain.then(batch.epoch, seq, black_box(body))
            })
        });
    });
    group.bench_function("to bytes", |b| {
        let frame = EdgeFrame::Facts(batch.clone());
        b.iter(|| {
            let mut out = Vec::new();
            if let Ok(frame) = black_box(&frame).to_frame() {
                frame.write(&mut out);
            }
            out
        });
    });
    let mut bytes = Vec::new();
    if let Ok(frame) = EdgeFrame::Facts(batch).to_frame() {
        frame.write(&mut bytes);
    }
    group.bench_function("from bytes", |b| {
        b.iter(|| {
            let mut decoder = Decoder::default();
            decoder.push(black_box(&bytes));
            let frame = decoder.next_frame().ok().flatten();
            frame.and_then(|frame| EdgeFrame::from_frame(&frame).ok().flatten())
        });
    });
    group.finish();
}

criterion_group!(benches, facts);
