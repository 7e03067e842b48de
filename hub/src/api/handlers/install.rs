//! What servers are made from, and their install scripts: run again, ended, and what they said.

use crate::{
    api::{Api, ApiError, Context, Handle, Served},
    control::Remake,
    relay::DoorError,
};
use mamba_core::error::chain;
use mamba_wire::{
    api::{
        Code,
        params::ServerPath,
        server::{ChangeBlueprint, InstallLog, Reinstall, Server},
        table,
    },
    node::{Answer, NodeReply, NodeRequest},
};
use std::time::Duration;

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
        let request = NodeRequest::InstallLog { server: path.server };
        let answer = async {
            let mut stream = self.parts.links.open(node, request).await?;
            let frame = stream.reader.next().await.map_err(|err| failed(chain(&err)))?;
            let frame = frame.ok_or_else(|| failed("it ended the request".to_owned()))?;
            NodeReply::from_frame(&frame).map_err(|err| failed(chain(&err)))
        };
        let answer = tokio::time::timeout(Duration::from_millis(ANSWER_MS_MAX), answer).await;
        match answer {
            Err(_) => Err(ApiError::new(Code::NoAnswer, "the node did not answer in time")),
            Ok(Err(err @ DoorError::Offline)) => {
                Err(ApiError::new(Code::NodeOffline, err.to_string()))
            }
            Ok(Err(err @ DoorError::Failed(_))) => {
                Err(ApiError::new(Code::Unavailable, err.to_string()))
            }
            Ok(Ok(NodeReply::Err(err))) => Err(ApiError::new(Code::Unavailable, err.to_string())),
            Ok(Ok(NodeReply::Ok(answer))) => match *answer {
                Answer::InstallLog(log) => {
                    Ok(Served::Json(InstallLog { is_cut: log.is_cut, lines: log.lines }))
                }
                _ => Err(ApiError::new(Code::Unavailable, "the node gave another answer")),
            },
        }
    }
}

fn failed(why: String) -> DoorError {
    DoorError::Failed(why)
}
