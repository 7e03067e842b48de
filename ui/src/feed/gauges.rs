//! Pure: what a server used in the last minutes, as it was told, and as its node remembers it.

use mamba_core::{clock::UnixMs, ids::ServerId, lifecycle::ServerState};
use mamba_wire::node::{GAUGES_MS, Gauges, Moment, RECENT_GAP_MS, RECENT_MS};
use std::collections::VecDeque;

/// Most gauges kept: twice what comes in that time.
const GAUGES_MAX: usize = 600;
/// A gauge older than this is not how it is now.
pub(crate) const STALE_MS: u64 = 8 * GAUGES_MS;

/// Gauges of one server, oldest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Series {
    server: Option<ServerId>,
    gauges: VecDeque<Gauges>,
    /// When the newest gauges began that came one after the other.
    since: Option<UnixMs>,
}

impl Series {
    /// Nothing is known of a server yet.
    pub(super) fn of(server: ServerId) -> Self {
        Self { server: Some(server), ..Self::default() }
    }

    pub(super) fn is_of(&self, server: ServerId) -> bool {
        self.server == Some(server)
    }

    /// Adds what was told. What is no newer than the newest was told before.
    pub(super) fn push(&mut self, gauges: Gauges) {
        let newest = self.gauges.back().map(|it| it.at);
        if !self.is_of(gauges.server) || newest.is_some_and(|it| gauges.at <= it) {
            return;
        }
        if newest.is_none_or(|it| is_gap(it, gauges.at)) {
            self.since = Some(gauges.at);
        }
        self.gauges.push_back(gauges);
        self.forget();
    }

    /// Adds what the node remembers of the time of which nothing was told.
    pub(super) fn recall(&mut self, server: ServerId, moments: Vec<Moment>) {
        if !self.is_of(server) {
            return;
        }
        let mut missed = moments;
        missed.retain(|it| !self.was_told(it.at));
        for moment in missed {
            let place = self.gauges.partition_point(|it| it.at < moment.at);
            self.gauges.insert(place, remembered(server, moment));
        }
        self.forget();
    }

    /// Whether gauges were told around this time, or it is still to come.
    fn was_told(&self, at: UnixMs) -> bool {
        let next = self.gauges.partition_point(|it| it.at < at);
        let told = |index: usize| self.gauges.get(index).map(|it| it.at);
        match (next.checked_sub(1).and_then(told), told(next)) {
            (_, Some(after)) if after == at => true,
            (Some(before), Some(after)) => !is_gap(before, after),
            (before, None) => before.is_some(),
            (None, Some(_)) => false,
        }
    }

    /// Forgets what is too old, or too much.
    fn forget(&mut self) {
        let Some(newest) = self.gauges.back().map(|it| it.at) else { return };
        let is_old = |it: &Gauges| newest.since(it.at) > RECENT_MS;
        while self.gauges.len() > GAUGES_MAX || self.gauges.front().is_some_and(is_old) {
            self.gauges.pop_front();
        }
    }

    /// Returns since when gauges come one after the other, up to the newest: of the time before that the
    /// node may remember more.
    pub(crate) fn since(&self) -> Option<UnixMs> {
        self.since
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
            if let Some(before) = before.filter(|it| is_gap(*it, gauges.at)) {
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

/// Whether nothing is known between two times at which something is: the line is broken there.
fn is_gap(before: UnixMs, after: UnixMs) -> bool {
    after.since(before) > RECENT_GAP_MS
}

/// Returns a moment as gauges.
fn remembered(server: ServerId, moment: Moment) -> Gauges {
    let Moment { at, memory_bytes, cpu_millicores, sent_bytes_per_s, disk_bytes } = moment;
    let is_up = memory_bytes.is_some() || cpu_millicores.is_some() || sent_bytes_per_s.is_some();
    Gauges {
        server,
        at,
        state: if is_up { ServerState::Running } else { ServerState::Offline },
        memory_bytes,
        cpu_millicores,
        sent_bytes_per_s,
        disk: disk_bytes.map(|it| (it, at)),
        players: None,
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
        series.push(gauges(50_000 + RECENT_MS, None));
        assert_eq!(series.gauges.len(), 1);
    }

    /// CPU at each time in seconds, `NaN` where the line is broken.
    fn line(series: &Series) -> Vec<(f64, String)> {
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        let (times, values) = series.points(|it| it.cpu_millicores.map(|it| it as f64));
        times.into_iter().zip(values.iter().map(ToString::to_string)).collect()
    }

    fn moment(at: u64, cpu: Option<u64>) -> Moment {
        let Gauges { at, cpu_millicores, .. } = gauges(at, cpu);
        let (memory_bytes, sent_bytes_per_s, disk_bytes) = (None, None, None);
        Moment { at, memory_bytes, cpu_millicores, sent_bytes_per_s, disk_bytes }
    }

    #[test]
    fn what_the_node_remembers_fills_what_was_not_told_and_nothing_else() {
        let point = |at: u32, value: &str| (f64::from(at), value.to_owned());
        let mut series = Series::of(server(1));
        for at in [50_000, 52_000, 54_000, 100_000, 102_000] {
            series.push(gauges(at, Some(1)));
        }
        let moments = [
            (10_000, Some(7)),
            // The process ended; another one began much later.
            (12_000, None),
            (42_000, Some(8)),
            (50_000, Some(9)),
            (53_000, Some(9)),
            (64_000, Some(8)),
            (74_000, Some(8)),
            (101_000, Some(9)),
            (103_000, Some(9)),
        ];
        let moments: Vec<Moment> = moments.map(|(at, cpu)| moment(at, cpu)).to_vec();
        series.recall(server(2), moments.clone());
        assert_eq!(series.gauges.len(), 5, "that is another server's past");
        series.recall(server(1), moments);
        let expected = [
            point(10, "7"),
            point(12, "NaN"),
            point(14, "NaN"),
            point(42, "8"),
            point(50, "1"),
            point(52, "1"),
            point(54, "1"),
            point(64, "8"),
            point(74, "8"),
            point(76, "NaN"),
            point(100, "1"),
            point(102, "1"),
        ];
        assert_eq!(line(&series), expected);
        assert_eq!(series.newest().map(|it| it.at), Some(UnixMs(102_000)), "what is told is newer");
    }

    #[test]
    fn the_past_is_worth_a_question_after_each_gap() {
        let mut series = Series::of(server(1));
        assert_eq!(series.since(), None);
        for (at, since) in [(2_000, 2_000), (4_000, 2_000), (20_000, 2_000), (40_000, 40_000)] {
            series.push(gauges(at, None));
            assert_eq!(series.since(), Some(UnixMs(since)), "at {at}");
        }
        // It is not asked again because the beginning is too old to be shown.
        for at in (42_000..2 * RECENT_MS).step_by(2_000) {
            series.push(gauges(at, None));
        }
        assert_eq!(series.since(), Some(UnixMs(40_000)));
        series.recall(server(1), vec![moment(50_000, Some(1))]);
        assert_eq!(line(&series)[0], (598.0, "NaN".to_owned()), "what is too old is not shown");
    }
}
