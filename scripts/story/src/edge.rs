//! One edge: its settings, its daemon and its command line.

use crate::{
    command::{self, Ended},
    daemon::{Daemon, Launch},
    docker,
    hub::{REFUSE_MAX, refuses},
    report::{Played, seconds, until},
    stage::Stage,
};
use mamba_core::{
    clock::UnixMs,
    fact::{ActivityFact, UsageFact},
    ids::NodeId,
};
use mamba_wire::node::{Answer, Check, LinkStatus, OutboxLine, ServerDetail, ServerLine, Status};
use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

/// Time between two looks at usage in the story; the product's default is 10 s.
pub(crate) const SAMPLE_EVERY: Duration = Duration::from_secs(1);

/// What differs between edges.
#[derive(Clone, Debug)]
pub(crate) struct EdgeSettings {
    pub(crate) name: String,
    pub(crate) network_pool: String,
    pub(crate) docker_socket: PathBuf,
    /// Where its data is; below its own directory without.
    pub(crate) data: Option<PathBuf>,
    /// Environment of the daemon.
    pub(crate) env: Vec<(String, String)>,
    /// Network namespace that it lives in; that of this program without.
    pub(crate) net_namespace: Option<String>,
}

impl EdgeSettings {
    /// Settings of a plain edge.
    pub(crate) fn plain(name: &str, network_pool: &str) -> Self {
        Self {
            name: name.to_owned(),
            network_pool: network_pool.to_owned(),
            docker_socket: docker::SOCKET.into(),
            data: None,
            env: Vec::new(),
            net_namespace: None,
        }
    }
}

/// When a daemon was not there, by the node's calendar.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Away {
    pub(crate) from: UnixMs,
    pub(crate) to: UnixMs,
}

/// An edge that may run or not.
pub(crate) struct Edge {
    program: PathBuf,
    pub(crate) settings: EdgeSettings,
    pub(crate) config: PathBuf,
    pub(crate) log: PathBuf,
    /// When it was killed, and until when it stayed away.
    pub(crate) away: Vec<Away>,
    daemon: Option<Daemon>,
}

