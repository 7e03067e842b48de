//! The hub.

pub mod identity;
