//! The admin's command line. While `serve` runs, commands go to it through a local socket; otherwise
//! they open the store themselves.
//!
//! | exit code | meaning |
//! |---|---|
//! | 0 | done |
//! | 1 | failed: the disk, the store, the network; or what was looked at is not good |
//! | 2 | the command line or the config file is wrong |
//! | 3 | refused: there is no such thing, or its state does not allow it |

mod args;
mod admin;
mod socket;
mod init;
mod backup;
mod blueprint;
mod doctor;
mod show;
mod reconcile;

pub use admin::AdminContext;
pub use socket::{SOCKET_FILE, SocketError, listen, serve as serve_socket};

use crate::{
    app::{self, AppError},
    config::{Config, ConfigError, DOCUMENTED},
    legal::{self, Legal},
};
use admin::{AdminReply, AdminRequest, Failure, Password, RegistryRequest};
use args::{
    AccountCommand, Args, AuditCommand, BlueprintCommand, Command, ConfigCommand, NodeCommand,
    RegistryCommand, SecretsCommand,
};
use clap::Parser as _;
use mamba_core::{access::Administration, error::chain};
use std::{io::Write as _, path::Path, process::ExitCode};

/// Why a command did not do what was asked.
#[derive(Debug, thiserror::Error)]
enum CliError {
    /// The input is wrong.
    #[error("{0}")]
    Usage(String),
    /// The config file is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The hub said no.
    #[error("{0}")]
    Refused(String),
    /// Something broke.
    #[error("{0}")]
    Failed(String),
    /// `serve` ended.
    #[error(transparent)]
    App(#[from] AppError),
}

impl CliError {
    /// One line out of an error and its causes.
    fn failed(err: &dyn std::error::Error) -> Self {
        Self::Failed(chain(err))
    }

    fn exit_code(&self) -> u8 {
        match self {
            Self::Failed(_) | Self::App(_) => 1,
            Self::Usage(_) | Self::Config(_) => 2,
            Self::Refused(_) => 3,
        }
    }
}

impl From<Failure> for CliError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused(text) => Self::Refused(text),
            Failure::Failed(text) => Self::Failed(text),
        }
    }
}

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    let args = Args::parse();
    let json = args.json;
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(err) => return report(&CliError::failed(&err)),
    };
    match runtime.block_on(run(args)) {
        Ok(output) => {
            let text = if json { output.json } else { output.text };
            let mut out = std::io::stdout().lock();
            // A reader that went away, as `head` does, is no failure.
            let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
            if written.is_err() || output.is_good { ExitCode::SUCCESS } else { ExitCode::from(1) }
        }
        Err(err) => report(&err),
    }
}

fn report(err: &CliError) -> ExitCode {
    // Nobody is left to tell when this fails.
    writeln!(std::io::stderr(), "mamba-hub: {}", chain(err)).ok();
    ExitCode::from(err.exit_code())
}

/// What a command prints.
struct Output {
    text: String,
    json: String,
    /// Whether what was looked at is good.
    is_good: bool,
}

async fn run(args: Args) -> Result<Output, CliError> {
    let data = args.data;
    match args.command {
        Command::Serve { config } => {
            let config = Config::load(&config)?;
            app::run_until_signal(config).await?;
            Ok(Output { text: String::new(), json: String::new(), is_good: true })
        }
        Command::Config(ConfigCommand::PrintDefault) => {
            let text = DOCUMENTED.to_owned();
            let json = format!("{}\n", serde_json::json!({ "file": text }));
            Ok(Output { text, json, is_good: true })
        }
        Command::Config(ConfigCommand::PrintLegal { page }) => {
            let text = legal::template(&page)
                .map(str::to_owned)
                .ok_or_else(|| CliError::Usage(format!("there is no legal page `{page}`")))?;
            let json = format!("{}\n", serde_json::json!({ "file": text }));
            Ok(Output { text, json, is_good: true })
        }
        Command::Config(ConfigCommand::Check { file }) => {
            let config = Config::load(&file)?;
            Legal::load(&config.legal.dir, &config.legal.words)
                .map_err(|err| CliError::failed(&err))?;
            let text = format!("{} is good\n", file.display());
            let json = format!("{}\n", serde_json::json!({ "file": file, "is_good": true }));
            Ok(Output { text, json, is_good: true })
        }
        Command::Init { admin, password_file } => {
            init::run(&data, admin, password_file.as_deref()).await
        }
        Command::Restore { file } => backup::restore(&data, &file).await,
        Command::Backup { file } => {
            let file = std::path::absolute(&file).map_err(|err| CliError::failed(&err))?;
            ask(&data, AdminRequest::Backup { file }).await
        }
        Command::Requeue { clock_is_right } => {
            ask(&data, AdminRequest::Requeue { clock_is_right }).await
        }
        Command::Secrets(SecretsCommand::Rotate) => ask(&data, AdminRequest::RotateSecrets).await,
        Command::Audit(AuditCommand::Verify) => ask(&data, AdminRequest::VerifyAudit).await,
        Command::Account(command) => account(&data, command).await,
        Command::Transfers => ask(&data, AdminRequest::Transfers).await,
        Command::Doctor => doctor::run(&data).await,
        Command::Reconcile { days } => ask(&data, AdminRequest::Reconcile { days }).await,
        Command::Registry(command) => registry(&data, command).await,
        Command::Blueprint(BlueprintCommand::Check { files }) => blueprint::check(&files),
        Command::Blueprint(BlueprintCommand::Import { files }) => {
            blueprint::import(&data, &files).await
        }
        Command::Node(command) => ask(&data, request(command)?).await,
    }
}

