//! Pure: what one server uses, cut into facts.
//!
//! A [`ServerMeter`] is at a moment `at` up to which everything is accounted for: in facts, or in the
//! open window that began at `from`. It is moved on by [`ServerMeter::advance`], and cut where
//! something changes. It is stored whole, in the transaction that appends its facts to the outbox: so
//! after a crash anywhere it goes on from exactly where its last appended fact ended, and what
//! happened since is in the counters (which the kernel kept) and in the time (which the boot clock
//! kept). Only gauges, for the time since, are bridged or lost; see [`super::integrate`].
//!
//! - Facts never cross a UTC hour. An amount between two readings is spread evenly over the time
//!   between them, by rounded shares that add up to the amount exactly.
//! - Windows are cut on a grid of five minutes, and of an hour when the hub was not heard for a day
//!   or the disk takes no writes ([`window_ms`]). Facts that were made are never merged: sequences and hashes hold
//!   them. Keeping the window open for longer has the same effect on size and rewrites nothing. A
//!   server makes 288 facts on the first day without a hub and 24 a day from then on, besides those
//!   for starts, stops and changes.
//! - A difference of more than [`STEP_MS_MIN`] between calendar and boot clock is a step: the window
//!   is cut at the old time, the step is a fact, and the next window begins at the new time. After a
//!   step back spans overlap, and the hub clips what it had before.
//! - Time in which a gauge is not known is a [`GapReason::Recovered`] fact over it. Counters and
//!   allocated amounts of that time are measured all the same.
//!
//! Known error: at the start and at the end of a process its memory is taken to grow from and to
//! fall to zero between two readings, 10 s apart; CPU and bytes sent after the last reading of a
//! process are not known. Both are at the customer's favour but for the shape of the first seconds.

use super::integrate::{Counter, Rates, Reading, Sums, gauge_doubled};
use crate::{
    clock::{BootId, BootMs, HOUR_MS, UnixMs},
    fact::{GapReason, Quantities, UsageBody, UsageFact},
    ids::{ServerId, TenantId},
};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Length of a window as long as the hub is heard.
pub const WINDOW_MS: u64 = 300_000;
/// Age of the oldest fact without an ack above which windows are kept open for an hour.
pub const PATIENCE_MS: u64 = 24 * HOUR_MS;
/// Difference between calendar and boot clock that is a step. Above what the calendar corrects
/// without one between two readings.
pub const STEP_MS_MIN: u64 = 5_000;
/// Most rows of one gap: 45 days, for which usage is kept. Of a longer one the last are told.
pub const GAP_HOURS_MAX: u64 = 45 * 24;

const _: () = assert!(HOUR_MS.is_multiple_of(WINDOW_MS));

/// Returns the length of the grid on which windows are cut.
#[must_use]
pub fn window_ms(oldest_unacked_ms: u64, can_write: bool) -> u64 {
    if can_write && oldest_unacked_ms <= PATIENCE_MS { WINDOW_MS } else { HOUR_MS }
}

/// One moment by both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// By the boot clock: for durations.
    pub boot: BootMs,
    /// By the calendar: for placement.
    pub unix: UnixMs,
}

impl Stamp {
    /// Returns the moment `ms` before this one.
    #[must_use]
    pub fn ago(self, ms: u64) -> Self {
        Self {
            boot: BootMs(self.boot.0.saturating_sub(ms)),
            unix: UnixMs(self.unix.0.saturating_sub(ms)),
        }
    }
}

/// Names one process of a server: no two have the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunKey {
    /// Its container.
    pub container: String,
    /// Its start by the engine's clock.
    pub started_at: UnixMs,
    /// Its process id.
    pub pid: u32,
}

/// What is known of a process when its metering begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    /// All of it is still to be counted.
    Start,
    /// It ran before, and what it used then may have been counted: count from here.
    Unknown,
}

/// A process that is metered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Run {
    key: RunKey,
    cpu: Counter,
    sent: Counter,
    memory_bytes: Option<u64>,
}

/// The meter of one server. See the module's documentation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerMeter {
    tenant: TenantId,
    server: ServerId,
    boot: BootId,
    at: Stamp,
    /// Start of the open window; in the hour of `at`, or `at` is the end of that hour.
    from: UnixMs,
    sums: Sums,
    rates: Rates,
    run: Option<Run>,
    /// The process that ended last: should it be seen again, it is not counted from its start.
    ended: Option<RunKey>,
    disk_bytes: Option<u64>,
    /// Start of the time in which a gauge is not known, not yet told.
    unmeasured_from: Option<UnixMs>,
    /// Facts not yet in the outbox, oldest first.
    pending: VecDeque<UsageFact>,
}

