//! Benchmarks of Mamba Host Panel's hot pure parts and of its stores.
//!
//! `cargo bench -p mamba-bench` runs them; figures are compared within one run only.

pub mod sample;
