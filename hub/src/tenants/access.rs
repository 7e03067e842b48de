//! Reads what an account is allowed, and where a tenant stands.

use super::records::{
    CHILDREN, MEMBERS, MEMBERSHIPS, Owner, Present, ROLES, SUB_USER_OF, SUB_USERS, TENANTS,
};
use mamba_core::{
    access::{Access, Administration, Grant, Rights, Role, TENANT_DEPTH_MAX, TenantRight},
    db::{Snapshot, TxnError},
    ids::{TenantId, UserId},
};
use mamba_wire::api::auth::Membership;
use std::collections::BTreeSet;

/// Most tenants that an account can be a member of: each request reads them.
pub(crate) const MEMBERSHIPS_MAX: usize = 100;
/// Most servers of which an account can be a sub-user: each request reads them.
pub(crate) const SUB_USER_OF_MAX: usize = 200;
/// Most tenants that one tenant can own.
pub(crate) const CHILDREN_MAX: usize = 1_000;

/// Returns what an account is allowed now.
///
/// # Errors
/// What the store says.
pub fn access_of(
    view: &impl Snapshot,
    user: UserId,
    admin: &Administration,
) -> Result<Access, TxnError> {
    let mut access = Access { admin: admin.rights(), ..Access::default() };
    for ((_, tenant), Present) in view.prefix(MEMBERSHIPS, &(user,), MEMBERSHIPS_MAX)? {
        if let Some(member) = view.get(MEMBERS, &(tenant, user))? {
            access.tenants.insert(tenant, rights_of(view, tenant, member.role)?);
        }
    }
    for ((_, server), Owner(tenant)) in view.prefix(SUB_USER_OF, &(user,), SUB_USER_OF_MAX)? {
        if let Some(sub_user) = view.get(SUB_USERS, &(tenant, server, user))? {
            access.servers.insert(server, Grant { tenant, keys: sub_user.keys });
        }
    }
    Ok(access)
}

/// Returns what a role allows in a tenant: nothing when it is one that is gone.
pub(crate) fn rights_of(
    view: &impl Snapshot,
    tenant: TenantId,
    role: Role,
) -> Result<Rights, TxnError> {
    Ok(match (role.rights(), role) {
        (Some(rights), _) => rights,
        (None, Role::Custom(id)) => {
            view.get(ROLES, &(tenant, id))?.map(|it| it.rights).unwrap_or_default()
        }
        (None, _) => Rights::default(),
    })
}

/// Returns the tenants that an account is a member of, in the order of their making.
///
/// # Errors
/// What the store says.
pub fn memberships(view: &impl Snapshot, user: UserId) -> Result<Vec<Membership>, TxnError> {
    let mut found = Vec::new();
    for ((_, tenant), Present) in view.prefix(MEMBERSHIPS, &(user,), MEMBERSHIPS_MAX)? {
        let member = view.get(MEMBERS, &(tenant, user))?;
        if let (Some(member), Some(it)) = (member, view.get(TENANTS, &tenant)?) {
            found.push(Membership { tenant, name: it.name, role: member.role });
        }
    }
    Ok(found)
}

/// Returns a tenant and those above it, itself first; empty when there is no such tenant.
///
/// # Errors
/// What the store says.
pub fn lineage(view: &impl Snapshot, tenant: TenantId) -> Result<Vec<TenantId>, TxnError> {
    let mut found = Vec::new();
    let mut next = Some(tenant);
    while let Some(tenant) = next.filter(|_| found.len() <= TENANT_DEPTH_MAX) {
        let Some(record) = view.get(TENANTS, &tenant)? else { break };
        found.push(tenant);
        next = record.parent;
    }
    Ok(found)
}

/// Returns every tenant in which a caller may do something: its own and those below, in order.
///
/// # Errors
/// What the store says.
pub(crate) fn reach(view: &impl Snapshot, access: &Access) -> Result<BTreeSet<TenantId>, TxnError> {
    let mut found: BTreeSet<TenantId> = BTreeSet::new();
    for (tenant, rights) in &access.tenants {
        found.insert(*tenant);
        let goes_down = [TenantRight::ChildRead, TenantRight::ChildWrite];
        let mut open = Vec::new();
        if goes_down.iter().any(|right| rights.tenant.contains(right)) {
            open.push((*tenant, 0));
        }
        while let Some((above, depth)) = open.pop() {
            for ((_, child), Present) in view.prefix(CHILDREN, &(above,), CHILDREN_MAX)? {
                if found.insert(child) && depth < TENANT_DEPTH_MAX && found.len() < CHILDREN_MAX {
                    open.push((child, depth + 1));
                }
            }
        }
    }
    Ok(found)
}
