//! Pure: how often somebody may try.

use mamba_core::clock::BootMs;
use std::{collections::BTreeMap, net::IpAddr};

/// Attempts within the window.
const ATTEMPTS_MAX: u32 = 5;
/// Length of the window, from the first attempt on.
const WINDOW_MS: u64 = 15 * 60_000;
/// Windows kept. At the limit the oldest is forgotten: filling it takes as many requests, each of
/// which costs a password hash.
const WINDOWS_MAX: usize = 10_000;

/// Counts attempts per account and address of origin.
#[derive(Debug, Default)]
pub(super) struct Throttle {
    windows: BTreeMap<(String, IpAddr), Window>,
}

#[derive(Clone, Copy, Debug)]
struct Window {
    from: BootMs,
    attempts: u32,
}

impl Throttle {
    /// Counts an attempt.
    ///
    /// # Errors
    /// Milliseconds until the next one is allowed, when there were too many.
    pub(super) fn attempt(&mut self, now: BootMs, email: &str, peer: IpAddr) -> Result<(), u64> {
        let key = (email.to_owned(), origin(peer));
        if self.windows.len() >= WINDOWS_MAX && !self.windows.contains_key(&key) {
            self.make_room(now);
        }
        let window = self.windows.entry(key).or_insert(Window { from: now, attempts: 0 });
        if now.since(window.from) >= WINDOW_MS {
            *window = Window { from: now, attempts: 0 };
        }
        if window.attempts >= ATTEMPTS_MAX {
            return Err(WINDOW_MS - now.since(window.from));
        }
        window.attempts += 1;
        Ok(())
    }

    /// Forgets the attempts of somebody who got in.
    pub(super) fn clear(&mut self, email: &str, peer: IpAddr) {
        self.windows.remove(&(email.to_owned(), origin(peer)));
    }

    fn make_room(&mut self, now: BootMs) {
        self.windows.retain(|_, window| now.since(window.from) < WINDOW_MS);
        if self.windows.len() >= WINDOWS_MAX {
            let oldest = self.windows.iter().min_by_key(|(_, window)| window.from);
            if let Some(key) = oldest.map(|(key, _)| key.clone()) {
                self.windows.remove(&key);
            }
        }
    }
}

/// A customer's whole IPv6 network is one origin: a /64 has more addresses than we could count.
fn origin(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V4(ip) => IpAddr::V4(ip),
        IpAddr::V6(ip) => IpAddr::V6((ip.to_bits() & (u128::MAX << 64)).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sixth_attempt_waits_for_the_end_of_the_window() {
        let mut throttle = Throttle::default();
        let peer: IpAddr = "192.0.2.1".parse().unwrap();
        for attempt in 0..5 {
            assert_eq!(throttle.attempt(BootMs(attempt), "a@b", peer), Ok(()));
        }
        assert_eq!(throttle.attempt(BootMs(1_000), "a@b", peer), Err(WINDOW_MS - 1_000));
        assert_eq!(throttle.attempt(BootMs(1_000), "c@d", peer), Ok(()));
        assert_eq!(throttle.attempt(BootMs(1_000), "a@b", "192.0.2.2".parse().unwrap()), Ok(()));
        assert_eq!(throttle.attempt(BootMs(WINDOW_MS), "a@b", peer), Ok(()));
    }

    #[test]
    fn success_forgets_and_one_network_is_one_origin() {
        let mut throttle = Throttle::default();
        let (one, two) = ("2001:db8::1".parse().unwrap(), "2001:db8::2".parse().unwrap());
        for _ in 0..5 {
            throttle.attempt(BootMs(0), "a@b", one).unwrap();
        }
        assert!(throttle.attempt(BootMs(0), "a@b", two).is_err());
        throttle.clear("a@b", two);
        assert!(throttle.attempt(BootMs(0), "a@b", one).is_ok());
    }

    #[test]
    fn memory_is_bounded() {
        let mut throttle = Throttle::default();
        let peer = "192.0.2.1".parse().unwrap();
        for index in 0..=WINDOWS_MAX {
            throttle.attempt(BootMs(index as u64), &format!("{index}@b"), peer).unwrap();
        }
        assert_eq!(throttle.windows.len(), WINDOWS_MAX);
        assert!(!throttle.windows.contains_key(&("0@b".to_owned(), peer)));
    }
}
