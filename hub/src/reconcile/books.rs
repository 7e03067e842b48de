//! Pure: adds up what was reported, booked, set aside and summed, and says where these differ.

use super::{DAY_MS, day_of};
use mamba_core::{
    clock::{HOUR_MS, UnixMs},
    fact::{GapReason, Meter, Quantities},
    ids::{NodeId, ServerId, TenantId},
    seq::{Epoch, Seq},
    usage::window::WINDOW_MS,
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt};

/// Most pairs of tenant and day of one report: 20 MiB of JSON.
pub(super) const DAYS_MAX: usize = 10_000;
/// Problems that are listed; the rest is counted.
const PROBLEMS_MAX: usize = 100;

/// Age up to which a fact in quarantine counts for its day. Nodes report within weeks; a hostile one
/// could name any day and make the report as long as it likes.
const SET_ASIDE_DAYS_MAX: u64 = 366;

/// An exact quantity in stored units; text in JSON, where numbers are not exact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Amount(pub u128);

impl TryFrom<String> for Amount {
    type Error = std::num::ParseIntError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse().map(Self)
    }
}

impl From<Amount> for String {
    fn from(amount: Amount) -> Self {
        amount.0.to_string()
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One meter of a tenant on one UTC day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// Whose.
    pub tenant: TenantId,
    /// Start of the day.
    pub day: UnixMs,
    /// Which meter.
    pub meter: Meter,
    /// Sum of the facts in custody.
    pub reported: Amount,
    /// Sum of what postings added to hours.
    pub billed: Amount,
    /// Sum of what postings left out because that time was billed before.
    pub clipped: Amount,
    /// Sum of the facts in quarantine, which are not booked.
    pub set_aside: Amount,
    /// Sum of the hours.
    pub buckets: Amount,
}

impl Row {
    /// Whether both identities hold.
    #[must_use]
    pub fn is_balanced(&self) -> bool {
        let booked = self.billed.0.checked_add(self.clipped.0);
        booked.and_then(|it| it.checked_add(self.set_aside.0)) == Some(self.reported.0)
            && self.billed == self.buckets
    }
}

/// Spans of a tenant on one day that were not, or not wholly, measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GapLine {
    /// Whose.
    pub tenant: TenantId,
    /// Start of the day.
    pub day: UnixMs,
    /// Why.
    pub reason: GapReason,
    /// How many.
    pub count: u64,
    /// Their length in all, in milliseconds.
    pub ms: u64,
}

/// How complete a node's usage is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeLine {
    /// Which.
    pub node: NodeId,
    /// Its name.
    pub name: String,
    /// Whether it has servers.
    pub has_servers: bool,
    /// When it said last what waits in its outbox.
    pub reported_at: Option<UnixMs>,
    /// Usage facts that waited there.
    pub waiting: u64,
    /// Everything before this is in custody. `None` while nothing is known.
    pub complete_to: Option<UnixMs>,
    /// Time since then, in milliseconds.
    pub lag_ms: Option<u64>,
    /// Facts that are lost, over all its streams.
    pub lost: u64,
}

/// Returns until when a node's usage is in custody for certain. Facts are made from windows of
/// [`WINDOW_MS`]; the open one is not in the outbox.
pub(super) fn complete_to(reported_at: UnixMs, waiting: u64, oldest_age_ms: u64) -> UnixMs {
    let age_ms = if waiting == 0 { 0 } else { oldest_age_ms };
    UnixMs(reported_at.0.saturating_sub(age_ms).saturating_sub(WINDOW_MS))
}

/// An identity that does not hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Problem {
    /// A fact is in custody, and neither booked nor set aside.
    #[error("fact {seq} of epoch {epoch} of node `{node}` is in custody and was not booked")]
    NotBooked {
        /// Whose fact.
        node: NodeId,
        /// Its epoch.
        epoch: Epoch,
        /// Its number.
        seq: Seq,
    },
    /// What was booked for a fact is not what it says.
    #[error("fact {seq} of epoch {epoch} of node `{node}` was booked with other quantities")]
    BookedOtherwise {
        /// Whose fact.
        node: NodeId,
        /// Its epoch.
        epoch: Epoch,
        /// Its number.
        seq: Seq,
    },
    /// Something was booked for a fact that is not in custody.
    #[error("posting of fact {seq} of epoch {epoch} of node `{node}` has no fact in custody")]
    NoFact {
        /// Whose fact.
        node: NodeId,
        /// Its epoch.
        epoch: Epoch,
        /// Its number.
        seq: Seq,
    },
    /// The sums of an hour are not those of its postings.
    #[error("hour {hour} of server `{server}` of tenant `{tenant}` differs from its postings")]
    WrongHour {
        /// Whose.
        tenant: TenantId,
        /// Which server.
        server: ServerId,
        /// Start of the hour.
        hour: UnixMs,
    },
    /// A stream's custody does not hold what its watermark says.
    #[error(
        "stream {stream}, epoch {epoch} of node `{node}` has {found} facts in custody instead of \
         {expected}"
    )]
    WrongCount {
        /// Whose stream.
        node: NodeId,
        /// Its number.
        stream: u8,
        /// Its epoch.
        epoch: Epoch,
        /// By watermark and lost ones.
        expected: u64,
        /// In custody.
        found: u64,
    },
    /// A sum does not fit 128 bits.
    #[error("sum of tenant `{tenant}` on {day} is absurdly large")]
    Overflow {
        /// Whose.
        tenant: TenantId,
        /// Start of the day.
        day: UnixMs,
    },
}

