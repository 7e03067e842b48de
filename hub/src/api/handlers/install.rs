//! What servers are made from, and their install scripts: run again, ended, and what they said.

use crate::{
    api::{Api, ApiError, Context, Handle, Served, ask::AskError},
    control::Remake,
};
use mamba_wire::{
    api::{
        params::ServerPath,
        server::{ChangeBlueprint, InstallLog, Reinstall, Server},
        table,
    },
    node::{Answer, NodeRequest},
};

/// Longest wait for a node's answer: it reads half a megabyte from its disk.
const ANSWER_MS_MAX: u64 = 10_000;

impl Handle<table::ReinstallServer> for Api {
    async fn handle(
        &self,
        context: Context,
        path: ServerPath,
        (): (),
        body: Reinstall,
    ) -> Result<Served<Server>, ApiError> {
        let scope = context.scope()?;
        let server = self.hub().reinstall_server(scope, path.server, body.files).await?;
        Ok(Served::Json(self.shown_to(&context, server)?))
    }
}

impl Handle<table::ChangeBlueprint> for Api {
    async fn handle(
        &self,
        context: Context,
        path: ServerPath,
        (): (),
        body: ChangeBlueprint,
    ) -> Result<Served<Server>, ApiError> {
        let ChangeBlueprint { blueprint, image, variables, install } = body;
        let remake = Remake { blueprint, image, variables, install };
        let server = self.hub().remake_server(context.scope()?, path.server, remake).await?;
        Ok(Served::Json(self.shown_to(&context, server)?))
    }
}

impl Handle<table::CancelInstall> for Api {
    async fn handle(
        &self,
        context: Context,
        path: ServerPath,
        (): (),
        (): (),
    ) -> Result<Served<Server>, ApiError> {
        let server = self.hub().cancel_install(context.scope()?, path.server).await?;
        Ok(Served::Json(self.shown_to(&context, server)?))
    }
}

impl Handle<table::ShowInstallLog> for Api {
    async fn handle(
        &self,
        context: Context,
        path: ServerPath,
        (): (),
        (): (),
    ) -> Result<Served<InstallLog>, ApiError> {
        let node = self.hub().node_of(context.scope()?, path.server)?;
        let ask = context.ask(NodeRequest::InstallLog { server: path.server })?;
        match self.ask(node, ask, ANSWER_MS_MAX).await? {
            Answer::InstallLog(log) => {
                Ok(Served::Json(InstallLog { is_cut: log.is_cut, lines: log.lines }))
            }
            _ => Err(AskError::Strange.into()),
        }
    }
}
