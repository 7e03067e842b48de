//! The command line: the daemon's own start, and questions to a running daemon.
//!
//! Answers go to standard output, as tables or JSON; what went wrong goes to standard error in one
//! line. With the daemon down, questions whose answer lies in the store are answered from it, and
//! the output says so.

mod args;
mod client;
mod console;
mod metrics;
mod offline;
mod show;
mod table;

pub use args::{Args, Command};

use crate::config::Config;
use client::{Client, ClientError};
use mamba_core::{
    clock::UnixMs,
    error::chain,
    ids::ServerId,
    lifecycle::{PowerAction, ServerState},
};
use mamba_wire::node::{Answer, CheckLevel, NodeError, NodeRequest, ServerLine, Status};
use std::{io::Write as _, time::Duration};

/// Time between two looks while waiting for a power action.
const WAIT_STEP: Duration = Duration::from_millis(200);

/// Fewest characters that are taken for the beginning of an id.
const ID_START_MIN: usize = 4;

/// How a command ended, as the process's exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// 0.
    Done,
    /// 1: it did not work, or the doctor found a failure.
    Failed,
    /// 3: no such server.
    NotFound,
    /// 4: the daemon is not running.
    NotRunning,
    /// 5: refused by a rule.
    Refused,
}

impl Outcome {
    /// Returns the exit code.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::NotFound => 3,
            Self::NotRunning => 4,
            Self::Refused => 5,
        }
    }
}

