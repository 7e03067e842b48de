//! Pure: what one server used in the last minutes, for people who begin to look at it.
//!
//! It is in memory only: a daemon that starts knows of no past. A moment takes 24 bytes, at most 3 KiB for a
//! server; one that did not run lately takes nothing.

use super::SAMPLE_MS;
use mamba_core::{
    clock::BootMs,
    usage::{integrate::Reading, window::Stamp},
};
use mamba_wire::node::{MOMENTS_MAX, Moment, RECENT_GAP_MS, RECENT_MS};
use std::collections::VecDeque;

/// Least time between two moments of a process. The meter looks every ten seconds, and more often while
/// somebody is there: so the next look is never too far from the moment before to be joined with it.
const STEP_MS: u64 = 5_000;

const _: () = assert!(STEP_MS + SAMPLE_MS < RECENT_GAP_MS);
const _: () = assert!(RECENT_MS / STEP_MS < MOMENTS_MAX as u64);
const _: () = assert!(size_of::<Kept>() == 24);

/// Counters of a process, and when they were read.
pub(super) type Counted = (BootMs, Reading);

/// What a server used in the last [`RECENT_MS`].
#[derive(Debug, Default)]
pub(super) struct Recent {
    /// Oldest first, at most [`MOMENTS_MAX`]: a game that crashes again and again has a shorter past.
    moments: VecDeque<Kept>,
    /// The counters of the newest moment. `None` while there is no process.
    before: Option<Counted>,
}

/// One moment.
#[derive(Clone, Copy, Debug)]
struct Kept {
    /// By the clock that does not step.
    at: BootMs,
    memory_kib: Packed,
    cpu_millicores: Packed,
    sent_bytes_per_s: Packed,
    disk_kib: Packed,
}

/// A number in four bytes. The largest one stands for what is not known.
#[derive(Clone, Copy, Debug)]
struct Packed(u32);

impl Packed {
    /// Packs a number; one that is too large becomes the largest.
    fn new(value: Option<u64>) -> Self {
        let largest = u32::MAX - 1;
        Self(value.map_or(u32::MAX, |it| u32::try_from(it).map_or(largest, |it| it.min(largest))))
    }

    fn value(self) -> Option<u64> {
        (self.0 != u32::MAX).then_some(u64::from(self.0))
    }
}

impl Recent {
    /// Notes one look: the counters of the process, `None` without one, and the size of its data.
    pub(super) fn note(&mut self, now: BootMs, reading: Option<Reading>, disk_bytes: Option<u64>) {
        while self.moments.front().is_some_and(|it| now.since(it.at) > RECENT_MS) {
            self.moments.pop_front();
        }
        let Some(reading) = reading else {
            if self.before.take().is_some() {
                self.push(Kept::new(now, None, Speeds::default(), None));
            } else if self.moments.is_empty() {
                self.moments = VecDeque::new();
            }
            return;
        };
        if self.before.is_some_and(|(at, _)| now.since(at) < STEP_MS) {
            return;
        }
        // What grew while nobody looked is not how it was at any time of it.
        let before = self.before.filter(|(at, _)| now.since(*at) <= RECENT_GAP_MS);
        let after = (now, reading);
        let speeds = speeds(before, Some(after));
        self.push(Kept::new(now, reading.memory_bytes, speeds, disk_bytes));
        self.before = Some(after);
    }

    fn push(&mut self, kept: Kept) {
        if self.moments.len() == MOMENTS_MAX {
            self.moments.pop_front();
        }
        self.moments.push_back(kept);
    }

    /// Returns the moments of the last [`RECENT_MS`], oldest first, placed by the calendar of `now`.
    pub(super) fn told(&self, now: Stamp) -> Vec<Moment> {
        let kept = self.moments.iter().filter(|it| now.boot.since(it.at) <= RECENT_MS);
        kept.map(|it| it.told(now)).collect()
    }
}

impl Kept {
    fn new(at: BootMs, memory: Option<u64>, speeds: Speeds, disk: Option<u64>) -> Self {
        let kib = |bytes: Option<u64>| Packed::new(bytes.map(|it| it / 1_024));
        Self {
            at,
            memory_kib: kib(memory),
            cpu_millicores: Packed::new(speeds.cpu_millicores),
            sent_bytes_per_s: Packed::new(speeds.sent_bytes_per_s),
            disk_kib: kib(disk),
        }
    }

    fn told(self, now: Stamp) -> Moment {
        let bytes = |kib: Packed| kib.value().map(|it| it * 1_024);
        Moment {
            at: now.ago(now.boot.since(self.at)).unix,
            memory_bytes: bytes(self.memory_kib),
            cpu_millicores: self.cpu_millicores.value(),
            sent_bytes_per_s: self.sent_bytes_per_s.value(),
            disk_bytes: bytes(self.disk_kib),
        }
    }
}

/// How fast counters grew. `None` is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Speeds {
    /// CPU in thousandths of a core.
    pub(super) cpu_millicores: Option<u64>,
    /// Bytes sent per second.
    pub(super) sent_bytes_per_s: Option<u64>,
}

