//! What is asked of a running server in one request, without a socket.

use crate::api::{Api, ApiError, Context, Handle, Served, ask::AskError};
use mamba_core::error::Invalid;
use mamba_wire::{
    api::{
        Code,
        params::ServerPath,
        runtime::{RecentResources, Resources, SendCommand},
        table,
    },
    node::{Answer, INPUT_BYTES_MAX, MOMENTS_MAX, NodeError, NodeRequest},
};

/// Longest wait until a node passed a line on: a game that does not read has its own time there.
const COMMAND_MS_MAX: u64 = 10_000;
/// Longest wait for gauges; a node looks within a fraction of it, and what the hub knows is shown anyway.
const GAUGES_MS_MAX: u64 = 3_000;
/// Longest wait for what a node remembers: some kilobytes over a line that may be bad.
const RECENT_MS_MAX: u64 = 10_000;

impl Handle<table::SendCommand> for Api {
    async fn handle(
        &self,
        context: Context,
        path: ServerPath,
        (): (),
        body: SendCommand,
    ) -> Result<Served<()>, ApiError> {
        let line = body.command;
        let is_line = (1..=INPUT_BYTES_MAX).contains(&line.len())
            && !line.chars().any(|char| char.is_control() && char != '\t');
        if !is_line {
            let rule = format!(
                "must be one line of 1 to {INPUT_BYTES_MAX} bytes without control characters"
            );
            return Err(Invalid::new("command", rule).into());
        }
        let node = self.hub().node_of(context.scope()?, path.server)?;
        let ask = context.ask(NodeRequest::Type { server: path.server, line })?;
        match self.ask(node, ask, COMMAND_MS_MAX).await {
            Ok(Answer::Accepted) => Ok(Served::Json(())),
            Ok(_) => Err(AskError::Strange.into()),
            Err(AskError::Refused(err @ (NodeError::NotRunning | NodeError::NotAllowed(_)))) => {
                Err(ApiError::new(Code::Conflict, err.to_string()))
            }
            Err(err) => Err(err.into()),
        }
    }
}

impl Handle<table::ShowResources> for Api {
    async fn handle(
        &self,
        context: Context,
        path: ServerPath,
        (): (),
        (): (),
    ) -> Result<Served<Resources>, ApiError> {
        let server = self.hub().server(context.scope()?, path.server)?;
        let query = self.hub().query_of(path.server);
        let ask = context.ask(NodeRequest::Gauges { server: path.server, query })?;
        // A node that is away or slow takes nothing from what is known without it.
        let gauges = match self.ask(server.node, ask, GAUGES_MS_MAX).await {
            Ok(Answer::Gauges(gauges)) if gauges.server == path.server => Some(gauges),
            Ok(_) | Err(_) => None,
        };
        let observed = server.observed;
        let known = observed.map(|it| (it.state, it.since));
        Ok(Served::Json(Resources {
            server: path.server,
            state: gauges.map(|it| it.state).or(known.map(|it| it.0)),
            since: known.map(|it| it.1),
            suspended: server.suspended,
            age_ms: gauges.map(|it| self.hub().now().since(it.at)),
            gauges,
            freshness: server.freshness,
        }))
    }
}

impl Handle<table::ShowRecentResources> for Api {
    async fn handle(
        &self,
        context: Context,
        path: ServerPath,
        (): (),
        (): (),
    ) -> Result<Served<RecentResources>, ApiError> {
        let server = path.server;
        let node = self.hub().node_of(context.scope()?, server)?;
        let ask = context.ask(NodeRequest::Recent { server })?;
        match self.ask(node, ask, RECENT_MS_MAX).await? {
            Answer::Recent(moments) if moments.len() <= MOMENTS_MAX => {
                Ok(Served::Json(RecentResources { server, moments }))
            }
            _ => Err(AskError::Strange.into()),
        }
    }
}
