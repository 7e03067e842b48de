//! Who plays: a hub, edges that join it, game servers on them; and how they come together.

use crate::{
    acts::plain,
    api::Api,
    console::Console,
    docker::{self, Container},
    edge::{Edge, EdgeSettings},
    games::Game,
    hub::{Hub, HubPorts},
    report::{Played, Report, Stopped, ensure, seconds, until},
    stage::Stage,
};
use futures_util::future::try_join_all;
use mamba_core::{
    ids::{NodeId, ServerId, TenantId},
    lifecycle::{PowerAction, ServerState},
    server::{Limits, RestartPolicy},
    units::{Mib, Millicores},
};
use mamba_wire::api::{
    LinkState,
    allocation::CreateAllocations,
    server::{CreateServer, Power, Server},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::Ipv4Addr,
    path::PathBuf,
    time::Duration,
};

/// Password of accounts on a hub that lives for minutes on the loopback.
pub(crate) const PASSWORD: &str = "correct horse battery";
/// Address of the account that owns all servers.
const OWNER: &str = "owner@tenant.example";
/// Longest time until a server that was asked for answers its players, on two busy cores.
const READY_MAX: Duration = seconds(60);

/// Longest time until a game made its world.
const WORLD_MAX: Duration = seconds(60);

/// How large the cast is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scene {
    pub(crate) name: &'static str,
    pub(crate) edges: usize,
    pub(crate) servers: usize,
}

/// One game server.
#[derive(Clone, Debug)]
pub(crate) struct Role {
    pub(crate) game: Game,
    pub(crate) name: String,
    pub(crate) port: u16,
    /// Index of its edge.
    pub(crate) edge: usize,
    pub(crate) server: ServerId,
}

/// Everybody.
pub(crate) struct Cast {
    pub(crate) scene: Scene,
    pub(crate) hub: Hub,
    pub(crate) edges: Vec<Edge>,
    pub(crate) roles: Vec<Role>,
    /// The administrator.
    pub(crate) admin: Api,
    /// The owner of all servers.
    pub(crate) owner: Api,
}

impl Cast {
    /// Brings everybody together: a new hub, edges that enrol, servers made over HTTP that answer.
    pub(crate) async fn assemble(
        report: &mut Report,
        stage: &mut Stage,
        scene: Scene,
    ) -> Result<Self, Stopped> {
        let title = format!("{}: {} edge(s), {} server(s)", scene.name, scene.edges, scene.servers);
        report.act(&title, Vec::new());
        let hub = report.step("a new hub serves", new_hub(stage, scene.name)).await?;
        let admin = report
            .step("the administrator signs in", async { Ok((hub.admin().await?, String::new())) })
            .await?;
        let tenant = report.step("a tenant with its owner", new_tenant(&hub, &admin)).await?;
        let (tenant, owner) = tenant;
        let mut cast = Self { scene, hub, edges: Vec::new(), roles: Vec::new(), admin, owner };
        report.act("enrolment", vec![cast.hub.log.clone()]);
        for index in 0..scene.edges {
            let joined = join(stage, &cast, index);
            let edge = report.step("an edge enrols and connects", joined).await?;
            cast.edges.push(edge);
        }
        report.act("servers", cast.logs());
        let created = create_servers(stage, &cast, tenant);
        cast.roles = report.step("servers are created over HTTP and started", created).await?;
        let answered = cast.all_answer(READY_MAX);
        report.step("every game answers a query on its real port", answered).await?;
        let seen = cast.hub_sees(ServerState::Running);
        report.step("the hub shows them running", seen).await?;
        Ok(cast)
    }

    /// Signs everybody in again.
    pub(crate) async fn sign_in(&mut self) -> Played {
        self.admin = self.hub.admin().await?;
        self.owner = Api::login(self.hub.http, OWNER, PASSWORD).await?;
        Ok(())
    }

    /// Logs of all daemons.
    pub(crate) fn logs(&self) -> Vec<PathBuf> {
        let edges = self.edges.iter().map(|edge| edge.log.clone());
        std::iter::once(self.hub.log.clone()).chain(edges).collect()
    }

    /// The edge that runs a server.
    pub(crate) fn edge_of(&self, role: &Role) -> Played<&Edge> {
        self.edges.get(role.edge).ok_or_else(|| "no such edge".into())
    }

    /// Waits until every game answers its own protocol on its port, with its own name.
    pub(crate) async fn all_answer(&self, within: Duration) -> Played<((), String)> {
        try_join_all(self.roles.iter().map(|role| answers(role, within))).await?;
        let games: Vec<String> = self
            .roles
            .iter()
            .take(4)
            .map(|role| format!("{} :{}", role.game.blueprint(), role.port))
            .collect();
        let more = if self.roles.len() > games.len() { ", .." } else { "" };
        Ok((
            (),
            format!("{} of {}: {}{more}", self.roles.len(), self.roles.len(), games.join(", ")),
        ))
    }

