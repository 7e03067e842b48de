//! Gives back the networks of tenants that have nothing on this node any more.
//!
//! Addresses are few (1,024 networks in the usual pool), tenants come and go. The network goes first,
//! its row in the store after it, so that no other tenant is given addresses that are still in use.
//! What fails is tried again; a network that is gone too early is made anew by the next start.

use super::{
    entry::Entry,
    operation::{StepError, runtime_step, store_step},
    task::Task,
};
use crate::runtime::Runtime;
use mamba_core::{clock::BootMs, ids::TenantId, lifecycle::plan::Now};
use std::collections::{BTreeMap, BTreeSet};

/// Longest wait for the engine and for the store. A start of the same tenant waits that long for it.
const RELEASE_MS_MAX: u64 = 10_000;
/// Pause before a network that could not be removed is tried again: somebody else's container is in
/// it, which only that somebody changes.
const RELEASE_RETRY_MS: u64 = 600_000;

/// Which tenants may have a network.
#[derive(Default)]
pub(super) struct Networks {
    /// When its removal may be tried.
    held: BTreeMap<TenantId, BootMs>,
    /// The one that is being removed: one at a time is fast enough.
    releasing: Option<TenantId>,
}

impl Networks {
    /// Notes that a tenant may have one.
    pub(super) fn note(&mut self, tenant: TenantId) {
        self.held.entry(tenant).or_insert(BootMs(0));
    }

    /// Whether that of a tenant is being removed.
    pub(super) fn is_releasing(&self, tenant: Option<TenantId>) -> bool {
        tenant.is_some() && self.releasing == tenant
    }

    /// Returns the next one to remove. `used` are those that have something here.
    fn next(&self, used: &BTreeSet<TenantId>, now: BootMs) -> Option<TenantId> {
        let mut due = self.held.iter().filter(|(tenant, at)| **at <= now && !used.contains(tenant));
        due.next().map(|(tenant, _)| *tenant).filter(|_| self.releasing.is_none())
    }
}

impl<R: Runtime> Task<R> {
    /// Begins to remove a network that nobody needs, if there is one.
    pub(super) fn start_release(&mut self, now: Now) {
        let used: BTreeSet<TenantId> =
            self.entries.values().filter_map(Entry::network_user).collect();
        used.iter().for_each(|tenant| self.networks.note(*tenant));
        // Before everything was looked at, nobody knows what is in it.
        if !self.is_loaded || !self.engine.has_shown_all() {
            return;
        }
        let Some(tenant) = self.networks.next(&used, now.boot) else { return };
        self.networks.releasing = Some(tenant);
        let (parts, node) = (self.parts.clone(), self.settings.node);
        self.releases.spawn(async move {
            let call = parts.runtime.remove_network(node, tenant);
            runtime_step("remove network", RELEASE_MS_MAX, call).await?;
            let write = parts.store.forget_subnet(tenant);
            store_step("forget network", RELEASE_MS_MAX, write).await
        });
    }

    /// Takes over whether it was removed. `None`: the task panicked.
    pub(super) fn released(&mut self, result: Option<Result<(), StepError>>) {
        let Some(tenant) = self.networks.releasing.take() else { return };
        if let Some(Ok(())) = result {
            tracing::info!(%tenant, "network of a tenant without servers was removed");
            self.networks.held.remove(&tenant);
            self.subnets.remove(&tenant);
            return;
        }
        let error = result.and_then(Result::err).map(|err| format!("{}: {}", err.step, err.error));
        tracing::warn!(%tenant, error, "network of a tenant without servers is not removed yet");
        let retry_at = self.parts.clock.boot().plus(RELEASE_RETRY_MS);
        self.networks.held.insert(tenant, retry_at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_nobody_uses_is_released_one_after_the_other() {
        let tenant = |number| TenantId::from_bytes([number; 16]);
        let mut networks = Networks::default();
        (1..=3).for_each(|number| networks.note(tenant(number)));
        let next = |networks: &Networks, used: &[u8], now| {
            networks.next(&used.iter().map(|it| tenant(*it)).collect(), BootMs(now))
        };
        assert_eq!(next(&networks, &[1, 2, 3], 0), None);
        assert_eq!(next(&networks, &[1, 3], 0), Some(tenant(2)));
        networks.held.insert(tenant(2), BootMs(9));
        networks.note(tenant(2));
        assert_eq!(next(&networks, &[1, 3], 8), None, "what failed waits");
        assert_eq!(next(&networks, &[1, 3], 9), Some(tenant(2)));
        networks.releasing = Some(tenant(3));
        assert_eq!(next(&networks, &[], 9), None);
        assert!(networks.is_releasing(Some(tenant(3))) && !networks.is_releasing(None));
    }
}
