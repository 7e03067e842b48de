//! Tenants below a tenant: made by who may there, for an owner who is invited.

use super::{
    CHILDREN, TENANTS, Tenant,
    answers::check_may_make,
    check_pool,
    invitations::{Draft, check_spool},
    people::Granter,
    records::{Ground, Present},
};
use crate::{Hub, HubError, audit, identity::PublicUrl};
use mamba_core::{
    access::Role,
    audit::{AuditEntry, Change},
    clock::draw,
    ids::TenantId,
    quota::Quota,
    server::{NAME_BYTES_MAX, check_text},
};
use mamba_wire::api::member::InvitedTo;

impl Hub {
    /// Makes a tenant below the granter's, and invites an address to own it: no account is made, and
    /// whether there is one makes no difference. Until it accepts only the tenant above reaches it. Both
    /// trails tell it.
    ///
    /// # Errors
    /// `Invalid` names the field, `Refused` when the pool is too small or too many letters wait.
    pub async fn create_child(
        &self,
        by: Granter,
        panel: &PublicUrl,
        (name, quota): (String, Quota),
        owner: &str,
    ) -> Result<(TenantId, Tenant), HubError> {
        check_text("name", &name, 1, NAME_BYTES_MAX)?;
        let to = InvitedTo::Member(Role::Owner);
        let draft = Draft::new(self, panel, (&by, owner), to, Ground::Made);
        let draft = draft.map_err(|err| match err {
            HubError::Invalid(err) => HubError::invalid("owner", err.rule),
            other => other,
        })?;
        let (now, parent) = (self.now(), by.scope.tenant());
        let id = TenantId::new(now, draw(self.entropy()));
        let tenant = Tenant { name, parent: Some(parent), quota, made_at: now, external_id: None };
        self.write(move |txn| {
            check_may_make(txn, &by)?;
            txn.put(TENANTS, &id, &tenant)?;
            txn.put(CHILDREN, &(parent, id), &Present)?;
            check_pool(txn, &tenant)?;
            check_spool(txn)?;
            draft.put(txn, id, by.scope.actor())?;
            let entry = AuditEntry::new(now, by.scope.actor(), by.scope.origin(), "tenant:create")
                .with([
                    Change::set("tenant", id.to_string()),
                    Change::set("name", tenant.name.clone()),
                    Change::set("owner", draft.record.email.clone()),
                ]);
            audit::append(txn, parent, entry.clone())?;
            audit::append(txn, id, entry)?;
            Ok((id, tenant.clone()))
        })
        .await
    }
}
