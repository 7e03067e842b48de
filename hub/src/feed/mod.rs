//! The live feed: a WebSocket that tells a panel's pages what changed, and what servers use just now.
//!
//! Nothing that changes state has to think of it: the store tells which keys its commits changed, and
//! from a key follows what a viewer may look at (`looks`). Links of nodes, which are not stored, are
//! compared every second. Gauges are asked of a node only while somebody looks at them (`taps`), so a
//! node that nobody looks at sends nothing for it.
//!
//! What is told is only that something changed; the viewer reads it again, with its own rights. What a
//! viewer looks at is checked when it says so, whenever a session or a membership ends, and every two
//! seconds (`sight`).
//!
//! Bounds. Changes wait for a viewer as a set of what it looks at, gauges as the newest of each server:
//! a slow viewer costs a few kilobytes, however long it sleeps, and stops nobody. When it is so slow
//! that the store's own memory of commits ran over, it is told that it missed something.

mod looks;
mod sight;
mod taps;
mod run;
#[cfg(test)]
mod tests;

pub(crate) use run::run;
pub(crate) use sight::Viewer;

use crate::config::ConsoleLimits;

/// Feeds open at one time: one for each tab of the panel. A feed that nobody reads holds about 20 KiB.
pub const LIMITS: ConsoleLimits = ConsoleLimits { all_max: 4_000, user_max: 40 };
