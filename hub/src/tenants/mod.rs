//! Customers: tenants, who belongs to them with which rights, and what they may use.
//!
//! Nothing remembers which tenant somebody "is in": a request names its tenant or server in its path,
//! and what the caller may do with it is read from the store each time, so that a right that was
//! taken away is gone with the next request and within one tick of an open console.

mod access;
mod answers;
mod children;
mod invitations;
mod letters;
mod leave;
mod life;
mod list;
mod people;
mod quota;
mod roles;
mod records;
#[cfg(test)]
mod tests;

pub(crate) use access::{CHILDREN_MAX, reach};
pub use access::{access_of, lineage, memberships};
pub(crate) use answers::{Answer, give_answer, mailed_to};
pub(crate) use leave::{Leaving, leave_all, only_owner_of};
pub(crate) use letters::{about_server, server_deleted};
pub use life::TenantChange;
pub(crate) use life::check_pool;
pub use people::Granter;
pub(crate) use people::dismiss;
pub(crate) use quota::{check_quota, check_quota_limits_all};
use records::NAMES;
pub(crate) use records::{
    CHILDREN, MEMBERS, MEMBERSHIPS, Owner, Present, ROLES, SUB_USER_OF, SUB_USERS, TENANTS,
};
pub use records::{Member, RoleRecord, SubUser, TABLES, Tenant};

use crate::{HubError, store::TenantRef};
use mamba_core::{
    access::Role,
    clock::UnixMs,
    db::{Txn, TxnError},
    ids::{TenantId, UserId},
};

/// Writes a new tenant with its first owner.
///
/// # Errors
/// `Invalid` when another tenant has its name in another system, or what the store says.
pub(crate) fn insert(
    txn: &mut Txn<'_>,
    id: TenantId,
    tenant: &Tenant,
    owner: UserId,
) -> Result<(), HubError> {
    NAMES.change(txn, TenantRef(id), None, tenant.external_id.as_ref())?;
    txn.put(TENANTS, &id, tenant)?;
    if let Some(parent) = tenant.parent {
        txn.put(CHILDREN, &(parent, id), &Present)?;
    }
    Ok(join(txn, id, owner, Role::Owner, tenant.made_at)?)
}

/// Makes an account a member.
pub(crate) fn join(
    txn: &mut Txn<'_>,
    tenant: TenantId,
    user: UserId,
    role: Role,
    since: UnixMs,
) -> Result<(), TxnError> {
    txn.put(MEMBERS, &(tenant, user), &Member { role, since })?;
    txn.put(MEMBERSHIPS, &(user, tenant), &Present)
}
