//! Power actions: asked for, listed, taken back.

use crate::api::{Api, ApiError, Context, Handle, Served};
use mamba_core::{access::ServerKey, lifecycle::PowerAction};
use mamba_wire::api::{
    Page, PageQuery,
    params::{IntentPath, ServerPath},
    server::{Intent, Power},
    table,
};

/// Returns what one must hold to ask for an action, and to take it back.
fn key_of(action: PowerAction) -> ServerKey {
    match action {
        PowerAction::Start => ServerKey::ControlStart,
        PowerAction::Stop | PowerAction::Kill => ServerKey::ControlStop,
        PowerAction::Restart => ServerKey::ControlRestart,
    }
}

impl Handle<table::Power> for Api {
    async fn handle(
        &self,
        context: Context,
        path: ServerPath,
        (): (),
        body: Power,
    ) -> Result<Served<Intent>, ApiError> {
        self.require(&context, path.server, key_of(body.action))?;
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
        self.require(&context, path.server, key_of(intent.action))?;
        Ok(Served::Json(self.hub().cancel_intent(scope, path.server, path.intent).await?))
    }
}