macro_rules! questions {
    ($($(#[$doc:meta])* $name:ident($($arg:ident)?) -> $variant:ident($out:ty);)+) => { $(
        $(#[$doc])*
        pub(crate) async fn $name(&self $(, $arg: &str)?) -> Played<$out> {
            match self.ask(&[stringify!($name) $(, $arg)?]).await? {
                Answer::$variant(answer) => Ok(answer),
                other => Err(format!("`{}` answered {other:?}", stringify!($name)).into()),
            }
        }
    )+ };
}

impl Edge {
    /// Describes an edge below the stage's directory and writes its settings; its data may be there.
    pub(crate) fn prepare(stage: &Stage, settings: EdgeSettings) -> Played<Self> {
        let dir = stage.path(&settings.name);
        fs::create_dir_all(&dir)?;
        let edge = Self {
            program: stage.programs().edge.clone(),
            config: dir.join("edge.toml"),
            log: dir.join("edge.log"),
            settings: EdgeSettings {
                data: Some(settings.data.unwrap_or_else(|| dir.join("data"))),
                ..settings
            },
            away: Vec::new(),
            daemon: None,
        };
        edge.write_config("")?;
        Ok(edge)
    }

    /// Writes the settings file with further lines.
    pub(crate) fn write_config(&self, more: &str) -> Played {
        let text = format!(
            "data_dir = \"{}\"\ndocker_socket = \"{}\"\nnetwork_pool = \"{}\"\n\
             sample_every_s = {}\n{more}",
            self.data().display(),
            self.settings.docker_socket.display(),
            self.settings.network_pool,
            SAMPLE_EVERY.as_secs(),
        );
        Ok(fs::write(&self.config, text)?)
    }

    /// The data directory.
    pub(crate) fn data(&self) -> PathBuf {
        self.settings.data.clone().unwrap_or_default()
    }

    /// The command line of the daemon's own program, for people.
    pub(crate) fn command(&self) -> String {
        format!("{} --config {}", self.program.display(), self.config.display())
    }

    /// Program and arguments, up to the command.
    fn command_line(&self) -> Vec<String> {
        let mut words = Vec::new();
        if let Some(name) = &self.settings.net_namespace {
            // Unlike `ip netns exec` it leaves the control groups mounted.
            words.extend(["/usr/bin/nsenter".to_owned(), format!("--net=/run/netns/{name}")]);
        }
        words.push(self.program.to_string_lossy().into_owned());
        words.extend(["--config".to_owned(), self.config.to_string_lossy().into_owned()]);
        words
    }

    /// The same edge for its command line only: the daemon stays with this one.
    pub(crate) fn remote(&self) -> Self {
        Self {
            program: self.program.clone(),
            settings: self.settings.clone(),
            config: self.config.clone(),
            log: self.log.clone(),
            away: Vec::new(),
            daemon: None,
        }
    }

    /// Joins a hub.
    pub(crate) async fn enrol(&self, token: &str) -> Played<Ended> {
        self.cli(&["enrol", token, "--name", &self.settings.name]).await
    }

    /// Starts the daemon and waits until its local socket answers.
    pub(crate) async fn start(&mut self) -> Played<Status> {
        self.spawn()?;
        self.answers(seconds(20)).await
    }

    /// Starts the daemon.
    pub(crate) fn spawn(&mut self) -> Played {
        let mut command = self.command_line();
        command.push("run".to_owned());
        let program = PathBuf::from(command.remove(0));
        self.daemon = Some(Daemon::start(&Launch {
            program,
            args: command,
            env: self.settings.env.clone(),
            log: self.log.clone(),
        })?);
        Ok(())
    }

    /// Waits until the local socket answers.
    pub(crate) async fn answers(&mut self, within: Duration) -> Played<Status> {
        until(within, async || {
            if let Some(daemon) = &mut self.daemon {
                daemon.ensure_running()?;
            }
            self.status().await
        })
        .await
    }

    /// Ends the daemon with SIGKILL.
    pub(crate) async fn kill(&mut self) -> Played {
        self.daemon.take().ok_or("edge does not run")?.kill().await
    }

    /// Ends the daemon in order; its servers go on.
    pub(crate) async fn stop(&mut self) -> Played {
        let Some(daemon) = self.daemon.take() else { return Ok(()) };
        match daemon.terminate().await? {
            Some(0) => Ok(()),
            code => Err(format!("edge ended with {code:?} after SIGTERM").into()),
        }
    }

    /// Whether a daemon was started that was not seen to end.
    pub(crate) fn is_running(&self) -> bool {
        self.daemon.is_some()
    }

    /// Waits for the daemon to end by itself.
    pub(crate) async fn ended(&mut self, within: Duration) -> Played<Option<i32>> {
        let code = self.daemon.as_mut().ok_or("edge does not run")?.ended(within).await?;
        self.daemon = None;
        Ok(code)
    }

    /// Runs the command line.
    pub(crate) async fn cli(&self, args: &[&str]) -> Played<Ended> {
        let mut command = self.command_line();
        command.extend(args.iter().map(|&arg| arg.to_owned()));
        let program = command.remove(0);
        command::run(&program, &command).await
    }

    /// Runs a command that has to succeed.
    pub(crate) async fn must(&self, args: &[&str]) -> Played<String> {
        let ended = self.cli(args).await?;
        match ended.code {
            Some(0) => Ok(ended.stdout),
            code => {
                let said = ended.stderr.trim();
                Err(format!("`mamba-edge {}` ended with {code:?}: {said}", args.join(" ")).into())
            }
        }
    }

    /// Starts another daemon with this settings file, which has to refuse; returns what it says.
    pub(crate) async fn refused(&self, config: &Path) -> Played<Ended> {
        let mut command = tokio::process::Command::new(&self.program);
        command.arg("--config").arg(config).arg("run");
        refuses(command::run_prepared(command, REFUSE_MAX).await?)
    }

    /// Asks with `--json` and reads the answer. The doctor may end with 1: it found something.
    async fn ask(&self, args: &[&str]) -> Played<Answer> {
        let ended = self.cli(&[["--json"].as_slice(), args].concat()).await?;
        serde_json::from_str(&ended.stdout).map_err(|err| {
            let said = ended.stderr.trim();
            let code = ended.code;
            format!("`mamba-edge --json {}` ended with {code:?}: {said} ({err})", args.join(" "))
                .into()
        })
    }

    questions! {
        /// The daemon and the machine.
        status() -> Status(Status);
        /// All servers.
        servers() -> Servers(Vec<ServerLine>);
        /// One server.
        server(name) -> Server(Box<ServerDetail>);
        /// Usage that is kept.
        usage(name) -> Usage(Vec<UsageFact>);
        /// The outbox.
        outbox() -> Outbox(Vec<OutboxLine>);
        /// The link.
        link() -> Link(LinkStatus);
        /// Activity that is kept.
        facts(name) -> Facts(Vec<ActivityFact>);
        /// Findings.
        doctor() -> Doctor(Vec<Check>);
    }

    /// The newest usage that is kept, of all servers.
    pub(crate) async fn usage_of_all(&self) -> Played<Vec<UsageFact>> {
        match self.ask(&["usage"]).await? {
            Answer::Usage(facts) => Ok(facts),
            other => Err(format!("`usage` answered {other:?}").into()),
        }
    }

    /// The newest activity that is kept, of all servers.
    pub(crate) async fn facts_of_all(&self) -> Played<Vec<ActivityFact>> {
        match self.ask(&["facts"]).await? {
            Answer::Facts(facts) => Ok(facts),
            other => Err(format!("`facts` answered {other:?}").into()),
        }
    }

    /// The node's id.
    pub(crate) async fn node(&self) -> Played<NodeId> {
        Ok(self.status().await?.node.ok_or("edge is not enrolled")?)
    }
}
