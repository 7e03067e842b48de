//! Pure: what a server used, per hour, in stored and in shown units.

use super::{Freshness, params::params};
use mamba_core::{
    clock::UnixMs,
    fact::{GapReason, Meter},
    ids::ServerId,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Longest span of one request: 31 days.
pub const SPAN_MS_MAX: u64 = 31 * 24 * 3_600_000;
/// Span without `from`: the day before `to`.
pub const SPAN_MS_DEFAULT: u64 = 24 * 3_600_000;

params! {
    /// Which hours: those that begin in `[from, to)`.
    UsageQuery {
        /// Start; a day before `to` without.
        from: Option<UnixMs>,
        /// End; now without.
        to: Option<UnixMs>,
    }
}

/// Most servers of a page of [`super::table::ListUsage`]: each has up to 744 hours to be summed.
pub const USAGE_SERVERS_MAX: u32 = 20;

params! {
    /// Which servers and hours: those that begin in `[from, to)`.
    TenantUsageQuery {
        /// Start; a day before `to` without.
        from: Option<UnixMs>,
        /// End; now without.
        to: Option<UnixMs>,
        /// `next` of the page before; from the oldest server without.
        after: Option<String>,
        /// Most items, 1 to [`USAGE_SERVERS_MAX`], and as many without.
        limit: Option<u32> where 1..=USAGE_SERVERS_MAX,
    }
}

/// What one server used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ServerUsage {
    /// Which server.
    pub server: ServerId,
    /// Its name.
    pub name: String,
    /// Whether it is deleted and gone.
    pub is_gone: bool,
    /// Sum of each meter, in the order of [`Meter::ALL`].
    pub amounts: Vec<Amount>,
}

/// Usage of one server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Usage {
    /// Which server.
    pub server: ServerId,
    /// Start of the span, a full hour.
    pub from: UnixMs,
    /// End of the span.
    pub to: UnixMs,
    /// Hours with anything in them, oldest first.
    pub hours: Vec<UsageHour>,
    /// How old this is. What the node has not sent yet is missing.
    pub freshness: Freshness,
}

/// One UTC hour.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UsageHour {
    /// Its start.
    pub hour: UnixMs,
    /// One amount for each meter, in the order of [`Meter::ALL`].
    pub amounts: Vec<Amount>,
    /// Spans in which some meters were not billed, and why.
    pub gaps: Vec<UsageGap>,
}

/// Amount of one meter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Amount {
    /// Which.
    pub meter: Meter,
    /// Exact amount in `unit`, a whole decimal number.
    pub amount: String,
    /// `byte_ms`, `cpu_us` or `byte`.
    pub unit: String,
    /// The same in `shown_unit`, cut after six decimals.
    pub shown: String,
    /// `MB-hours`, `millicore-hours`, `GB-days` or `GB`; MB and GB are decimal.
    pub shown_unit: String,
}

/// A span in which some meters were not billed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UsageGap {
    /// Start.
    pub from: UnixMs,
    /// End.
    pub to: UnixMs,
    /// Why.
    pub reason: GapReason,
}

impl Amount {
    /// Describes an amount in stored units.
    #[must_use]
    pub fn of(meter: Meter, amount: u128) -> Self {
        let (unit, per_shown, shown_unit) = units(meter);
        Self {
            meter,
            amount: amount.to_string(),
            unit: unit.to_owned(),
            shown: decimal(amount, per_shown),
            shown_unit: shown_unit.to_owned(),
        }
    }
}

/// Returns the stored unit, how many of it make one shown unit, and the shown unit.
fn units(meter: Meter) -> (&'static str, u128, &'static str) {
    const HOUR_MS: u128 = 3_600_000;
    match meter {
        Meter::MemoryUsed | Meter::MemoryAllocated => ("byte_ms", 1_000_000 * HOUR_MS, "MB-hours"),
        // A thousandth of a core for an hour is 3.6 seconds of CPU.
        Meter::CpuUsed | Meter::CpuAllocated => ("cpu_us", 3_600_000, "millicore-hours"),
        Meter::DiskUsed | Meter::DiskAllocated => {
            ("byte_ms", 1_000_000_000 * 24 * HOUR_MS, "GB-days")
        }
        Meter::Egress => ("byte", 1_000_000_000, "GB"),
    }
}

/// Divides exactly and writes the result with six decimals, cut and not rounded.
fn decimal(amount: u128, per: u128) -> String {
    let micro = amount % per * 1_000_000 / per;
    format!("{}.{micro:06}", amount / per)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shown_units_are_exact_and_cut() {
        for (meter, amount, shown, unit) in [
            (Meter::MemoryUsed, 512_000_000 * 3_600_000, "512.000000", "MB-hours"),
            (Meter::CpuUsed, 3_599_999, "0.999999", "millicore-hours"),
            (Meter::CpuAllocated, 3_600_000_000, "1000.000000", "millicore-hours"),
            (Meter::DiskUsed, 1_000_000_000 * 86_400_000, "1.000000", "GB-days"),
            (Meter::Egress, 1_500_000_001, "1.500000", "GB"),
            (Meter::Egress, 0, "0.000000", "GB"),
            (Meter::Egress, u128::MAX, "340282366920938463463374607431.768211", "GB"),
        ] {
            let amount = Amount::of(meter, amount);
            assert_eq!((amount.shown.as_str(), amount.shown_unit.as_str()), (shown, unit));
        }
    }
}
