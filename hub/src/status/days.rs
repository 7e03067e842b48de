//! Pure: looks summed up to days, and days as people see them.

use super::{
    LOOK_MS, Regions, STEP_MS_MAX,
    records::{DayRecord, RegionRecord},
    worst,
};
use mamba_core::clock::UnixMs;
use mamba_wire::api::status::{
    Condition, Day, Region, RegionDay, STATUS_DAYS, Status, WHOLE_PERMILLE,
};
use std::collections::BTreeMap;

/// Milliseconds of a day.
pub(super) const DAY_MS: u64 = 24 * 3_600_000;

/// What is seen at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Nodes and connected nodes by region.
    pub(super) regions: Regions,
    /// Connected nodes whose reports wait too long.
    pub(super) late: u32,
}

/// What is added to a day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Look {
    pub(super) now: UnixMs,
    pub(super) times: Times,
    pub(super) seen: Seen,
}

/// For how long a look stands: the time since the one before that was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Times {
    up_ms: u64,
    /// Of it, time in which nothing could be written.
    store_down_ms: u64,
}

impl Times {
    /// Adds the time since the last try. When that is long, the machine slept, and no hub ran.
    pub(super) fn go_on(&mut self, ms: u64) {
        self.up_ms += if ms <= STEP_MS_MAX { ms } else { 0 };
    }

    /// Notes that nothing of it could be written.
    pub(super) fn fail(&mut self) {
        self.store_down_ms = self.up_ms;
    }
}

impl Seen {
    fn connected(&self) -> u32 {
        self.regions.values().map(|(_, connected)| connected).sum()
    }

    /// How ingest is. One slow node is its line's fault; most of them are the hub's.
    fn ingest(&self) -> Condition {
        if self.late * 2 > self.connected() { Condition::Impaired } else { Condition::Good }
    }
}

/// Returns the start of a day.
pub(super) fn start(at: UnixMs) -> UnixMs {
    UnixMs(at.0 - at.0 % DAY_MS)
}

/// Returns the start of the oldest day that is told.
pub(super) fn oldest(now: UnixMs) -> UnixMs {
    UnixMs(start(now).0.saturating_sub((STATUS_DAYS - 1) * DAY_MS))
}

/// Adds a look to its day.
pub(super) fn add(record: &mut DayRecord, look: &Look) {
    let ms = look.times.up_ms;
    record.up_ms += ms;
    record.store_down_ms += look.times.store_down_ms;
    record.ingest_late_ms += if look.seen.ingest() == Condition::Good { 0 } else { ms };
    for (region, (nodes, connected)) in &look.seen.regions {
        let entry = record.regions.entry(region.clone()).or_default();
        entry.nodes_ms += u64::from(*nodes) * ms;
        entry.connected_ms += u64::from(*connected) * ms;
    }
}

/// Returns everything for everybody.
pub(super) fn status(
    now: UnixMs,
    since: Option<UnixMs>,
    can_write: bool,
    seen: &Seen,
    rows: BTreeMap<UnixMs, DayRecord>,
) -> Status {
    let store = if can_write { Condition::Good } else { Condition::Down };
    let regions: Vec<Region> = seen.regions.iter().map(region).collect();
    let ingest = worst([seen.ingest(), store]);
    let parts = regions.iter().map(|it| match it.condition {
        // Some region is not the whole.
        Condition::Down => Condition::Impaired,
        other => other,
    });
    let condition = worst(parts.chain([store, ingest]));
    let days = since.map(|since| days(now, since, &rows)).unwrap_or_default();
    Status { at: now, since, condition, store, ingest, regions, days }
}

fn region((name, (nodes, connected)): (&String, &(u32, u32))) -> Region {
    let condition = match (nodes, connected) {
        (nodes, connected) if nodes == connected => Condition::Good,
        (_, 0) => Condition::Down,
        (_, _) => Condition::Impaired,
    };
    Region { region: named(name), condition, nodes: *nodes, connected: *connected }
}

fn named(name: &str) -> Option<String> {
    (!name.is_empty()).then(|| name.to_owned())
}

/// Returns all days since the first look, those without any row too: then no hub ran.
fn days(now: UnixMs, since: UnixMs, rows: &BTreeMap<UnixMs, DayRecord>) -> Vec<Day> {
    let first = start(since).max(oldest(now));
    let mut days = Vec::new();
    let mut at = first;
    while at <= now {
        let (begin, end) = (at.max(since), at.plus(DAY_MS).min(now));
        let empty = DayRecord::default();
        days.push(day(at, end.since(begin), rows.get(&at).unwrap_or(&empty)));
        at = at.plus(DAY_MS);
    }
    days
}

