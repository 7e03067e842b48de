//! What is wanted of servers: made, changed, powered and deleted here, and read back with how old
//! the node's word on it is.
//!
//! Each change makes the next generation of the server in the transaction that changes its record:
//! record, signed envelope, node index and activity change together or not at all. Nothing here
//! speaks to a node; its session is woken after the commit and fetches what it lacks.

mod allocations;
pub(crate) mod ports;
mod own_ports;
mod names;
mod change;
mod create;
mod ended;
pub(crate) mod hidden;
mod install;
mod intents;
pub(crate) mod leases;
mod list;
mod page;
mod placing;
mod read;
mod remake;
mod sort;
mod startup;
pub mod transfer;
mod give;
mod usage;
mod wish;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_limits;
#[cfg(test)]
mod tests_list;
#[cfg(test)]
mod tests_give;
#[cfg(test)]
mod tests_ports;

pub use allocations::AllocationWords;
pub(crate) use create::promised;
pub use create::{Maker, NewServer, Placing};
pub(crate) use ended::end_on_node;
pub(crate) use give::{owners, pass};
pub(crate) use intents::{keys_left, settle_expired};
pub use list::Seen;
pub use own_ports::PortAsker;
pub use page::Cut;
pub(crate) use ports::ALLOCATIONS_MAX;
pub use remake::Remake;
pub(crate) use sort::{PlaceOf, Sort, behind};
pub(crate) use wish::{commit, find as find_server, holder, note};

use crate::external::ExternalId;
use mamba_core::{
    blueprint::Pick,
    error::Invalid,
    server::{AutoStart, Limits, Mount, RestartPolicy},
};
use std::collections::BTreeMap;

/// Time between a deletion and what the node does about it, unless something else is asked for: a
/// day to notice a mistake.
pub const DELETE_AFTER_MS_DEFAULT: u64 = 24 * 3_600_000;
/// Time that a node keeps the data of a deleted server: a week.
pub const RETAIN_MS_DEFAULT: u64 = 7 * 24 * 3_600_000;
/// Longest wait or retention that can be asked for: 90 days.
pub const DELETE_MS_MAX: u64 = 90 * 24 * 3_600_000;

/// What to change of a server: what is `None` stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerChange {
    /// Its name.
    pub name: Option<String>,
    /// What it is for; an empty text removes it.
    pub description: Option<String>,
    /// Its name in another system, or none.
    pub external_id: Option<Option<ExternalId>>,
    /// Most ports that its owner may bring it to.
    pub allocation_limit: Option<u32>,
    /// Most backups that it may have.
    pub backup_limit: Option<u32>,
    /// Values of these variables; others stay.
    pub variables: Option<BTreeMap<String, String>>,
    /// All of its limits.
    pub limits: Option<Limits>,
    /// Whether it is forbidden to run.
    pub suspended: Option<bool>,
    /// Whether it starts with its node.
    pub auto_start: Option<AutoStart>,
    /// What happens when it ends by itself.
    pub restart: Option<RestartPolicy>,
    /// Its image.
    pub image: Option<Pick>,
    /// Its start line.
    pub startup: Option<Pick>,
    /// All folders of the node that it sees besides its own data.
    pub mounts: Option<Vec<Mount>>,
    /// Whether its install script is never run.
    pub skip_scripts: Option<bool>,
    /// Whether the licence of its game is agreed to; that is not taken back.
    pub accept_eula: bool,
    /// Whether an operator knows that this stops many servers at once.
    pub force: bool,
}

/// How a server is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deleting {
    /// The node waits so long before it stops the server.
    pub after_ms: u64,
    /// The node keeps the data so long.
    pub retain_ms: u64,
    /// Whether an operator knows that this deletes many servers at once.
    pub force: bool,
}

impl Default for Deleting {
    fn default() -> Self {
        Self { after_ms: DELETE_AFTER_MS_DEFAULT, retain_ms: RETAIN_MS_DEFAULT, force: false }
    }
}

impl Deleting {
    fn check(&self) -> Result<(), Invalid> {
        for (field, ms) in [("after_ms", self.after_ms), ("retain_ms", self.retain_ms)] {
            if ms > DELETE_MS_MAX {
                return Err(Invalid::new(field, format!("must be at most {DELETE_MS_MAX}")));
            }
        }
        Ok(())
    }
}
