//! The hub.

pub mod config;
pub mod error;
pub mod external;
pub mod mail;
pub mod identity;
pub mod tenants;
pub mod audit;
pub mod link;
pub mod ingest;
pub mod store;
pub mod nodes;
pub mod control;
pub mod blueprints;
pub mod registries;
pub mod backup;
pub mod doctor;
pub mod status;
pub mod legal;
pub mod reconcile;
pub mod service;
pub mod secrets;
pub mod api;
pub mod relay;
pub mod feed;
pub mod metrics;
pub mod cli;
pub mod app;

pub use error::HubError;
pub use service::{Hub, HubParts};

#[cfg(test)]
mod crash_points;
#[cfg(test)]
pub(crate) mod testing;
