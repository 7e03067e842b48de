//! Everything that has to be refused, with a word about field and rule, and without a trace.

use crate::{
    acts::cast::{self, NewServer, PASSWORD},
    api::Api,
    command,
    edge::{Edge, EdgeSettings},
    games::Game,
    hub::Hub,
    report::{Played, Report, Stopped, ensure, seconds, until},
    stage::Stage,
};
use mamba_core::{
    ids::{NodeId, TenantId},
    lifecycle::NotRunning,
    units::Mib,
};
use mamba_wire::api::{
    Code, LinkState, Problem, allocation::CreateAllocations, params::ServerPath,
    server::CreateServer, table,
};
use std::{fs, net::Ipv4Addr, slice};
use tokio::net::UdpSocket;

/// Malformed datagrams that are thrown at the link.
const DATAGRAMS: usize = 300;

/// One hub, one edge, and somebody who gets everything wrong.
struct Set {
    hub: Hub,
    edge: Edge,
    admin: Api,
    owner: Api,
    tenant: TenantId,
    node: NodeId,
    port: u16,
}

/// Everything that could be half-created.
#[derive(Debug, PartialEq, Eq)]
struct Lists {
    servers: usize,
    nodes: usize,
    allocations: usize,
}

impl Set {
    async fn lists(&self) -> Played<Lists> {
        Ok(Lists {
            servers: self.admin.servers().await?.len(),
            // A good token was used once, to use it again.
            nodes: self.admin.nodes().await?.iter().filter(|it| it.name != "bad-once").count(),
            allocations: self.admin.allocations(self.node).await?.len(),
        })
    }

    /// A body that would make a server if nothing in it was changed.
    fn good(&self) -> CreateServer {
        let (tenant, node, port) = (self.tenant, self.node, self.port);
        cast::server_body(&NewServer { tenant, node, game: Game::Openttd, name: "bad", port })
    }

    /// Asks for a server that breaks one rule; the refusal has to name this field.
    async fn breaks(&self, field: &str, change: impl FnOnce(&mut CreateServer)) -> Played<String> {
        let mut body = self.good();
        change(&mut body);
        let problem =
            self.admin.refused::<table::CreateServer>(&(), &(), &body, Code::Invalid).await?;
        names(&problem, field)
    }
}

/// Returns what a refusal says about a field; fails when it does not name it.
fn names(problem: &Problem, field: &str) -> Played<String> {
    let found = problem.errors.iter().find(|it| it.field == field);
    let found = found.ok_or_else(|| format!("does not name `{field}`: {problem:?}"))?;
    Ok(found.to_string())
}

/// Plays all of it.
pub(crate) async fn play(report: &mut Report, stage: &mut Stage) -> Result<(), Stopped> {
    report.act("bad input", Vec::new());
    let mut set = report.step("a hub and an edge", assemble(stage)).await?;
    report.act("bad input over HTTP", vec![set.hub.log.clone(), set.edge.log.clone()]);
    let before =
        report.step("what there is", async { Ok((set.lists().await?, String::new())) }).await?;
    fields(report, &set).await;
    bodies(report, &set).await;
    callers(report, &set).await;
    report.act("bad nodes and bad packets", vec![set.hub.log.clone(), set.edge.log.clone()]);
    tokens(report, stage, &set).await;
    report.check("random datagrams at the link change nothing", datagrams(&set)).await;
    report.check("a node of another hub is refused", foreign(stage, &set)).await;
    report
        .check("nothing of all that was half-created", async {
            let after = set.lists().await?;
            ensure(before == after, || format!("before {before:?}, after {after:?}"))?;
            Ok(format!("{after:?}"))
        })
        .await;
    report.act("bad nodes' surroundings", vec![set.edge.log.clone()]);
    report
        .check("a port that another program has: the server says so", port_taken(stage, &set))
        .await;
    report.check("a port that another server has", port_of_another(&set)).await;
    report.check("an image that does not exist: the server says so", no_image(stage, &set)).await;
    settings(report, stage, &set).await;
    cast::leave(report, &mut set.hub, slice::from_mut(&mut set.edge)).await
}

async fn assemble(stage: &mut Stage) -> Played<(Set, String)> {
    let (hub, _) = cast::new_hub(stage, "bad").await?;
    let admin = hub.admin().await?;
    let ((tenant, owner), _) = cast::new_tenant(&hub, &admin).await?;
    let settings = EdgeSettings::plain("bad-edge", "10.213.0.0/17");
    let edge = cast::enrolled(stage, &admin, settings).await?;
    let (edge, _) = cast::connected(stage, &admin, edge).await?;
    let node = edge.node().await?;
    let port = stage.port()?;
    admin.allocate(&allocation(node, port)).await?;
    Ok((Set { hub, edge, admin, owner, tenant, node, port }, String::new()))
}

