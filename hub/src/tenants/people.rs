//! Members and sub-users: listed, changed, removed.

use super::{
    MEMBERS, MEMBERSHIPS, Member, Owner, SUB_USER_OF, SUB_USERS, SubUser, TENANTS,
    access::{SUB_USER_OF_MAX, lineage, rights_of},
    letters,
};
use crate::{Hub, HubError, audit, control::Cut, identity::email_of};
use mamba_core::{
    access::{Access, Object, Rights, Role, ServerKey, Verdict, Wanted},
    audit::{AuditEntry, Change},
    clock::UnixMs,
    db::{Snapshot, Span, Txn},
    ids::{EventId, ServerId, TenantId, UserId},
    scope::TenantScope,
};
use mamba_wire::api::{
    Page, PageQuery,
    member::{self, InvitedTo},
};
use std::collections::BTreeSet;

/// Most members of one tenant.
pub(super) const MEMBERS_MAX: usize = 500;
/// Most sub-users of one server.
pub(super) const SUB_USERS_MAX: usize = 100;

/// Who changes people, and what it may do itself.
#[derive(Clone, Debug)]
pub struct Granter {
    /// The tenant, and who acts.
    pub scope: TenantScope,
    /// What that caller may do.
    pub access: Access,
}

impl Granter {
    /// Refuses rights that the granter does not have.
    pub(super) fn check(&self, view: &impl Snapshot, rights: &Rights) -> Result<(), HubError> {
        let above = lineage(view, self.scope.tenant())?;
        self.access.lacks(&above, rights).map_or(Ok(()), |key| Err(HubError::Forbidden(key)))
    }

    /// Refuses what the granter may not do with the tenant, or with a server of it.
    pub(super) fn check_may(
        &self,
        view: &impl Snapshot,
        wanted: Wanted,
        server: Option<ServerId>,
    ) -> Result<(), HubError> {
        let above = lineage(view, self.scope.tenant())?;
        let object = server.map_or(Object::Tenant(&above), |it| Object::Server(it, &above));
        match self.access.decide(wanted, object) {
            Verdict::Allowed => Ok(()),
            Verdict::Forbidden(_) | Verdict::NotFound => Err(HubError::Forbidden(wanted)),
        }
    }

    /// Appends to the tenant's audit trail.
    pub(super) fn note(
        &self,
        txn: &mut Txn<'_>,
        now: UnixMs,
        event: &str,
        server: Option<ServerId>,
        changes: impl IntoIterator<Item = Change>,
    ) -> Result<(), HubError> {
        let entry = AuditEntry::new(now, self.scope.actor(), self.scope.origin(), event);
        let entry = AuditEntry { server, ..entry }.with(changes);
        audit::append(txn, self.scope.tenant(), entry)
    }
}

/// Returns what a set of keys of a sub-user stands for: seeing the server is always among it.
pub(super) fn with_connect(keys: &BTreeSet<ServerKey>) -> BTreeSet<ServerKey> {
    keys.iter().copied().chain([ServerKey::WebsocketConnect]).collect()
}

pub(super) fn names(keys: &BTreeSet<ServerKey>) -> String {
    keys.iter().map(|key| key.name()).collect::<Vec<_>>().join(" ")
}

pub(super) fn role_text(role: Role) -> String {
    match role {
        Role::Custom(id) => id.to_string(),
        built_in => format!("{built_in:?}").to_lowercase(),
    }
}

impl Hub {
    /// Lists members in the order of their accounts' making.
    ///
    /// # Errors
    /// `Invalid` for the query.
    pub fn members(
        &self,
        scope: &TenantScope,
        query: &PageQuery,
    ) -> Result<Page<member::Member>, HubError> {
        let cut = Cut::<UserId>::new(query)?;
        let tenant = scope.tenant();
        self.read(|view| {
            let mut span = Span::prefix(&(tenant,));
            if let Some(after) = cut.after {
                span = span.after(&(tenant, after));
            }
            let rows = view.range(MEMBERS, span, cut.fetch())?;
            let shown: Result<Vec<_>, HubError> = rows
                .into_iter()
                .map(|((_, user), it)| Ok((user, show_member(view, user, &it)?)))
                .collect();
            Ok(cut.page(shown?))
        })
    }

