//! The audit trail.

use crate::api::{Api, ApiError, Context, Handle, Served};
use mamba_core::audit::HUB_CHAIN;
use mamba_wire::api::{
    Page, PageQuery,
    audit::{AccountEvent, AuditItem, AuditQuery},
    params::TenantPath,
    table,
};

impl Handle<table::ListAudit> for Api {
    async fn handle(
        &self,
        context: Context,
        _path: TenantPath,
        query: AuditQuery,
        (): (),
    ) -> Result<Served<Page<AuditItem>>, ApiError> {
        Ok(Served::Json(self.hub().audit(context.scope()?.tenant(), &query)?))
    }
}

impl Handle<table::ListOwnActivity> for Api {
    async fn handle(
        &self,
        context: Context,
        (): (),
        query: PageQuery,
        (): (),
    ) -> Result<Served<Page<AccountEvent>>, ApiError> {
        Ok(Served::Json(self.hub().account_activity(context.caller()?.user, &query)?))
    }
}

impl Handle<table::ListHubAudit> for Api {
    async fn handle(
        &self,
        context: Context,
        (): (),
        query: AuditQuery,
        (): (),
    ) -> Result<Served<Page<AuditItem>>, ApiError> {
        context.admin()?;
        Ok(Served::Json(self.hub().audit(HUB_CHAIN, &query)?))
    }
}
