//! Ports that nodes offer.

use crate::api::{Api, ApiError, Context, Handle, Served};
use mamba_wire::api::{
    Page, PageQuery,
    allocation::{Allocation, AllocationQuery, CreateAllocations, NewAllocations},
    params::AllocationPath,
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
        let made = self.hub().create_allocations(&admin, body.node, body.ip, ports, body.protocol);
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
        let AllocationQuery { node, after, limit } = query;
        let page = PageQuery { after, limit };
        Ok(Served::Json(self.hub().allocations(&context.admin()?, node, &page)?))
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
