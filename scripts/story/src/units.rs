//! Both daemons as systemd runs them. Plays on a machine of its own whose first process is systemd:
//! `scripts/units` makes one.

use crate::{
    acts::cast::{self, NewServer, Role},
    api::Api,
    command::{output, run},
    games::Game,
    http::{self, Request},
    hub::ADMIN,
    report::{Played, Report, Stopped, ensure, seconds, until},
    stage::Stage,
};
use mamba_core::ids::NodeId;
use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

const HUB: &str = "mamba-hub";
const EDGE: &str = "mamba-edge";
const PASSWORD: &str = "units are played with systemd";
/// Where the hub's user can read it.
const PASSWORD_FILE: &str = "/run/mamba-password";
/// Game networks of this play: those of the other plays are elsewhere.
const NETWORK_POOL: &str = "10.219.0.0/16";
/// Longest time until a daemon that was started serves.
const SERVES_WITHIN: Duration = seconds(40);
/// Where Prometheus' node exporter reads text files.
const NUMBERS: &str = "/var/lib/prometheus/node-exporter";
/// Most that `systemd-analyze security` may find open, in tenths: 0 is closed, 100 is open.
const HUB_EXPOSURE_MAX: u32 = 20;
/// The edge gives files away and reads what belongs to others.
const EDGE_EXPOSURE_MAX: u32 = 40;
/// What a daemon logs when the unit took away something that it needs.
const COMPLAINTS: [&str; 5] = [
    " ERROR ",
    "Operation not permitted",
    "Permission denied",
    "Read-only file system",
    "Address family not supported",
];

/// What was put there by `scripts/units`.
#[derive(Debug, clap::Args)]
pub(crate) struct UnitsArgs {
    /// The script that installs a daemon
    #[arg(long)]
    install: PathBuf,
    /// Socket of the Docker Engine
    #[arg(long)]
    docker_socket: PathBuf,
}

/// Plays everything; what failed is in the report.
pub(crate) async fn play(report: &mut Report, stage: &mut Stage, args: &UnitsArgs) {
    if let Err(Stopped) = all(report, stage, args).await {
        report.say("       the rest was not played");
        for unit in [HUB, EDGE] {
            let said = journal(unit).await.unwrap_or_default();
            for line in said.lines().rev().take(15).collect::<Vec<_>>().into_iter().rev() {
                report.say(&format!("         {line}"));
            }
        }
    }
}

async fn all(report: &mut Report, stage: &mut Stage, args: &UnitsArgs) -> Result<(), Stopped> {
    report.act("installing", Vec::new());
    let ports = async {
        let ports = (stage.port()?, stage.port()?, stage.port()?);
        Ok((ports, format!("{ports:?}")))
    };
    let (http, link, game) = report.step("three free ports", ports).await?;
    let at = SocketAddr::from((Ipv4Addr::LOCALHOST, http));
    let install = install(stage, args, at, link);
    report.step("programs and units are put in place, twice", install).await?;
    report.check("systemd finds nothing wrong with the units", verified()).await;

    report.act("running", Vec::new());
    let started = async {
        systemctl(&["enable", "--now", HUB]).await?;
        serves(at).await?;
        let uid = uid_of(main_pid(HUB).await?)?;
        ensure(uid != 0, || "it runs as root".to_owned())?;
        Ok((Api::login(at, ADMIN, PASSWORD).await?, format!("as user {uid}")))
    };
    let admin = report.step("the hub serves, not as root", started).await?;
    let (node, role) = node_and_game(report, stage, &admin, game).await?;

    report.act("killed, reloaded, stopped", Vec::new());
    let reloaded = async {
        let before = main_pid(HUB).await?;
        systemctl(&["reload", HUB]).await?;
        serves(at).await?;
        let after = main_pid(HUB).await?;
        ensure(before == after, || format!("process {before} became {after}"))?;
        Ok("the same process".to_owned())
    };
    report.check("the hub is reloaded", reloaded).await;
    for unit in [HUB, EDGE] {
        let back = async {
            let before = main_pid(unit).await?;
            output("kill", &["-KILL", &before.to_string()]).await?;
            until(SERVES_WITHIN, async || {
                let after = main_pid(unit).await?;
                ensure(after != before && after != 0, || "it is still down".to_owned())
            })
            .await?;
            serves(at).await?;
            cast::live(&admin, node).await?;
            cast::answers(&role, seconds(10)).await?;
            Ok(String::new())
        };
        report.check(&format!("{unit} is killed and back, the game runs on"), back).await;
    }
    let stopped = async {
        systemctl(&["stop", EDGE]).await?;
        let result = property(EDGE, "Result").await?;
        ensure(result == "success", || format!("it ended with `{result}`"))?;
        cast::answers(&role, seconds(10)).await?;
        systemctl(&["start", EDGE]).await?;
        cast::live(&admin, node).await?;
        Ok(String::new())
    };
    report.check("the edge is stopped and started, the game runs on", stopped).await;
    let hub_stopped = async {
        systemctl(&["stop", HUB]).await?;
        let result = property(HUB, "Result").await?;
        ensure(result == "success", || format!("it ended with `{result}`"))?;
        Ok(String::new())
    };
    report.check("the hub is stopped in order", hub_stopped).await;
    for unit in [HUB, EDGE] {
        report.check(&format!("{unit} lacked nothing"), lacked_nothing(unit)).await;
    }
    Ok(())
}

