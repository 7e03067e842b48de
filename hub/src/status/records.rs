//! Pure: what is stored of how the installation was.

use mamba_core::{
    clock::UnixMs,
    db::{Table, TableDef},
    record,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Days by their start.
pub(super) const DAYS: Table<UnixMs, DayRecord> = Table::new(300, "status_days");
/// When the first look was taken, in milliseconds since 1970.
pub(super) const SINCE: Table<(), u64> = Table::new(301, "status_since");

/// All tables of this module.
pub const TABLES: &[TableDef] = &[DAYS.def(), SINCE.def()];

/// One day by UTC, as far as the hub ran.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct DayRecord {
    /// Time in which the hub ran.
    pub(super) up_ms: u64,
    /// Of it, time in which the store could not write.
    pub(super) store_down_ms: u64,
    /// Of it, time in which most connected nodes waited for their reports to be taken.
    pub(super) ingest_late_ms: u64,
    /// Regions by name; the empty name is that of no region.
    pub(super) regions: BTreeMap<String, RegionRecord>,
}
record!(DayRecord, 1);

/// One region on a day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RegionRecord {
    /// Nodes times time.
    pub(super) nodes_ms: u64,
    /// Connected nodes times time.
    pub(super) connected_ms: u64,
}