fn day(day: UnixMs, expected_ms: u64, record: &DayRecord) -> Day {
    let regions = record.regions.iter().map(|(name, it)| {
        let RegionRecord { nodes_ms, connected_ms } = *it;
        RegionDay { region: named(name), permille: permille(connected_ms, nodes_ms) }
    });
    let of_up = |ms: u64| permille(record.up_ms.saturating_sub(ms), record.up_ms);
    // The last look may be a minute old: what is not longer than that is not missing.
    let missing_ms = expected_ms.saturating_sub(record.up_ms);
    let up_ms = if missing_ms < 2 * LOOK_MS { expected_ms } else { record.up_ms };
    Day {
        day,
        hub_permille: permille(up_ms, expected_ms),
        store_permille: of_up(record.store_down_ms),
        ingest_permille: of_up(record.ingest_late_ms),
        regions: regions.collect(),
    }
}

/// Returns a share in thousandths, cut; all of nothing is all.
fn permille(part: u64, whole: u64) -> u32 {
    let share = (u128::from(part) * u128::from(WHOLE_PERMILLE)).checked_div(u128::from(whole));
    let share = share.map_or(WHOLE_PERMILLE, |it| u32::try_from(it).unwrap_or(WHOLE_PERMILLE));
    share.min(WHOLE_PERMILLE)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: UnixMs = UnixMs(20_000 * DAY_MS + DAY_MS / 2);
    const MINUTE: u64 = 60_000;

    fn seen(nodes: u32, connected: u32, late: u32) -> Seen {
        Seen { regions: [("eu".to_owned(), (nodes, connected))].into(), late }
    }

    /// Sums up looks: nodes, connected and late ones, for how long, and whether the store failed before.
    fn day_of(looks: &[(u32, u32, u32, bool)]) -> DayRecord {
        let mut record = DayRecord::default();
        for (nodes, connected, late, has_failed) in looks {
            let mut times = Times::default();
            if *has_failed {
                times.go_on(MINUTE);
                times.fail();
            }
            times.go_on(MINUTE);
            // A machine that slept ran no hub.
            times.go_on(DAY_MS);
            let seen = seen(*nodes, *connected, *late);
            add(&mut record, &Look { now: NOON, times, seen });
        }
        record
    }

    #[test]
    fn shares_follow_what_was_seen() {
        for (look, count, expected) in [
            // hub, store, ingest, region
            ((2, 2, 0, false), 720, (1_000, 1_000, 1_000, 1_000)),
            ((2, 2, 0, true), 360, (1_000, 500, 1_000, 1_000)),
            ((2, 1, 0, false), 720, (1_000, 1_000, 1_000, 500)),
            ((2, 2, 1, false), 720, (1_000, 1_000, 1_000, 1_000)),
            ((2, 2, 2, false), 720, (1_000, 1_000, 0, 1_000)),
            ((2, 2, 0, false), 719, (1_000, 1_000, 1_000, 1_000)),
            ((2, 2, 0, false), 360, (500, 1_000, 1_000, 1_000)),
            ((2, 2, 0, false), 0, (0, 1_000, 1_000, 1_000)),
        ] {
            let record = day_of(&vec![look; count]);
            let shown = day(start(NOON), DAY_MS / 2, &record);
            let region = shown.regions.first().map_or(WHOLE_PERMILLE, |it| it.permille);
            let shown = (shown.hub_permille, shown.store_permille, shown.ingest_permille, region);
            assert_eq!(shown, expected, "{count} of {look:?}");
        }
    }

    #[test]
    fn the_worst_part_is_told_but_one_region_is_not_the_whole() {
        for (seen, can_write, expected) in [
            (Seen::default(), true, Condition::Good),
            (seen(2, 2, 0), true, Condition::Good),
            (seen(2, 1, 0), true, Condition::Impaired),
            (seen(2, 0, 0), true, Condition::Impaired),
            (seen(2, 2, 2), true, Condition::Impaired),
            (seen(2, 2, 0), false, Condition::Down),
        ] {
            let status = status(NOON, None, can_write, &seen, BTreeMap::new());
            assert_eq!(status.condition, expected, "{seen:?}");
            assert!(status.days.is_empty());
        }
    }

    #[test]
    fn days_without_a_hub_are_told_as_such() {
        let since = UnixMs(NOON.0 - 3 * DAY_MS);
        let whole = DayRecord { up_ms: DAY_MS, ..DayRecord::default() };
        let rows = [(start(UnixMs(NOON.0 - DAY_MS)), whole)].into();
        let shown: Vec<u32> = days(NOON, since, &rows).iter().map(|it| it.hub_permille).collect();
        assert_eq!(shown, [0, 0, 1_000, 0]);
    }
}
