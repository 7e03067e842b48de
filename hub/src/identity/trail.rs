//! What the installation's audit trail tells of accounts, under the names that Pterodactyl gives where
//! it has one.
//!
//! What succeeds is told in its own transaction. Attempts that fail are counted in memory by event,
//! account and address, and written together once a minute: an attacker would otherwise fill the
//! disk, and a commit more or less would tell by its time whether an address has an account. What
//! was typed as an address is kept only where it is an account's: people type passwords into the
//! wrong field.

use super::{Caller, Client, Identity, IdentityError};
use crate::audit;
use mamba_core::{
    audit::{AuditEntry, Change, Door, HUB_CHAIN, Origin},
    clock::UnixMs,
    db::Txn,
    error::chain,
    ids::UserId,
    lifecycle::Actor,
};
use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{MutexGuard, PoisonError},
};

/// Kinds of attempts told apart within one minute. Those above it are counted by event alone.
const ATTEMPTS_MAX: usize = 1_000;
/// Entries in one transaction, of four operations each.
const AT_ONCE: usize = 20;

/// Somebody did not prove an identity, or not yet all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Attempted {
    event: &'static str,
    user: Option<UserId>,
    address: Option<IpAddr>,
}

/// How often, not yet written.
pub(super) type Attempts = BTreeMap<Attempted, u64>;

/// Who did something to its own account.
#[derive(Clone, Copy, Debug)]
pub(super) struct Who {
    pub(super) user: UserId,
    pub(super) origin: Origin,
}

impl Client {
    /// Returns from where it is, for the audit trail.
    pub(super) fn origin(&self) -> Origin {
        Origin { door: Door::Api, address: Some(self.peer), key: None }
    }

    pub(super) fn who(&self, user: UserId) -> Who {
        Who { user, origin: self.origin() }
    }
}

impl Caller {
    pub(super) fn who(&self) -> Who {
        Who { user: self.user, origin: self.origin }
    }
}

/// Tells something of an account, in the transaction that makes it true.
pub(super) fn note(
    txn: &mut Txn<'_>,
    now: UnixMs,
    who: Who,
    event: &str,
    changes: impl IntoIterator<Item = Change>,
) -> Result<(), IdentityError> {
    let entry = AuditEntry::new(now, &Actor::User(who.user), who.origin, event);
    Ok(audit::append(txn, HUB_CHAIN, entry.with(changes))?)
}

impl Identity {
    /// Counts an attempt that will be told.
    pub(super) fn attempted(&self, event: &'static str, user: Option<UserId>, address: IpAddr) {
        let address = Some(address);
        count(&mut self.attempts(), Attempted { event, user, address });
    }

    /// Tells of the attempts counted since the last time.
    pub(super) async fn write_attempts(&self) {
        let counted: Vec<_> = std::mem::take(&mut *self.attempts()).into_iter().collect();
        let now = self.inner.clock.wall();
        for some in counted.chunks(AT_ONCE).map(<[_]>::to_vec) {
            let written = self.inner.store.write(move |txn| {
                for (attempted, count) in &some {
                    audit::append(txn, HUB_CHAIN, told(now, *attempted, *count))?;
                }
                Ok::<_, IdentityError>(())
            });
            if let Err(err) = written.await {
                let cause = chain(&IdentityError::from(err));
                tracing::warn!(cause, "attempts to sign in were not written to the audit trail");
            }
        }
    }

    fn attempts(&self) -> MutexGuard<'_, Attempts> {
        self.inner.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn count(attempts: &mut Attempts, attempted: Attempted) {
    let is_full = attempts.len() >= ATTEMPTS_MAX && !attempts.contains_key(&attempted);
    let Attempted { event, .. } = attempted;
    let kept = if is_full { Attempted { event, user: None, address: None } } else { attempted };
    *attempts.entry(kept).or_default() += 1;
}

fn told(now: UnixMs, attempted: Attempted, count: u64) -> AuditEntry {
    let Attempted { event, user, address } = attempted;
    let origin = Origin { door: Door::Api, address, key: None };
    let account = user.map(|user| Change::set("account", user.to_string()));
    let count = Change::set("count", count.to_string());
    AuditEntry::new(now, &Actor::Hub, origin, event).with(account.into_iter().chain([count]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_are_told_apart_as_long_as_they_are_few() {
        let mut attempts = Attempts::new();
        let from = |it: u32| Some(IpAddr::from(it.to_be_bytes()));
        let event = "auth:fail";
        for it in 0..1_500 {
            count(&mut attempts, Attempted { event, user: None, address: from(it) });
            count(&mut attempts, Attempted { event, user: None, address: from(0) });
        }
        assert_eq!(attempts.len(), ATTEMPTS_MAX + 1);
        assert_eq!(attempts.values().sum::<u64>(), 3_000);
        assert_eq!(attempts[&Attempted { event, user: None, address: None }], 500);
        assert_eq!(attempts[&Attempted { event, user: None, address: from(0) }], 1_501);
        let user = Some(UserId::from_bytes([1; 16]));
        let entry = told(UnixMs(1), Attempted { event, user, address: from(1) }, 3);
        assert_eq!((entry.changes.len(), entry.changes[1].after.as_deref()), (2, Some("3")));
    }
}
