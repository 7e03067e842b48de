//! Accounts that end: deleted by an administrator or by who has the machine, or closed by their owner.
//!
//! With an account goes, in one transaction, everything that is only its own: sessions, keys, passkeys,
//! accounts elsewhere, memberships, sub-user entries, and letters that wait for it. What it did stays in
//! the audit trail, whose last entry about it says which address it had. A tenant is never left without
//! an owner, nor the installation without a root.

use super::{
    Caller, Client, Identity, IdentityError,
    accounts::normal_email,
    administration::{check_within, text, unroot},
    factors,
    planted::void_keys,
    records::{ACCOUNTS, Account, AccountRef, EMAILS, FACTORS, LETTERS, NAMES},
    seen,
    sessions::end_all,
    sign_in,
};
use crate::{
    audit,
    mail::{self, Letter},
    secrets::Vault,
    tenants::{Leaving, leave_all, only_owner_of},
};
use mamba_core::{
    access::Administration,
    audit::{AuditEntry, Change, HUB_CHAIN, Origin},
    clock::{Entropy, UnixMs, draw},
    db::{Store, Txn},
    ids::{EventId, UserId},
    lifecycle::Actor,
    scope::AdminScope,
};
use mamba_wire::api::account::Confirmation;

/// What the audit trail calls it.
const EVENT: &str = "user:delete";

/// Who ends an account, and when.
struct End {
    actor: Actor,
    origin: Origin,
    now: UnixMs,
    /// Id of the letter that tells its owner.
    letter: EventId,
}

impl Identity {
    /// Deletes an account with everything that is its own.
    ///
    /// # Errors
    /// `NotFound`, `Refused` for one's own and for the last root, `Forbidden` when it has more rights over
    /// the installation than who asks, `OnlyOwner`, or what the store says.
    pub async fn delete_user(&self, by: &Caller, user: UserId) -> Result<(), IdentityError> {
        if by.user == user {
            return Err(IdentityError::Refused("the own account is closed in the own account"));
        }
        let caller = by.clone();
        self.end_account(by, user, move |txn, admin| check_within(txn, &caller, &[admin])).await
    }

    /// Closes the account of a caller, who proves once more to be there.
    ///
    /// # Errors
    /// As [`Identity::confirm`]; `Refused` for the last root, `OnlyOwner`.
    pub async fn close_account(
        &self,
        client: Client,
        caller: &Caller,
        proof: Confirmation,
    ) -> Result<(), IdentityError> {
        self.prove_presence(&client, caller, proof).await?;
        self.end_account(caller, caller.user, |_, _| Ok(())).await
    }

    async fn end_account(
        &self,
        by: &Caller,
        user: UserId,
        check: impl Fn(&Txn<'_>, &Administration) -> Result<(), IdentityError> + Send + 'static,
    ) -> Result<(), IdentityError> {
        let (now, vault) = (self.inner.clock.wall(), self.inner.vault.clone());
        let (actor, origin) = (Actor::User(by.user), by.origin);
        let end = End { actor, origin, now, letter: self.draw_id(now) };
        let change = move |txn: &mut Txn<'_>| {
            let account = sign_in::account(txn, user)?;
            check(txn, &account.admin)?;
            erase(txn, &vault, &end, (user, account))
        };
        self.inner.store.write(change).await?;
        self.sessions_ended();
        Ok(())
    }
}

/// Deletes an account, as who has the machine may.
///
/// # Errors
/// `NotFound`, `Refused` for the last root, `OnlyOwner`, or what the store says.
pub async fn delete_account(
    store: &Store,
    vault: Vault,
    scope: &AdminScope,
    now: UnixMs,
    entropy: &dyn Entropy,
    email: &str,
) -> Result<(), IdentityError> {
    let (actor, origin) = (scope.actor().clone(), scope.origin());
    let end = End { actor, origin, now, letter: EventId::new(now, draw(entropy)) };
    let email = normal_email(email);
    store
        .write(move |txn| {
            let found = sign_in::account_at(txn, &email)?;
            erase(txn, &vault, &end, found)
        })
        .await?;
    Ok(())
}

/// Removes an account and what is its own: at most some 3,000 of the 4,096 writes that a transaction of
/// the hub may have, for one that is everywhere with everything.
fn erase(
    txn: &mut Txn<'_>,
    vault: &Vault,
    end: &End,
    (user, account): (UserId, Account),
) -> Result<(), IdentityError> {
    if account.admin == Administration::Root {
        unroot(txn, user)?;
    }
    let orphans = only_owner_of(txn, user)?;
    if !orphans.is_empty() {
        return Err(IdentityError::OnlyOwner(orphans));
    }
    let leaving = Leaving { user, email: &account.email, actor: &end.actor, origin: end.origin };
    leave_all(txn, end.now, &leaving)?;
    end_all(txn, user, None)?;
    let gone = void_keys(txn, user, UnixMs(u64::MAX))?;
    vault.delete(txn, &factors::seed_place(user))?;
    txn.delete(FACTORS, &user)?;
    txn.delete(LETTERS, &user)?;
    seen::forget(txn, user)?;
    txn.delete(EMAILS, &account.email)?;
    NAMES.change(txn, AccountRef(user), account.external_id.as_ref(), None)?;
    txn.delete(ACCOUNTS, &user)?;
    mail::forget(txn, &account.email)?;
    mail::queue(txn, end.now, end.letter, &account.email, &Letter::AccountEnded)?;
    let was = |field: &str, value: String| Change::new(field, Some(value), None::<String>);
    let told = [
        Change::set("account", user.to_string()),
        was("email", account.email),
        was("administration", text(&account.admin)),
    ];
    let named = account.external_id.map(|it| was("external_id", it.into()));
    let entry = AuditEntry::new(end.now, &end.actor, end.origin, EVENT);
    let changes = told.into_iter().chain(named).chain(gone);
    Ok(audit::append(txn, HUB_CHAIN, entry.with(changes))?)
}
