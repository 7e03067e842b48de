//! Signing in and out.

use crate::api::{Api, ApiError, Context, Handle, Served};
use mamba_wire::api::{
    auth::{self, Me, Tokens},
    table,
};
use zeroize::Zeroizing;

impl Handle<table::Login> for Api {
    async fn handle(
        &self,
        context: Context,
        (): (),
        (): (),
        body: auth::Login,
    ) -> Result<Served<Tokens>, ApiError> {
        let password = Zeroizing::new(body.password);
        Ok(Served::Json(self.identity().login(context.peer, &body.email, password).await?))
    }
}

impl Handle<table::Refresh> for Api {
    async fn handle(
        &self,
        _context: Context,
        (): (),
        (): (),
        body: auth::Refresh,
    ) -> Result<Served<Tokens>, ApiError> {
        Ok(Served::Json(self.identity().refresh(&body.refresh_token).await?))
    }
}

impl Handle<table::Logout> for Api {
    async fn handle(
        &self,
        context: Context,
        (): (),
        (): (),
        (): (),
    ) -> Result<Served<()>, ApiError> {
        self.identity().logout(context.caller()?.session).await?;
        Ok(Served::Json(()))
    }
}

impl Handle<table::WhoAmI> for Api {
    async fn handle(
        &self,
        context: Context,
        (): (),
        (): (),
        (): (),
    ) -> Result<Served<Me>, ApiError> {
        Ok(Served::Json(self.identity().who(context.caller()?)?))
    }
}
