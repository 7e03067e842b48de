//! A real edge in a process of its own, with the machine's Docker Engine.

use crate::{
    Outcome,
    client::Client,
    daemon::{self, Daemon},
    process::Usage,
};
use mamba_core::{
    ids::{NodeId, ServerId},
    lifecycle::{Observed, ServerState},
};
use mamba_wire::{
    api::table,
    net::frames::FrameStream,
    node::{Answer, Ask, Asker, ConsoleFrom, NodeReply, NodeRequest, ServerLine},
};
use serde_json::{from_value, json};
use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::{
    net::UnixStream,
    time::{Instant, sleep},
};

/// Networks of a bench's tenants: beside the product's default, which a node of this machine may use.
const NETWORK_POOL: &str = "10.214.0.0/16";
/// Longest start of the daemon, and longest way of it to the hub.
const START_MAX: Duration = Duration::from_secs(60);
/// Label with the node's id on everything that an edge makes.
const NODE_LABEL: &str = "mamba.node";

/// An edge that may run or not.
pub(crate) struct Edge {
    program: PathBuf,
    dir: PathBuf,
    pub(crate) node: NodeId,
    daemon: Option<Daemon>,
}

impl Edge {
    /// Enrols a new edge and starts it; returns when the hub has it.
    pub(crate) async fn new(programs: &Path, dir: &Path, admin: &mut Client) -> Outcome<Self> {
        let (program, dir) = (programs.join("mamba-edge"), daemon::fresh_dir(dir)?);
        let config = dir.join("edge.toml");
        fs::write(
            &config,
            format!(
                "data_dir = \"{}\"\nnetwork_pool = \"{NETWORK_POOL}\"\nlog = \"warn\"\n",
                dir.join("data").display()
            ),
        )?;
        let name = from_value(json!({ "name": "bench" }))?;
        let token = admin.call::<table::CreateJoinToken>(&(), &(), &name).await?.token;
        let config = config.to_string_lossy();
        daemon::run(&program, &["--config", &config, "enrol", &token]).await?;
        let node = NodeId::from_bytes([0; 16]);
        let mut edge = Self { program, dir, node, daemon: None };
        edge.start().await?;
        edge.connected().await?;
        match edge.ask(&NodeRequest::Status).await? {
            Answer::Status(status) => edge.node = status.node.ok_or("edge is not enrolled")?,
            other => return Err(format!("`Status` was answered with {other:?}").into()),
        }
        Ok(edge)
    }

    /// Starts the daemon, and waits for nothing.
    pub(crate) fn spawn(&mut self) -> Outcome {
        let config = self.dir.join("edge.toml");
        let args = ["--config", &config.to_string_lossy(), "run"];
        self.daemon = Some(Daemon::start(&self.program, &args, &self.dir.join("edge.log"))?);
        Ok(())
    }