    /// Waits until the hub's view of every server is live and shows this state.
    pub(crate) async fn hub_sees(&self, state: ServerState) -> Played<((), String)> {
        until(seconds(30), async || {
            for server in self.owner.servers().await? {
                let seen = server.observed.as_ref().map(|it| it.state);
                ensure(seen == Some(state) && server.freshness.link == LinkState::Live, || {
                    format!("{} is {:?}, link {:?}", server.name, seen, server.freshness.link)
                })?;
            }
            Ok(())
        })
        .await
        .map(plain)
    }

    /// Returns the container of every server, as the engine sees it, in the order of the roles.
    pub(crate) async fn containers(&self) -> Played<Vec<Container>> {
        try_join_all(self.roles.iter().map(|role| async move {
            let detail = self.edge_of(role)?.server(&role.name).await?;
            let id = detail.container.ok_or_else(|| format!("{} has no container", role.name))?;
            docker::inspect(&id).await
        }))
        .await
    }

    /// Waits until no game is about to make its world: minetest, killed between making the file of its
    /// map and the table in it, aborts at every later start.
    pub(crate) async fn worlds_are_made(&self) -> Played {
        until(WORLD_MAX, async || {
            for role in self.roles.iter().filter(|role| role.game == Game::Minetest) {
                let data = self.edge_of(role)?.data().join("servers");
                let map = data.join(role.server.to_string()).join("world/map.sqlite");
                let bytes = fs::metadata(&map).map_or(0, |it| it.len());
                ensure(bytes > 0, || format!("{} has no map yet", role.name))?;
            }
            Ok(())
        })
        .await
    }

    /// Types into every console that answers, through the hub, and reads the answer.
    pub(crate) async fn play_consoles(&self, report: &mut Report) -> Result<(), Stopped> {
        let typed = async {
            let mut played = String::new();
            let talkers = self.roles.iter().filter(|role| role.game.console().is_some()).take(4);
            for role in talkers {
                played = talk(&self.owner, role).await?;
            }
            Ok(((), played))
        };
        report
            .step("a console line goes in and its answer comes out through the hub", typed)
            .await?;
        let twice = async {
            let role = self.roles.first().ok_or("no server")?;
            let ticket = Console::ticket(&self.owner, role.server, false).await?;
            Console::open(self.hub.http, &ticket).await?.close().await?;
            match Console::open(self.hub.http, &ticket).await {
                Err(refusal) => Ok(((), refusal.to_string())),
                Ok(_) => Err("the ticket opened a second console".into()),
            }
        };
        report.step("a console ticket opens once", twice).await
    }

    /// Ends everybody in order.
    pub(crate) async fn leave(mut self, report: &mut Report) -> Result<(), Stopped> {
        leave(report, &mut self.hub, &mut self.edges).await
    }
}

/// Ends edges, then their hub, in order.
pub(crate) async fn leave(
    report: &mut Report,
    hub: &mut Hub,
    edges: &mut [Edge],
) -> Result<(), Stopped> {
    let left = async {
        for edge in edges {
            edge.stop().await?;
        }
        hub.stop().await.map(plain)
    };
    report.step("edges and hub end in order on SIGTERM", left).await
}

/// Makes a hub and starts it.
pub(crate) async fn new_hub(stage: &mut Stage, name: &str) -> Played<(Hub, String)> {
    let name = format!("{name}-hub");
    stage.fresh_dir(&name)?;
    let ports = HubPorts { http: stage.port()?, link: stage.port()? };
    let mut hub = Hub::prepare(stage, &name, ports, PASSWORD)?;
    hub.init().await?;
    hub.start().await?;
    let text = format!("HTTP on {}, link on UDP {}", hub.http, hub.link_port);
    Ok((hub, text))
}

/// Makes a tenant, and signs its owner in.
pub(crate) async fn new_tenant(hub: &Hub, admin: &Api) -> Played<((TenantId, Api), String)> {
    let tenant = admin.create_tenant("Tenant", OWNER, PASSWORD).await?;
    let owner = Api::login(hub.http, OWNER, PASSWORD).await?;
    Ok(((tenant.tenant, owner), String::new()))
}

/// Enrols and starts an edge of the cast.
async fn join(stage: &Stage, cast: &Cast, index: usize) -> Played<(Edge, String)> {
    // Halves of the default pool: the edges share one engine.
    let pool = format!("10.213.{}.0/17", index % 2 * 128);
    let settings = EdgeSettings::plain(&format!("{}-edge-{index}", cast.scene.name), &pool);
    let edge = enrolled(stage, &cast.admin, settings).await?;
    connected(stage, &cast.admin, edge).await
}

/// Makes a new edge and enrols it.
pub(crate) async fn enrolled(stage: &Stage, admin: &Api, settings: EdgeSettings) -> Played<Edge> {
    stage.fresh_dir(&settings.name)?;
    let token = admin.join_token(&settings.name).await?;
    let edge = Edge::prepare(stage, settings)?;
    let ended = edge.enrol(&token.token).await?;
    ensure(ended.code == Some(0), || format!("enrol: {}", ended.stderr.trim()))?;
    Ok(edge)
}

