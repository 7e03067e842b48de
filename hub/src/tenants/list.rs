//! Lists what a caller may see.

use super::{
    TENANTS, Tenant,
    access::{CHILDREN_MAX, reach},
};
use crate::{Hub, HubError, control::Cut, store::SERVER_TENANTS, store::TenantRef};
use mamba_core::{
    access::Access,
    db::{Snapshot, Span},
    ids::{ServerId, TenantId},
};
use mamba_wire::api::{Page, PageQuery, server::Server};

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

    /// Lists the servers that a caller may see, in the order of their making, without those deleted
    /// and gone.
    ///
    /// # Errors
    /// `Invalid` for the query.
    pub fn servers_of(&self, access: &Access, query: &PageQuery) -> Result<Page<Server>, HubError> {
        let cut = Cut::<ServerId>::new(query)?;
        self.read(|view| {
            let mut tenants = Vec::with_capacity(CHILDREN_MAX.min(16));
            for tenant in reach(view, access)? {
                let above = super::lineage(view, tenant)?;
                if access.in_tenant(&above).is_some_and(|rights| !rights.server.is_empty()) {
                    tenants.push(tenant);
                }
            }
            // The newest come last in each tenant: a merge of the tenants' lists, then of the
            // servers that were shared one by one.
            let mut ids = Vec::new();
            for tenant in tenants {
                ids.extend(self.server_ids(view, tenant, cut.after, cut.fetch())?);
            }
            for (server, grant) in &access.servers {
                let owner = view.get(SERVER_TENANTS, server)?;
                let is_after = cut.after.is_none_or(|after| *server > after);
                if is_after && owner == Some(TenantRef(grant.tenant)) {
                    ids.push((*server, grant.tenant));
                }
            }
            ids.sort_unstable();
            ids.dedup();
            let mut found = Vec::new();
            for (server, tenant) in ids {
                if found.len() == cut.fetch() {
                    break;
                }
                found.extend(self.present(view, tenant, server)?.map(|it| (server, it)));
            }
            Ok(cut.page(found))
        })
    }

    /// Returns up to `limit` servers of a tenant after one, without those deleted and gone.
    fn server_ids(
        &self,
        view: &impl Snapshot,
        tenant: TenantId,
        after: Option<ServerId>,
        limit: usize,
    ) -> Result<Vec<(ServerId, TenantId)>, HubError> {
        let mut span = Span::prefix(&(tenant,));
        if let Some(after) = after {
            span = span.after(&(tenant, after));
        }
        let mut found = Vec::new();
        while found.len() < limit {
            let some = view.range(crate::store::SERVERS, span.clone(), limit)?;
            let Some((last, _)) = some.last() else { break };
            span = span.after(last);
            let present = some.into_iter().filter(|it| it.1.is_present());
            found.extend(present.map(|((_, server), _)| (server, tenant)));
        }
        Ok(found)
    }
}
