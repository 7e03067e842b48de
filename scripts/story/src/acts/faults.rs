//! Everything that breaks around an edge: it says exactly that, keeps what can be kept running, and
//! recovers by itself.

use crate::{
    acts::cast::{self, NewServer, Role},
    api::Api,
    command::output,
    daemon,
    docker::{self, Container},
    edge::{Edge, EdgeSettings},
    games::Game,
    hub::Hub,
    report::{Played, Report, Stopped, ensure, seconds, until},
    stage::Stage,
};
use mamba_core::{ids::NodeId, lifecycle::ServerState};
use mamba_wire::node::CheckLevel;
use std::{
    fs::{self, OpenOptions},
    io::{Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    slice,
    time::Duration,
};

/// Size of the file system that holds the edge's data.
const DISK_MIB: u64 = 256;
/// Shifts the wall clock that the daemon reads, in milliseconds: the machine's own stays right.
const CLOCK_OFFSET: &str = "MAMBA_TEST_WALL_OFFSET_MS";
/// Ten years.
const TEN_YEARS_MS: i64 = 3_652 * 86_400_000;
/// Longest time until a fault is noticed, and until its end is.
const NOTICED_MAX: Duration = seconds(45);

/// One hub, one edge on a disk and behind a socket that can fail, one game.
struct Set {
    hub: Hub,
    edge: Edge,
    admin: Api,
    node: NodeId,
    role: Role,
    /// The edge's disk, a file.
    image: PathBuf,
    /// Mount point of the edge's disk.
    disk: PathBuf,
    /// Link that the edge finds the engine's socket by.
    socket: PathBuf,
}

/// Plays all of it.
pub(crate) async fn play(report: &mut Report, stage: &mut Stage) -> Result<(), Stopped> {
    report.act("faults", Vec::new());
    let mut set = report.step("a hub, an edge and a game", assemble(stage)).await?;
    report.act("faults of the surroundings", vec![set.edge.log.clone(), set.hub.log.clone()]);
    report.check("the engine cannot be reached", engine_away(&mut set)).await;
    report
        .check("the engine cannot be reached when the edge starts", engine_away_at_start(&mut set))
        .await;
    report.check("the disk is full", disk_full(&mut set)).await;
    report.check("the disk is full when the edge starts", disk_full_at_start(&mut set)).await;
    report.check("the disk is read-only when the edge starts", disk_read_only(&mut set)).await;
    report.check("the disk fails and becomes read-only", disk_fails(&mut set)).await;
    let since_1970 = until_now_ms().map(|ms| -ms);
    let in_1970 = async { wrong_clock(&mut set, since_1970?, Line::Works).await };
    report.check("the clock says 1970, and the node connects", in_1970).await;
    // The hub's certificate has expired by then, as far as the edge can know.
    let ahead = wrong_clock(&mut set, TEN_YEARS_MS, Line::Fails);
    report.check("the clock is ten years ahead", ahead).await;
    report.check("the store is from a newer version", newer_store(&mut set)).await;
    report.check("the store is corrupt", corrupt_store(&mut set)).await;
    cast::leave(report, &mut set.hub, slice::from_mut(&mut set.edge)).await
}

async fn assemble(stage: &mut Stage) -> Played<(Set, String)> {
    let (hub, _) = cast::new_hub(stage, "faults").await?;
    let admin = hub.admin().await?;
    let ((tenant, owner), _) = cast::new_tenant(&hub, &admin).await?;
    let disk = stage.fresh_dir("faults-disk")?;
    let image = stage.path("faults-disk.img");
    fs::File::create(&image)?.set_len(DISK_MIB << 20)?;
    output("mkfs.ext4", &["-q".as_ref(), "-F".as_ref(), image.as_os_str()]).await?;
    mount(&image, &disk).await?;
    let socket = stage.fresh_dir("faults-socket")?.join("docker.sock");
    std::os::unix::fs::symlink("/var/run/docker.sock", &socket)?;
    let settings = EdgeSettings {
        docker_socket: socket.clone(),
        data: Some(disk.join("data")),
        ..EdgeSettings::plain("faults-edge", "10.213.0.0/17")
    };
    let edge = cast::enrolled(stage, &admin, settings).await?;
    let (edge, _) = cast::connected(stage, &admin, edge).await?;
    let node = edge.node().await?;
    let (game, name, port) = (Game::Openttd, "faults-openttd", stage.port()?);
    let new = NewServer { tenant, node, game, name, port };
    let server = cast::create_server(&admin, &new).await?.server;
    owner.power(server, &cast::start()).await?;
    let role = Role { game, name: name.to_owned(), port, edge: 0, server };
    cast::answers(&role, seconds(60)).await?;
    Ok((Set { hub, edge, admin, node, role, image, disk, socket }, String::new()))
}

/// Mounts the edge's disk.
async fn mount(image: &Path, disk: &Path) -> Played {
    let options = ["-o".as_ref(), "loop,errors=remount-ro".as_ref()];
    let args = [options.as_slice(), &[image.as_os_str(), disk.as_os_str()]].concat();
    output("mount", &args).await.map(drop)
}

impl Set {
    async fn container(&self) -> Played<Container> {
        let id = self.edge.server(&self.role.name).await?.container.ok_or("no container")?;
        docker::inspect(&id).await
    }

    /// Waits until the doctor or, when the daemon has ended, its last words contain one of `words`.
    async fn says(&mut self, words: &[&str]) -> Played<String> {
        let edge = &mut self.edge;
        until(NOTICED_MAX, async || {
            let is_it = |text: &str| {
                let text = text.to_lowercase();
                words.iter().any(|word| text.contains(word))
            };
            if edge.ended(Duration::from_millis(1)).await.is_ok() {
                let said = daemon::last_line(&edge.log);
                ensure(is_it(&said), || format!("daemon ended with the words `{said}`"))?;
                return Ok(said);
            }
            let checks = edge.doctor().await?;
            let bad = |level: CheckLevel| level != CheckLevel::Ok;
            let found = checks.iter().find(|it| bad(it.level) && is_it(&it.text));
            let found = found.map(|it| format!("{}: {}", it.name, it.text));
            Ok(found.ok_or_else(|| format!("the doctor finds {checks:?}"))?)
        })
        .await
    }

    /// Waits until the doctor finds no failure, and the game runs in the same process as before. A
    /// daemon that has ended is started again, as a service manager does.
    async fn recovers(&mut self, before: &Container) -> Played {
        if !self.edge.is_running() {
            self.edge.start().await?;
        }
        until(NOTICED_MAX, async || {
            let checks = self.edge.doctor().await?;
            let failure = checks.iter().find(|it| it.level == CheckLevel::Fail);
            ensure(failure.is_none(), || format!("the doctor still finds {failure:?}"))?;
            let seen = self.edge.server(&self.role.name).await?.observed;
            ensure(seen.state == ServerState::Running, || format!("{:?}", seen.not_running))?;
            let after = self.container().await?;
            ensure(*before == after, || format!("before {before:?}, after {after:?}"))
        })
        .await?;
        cast::live(&self.admin, self.edge.node().await?).await
    }

    async fn answers(&self) -> Played {
        cast::answers(&self.role, seconds(10)).await
    }
}

/// The socket goes away under a running daemon.
async fn engine_away(set: &mut Set) -> Played<String> {
    let before = set.container().await?;
    let aside = set.socket.with_extension("aside");
    fs::rename(&set.socket, &aside)?;
    let said = set.says(&["engine", "docker.sock"]).await;
    let answers = set.answers().await;
    fs::rename(&aside, &set.socket)?;
    let said = said?;
    answers?;
    set.recovers(&before).await?;
    let restart = ["power", &set.role.name, "restart", "--wait", "50"];
    set.edge.must(&restart).await?;
    set.answers().await?;
    Ok(said)
}

/// The socket is not there yet when the daemon starts.
async fn engine_away_at_start(set: &mut Set) -> Played<String> {
    let before = set.container().await?;
    set.edge.kill().await?;
    let aside = set.socket.with_extension("aside");
    fs::rename(&set.socket, &aside)?;
    set.edge.spawn()?;
    let said = set.says(&["engine", "docker.sock"]).await;
    fs::rename(&aside, &set.socket)?;
    let said = said?;
    set.recovers(&before).await?;
    Ok(said)
}

/// The file system fills up under a running daemon.
async fn disk_full(set: &mut Set) -> Played<String> {
    let before = set.container().await?;
    let filler = set.disk.join("filler");
    fill(&filler)?;
    let said = set.says(&["the disk is full"]).await;
    let answers = set.answers().await;
    fs::remove_file(&filler)?;
    let said = said?;
    answers?;
    set.recovers(&before).await?;
    Ok(said)
}

/// The file system is full when the daemon starts, and a game crashes meanwhile.
async fn disk_full_at_start(set: &mut Set) -> Played<String> {
    let before = set.container().await?;
    let filler = set.disk.join("filler");
    fill(&filler)?;
    set.edge.kill().await?;
    let started = set.edge.start().await;
    let said = set.says(&["the disk is full"]).await;
    let crashed = docker::kill(slice::from_ref(&before.id)).await;
    let back = cast::answers(&set.role, seconds(30)).await;
    fs::remove_file(&filler)?;
    started?;
    let said = said?;
    crashed?;
    back?;
    let after = set.container().await?;
    set.recovers(&after).await?;
    Ok(format!("{said}; a crashed game is back all the same"))
}

/// Writes until nothing more fits.
pub(crate) fn fill(path: &Path) -> Played {
    let mut file = fs::File::create(path)?;
    let mut chunk = vec![0; 1 << 20];
    while !chunk.is_empty() {
        if file.write_all(&chunk).is_err() {
            // What does not fit in one piece may fit in two.
            chunk.truncate(chunk.len() / 2);
        }
    }
    Ok(())
}

/// The file system is read-only when the daemon starts, and is made writable under it. Until then the
/// local socket cannot be made, so the hub is asked.
async fn disk_read_only(set: &mut Set) -> Played<String> {
    let before = set.container().await?;
    set.edge.kill().await?;
    let point = set.disk.to_string_lossy().into_owned();
    output("mount", &["-o", "remount,ro", &point]).await?;
    set.edge.spawn()?;
    let said = until(NOTICED_MAX, async || {
        let nodes = set.admin.nodes().await?;
        let node = nodes.into_iter().find(|it| it.node == set.node).ok_or("no such node")?;
        let troubles = node.machine.map(|it| it.troubles).unwrap_or_default();
        let found = troubles.iter().find(|it| it.contains("read-only"));
        Ok(found.ok_or_else(|| format!("the hub knows of {troubles:?}"))?.clone())
    })
    .await;
    let answers = set.answers().await;
    output("mount", &["-o", "remount,rw", &point]).await?;
    let said = said?;
    answers?;
    set.recovers(&before).await?;
    Ok(said)
}

/// The file system finds an error in itself and refuses writes from then on, under a running daemon.
/// What follows is what an operator does: end the game, check the disk, mount it again.
async fn disk_fails(set: &mut Set) -> Played<String> {
    let point = set.disk.to_string_lossy().into_owned();
    output("mount", &["-o", "remount,abort", &point]).await?;
    // Something to write; whether it is accepted is not the question.
    set.edge.cli(&["power", &set.role.name, "start"]).await?;
    let said = set.says(&["read-only", "read only"]).await?;
    set.answers().await?;
    set.edge.kill().await?;
    docker::remove_all_now(&set.node.to_string());
    output("umount", &[&point]).await?;
    // Ends with 1 when it repaired something.
    crate::command::run("e2fsck", &["-p".as_ref(), set.image.as_os_str()]).await?;
    mount(&set.image, &set.disk).await?;
    set.edge.start().await?;
    cast::answers(&set.role, seconds(30)).await?;
    let after = set.container().await?;
    set.recovers(&after).await?;
    Ok(said)
}

/// Whether a node with a wrong clock can prove who the hub is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    Works,
    Fails,
}

