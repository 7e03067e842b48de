//! A game in a registry that wants a login: told at the hub, used on the node, and written nowhere.

use crate::{
    acts::cast::{self, NewServer, Role},
    api::Api,
    command::output,
    edge::{Edge, EdgeSettings},
    games::Game,
    hub::Hub,
    registry::{PASSWORD, Registry, USER, forget},
    report::{Played, Report, Stopped, ensure, seconds, until},
    stage::Stage,
};
use mamba_core::lifecycle::NotRunning;
use mamba_wire::api::{
    audit::AuditQuery,
    params::ServerPath,
    registry::{RegistryPath, SetRegistry},
    server::UpdateServer,
    table,
};
use std::{
    fs,
    path::{Path, PathBuf},
    slice,
    time::Duration,
};

/// Longest time until a step is tried again that failed a few times, and until the hub shows how it went.
const TRIED_MAX: Duration = seconds(60);
/// What both passwords of this act begin with.
const MARK: &str = "c4nary";
const WRONG: &str = "c4nary-wrong";

/// One hub, one edge, one game whose image is in a registry.
struct Set {
    registry: Registry,
    hub: Hub,
    edge: Edge,
    admin: Api,
    role: Role,
    image: String,
}

/// Plays all of it. `folder` holds the registry's program and settings.
pub(crate) async fn play(
    report: &mut Report,
    stage: &mut Stage,
    folder: &Path,
) -> Result<(), Stopped> {
    report.act("registry", Vec::new());
    let assembled = assemble(stage, folder);
    let mut set = report.step("a hub, an edge, and a game in a registry", assembled).await?;
    report.act("an image behind a login", vec![set.edge.log.clone(), set.hub.log.clone()]);
    report.step("without a login the game waits and says why", without_login(&set)).await?;
    report.step("so it does with a wrong password", with_wrong_password(&set)).await?;
    report.step("a login set at the hub starts it by itself", with_login(&set)).await?;
    report.step("it restarts without the registry", restart_alone(&mut set)).await?;
    let pulled = pull_without_hub(&mut set);
    report
        .step("the edge pulls it again by itself, with hub and registry away at first", pulled)
        .await?;
    report.check("no password is written anywhere", no_password(&set)).await;
    cast::leave(report, &mut set.hub, slice::from_mut(&mut set.edge)).await
}

async fn assemble(stage: &mut Stage, folder: &Path) -> Played<(Set, String)> {
    let game = Game::Teeworlds;
    let mut registry = Registry::open(stage, "registry", folder).await?;
    let image = registry.hold(&format!("mamba/{}:1", game.blueprint())).await?;
    let (hub, _) = cast::new_hub(stage, "registry").await?;
    let admin = hub.admin().await?;
    let ((tenant, owner), _) = cast::new_tenant(&hub, &admin).await?;
    let settings = EdgeSettings::plain("registry-edge", "10.213.0.0/17");
    let edge = cast::enrolled(stage, &admin, settings).await?;
    let (edge, _) = cast::connected(stage, &admin, edge).await?;
    let (node, name, port) = (edge.node().await?, "registry-teeworlds", stage.port()?);
    let new = NewServer { tenant, node, game, name, port };
    let server = cast::create_server(&admin, &new).await?.server;
    let changed = UpdateServer { image: Some(image.clone()), ..UpdateServer::default() };
    admin.call::<table::UpdateServer>(&ServerPath { server }, &(), &changed).await?;
    owner.power(server, &cast::start()).await?;
    let role = Role { game, name: name.to_owned(), port, edge: 0, server };
    let text = image.clone();
    Ok((Set { registry, hub, edge, admin, role, image }, text))
}

impl Set {
    /// Sets the login for the registry at the hub.
    async fn set_login(&self, password: &str) -> Played {
        let path = RegistryPath { registry: self.registry.host() };
        let body = SetRegistry { user: USER.to_owned(), password: Some(password.to_owned()) };
        self.admin.call::<table::SetRegistry>(&path, &(), &body).await.map(drop)
    }

    /// Waits until the hub shows that the game does not start for a reason with these words.
    async fn waits(&self, words: &str) -> Played<((), String)> {
        until(TRIED_MAX, async || {
            let seen = self.admin.server(self.role.server).await?.observed;
            failed_pull(seen.and_then(|it| it.not_running), words)
        })
        .await
    }

