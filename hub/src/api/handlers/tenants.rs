//! Tenants and their owners.

use crate::{
    api::{Api, ApiError, Context, Handle, Served, resolve::About},
    control::Cut,
    external::ExternalId,
    identity::{IdentityError, NewAccount, NewTenant},
    tenants::{self, TenantChange},
};
use mamba_core::{
    access::{AdminRight, Rights, TenantRight, Wanted},
    error::Invalid,
    ids::TenantId,
};
use mamba_wire::api::{
    Code, Page, PageQuery,
    params::TenantPath,
    table,
    tenant::{
        CreateChild, CreateTenant, DeleteTenantQuery, LimitTenant, QuotaUse, Tenant, TenantQuery,
        UpdateTenant,
    },
    usage::{ServerUsage, TenantUsageQuery},
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
        let external_id = body.external_id.as_deref().map(str::parse).transpose()?;
        let new = NewTenant { name: body.name, quota: body.quota, owner, external_id };
        let (id, tenant) = self.identity().create_tenant(context.caller()?, new).await?;
        Ok(Served::Json(show(id, tenant)))
    }
}

impl Handle<table::ListTenants> for Api {
    async fn handle(
        &self,
        context: Context,
        (): (),
        query: TenantQuery,
        (): (),
    ) -> Result<Served<Page<Tenant>>, ApiError> {
        let access = &context.caller()?.access;
        let Page { items, next } = self.hub().tenants(access, &query)?;
        let items = items.into_iter().map(|(id, it)| show(id, it)).collect();
        Ok(Served::Json(Page { items, next }))
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

impl Handle<table::UpdateTenant> for Api {
    async fn handle(
        &self,
        context: Context,
        path: TenantPath,
        (): (),
        body: UpdateTenant,
    ) -> Result<Served<Tenant>, ApiError> {
        let UpdateTenant { name, external_id } = body;
        // The provider's other systems find a tenant by it: neither its owner nor who made it takes one.
        let is_admin = context.caller()?.access.has(AdminRight::TenantsWrite);
        if external_id.is_some() && !is_admin {
            let why = "only an administrator may change `external_id`";
            return Err(ApiError::new(Code::Forbidden, why));
        }
        let external_id = external_id.as_deref().map(ExternalId::or_none).transpose()?;
        let change = TenantChange { name, external_id };
        let it = self.hub().change_tenant(context.scope()?, change).await?;
        Ok(Served::Json(show(path.tenant, it)))
    }
}

impl Handle<table::DeleteTenant> for Api {
    async fn handle(
        &self,
        context: Context,
        _path: TenantPath,
        query: DeleteTenantQuery,
        (): (),
    ) -> Result<Served<()>, ApiError> {
        let typed = query.name.unwrap_or_default();
        Ok(Served::Json(self.hub().delete_tenant(context.scope()?, typed).await?))
    }
}

impl Handle<table::LimitTenant> for Api {
    async fn handle(
        &self,
        context: Context,
        path: TenantPath,
        (): (),
        body: LimitTenant,
    ) -> Result<Served<Tenant>, ApiError> {
        let caller = context.caller()?;
        // Nobody limits itself: the tenant above does, or an administrator.
        let found = self.identity().tenant(path.tenant)?;
        let parent = found.and_then(|it| it.parent);
        let above = match parent {
            Some(parent) => {
                let wanted = Wanted::Tenant(TenantRight::ChildWrite);
                self.allow(caller, wanted, About::Tenant(parent)).is_ok()
            }
            None => false,
        };
        if !above {
            self.allow(caller, Wanted::Admin(AdminRight::TenantsWrite), About::Hub)?;
        }
        let it = self.hub().limit_tenant(context.scope()?, body.quota).await?;
        Ok(Served::Json(show(path.tenant, it)))
    }
}

impl Handle<table::CreateChild> for Api {
    async fn handle(
        &self,
        context: Context,
        _path: TenantPath,
        (): (),
        body: CreateChild,
    ) -> Result<Served<Tenant>, ApiError> {
        let CreateChild { name, quota, owner } = body;
        let counted = self.identity().count_invitation(context.caller()?, &owner);
        counted.map_err(|err| match err {
            IdentityError::Invalid(err) => Invalid::new("owner", err.rule).into(),
            other => ApiError::from(other),
        })?;
        let panel = &self.identity().settings().public_url;
        let made = self.hub().create_child(context.granter()?, panel, (name, quota), &owner).await;
        let (id, tenant) = made?;
        Ok(Served::Json(show(id, tenant)))
    }
}

impl Handle<table::ShowQuota> for Api {
    async fn handle(
        &self,
        context: Context,
        _path: TenantPath,
        (): (),
        (): (),
    ) -> Result<Served<QuotaUse>, ApiError> {
        Ok(Served::Json(self.hub().quota_use(context.scope()?)?))
    }
}

impl Handle<table::ShowRights> for Api {
    async fn handle(
        &self,
        context: Context,
        _path: TenantPath,
        (): (),
        (): (),
    ) -> Result<Served<Rights>, ApiError> {
        let access = &context.caller()?.access;
        Ok(Served::Json(self.hub().rights_in(context.scope()?, access)?))
    }
}

impl Handle<table::ListUsage> for Api {
    async fn handle(
        &self,
        context: Context,
        _path: TenantPath,
        query: TenantUsageQuery,
        (): (),
    ) -> Result<Served<Page<ServerUsage>>, ApiError> {
        Ok(Served::Json(self.hub().tenant_usage(context.scope()?, &query)?))
    }
}

impl Handle<table::ListChildren> for Api {
    async fn handle(
        &self,
        context: Context,
        _path: TenantPath,
        query: PageQuery,
        (): (),
    ) -> Result<Served<Page<Tenant>>, ApiError> {
        let cut = Cut::<TenantId>::new(&query)?;
        let found = self.hub().children(context.scope()?, cut.after, cut.fetch())?;
        Ok(Served::Json(cut.page(found.into_iter().map(|(id, it)| (id, show(id, it))).collect())))
    }
}

fn show(tenant: TenantId, it: tenants::Tenant) -> Tenant {
    let tenants::Tenant { name, parent, quota, made_at, external_id } = it;
    let external_id = external_id.map(String::from);
    Tenant { tenant, name, parent, quota, made_at, external_id }
}