/// The wall clock is wrong when the daemon starts: it goes by hub time, kept on the boot clock.
async fn wrong_clock(set: &mut Set, offset_ms: i64, line: Line) -> Played<String> {
    let before = set.container().await?;
    let right = set.edge.status().await?.now;
    set.edge.stop().await?;
    set.edge.settings.env = vec![(CLOCK_OFFSET.to_owned(), offset_ms.to_string())];
    set.edge.start().await?;
    let node = set.edge.node().await?;
    let live = match line {
        Line::Works => cast::live(&set.admin, node).await,
        Line::Fails => Ok(()),
    };
    let said = set.says(&["clock", "system says"]).await;
    let now = set.edge.status().await?.now;
    let answers = set.answers().await;
    set.edge.stop().await?;
    set.edge.settings.env.clear();
    set.edge.start().await?;
    live?;
    let said = said?;
    answers?;
    let minutes = now.0.abs_diff(right.0) / 60_000;
    ensure(minutes < 10, || format!("the node's calendar is {minutes} minutes off: {now}"))?;
    set.recovers(&before).await?;
    Ok(said)
}

/// Milliseconds from 1970 to now, from the file system's clock.
fn until_now_ms() -> Played<i64> {
    let probe = std::env::temp_dir().join(format!("mamba-story-{}", std::process::id()));
    fs::write(&probe, "")?;
    let made = fs::metadata(&probe)?.modified()?;
    fs::remove_file(&probe)?;
    let since = made.duration_since(std::time::UNIX_EPOCH)?;
    Ok(i64::try_from(since.as_millis())?)
}

