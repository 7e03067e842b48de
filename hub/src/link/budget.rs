//! Pure: how often one address may try to enrol.

use mamba_core::clock::BootMs;
use std::{collections::BTreeMap, net::IpAddr};

/// Attempts of one address in one window: a rack of nodes behind one NAT joins in a minute.
const ATTEMPTS_MAX: u32 = 60;
/// Length of a window.
const WINDOW_MS: u64 = 60_000;
/// Addresses that are remembered. When more come within one window, the oldest windows are dropped.
const ADDRESSES_MAX: usize = 4_096;

/// Counts attempts per address.
#[derive(Debug, Default)]
pub(super) struct Budget {
    windows: BTreeMap<IpAddr, (BootMs, u32)>,
}

impl Budget {
    /// Counts an attempt. Returns whether it is within the budget.
    pub(super) fn take(&mut self, peer: IpAddr, now: BootMs) -> bool {
        let peer = network(peer);
        if self.windows.len() >= ADDRESSES_MAX && !self.windows.contains_key(&peer) {
            self.windows.retain(|_, (start, _)| now.since(*start) < WINDOW_MS);
        }
        if self.windows.len() >= ADDRESSES_MAX && !self.windows.contains_key(&peer) {
            let oldest = self.windows.iter().min_by_key(|(_, (start, _))| *start);
            if let Some(oldest) = oldest.map(|(address, _)| *address) {
                self.windows.remove(&oldest);
            }
        }
        let (start, count) = self.windows.entry(peer).or_insert((now, 0));
        if now.since(*start) >= WINDOW_MS {
            (*start, *count) = (now, 0);
        }
        *count = count.saturating_add(1);
        *count <= ATTEMPTS_MAX
    }
}

/// An IPv6 host has a whole /64, so that is what is counted.
fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take_all(budget: &mut Budget, peer: &str, now: u64) -> usize {
        (0..200).filter(|_| budget.take(peer.parse().unwrap(), BootMs(now))).count()
    }

    #[test]
    fn each_network_has_its_own_budget_per_minute() {
        let mut budget = Budget::default();
        assert_eq!(take_all(&mut budget, "10.0.0.1", 0), 60);
        assert_eq!(take_all(&mut budget, "::ffff:10.0.0.1", 1), 0);
        assert_eq!(take_all(&mut budget, "10.0.0.2", 1), 60);
        assert_eq!(take_all(&mut budget, "2001:db8::1", 1), 60);
        assert_eq!(take_all(&mut budget, "2001:db8::2", 1), 0);
        assert_eq!(take_all(&mut budget, "10.0.0.1", WINDOW_MS), 60);
    }

    #[test]
    fn a_flood_of_addresses_is_bounded() {
        let mut budget = Budget::default();
        for host in 0..10_000_u32 {
            budget.take(IpAddr::from(host.to_be_bytes()), BootMs(u64::from(host)));
        }
        assert_eq!(budget.windows.len(), ADDRESSES_MAX);
    }
}
