//! Every account, for administrators.

use crate::{
    api::{Api, ApiError, Context, Handle, Served},
    identity::NewUser,
};
use mamba_wire::api::{
    Page, table,
    user::{CreateUser, SetAdministration, UpdateUser, User, UserPath, UserQuery},
};
use zeroize::Zeroizing;

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

impl Handle<table::CreateUser> for Api {
    async fn handle(
        &self,
        context: Context,
        (): (),
        (): (),
        body: CreateUser,
    ) -> Result<Served<User>, ApiError> {
        let CreateUser { email, password, is_verified, external_id } = body;
        let external_id = external_id.as_deref().map(str::parse).transpose()?;
        let password = password.map(Zeroizing::new);
        let new = NewUser { email, password, is_verified, external_id };
        Ok(Served::Json(self.identity().create_user(context.caller()?, new).await?))
    }
}

impl Handle<table::UpdateUser> for Api {
    async fn handle(
        &self,
        context: Context,
        path: UserPath,
        (): (),
        body: UpdateUser,
    ) -> Result<Served<User>, ApiError> {
        Ok(Served::Json(self.identity().update_user(context.caller()?, path.user, body).await?))
    }
}

impl Handle<table::DeleteUser> for Api {
    async fn handle(
        &self,
        context: Context,
        path: UserPath,
        (): (),
        (): (),
    ) -> Result<Served<()>, ApiError> {
        Ok(Served::Json(self.identity().delete_user(context.caller()?, path.user).await?))
    }
}

impl Handle<table::RequireReset> for Api {
    async fn handle(
        &self,
        context: Context,
        path: UserPath,
        (): (),
        (): (),
    ) -> Result<Served<User>, ApiError> {
        Ok(Served::Json(self.identity().require_reset(context.caller()?, path.user).await?))
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