/// Why a command did not work.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("no server is called `{0}` here; `mamba-edge servers` lists them")]
    NoSuchServer(String),
    #[error("`{name}` could be {}; give more of the id", candidates.join(" or "))]
    Ambiguous { name: String, candidates: Vec<String> },
    #[error("it did not happen within {0} s; `mamba-edge server` tells why")]
    WaitedTooLong(u64),
    #[error("standard output broke")]
    Output(#[source] std::io::Error),
    #[error("daemon gave another answer than asked for")]
    OtherAnswer,
    #[error("mamba-edge is not running; this is from its store, {0}")]
    FromStore(String),
    #[error("store could not be read")]
    Store(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl CliError {
    fn outcome(&self) -> Outcome {
        match self {
            Self::NoSuchServer(_) | Self::Client(ClientError::Node(NodeError::NoSuchServer(_))) => {
                Outcome::NotFound
            }
            Self::Client(ClientError::NotRunning { .. }) | Self::FromStore(_) => {
                Outcome::NotRunning
            }
            Self::Client(ClientError::Node(
                NodeError::Invalid(_)
                | NodeError::Forbidden(_)
                | NodeError::NotAllowed(_)
                | NodeError::NotRunning,
            )) => Outcome::Refused,
            Self::Ambiguous { .. }
            | Self::Client(_)
            | Self::WaitedTooLong(_)
            | Self::Output(_)
            | Self::OtherAnswer
            | Self::Store(_) => Outcome::Failed,
        }
    }
}

/// Carries out a command that asks a daemon. Says on standard error what went wrong.
pub async fn ask(config: &Config, json: bool, command: &Command) -> Outcome {
    let cli = Cli { client: Client::new(config.socket(), operator()), config, json };
    match cli.run(command).await {
        Ok(outcome) => outcome,
        // Somebody closed the pipe that they read from: nothing went wrong.
        Err(CliError::Output(err)) if err.kind() == std::io::ErrorKind::BrokenPipe => Outcome::Done,
        Err(err) => {
            complain(&err);
            err.outcome()
        }
    }
}

/// Prints one line about an error on standard error.
#[expect(clippy::print_stderr, reason = "this is where a command says what went wrong")]
pub fn complain(err: &dyn std::error::Error) {
    eprintln!("mamba-edge: {}", chain(err));
}

/// Prints one line on standard output.
///
/// # Errors
/// When standard output is gone.
pub fn tell(line: &str) -> std::io::Result<()> {
    writeln!(std::io::stdout(), "{line}")
}

pub(crate) struct Cli<'a> {
    client: Client,
    config: &'a Config,
    json: bool,
}

impl Cli<'_> {
    async fn run(&self, command: &Command) -> Result<Outcome, CliError> {
        match command {
            Command::Power { server, action, wait } => {
                let server = self.find(server).await?;
                return self.power(server, (*action).into(), *wait).await;
            }
            Command::Console { server, lines, read_only } => {
                let server = self.find(server).await?;
                let may_type = !read_only;
                return console::run(&self.client, server, *lines, may_type, self.json).await;
            }
            Command::Logs { server, lines, follow } => {
                let server = self.find(server).await?;
                return console::print(&self.client, server, *lines, *follow, self.json).await;
            }
            Command::Metrics => return metrics::print(self).await,
            Command::Run | Command::Enrol { .. } => return Err(CliError::OtherAnswer),
            Command::Status
            | Command::Servers
            | Command::Server { .. }
            | Command::Usage { .. }
            | Command::Outbox
            | Command::Link
            | Command::Facts { .. }
            | Command::InstallLog { .. }
            | Command::InstallCancel { .. }
            | Command::Moves
            | Command::Doctor => {}
        }
        match self.question(command).await {
            Ok(request) => {
                let answer = self.client.ask(request).await?;
                let now = self.now().await?;
                self.show(now, &answer)
            }
            Err(CliError::Client(ClientError::NotRunning { .. })) => offline::answer(self, command),
            Err(err) => Err(err),
        }
    }

    /// Returns the request for a command, with names replaced by ids.
    async fn question(&self, command: &Command) -> Result<NodeRequest, CliError> {
        // Asked first, so that a daemon that is down is noticed before anything else.
        self.status().await?;
        Ok(match command {
            Command::Servers => NodeRequest::Servers,
            Command::Server { server } => NodeRequest::Server(self.find(server).await?),
            Command::Usage { server } => NodeRequest::Usage { server: self.maybe(server).await? },
            Command::Facts { server } => NodeRequest::Facts { server: self.maybe(server).await? },
            Command::Outbox => NodeRequest::Outbox,
            Command::Link => NodeRequest::Link,
            Command::Moves => NodeRequest::Moves,
            Command::Doctor => NodeRequest::Doctor,
            Command::InstallLog { server } => {
                NodeRequest::InstallLog { server: self.find(server).await? }
            }
            Command::InstallCancel { server } => {
                NodeRequest::CancelInstall { server: self.find(server).await? }
            }
            Command::Status
            | Command::Power { .. }
            | Command::Console { .. }
            | Command::Logs { .. }
            | Command::Metrics
            | Command::Run
            | Command::Enrol { .. } => NodeRequest::Status,
        })
    }

    async fn status(&self) -> Result<Status, CliError> {
        match self.client.ask(NodeRequest::Status).await? {
            Answer::Status(status) => Ok(status),
            _ => Err(CliError::OtherAnswer),
        }
    }

    /// Returns the node's calendar, which ages are counted from.
    async fn now(&self) -> Result<UnixMs, CliError> {
        self.status().await.map(|status| status.now)
    }

    async fn maybe(&self, name: &Option<String>) -> Result<Option<ServerId>, CliError> {
        match name {
            Some(name) => self.find(name).await.map(Some),
            None => Ok(None),
        }
    }

    async fn find(&self, name: &str) -> Result<ServerId, CliError> {
        match self.client.ask(NodeRequest::Servers).await? {
            Answer::Servers(lines) => find(&lines, name),
            _ => Err(CliError::OtherAnswer),
        }
    }

    async fn power(
        &self,
        server: ServerId,
        action: PowerAction,
        wait_s: Option<u64>,
    ) -> Result<Outcome, CliError> {
        let before = self.server_line(server).await?;
        let request = NodeRequest::Power { server, action };
        self.client.ask(request).await?;
        let Some(wait_s) = wait_s else {
            self.print(&format!("{} accepted\n", show::power(action)))?;
            return Ok(Outcome::Done);
        };
        let arrived = async {
            loop {
                let line = self.server_line(server).await?;
                if is_done(action, &before, &line) {
                    return Ok::<_, CliError>(line);
                }
                tokio::time::sleep(WAIT_STEP).await;
            }
        };
        let line = tokio::time::timeout(Duration::from_secs(wait_s), arrived)
            .await
            .map_err(|_| CliError::WaitedTooLong(wait_s))??;
        self.print(&format!("{} is {}\n", line.name, show::state(line.observed.state)))?;
        Ok(Outcome::Done)
    }

    async fn server_line(&self, server: ServerId) -> Result<ServerLine, CliError> {
        match self.client.ask(NodeRequest::Servers).await? {
            Answer::Servers(lines) => lines
                .into_iter()
                .find(|line| line.observed.server == server)
                .ok_or_else(|| CliError::NoSuchServer(server.to_string())),
            _ => Err(CliError::OtherAnswer),
        }
    }

    fn show(&self, now: UnixMs, answer: &Answer) -> Result<Outcome, CliError> {
        let outcome = match answer {
            Answer::Doctor(checks) if checks.iter().any(|it| it.level == CheckLevel::Fail) => {
                Outcome::Failed
            }
            _ => Outcome::Done,
        };
        if self.json {
            self.print_json(answer)?;
            return Ok(outcome);
        }
        self.print(&match answer {
            Answer::Status(it) => show::status(it),
            Answer::Servers(it) => show::servers(now, it),
            Answer::Server(it) => show::server(now, it),
            Answer::Usage(it) => show::usage(it),
            Answer::Outbox(it) => show::outbox(now, it),
            Answer::Link(it) => show::link(now, it),
            Answer::Facts(it) => show::activity(it),
            Answer::Doctor(it) => show::doctor(it),
            Answer::InstallLog(it) => console::install_log(now, it),
            Answer::Moves(it) => show::moves(it),
            Answer::Accepted => "accepted\n".to_owned(),
            Answer::Console(_) | Answer::Gauges(_) | Answer::Recent(_) | Answer::Move(_) => {
                return Err(CliError::OtherAnswer);
            }
        })?;
        Ok(outcome)
    }

    /// Prints the content of an answer: `{"servers": [...]}`.
    fn print_json(&self, answer: &impl serde::Serialize) -> Result<(), CliError> {
        let text =
            serde_json::to_string_pretty(answer).map_err(|err| CliError::Store(err.into()))?;
        self.print(&format!("{text}\n"))
    }

    fn print(&self, text: &str) -> Result<(), CliError> {
        std::io::stdout().write_all(text.as_bytes()).map_err(CliError::Output)
    }
}