/// Returns how fast counters grew from one reading to the next. Of those that fell nothing is known: they
/// are another process's.
pub(super) fn speeds(before: Option<Counted>, after: Option<Counted>) -> Speeds {
    let (Some((from, before)), Some((to, after))) = (before, after) else {
        return Speeds::default();
    };
    let ms = to.since(from);
    let rate = |before: Option<u64>, after: Option<u64>, scale: u64| {
        let grown = after?.checked_sub(before?)?;
        grown.saturating_mul(scale).checked_div(ms)
    };
    Speeds {
        // Microseconds per millisecond are thousandths of a core.
        cpu_millicores: rate(before.cpu_us, after.cpu_us, 1),
        sent_bytes_per_s: rate(before.sent_bytes, after.sent_bytes, 1_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mamba_core::clock::UnixMs;

    /// The calendar is this far ahead of the machine's start.
    const AHEAD_MS: u64 = 1_000_000_000;

    fn now(ms: u64) -> Stamp {
        Stamp { boot: BootMs(ms), unix: UnixMs(ms + AHEAD_MS) }
    }

    fn reading(memory_kib: u64, cpu_us: u64) -> Reading {
        Reading {
            memory_bytes: Some(memory_kib * 1_024),
            cpu_us: Some(cpu_us),
            sent_bytes: Some(cpu_us),
            disk_bytes: None,
        }
    }

    /// Time of each moment since the machine's start, memory in KiB, and CPU.
    fn told(recent: &Recent, at: u64) -> Vec<(u64, Option<u64>, Option<u64>)> {
        let moments = recent.told(now(at)).into_iter();
        moments
            .map(|it| (it.at.0 - AHEAD_MS, it.memory_bytes.map(|it| it / 1_024), it.cpu_millicores))
            .collect()
    }

    #[test]
    fn a_process_is_a_line_that_ends_with_it() {
        let mut recent = Recent::default();
        for (ms, seen) in [
            (10_000, None),
            (20_000, Some(reading(5, 100))),
            // Somebody looks every two seconds.
            (22_000, Some(reading(6, 200))),
            (24_000, Some(reading(6, 300))),
            (26_000, Some(reading(7, 12_100))),
            (36_000, Some(reading(8, 22_100))),
            (37_000, None),
            (47_000, None),
            (48_000, Some(reading(1, 50))),
        ] {
            recent.note(BootMs(ms), seen, None);
        }
        let expected = [
            (20_000, Some(5), None),
            (26_000, Some(7), Some(2)),
            (36_000, Some(8), Some(1)),
            (37_000, None, None),
            (48_000, Some(1), None),
        ];
        assert_eq!(told(&recent, 50_000), expected);
    }

    #[test]
    fn nothing_is_said_of_time_in_which_nobody_looked() {
        let mut recent = Recent::default();
        recent.note(BootMs(10_000), Some(reading(5, 0)), None);
        recent.note(BootMs(40_000), Some(reading(5, 30_000_000)), None);
        recent.note(BootMs(50_000), Some(reading(5, 40_000_000)), None);
        let expected =
            [(10_000, Some(5), None), (40_000, Some(5), None), (50_000, Some(5), Some(1_000))];
        assert_eq!(told(&recent, 50_000), expected);
        // Another process, of which no look saw the beginning.
        recent.note(BootMs(60_000), Some(reading(5, 7)), None);
        assert_eq!(told(&recent, 60_000).last(), Some(&(60_000, Some(5), None)));
    }

    #[test]
    fn what_is_kept_is_bounded_and_given_back() {
        let mut recent = Recent::default();
        for ms in (0..3_600_000).step_by(2_000) {
            recent.note(BootMs(ms), Some(reading(5, ms)), Some(4_096));
        }
        let at = 3_599_000;
        let all = told(&recent, at);
        assert_eq!((all[0].0, all[all.len() - 1].0), (3_000_000, 3_594_000));
        assert_eq!(all.len(), 100, "one in six seconds");
        // Each of them ends at once.
        for ms in (at..at + 1_000_000).step_by(1_000) {
            let seen = (ms / 1_000).is_multiple_of(2).then(|| reading(5, 0));
            recent.note(BootMs(ms), seen, None);
            assert!(recent.moments.len() <= MOMENTS_MAX);
        }
        assert_eq!(recent.moments.len(), MOMENTS_MAX);
        let after = at + 1_000_000 + RECENT_MS + 1;
        assert_eq!(told(&recent, after), [], "what is too old is not told");
        recent.note(BootMs(after), None, None);
        recent.note(BootMs(after + RECENT_MS + 1), None, None);
        assert_eq!((recent.moments.len(), recent.moments.capacity()), (0, 0));
    }

    #[test]
    fn numbers_are_what_they_were_or_the_largest() {
        let mut recent = Recent::default();
        let huge = Reading { memory_bytes: Some(u64::MAX), ..reading(0, u64::MAX) };
        recent.note(BootMs(0), Some(reading(0, 0)), Some(1_536));
        recent.note(BootMs(10_000), Some(huge), None);
        let moments = recent.told(now(10_000));
        let bytes = |at: usize| (moments[at].memory_bytes, moments[at].disk_bytes);
        assert_eq!(bytes(0), (Some(0), Some(1_024)));
        let largest = u64::from(u32::MAX) - 1;
        assert_eq!(bytes(1), (Some(largest * 1_024), None));
        assert_eq!(moments[1].cpu_millicores, Some(largest));
        assert_eq!(moments[1].sent_bytes_per_s, Some(largest));
    }

    #[test]
    fn the_past_is_placed_by_the_calendar_of_today() {
        let mut recent = Recent::default();
        recent.note(BootMs(10_000), Some(reading(5, 0)), None);
        let corrected = Stamp { boot: BootMs(12_000), unix: UnixMs(500_000) };
        assert_eq!(recent.told(corrected)[0].at, UnixMs(498_000));
    }
}