async fn registry(data: &Path, command: RegistryCommand) -> Result<Output, CliError> {
    let request = match command {
        RegistryCommand::List => AdminRequest::Registry(RegistryRequest::List),
        RegistryCommand::Remove { host } => {
            AdminRequest::Registry(RegistryRequest::Remove { host })
        }
        RegistryCommand::Set { host, user, password_file } => {
            let given = password_file.as_deref().map(init::read_password).transpose()?;
            let password = given.map(|it| Password(it.to_string()));
            AdminRequest::Registry(RegistryRequest::Set { host, user, password })
        }
    };
    ask(data, request).await
}

async fn account(data: &Path, command: AccountCommand) -> Result<Output, CliError> {
    match command {
        AccountCommand::Grant { email, root, none: _, rights } => {
            let rights = Administration::Some(rights.into_iter().collect());
            let admin = if root { Administration::Root } else { rights };
            ask(data, AdminRequest::Grant { email, admin }).await
        }
        AccountCommand::DisableSecondFactor { email } => {
            ask(data, AdminRequest::DisableSecondFactor { email }).await
        }
        AccountCommand::ResetPassword { email, password_file } => {
            let request = |password| AdminRequest::SetPassword { email, password };
            with_password(data, password_file.as_deref(), request).await
        }
        AccountCommand::Create { email, password_file } => {
            let request = |password| AdminRequest::CreateAccount { email, password };
            with_password(data, password_file.as_deref(), request).await
        }
        AccountCommand::Delete { email } => ask(data, AdminRequest::DeleteAccount { email }).await,
    }
}

/// Asks with a password out of a file, or with one that is made, and printed once it holds.
async fn with_password(
    data: &Path,
    file: Option<&Path>,
    request: impl FnOnce(Password) -> AdminRequest,
) -> Result<Output, CliError> {
    let given = file.map(init::read_password).transpose()?;
    let shown = if given.is_none() { Some(init::make_password()) } else { None };
    let password = given.or_else(|| shown.clone()).unwrap_or_default();
    let done = ask(data, request(Password(password.to_string()))).await?;
    let Some(shown) = shown.as_deref() else { return Ok(done) };
    let text = format!("password  {shown}  (not shown again)\n{}", done.text);
    let json = format!("{}\n", serde_json::json!({ "password": shown }));
    Ok(Output { text, json, is_good: true })
}

fn request(command: NodeCommand) -> Result<AdminRequest, CliError> {
    Ok(match command {
        NodeCommand::Token { name, replaces, address } => {
            if name.is_none() && replaces.is_none() {
                return Err(CliError::Usage("give a name, or --replaces NODE".to_owned()));
            }
            AdminRequest::Token { name: name.unwrap_or_default(), replaces, address }
        }
        NodeCommand::List => AdminRequest::Nodes,
        NodeCommand::Show { node } => AdminRequest::Node { node },
        NodeCommand::Revoke { node } => AdminRequest::Revoke { node },
        NodeCommand::Delete { node, force } => AdminRequest::DeleteNode { node, force },
        NodeCommand::ApproveReplacement { node } => AdminRequest::Approve { node },
    })
}

/// Asks the running hub, or the store when none runs.
async fn ask(data: &Path, request: AdminRequest) -> Result<Output, CliError> {
    show::reply(&reply(data, request).await?)
}

async fn reply(data: &Path, request: AdminRequest) -> Result<AdminReply, CliError> {
    match socket::ask(data, &request).await? {
        Some(reply) => Ok(reply),
        None => admin::alone(data, request).await,
    }
}

/// Whether `reconcile` would end with exit code 0 after this report.
#[cfg(test)]
pub(crate) fn shown_report_is_good(report: &crate::reconcile::Report) -> bool {
    let reply = AdminReply::Reconciled(Box::new(report.clone()));
    let sent = serde_json::to_string(&reply).unwrap();
    let output = show::reply(&serde_json::from_str(&sent).unwrap()).ok().unwrap();
    assert_eq!(output.text.ends_with("everything adds up\n"), output.is_good, "{}", output.text);
    output.is_good
}