impl ServerMeter {
    /// Begins to meter a server that has no process yet and no data.
    #[must_use]
    pub fn new(tenant: TenantId, server: ServerId, boot: BootId, at: Stamp, rates: Rates) -> Self {
        Self {
            tenant,
            server,
            boot,
            at,
            from: at.unix,
            sums: Sums::default(),
            rates,
            run: None,
            ended: None,
            disk_bytes: Some(0),
            unmeasured_from: None,
            pending: VecDeque::new(),
        }
    }

    /// Goes on after the daemon was away. In the same boot nothing changes: the next reading tells
    /// what happened. In another one everything ran out at an unknown time after `at`.
    pub fn resume(&mut self, boot: BootId, now: Stamp) {
        if self.boot == boot {
            return;
        }
        self.stop();
        self.cut();
        let then = self.at.unix;
        if now.unix < then {
            self.push_step(then, now.unix);
        } else {
            self.push_gap(then, now.unix, GapReason::Reboot);
        }
        self.boot = boot;
        self.at = now;
        self.from = now.unix;
    }

    /// Goes on at `now`: until then another node metered the server, and nothing of that time is ours,
    /// not even a gap.
    pub fn away_until(&mut self, boot: BootId, now: Stamp) {
        self.stop();
        self.cut();
        self.unmeasured_from = None;
        (self.boot, self.at, self.from) = (boot, now, now.unix);
    }

    /// Accounts for the time from `at` until `to` by what is read at `to`. A time before `at` is
    /// ignored.
    pub fn advance(&mut self, to: Stamp, reading: Reading) {
        if to.boot < self.at.boot {
            return;
        }
        let expected = self.at.unix.plus(to.boot.since(self.at.boot));
        if expected.0.abs_diff(to.unix.0) < STEP_MS_MIN {
            self.integrate(to, reading);
            return;
        }
        self.integrate(Stamp { unix: expected, ..to }, reading);
        self.cut();
        self.push_step(expected, to.unix);
        self.at.unix = to.unix;
        self.from = to.unix;
        self.unmeasured_from = self.unmeasured_from.map(|_| to.unix);
    }

    /// A process runs from `at` on. One that was stopped before is counted from its next reading on.
    pub fn start(&mut self, key: RunKey, since: Since) {
        self.stop();
        self.cut();
        let was_counted = self.ended.as_ref() == Some(&key);
        let (counter, memory_bytes) = match since {
            Since::Start if !was_counted => (Counter::ZERO, Some(0)),
            Since::Start | Since::Unknown => (Counter::UNKNOWN, None),
        };
        self.run = Some(Run { key, cpu: counter, sent: counter, memory_bytes });
    }

    /// The process, if there was one, ended at `at`.
    pub fn stop(&mut self) {
        if let Some(run) = self.run.take() {
            self.ended = Some(run.key);
            self.cut();
        }
    }

    /// From `at` on these are the allocated amounts and the owner.
    pub fn allocate(&mut self, tenant: TenantId, rates: Rates) {
        if self.rates != rates || self.tenant != tenant {
            self.cut();
            self.rates = rates;
            self.tenant = tenant;
        }
    }

    /// The allocated amounts that are counted now.
    #[must_use]
    pub fn rates(&self) -> Rates {
        self.rates
    }

    /// Writes down that nothing is known of the time since `from`, until `at`.
    pub fn lost_before(&mut self, from: UnixMs) {
        self.push_gap(from, self.at.unix, GapReason::DiskLoss);
    }

    /// Cuts when a line of the grid lies between the start of the open window and `at`.
    pub fn cut_if_due(&mut self, window_ms: u64) {
        if self.from.0 / window_ms != self.at.unix.0 / window_ms {
            self.cut();
        }
    }

    /// Closes the open window, if it has a length, and opens the next one.
    pub fn cut(&mut self) {
        let (from, to) = (self.from, self.at.unix);
        if from < to {
            let quantities = self.sums.take();
            self.push(from, to, UsageBody::Measured(quantities));
            self.from = to;
        }
        if let Some(from) = self.unmeasured_from.filter(|&from| from < to) {
            self.push_gap(from, to, GapReason::Recovered);
            self.unmeasured_from = Some(to);
        }
    }

