//! Lists what a caller may see, and what tenants have.

use super::{CHILDREN, NAMES, TENANTS, Tenant, access::reach, lineage, quota::used};
use crate::{
    Hub, HubError,
    control::{PlaceOf, Sort, behind},
    external::ExternalId,
    store::TenantRef,
};
use mamba_core::{
    access::{Access, AdminRight, Rights},
    db::{Snapshot, Span},
    ids::TenantId,
    scope::TenantScope,
};
use mamba_wire::api::{
    Page, PageQuery,
    tenant::{QuotaUse, TenantQuery},
};
use std::{collections::BTreeSet, ops::Bound};

impl Hub {
    /// Lists tenants, oldest first unless another order is asked for: all for who may read them all, else
    /// those in which the caller may do something. With a filter a page may be short, or empty, and have a
    /// next one all the same.
    ///
    /// # Errors
    /// `Invalid` for the query.
    pub fn tenants(
        &self,
        access: &Access,
        query: &TenantQuery,
    ) -> Result<Page<(TenantId, Tenant)>, HubError> {
        let TenantQuery { name, parent, external_id, sort, after, limit } = query.clone();
        let by_name: PlaceOf<Tenant> = |it| it.name.to_lowercase().into_bytes();
        let sort = Sort::read(sort.as_deref(), "made", &[("name", by_name)])?;
        let name = name.map(|it| it.to_lowercase());
        let sees_all = access.has(AdminRight::TenantsRead);
        self.read(|view| {
            let own = if sees_all { BTreeSet::new() } else { reach(view, access)? };
            sort.page(
                &PageQuery { after, limit },
                name.is_some() || parent.is_some() || external_id.is_some(),
                |after, most| match (sees_all, &external_id) {
                    (true, Some(name)) => {
                        Ok(NAMES.row(view, (TENANTS, |it: TenantRef| it.0), name, after)?)
                    }
                    (true, None) => Ok(view.range(TENANTS, behind(after), most)?),
                    (false, _) => some_of(view, &own, after, most),
                },
                |_, it| {
                    let its = it.external_id.as_ref().map(ExternalId::as_str);
                    Ok(name.as_ref().is_none_or(|name| it.name.to_lowercase().contains(name))
                        && (parent.is_none() || it.parent == parent)
                        && (external_id.is_none() || its == external_id.as_deref()))
                },
                |id, it| Ok((*id, it)),
            )
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

/// Returns up to `most` of these tenants behind one.
fn some_of(
    view: &impl Snapshot,
    own: &BTreeSet<TenantId>,
    after: Option<&TenantId>,
    most: usize,
) -> Result<Vec<(TenantId, Tenant)>, HubError> {
    let from = after.map_or(Bound::Unbounded, |after| Bound::Excluded(*after));
    let mut found = Vec::new();
    for tenant in own.range((from, Bound::Unbounded)) {
        if found.len() == most {
            break;
        }
        found.extend(view.get(TENANTS, tenant)?.map(|it| (*tenant, it)));
    }
    Ok(found)
}
