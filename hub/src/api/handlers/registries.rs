//! Logins of image registries.

use crate::api::{Api, ApiError, Context, Handle, Served};
use mamba_wire::api::{
    Page,
    registry::{Registry, RegistryPath, SetRegistry},
    table,
};

impl Handle<table::ListRegistries> for Api {
    async fn handle(
        &self,
        _context: Context,
        (): (),
        (): (),
        (): (),
    ) -> Result<Served<Page<Registry>>, ApiError> {
        Ok(Served::Json(Page { items: self.hub().registries()?, next: None }))
    }
}

impl Handle<table::SetRegistry> for Api {
    async fn handle(
        &self,
        context: Context,
        path: RegistryPath,
        (): (),
        body: SetRegistry,
    ) -> Result<Served<Registry>, ApiError> {
        let SetRegistry { user, password } = body;
        let scope = context.admin()?;
        Ok(Served::Json(self.hub().set_registry(&scope, path.registry, user, password).await?))
    }
}

impl Handle<table::DeleteRegistry> for Api {
    async fn handle(
        &self,
        context: Context,
        path: RegistryPath,
        (): (),
        (): (),
    ) -> Result<Served<()>, ApiError> {
        Ok(Served::Json(self.hub().delete_registry(&context.admin()?, path.registry).await?))
    }
}
