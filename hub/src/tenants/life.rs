//! Tenants: renamed, limited, deleted.

use super::{
    CHILDREN, MEMBERS, MEMBERSHIPS, NAMES, Present, ROLES, TENANTS, Tenant,
    access::{CHILDREN_MAX, lineage},
    invitations::withdraw,
    letters,
    people::MEMBERS_MAX,
    quota::used,
    records::INVITATIONS,
};
use crate::{
    Hub, HubError, audit,
    external::ExternalId,
    identity::remove_bound_keys,
    store::{SERVERS, TenantRef},
};
use mamba_core::{
    access::TENANT_DEPTH_MAX,
    audit::{AuditEntry, Change},
    clock::UnixMs,
    db::{Snapshot, Span, Txn},
    ids::{EventId, TenantId},
    quota::Quota,
    scope::TenantScope,
    server::{NAME_BYTES_MAX, check_text},
};

/// Rows of one kind that a deletion removes at once; more than a tenant can have.
const ROWS_MAX: usize = 1_000;

/// What to change of a tenant: what is `None` stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TenantChange {
    /// Its name.
    pub name: Option<String>,
    /// Its name in another system, or none.
    pub external_id: Option<Option<ExternalId>>,
}

impl Hub {
    /// Renames a tenant, here or in another system. The trail tells each name that is another than before.
    ///
    /// # Errors
    /// `NotFound`, or `Invalid` for a name. Nothing was changed.
    pub async fn change_tenant(
        &self,
        scope: &TenantScope,
        change: TenantChange,
    ) -> Result<Tenant, HubError> {
        if let Some(name) = &change.name {
            check_text("name", name, 1, NAME_BYTES_MAX)?;
        }
        let (scope, now) = (scope.clone(), self.now());
        self.write(move |txn| {
            let tenant = scope.tenant();
            let before = find(txn, tenant)?;
            let TenantChange { name, external_id } = change.clone();
            let after = Tenant {
                name: name.unwrap_or_else(|| before.name.clone()),
                external_id: external_id.unwrap_or_else(|| before.external_id.clone()),
                ..before.clone()
            };
            txn.put(TENANTS, &tenant, &after)?;
            if before.name != after.name {
                let change = Change::new("name", Some(before.name), Some(after.name.clone()));
                note(txn, &scope, now, "tenant:rename", [change])?;
            }
            if before.external_id != after.external_id {
                let (old, new) = (before.external_id, after.external_id.clone());
                NAMES.change(txn, TenantRef(tenant), old.as_ref(), new.as_ref())?;
                let change = Change::new("external_id", old, new);
                note(txn, &scope, now, "tenant:external-id", [change])?;
            }
            Ok(after)
        })
        .await
    }

    /// Limits a tenant. What it has already stays, also above the limit; the limits of a tenant
    /// below come out of the pool of the one above.
    ///
    /// # Errors
    /// `NotFound`, `Refused` when the pool above is too small, or `Invalid` for a limit that the
    /// tenant above has and this has not, or this and a tenant below not.
    pub async fn limit_tenant(
        &self,
        scope: &TenantScope,
        quota: Quota,
    ) -> Result<Tenant, HubError> {
        let (scope, now) = (scope.clone(), self.now());
        self.write(move |txn| {
            let mut record = find(txn, scope.tenant())?;
            let json = |quota: &Quota| serde_json::to_string(quota).unwrap_or_default();
            let change = Change::new("quota", Some(json(&record.quota)), Some(json(&quota)));
            record.quota = quota;
            txn.put(TENANTS, &scope.tenant(), &record)?;
            check_below(txn, scope.tenant(), &record.quota)?;
            check_pool(txn, &record)?;
            note(txn, &scope, now, "tenant:quota", [change])?;
            Ok(record)
        })
        .await
    }