    /// Forgets the oldest `count` pending facts: they are in the outbox.
    pub fn forget(&mut self, count: usize) {
        self.pending.drain(..count.min(self.pending.len()));
    }

    /// Facts not yet in the outbox, oldest first.
    #[must_use]
    pub fn pending(&self) -> &VecDeque<UsageFact> {
        &self.pending
    }

    /// The moment up to which everything is accounted for.
    #[must_use]
    pub fn at(&self) -> Stamp {
        self.at
    }

    /// The size of the data directory at `at`, `None` when it is not known.
    #[must_use]
    pub fn disk_bytes(&self) -> Option<u64> {
        self.disk_bytes
    }

    /// The process that is metered.
    #[must_use]
    pub fn run(&self) -> Option<&RunKey> {
        self.run.as_ref().map(|run| &run.key)
    }

    fn integrate(&mut self, to: Stamp, reading: Reading) {
        let (whole, is_measured) = self.amounts(to.boot.since(self.at.boot), reading);
        match (is_measured, self.unmeasured_from) {
            (false, None) => self.unmeasured_from = Some(self.at.unix),
            (true, Some(from)) => {
                self.push_gap(from, self.at.unix, GapReason::Recovered);
                self.unmeasured_from = None;
            }
            (false, Some(_)) | (true, None) => {}
        }
        // The calendar may stand still for a moment; it does not go back without a step.
        let (start, end) = (self.at.unix, to.unix.max(self.at.unix));
        let mut given = Sums::default();
        loop {
            let next = end.min(self.at.unix.hour().plus(HOUR_MS));
            let until = whole.share(next.since(start), end.since(start));
            self.sums.add_difference(&until, &given);
            given = until;
            self.at.unix = next;
            if next.0.is_multiple_of(HOUR_MS) {
                self.cut();
            }
            if next == end {
                break;
            }
        }
        self.at.boot = to.boot;
    }

    /// Returns what falls on `ms` milliseconds that end with `reading`, and whether all gauges are
    /// known.
    fn amounts(&mut self, ms: u64, reading: Reading) -> (Sums, bool) {
        let time = u128::from(ms);
        let disk = gauge_doubled(self.disk_bytes, reading.disk_bytes, ms);
        self.disk_bytes = reading.disk_bytes;
        let mut amounts = Quantities {
            disk_used: disk.unwrap_or(0),
            disk_allocated: u128::from(self.rates.disk_bytes) * time,
            ..Quantities::default()
        };
        let Some(run) = &mut self.run else { return (Sums::doubled(amounts), disk.is_some()) };
        let memory = gauge_doubled(run.memory_bytes, reading.memory_bytes, ms);
        run.memory_bytes = reading.memory_bytes;
        amounts.memory_used = memory.unwrap_or(0);
        amounts.cpu_used = run.cpu.advance(reading.cpu_us).into();
        amounts.egress = run.sent.advance(reading.sent_bytes).into();
        amounts.memory_allocated = u128::from(self.rates.memory_bytes) * time;
        amounts.cpu_allocated = u128::from(self.rates.cpu_millicores) * time;
        (Sums::doubled(amounts), disk.is_some() && memory.is_some())
    }

    fn push_step(&mut self, from: UnixMs, to: UnixMs) {
        let by_ms = to.0.cast_signed().saturating_sub(from.0.cast_signed());
        self.push(from, from.plus(1), UsageBody::ClockStep { by_ms });
    }

    /// One row per hour that the gap touches.
    fn push_gap(&mut self, from: UnixMs, to: UnixMs, reason: GapReason) {
        let last_hours = UnixMs(to.0.saturating_sub(HOUR_MS * (GAP_HOURS_MAX - 1))).hour();
        let mut from = from.max(last_hours);
        while from < to {
            let end = to.min(from.hour().plus(HOUR_MS));
            self.push(from, end, UsageBody::Gap(reason));
            from = end;
        }
    }

    fn push(&mut self, from: UnixMs, to: UnixMs, body: UsageBody) {
        let (tenant, server) = (self.tenant, self.server);
        self.pending.push_back(UsageFact { tenant, server, from, to, body });
    }
}

#[cfg(test)]
mod tests;
