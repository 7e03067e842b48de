//! The hub.

pub mod config;
pub mod identity;
pub mod link;
