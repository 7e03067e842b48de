//! How many sockets of one kind are open, of whom, and the word that ends them all.

use crate::config::ConsoleLimits;
use mamba_core::ids::UserId;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::watch;

/// Counts open sockets of one kind. Made once; sockets that were upgraded belong to nobody else.
#[derive(Debug)]
pub struct Sockets {
    limits: ConsoleLimits,
    open: Mutex<BTreeMap<UserId, usize>>,
    /// How many are open; kept beside `open` so that the end can be waited for.
    count: watch::Sender<usize>,
    closing: watch::Sender<bool>,
}

/// One open socket; dropping it makes room.
#[derive(Debug)]
pub(crate) struct Place {
    sockets: Arc<Sockets>,
    user: UserId,
}

impl Sockets {
    /// Makes an empty house.
    #[must_use]
    pub fn new(limits: ConsoleLimits) -> Arc<Self> {
        let (count, closing) = (watch::Sender::new(0), watch::Sender::new(false));
        Arc::new(Self { limits, open: Mutex::default(), count, closing })
    }

    /// Tells all of them to end and waits until they have. Cancelled, they end all the same.
    pub async fn close(&self) {
        self.closing.send_replace(true);
        // The sender lives in `self`, so waiting cannot fail.
        self.count.subscribe().wait_for(|count| *count == 0).await.ok();
    }

    /// Takes a place for a user, `None` when there is none.
    pub(crate) fn enter(self: &Arc<Self>, user: UserId) -> Option<Place> {
        let mut open = self.open();
        let own = open.get(&user).copied().unwrap_or_default();
        let all: usize = open.values().sum();
        if own >= self.limits.user_max || all >= self.limits.all_max || *self.closing.borrow() {
            return None;
        }
        open.insert(user, own + 1);
        self.count.send_replace(all + 1);
        Some(Place { sockets: self.clone(), user })
    }

    pub(crate) fn closing(&self) -> watch::Receiver<bool> {
        self.closing.subscribe()
    }

    fn open(&self) -> MutexGuard<'_, BTreeMap<UserId, usize>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.sockets.open();
        let own = open.remove(&self.user).unwrap_or_default();
        if own > 1 {
            open.insert(self.user, own - 1);
        }
        self.sockets.count.send_replace(open.values().sum());
    }
}
