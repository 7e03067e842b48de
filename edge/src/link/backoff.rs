//! Pure: when to dial again.

use mamba_core::clock::BootMs;

/// First wait.
const WAIT_MS_MIN: u64 = 1_000;
/// Longest wait: a node is back within a minute after its hub.
const WAIT_MS_MAX: u64 = 60_000;
/// A session that lasted this long makes the next wait the first again.
const STABLE_MS: u64 = 60_000;

/// Doubles the wait with each failure, and spreads it so that a fleet does not dial at once.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// Notes a session's length: a long one forgives all failures.
    pub(super) fn session_ended(&mut self, began: BootMs, now: BootMs) {
        if now.since(began) >= STABLE_MS {
            self.failures = 0;
        }
    }

    /// Notes a failure and returns the wait before the next dial. `random` picks a place in the
    /// upper half of the present step.
    pub(super) fn next_wait_ms(&mut self, random: u32) -> u64 {
        let step = (WAIT_MS_MIN << self.failures.min(16)).min(WAIT_MS_MAX);
        self.failures = self.failures.saturating_add(1);
        step / 2 + u64::from(random) * (step / 2) / u64::from(u32::MAX)
    }

    /// Returns failures in a row.
    pub(super) fn failures(&self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_minute_and_are_spread() {
        for (random, expected) in [
            (u32::MAX, [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]),
            (0, [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]),
        ] {
            let mut backoff = Backoff::default();
            assert_eq!(expected.map(|_| backoff.next_wait_ms(random)), expected);
        }
    }

    #[test]
    fn only_a_stable_session_forgives() {
        let mut backoff = Backoff::default();
        backoff.next_wait_ms(0);
        backoff.session_ended(BootMs(0), BootMs(STABLE_MS - 1));
        assert_eq!(backoff.failures(), 1);
        backoff.session_ended(BootMs(0), BootMs(STABLE_MS));
        assert_eq!(backoff.failures(), 0);
    }
}
