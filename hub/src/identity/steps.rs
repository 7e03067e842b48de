//! Pure: what was begun and waits for its second message: a second factor, a passkey, a visit to
//! another provider.
//!
//! A step is named by 256 random bits, taken once, and bound to what it was begun for: its kind says
//! which message may take it, its content for whom. In memory and bounded, so that nobody who is not
//! signed in can fill a disk; a restart of the hub means to begin again.

use super::sessions::{hash_of, hex, unhex};
use mamba_core::clock::BootMs;
use std::{collections::BTreeMap, net::IpAddr};

/// Life of a step: time to find a phone, or to sign in elsewhere.
const STEP_TTL_MS: u64 = 10 * 60_000;
/// Steps that wait, some kilobytes each. Above it the oldest goes.
const STEPS_MAX: usize = 10_000;
/// Steps from one address. Above it the oldest of that address goes: a flood from there leaves the
/// steps of others alone.
const STEPS_PER_ORIGIN_MAX: usize = 100;

const _: () = assert!(STEPS_PER_ORIGIN_MAX < STEPS_MAX);

/// What waits, by the hash of its name.
#[derive(Debug)]
pub(super) struct Steps<T> {
    waiting: BTreeMap<[u8; 32], Waiting<T>>,
}

#[derive(Debug)]
struct Waiting<T> {
    step: T,
    from: IpAddr,
    until: BootMs,
}

impl<T> Default for Steps<T> {
    fn default() -> Self {
        Self { waiting: BTreeMap::new() }
    }
}

impl<T> Steps<T> {
    /// Keeps a step under 256 random bits; returns its name. `from` is an origin of the throttle.
    pub(super) fn begin(&mut self, now: BootMs, secret: [u8; 32], from: IpAddr, step: T) -> String {
        self.waiting.retain(|_, waiting| now < waiting.until);
        let own = self.waiting.values().filter(|waiting| waiting.from == from).count();
        let is_flood = own >= STEPS_PER_ORIGIN_MAX;
        if is_flood || self.waiting.len() >= STEPS_MAX {
            let oldest = self
                .waiting
                .iter()
                .filter(|(_, waiting)| !is_flood || waiting.from == from)
                .min_by_key(|(_, waiting)| waiting.until)
                .map(|(name, _)| *name);
            if let Some(name) = oldest {
                self.waiting.remove(&name);
            }
        }
        let until = now.plus(STEP_TTL_MS);
        self.waiting.insert(hash_of(&secret), Waiting { step, from, until });
        hex(&secret)
    }

    /// Looks at a step, which stays.
    pub(super) fn look<U>(
        &self,
        now: BootMs,
        name: &str,
        kind: impl FnOnce(&T) -> Option<U>,
    ) -> Option<U> {
        let waiting = self.waiting.get(&hash_of(&unhex(name)?))?;
        kind(&waiting.step).filter(|_| now < waiting.until)
    }

    /// Takes a step; it cannot be taken again. One of another kind stays: `kind` tells by `None`.
    pub(super) fn take<U>(
        &mut self,
        now: BootMs,
        name: &str,
        kind: impl FnOnce(&T) -> Option<U>,
    ) -> Option<U> {
        let name = hash_of(&unhex(name)?);
        let waiting = self.waiting.get(&name)?;
        let found = kind(&waiting.step)?;
        let is_alive = now < waiting.until;
        self.waiting.remove(&name);
        is_alive.then_some(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn secret(index: usize) -> [u8; 32] {
        let mut secret = [0; 32];
        secret[..8].copy_from_slice(&index.to_be_bytes());
        secret
    }

    #[test]
    fn a_step_is_taken_once_in_time_and_by_its_kind() {
        let mut steps = Steps::default();
        let even = |step: &u32| step.is_multiple_of(2).then_some(*step);
        let one = steps.begin(BootMs(0), secret(1), HERE, 1);
        let two = steps.begin(BootMs(0), secret(2), HERE, 2);
        assert_eq!(steps.take(BootMs(1), &one, even), None);
        assert_eq!(steps.take(BootMs(1), &one, |step| Some(*step)), Some(1));
        assert_eq!(steps.take(BootMs(1), &one, |step| Some(*step)), None);
        assert_eq!(steps.take(BootMs(STEP_TTL_MS), &two, even), None);
        assert_eq!(steps.take(BootMs(1), "garbage", even), None);
    }

    #[test]
    fn a_flood_from_one_address_pushes_out_its_own() {
        let mut steps = Steps::default();
        let there = "192.0.2.1".parse().unwrap();
        let other = steps.begin(BootMs(0), secret(0), there, 0);
        for index in 1..=STEPS_PER_ORIGIN_MAX + 5 {
            steps.begin(BootMs(index as u64), secret(index), HERE, index);
        }
        assert_eq!(steps.waiting.len(), STEPS_PER_ORIGIN_MAX + 1);
        assert_eq!(steps.take(BootMs(200), &other, |step| Some(*step)), Some(0));
    }
}
