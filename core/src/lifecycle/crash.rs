//! Pure: what follows when a server's process ends by itself.
//!
//! Crashes are counted inside a sliding window: each one doubles the wait before the next start, too
//! many of them end the restarts, and a window without any forgets them. A stop that was asked for is
//! never a crash.

use super::Exit;
use crate::{clock::UnixMs, server::RestartPolicy};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Most crash times kept: the largest window a policy can ask for.
pub const CRASHES_KEPT_MAX: usize = 1_000;

/// Crashes of one server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CrashHistory {
    /// When it crashed, oldest first, as far as the window reaches. At most [`CRASHES_KEPT_MAX`].
    pub recent: Vec<UnixMs>,
    /// Crashes since the server was made.
    pub total: u64,
}

/// What led to the end of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Somebody asked for it: a user, the hub, the entitlement.
    Asked,
    /// Nobody asked.
    Itself,
}

/// What follows the end of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Verdict {
    /// It may be started at once.
    Free,
    /// It ended with code 0 and its policy counts that as a stop: it stays down.
    Ended,
    /// It crashed and is started again.
    RestartAt {
        /// When, by the node's calendar.
        at: UnixMs,
        /// The wait that led to `at`, in milliseconds: how far `at` can be away at most, whatever the
        /// calendar was set to since.
        delay_ms: u32,
        /// Crashes inside the window, this one included.
        crashes: u32,
    },
    /// It crashed too often and stays down.
    GaveUp {
        /// Crashes inside the window, this one included.
        crashes: u32,
    },
    /// It crashed, its policy does not restart it, and it stays down.
    NoRestart {
        /// Crashes inside the window, this one included.
        crashes: u32,
    },
}

impl Verdict {
    /// Returns the crashes inside the window when the end was a crash.
    #[must_use]
    pub fn crashes(self) -> Option<u32> {
        match self {
            Self::Free | Self::Ended => None,
            Self::RestartAt { crashes, .. }
            | Self::GaveUp { crashes }
            | Self::NoRestart { crashes } => Some(crashes),
        }
    }
}

/// Judges the end of a process at `exit.at` and records it in `history`.
#[must_use]
pub fn judge(
    policy: &RestartPolicy,
    history: &mut CrashHistory,
    exit: &Exit,
    cause: Cause,
) -> Verdict {
    match cause {
        Cause::Asked => return Verdict::Free,
        Cause::Itself => {}
    }
    let is_clean = exit.code == 0 && !exit.oom_killed;
    if is_clean && !policy.exit_zero_is_crash {
        return Verdict::Ended;
    }
    history.record(exit.at, policy.window_ms);
    let crashes = u32::try_from(history.recent.len()).unwrap_or(u32::MAX);
    if !policy.enabled {
        return Verdict::NoRestart { crashes };
    }
    if crashes >= policy.crashes_max {
        return Verdict::GaveUp { crashes };
    }
    let delay_ms = delay_ms(policy.delay_ms_min, policy.delay_ms_max, crashes);
    Verdict::RestartAt { at: exit.at.plus(u64::from(delay_ms)), delay_ms, crashes }
}

/// Returns the wait before attempt `attempt + 1` when `attempt` attempts have failed: the least wait
/// doubled with each of them, up to the longest. 0 without a failure.
#[must_use]
pub fn delay_ms(min: u32, max: u32, attempt: u32) -> u32 {
    let Some(doublings) = attempt.checked_sub(1) else { return 0 };
    // 31 doublings of 1 ms are over three weeks: more than any policy's maximum.
    min.saturating_mul(1 << doublings.min(31)).min(max)
}

/// Returns how long to wait from `now` until `at`, where `at` was set `delay_ms` ahead. A calendar that
/// was set back since never makes the wait longer than it was meant to be: then it is over.
#[must_use]
pub fn wait_ms(now: UnixMs, at: UnixMs, delay_ms: u32) -> u64 {
    match at.since(now) {
        wait if wait > u64::from(delay_ms) => 0,
        wait => wait,
    }
}

