//! Tenants and their owners.

use crate::{
    api::{Api, ApiError, Context, Handle, Served},
    control::Cut,
    identity::{NewAccount, NewTenant},
    tenants,
};
use mamba_core::{access::AdminRight, ids::TenantId};
use mamba_wire::api::{
    Page, PageQuery,
    params::TenantPath,
    table,
    tenant::{CreateTenant, Tenant},
};
use zeroize::Zeroizing;

impl Handle<table::CreateTenant> for Api {
    async fn handle(
        &self,
        context: Context,
        (): (),
        (): (),
        body: CreateTenant,
    ) -> Result<Served<Tenant>, ApiError> {
        context.admin()?;
        let password = Zeroizing::new(body.owner.password);
        let owner = NewAccount { email: body.owner.email, password };
        let new = NewTenant { name: body.name, quota: body.quota, owner };
        let (id, tenant) = self.identity().create_tenant(new).await?;
        Ok(Served::Json(show(id, tenant)))
    }
}

impl Handle<table::ListTenants> for Api {
    async fn handle(
        &self,
        context: Context,
        (): (),
        query: PageQuery,
        (): (),
    ) -> Result<Served<Page<Tenant>>, ApiError> {
        let cut = Cut::<TenantId>::new(&query)?;
        let access = &context.caller()?.access;
        let found = if access.has(AdminRight::TenantsRead) {
            self.identity().tenants(cut.after, cut.fetch())?
        } else {
            self.hub().tenants_of(access, cut.after, cut.fetch())?
        };
        Ok(Served::Json(cut.page(found.into_iter().map(|(id, it)| (id, show(id, it))).collect())))
    }
}

impl Handle<table::ShowTenant> for Api {
    async fn handle(
        &self,
        _context: Context,
        path: TenantPath,
        (): (),
        (): (),
    ) -> Result<Served<Tenant>, ApiError> {
        let found = self.identity().tenant(path.tenant)?;
        let tenant = found.ok_or_else(|| ApiError::not_found("tenant"))?;
        Ok(Served::Json(show(path.tenant, tenant)))
    }
}

fn show(tenant: TenantId, it: tenants::Tenant) -> Tenant {
    let tenants::Tenant { name, parent, quota, made_at } = it;
    Tenant { tenant, name, parent, quota, made_at }
}
