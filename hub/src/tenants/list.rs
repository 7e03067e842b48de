//! Lists what a caller may see.

use super::{TENANTS, Tenant, access::reach};
use crate::{Hub, HubError};
use mamba_core::{access::Access, db::Snapshot as _, ids::TenantId};

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
}
