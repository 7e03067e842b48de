//! Tenants and their owners.

use crate::{
    api::{Api, ApiError, Context, Handle, Served},
    control::Cut,
    identity::{self, NewAccount, NewTenant},
};
use mamba_core::ids::TenantId;
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
        let new = NewTenant { name: body.name, owner };
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
        context.admin()?;
        let cut = Cut::<TenantId>::new(&query)?;
        let found = self.identity().tenants(cut.after, cut.fetch())?;
        Ok(Served::Json(cut.page(found.into_iter().map(|(id, it)| (id, show(id, it))).collect())))
    }
}

impl Handle<table::ShowTenant> for Api {
    async fn handle(
        &self,
        context: Context,
        path: TenantPath,
        (): (),
        (): (),
    ) -> Result<Served<Tenant>, ApiError> {
        context.admin()?;
        let found = self.identity().tenant(path.tenant)?;
        let tenant = found.ok_or_else(|| ApiError::not_found("tenant"))?;
        Ok(Served::Json(show(path.tenant, tenant)))
    }
}

fn show(tenant: TenantId, it: identity::Tenant) -> Tenant {
    let identity::Tenant { name, owner, owner_email, made_at } = it;
    Tenant { tenant, name, owner, owner_email, made_at }
}
