//! A hub, an edge and a game server for a person to look at.

use crate::{
    acts::cast::{self, NewServer, Role},
    api::Api,
    docker,
    edge::{Edge, EdgeSettings},
    games::Game,
    hub::{ADMIN, Hub, HubPorts},
    report::{Played, Report, ensure, seconds},
    stage::{Stage, is_free},
};
use mamba_core::ids::{NodeId, ServerId};
use serde::{Deserialize, Serialize};
use std::{fs, io::Read};

/// Name of the demo's server, hub's and edge's directory.
const SERVER: &str = "demo-openttd";
const HUB: &str = "hub";
const EDGE: &str = "edge";
/// What a next run needs to go on with the data of this one.
const STATE_FILE: &str = "demo.json";
/// The owner of the demo's server.
const OWNER: &str = "owner@tenant.example";

/// Where the demo listens, all on the loopback.
#[derive(Debug, clap::Args)]
pub(crate) struct DemoArgs {
    /// Keep the data for the next run
    #[arg(long)]
    keep: bool,
    /// Port of the hub's HTTP API
    #[arg(long, default_value_t = 7480)]
    http_port: u16,
    /// Port of the hub's link (UDP)
    #[arg(long, default_value_t = 7443)]
    link_port: u16,
    /// Port of the game (TCP and UDP)
    #[arg(long, default_value_t = 3979)]
    game_port: u16,
}

/// What was made by the first run.
#[derive(Debug, Serialize, Deserialize)]
struct State {
    password: String,
    node: NodeId,
    server: ServerId,
    game_port: u16,
}

/// Sets everything up, says where it is, and stays until `stopped`.
pub(crate) async fn play(
    report: &mut Report,
    stage: &mut Stage,
    args: &DemoArgs,
    stopped: impl Future<Output = Played<&'static str>>,
) -> Played {
    for (what, flag, port) in [
        ("the hub's API", "--http-port", args.http_port),
        ("the link", "--link-port", args.link_port),
        ("the game", "--game-port", args.game_port),
    ] {
        ensure(is_free(port), || {
            format!("port {port} for {what} is taken by another program; choose one with {flag}")
        })?;
    }
    let file = stage.path(STATE_FILE);
    let state = fs::read(&file).ok().and_then(|text| serde_json::from_slice::<State>(&text).ok());
    let password = match &state {
        Some(state) => state.password.clone(),
        None => {
            stage.fresh_dir(HUB)?;
            stage.fresh_dir(EDGE)?;
            password()?
        }
    };
    let ports = HubPorts { http: args.http_port, link: args.link_port };
    let mut hub = Hub::prepare(stage, HUB, ports, &password)?;
    let mut edge = Edge::prepare(stage, EdgeSettings::plain(EDGE, "10.213.0.0/16"))?;
    let ended = {
        let set_up = set_up(report, stage, args, &mut hub, &mut edge, state);
        tokio::pin!(stopped);
        tokio::select! {
            state = set_up => {
                let state = state?;
                fs::write(&file, serde_json::to_vec_pretty(&state)?)?;
                introduce(report, &hub, &edge, &state);
                stopped.await?
            }
            ended = &mut stopped => ended?,
        }
    };
    report.say(&format!("{ended}: ending"));
    let node = edge.node().await;
    edge.stop().await?;
    hub.stop().await?;
    if let Ok(node) = node {
        // The game saves its world; its container is removed with the stage.
        docker::stop_all(&node.to_string()).await?;
    }
    if args.keep {
        report.say("data is kept; the next run goes on with it");
    } else {
        fs::remove_file(&file).ok();
        fs::remove_dir_all(stage.path(HUB))?;
        fs::remove_dir_all(stage.path(EDGE))?;
    }
    Ok(())
}

async fn set_up(
    report: &Report,
    stage: &Stage,
    args: &DemoArgs,
    hub: &mut Hub,
    edge: &mut Edge,
    state: Option<State>,
) -> Played<State> {
    report.say("starting the hub");
    if state.is_none() {
        hub.init().await?;
    }
    hub.start().await?;
    let admin = hub.admin().await?;
    let state = match state {
        Some(state) => {
            report.say("starting the edge on the data of an earlier run");
            edge.start().await?;
            stage.note_node(&state.node.to_string())?;
            state
        }
        None => first_run(report, stage, args, hub, &admin, edge).await?,
    };
    report.say("waiting for the game");
    let (name, game, port) = (SERVER.to_owned(), Game::Openttd, state.game_port);
    cast::answers(&Role { game, name, port, edge: 0, server: state.server }, seconds(90)).await?;
    cast::live(&admin, state.node).await?;
    Ok(state)
}

async fn first_run(
    report: &Report,
    stage: &Stage,
    args: &DemoArgs,
    hub: &Hub,
    admin: &Api,
    edge: &mut Edge,
) -> Played<State> {
    report.say("enrolling the edge");
    let tenant = admin.create_tenant("Demo", OWNER, &hub.password).await?.tenant;
    let token = admin.join_token("demo-node").await?;
    let ended = edge.enrol(&token.token).await?;
    ensure(ended.code == Some(0), || format!("enrol: {}", ended.stderr.trim()))?;
    edge.start().await?;
    let node = edge.node().await?;
    stage.note_node(&node.to_string())?;
    cast::live(admin, node).await?;
    report.say("creating a game server");
    let port = args.game_port;
    let new = NewServer { tenant, node, game: Game::Openttd, name: SERVER, port };
    let server = cast::create_server(admin, &new).await?.server;
    admin.power(server, &cast::start()).await?;
    Ok(State { password: hub.password.clone(), node, server, game_port: port })
}

/// Says where everything is and how to use it.
fn introduce(report: &Report, hub: &Hub, edge: &Edge, state: &State) {
    let (http, password, server) = (hub.http, &hub.password, state.server);
    let edge_cli = edge.command();
    let text = format!(
        "everything runs

  game      OpenTTD server `{SERVER}` on 127.0.0.1:{port}
  panel     http://{http}
  admin     {ADMIN}  {password}
  owner     {OWNER}  {password}
  logs      {hub_log}
            {edge_log}

On the node (works with the hub gone; `kill -9` the hub and try):
  {edge_cli} status
  {edge_cli} servers
  {edge_cli} console {SERVER}      # type `help`, leave with Ctrl-C
  {edge_cli} power {SERVER} restart --wait 30

Through the hub:
  TOKEN=$(curl -s http://{http}/api/v1/auth/login -H 'content-type: application/json' \\
    -d '{{\"email\": \"{ADMIN}\", \"password\": \"{password}\"}}' | sed 's/.*\"access_token\":\"\\([^\"]*\\).*/\\1/')
  curl -s http://{http}/api/v1/servers/{server} -H \"authorization: Bearer $TOKEN\"
  curl -s http://{http}/api/v1/servers/{server}/usage -H \"authorization: Bearer $TOKEN\"
  curl -s http://{http}/api/v1/servers/{server}/power -H \"authorization: Bearer $TOKEN\" \\
    -H 'content-type: application/json' -d '{{\"action\": \"restart\"}}'

Ctrl-C ends all of it.",
        port = state.game_port,
        hub_log = hub.log.display(),
        edge_log = edge.log.display(),
    );
    report.say(&text);
}

/// Draws a password.
fn password() -> Played<String> {
    let mut bytes = [0; 12];
    fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