/// Starts an enrolled edge and waits until the hub shows it live.
pub(crate) async fn connected(
    stage: &Stage,
    admin: &Api,
    mut edge: Edge,
) -> Played<(Edge, String)> {
    edge.start().await?;
    let node = edge.node().await?;
    stage.note_node(&node.to_string())?;
    live(admin, node).await?;
    let text = format!("node {node}, no inbound port");
    Ok((edge, text))
}

/// Waits until the hub shows a node live.
pub(crate) async fn live(admin: &Api, node: NodeId) -> Played {
    until(seconds(90), async || {
        let nodes = admin.nodes().await?;
        let node =
            nodes.iter().find(|it| it.node == node).ok_or("the hub does not list the node")?;
        ensure(node.freshness.link == LinkState::Live, || {
            format!("node {} is {:?}", node.name, node.freshness.link)
        })
    })
    .await
}

/// Creates and starts all servers of the scene, spread over the edges.
async fn create_servers(
    stage: &mut Stage,
    cast: &Cast,
    tenant: TenantId,
) -> Played<(Vec<Role>, String)> {
    let mut roles = Vec::new();
    for index in 0..cast.scene.servers {
        let game = Game::ALL[index % Game::ALL.len()];
        // Every edge gets every game.
        let edge = index / Game::ALL.len() % cast.edges.len();
        let node = cast.edges[edge].node().await?;
        let name = format!("{}-{}-{index}", cast.scene.name, game.blueprint());
        let port = stage.port()?;
        let new = NewServer { tenant, node, game, name: &name, port };
        let server = create_server(&cast.admin, &new).await?.server;
        cast.owner.power(server, &start()).await?;
        roles.push(Role { game, name, port, edge, server });
    }
    let text = format!("{} servers", roles.len());
    Ok((roles, text))
}

/// What a new server is made of.
pub(crate) struct NewServer<'a> {
    pub(crate) tenant: TenantId,
    pub(crate) node: NodeId,
    pub(crate) game: Game,
    pub(crate) name: &'a str,
    pub(crate) port: u16,
}

/// Makes an allocation and a server on it.
pub(crate) async fn create_server(admin: &Api, new: &NewServer<'_>) -> Played<Server> {
    let allocation = admin
        .allocate(&CreateAllocations {
            node: new.node,
            ip: Ipv4Addr::LOCALHOST.into(),
            port: new.port,
            port_last: None,
            protocol: new.game.protocol(),
            alias: None,
            note: None,
        })
        .await?
        .allocation;
    let mut body = server_body(new);
    body.allocations = vec![allocation];
    admin.create_server(&body).await
}

/// The body that makes a server, still without a port.
pub(crate) fn server_body(new: &NewServer<'_>) -> CreateServer {
    CreateServer {
        name: new.name.to_owned(),
        tenant: new.tenant,
        node: Some(new.node),
        blueprint: new.game.blueprint().to_owned(),
        limits: Limits {
            memory_mib: Mib(new.game.memory_mib()),
            swap_mib: Mib(0),
            cpu_millicores: Millicores(1_000),
            disk_mib: Mib(128),
            pids: 64,
            sharing: mamba_core::server::Sharing::USUAL,
        },
        image: None,
        variables: BTreeMap::from([("SERVER_NAME".to_owned(), new.name.to_owned())]),
        allocations: Vec::new(),
        auto_start: None,
        // The story crashes each server more often than the default policy forgives.
        restart: Some(RestartPolicy { crashes_max: 50, ..RestartPolicy::default() }),
        region: None,
        tags: BTreeSet::new(),
        description: None,
        external_id: None,
        allocation_limit: 0,
        backup_limit: 0,
        skip_scripts: false,
    }
}

/// The wish to start, with the default life.
pub(crate) fn start() -> Power {
    Power { action: PowerAction::Start, expires_in_ms: None }
}

/// Waits until a game answers on its port with its own name.
pub(crate) async fn answers(role: &Role, within: Duration) -> Played {
    until(within, async || {
        let name = role.game.query(role.port).await?;
        ensure(name.as_ref().is_none_or(|name| name.contains(&role.name)), || {
            format!("port {} is answered by `{name:?}`, not `{}`", role.port, role.name)
        })
    })
    .await
}

/// Types a line into a console and returns line and answer.
pub(crate) async fn talk(owner: &Api, role: &Role) -> Played<String> {
    let (line, answer) = role.game.console().ok_or("this game answers nothing")?;
    let ticket = Console::ticket(owner, role.server, true).await?;
    let mut console = Console::open(owner.at(), &ticket).await?;
    console.caught_up().await?;
    console.type_line(line).await?;
    let found = console.line(answer).await?;
    console.close().await?;
    Ok(format!("`{line}` -> `{}` (line {})", found.text, found.n))
}