fn find(lines: &[ServerLine], name: &str) -> Result<ServerId, CliError> {
    find_among(lines.iter().map(|line| (line.observed.server, line.name.as_str())), name)
}

/// Returns the one server with this id, this name, or this beginning of its id.
fn find_among<'a>(
    servers: impl Iterator<Item = (ServerId, &'a str)>,
    wanted: &str,
) -> Result<ServerId, CliError> {
    let servers: Vec<(ServerId, String, &str)> =
        servers.map(|(id, name)| (id, id.to_string(), name)).collect();
    let mut found: Vec<_> =
        servers.iter().filter(|(_, id, name)| id == wanted || *name == wanted).collect();
    if found.is_empty() && wanted.len() >= ID_START_MIN {
        found = servers.iter().filter(|(_, id, _)| id.starts_with(wanted)).collect();
    }
    match found.as_slice() {
        [] => Err(CliError::NoSuchServer(wanted.to_owned())),
        [(id, ..)] => Ok(*id),
        many => Err(CliError::Ambiguous {
            name: wanted.to_owned(),
            candidates: many.iter().map(|(_, id, _)| id.clone()).collect(),
        }),
    }
}

/// Whether what was asked has come about.
fn is_done(action: PowerAction, before: &ServerLine, now: &ServerLine) -> bool {
    let it = &now.observed;
    match action {
        PowerAction::Start => it.state == ServerState::Running,
        PowerAction::Restart => {
            it.state == ServerState::Running && it.started_at != before.observed.started_at
        }
        PowerAction::Stop | PowerAction::Kill => it.state == ServerState::Offline,
    }
}

/// Returns whom the daemon will write down: the user that `sudo` was called by, or our own.
fn operator() -> String {
    let user = |name: &str| std::env::var(name).ok().filter(|user| !user.is_empty());
    let name = user("SUDO_USER")
        .or_else(|| user("USER"))
        .unwrap_or_else(|| format!("uid {}", rustix::process::getuid().as_raw()));
    name.chars().filter(|c| !c.is_control()).take(64).collect()
}

#[cfg(test)]
mod tests;
