//! Power actions: asked for, listed, taken back.

use crate::api::{Api, ApiError, Context, Handle, Served};
use mamba_wire::api::{
    Page, PageQuery,
    params::{IntentPath, ServerPath},
    server::{Intent, Power},
    table,
};

impl Handle<table::Power> for Api {
    async fn handle(
        &self,
        context: Context,
        path: ServerPath,
        (): (),
        body: Power,
    ) -> Result<Served<Intent>, ApiError> {
        self.require(&context, path.server, body.action.key())?;
        let scope = context.scope()?;
        let power = self.hub().power(scope, path.server, body.action, body.expires_in_ms);
        Ok(Served::Json(power.await?))
    }
}

impl Handle<table::ListIntents> for Api {
    async fn handle(
        &self,
        context: Context,
        path: ServerPath,
        query: PageQuery,
        (): (),
    ) -> Result<Served<Page<Intent>>, ApiError> {
        let scope = context.scope()?;
        Ok(Served::Json(self.hub().intents(scope, path.server, &query)?))
    }
}

impl Handle<table::CancelIntent> for Api {
    async fn handle(
        &self,
        context: Context,
        path: IntentPath,
        (): (),
        (): (),
    ) -> Result<Served<Intent>, ApiError> {
        let scope = context.scope()?;
        let intent = self.hub().intent(scope, path.server, path.intent)?;
        self.require(&context, path.server, intent.action.key())?;
        Ok(Served::Json(self.hub().cancel_intent(scope, path.server, path.intent).await?))
    }
}
