//! Moves of servers between nodes, and from tenant to tenant.

use crate::{
    api::{Api, ApiError, Context, Handle, Served, resolve::About},
    control::{Placing, transfer::NewTransfer},
};
use mamba_core::access::{TenantRight, Wanted};
use mamba_wire::api::{
    Page, PageQuery,
    params::ServerPath,
    server::{GiveServer, Server},
    table,
    transfer::{StartTransfer, Transfer},
};

impl Handle<table::StartTransfer> for Api {
    async fn handle(
        &self,
        context: Context,
        path: ServerPath,
        (): (),
        body: StartTransfer,
    ) -> Result<Served<Transfer>, ApiError> {
        let StartTransfer { node, allocations, region, tags } = body;
        let new = NewTransfer { node, allocations, placing: Placing { region, tags } };
        let begun = self.hub().start_transfer(context.scope()?, path.server, new).await?;
        Ok(Served::Json(begun))
    }
}

impl Handle<table::GiveServer> for Api {
    async fn handle(
        &self,
        context: Context,
        path: ServerPath,
        (): (),
        body: GiveServer,
    ) -> Result<Served<Server>, ApiError> {
        let wanted = Wanted::Tenant(TenantRight::ServerCreate);
        let to = self.allow(context.caller()?, wanted, About::Tenant(body.tenant))?;
        let to = to.ok_or_else(|| ApiError::not_found("tenant"))?;
        let server = self.hub().give_server(context.scope()?, &to, path.server).await?;
        Ok(Served::Json(self.shown_to(&context, server)?))
    }
}

impl Handle<table::ListTransfers> for Api {
    async fn handle(
        &self,
        _context: Context,
        (): (),
        query: PageQuery,
        (): (),
    ) -> Result<Served<Page<Transfer>>, ApiError> {
        Ok(Served::Json(self.hub().open_transfers(&query)?))
    }
}

impl Handle<table::ShowTransfer> for Api {
    async fn handle(
        &self,
        context: Context,
        path: ServerPath,
        (): (),
        (): (),
    ) -> Result<Served<Transfer>, ApiError> {
        Ok(Served::Json(self.hub().transfer(context.scope()?, path.server)?))
    }
}

impl Handle<table::CancelTransfer> for Api {
    async fn handle(
        &self,
        context: Context,
        path: ServerPath,
        (): (),
        (): (),
    ) -> Result<Served<Transfer>, ApiError> {
        let ended = self.hub().cancel_transfer(context.scope()?, path.server).await?;
        Ok(Served::Json(ended))
    }
}
