//! All criterion benches in one program: linking it takes minutes.

mod console;
mod contract;
mod decisions;
mod frames;
mod ingest;
mod stores;

use criterion::criterion_main;

criterion_main!(
    console::benches,
    contract::benches,
    decisions::benches,
    frames::benches,
    ingest::benches,
    stores::benches,
);
