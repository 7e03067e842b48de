//! Folders of nodes that games see besides their own data: for administrators alone, who know what is
//! on their nodes.

use crate::{
    api::{Api, ApiError, Context, Handle, Served},
    control::ServerChange,
};
use mamba_wire::api::{params::ServerPath, server::Mounts, table};

impl Handle<table::ShowMounts> for Api {
    async fn handle(
        &self,
        context: Context,
        path: ServerPath,
        (): (),
        (): (),
    ) -> Result<Served<Mounts>, ApiError> {
        let mounts = self.hub().mounts(context.scope()?, path.server)?;
        Ok(Served::Json(Mounts { mounts }))
    }
}

impl Handle<table::SetMounts> for Api {
    async fn handle(
        &self,
        context: Context,
        path: ServerPath,
        (): (),
        body: Mounts,
    ) -> Result<Served<Mounts>, ApiError> {
        let scope = context.scope()?;
        let change = ServerChange { mounts: Some(body.mounts), ..ServerChange::default() };
        self.hub().change_server(scope, path.server, change).await?;
        let mounts = self.hub().mounts(scope, path.server)?;
        Ok(Served::Json(Mounts { mounts }))
    }
}
