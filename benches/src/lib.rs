//! What the benchmarks share.
//!
//! `cargo bench -p mamba-bench` runs the criterion benches of pure parts and stores. The program
//! `mamba-bench` puts load on a real hub; `scripts/bench` runs everything and writes a report.

pub mod sample;