impl CrashHistory {
    /// Adds a crash and forgets those outside the window. A crash that lies in the future was
    /// recorded before the calendar was set back, and is forgotten too.
    fn record(&mut self, at: UnixMs, window_ms: u32) {
        self.recent.retain(|&crash| crash <= at && at.since(crash) < u64::from(window_ms));
        if self.recent.len() == CRASHES_KEPT_MAX {
            self.recent.remove(0);
        }
        self.recent.push(at);
        self.total = self.total.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: RestartPolicy = RestartPolicy {
        enabled: true,
        exit_zero_is_crash: true,
        delay_ms_min: 1_000,
        delay_ms_max: 5_000,
        crashes_max: 5,
        window_ms: 60_000,
    };

    fn exit(code: i64, at: u64) -> Exit {
        Exit { code, oom_killed: false, at: UnixMs(at) }
    }

    fn restart(at: u64, delay_ms: u32, crashes: u32) -> Verdict {
        Verdict::RestartAt { at: UnixMs(at), delay_ms, crashes }
    }

    /// Plays crashes at these times and compares the verdicts.
    #[track_caller]
    fn check(policy: &RestartPolicy, crashes: &[(u64, Verdict)]) {
        let mut history = CrashHistory::default();
        for (at, expected) in crashes {
            let verdict = judge(policy, &mut history, &exit(1, *at), Cause::Itself);
            assert_eq!(verdict, *expected, "crash at {at}");
        }
        assert_eq!(history.total, crashes.len() as u64);
    }

    #[test]
    fn waits_double_up_to_the_longest_and_then_it_is_given_up() {
        check(
            &POLICY,
            &[
                (10_000, restart(11_000, 1_000, 1)),
                (12_000, restart(14_000, 2_000, 2)),
                (15_000, restart(19_000, 4_000, 3)),
                (20_000, restart(25_000, 5_000, 4)),
                (26_000, Verdict::GaveUp { crashes: 5 }),
            ],
        );
    }

    #[test]
    fn a_quiet_window_forgets_crashes() {
        check(
            &POLICY,
            &[
                (10_000, restart(11_000, 1_000, 1)),
                (12_000, restart(14_000, 2_000, 2)),
                (72_000, restart(73_000, 1_000, 1)),
            ],
        );
    }

    #[test]
    fn crashes_from_before_the_calendar_was_set_back_are_forgotten() {
        check(
            &POLICY,
            &[(9_000_000, restart(9_001_000, 1_000, 1)), (1_000, restart(2_000, 1_000, 1))],
        );
    }

    #[test]
    fn a_policy_without_restarts_leaves_it_down_and_still_counts() {
        let policy = RestartPolicy { enabled: false, ..POLICY };
        check(
            &policy,
            &[
                (1_000, Verdict::NoRestart { crashes: 1 }),
                (2_000, Verdict::NoRestart { crashes: 2 }),
            ],
        );
    }

    #[test]
    fn exit_zero_is_a_stop_only_when_the_policy_says_so_and_memory_was_not_the_reason() {
        let stop = RestartPolicy { exit_zero_is_crash: false, ..POLICY };
        let oom = Exit { oom_killed: true, ..exit(0, 1) };
        for (policy, exit, expected) in [
            (&POLICY, exit(0, 1), restart(1_001, 1_000, 1)),
            (&stop, exit(0, 1), Verdict::Ended),
            (&stop, oom, restart(1_001, 1_000, 1)),
            (&stop, exit(137, 1), restart(1_001, 1_000, 1)),
        ] {
            let verdict = judge(policy, &mut CrashHistory::default(), &exit, Cause::Itself);
            assert_eq!(verdict, expected);
        }
    }

    #[test]
    fn a_stop_that_was_asked_for_is_never_a_crash() {
        let mut history = CrashHistory::default();
        assert_eq!(judge(&POLICY, &mut history, &exit(137, 1), Cause::Asked), Verdict::Free);
        assert_eq!(history, CrashHistory::default());
    }

    #[test]
    fn a_wait_is_over_when_the_calendar_was_set_back() {
        for (now, expected) in [(0, 0), (9_000, 1_000), (9_999, 1), (10_000, 0), (90_000, 0)] {
            assert_eq!(wait_ms(UnixMs(now), UnixMs(10_000), 1_000), expected, "at {now}");
        }
    }

    #[test]
    fn many_failures_do_not_overflow_the_wait() {
        for (attempt, expected) in [(0, 0), (1, 7), (2, 14), (40, 3_600_000), (u32::MAX, 3_600_000)]
        {
            assert_eq!(delay_ms(7, 3_600_000, attempt), expected, "attempt {attempt}");
        }
    }
}