/// All that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// When it was begun.
    pub at: UnixMs,
    /// Meters with any quantity, by tenant and day.
    pub rows: Vec<Row>,
    /// Gaps by tenant, day and reason.
    pub gaps: Vec<GapLine>,
    /// Nodes by id.
    pub nodes: Vec<NodeLine>,
    /// Facts of all streams in custody.
    pub facts: u64,
    /// Of those, usage facts that are set aside.
    pub set_aside: u64,
    /// Of those, the ones that no tenant and day can be told of, because they cannot be read or name
    /// a server, time or quantity that cannot be.
    pub unattributed: u64,
    /// Start of the oldest hour that may still change or that does not add up.
    pub oldest_open_hour: Option<UnixMs>,
    /// Age of that hour in milliseconds.
    pub oldest_open_age_ms: Option<u64>,
    /// The first problems of single records.
    pub problems: Vec<Problem>,
    /// How many there are.
    pub problems_count: u64,
}

impl Report {
    /// Whether every identity holds.
    #[must_use]
    pub fn is_balanced(&self) -> bool {
        self.problems_count == 0 && self.rows.iter().all(Row::is_balanced)
    }
}

/// Which sum a quantity belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Column {
    Reported,
    Billed,
    Clipped,
    SetAside,
    Buckets,
}

/// Sums of one tenant and day.
#[derive(Clone, Debug, Default)]
struct Day {
    reported: Quantities,
    billed: Quantities,
    clipped: Quantities,
    set_aside: Quantities,
    buckets: Quantities,
    gaps: BTreeMap<GapReason, (u64, u64)>,
}

impl Day {
    fn column(&mut self, column: Column) -> &mut Quantities {
        match column {
            Column::Reported => &mut self.reported,
            Column::Billed => &mut self.billed,
            Column::Clipped => &mut self.clipped,
            Column::SetAside => &mut self.set_aside,
            Column::Buckets => &mut self.buckets,
        }
    }
}

/// What was found so far.
#[derive(Debug)]
pub(super) struct Books {
    at: UnixMs,
    /// Earlier days are not summed.
    first_day: UnixMs,
    days: BTreeMap<(TenantId, UnixMs), Day>,
    problems: Vec<Problem>,
    problems_count: u64,
    wrong_hour: Option<UnixMs>,
    pub(super) nodes: Vec<NodeLine>,
    pub(super) facts: u64,
    pub(super) set_aside: u64,
    pub(super) unattributed: u64,
}

/// More days than fit a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooLong;

impl Books {
    pub(super) fn new(at: UnixMs, first_day: UnixMs) -> Self {
        Self {
            at,
            first_day,
            days: BTreeMap::new(),
            problems: Vec::new(),
            problems_count: 0,
            wrong_hour: None,
            nodes: Vec::new(),
            facts: 0,
            set_aside: 0,
            unattributed: 0,
        }
    }

    /// Adds a quantity of a tenant to a column of the day that holds `at`.
    pub(super) fn add(&mut self, tenant: TenantId, at: UnixMs, column: Column, more: &Quantities) {
        if !self.try_add(tenant, at, column, more) {
            self.problem(Problem::Overflow { tenant, day: day_of(at) });
        }
    }

    /// Adds what a fact in quarantine says, unless that cannot be: it was not believed, after all.
    pub(super) fn set_aside(&mut self, tenant: TenantId, at: UnixMs, claimed: &Quantities) {
        let today = day_of(self.at);
        let is_possible = at < today.plus(2 * DAY_MS)
            && at.plus(SET_ASIDE_DAYS_MAX * DAY_MS) >= today
            && self.fits(tenant, at, Column::Reported, claimed)
            && self.fits(tenant, at, Column::SetAside, claimed);
        if !is_possible {
            self.unattributed += 1;
            return;
        }
        self.add(tenant, at, Column::Reported, claimed);
        self.add(tenant, at, Column::SetAside, claimed);
    }

