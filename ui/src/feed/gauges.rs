//! Pure: what a server used in the last minutes, as it was told.

use mamba_core::{clock::UnixMs, ids::ServerId};
use mamba_wire::node::{GAUGES_MS, Gauges};
use std::collections::VecDeque;

/// How far back it is kept.
const SPAN_MS: u64 = 10 * 60_000;
/// Most gauges kept: twice what comes in that time.
const GAUGES_MAX: usize = 600;
/// Between two gauges further apart nothing is known: the line is broken there.
const GAP_MS: u64 = 6 * GAUGES_MS;
/// A gauge older than this is not how it is now.
pub(crate) const STALE_MS: u64 = 8 * GAUGES_MS;

/// Gauges of one server, oldest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Series {
    server: Option<ServerId>,
    gauges: VecDeque<Gauges>,
}

impl Series {
    /// Nothing is known of a server yet.
    pub(super) fn of(server: ServerId) -> Self {
        Self { server: Some(server), gauges: VecDeque::new() }
    }

    pub(super) fn is_of(&self, server: ServerId) -> bool {
        self.server == Some(server)
    }

    /// Adds what was told. What is no newer than the newest was told before.
    pub(super) fn push(&mut self, gauges: Gauges) {
        let newest = self.gauges.back().map_or(UnixMs(0), |it| it.at);
        if !self.is_of(gauges.server) || gauges.at <= newest {
            return;
        }
        self.gauges.push_back(gauges);
        let is_old = |it: &Gauges| gauges.at.since(it.at) > SPAN_MS;
        while self.gauges.len() > GAUGES_MAX || self.gauges.front().is_some_and(is_old) {
            self.gauges.pop_front();
        }
    }

    /// Returns the newest.
    pub(crate) fn newest(&self) -> Option<&Gauges> {
        self.gauges.back()
    }

    /// Whether a value was told at any time that is kept.
    pub(crate) fn knows(&self, value: fn(&Gauges) -> Option<f64>) -> bool {
        self.gauges.iter().any(|it| value(it).is_some())
    }

    /// Returns points of a chart: seconds since 1970, and what `value` says of each gauge, `NaN` where
    /// nothing is known.
    pub(crate) fn points(&self, value: fn(&Gauges) -> Option<f64>) -> (Vec<f64>, Vec<f64>) {
        let (mut times, mut values) = (Vec::new(), Vec::new());
        let mut before: Option<UnixMs> = None;
        for gauges in &self.gauges {
            if let Some(before) = before.filter(|it| gauges.at.since(*it) > GAP_MS) {
                times.push(seconds(before.plus(GAUGES_MS)));
                values.push(f64::NAN);
            }
            times.push(seconds(gauges.at));
            values.push(value(gauges).unwrap_or(f64::NAN));
            before = Some(gauges.at);
        }
        (times, values)
    }
}

/// Returns a time as charts want it.
pub(crate) fn seconds(at: UnixMs) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "times stay below 2^53 for 285,000 years")]
    let ms = at.0 as f64;
    ms / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use mamba_core::lifecycle::ServerState;

    fn server(n: u8) -> ServerId {
        ServerId::from_bytes([n; 16])
    }

    fn gauges(at: u64, cpu: Option<u64>) -> Gauges {
        Gauges {
            server: server(1),
            at: UnixMs(at),
            state: ServerState::Running,
            memory_bytes: None,
            cpu_millicores: cpu,
            sent_bytes_per_s: None,
            disk: None,
            players: None,
        }
    }

    #[test]
    fn gaps_and_the_unknown_break_the_line() {
        let mut series = Series::of(server(1));
        for (at, cpu) in [(2_000, Some(5)), (4_000, None), (4_000, Some(9)), (6_000, Some(7))] {
            series.push(gauges(at, cpu));
        }
        series.push(gauges(60_000, Some(8)));
        series.push(Gauges { server: server(2), ..gauges(61_000, Some(1)) });
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        let (times, values) = series.points(|it| it.cpu_millicores.map(|it| it as f64));
        assert_eq!(times, [2.0, 4.0, 6.0, 8.0, 60.0]);
        let shown: Vec<String> = values.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["5", "NaN", "7", "NaN", "8"]);
        assert_eq!(series.newest().map(|it| it.at), Some(UnixMs(60_000)));
    }

    #[test]
    fn what_is_kept_is_bounded_in_time_and_number() {
        let mut series = Series::of(server(1));
        for n in 1..5_000 {
            series.push(gauges(n * 10, None));
        }
        assert_eq!(series.gauges.len(), GAUGES_MAX);
        series.push(gauges(50_000 + SPAN_MS, None));
        assert_eq!(series.gauges.len(), 1);
    }
}
