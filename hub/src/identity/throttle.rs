//! Pure: how often somebody may try.
//!
//! Each over a window of fifteen minutes, every try counts at one account from one address (five).
//! Where the account has no session it counts too from that address, and from the wider network of an
//! IPv6 address, at all accounts; at the account from that wider network; and at the account from
//! all strangers. So one attacker locks nobody out but those behind its own address, nor does one
//! with a whole IPv6 network; many attackers together still guess slowly.
//!
//! Where the account has a session it has a budget of its own: what strangers do at the account, or
//! others behind the same address at theirs, does not keep the owner out. From one address all those
//! budgets together have a bound too.
//!
//! Invitations are no tries, but letters to strangers: they count by who invites and by who is invited,
//! wherever they come from.

use mamba_core::{clock::BootMs, ids::UserId};
use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv6Addr},
};

/// Tries at one account from one address.
pub(super) const ATTEMPTS_MAX: u32 = 5;
/// Tries from one address: five people of one household or office who are each wrong four times.
const FROM_ADDRESS_MAX: u32 = 20;
/// Tries from one IPv6 network of 48 bits, which one customer may have and many may share.
const FROM_NETWORK_MAX: u32 = 100;
/// Tries at one account from one such network: a tenth of what all strangers have together.
const BOTH_NETWORK_MAX: u32 = 10;
/// Tries from one address at accounts that are signed in there: twenty people of one office who are
/// each wrong five times.
const FROM_HOME_MAX: u32 = 100;
/// Tries at one account from addresses that it does not know: guesses of a whole botnet.
const FROM_STRANGERS_MAX: u32 = 100;
/// Invitations by one account: a whole team at once.
const INVITING_MAX: u32 = 30;
/// Invitations to one address, whoever invites.
const INVITED_MAX: u32 = 5;
/// Length of the window, from the first attempt on.
const WINDOW_MS: u64 = 15 * 60_000;
/// Windows kept. At the limit the oldest tenth is forgotten: filling it takes as many requests, each of
/// which costs a password hash.
const WINDOWS_MAX: usize = 50_000;

const _: () = assert!(ATTEMPTS_MAX < BOTH_NETWORK_MAX && BOTH_NETWORK_MAX < FROM_STRANGERS_MAX);

/// Counts attempts.
#[derive(Debug, Default)]
pub(super) struct Throttle {
    windows: BTreeMap<Counted, Window>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Counted {
    Both(String, IpAddr),
    BothNetwork(String, Ipv6Addr),
    Address(IpAddr),
    Network(Ipv6Addr),
    Home(IpAddr),
    Strangers(String),
    Inviting(UserId),
    Invited(String),
}

#[derive(Clone, Copy, Debug)]
struct Window {
    from: BootMs,
    attempts: u32,
}

/// Who tries.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attempt<'a> {
    /// The account's address, or whatever else is tried at.
    pub(super) at: &'a str,
    /// Where from.
    pub(super) peer: IpAddr,
    /// Whether the account has a session from there.
    pub(super) is_known: bool,
}

impl Attempt<'_> {
    fn counted(&self) -> Vec<(Counted, u32)> {
        let (at, from) = (self.at.to_owned(), origin(self.peer));
        let mut all = vec![(Counted::Both(at.clone(), from), ATTEMPTS_MAX)];
        if self.is_known {
            all.push((Counted::Home(from), FROM_HOME_MAX));
            return all;
        }
        all.push((Counted::Address(from), FROM_ADDRESS_MAX));
        if let Some(network) = wide_network(self.peer) {
            all.push((Counted::BothNetwork(at.clone(), network), BOTH_NETWORK_MAX));
            all.push((Counted::Network(network), FROM_NETWORK_MAX));
        }
        all.push((Counted::Strangers(at), FROM_STRANGERS_MAX));
        all
    }
}

impl Throttle {
    /// Counts an attempt. One that is refused is not counted.
    ///
    /// # Errors
    /// Milliseconds until the next one is allowed, when there were too many.
    pub(super) fn attempt(&mut self, now: BootMs, attempt: Attempt<'_>) -> Result<(), u64> {
        self.count(now, attempt.counted())
    }

    /// Counts an invitation. One that is refused is not counted.
    ///
    /// # Errors
    /// As [`Throttle::attempt`].
    pub(super) fn invitation(&mut self, now: BootMs, by: UserId, to: &str) -> Result<(), u64> {
        let invited = Counted::Invited(to.to_owned());
        self.count(now, vec![(Counted::Inviting(by), INVITING_MAX), (invited, INVITED_MAX)])
    }