    /// Deletes a tenant that has neither servers nor tenants below, with its members, roles, open
    /// invitations and the API keys that are bound to it. Its audit trail stays.
    ///
    /// # Errors
    /// `NotFound`, `Invalid` when the typed name is not its name, `Refused` while it is not empty.
    pub async fn delete_tenant(&self, scope: &TenantScope, typed: String) -> Result<(), HubError> {
        let (scope, now, event) = (scope.clone(), self.now(), self.new_id(EventId::new));
        self.write(move |txn| {
            let tenant = scope.tenant();
            let record = find(txn, tenant)?;
            if record.name != typed {
                return Err(HubError::invalid("name", "must be the name of the tenant"));
            }
            if !txn.prefix(CHILDREN, &(tenant,), 1)?.is_empty() {
                return Err(HubError::Refused("the tenant owns tenants".to_owned()));
            }
            if has_servers(txn, tenant)? {
                return Err(HubError::Refused("the tenant has servers".to_owned()));
            }
            let members = txn.prefix(MEMBERS, &(tenant,), MEMBERS_MAX)?;
            let members: Vec<_> = members.into_iter().map(|((_, user), _)| user).collect();
            for user in &members {
                txn.delete(MEMBERS, &(tenant, *user))?;
                txn.delete(MEMBERSHIPS, &(*user, tenant))?;
            }
            letters::tenant_deleted(txn, now, event, (&members, &typed), scope.actor())?;
            for (key, _) in txn.prefix(ROLES, &(tenant,), ROWS_MAX)? {
                txn.delete(ROLES, &key)?;
            }
            for (key, it) in txn.prefix(INVITATIONS, &(tenant,), ROWS_MAX)? {
                withdraw(txn, tenant, key.1, &it)?;
            }
            if let Some(parent) = record.parent {
                txn.delete(CHILDREN, &(parent, tenant))?;
            }
            remove_bound_keys(txn, tenant)?;
            NAMES.change(txn, TenantRef(tenant), record.external_id.as_ref(), None)?;
            txn.delete(TENANTS, &tenant)?;
            let was = |field: &str, value: String| Change::new(field, Some(value), None::<String>);
            let named = record.external_id.map(|it| was("external_id", it.into()));
            let changes = [was("name", typed.clone())].into_iter().chain(named);
            note(txn, &scope, now, "tenant:delete", changes)
        })
        .await
    }
}

/// Checks, once the limits of a tenant are in the transaction, that each tenant that it owns has those
/// limits too: one without would take nothing out of the pool and have no end.
fn check_below(view: &impl Snapshot, tenant: TenantId, quota: &Quota) -> Result<(), HubError> {
    for ((_, child), Present) in view.prefix(CHILDREN, &(tenant,), CHILDREN_MAX)? {
        let child = find(view, child)?;
        if let Some(what) = child.quota.looser_than(quota) {
            let rule = format!("needs a limit in the tenant below, `{}`, first", child.name);
            return Err(HubError::invalid(format!("quota.{what}"), rule));
        }
    }
    Ok(())
}

/// Checks, once a new or changed tenant is in the transaction, that the tenant above has room for it
/// and that the tree is not too deep.
pub(crate) fn check_pool(view: &impl Snapshot, record: &Tenant) -> Result<(), HubError> {
    let Some(parent) = record.parent else { return Ok(()) };
    if lineage(view, parent)?.len() >= TENANT_DEPTH_MAX {
        let why = format!("tenants are at most {TENANT_DEPTH_MAX} deep");
        return Err(HubError::Refused(why));
    }
    if view.prefix(CHILDREN, &(parent,), CHILDREN_MAX + 1)?.len() > CHILDREN_MAX {
        return Err(HubError::Refused(format!("a tenant owns at most {CHILDREN_MAX} tenants")));
    }
    let above = find(view, parent)?.quota;
    if let Some(what) = record.quota.looser_than(&above) {
        let rule = "must be limited, because the tenant above is";
        return Err(HubError::invalid(format!("quota.{what}"), rule));
    }
    above.exceeded(&used(view, parent)?).map_or(Ok(()), |exceeded| Err(exceeded.into()))
}

fn find(view: &impl Snapshot, tenant: TenantId) -> Result<Tenant, HubError> {
    view.get(TENANTS, &tenant)?.ok_or(HubError::NotFound { what: "tenant" })
}

fn has_servers(view: &impl Snapshot, tenant: TenantId) -> Result<bool, HubError> {
    let mut span = Span::prefix(&(tenant,));
    loop {
        let some = view.range(SERVERS, span.clone(), ROWS_MAX)?;
        let Some((last, _)) = some.last() else { return Ok(false) };
        span = span.after(last);
        if some.iter().any(|(_, it)| it.is_present()) {
            return Ok(true);
        }
    }
}

fn note(
    txn: &mut Txn<'_>,
    scope: &TenantScope,
    now: UnixMs,
    event: &str,
    changes: impl IntoIterator<Item = Change>,
) -> Result<(), HubError> {
    let entry = AuditEntry::new(now, scope.actor(), scope.origin(), event);
    audit::append(txn, scope.tenant(), entry.with(changes))
}
