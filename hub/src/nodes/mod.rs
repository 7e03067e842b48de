//! Machines: how they join, what is known of them, and how their right to connect ends.
//!
//! The hub's record of a node's public key *is* the node; certificates only wrap it. A join token is
//! stored hashed and bound to the first key that uses it. A token made for an existing node gives
//! that node a new key and ends the old one: for a machine that lost its disk.

pub mod live;
mod adopt;
mod backend;
mod delete;
mod join;
mod origin;
mod past;
mod registry;
mod reports;
mod wanted;
#[cfg(test)]
mod tests;

pub use delete::Force;
pub use join::NewToken;
pub(crate) use past::note_begin;
pub use registry::NodeDetail;
pub(crate) use registry::raise;

/// Life of a join token: long enough to walk to the machine, too short to be found later.
pub const TOKEN_MS_DEFAULT: u64 = 3_600_000;
/// Longest life of a join token: a day.
pub const TOKEN_MS_MAX: u64 = 24 * 3_600_000;
/// Most join tokens that are open at once.
pub const TOKENS_MAX: usize = 1_000;