fn allocation(node: NodeId, port: u16) -> CreateAllocations {
    let ip = Ipv4Addr::LOCALHOST.into();
    let protocol = Game::Openttd.protocol();
    CreateAllocations { node, ip, port, port_last: None, protocol, alias: None, note: None }
}

/// Fields that break a rule.
async fn fields(report: &mut Report, set: &Set) {
    let variable = |name: &'static str, value: &'static str| {
        move |body: &mut CreateServer| {
            body.variables.insert(name.to_owned(), value.to_owned());
        }
    };
    report
        .check(
            "a limit below its minimum",
            set.breaks("limits.memory_mib", |it| {
                it.limits.memory_mib = Mib(1);
            }),
        )
        .await;
    report
        .check(
            "a required variable that is empty",
            set.breaks("variables.SERVER_NAME", variable("SERVER_NAME", "")),
        )
        .await;
    report
        .check(
            "a variable that is no number",
            set.breaks("variables.MAX_CLIENTS", variable("MAX_CLIENTS", "many")),
        )
        .await;
    report
        .check(
            "a variable that the blueprint lacks",
            set.breaks("variables.NOPE", variable("NOPE", "1")),
        )
        .await;
    report
        .check(
            "an image that the blueprint lacks",
            set.breaks("image", |it| {
                it.image = Some("nobody/nothing:1".to_owned());
            }),
        )
        .await;
    report.check("an empty name", set.breaks("name", |it| it.name.clear())).await;
    report
        .check(
            "a tenant that does not exist",
            set.breaks("tenant", |it| {
                it.tenant = TenantId::from_bytes([7; 16]);
            }),
        )
        .await;
    report
        .check(
            "an allocation that does not exist",
            set.breaks("allocations.0", |it| {
                it.allocations = vec![mamba_core::ids::AllocationId::from_bytes([7; 16])];
            }),
        )
        .await;
    let twice = async {
        let body = allocation(set.node, set.port);
        let refused =
            set.admin.refused::<table::CreateAllocations>(&(), &(), &body, Code::Invalid).await?;
        names(&refused, "port")
    };
    report.check("an allocation whose port is already taken", twice).await;
}

/// Bodies that are not what they should be.
async fn bodies(report: &mut Report, set: &Set) {
    let unknown = async {
        let mut body = serde_json::to_value(set.good())?;
        body["limits"]["memroy_mib"] = 5.into();
        let body = serde_json::to_vec(&body)?;
        let target = "/api/v1/servers";
        let problem = set.admin.refused_raw("POST", target, Some(&body), Code::Invalid).await?;
        let said = serde_json::to_string(&problem.errors)?;
        ensure(said.contains("memroy_mib"), || format!("does not name the field: {problem:?}"))?;
        Ok(said)
    };
    report.check("a field that does not exist", unknown).await;
    let large = async {
        let body = vec![b' '; mamba_wire::api::BODY_BYTES_MAX + 1];
        let target = "/api/v1/servers";
        Ok(set.admin.refused_raw("POST", target, Some(&body), Code::TooLarge).await?.detail)
    };
    report.check("a body over the limit", large).await;
    let broken = async {
        let target = "/api/v1/servers";
        Ok(set
            .admin
            .refused_raw("POST", target, Some(b"{\"name\": "), Code::Malformed)
            .await?
            .detail)
    };
    report.check("a body that is not JSON", broken).await;
    let query = async {
        let target = "/api/v1/servers?limit=none";
        let problem = set.admin.refused_raw("GET", target, None, Code::Invalid).await?;
        let said = serde_json::to_string(&problem.errors)?;
        ensure(said.contains("limit"), || format!("does not name the parameter: {problem:?}"))?;
        Ok(said)
    };
    report.check("a query parameter that is no number", query).await;
}

