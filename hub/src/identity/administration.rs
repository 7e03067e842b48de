//! Who administers the installation: rights over it, given and taken away.
//!
//! Nobody gives or takes what it does not have, and what is root's only root in person gives or takes,
//! no API key of it. One root that may sign in always stays.

use super::{
    Caller, Identity, IdentityError,
    accounts::normal_email,
    records::{ACCOUNTS, Account, Present, ROOTS},
    sign_in,
    trail::note,
};
use crate::{
    audit,
    tenants::{access_of, lineage},
};
use mamba_core::{
    access::Administration,
    audit::Change,
    clock::UnixMs,
    db::{Snapshot, Span, Store, Txn},
    ids::UserId,
    scope::AdminScope,
};
use mamba_wire::api::user::User;

/// What the audit trail calls it.
const EVENT: &str = "user:account.administration";
/// Most accounts that are root: they are the few who can do everything.
const ROOTS_MAX: usize = 50;

impl Identity {
    /// Sets an account's part in running the hub. Its sessions go on; what it has open is looked at again.
    ///
    /// # Errors
    /// `NotFound`, `Forbidden` when the account has or would get more than who asks, `Refused` for the
    /// last root, or what the store says.
    pub async fn set_administration(
        &self,
        by: &Caller,
        user: UserId,
        admin: Administration,
    ) -> Result<User, IdentityError> {
        let (by, now) = (by.clone(), self.inner.clock.wall());
        let change = move |txn: &mut Txn<'_>| {
            let account = sign_in::account(txn, user)?;
            check_within(txn, &by, &[&account.admin, &admin])?;
            match set(txn, user, account, admin.clone())? {
                Some(changes) => note(txn, now, by.who(), EVENT, changes),
                None => Ok(()),
            }
        };
        self.inner.store.write(change).await?;
        self.sessions_ended();
        self.user(user)
    }
}

/// Sets an account's part, as who has the machine may; returns it as it is now.
///
/// # Errors
/// `NotFound`, `Refused` for the last root, or what the store says.
pub async fn set_administration(
    store: &Store,
    scope: &AdminScope,
    now: UnixMs,
    email: &str,
    admin: Administration,
) -> Result<(), IdentityError> {
    let (email, scope) = (normal_email(email), scope.clone());
    store
        .write(move |txn| {
            let (user, account) = sign_in::account_at(txn, &email)?;
            match set(txn, user, account, admin.clone())? {
                Some(changes) => Ok(audit::append_admin(txn, &scope, now, EVENT, changes)?),
                None => Ok(()),
            }
        })
        .await?;
    Ok(())
}

/// Refuses parts in running the hub of which a caller does not have everything. Whether it is root is
/// looked up, for it may have ended since it began to ask.
pub(super) fn check_within(
    view: &impl Snapshot,
    by: &Caller,
    parts: &[&Administration],
) -> Result<(), IdentityError> {
    let own = view.get(ACCOUNTS, &by.user)?.filter(|it| it.locked_at.is_none());
    let is_root = !by.is_key && own.is_some_and(|it| it.admin == Administration::Root);
    if parts.iter().all(|part| part.is_within(&by.access, is_root)) {
        return Ok(());
    }
    Err(IdentityError::Forbidden("this needs every right that the account has or would get"))
}

/// Refuses to let a caller take over an account that may do more than it does: in running the hub, in a
/// tenant, or with a server. Who chooses its address chooses who it is.
pub(super) fn check_takeover(
    view: &impl Snapshot,
    by: &Caller,
    (user, account): (UserId, &Account),
) -> Result<(), IdentityError> {
    check_within(view, by, &[&account.admin])?;
    let its = access_of(view, user, &Administration::None)?;
    let why =
        IdentityError::Forbidden("this needs every right that the account has, in tenants too");
    for (tenant, rights) in &its.tenants {
        if by.access.lacks(&lineage(view, *tenant)?, rights).is_some() {
            return Err(why);
        }
    }
    for (server, grant) in &its.servers {
        let own = by.access.with_server(*server, &lineage(view, grant.tenant)?);
        if !grant.keys.iter().all(|key| own.contains(*key)) {
            return Err(why);
        }
    }
    Ok(())
}

/// Takes an account off the list of those that are root, if another stays that may sign in.
pub(super) fn unroot(txn: &mut Txn<'_>, user: UserId) -> Result<(), IdentityError> {
    let mut stays = false;
    for (other, Present) in txn.range(ROOTS, Span::all(), ROOTS_MAX)? {
        let is_open = txn.get(ACCOUNTS, &other)?.is_some_and(|it| it.locked_at.is_none());
        stays |= other != user && is_open;
    }
    if !stays {
        let why = "one root administrator that is not locked always stays";
        return Err(IdentityError::Refused(why));
    }
    Ok(txn.delete(ROOTS, &user)?)
}

/// Sets an account's part; returns what changed, if anything did.
fn set(
    txn: &mut Txn<'_>,
    user: UserId,
    account: Account,
    admin: Administration,
) -> Result<Option<[Change; 3]>, IdentityError> {
    // No rights are the same as none.
    let admin = if admin.is_admin() { admin } else { Administration::None };
    let (before, after) = (text(&account.admin), text(&admin));
    if before == after {
        return Ok(None);
    }
    if admin == Administration::Root {
        if txn.range(ROOTS, Span::all(), ROOTS_MAX)?.len() >= ROOTS_MAX {
            return Err(IdentityError::Refused("there are too many root administrators"));
        }
        txn.put(ROOTS, &user, &Present)?;
    } else if account.admin == Administration::Root {
        unroot(txn, user)?;
    }
    let email = account.email.clone();
    txn.put(ACCOUNTS, &user, &Account { admin, ..account })?;
    Ok(Some([
        Change::set("account", user.to_string()),
        Change::set("email", email),
        Change::new("administration", Some(before), Some(after)),
    ]))
}

/// Returns a part as the audit trail tells it.
pub(super) fn text(admin: &Administration) -> String {
    match admin {
        Administration::Root => "root".to_owned(),
        Administration::Some(rights) if !rights.is_empty() => {
            rights.iter().map(|right| right.name()).collect::<Vec<_>>().join(" ")
        }
        Administration::Some(_) | Administration::None => "none".to_owned(),
    }
}