/// Writes settings and installs, twice.
async fn install(
    stage: &Stage,
    args: &UnitsArgs,
    http: SocketAddr,
    link_port: u16,
) -> Played<((), String)> {
    fs::create_dir_all("/etc/mamba")?;
    let link = SocketAddr::from((Ipv4Addr::LOCALHOST, link_port));
    fs::write(
        "/etc/mamba/hub.toml",
        format!(
            "data_dir = \"/var/lib/mamba-hub\"\nhttp_listen = \"{http}\"\nlink_listen = \"{link}\"\n\
             public_link_address = \"{link}\"\npublic_url = \"http://{http}\"\n"
        ),
    )?;
    let data = stage.path("edge");
    fs::write(
        "/etc/mamba/edge.toml",
        format!(
            "data_dir = \"{}\"\ndocker_socket = \"{}\"\nnetwork_pool = \"{NETWORK_POOL}\"\n",
            data.display(),
            args.docker_socket.display(),
        ),
    )?;
    // Data on a disk of its own, as an operator gives it. Games of this machine's engine find it there.
    fs::create_dir_all(&data)?;
    let more = Path::new("/etc/systemd/system/mamba-edge.service.d");
    fs::create_dir_all(more)?;
    fs::write(more.join("data.conf"), format!("[Service]\nReadWritePaths={}\n", data.display()))?;
    let script = args.install.to_string_lossy();
    let (hub, edge) =
        (stage.programs().hub.to_string_lossy(), stage.programs().edge.to_string_lossy());
    let mut said = String::new();
    for _ in 0..2 {
        said = output(&script, &["hub", &hub]).await?;
        output(&script, &["edge", &edge]).await?;
    }
    fs::write(PASSWORD_FILE, PASSWORD)?;
    let words = ["--reuid", HUB, "--regid", HUB, "--clear-groups", HUB, "init", "--admin", ADMIN];
    output("setpriv", &[words.as_slice(), &["--password-file", PASSWORD_FILE]].concat()).await?;
    Ok(((), said.lines().next().unwrap_or_default().to_owned()))
}

/// Asks systemd about the units themselves.
async fn verified() -> Played<String> {
    let mut exposures = Vec::new();
    for (unit, most) in [(HUB, HUB_EXPOSURE_MAX), (EDGE, EDGE_EXPOSURE_MAX)] {
        let unit = format!("{unit}.service");
        let verified = run("systemd-analyze", &["verify", &unit]).await?;
        let said = verified.stderr.trim();
        ensure(verified.code == Some(0) && said.is_empty(), || said.to_owned())?;
        let threshold = format!("--threshold={most}");
        let said =
            output("systemd-analyze", &["security", "--no-pager", &threshold, &unit]).await?;
        let last = said.lines().rfind(|line| line.contains("exposure level"));
        exposures.push(last.unwrap_or_default().trim_start_matches(['→', ' ']).to_owned());
    }
    Ok(exposures.join("; "))
}

