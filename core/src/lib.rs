//! The domain of Mamba Host Panel: pure decisions over plain values.
//!
//! Nothing here does IO, reads a clock or draws a random number, except behind feature `db`, which
//! adds the ordered store and the adapters for the operating system's clock and randomness.
//! Modules are listed in the order in which data flows.

pub mod ids;
pub mod seq;
pub mod clock;
pub mod units;
pub mod access;
pub mod server;
pub mod quota;
pub mod registry;
pub mod blueprint;
pub mod desired;
pub mod lifecycle;
pub mod scope;
pub mod allocation;
pub mod placement;
pub mod fact;
pub mod audit;
pub mod usage;
pub mod players;
pub mod metrics;
pub mod error;
pub mod settings;

#[cfg(feature = "db")]
pub mod db;
