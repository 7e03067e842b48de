//! API keys that are bound to a tenant: seen, and ended, by who administers its members.
//!
//! A key may be bound only to a tenant in which its owner has a part, so that nobody's keys come into the
//! list of strangers. It stays there as long as the key: deleted by its owner, gone with its account, ended
//! from here, or gone with the tenant. What a key's owner may do is asked with each request, so the keys of
//! who left open nothing; that they are listed still lets somebody end them before their owner returns.

use super::{
    Caller, Identity, IdentityError,
    accounts::email_of,
    api_keys::{described, prefix_of},
    factors,
    records::{ACCOUNTS, API_KEYS, ApiKeyRecord, Present, TENANT_API_KEYS, USER_API_KEYS},
    trail::{Who, note},
};
use crate::{
    HubError, audit,
    control::Cut,
    mail::{Letter, Way},
    tenants::access_of,
};
use mamba_core::{
    audit::{AuditEntry, Change},
    clock::UnixMs,
    db::{Snapshot, Span, Txn, TxnError},
    error::Invalid,
    ids::{SessionId, TenantId, UserId},
    lifecycle::Actor,
    scope::TenantScope,
};
use mamba_wire::api::{Page, PageQuery, member::TenantApiKey};

/// What the installation's trail calls a key that its owner did not end.
pub(crate) const ENDED: &str = "user:api-key.end";
/// Keys bound to one tenant. A tenant's deletion takes them with it, three writes each: with those of 500
/// members, 200 letters and 200 invitations they are some 3,700 of the 4,096 that a transaction may have.
const KEYS_MAX: usize = 200;

impl Identity {
    /// Returns the API keys that are bound to a tenant, oldest first.
    ///
    /// # Errors
    /// `Invalid` for the query, or what the store says.
    pub fn tenant_api_keys(
        &self,
        scope: &TenantScope,
        query: &PageQuery,
    ) -> Result<Page<TenantApiKey>, IdentityError> {
        let (cut, tenant) = (Cut::<SessionId>::new(query)?, scope.tenant());
        let uses = self.uses().clone();
        self.inner.store.read(|view| {
            let mut span = Span::prefix(&(tenant,));
            if let Some(after) = cut.after {
                span = span.after(&(tenant, after));
            }
            let mut found = Vec::new();
            for ((_, id), Present) in view.range(TENANT_API_KEYS, span, cut.fetch())? {
                let Some(record) = view.get(API_KEYS, &id)? else { continue };
                let email = email_of(view, record.user)?.unwrap_or_default();
                let used_at = uses.get(&id).copied().or(record.used_at);
                found.push((id, shown(id, email, ApiKeyRecord { used_at, ..record })));
            }
            Ok(cut.page(found))
        })
    }

    /// Ends an API key that is bound to a tenant, whoever's it is, and with it whatever was opened with it.
    /// Both trails tell of it, and a letter to its owner.
    ///
    /// # Errors
    /// `NotFound` when no such key is bound to the tenant, or what the store says.
    pub async fn end_tenant_api_key(
        &self,
        caller: &Caller,
        scope: &TenantScope,
        id: SessionId,
    ) -> Result<(), IdentityError> {
        let (who, tenant, now) = (caller.who(), scope.tenant(), self.inner.clock.wall());
        let letter = self.draw_id(now);
        self.inner
            .store
            .write(move |txn| {
                let bound = txn.get(API_KEYS, &id)?.filter(|record| record.tenant == Some(tenant));
                let record = bound.ok_or(IdentityError::NotFound("API key"))?;
                remove(txn, id, &record)?;
                let account = Change::set("account", record.user.to_string());
                note(txn, now, who, ENDED, described(id, &record).into_iter().chain([account]))?;
                note_bound(txn, now, who, "tenant:api-key.delete", (id, &record))?;
                let lost = Letter::WayRemoved { way: Way::ApiKey, name: record.name };
                factors::tell(txn, now, letter, record.user, lost)
            })
            .await?;
        self.uses().remove(&id);
        self.sessions_ended();
        Ok(())
    }
}

/// Checks, before a key is bound to a tenant, that its owner has a part in it, and that it has room.
pub(super) fn check_binding(
    txn: &Txn<'_>,
    user: UserId,
    tenant: TenantId,
) -> Result<(), IdentityError> {
    let account = txn.get(ACCOUNTS, &user)?.ok_or(IdentityError::NotSignedIn)?;
    let access = access_of(txn, user, &account.admin)?;
    let has_part = access.tenants.contains_key(&tenant)
        || access.servers.values().any(|grant| grant.tenant == tenant);
    if !has_part {
        let rule = "must be one that you are a member of, or that shares a server with you";
        return Err(Invalid::new("tenant", rule).into());
    }
    if txn.prefix(TENANT_API_KEYS, &(tenant,), KEYS_MAX)?.len() >= KEYS_MAX {
        return Err(IdentityError::Refused("the tenant has too many API keys bound to it"));
    }
    Ok(())
}

/// Stores a new key.
pub(super) fn insert(
    txn: &mut Txn<'_>,
    id: SessionId,
    record: &ApiKeyRecord,
) -> Result<(), IdentityError> {
    txn.put(USER_API_KEYS, &(record.user, id), &Present)?;
    if let Some(tenant) = record.tenant {
        txn.put(TENANT_API_KEYS, &(tenant, id), &Present)?;
    }
    Ok(txn.put(API_KEYS, &id, record)?)
}

/// Removes a key from everywhere.
pub(super) fn remove(
    txn: &mut Txn<'_>,
    id: SessionId,
    record: &ApiKeyRecord,
) -> Result<(), TxnError> {
    txn.delete(API_KEYS, &id)?;
    txn.delete(USER_API_KEYS, &(record.user, id))?;
    if let Some(tenant) = record.tenant {
        txn.delete(TENANT_API_KEYS, &(tenant, id))?;
    }
    Ok(())
}

/// Tells the tenant that a key is bound to what became of it.
pub(super) fn note_bound(
    txn: &mut Txn<'_>,
    now: UnixMs,
    who: Who,
    event: &str,
    (id, record): (SessionId, &ApiKeyRecord),
) -> Result<(), IdentityError> {
    let Some(tenant) = record.tenant else { return Ok(()) };
    let entry = AuditEntry::new(now, &Actor::User(who.user), who.origin, event);
    let owner = Change::set("owner", record.user.to_string());
    let entry = entry.with(described(id, record).into_iter().chain([owner]));
    Ok(audit::append(txn, tenant, entry)?)
}

/// Removes the keys bound to a tenant that is deleted: they could open nothing any more.
pub(crate) fn remove_bound(txn: &mut Txn<'_>, tenant: TenantId) -> Result<(), HubError> {
    for ((_, id), Present) in txn.prefix(TENANT_API_KEYS, &(tenant,), KEYS_MAX)? {
        if let Some(record) = txn.get(API_KEYS, &id)? {
            remove(txn, id, &record)?;
        }
    }
    Ok(())
}

fn shown(id: SessionId, email: String, record: ApiKeyRecord) -> TenantApiKey {
    TenantApiKey {
        key: id,
        name: record.name,
        prefix: prefix_of(id),
        user: record.user,
        email,
        rights: record.rights,
        networks: record.networks.iter().map(ToString::to_string).collect(),
        made_at: record.made_at,
        until: record.until,
        used_at: record.used_at,
    }
}
