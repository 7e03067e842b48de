//! Pure: what everybody may know of how the installation is: no names but those of regions.

use mamba_core::clock::UnixMs;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Days that are told, today among them.
pub const STATUS_DAYS: u64 = 90;
/// A thousand thousandths: all of the time.
pub const WHOLE_PERMILLE: u32 = 1_000;

/// How something is.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// As it should be.
    Good,
    /// It works, but not all of it or not in time.
    Impaired,
    /// It does not work.
    Down,
}

/// How the installation is, and was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Status {
    /// When this was looked at.
    pub at: UnixMs,
    /// Since when there is a history; `null` when there is none yet.
    pub since: Option<UnixMs>,
    /// The worst of all parts.
    pub condition: Condition,
    /// What keeps what people want and what was measured.
    pub store: Condition,
    /// What takes in what nodes report.
    pub ingest: Condition,
    /// Nodes by region.
    pub regions: Vec<Region>,
    /// Days, oldest first; at most [`STATUS_DAYS`].
    pub days: Vec<Day>,
}

/// Nodes of one region.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Region {
    /// Its name; `null` for nodes that stand nowhere in particular.
    pub region: Option<String>,
    /// How it is.
    pub condition: Condition,
    /// Nodes there.
    pub nodes: u32,
    /// Of them, those that are connected. A node that is not goes on running its servers.
    pub connected: u32,
}

/// One day by UTC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Day {
    /// Its start.
    pub day: UnixMs,
    /// Share of the time in which the hub ran, in thousandths.
    pub hub_permille: u32,
    /// Share of that in which the store worked.
    pub store_permille: u32,
    /// Share of that in which reports were taken in time.
    pub ingest_permille: u32,
    /// Regions that had nodes.
    pub regions: Vec<RegionDay>,
}

/// One region on one day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RegionDay {
    /// Its name; `null` for nodes that stand nowhere in particular.
    pub region: Option<String>,
    /// Share of the time in which its nodes were connected, in thousandths.
    pub permille: u32,
}