/// Callers who may not.
async fn callers(report: &mut Report, set: &Set) {
    let anonymous = async {
        let nobody = Api::anonymous(set.hub.http);
        Ok(nobody.refused_raw("GET", "/api/v1/nodes", None, Code::NotSignedIn).await?.detail)
    };
    report.check("nobody is signed in", anonymous).await;
    let wrong = async {
        let body = br#"{"email": "admin@hub.example", "password": "not the password"}"#;
        let target = "/api/v1/auth/login";
        let nobody = Api::anonymous(set.hub.http);
        Ok(nobody.refused_raw("POST", target, Some(body), Code::WrongCredentials).await?.detail)
    };
    report.check("a wrong password", wrong).await;
    let owner = async {
        let body = set.good();
        let refused = set.owner.refused::<table::CreateServer>(&(), &(), &body, Code::Forbidden);
        Ok(refused.await?.detail)
    };
    report.check("an owner does what only administrators may", owner).await;
    let foreign = async {
        let email = "other@tenant.example";
        set.admin.create_tenant("Other", email, PASSWORD).await?;
        let other = Api::login(set.hub.http, email, PASSWORD).await?;
        let path = ServerPath { server: mamba_core::ids::ServerId::from_bytes([7; 16]) };
        let missing = other.refused::<table::ShowServer>(&path, &(), &(), Code::NotFound).await?;
        Ok(missing.detail)
    };
    report.check("a server that is not there", foreign).await;
}

/// Join tokens that do not work.
async fn tokens(report: &mut Report, stage: &Stage, set: &Set) {
    let stranger = |name: &'static str| {
        stage.fresh_dir(name)?;
        Edge::prepare(stage, EdgeSettings::plain(name, "10.213.128.0/17"))
    };
    let refusal = async |token: &str| -> Played<String> {
        let edge = stranger("bad-stranger")?;
        let ended = edge.enrol(token).await?;
        ensure(ended.code != Some(0), || "the token was accepted".to_owned())?;
        ensure(!ended.stderr.trim().is_empty(), || "refused without a word".to_owned())?;
        Ok(ended.stderr.trim().to_owned())
    };
    let used = async {
        let token = set.admin.join_token("bad-once").await?.token;
        // Another secret for the same hub: characters of the middle are changed.
        let unknown = token.replacen(
            &token[20..24],
            if &token[20..24] == "AAAA" { "BBBB" } else { "AAAA" },
            1,
        );
        let unknown = refusal(&unknown).await?;
        let first = stranger("bad-once")?;
        let ended = first.enrol(&token).await?;
        ensure(ended.code == Some(0), || ended.stderr.clone())?;
        let again = refusal(&token).await?;
        ensure(again == unknown, || format!("used: `{again}`, unknown: `{unknown}`"))?;
        Ok(again)
    };
    report.check("a used token answers like an unknown one", used).await;
    report.check("a token cut short", refusal("mamba1.abcd")).await;
    report.check("something else than a token", refusal("hello")).await;
}

/// Throws noise at the hub's UDP port.
async fn datagrams(set: &Set) -> Played<String> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    socket.connect((Ipv4Addr::LOCALHOST, set.hub.link_port)).await?;
    // A fixed sequence with all sizes and first bytes; QUIC tells packets apart by the first byte.
    let mut state = 0x9e37_79b9_u32;
    for index in 0..DATAGRAMS {
        let mut packet = vec![0; index * 4 + 1];
        for byte in &mut packet {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *byte = state.to_be_bytes()[0];
        }
        socket.send(&packet).await?;
    }
    cast::live(&set.admin, set.node).await?;
    ensure(set.edge.link().await?.up, || "the link went down".to_owned())?;
    Ok(format!("{DATAGRAMS} datagrams"))
}

/// An edge that joined another hub dials this one.
async fn foreign(stage: &mut Stage, set: &Set) -> Played<String> {
    let (mut other, _) = cast::new_hub(stage, "bad-other").await?;
    let admin = other.admin().await?;
    let settings = EdgeSettings::plain("bad-foreign", "10.213.128.0/17");
    let mut edge = cast::enrolled(stage, &admin, settings).await?;
    edge.write_config(&format!("hub = [\"127.0.0.1:{}\"]\n", set.hub.link_port))?;
    edge.start().await?;
    let node = edge.node().await?;
    let said = until(seconds(30), async || {
        let link = edge.link().await?;
        ensure(!link.up, || "the link is up".to_owned())?;
        Ok(link.last_error.ok_or("the link tells no error yet")?)
    })
    .await?;
    let known = set.admin.nodes().await?.iter().any(|it| it.node == node);
    ensure(!known, || "the hub lists the foreign node".to_owned())?;
    edge.stop().await?;
    other.stop().await?;
    Ok(said)
}

