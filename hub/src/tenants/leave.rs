//! Accounts that end leave every tenant and every server, each of which is told so in its trail.

use super::{
    MEMBERS, MEMBERSHIPS, Owner, Present, SUB_USER_OF, SUB_USERS, TENANTS,
    access::{MEMBERSHIPS_MAX, SUB_USER_OF_MAX},
    people::MEMBERS_MAX,
};
use crate::{HubError, audit};
use mamba_core::{
    access::Role,
    audit::{AuditEntry, Change, Origin},
    clock::UnixMs,
    db::{Snapshot, Txn, TxnError},
    ids::{ServerId, TenantId, UserId},
    lifecycle::Actor,
};

/// An account that ends, and by whom.
pub(crate) struct Leaving<'a> {
    pub(crate) user: UserId,
    /// The address that it had.
    pub(crate) email: &'a str,
    pub(crate) actor: &'a Actor,
    pub(crate) origin: Origin,
}

impl Leaving<'_> {
    fn note(
        &self,
        txn: &mut Txn<'_>,
        now: UnixMs,
        (tenant, server): (TenantId, Option<ServerId>),
        event: &str,
    ) -> Result<(), HubError> {
        let entry = AuditEntry::new(now, self.actor, self.origin, event);
        let told = [
            Change::set("user", self.user.to_string()),
            Change::new("email", Some(self.email), None::<String>),
        ];
        audit::append(txn, tenant, AuditEntry { server, ..entry }.with(told))
    }
}

/// Returns the names of the tenants that would have no owner without an account.
///
/// # Errors
/// What the store says.
pub(crate) fn only_owner_of(view: &impl Snapshot, user: UserId) -> Result<Vec<String>, TxnError> {
    let mut found = Vec::new();
    for ((_, tenant), Present) in view.prefix(MEMBERSHIPS, &(user,), MEMBERSHIPS_MAX)? {
        let own = view.get(MEMBERS, &(tenant, user))?;
        let Some(record) = view.get(TENANTS, &tenant)? else { continue };
        if own.is_none_or(|it| it.role != Role::Owner) {
            continue;
        }
        let members = view.prefix(MEMBERS, &(tenant,), MEMBERS_MAX)?;
        let is_other = |other: UserId, role| other != user && role == Role::Owner;
        if !members.iter().any(|((_, other), it)| is_other(*other, it.role)) {
            found.push(record.name);
        }
    }
    Ok(found)
}

/// Takes an account out of all tenants and off all servers.
///
/// # Errors
/// What the store says.
pub(crate) fn leave_all(
    txn: &mut Txn<'_>,
    now: UnixMs,
    leaving: &Leaving<'_>,
) -> Result<(), HubError> {
    let user = leaving.user;
    for ((_, tenant), Present) in txn.prefix(MEMBERSHIPS, &(user,), MEMBERSHIPS_MAX)? {
        txn.delete(MEMBERSHIPS, &(user, tenant))?;
        txn.delete(MEMBERS, &(tenant, user))?;
        leaving.note(txn, now, (tenant, None), "member:delete")?;
    }
    for ((_, server), Owner(tenant)) in txn.prefix(SUB_USER_OF, &(user,), SUB_USER_OF_MAX)? {
        txn.delete(SUB_USER_OF, &(user, server))?;
        txn.delete(SUB_USERS, &(tenant, server, user))?;
        leaving.note(txn, now, (tenant, Some(server)), "server:subuser.delete")?;
    }
    Ok(())
}