    /// Returns a member.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn member(&self, scope: &TenantScope, user: UserId) -> Result<member::Member, HubError> {
        self.read(|view| {
            let record = view.get(MEMBERS, &(scope.tenant(), user))?;
            show_member(view, user, &record.ok_or(HubError::NotFound { what: "member" })?)
        })
    }

    /// Gives a member another role.
    ///
    /// # Errors
    /// `NotFound`, `Forbidden` when the member has or would get more than the granter, `Refused` for
    /// the last owner.
    pub async fn change_member(
        &self,
        by: Granter,
        user: UserId,
        role: Role,
    ) -> Result<member::Member, HubError> {
        let now = self.now();
        self.write(move |txn| {
            let tenant = by.scope.tenant();
            let mut record = find(txn, &by, user)?;
            let rights = known_rights(txn, tenant, role)?;
            by.check(txn, &rights)?;
            if role != Role::Owner {
                check_not_last_owner(txn, tenant, user)?;
            }
            let change = Change::new("role", Some(role_text(record.role)), Some(role_text(role)));
            record.role = role;
            txn.put(MEMBERS, &(tenant, user), &record)?;
            by.note(
                txn,
                now,
                "member:update",
                None,
                [Change::set("user", user.to_string()), change],
            )?;
            show_member(txn, user, &record)
        })
        .await
    }

    /// Removes a member. Its next request and its open consoles find it gone.
    ///
    /// # Errors
    /// As [`Hub::change_member`].
    pub async fn remove_member(&self, by: Granter, user: UserId) -> Result<(), HubError> {
        let (now, letter_id) = (self.now(), self.new_id(EventId::new));
        self.write(move |txn| {
            let tenant = by.scope.tenant();
            find(txn, &by, user)?;
            check_not_last_owner(txn, tenant, user)?;
            txn.delete(MEMBERS, &(tenant, user))?;
            txn.delete(MEMBERSHIPS, &(user, tenant))?;
            let from = txn.get(TENANTS, &tenant)?.map(|it| it.name).unwrap_or_default();
            letters::removed(txn, now, letter_id, user, from)?;
            by.note(txn, now, "member:delete", None, [Change::set("user", user.to_string())])
        })
        .await
    }

    /// Lists sub-users of a server in the order of their accounts' making.
    ///
    /// # Errors
    /// `Invalid` for the query.
    pub fn sub_users(
        &self,
        scope: &TenantScope,
        server: ServerId,
        query: &PageQuery,
    ) -> Result<Page<member::SubUser>, HubError> {
        let cut = Cut::<UserId>::new(query)?;
        let tenant = scope.tenant();
        self.read(|view| {
            let mut span = Span::prefix(&(tenant, server));
            if let Some(after) = cut.after {
                span = span.after(&(tenant, server, after));
            }
            let rows = view.range(SUB_USERS, span, cut.fetch())?;
            let shown: Result<Vec<_>, HubError> = rows
                .into_iter()
                .map(|((_, _, user), it)| Ok((user, show_sub_user(view, user, &it)?)))
                .collect();
            Ok(cut.page(shown?))
        })
    }

    /// Returns a sub-user of a server.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn sub_user(
        &self,
        scope: &TenantScope,
        server: ServerId,
        user: UserId,
    ) -> Result<member::SubUser, HubError> {
        self.read(|view| {
            let record = view.get(SUB_USERS, &(scope.tenant(), server, user))?;
            show_sub_user(view, user, &record.ok_or(HubError::NotFound { what: "sub-user" })?)
        })
    }

    /// Changes what a sub-user may do.
    ///
    /// # Errors
    /// `NotFound`, or `Forbidden` when it has or would get more than the granter.
    pub async fn change_sub_user(
        &self,
        by: Granter,
        server: ServerId,
        user: UserId,
        keys: BTreeSet<ServerKey>,
    ) -> Result<member::SubUser, HubError> {
        let now = self.now();
        self.write(move |txn| {
            let key = (by.scope.tenant(), server, user);
            let mut record =
                txn.get(SUB_USERS, &key)?.ok_or(HubError::NotFound { what: "sub-user" })?;
            let next = with_connect(&keys);
            for keys in [&record.keys, &next] {
                check_keys(txn, &by, server, keys)?;
            }
            let change = Change::new("keys", Some(names(&record.keys)), Some(names(&next)));
            record.keys = next;
            txn.put(SUB_USERS, &key, &record)?;
            let who = Change::set("user", user.to_string());
            by.note(txn, now, "server:subuser.update", Some(server), [who, change])?;
            show_sub_user(txn, user, &record)
        })
        .await
    }

    /// Removes a sub-user. Its next request and its open consoles find it gone.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn remove_sub_user(
        &self,
        by: Granter,
        server: ServerId,
        user: UserId,
    ) -> Result<(), HubError> {
        let (now, letter_id) = (self.now(), self.new_id(EventId::new));
        self.write(move |txn| {
            let key = (by.scope.tenant(), server, user);
            let record =
                txn.get(SUB_USERS, &key)?.ok_or(HubError::NotFound { what: "sub-user" })?;
            check_keys(txn, &by, server, &record.keys)?;
            txn.delete(SUB_USERS, &key)?;
            txn.delete(SUB_USER_OF, &(user, server))?;
            let to = InvitedTo::SubUser { server, keys: record.keys };
            let from = letters::name_of(txn, key.0, &to)?;
            letters::removed(txn, now, letter_id, user, from)?;
            let who = Change::set("user", user.to_string());
            by.note(txn, now, "server:subuser.delete", Some(server), [who])
        })
        .await
    }
}

