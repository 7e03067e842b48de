//! Lists what a caller may see, and what tenants have.

use super::{CHILDREN, TENANTS, Tenant, access::reach, lineage, quota::used};
use crate::{Hub, HubError};
use mamba_core::{
    access::{Access, Rights},
    db::{Snapshot as _, Span},
    ids::TenantId,
    scope::TenantScope,
};
use mamba_wire::api::tenant::QuotaUse;

impl Hub {
    /// Returns up to `limit` tenants after one in which the caller may do something, oldest first.
    ///
    /// # Errors
    /// What the store says.
    pub fn tenants_of(
        &self,
        access: &Access,
        after: Option<TenantId>,
        limit: usize,
    ) -> Result<Vec<(TenantId, Tenant)>, HubError> {
        self.read(|view| {
            let mut found = Vec::new();
            let all = reach(view, access)?;
            let rest = all.into_iter().filter(|it| after.is_none_or(|after| *it > after));
            for tenant in rest.take(limit) {
                found.extend(view.get(TENANTS, &tenant)?.map(|it| (tenant, it)));
            }
            Ok(found)
        })
    }

    /// Returns up to `limit` tenants after one that this tenant owns, oldest first.
    ///
    /// # Errors
    /// What the store says.
    pub fn children(
        &self,
        scope: &TenantScope,
        after: Option<TenantId>,
        limit: usize,
    ) -> Result<Vec<(TenantId, Tenant)>, HubError> {
        let tenant = scope.tenant();
        self.read(|view| {
            let mut span = Span::prefix(&(tenant,));
            if let Some(after) = after {
                span = span.after(&(tenant, after));
            }
            let mut found = Vec::new();
            for ((_, child), _) in view.range(CHILDREN, span, limit)? {
                found.extend(view.get(TENANTS, &child)?.map(|it| (child, it)));
            }
            Ok(found)
        })
    }

    /// Returns what a tenant may use, and what of it is taken.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn quota_use(&self, scope: &TenantScope) -> Result<QuotaUse, HubError> {
        let tenant = scope.tenant();
        self.read(|view| {
            let record = view.get(TENANTS, &tenant)?;
            let record = record.ok_or(HubError::NotFound { what: "tenant" })?;
            Ok(QuotaUse { quota: record.quota, used: used(view, tenant)? })
        })
    }

    /// Returns what a caller may do with a tenant and its servers.
    ///
    /// # Errors
    /// What the store says.
    pub fn rights_in(&self, scope: &TenantScope, access: &Access) -> Result<Rights, HubError> {
        let above = self.read(|view| Ok(lineage(view, scope.tenant())?))?;
        Ok(access.rights_over(&above))
    }
}