/// The data directory says that a newer release wrote it.
async fn newer_store(set: &mut Set) -> Played<String> {
    let before = set.container().await?;
    set.edge.kill().await?;
    let format = set.edge.data().join("FORMAT");
    let was = fs::read_to_string(&format)?;
    fs::write(&format, "mamba edge 4711\n")?;
    set.edge.spawn()?;
    let said = set.says(&["version 4711"]).await;
    let answers = set.answers().await;
    let kept = fs::read_to_string(&format)?;
    fs::write(&format, was)?;
    let said = said?;
    answers?;
    ensure(kept == "mamba edge 4711\n", || format!("FORMAT was changed to `{kept}`"))?;
    set.recovers(&before).await?;
    Ok(said)
}

/// The store's file holds garbage: it is kept aside, and the node comes back from hub and engine.
async fn corrupt_store(set: &mut Set) -> Played<String> {
    let before = set.container().await?;
    set.edge.kill().await?;
    let store = set.edge.data().join("store.redb");
    let length = fs::metadata(&store)?.len();
    let mut file = OpenOptions::new().write(true).open(&store)?;
    // Everything but the first page, which says what kind of file it is.
    const PAGE: u64 = 4_096;
    file.seek(SeekFrom::Start(PAGE))?;
    let garbage: Vec<u8> =
        (0..length - PAGE).map(|at| u8::try_from(at % 251).unwrap_or(0)).collect();
    file.write_all(&garbage)?;
    drop(file);
    set.edge.spawn()?;
    let noticed = until(NOTICED_MAX, async || {
        let text = fs::read_to_string(&set.edge.log)?;
        let line = text.lines().rev().find(|line| {
            let line = line.to_lowercase();
            line.contains("damaged") || line.contains("corrupt")
        });
        Ok(line.ok_or("the log says nothing of a damaged store")?.to_owned())
    })
    .await?;
    set.answers().await?;
    set.recovers(&before).await?;
    let aside = set.edge.data().join("store.redb.damaged-1");
    ensure(aside.exists(), || format!("`{}` is not there", aside.display()))?;
    output("rm", &[aside]).await?;
    Ok(noticed)
}
