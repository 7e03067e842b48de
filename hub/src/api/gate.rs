//! How many connections there are, in all and from one address.
//!
//! One address that opens many and reads slowly must not shut everybody out. Behind a proxy all come
//! from the proxy: those that the config trusts have no bound of their own. A connection that became
//! a WebSocket has left: those have places of their own, by user, and take none from requests.

use super::limit::network;
use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Connections at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// In all. With some 100 KiB each, 2,000 stay below 200 MiB; those above wait in the kernel's
    /// queue.
    pub all_max: usize,
    /// From one IPv4 address, or one IPv6 network of 64 bits; those above are closed at once. A
    /// browser has up to six.
    pub per_address_max: usize,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self { all_max: 2_000, per_address_max: 200 }
    }
}

/// Counts connections.
pub(super) struct Gate {
    per_address_max: usize,
    trusted_proxies: Vec<IpAddr>,
    places: Arc<Semaphore>,
    open: Mutex<BTreeMap<IpAddr, usize>>,
}

/// One connection; dropping it makes room.
pub(super) struct Seat {
    gate: Arc<Gate>,
    /// Whose it is; `None` for a proxy's.
    address: Option<IpAddr>,
    _place: OwnedSemaphorePermit,
}

impl Gate {
    pub(super) fn new(limits: ConnectionLimits, trusted_proxies: Vec<IpAddr>) -> Arc<Self> {
        let ConnectionLimits { all_max, per_address_max } = limits;
        let (places, open) = (Arc::new(Semaphore::new(all_max)), Mutex::default());
        Arc::new(Self { per_address_max, trusted_proxies, places, open })
    }

    /// Waits until one more may be open; `None` never comes, for nothing closes the places.
    pub(super) async fn place(&self) -> Option<OwnedSemaphorePermit> {
        self.places.clone().acquire_owned().await.ok()
    }

    /// Gives a place to a peer, unless it has as many as one may.
    pub(super) fn enter(
        self: &Arc<Self>,
        peer: IpAddr,
        place: OwnedSemaphorePermit,
    ) -> Option<Seat> {
        let is_proxy = self.trusted_proxies.contains(&peer.to_canonical());
        let address = (!is_proxy).then(|| network(peer));
        if let Some(address) = address {
            let mut open = self.open();
            let own = open.get(&address).copied().unwrap_or_default();
            if own >= self.per_address_max {
                return None;
            }
            open.insert(address, own + 1);
        }
        Some(Seat { gate: self.clone(), address, _place: place })
    }

    fn open(&self) -> MutexGuard<'_, BTreeMap<IpAddr, usize>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let Some(address) = self.address else { return };
        let mut open = self.gate.open();
        let own = open.remove(&address).unwrap_or_default();
        if own > 1 {
            open.insert(address, own - 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CVE-2025-69199 (GHSA-8w7m): connections without a limit.
    #[tokio::test]
    async fn one_address_leaves_room_for_others_and_proxies_have_no_bound_of_their_own() {
        let limits = ConnectionLimits { all_max: 10, per_address_max: 2 };
        let gate = Gate::new(limits, vec!["10.0.0.1".parse().unwrap()]);
        let enter = async |peer: &str| {
            let place = gate.place().await.unwrap();
            gate.enter(peer.parse().unwrap(), place)
        };
        let one = enter("192.0.2.1").await.unwrap();
        let two = enter("::ffff:192.0.2.1").await.unwrap();
        for _ in 0..10_000 {
            assert!(enter("192.0.2.1").await.is_none(), "and a refusal holds no place");
        }
        let other = enter("192.0.2.2").await;
        assert!(other.is_some());
        drop(two);
        assert!(enter("192.0.2.1").await.is_some());
        let near = (enter("2001:db8::1").await, enter("2001:db8::2").await);
        assert!(near.0.is_some() && near.1.is_some());
        assert!(enter("2001:db8::3").await.is_none());
        drop((one, other, near));
        let mut proxied = Vec::new();
        for _ in 0..10 {
            proxied.push(enter("10.0.0.1").await.unwrap());
        }
        assert_eq!(gate.places.available_permits(), 0);
        drop(proxied);
        assert_eq!((gate.open().len(), gate.places.available_permits()), (0, 10));
    }
}
