//! The hub.

pub mod identity;
pub mod link;
