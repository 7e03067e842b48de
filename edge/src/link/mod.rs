//! The edge's end of the link: it dials the hub, again and again, and holds a session.
//!
//! Nothing waits for this module.

pub mod backend;