    async fn answers(&self) -> Played {
        cast::answers(&self.role, TRIED_MAX).await
    }
}

/// Returns what the failure says, when it is one of the pull and has these words.
fn failed_pull(not_running: Option<NotRunning>, words: &str) -> Played<((), String)> {
    match not_running {
        Some(NotRunning::StepFailed { step, error, .. })
            if step == "pull image" && error.contains(words) =>
        {
            Ok(((), error))
        }
        other => Err(format!("it does not run for the reason {other:?}").into()),
    }
}

async fn without_login(set: &Set) -> Played<((), String)> {
    set.waits(&format!("no login is set for registry `{}`", set.registry.host())).await
}

async fn with_wrong_password(set: &Set) -> Played<((), String)> {
    set.set_login(WRONG).await?;
    let host = set.registry.host();
    set.waits(&format!("registry `{host}` refused the login that the hub told")).await
}

async fn with_login(set: &Set) -> Played<((), String)> {
    set.set_login(PASSWORD).await?;
    set.answers().await?;
    let container = set.edge.server(&set.role.name).await?.container.ok_or("no container")?;
    let format = "--format={{.Config.Image}}";
    let image = output("docker", &["inspect", format, &container]).await?;
    ensure(image.trim() == set.image, || format!("it runs the image `{}`", image.trim()))?;
    Ok(((), image.trim().to_owned()))
}

async fn restart_alone(set: &mut Set) -> Played<((), String)> {
    set.registry.kill().await?;
    set.edge.must(&["power", &set.role.name, "restart", "--wait", "50"]).await?;
    set.answers().await?;
    Ok(((), String::new()))
}

/// The node has lost the image, its daemon is a new one, and nobody but the registry comes back.
async fn pull_without_hub(set: &mut Set) -> Played<((), String)> {
    set.edge.must(&["power", &set.role.name, "stop", "--wait", "50"]).await?;
    set.hub.kill().await?;
    set.edge.kill().await?;
    forget(&set.image).await?;
    set.edge.start().await?;
    set.edge.must(&["power", &set.role.name, "start"]).await?;
    let waited = until(TRIED_MAX, async || {
        let seen = set.edge.server(&set.role.name).await?.observed;
        failed_pull(seen.not_running, "connection refused")
    })
    .await?;
    set.registry.start().await?;
    set.answers().await?;
    set.hub.start().await?;
    cast::live(&set.admin, set.edge.node().await?).await?;
    Ok(waited)
}

/// Looks at all that a person, a log collector or a copy of the hub's store would get to see.
async fn no_password(set: &Set) -> Played<String> {
    let audit = set.admin.call::<table::ListHubAudit>(&(), &AuditQuery::ALL, &()).await?;
    let count =
        audit.items.iter().filter(|it| format!("{it:?}").contains("registry:update")).count();
    ensure(count == 2, || format!("{count} entries tell of the login"))?;
    let detail = set.edge.server(&set.role.name).await?;
    let container = detail.container.clone().ok_or("no container")?;
    let mut seen = vec![
        ("audit trail".to_owned(), format!("{audit:?}")),
        ("activity".to_owned(), format!("{:?}", set.admin.activity(set.role.server).await?)),
        ("mamba-edge server".to_owned(), format!("{detail:?}")),
        ("mamba-edge facts".to_owned(), format!("{:?}", set.edge.facts(&set.role.name).await?)),
        (
            "docker inspect".to_owned(),
            output("docker", &["inspect", &container, &set.image]).await?,
        ),
    ];
    let mut files = vec![set.edge.log.clone(), set.hub.log.clone()];
    files.extend(files_below(&set.hub.data())?);
    for file in files {
        let text = String::from_utf8_lossy(&fs::read(&file)?).into_owned();
        seen.push((file.display().to_string(), text));
    }
    for (place, text) in &seen {
        ensure(!text.contains(MARK), || format!("{place} has a password"))?;
    }
    Ok(format!("{} places", seen.len()))
}

/// Returns all files below a folder.
fn files_below(folder: &Path) -> Played<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            found.extend(files_below(&entry.path())?);
        } else if kind.is_file() {
            found.push(entry.path());
        }
    }
    Ok(found)
}