    /// Starts the daemon and waits until its local socket answers.
    pub(crate) async fn start(&mut self) -> Outcome {
        self.spawn()?;
        let begun = Instant::now();
        while self.ask(&NodeRequest::Status).await.is_err() {
            self.daemon.as_mut().ok_or("edge does not run")?.ensure_running()?;
            if begun.elapsed() > START_MAX {
                return Err(format!("edge does not answer; see {}", self.dir.display()).into());
            }
            sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }

    /// Waits until the session with the hub is up.
    pub(crate) async fn connected(&self) -> Outcome {
        let begun = Instant::now();
        loop {
            match self.ask(&NodeRequest::Link).await? {
                Answer::Link(link) if link.up => return Ok(()),
                answer if begun.elapsed() > START_MAX => {
                    return Err(format!("edge has no session: {answer:?}").into());
                }
                _ => sleep(Duration::from_millis(10)).await,
            }
        }
    }

    /// Ends the daemon in order; its servers go on.
    pub(crate) async fn stop(&mut self) -> Outcome {
        self.daemon.take().ok_or("edge does not run")?.stop().await
    }

    /// Ends the daemon as a crash does; its servers go on.
    pub(crate) async fn kill(&mut self) -> Outcome {
        self.daemon.take().ok_or("edge does not run")?.kill().await
    }

    /// What the daemon has used since its start.
    pub(crate) fn usage(&self) -> Outcome<Usage> {
        self.daemon.as_ref().ok_or("edge does not run")?.usage()
    }

    /// Where its data is.
    pub(crate) fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// Opens a request at the local socket.
    pub(crate) async fn open(&self, request: &NodeRequest) -> Outcome<FrameStream> {
        let (reader, writer) =
            UnixStream::connect(self.data().join("edge.sock")).await?.into_split();
        let mut stream = FrameStream::new(reader, writer);
        let by = Asker::Operator("bench".to_owned());
        let ask = Ask { by, request: request.clone() };
        stream.writer.send(&ask.to_frame()?).await?;
        stream.writer.flush().await?;
        Ok(stream)
    }

    /// Asks for the one answer to a request.
    pub(crate) async fn ask(&self, request: &NodeRequest) -> Outcome<Answer> {
        answer(&mut self.open(request).await?).await
    }

    /// Opens a console at the local socket, for reading and typing, from the newest line on.
    pub(crate) async fn console(&self, server: ServerId) -> Outcome<FrameStream> {
        self.open(&NodeRequest::Console { server, from: ConsoleFrom::Last(0), follow: true }).await
    }

    /// All servers.
    pub(crate) async fn servers(&self) -> Outcome<Vec<ServerLine>> {
        match self.ask(&NodeRequest::Servers).await? {
            Answer::Servers(servers) => Ok(servers),
            other => Err(format!("`Servers` was answered with {other:?}").into()),
        }
    }

    /// Waits until so many servers are in a state.
    pub(crate) async fn until(&self, count: usize, state: ServerState) -> Outcome {
        self.until_all(count, |it| it.state == state).await
    }

    /// Waits until something is so for that many servers.
    pub(crate) async fn until_all(
        &self,
        count: usize,
        is_so: impl Fn(&Observed) -> bool,
    ) -> Outcome {
        let begun = Instant::now();
        loop {
            // The socket is there a moment after the daemon.
            let servers = self.servers().await.unwrap_or_default();
            let there = servers.iter().filter(|it| is_so(&it.observed)).count();
            if there == count {
                return Ok(());
            }
            if begun.elapsed() > START_MAX * 5 {
                let seen = servers.first().map(|it| &it.observed);
                return Err(format!("{there} of {count} servers are as awaited: {seen:?}").into());
            }
            sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Edge {
    /// Removes what it made at the engine.
    fn drop(&mut self) {
        self.daemon = None;
        let filter = format!("label={NODE_LABEL}={}", self.node);
        crate::engine::remove_all(&filter);
    }
}

/// Returns the next answer on a stream.
pub(crate) async fn answer(stream: &mut FrameStream) -> Outcome<Answer> {
    let frame = stream.reader.next().await?.ok_or("edge ended the request")?;
    match NodeReply::from_frame(&frame)? {
        NodeReply::Ok(answer) => Ok(*answer),
        NodeReply::Err(err) => Err(err.into()),
    }
}

/// Makes a server of the bench's own game on a node.
pub(crate) async fn create_server(
    admin: &mut Client,
    tenant: mamba_core::ids::TenantId,
    node: NodeId,
    name: &str,
) -> Outcome<ServerId> {
    let body = from_value(json!({
        "name": name, "tenant": tenant, "node": node, "blueprint": "bench",
        "limits": {
            "memory_mib": 64, "swap_mib": 0, "cpu_millicores": 2_000, "disk_mib": 64, "pids": 64,
        },
    }))?;
    Ok(admin.call::<table::CreateServer>(&(), &(), &body).await?.server.server)
}
