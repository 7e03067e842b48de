//! How many requests may come, per address and per account.
//!
//! Each key has a bucket that fills evenly and holds one minute's worth. A bucket is one number: the
//! time at which it will be full again (the generic cell rate algorithm). A full bucket is like none,
//! so those are dropped; when there is no room for a new one, the fullest goes.

use mamba_core::clock::BootMs;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv6Addr},
    sync::{Mutex, PoisonError},
};
use warp::http::{HeaderMap, HeaderValue};

/// Most buckets of one kind: some 10 MiB. Above, an attacker with many addresses only pushes out the
/// fullest buckets, which are worth least.
const BUCKETS_MAX: usize = 65_536;
/// Full buckets dropped with each new one: more than one, so that they all go in time.
const DROPPED_AT_ONCE: usize = 4;

/// Requests per minute, of which as many may come at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestLimits {
    /// From one IPv4 address, or one IPv6 network of 64 bits, which is what one customer gets.
    pub per_address: u32,
    /// By one account, over all its sessions.
    pub per_account: u32,
}

/// What is left of a bucket after a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Allowance {
    limit: u64,
    remaining: u64,
    reset_s: u64,
    /// There when the request is one too many: time until the next may come.
    pub(super) retry_after_s: Option<u64>,
}

impl Allowance {
    /// Returns the one that leaves less.
    pub(super) fn tighter(self, other: Self) -> Self {
        if (other.retry_after_s.is_none(), other.remaining)
            < (self.retry_after_s.is_none(), self.remaining)
        {
            other
        } else {
            self
        }
    }

    /// Tells it.
    pub(super) fn put(self, headers: &mut HeaderMap) {
        headers.insert("ratelimit-limit", HeaderValue::from(self.limit));
        headers.insert("ratelimit-remaining", HeaderValue::from(self.remaining));
        headers.insert("ratelimit-reset", HeaderValue::from(self.reset_s));
    }
}

/// Buckets of one kind of key.
pub(super) struct Buckets<K> {
    per_minute: u64,
    inner: Mutex<Inner<K>>,
}

struct Inner<K> {
    /// When each bucket is full, in microseconds of the boot clock.
    full_at: BTreeMap<K, u64>,
    /// The same by time.
    by_time: BTreeSet<(u64, K)>,
}

impl<K: Copy + Ord> Buckets<K> {
    pub(super) fn new(per_minute: u32) -> Self {
        let inner = Inner { full_at: BTreeMap::new(), by_time: BTreeSet::new() };
        Self { per_minute: u64::from(per_minute.max(1)), inner: Mutex::new(inner) }
    }

    /// Counts a request.
    pub(super) fn take(&self, now: BootMs, key: K) -> Allowance {
        const MINUTE_US: u64 = 60_000_000;
        let now_us = now.0.saturating_mul(1_000);
        let each_us = (MINUTE_US / self.per_minute).max(1);
        let most_us = each_us * self.per_minute;
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let before = inner.full_at.get(&key).copied();
        let missing_us = before.unwrap_or(0).saturating_sub(now_us);
        let is_allowed = missing_us + each_us <= most_us;
        let missing_us = if is_allowed { missing_us + each_us } else { missing_us };
        if is_allowed {
            inner.set(key, before, now_us + missing_us, now_us);
        }
        let wait_us = (missing_us + each_us).saturating_sub(most_us);
        Allowance {
            limit: self.per_minute,
            remaining: (most_us - missing_us) / each_us,
            reset_s: missing_us.div_ceil(1_000_000),
            retry_after_s: (!is_allowed).then(|| wait_us.div_ceil(1_000_000).max(1)),
        }
    }
}

impl<K: Copy + Ord> Inner<K> {
    fn set(&mut self, key: K, before: Option<u64>, full_at: u64, now_us: u64) {
        match before {
            Some(before) => drop(self.by_time.remove(&(before, key))),
            None => {
                for dropped in 0.. {
                    let Some((time, _)) = self.by_time.first() else { break };
                    let is_full = *time <= now_us && dropped < DROPPED_AT_ONCE;
                    if !is_full && self.full_at.len() < BUCKETS_MAX {
                        break;
                    }
                    if let Some((_, other)) = self.by_time.pop_first() {
                        self.full_at.remove(&other);
                    }
                }
            }
        }
        self.full_at.insert(key, full_at);
        self.by_time.insert((full_at, key));
    }
}

/// Returns what an address is counted by: one customer has a whole IPv6 network of 64 bits.
pub(super) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(it) => IpAddr::V6(Ipv6Addr::from_bits(it.to_bits() >> 64 << 64)),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_empties_at_once_and_fills_evenly() {
        let buckets = Buckets::new(60);
        let now = BootMs(1_000_000);
        for left in (0..60).rev() {
            let seen = buckets.take(now, 1);
            assert_eq!((seen.limit, seen.remaining, seen.retry_after_s), (60, left, None));
        }
        let refused = buckets.take(now, 1);
        assert_eq!((refused.remaining, refused.reset_s, refused.retry_after_s), (0, 60, Some(1)));
        // Another key has its own, and what was refused cost nothing.
        assert_eq!(buckets.take(now, 2).remaining, 59);
        assert_eq!(buckets.take(now.plus(999), 1).retry_after_s, Some(1));
        assert_eq!(buckets.take(now.plus(1_000), 1).retry_after_s, None);
        assert_eq!(buckets.take(now.plus(60_000_000), 1).remaining, 59);
    }

    #[test]
    fn a_flood_of_keys_stays_bounded_and_spares_who_asks_much() {
        let buckets = Buckets::new(10);
        for _ in 0..10 {
            buckets.take(BootMs(0), u32::MAX);
        }
        for key in 0..70_000 {
            buckets.take(BootMs(0), key);
        }
        assert_eq!(buckets.inner.lock().unwrap().full_at.len(), BUCKETS_MAX);
        assert_eq!(buckets.inner.lock().unwrap().by_time.len(), BUCKETS_MAX);
        assert!(buckets.take(BootMs(0), u32::MAX).retry_after_s.is_some());
        // Full again, they go a few at a time.
        for key in 0..20_000 {
            buckets.take(BootMs(120_000), 100_000 + key);
        }
        assert!(buckets.inner.lock().unwrap().full_at.len() <= 20_000 + 4);
    }

    #[test]
    fn one_customer_is_one_network() {
        for (address, counted) in [
            ("192.0.2.1", "192.0.2.1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ] {
            let address: IpAddr = address.parse().unwrap();
            assert_eq!(network(address), counted.parse::<IpAddr>().unwrap());
        }
    }
}