    /// Counts a gap.
    pub(super) fn gap(&mut self, tenant: TenantId, from: UnixMs, to: UnixMs, reason: GapReason) {
        let Some(day) = self.day(tenant, from) else { return };
        let (count, ms) = day.gaps.entry(reason).or_default();
        *count += 1;
        *ms = ms.saturating_add(to.since(from));
    }

    /// Takes the sums of one hour, and of its postings in the same snapshot; `late` is the part of the
    /// postings that came after the beginning.
    pub(super) fn hour(
        &mut self,
        (tenant, server, hour): (TenantId, ServerId, UnixMs),
        sums: &Quantities,
        posted: Option<&Quantities>,
        late: &Quantities,
    ) {
        if posted != Some(sums) {
            self.wrong_hour = Some(self.wrong_hour.map_or(hour, |it| it.min(hour)));
            self.problem(Problem::WrongHour { tenant, server, hour });
        }
        let mut settled = *sums;
        for meter in Meter::ALL {
            let place = settled.of_mut(meter);
            *place = place.saturating_sub(late.of(meter));
        }
        self.add(tenant, hour, Column::Buckets, &settled);
    }

    pub(super) fn problem(&mut self, problem: Problem) {
        self.problems_count += 1;
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(problem);
        }
    }

    /// Whether it is still short enough.
    pub(super) fn check_length(&self) -> Result<(), TooLong> {
        if self.days.len() > DAYS_MAX { Err(TooLong) } else { Ok(()) }
    }

    pub(super) fn finish(self) -> Report {
        let (mut rows, mut gaps) = (Vec::new(), Vec::new());
        for (&(tenant, day), sums) in &self.days {
            rows.extend(Meter::ALL.into_iter().filter_map(|meter| row(tenant, day, meter, sums)));
            gaps.extend(sums.gaps.iter().map(|(&reason, &(count, ms))| GapLine {
                tenant,
                day,
                reason,
                count,
                ms,
            }));
        }
        let open = self.nodes.iter().filter(|it| it.has_servers);
        let open = open.filter_map(|it| it.complete_to.map(UnixMs::hour));
        let oldest_open_hour = open.chain(self.wrong_hour).min();
        Report {
            at: self.at,
            rows,
            gaps,
            facts: self.facts,
            set_aside: self.set_aside,
            unattributed: self.unattributed,
            oldest_open_age_ms: oldest_open_hour.map(|hour| self.at.since(hour)),
            oldest_open_hour,
            nodes: self.nodes,
            problems: self.problems,
            problems_count: self.problems_count,
        }
    }

    /// Returns the sums of a day, `None` when it is not shown.
    fn day(&mut self, tenant: TenantId, at: UnixMs) -> Option<&mut Day> {
        let day = day_of(at);
        (day >= self.first_day).then(|| self.days.entry((tenant, day)).or_default())
    }

    fn fits(&self, tenant: TenantId, at: UnixMs, column: Column, more: &Quantities) -> bool {
        let day = self.days.get(&(tenant, day_of(at)));
        day.is_none_or(|day| sum(day.clone().column(column), more).is_some())
    }

    fn try_add(&mut self, tenant: TenantId, at: UnixMs, column: Column, more: &Quantities) -> bool {
        let Some(day) = self.day(tenant, at) else { return true };
        let place = day.column(column);
        match sum(place, more) {
            Some(all) => {
                *place = all;
                true
            }
            None => false,
        }
    }
}

/// Adds meter by meter; `None` when one overflows.
pub(super) fn sum(a: &Quantities, b: &Quantities) -> Option<Quantities> {
    let mut all = *a;
    for meter in Meter::ALL {
        let place = all.of_mut(meter);
        *place = place.checked_add(b.of(meter))?;
    }
    Some(all)
}

fn row(tenant: TenantId, day: UnixMs, meter: Meter, sums: &Day) -> Option<Row> {
    let row = Row {
        tenant,
        day,
        meter,
        reported: Amount(sums.reported.of(meter)),
        billed: Amount(sums.billed.of(meter)),
        clipped: Amount(sums.clipped.of(meter)),
        set_aside: Amount(sums.set_aside.of(meter)),
        buckets: Amount(sums.buckets.of(meter)),
    };
    let amounts = [row.reported, row.billed, row.clipped, row.set_aside, row.buckets];
    amounts.iter().any(|it| it.0 > 0).then_some(row)
}

const _: () = assert!(DAY_MS.is_multiple_of(HOUR_MS), "an hour lies in one day");
