//! Ports that nodes offer.

use crate::{
    api::{Api, ApiError, Context, Handle, Served},
    control::{AllocationWords, PortAsker},
};
use mamba_core::access::AdminRight;
use mamba_wire::api::{
    Code, Page,
    allocation::{
        AddServerAllocation, Allocation, AllocationQuery, CreateAllocations, NewAllocations,
        UpdateAllocation, UpdateServerAllocation,
    },
    params::{AllocationPath, ServerAllocationPath, ServerPath},
    server::Server,
    table,
};

impl Handle<table::CreateAllocations> for Api {
    async fn handle(
        &self,
        context: Context,
        (): (),
        (): (),
        body: CreateAllocations,
    ) -> Result<Served<NewAllocations>, ApiError> {
        let ports = body.port..=body.port_last.unwrap_or(body.port);
        let admin = context.admin()?;
        let CreateAllocations { node, ip, protocol, alias, note, .. } = body;
        let words = AllocationWords { alias, note };
        let made = self.hub().create_allocations(&admin, node, ip, ports, protocol, words);
        Ok(Served::Json(NewAllocations { items: made.await? }))
    }
}

impl Handle<table::ListAllocations> for Api {
    async fn handle(
        &self,
        context: Context,
        (): (),
        query: AllocationQuery,
        (): (),
    ) -> Result<Served<Page<Allocation>>, ApiError> {
        Ok(Served::Json(self.hub().allocations(&context.admin()?, &query)?))
    }
}

impl Handle<table::DeleteAllocation> for Api {
    async fn handle(
        &self,
        context: Context,
        path: AllocationPath,
        (): (),
        (): (),
    ) -> Result<Served<()>, ApiError> {
        self.hub().delete_allocation(&context.admin()?, path.allocation).await?;
        Ok(Served::Json(()))
    }
}

impl Handle<table::ShowAllocation> for Api {
    async fn handle(
        &self,
        context: Context,
        path: AllocationPath,
        (): (),
        (): (),
    ) -> Result<Served<Allocation>, ApiError> {
        Ok(Served::Json(self.hub().allocation(&context.admin()?, path.allocation)?))
    }
}

impl Handle<table::UpdateAllocation> for Api {
    async fn handle(
        &self,
        context: Context,
        path: AllocationPath,
        (): (),
        body: UpdateAllocation,
    ) -> Result<Served<Allocation>, ApiError> {
        let UpdateAllocation { alias, note } = body;
        let words = AllocationWords { alias, note };
        let admin = context.admin()?;
        Ok(Served::Json(self.hub().change_allocation(&admin, path.allocation, words).await?))
    }
}

impl Handle<table::AddServerAllocation> for Api {
    async fn handle(
        &self,
        context: Context,
        path: ServerPath,
        (): (),
        body: AddServerAllocation,
    ) -> Result<Served<Server>, ApiError> {
        let is_admin = context.caller()?.access.has(AdminRight::AllocationsWrite);
        let asker = match body.allocation {
            named if is_admin => PortAsker::Admin(named),
            None => PortAsker::Owner,
            Some(_) => {
                let why = "only an administrator may name an allocation";
                return Err(ApiError::new(Code::Forbidden, why));
            }
        };
        let changed = self.hub().add_port(context.scope()?, path.server, asker).await?;
        Ok(Served::Json(self.shown_to(&context, changed)?))
    }
}

impl Handle<table::UpdateServerAllocation> for Api {
    async fn handle(
        &self,
        context: Context,
        path: ServerAllocationPath,
        (): (),
        body: UpdateServerAllocation,
    ) -> Result<Served<Server>, ApiError> {
        let ServerAllocationPath { server, allocation } = path;
        let scope = context.scope()?;
        let changed = self.hub().note_port(scope, server, allocation, body.note).await?;
        Ok(Served::Json(self.shown_to(&context, changed)?))
    }
}

impl Handle<table::RemoveServerAllocation> for Api {
    async fn handle(
        &self,
        context: Context,
        path: ServerAllocationPath,
        (): (),
        (): (),
    ) -> Result<Served<Server>, ApiError> {
        let ServerAllocationPath { server, allocation } = path;
        let scope = context.scope()?;
        let changed = self.hub().remove_port(scope, server, allocation).await?;
        Ok(Served::Json(self.shown_to(&context, changed)?))
    }
}

impl Handle<table::SetPrimaryAllocation> for Api {
    async fn handle(
        &self,
        context: Context,
        path: ServerAllocationPath,
        (): (),
        (): (),
    ) -> Result<Served<Server>, ApiError> {
        let ServerAllocationPath { server, allocation } = path;
        let scope = context.scope()?;
        let changed = self.hub().set_primary_port(scope, server, allocation).await?;
        Ok(Served::Json(self.shown_to(&context, changed)?))
    }
}
