//! One [`Handle`](super::Handle) for each endpoint, by subject.

mod auth;
mod nodes;
mod blueprints;
mod tenants;
mod servers;
mod allocations;
mod console;
mod health;