/// Makes and starts a server, and waits until the hub shows why it does not run.
async fn cannot_start(stage: &Stage, set: &Set, new: &NewServer<'_>) -> Played<String> {
    let server = cast::create_server(&set.admin, new).await?.server;
    set.owner.power(server, &cast::start()).await?;
    stage.note_node(&set.node.to_string())?;
    let (step, error) = until(seconds(90), async || {
        let shown = set.owner.server(server).await?;
        ensure(shown.freshness.link == LinkState::Live, || "node is not live".to_owned())?;
        match shown.observed.and_then(|it| it.not_running) {
            Some(NotRunning::StepFailed { step, error, .. }) => Ok((step, error)),
            other => Err(format!("not running because of {other:?}").into()),
        }
    })
    .await?;
    set.edge.must(&["power", new.name, "stop"]).await?;
    Ok(format!("could not {step}: {error}"))
}

async fn port_taken(stage: &mut Stage, set: &Set) -> Played<String> {
    let port = stage.port()?;
    let _taken = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    let game = Game::Openttd;
    let new = NewServer { tenant: set.tenant, node: set.node, game, name: "bad-port", port };
    let said = cannot_start(stage, set, &new).await?;
    ensure(said.contains(&port.to_string()), || format!("does not name port {port}: {said}"))?;
    Ok(said)
}

async fn port_of_another(set: &Set) -> Played<String> {
    let taken = set.admin.allocations(set.node).await?;
    let taken = taken.iter().find(|it| it.server.is_some()).ok_or("no allocation is taken")?;
    let said = set.breaks("allocations.0", |it| it.allocations = vec![taken.allocation]).await?;
    ensure(said.contains(&taken.port.to_string()), || format!("does not name the port: {said}"))?;
    Ok(said)
}

async fn no_image(stage: &mut Stage, set: &Set) -> Played<String> {
    let port = stage.port()?;
    let game = Game::Teeworlds;
    let image = "mamba/teeworlds:1";
    let _hidden = HiddenImage::hide(image).await?;
    let new = NewServer { tenant: set.tenant, node: set.node, game, name: "bad-image", port };
    let said = cannot_start(stage, set, &new).await?;
    ensure(said.contains(image), || format!("does not name `{image}`: {said}"))?;
    Ok(said)
}

/// An image under another name for a while.
struct HiddenImage {
    image: &'static str,
}

impl HiddenImage {
    const ASIDE: &'static str = "mamba/hidden:story";

    async fn hide(image: &'static str) -> Played<Self> {
        command::output("docker", &["tag", image, Self::ASIDE]).await?;
        let hidden = Self { image };
        command::output("docker", &["image", "rm", image]).await?;
        Ok(hidden)
    }
}

impl Drop for HiddenImage {
    fn drop(&mut self) {
        command::output_now("docker", &["tag", Self::ASIDE, self.image]);
        command::output_now("docker", &["image", "rm", Self::ASIDE]);
    }
}

/// Settings files with mistakes, and daemons that come second.
async fn settings(report: &mut Report, stage: &Stage, set: &Set) {
    let bad = stage.path("bad.toml");
    let hub = async {
        fs::write(
            &bad,
            "data_dir = \"/nowhere\"\npublic_link_address = \"a:1\"\nhttp_lisen = \"x\"\n",
        )?;
        let said = set.hub.refused(&bad).await?.stderr;
        ensure(said.contains("line 3") && said.contains("http_lisen"), || said.clone())?;
        Ok(said.trim().to_owned())
    };
    report.check("a hub's settings with an unknown key", hub).await;
    let edge = async {
        fs::write(&bad, "log = \"info\"\n\nstarts_at_once = 0\n")?;
        let said = set.edge.refused(&bad).await?.stderr;
        ensure(said.contains("line 3") && said.contains("starts_at_once"), || said.clone())?;
        Ok(said.trim().to_owned())
    };
    report.check("an edge's settings with a number out of range", edge).await;
    let second = async {
        let said = set.hub.refused(&set.hub.config).await?.stderr;
        ensure(said.contains("in use"), || said.clone())?;
        Ok(last(&said))
    };
    report.check("a second hub on the same data", second).await;
    let second = async {
        let said = set.edge.refused(&set.edge.config).await?.stderr;
        ensure(said.contains("in use"), || said.clone())?;
        Ok(last(&said))
    };
    report.check("a second edge on the same data", second).await;
}

fn last(text: &str) -> String {
    text.trim().lines().last().unwrap_or_default().to_owned()
}
