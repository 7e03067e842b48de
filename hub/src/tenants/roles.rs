//! Roles that tenants make.

use super::{
    MEMBERS, ROLES, RoleRecord,
    people::{Granter, MEMBERS_MAX},
};
use crate::{Hub, HubError};
use mamba_core::{
    access::{Rights, Role},
    audit::Change,
    db::Snapshot,
    ids::RoleId,
    scope::TenantScope,
    server::{NAME_BYTES_MAX, check_text},
};
use mamba_wire::api::{Page, member::RoleItem};

/// Most roles that one tenant makes; they are listed at once.
const ROLES_MAX: usize = 50;

impl Hub {
    /// Lists the roles of a tenant, the built-in ones first.
    ///
    /// # Errors
    /// What the store says.
    pub fn roles(&self, scope: &TenantScope) -> Result<Page<RoleItem>, HubError> {
        let built_in = Role::BUILT_IN.into_iter().filter_map(|role| {
            let name = super::people::role_text(role);
            role.rights().map(|rights| RoleItem { role, name, rights })
        });
        let own = self.read(|view| Ok(view.prefix(ROLES, &(scope.tenant(),), ROLES_MAX)?))?;
        let own = own.into_iter().map(|((_, id), it)| show(id, it));
        Ok(Page { items: built_in.chain(own).collect(), next: None })
    }

    /// Returns a role that the tenant made.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn role(&self, scope: &TenantScope, id: RoleId) -> Result<RoleItem, HubError> {
        let found = self.read(|view| Ok(view.get(ROLES, &(scope.tenant(), id))?))?;
        found.map(|it| show(id, it)).ok_or(HubError::NotFound { what: "role" })
    }

    /// Makes a role.
    ///
    /// # Errors
    /// `Invalid`, `Forbidden` with a key that the granter lacks, `Refused` when there are too many.
    pub async fn create_role(
        &self,
        by: Granter,
        name: String,
        rights: Rights,
    ) -> Result<RoleItem, HubError> {
        check_text("name", &name, 1, NAME_BYTES_MAX)?;
        let (id, now) = (self.new_id(RoleId::new), self.now());
        self.write(move |txn| {
            let tenant = by.scope.tenant();
            by.check(txn, &rights)?;
            if txn.prefix(ROLES, &(tenant,), ROLES_MAX)?.len() >= ROLES_MAX {
                return Err(HubError::Refused(format!("a tenant makes at most {ROLES_MAX} roles")));
            }
            let record = RoleRecord { name: name.clone(), rights: rights.clone(), made_at: now };
            txn.put(ROLES, &(tenant, id), &record)?;
            by.note(txn, now, "role:create", None, [told(&record)])?;
            Ok(show(id, record))
        })
        .await
    }

    /// Changes a role for everybody who plays it.
    ///
    /// # Errors
    /// `NotFound`, `Invalid`, or `Forbidden` when it allows, or would, what the granter may not do.
    pub async fn change_role(
        &self,
        by: Granter,
        id: RoleId,
        name: String,
        rights: Rights,
    ) -> Result<RoleItem, HubError> {
        check_text("name", &name, 1, NAME_BYTES_MAX)?;
        let now = self.now();
        self.write(move |txn| {
            let key = (by.scope.tenant(), id);
            let mut record = txn.get(ROLES, &key)?.ok_or(HubError::NotFound { what: "role" })?;
            by.check(txn, &record.rights)?;
            by.check(txn, &rights)?;
            let before = told(&record);
            (record.name, record.rights) = (name.clone(), rights.clone());
            txn.put(ROLES, &key, &record)?;
            let change = Change { before: before.after, ..told(&record) };
            by.note(txn, now, "role:update", None, [change])?;
            Ok(show(id, record))
        })
        .await
    }

    /// Deletes a role that nobody plays.
    ///
    /// # Errors
    /// `NotFound`, `Refused` while a member plays it.
    pub async fn delete_role(&self, by: Granter, id: RoleId) -> Result<(), HubError> {
        let now = self.now();
        self.write(move |txn| {
            let tenant = by.scope.tenant();
            let record = txn.get(ROLES, &(tenant, id))?;
            let record = record.ok_or(HubError::NotFound { what: "role" })?;
            by.check(txn, &record.rights)?;
            let members = txn.prefix(MEMBERS, &(tenant,), MEMBERS_MAX)?;
            if members.iter().any(|(_, it)| it.role == Role::Custom(id)) {
                return Err(HubError::Refused("members play this role".to_owned()));
            }
            txn.delete(ROLES, &(tenant, id))?;
            by.note(txn, now, "role:delete", None, [told(&record)])
        })
        .await
    }
}

fn told(record: &RoleRecord) -> Change {
    let rights = serde_json::to_string(&record.rights).unwrap_or_default();
    Change::set(record.name.clone(), rights)
}

fn show(id: RoleId, it: RoleRecord) -> RoleItem {
    RoleItem { role: Role::Custom(id), name: it.name, rights: it.rights }
}
