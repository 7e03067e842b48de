//! Moves of servers between nodes.

use crate::{
    api::{Api, ApiError, Context, Handle, Served},
    control::{Placing, transfer::NewTransfer},
};
use mamba_wire::api::{
    params::ServerPath,
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