/// Enrols the machine as a node and starts a game on it.
async fn node_and_game(
    report: &mut Report,
    stage: &Stage,
    admin: &Api,
    port: u16,
) -> Result<(NodeId, Role), Stopped> {
    let enrolled = async {
        let token = admin.join_token("units").await?.token;
        output(EDGE, &["enrol", &token]).await?;
        systemctl(&["enable", "--now", EDGE]).await?;
        let nodes = admin.nodes().await?;
        let node = nodes.first().ok_or("the hub lists no node")?.node;
        // For `scripts/units`: here is no command line of the engine that could remove the game.
        fs::write(stage.path("node"), format!("{node}\n"))?;
        cast::live(admin, node).await?;
        Ok((node, String::new()))
    };
    let node = report.step("the edge enrols and is connected", enrolled).await?;
    let doctor = async { Ok(output(EDGE, &["doctor"]).await?.trim().replace('\n', "; ")) };
    report.check("the local command line answers, the doctor finds nothing", doctor).await;
    let numbers = async {
        fs::create_dir_all(NUMBERS)?;
        systemctl(&["start", "mamba-edge-metrics.service"]).await?;
        let text = fs::read_to_string(Path::new(NUMBERS).join("mamba.prom"))?;
        ensure(text.contains("\nmamba_edge_link_up 1\n"), || text.clone())?;
        Ok(format!("{} lines", text.lines().count()))
    };
    report.check("its numbers are there for Prometheus", numbers).await;
    let game = async {
        let tenant = admin.create_tenant("Units", "owner@tenant.example", PASSWORD).await?.tenant;
        let (name, game) = ("units", Game::Openttd);
        let new = NewServer { tenant, node, game, name, port };
        let server = cast::create_server(admin, &new).await?.server;
        admin.power(server, &cast::start()).await?;
        let role = Role { game, name: name.to_owned(), port, edge: 0, server };
        cast::answers(&role, seconds(90)).await?;
        let said = cast::talk(admin, &role).await?;
        Ok((role, said))
    };
    Ok((node, report.step("a game runs and its console answers", game).await?))
}

/// Looks for words that say that the unit took away something.
async fn lacked_nothing(unit: &str) -> Played<String> {
    let said = journal(unit).await?;
    let found = said.lines().find(|line| COMPLAINTS.iter().any(|it| line.contains(it)));
    ensure(found.is_none(), || found.unwrap_or_default().to_owned())?;
    Ok(format!("{} lines in its journal", said.lines().count()))
}

async fn serves(http: SocketAddr) -> Played {
    until(SERVES_WITHIN, async || {
        let request = Request { method: "GET", target: "/healthz", token: None, body: None };
        let status = http::send(http, &request).await?.status;
        ensure(status == 200, || format!("/healthz answers {status}"))
    })
    .await
}

async fn systemctl(words: &[&str]) -> Played {
    output("systemctl", words).await.map(drop)
}

async fn journal(unit: &str) -> Played<String> {
    output("journalctl", &["--no-pager", "--output=cat", "--unit", unit]).await
}

async fn property(unit: &str, name: &str) -> Played<String> {
    let said = output("systemctl", &["show", "--property", name, "--value", unit]).await?;
    Ok(said.trim().to_owned())
}

/// Returns the first process of a unit; 0 when it is down.
async fn main_pid(unit: &str) -> Played<u32> {
    Ok(property(unit, "MainPID").await?.parse()?)
}

/// Returns the user that a process runs as.
fn uid_of(pid: u32) -> Played<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    let first = line.and_then(|it| it.split_whitespace().next()).ok_or("a process has no user")?;
    Ok(first.parse()?)
}
