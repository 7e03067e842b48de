//! One [`Handle`](super::Handle) for each endpoint, by subject.

mod account;
mod auth;
mod mail;
mod nodes;
mod public;
mod blueprints;
mod registries;
mod tenants;
mod audit;
mod members;
mod mounts;
mod servers;
mod runtime;
mod permissions;
mod install;
mod intents;
mod transfers;
mod allocations;
mod console;
mod feed;
mod health;
mod hub;
mod users;
