//! `mamba-edge`: the autonomous daemon of one node, and the local CLI.
//!
//! Modules are listed in the order in which data flows. Nothing on the way from `runtime` to `store`
//! waits for the hub.

pub mod config;
pub mod runtime;
pub mod console;
pub mod data;
pub mod install;
pub mod registries;
pub mod supervisor;
pub mod desired;
pub mod store;
pub mod calendar;
pub mod outbox;
pub mod transfer;
pub mod meter;
pub mod link;
pub mod machine;
pub mod backend;
pub mod cli;
pub mod doors;
pub mod app;