    fn count(&mut self, now: BootMs, counted: Vec<(Counted, u32)>) -> Result<(), u64> {
        for (key, max) in &counted {
            let full = self.windows.get(key).filter(|window| window.attempts >= *max);
            let left = full.map_or(0, |window| WINDOW_MS.saturating_sub(now.since(window.from)));
            if left > 0 {
                return Err(left);
            }
        }
        for (key, _) in counted {
            if self.windows.len() >= WINDOWS_MAX && !self.windows.contains_key(&key) {
                self.make_room(now);
            }
            let window = self.windows.entry(key).or_insert(Window { from: now, attempts: 0 });
            if now.since(window.from) >= WINDOW_MS {
                *window = Window { from: now, attempts: 0 };
            }
            window.attempts += 1;
        }
        Ok(())
    }

    /// Forgets the attempts of somebody who got in; of what is not the account's alone only the last
    /// one, or an attacker with one account of its own could begin anew whenever it likes.
    pub(super) fn clear(&mut self, attempt: Attempt<'_>) {
        for (key, _) in attempt.counted() {
            match &key {
                Counted::Both(..) | Counted::BothNetwork(..) => drop(self.windows.remove(&key)),
                Counted::Address(_)
                | Counted::Network(_)
                | Counted::Home(_)
                | Counted::Strangers(_)
                | Counted::Inviting(_)
                | Counted::Invited(_) => {
                    if let Some(window) = self.windows.get_mut(&key) {
                        window.attempts = window.attempts.saturating_sub(1);
                    }
                }
            }
        }
    }

    fn make_room(&mut self, now: BootMs) {
        self.windows.retain(|_, window| now.since(window.from) < WINDOW_MS);
        if self.windows.len() >= WINDOWS_MAX {
            // Many at a time, so that a flood does not make each attempt look through all.
            let mut all: Vec<_> =
                self.windows.iter().map(|(key, window)| (window.from, key.clone())).collect();
            all.sort_unstable();
            for (_, key) in all.into_iter().take(WINDOWS_MAX / 10) {
                self.windows.remove(&key);
            }
        }
    }
}

/// A customer's whole IPv6 network is one origin: a /64 has more addresses than we could count.
pub(super) fn origin(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V4(ip) => IpAddr::V4(ip),
        IpAddr::V6(ip) => IpAddr::V6((ip.to_bits() & (u128::MAX << 64)).into()),
    }
}