/// Sub-users that are dismissed in one transaction: each has two rows.
const DISMISSED_MAX: usize = 20;

/// Removes sub-users of a server under a tenant that does not own it any more, without a word to
/// anybody: what they could do they can no more. Says whether there may be more of them.
pub(crate) fn dismiss(
    txn: &mut Txn<'_>,
    (tenant, server): (TenantId, ServerId),
) -> Result<bool, HubError> {
    let some = txn.prefix(SUB_USERS, &(tenant, server), DISMISSED_MAX)?;
    for ((_, _, user), _) in &some {
        txn.delete(SUB_USERS, &(tenant, server, *user))?;
        // The new owner may have let the same person in.
        if txn.get(SUB_USER_OF, &(*user, server))? == Some(Owner(tenant)) {
            txn.delete(SUB_USER_OF, &(*user, server))?;
        }
    }
    Ok(some.len() == DISMISSED_MAX)
}

/// Refuses keys for a server that the granter does not have for it itself.
pub(super) fn check_keys(
    view: &impl Snapshot,
    by: &Granter,
    server: ServerId,
    keys: &BTreeSet<ServerKey>,
) -> Result<(), HubError> {
    let above = lineage(view, by.scope.tenant())?;
    let own = by.access.with_server(server, &above);
    let lacking = keys.iter().find(|key| !own.contains(**key));
    lacking.map_or(Ok(()), |key| Err(HubError::Forbidden(Wanted::Server(*key))))
}

/// Makes an account a sub-user.
pub(super) fn share(
    txn: &mut Txn<'_>,
    (tenant, server): (TenantId, ServerId),
    user: UserId,
    record: &SubUser,
) -> Result<(), HubError> {
    if txn.prefix(SUB_USERS, &(tenant, server), SUB_USERS_MAX)?.len() >= SUB_USERS_MAX {
        return Err(HubError::Refused(format!("the server has {SUB_USERS_MAX} sub-users already")));
    }
    if txn.prefix(SUB_USER_OF, &(user,), SUB_USER_OF_MAX)?.len() >= SUB_USER_OF_MAX {
        let why = format!("the account is sub-user of {SUB_USER_OF_MAX} servers already");
        return Err(HubError::Refused(why));
    }
    txn.put(SUB_USERS, &(tenant, server, user), record)?;
    Ok(txn.put(SUB_USER_OF, &(user, server), &Owner(tenant))?)
}

/// Returns what a role allows, if the tenant has it.
pub(super) fn known_rights(
    view: &impl Snapshot,
    tenant: TenantId,
    role: Role,
) -> Result<Rights, HubError> {
    if let Role::Custom(id) = role
        && !view.contains(super::ROLES, &(tenant, id))?
    {
        return Err(HubError::invalid("role", "is not a role of this tenant"));
    }
    Ok(rights_of(view, tenant, role)?)
}

/// Returns a member whom the granter may change: one that has no more than the granter.
fn find(view: &impl Snapshot, by: &Granter, user: UserId) -> Result<Member, HubError> {
    let tenant = by.scope.tenant();
    let record = view.get(MEMBERS, &(tenant, user))?;
    let record = record.ok_or(HubError::NotFound { what: "member" })?;
    by.check(view, &rights_of(view, tenant, record.role)?)?;
    Ok(record)
}

fn check_not_last_owner(
    view: &impl Snapshot,
    tenant: TenantId,
    user: UserId,
) -> Result<(), HubError> {
    let members = view.prefix(MEMBERS, &(tenant,), MEMBERS_MAX)?;
    let mut owners = members.iter().filter(|(_, it)| it.role == Role::Owner);
    if owners.all(|((_, owner), _)| *owner == user)
        && members.iter().any(|((_, it), member)| *it == user && member.role == Role::Owner)
    {
        return Err(HubError::Refused("a tenant keeps at least one owner".to_owned()));
    }
    Ok(())
}

fn show_member(
    view: &impl Snapshot,
    user: UserId,
    it: &Member,
) -> Result<member::Member, HubError> {
    let email = email_of(view, user)?.unwrap_or_default();
    Ok(member::Member { user, email, role: it.role, since: it.since })
}

fn show_sub_user(
    view: &impl Snapshot,
    user: UserId,
    it: &SubUser,
) -> Result<member::SubUser, HubError> {
    let email = email_of(view, user)?.unwrap_or_default();
    Ok(member::SubUser { user, email, keys: it.keys.clone(), since: it.since })
}
