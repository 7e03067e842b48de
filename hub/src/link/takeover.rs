//! Pure: when two daemons fight over one identity.
//!
//! A new session of the same node always takes over. A daemon that was restarted comes with a new
//! instance id and the old one is never seen again, however often that happens. Two machines with
//! one identity, for example a cloned disk, come back in turns: an instance that was already
//! replaced takes over again. Only such returns are counted.

use mamba_core::{clock::BootMs, ids::InstanceId};
use std::collections::VecDeque;

/// Returns within [`WINDOW_MS`] that are still taken for bad luck.
const RETURNS_MAX: usize = 3;
/// How long a return counts.
const WINDOW_MS: u64 = 600_000;
/// Replaced instances that are remembered.
const REPLACED_MAX: usize = 8;

/// Takeovers of one node.
#[derive(Debug, Default)]
pub(super) struct Takeovers {
    replaced: VecDeque<InstanceId>,
    returns: VecDeque<BootMs>,
}

impl Takeovers {
    /// Notes that `new` took over from the live session of `old`. Returns whether the node has to be
    /// put into quarantine.
    pub(super) fn note(&mut self, old: InstanceId, new: InstanceId, now: BootMs) -> bool {
        if old == new {
            return false;
        }
        if self.replaced.contains(&new) {
            self.returns.push_back(now);
        }
        self.replaced.retain(|known| *known != old);
        self.replaced.push_back(old);
        while self.replaced.len() > REPLACED_MAX {
            self.replaced.pop_front();
        }
        self.returns.retain(|at| now.since(*at) < WINDOW_MS);
        let is_fight = self.returns.len() > RETURNS_MAX;
        if is_fight {
            *self = Self::default(); // An admin decides; afterwards counting begins anew.
        }
        is_fight
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lets instances take over in this order, `step_ms` apart; returns at which one it is a fight.
    fn fight_at(instances: &[u8], step_ms: u64) -> Option<usize> {
        let id = |tag: u8| InstanceId::from_bytes([tag; 16]);
        let mut takeovers = Takeovers::default();
        let mut now = BootMs(0);
        instances.windows(2).position(|pair| {
            now = now.plus(step_ms);
            takeovers.note(id(pair[0]), id(pair[1]), now)
        })
    }

    #[test]
    fn only_instances_that_come_back_are_a_fight() {
        let restarts = (0..100).collect::<Vec<_>>();
        assert_eq!(fight_at(&restarts, 1_000), None, "a daemon that crashes");
        assert_eq!(fight_at(&[1; 50], 1_000), None, "a link that flaps");
        assert_eq!(fight_at(&[1, 2, 1, 2, 1, 2, 1], 1_000), Some(4), "two daemons");
        assert_eq!(fight_at(&[1, 2, 1, 2, 1, 2, 1], WINDOW_MS / 2), None, "rarely");
    }
}
