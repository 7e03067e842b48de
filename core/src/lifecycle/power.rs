//! Pure: power actions as a wish that is kept, not as orders that are carried out once.
//!
//! Each accepted action gets the next number. A process remembers under which number it was started,
//! so that "stop", "restart" and "kill" are statements about older processes and can be looked at any
//! number of times: after a restart of the daemon, after a lost event, twice. A start that follows a
//! stop does not take that statement back: it is for the next process.

use super::{Actor, PowerAction, PowerWish};
use crate::clock::UnixMs;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What was asked of a server's process by all power actions so far.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Power {
    /// Whether it should run, who said so and when.
    pub wish: PowerWish,
    /// How many actions were accepted. 0 before the first.
    pub number: u64,
    /// A process started under a smaller number was asked to end, by a stop or a restart, and ends
    /// before the wish is followed.
    pub stop_below: u64,
    /// A process started under a smaller number is killed.
    pub kill_below: u64,
}

impl Power {
    /// The wish of a server that nobody ever asked to run.
    #[must_use]
    pub fn never_asked() -> Self {
        let wish = PowerWish { running: false, by: Actor::Hub, at: UnixMs(0) };
        Self { wish, number: 0, stop_below: 0, kill_below: 0 }
    }

    /// Returns the wish after one more action.
    #[must_use]
    pub fn then(&self, action: PowerAction, by: Actor, at: UnixMs) -> Self {
        let number = self.number.saturating_add(1);
        let running = matches!(action, PowerAction::Start | PowerAction::Restart);
        let mut next = Self { wish: PowerWish { running, by, at }, number, ..self.clone() };
        match action {
            PowerAction::Start => {}
            PowerAction::Stop | PowerAction::Restart => next.stop_below = number,
            PowerAction::Kill => next.kill_below = number,
        }
        next
    }

    /// Returns this wish as the one that follows `missed`, which was not known when its last action
    /// was accepted: the newer action decides whether it runs, and no older stop or kill is lost.
    #[must_use]
    pub fn following(&self, missed: &Self) -> Self {
        let number = self.number.max(missed.number.saturating_add(1));
        // What the last action said of every older process, it says of those of `missed` as well.
        let moved = |below| if below == self.number { number } else { below };
        Self {
            wish: self.wish.clone(),
            number,
            stop_below: moved(self.stop_below).max(missed.stop_below),
            kill_below: moved(self.kill_below).max(missed.kill_below),
        }
    }
}

#[cfg(feature = "db")]
crate::record!(Power, 1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kill_followed_by_a_start_still_concerns_the_old_process_only() {
        let power = Power::never_asked()
            .then(PowerAction::Start, Actor::Edge, UnixMs(1))
            .then(PowerAction::Kill, Actor::Edge, UnixMs(2))
            .then(PowerAction::Start, Actor::Hub, UnixMs(3));
        assert_eq!(power.wish, PowerWish { running: true, by: Actor::Hub, at: UnixMs(3) });
        assert!(1 < power.kill_below && power.kill_below <= power.number);
        assert_eq!(power.stop_below, 0);
    }

    #[test]
    fn a_stop_followed_by_a_start_still_concerns_the_old_process_only() {
        let power = Power::never_asked()
            .then(PowerAction::Start, Actor::Edge, UnixMs(1))
            .then(PowerAction::Stop, Actor::Edge, UnixMs(2))
            .then(PowerAction::Start, Actor::Hub, UnixMs(3));
        assert!(power.wish.running);
        assert_eq!((power.number, power.stop_below, power.kill_below), (3, 2, 0));
    }

    #[test]
    fn a_restart_wants_it_running_and_the_old_process_gone() {
        let power = Power::never_asked().then(PowerAction::Restart, Actor::Edge, UnixMs(1));
        assert!(power.wish.running);
        assert_eq!((power.number, power.stop_below, power.kill_below), (1, 1, 0));
    }

    #[test]
    fn actions_that_did_not_know_each_other_are_put_in_a_row() {
        use PowerAction::{Kill, Restart, Start, Stop};
        let base = Power::never_asked().then(Start, Actor::Edge, UnixMs(1));
        let check = |missed: PowerAction, newer: PowerAction, expected: (bool, u64, u64)| {
            let after = |action| base.then(action, Actor::Edge, UnixMs(2));
            let row = after(newer).following(&after(missed));
            assert_eq!(row.number, 3);
            assert_eq!((row.wish.running, row.stop_below, row.kill_below), expected);
            // One that knew the other stays as it is.
            let known = after(missed).then(newer, Actor::Edge, UnixMs(3));
            assert_eq!(known.following(&after(missed)), known);
        };
        check(Kill, Start, (true, 0, 2));
        check(Kill, Restart, (true, 3, 2));
        check(Stop, Kill, (false, 2, 3));
        check(Stop, Start, (true, 2, 0));
        check(Start, Stop, (false, 3, 0));
    }
}
