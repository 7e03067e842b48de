//! Every account, for administrators.

use crate::api::{Api, ApiError, Context, Handle, Served};
use mamba_wire::api::{
    Page, table,
    user::{SetAdministration, User, UserPath, UserQuery},
};

impl Handle<table::ListUsers> for Api {
    async fn handle(
        &self,
        _context: Context,
        (): (),
        query: UserQuery,
        (): (),
    ) -> Result<Served<Page<User>>, ApiError> {
        Ok(Served::Json(self.identity().users(&query)?))
    }
}

impl Handle<table::ShowUser> for Api {
    async fn handle(
        &self,
        _context: Context,
        path: UserPath,
        (): (),
        (): (),
    ) -> Result<Served<User>, ApiError> {
        Ok(Served::Json(self.identity().user(path.user)?))
    }
}

impl Handle<table::LockUser> for Api {
    async fn handle(
        &self,
        context: Context,
        path: UserPath,
        (): (),
        (): (),
    ) -> Result<Served<User>, ApiError> {
        Ok(Served::Json(self.identity().lock_user(context.caller()?, path.user).await?))
    }
}

impl Handle<table::UnlockUser> for Api {
    async fn handle(
        &self,
        context: Context,
        path: UserPath,
        (): (),
        (): (),
    ) -> Result<Served<User>, ApiError> {
        Ok(Served::Json(self.identity().unlock_user(context.caller()?, path.user).await?))
    }
}

impl Handle<table::SetAdministration> for Api {
    async fn handle(
        &self,
        context: Context,
        path: UserPath,
        (): (),
        body: SetAdministration,
    ) -> Result<Served<User>, ApiError> {
        let by = context.caller()?;
        Ok(Served::Json(self.identity().set_administration(by, path.user, body.admin).await?))
    }
}