/// The IPv6 network of 48 bits in which somebody is: no larger one goes to one customer.
fn wide_network(peer: IpAddr) -> Option<Ipv6Addr> {
    match peer.to_canonical() {
        IpAddr::V4(_) => None,
        IpAddr::V6(ip) => Some((ip.to_bits() & (u128::MAX << 80)).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "192.0.2.1";
    const TWO: &str = "192.0.2.2";

    fn attempt<'a>(at: &'a str, peer: &str) -> Attempt<'a> {
        Attempt { at, peer: peer.parse().unwrap(), is_known: false }
    }

    #[test]
    fn the_sixth_attempt_waits_for_the_end_of_the_window() {
        let mut throttle = Throttle::default();
        for ms in 0..5 {
            assert_eq!(throttle.attempt(BootMs(ms), attempt("a@b", ONE)), Ok(()));
        }
        let refused = Err(WINDOW_MS - 1_000);
        assert_eq!(throttle.attempt(BootMs(1_000), attempt("a@b", ONE)), refused);
        assert_eq!(throttle.attempt(BootMs(1_000), attempt("c@d", ONE)), Ok(()));
        assert_eq!(throttle.attempt(BootMs(1_000), attempt("a@b", TWO)), Ok(()));
        assert_eq!(throttle.attempt(BootMs(WINDOW_MS), attempt("a@b", ONE)), Ok(()));
    }

    #[test]
    fn one_address_cannot_try_every_account() {
        let mut throttle = Throttle::default();
        for index in 0..FROM_ADDRESS_MAX {
            assert!(throttle.attempt(BootMs(0), attempt(&index.to_string(), ONE)).is_ok());
        }
        assert!(throttle.attempt(BootMs(0), attempt("a@b", ONE)).is_err());
        assert!(throttle.attempt(BootMs(0), attempt("a@b", TWO)).is_ok());
    }

    #[test]
    fn many_attackers_do_not_lock_out_who_is_known() {
        let mut throttle = Throttle::default();
        for index in 0..FROM_STRANGERS_MAX {
            let peer = format!("198.51.100.{index}");
            assert!(throttle.attempt(BootMs(0), attempt("a@b", &peer)).is_ok());
        }
        assert!(throttle.attempt(BootMs(0), attempt("a@b", ONE)).is_err());
        let known = Attempt { is_known: true, ..attempt("a@b", ONE) };
        assert!(throttle.attempt(BootMs(0), known).is_ok());
    }

    #[test]
    fn success_forgets_and_one_network_is_one_origin() {
        let mut throttle = Throttle::default();
        let (one, two) = (attempt("a@b", "2001:db8::1"), attempt("a@b", "2001:db8::2"));
        for _ in 0..5 {
            throttle.attempt(BootMs(0), one).unwrap();
        }
        assert!(throttle.attempt(BootMs(0), two).is_err());
        throttle.clear(two);
        assert!(throttle.attempt(BootMs(0), one).is_ok());
    }

    /// One /48 has 65,536 networks of 64 bits: each had five tries of its own.
    #[test]
    fn a_wide_network_locks_nobody_out_and_cannot_try_every_account() {
        let mut throttle = Throttle::default();
        let peer = |index: u32| format!("2001:db8:1:{index:x}::1");
        let tried = (0..1_000)
            .filter(|index| throttle.attempt(BootMs(0), attempt("a@b", &peer(*index))).is_ok());
        assert_eq!(tried.count(), usize::try_from(BOTH_NETWORK_MAX).unwrap());
        assert!(throttle.attempt(BootMs(0), attempt("a@b", "2001:db8:2::1")).is_ok());
        assert!(throttle.attempt(BootMs(0), attempt("a@b", ONE)).is_ok());
        let mut throttle = Throttle::default();
        let tried = (0..1_000).filter(|index| {
            let at = index.to_string();
            throttle.attempt(BootMs(0), attempt(&at, &peer(*index))).is_ok()
        });
        assert_eq!(tried.count(), usize::try_from(FROM_NETWORK_MAX).unwrap());
    }

    #[test]
    fn neighbours_behind_one_address_do_not_lock_out_who_is_known_there() {
        let mut throttle = Throttle::default();
        for index in 0..FROM_ADDRESS_MAX {
            throttle.attempt(BootMs(0), attempt(&index.to_string(), ONE)).unwrap();
        }
        assert!(throttle.attempt(BootMs(0), attempt("a@b", ONE)).is_err());
        let known = Attempt { is_known: true, ..attempt("a@b", ONE) };
        for _ in 0..ATTEMPTS_MAX {
            assert!(throttle.attempt(BootMs(0), known).is_ok());
        }
        assert!(throttle.attempt(BootMs(0), known).is_err(), "no more than anywhere else");
        let mut throttle = Throttle::default();
        let tried = (0..1_000).filter(|index| {
            let at = index.to_string();
            let known = Attempt { is_known: true, ..attempt(&at, ONE) };
            throttle.attempt(BootMs(0), known).is_ok()
        });
        assert_eq!(tried.count(), usize::try_from(FROM_HOME_MAX).unwrap());
    }

    #[test]
    fn invitations_are_bounded_by_who_invites_and_by_who_is_invited() {
        let user = |number| UserId::from_bytes([number; 16]);
        let mut throttle = Throttle::default();
        let mut invite = |at, by, to: &str| throttle.invitation(BootMs(at), user(by), to);
        for index in 0..INVITING_MAX {
            assert_eq!(invite(0, 1, &format!("{index}@b")), Ok(()));
        }
        assert_eq!(invite(1_000, 1, "new@b"), Err(WINDOW_MS - 1_000));
        for by in 2..=u8::try_from(INVITED_MAX + 1).unwrap() {
            assert_eq!(invite(2_000, by, "new@b"), Ok(()), "what was refused was not counted");
        }
        assert_eq!(invite(3_000, 9, "new@b"), Err(WINDOW_MS - 1_000));
        assert_eq!(invite(3_000, 9, "other@b"), Ok(()));
        assert_eq!(invite(WINDOW_MS, 1, "another@b"), Ok(()));
        assert_eq!(invite(WINDOW_MS + 2_000, 9, "new@b"), Ok(()));
    }

    #[test]
    fn memory_is_bounded() {
        let mut throttle = Throttle::default();
        for index in 0..u32::try_from(WINDOWS_MAX).unwrap() {
            let peer = IpAddr::V4((0x0a00_0000 + index).into());
            let at = index.to_string();
            throttle.attempt(BootMs(0), Attempt { at: &at, peer, is_known: false }).unwrap();
        }
        let kept = throttle.windows.len();
        assert!(kept <= WINDOWS_MAX && kept > WINDOWS_MAX / 2, "{kept}");
    }
}
