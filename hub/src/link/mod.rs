//! The hub's end of the link: one UDP port, on which edges enrol and hold their sessions.

pub mod backend;
