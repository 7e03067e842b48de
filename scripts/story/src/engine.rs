//! A Docker Engine of our own, which may be restarted: that of the machine is used by others.

use crate::{
    command::{output_now, run_prepared},
    daemon::{Daemon, Launch},
    docker,
    report::{Played, ensure, seconds, until},
    stage::Stage,
};
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

/// Longest start of an engine on busy cores.
const START_MAX: Duration = seconds(90);
/// Longest orderly end: it waits 5 s for its containers.
const STOP_MAX: Duration = seconds(60);

/// Longest copy of some images of 100 MB between two engines, when the disk is busy with other things.
const COPY_MAX: Duration = seconds(90);

/// Its data, below the stage's directory. It takes every path that begins with the same letters for one
/// of its own.
const DATA: &str = "own-docker";
/// Address of its default bridge, from a network for documentation: nothing is sent there.
const BRIDGE_NETWORK: &str = "192.0.2.1/24";
/// Digits in the id of a network, and those of them that name its bridge.
const NETWORK_ID_BYTES: usize = 64;
const BRIDGE_ID_BYTES: usize = 12;

/// What happens to containers when the engine ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Containers {
    /// They go on, and the next engine takes them over.
    Stay,
    /// They are stopped.
    End,
}

/// The engine; killed when it is dropped.
pub(crate) struct Engine {
    pub(crate) socket: PathBuf,
    data: PathBuf,
    run: PathBuf,
    /// Its default bridge, which nothing uses. An engine that is told to have none deletes the one of the
    /// machine's engine.
    bridge: String,
    log: PathBuf,
    daemon: Option<Daemon>,
}

/// Where an engine keeps its sockets and what runs: paths of sockets must be short.
pub(crate) fn run_dir(machine_name: &str) -> PathBuf {
    Path::new("/run").join(machine_name)
}

fn bridge_name(stage: &Stage) -> String {
    format!("{}-own", stage.machine_name())
}

impl Engine {
    /// Describes an engine without images and containers.
    pub(crate) fn prepare(stage: &Stage) -> Played<Self> {
        let run = run_dir(&stage.machine_name());
        fs::create_dir_all(&run)?;
        let data = stage.fresh_dir(DATA)?;
        let (socket, log) = (run.join("docker.sock"), stage.path("engine.log"));
        let bridge = bridge_name(stage);
        output_now("ip", &["link", "add", &bridge, "type", "bridge"])
            .and_then(|_| output_now("ip", &["address", "add", BRIDGE_NETWORK, "dev", &bridge]))
            .ok_or("a bridge for the engine could not be made")?;
        Ok(Self { socket, data, run, bridge, log, daemon: None })
    }

    /// Starts it and waits until it answers. It leaves the firewall of the machine alone: published
    /// ports are served by its own proxy.
    pub(crate) async fn start(&mut self, containers: Containers) -> Played {
        let mut args = vec![
            format!("--data-root={}", self.data.display()),
            format!("--exec-root={}", self.run.display()),
            format!("--pidfile={}", self.run.join("docker.pid").display()),
            format!("--host=unix://{}", self.socket.display()),
            format!("--bridge={}", self.bridge),
            "--iptables=false".to_owned(),
            "--ip6tables=false".to_owned(),
            "--ip-masq=false".to_owned(),
            "--shutdown-timeout=5".to_owned(),
        ];
        if containers == Containers::Stay {
            args.push("--live-restore".to_owned());
        }
        let found = output_now("which", &["dockerd"]).ok_or("dockerd is not there")?;
        let launch =
            Launch { program: found.trim().into(), args, env: Vec::new(), log: self.log.clone() };
        self.daemon = Some(Daemon::start(&launch)?);
        let (socket, daemon) = (&self.socket, &mut self.daemon);
        until(START_MAX, async || {
            daemon.as_mut().map_or(Ok(()), Daemon::ensure_running)?;
            docker::engine(socket, &["version"]).await.map(drop)
        })
        .await
    }

    /// Copies images from the machine's engine.
    pub(crate) async fn load(&self, images: &[&str]) -> Played {
        let file = self.data.join("images.tar");
        let file = file.to_string_lossy();
        copy(&[["save", "--output", &file].as_slice(), images].concat()).await?;
        let host = format!("unix://{}", self.socket.display());
        copy(&["--host", &host, "load", "--input", &file]).await?;
        Ok(fs::remove_file(file.as_ref())?)
    }

    /// Ends it with SIGKILL.
    pub(crate) async fn kill(&mut self) -> Played {
        self.daemon.take().ok_or("engine does not run")?.kill().await
    }

    /// Ends it in order.
    pub(crate) async fn stop(&mut self) -> Played {
        let daemon = self.daemon.take().ok_or("engine does not run")?;
        let code = daemon.terminate_within(STOP_MAX).await?;
        ensure(code == Some(0), || format!("engine ended with {code:?} after SIGTERM"))
    }
}

/// Runs the engine's command line for as long as a copy may take.
async fn copy(args: &[&str]) -> Played {
    let mut command = tokio::process::Command::new("docker");
    command.args(args);
    let ended = run_prepared(command, COPY_MAX).await?;
    ensure(ended.code == Some(0), || format!("docker {args:?}: {}", ended.stderr.trim()))
}

/// Ends what an engine that was killed left behind: its containers, the processes that watch them, and
/// the bridges of its networks. Their ids are in its directories, or these are in their arguments.
pub(crate) fn sweep_now(stage: &Stage) {
    let run = run_dir(&stage.machine_name());
    if !run.exists() {
        return;
    }
    let tasks = run.join("containerd/daemon/io.containerd.runtime.v2.task/moby");
    let tasks = fs::read_dir(tasks).into_iter().flatten().flatten();
    let mut pids: Vec<String> =
        tasks.filter_map(|task| fs::read_to_string(task.path().join("init.pid")).ok()).collect();
    let argument = run.to_string_lossy().into_owned();
    for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let is_its = fs::read(process.path().join("cmdline")).is_ok_and(|line| {
            let line = String::from_utf8_lossy(&line).into_owned();
            line.contains(&argument) && (line.contains("containerd") || line.contains("dockerd"))
        });
        if is_its {
            pids.push(process.file_name().to_string_lossy().into_owned());
        }
    }
    for pid in pids {
        output_now("kill", &["-KILL", pid.trim()]);
    }
    let networks = fs::read(stage.path(DATA).join("network/files/local-kv.db")).unwrap_or_default();
    let words = networks.split(|byte| !byte.is_ascii_hexdigit());
    let ids: BTreeSet<&[u8]> = words.filter(|word| word.len() == NETWORK_ID_BYTES).collect();
    let bridges =
        ids.into_iter().map(|id| format!("br-{}", String::from_utf8_lossy(&id[..BRIDGE_ID_BYTES])));
    for bridge in bridges.chain([bridge_name(stage)]) {
        if Path::new("/sys/class/net").join(&bridge).exists() {
            output_now("ip", &["link", "delete", &bridge]);
        }
    }
}
