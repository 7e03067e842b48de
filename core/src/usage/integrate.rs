//! Pure: turns readings into amounts over time, in whole units.
//!
//! | kind | between two readings `t` milliseconds apart |
//! |---|---|
//! | gauge | the trapezoid `(a + b) * t / 2`; kept doubled, so that the half is not lost |
//! | counter | the difference; nothing when it fell, since then it was reset |
//! | step function | the rate times `t`, exact |
//!
//! A gauge that was not read for longer than [`SMOOTH_MS_MAX`] is taken at the lower of both ends,
//! and for longer than [`BRIDGE_MS_MAX`] it is not measured at all: in doubt nothing is billed.

use super::share;
use crate::{
    fact::{Meter, Quantities},
    server::Limits,
};
use serde::{Deserialize, Serialize};

/// Longest time between readings that is taken as a straight line: a few missed readings.
pub const SMOOTH_MS_MAX: u64 = 60_000;
/// Longest time between readings for which a gauge is known at all: a restart of the daemon.
pub const BRIDGE_MS_MAX: u64 = 300_000;

const _: () = assert!(SMOOTH_MS_MAX < BRIDGE_MS_MAX);

/// What is read at one moment. `None` is what could not be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// Working set in bytes.
    pub memory_bytes: Option<u64>,
    /// CPU time since the container was started, in microseconds.
    pub cpu_us: Option<u64>,
    /// Bytes sent since the container was started.
    pub sent_bytes: Option<u64>,
    /// Size of the data directory in bytes.
    pub disk_bytes: Option<u64>,
}

/// Allocated amounts: what is counted per millisecond, used or not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rates {
    /// Memory limit in bytes.
    pub memory_bytes: u64,
    /// CPU limit; a thousandth of a core is one microsecond of CPU per millisecond.
    pub cpu_millicores: u32,
    /// Disk limit in bytes.
    pub disk_bytes: u64,
}

impl Rates {
    /// Returns the lower of both, each by itself.
    #[must_use]
    pub fn lower(self, other: Self) -> Self {
        Self {
            memory_bytes: self.memory_bytes.min(other.memory_bytes),
            cpu_millicores: self.cpu_millicores.min(other.cpu_millicores),
            disk_bytes: self.disk_bytes.min(other.disk_bytes),
        }
    }
}

impl From<Limits> for Rates {
    fn from(limits: Limits) -> Self {
        Self {
            memory_bytes: limits.memory_mib.bytes(),
            cpu_millicores: limits.cpu_millicores.0,
            disk_bytes: limits.disk_mib.bytes(),
        }
    }
}

/// Returns twice the byte-milliseconds of a gauge over `ms`; `None` when it is not known.
#[must_use]
pub fn gauge_doubled(before: Option<u64>, after: Option<u64>, ms: u64) -> Option<u128> {
    let (before, after) = (before?, after?);
    let ends = if ms <= SMOOTH_MS_MAX {
        u128::from(before) + u128::from(after)
    } else if ms <= BRIDGE_MS_MAX {
        u128::from(before.min(after)) * 2
    } else {
        return None;
    };
    Some(ends * u128::from(ms))
}

/// Last value of a counter; what is above it was not counted yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counter(Option<u64>);

impl Counter {
    /// A counter of which everything is still to be counted.
    pub const ZERO: Self = Self(Some(0));
    /// A counter whose first reading is where counting begins.
    pub const UNKNOWN: Self = Self(None);

    /// Returns how much it grew since the last reading and remembers this one. A value below the
    /// last one begins anew and counts nothing; a missing one changes nothing.
    pub fn advance(&mut self, reading: Option<u64>) -> u64 {
        let Some(now) = reading else { return 0 };
        let before = self.0.replace(now).unwrap_or(now);
        now.saturating_sub(before)
    }
}

/// Amounts that add up: [`Quantities`] with the gauges doubled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sums(Quantities);

impl Sums {
    /// Wraps amounts in which memory and disk used are doubled.
    #[must_use]
    pub fn doubled(amounts: Quantities) -> Self {
        Self(amounts)
    }

    /// Adds the difference of two shares of the same whole, `until - given`.
    pub fn add_difference(&mut self, until: &Self, given: &Self) {
        for meter in Meter::ALL {
            *self.0.of_mut(meter) += until.0.of(meter) - given.0.of(meter);
        }
    }

    /// Returns the share of each amount that falls on `part` of `whole` milliseconds, rounded down.
    #[must_use]
    pub fn share(&self, part: u64, whole: u64) -> Self {
        let mut shares = *self;
        for meter in Meter::ALL {
            *shares.0.of_mut(meter) = share(self.0.of(meter), part, whole);
        }
        shares
    }

    /// Takes everything out but the halves that are left over.
    pub fn take(&mut self) -> Quantities {
        let mut taken = self.0;
        taken.memory_used /= 2;
        taken.disk_used /= 2;
        let rest = Quantities {
            memory_used: self.0.memory_used % 2,
            disk_used: self.0.disk_used % 2,
            ..Quantities::default()
        };
        self.0 = rest;
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn gauges_are_trapezoids_then_bridged_low_then_unknown() {
        for (before, after, ms, expected) in [
            (Some(10), Some(20), 3, Some(90)),
            (Some(20), Some(10), SMOOTH_MS_MAX, Some(30 * 60_000)),
            (Some(20), Some(10), SMOOTH_MS_MAX + 1, Some(20 * 60_001)),
            (Some(10), Some(20), BRIDGE_MS_MAX, Some(20 * 300_000)),
            (Some(10), Some(20), BRIDGE_MS_MAX + 1, None),
            (None, Some(20), 3, None),
            (Some(10), None, 3, None),
            (Some(10), Some(20), 0, Some(0)),
            (Some(u64::MAX), Some(u64::MAX), 60_000, Some(u128::from(u64::MAX) * 120_000)),
        ] {
            assert_eq!(gauge_doubled(before, after, ms), expected, "{before:?} {after:?} {ms}");
        }
    }

    #[test]
    fn counters_count_growth_only() {
        let mut counter = Counter::ZERO;
        let readings = [Some(5), None, Some(9), Some(2), Some(3)];
        assert_eq!(readings.map(|reading| counter.advance(reading)), [5, 0, 4, 0, 1]);
        let mut counter = Counter::UNKNOWN;
        assert_eq!([Some(7), Some(9)].map(|reading| counter.advance(reading)), [0, 2]);
    }

    proptest! {
        #[test]
        fn halves_are_kept(amounts in prop::collection::vec(0..1_000_u128, 1..20)) {
            let mut sums = Sums::default();
            let mut taken = 0;
            for &memory_used in &amounts {
                let amount = Quantities { memory_used, ..Quantities::default() };
                sums.add_difference(&Sums::doubled(amount), &Sums::default());
                taken += sums.take().memory_used;
            }
            prop_assert_eq!(taken, amounts.iter().sum::<u128>() / 2);
        }
    }
}
