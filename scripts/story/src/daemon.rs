//! A daemon as a child process that cannot outlive this program.

use crate::report::Played;
use std::{
    fs::OpenOptions,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};
use tokio::process::{Child, Command};

/// Longest orderly end of a daemon; game servers are not part of it.
const TERMINATE_MAX: Duration = Duration::from_secs(15);

/// How to start a daemon.
#[derive(Clone, Debug)]
pub(crate) struct Launch {
    pub(crate) program: PathBuf,
    pub(crate) args: Vec<String>,
    pub(crate) env: Vec<(String, String)>,
    /// What it prints is appended here.
    pub(crate) log: PathBuf,
}

/// A running daemon; killed when it is dropped.
pub(crate) struct Daemon {
    child: Child,
    log: PathBuf,
}

impl Daemon {
    /// Starts it in a process group of its own, so that a Ctrl-C at the terminal reaches only us.
    pub(crate) fn start(launch: &Launch) -> Played<Self> {
        let log = OpenOptions::new().create(true).append(true).open(&launch.log)?;
        if !launch.program.exists() {
            return Err(format!("`{}` is not there", launch.program.display()).into());
        }
        let child = Command::new("setpriv")
            // Also when this program is killed, and can drop nothing.
            .args(["--pdeathsig", "KILL"])
            .arg(&launch.program)
            .args(&launch.args)
            .envs(launch.env.iter().map(|(name, value)| (name, value)))
            // The log is a file.
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|err| format!("`{}` could not be started: {err}", launch.program.display()))?;
        Ok(Self { child, log: launch.log.clone() })
    }

    /// Fails when it has ended, with what it printed last.
    pub(crate) fn ensure_running(&mut self) -> Played {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => Err(format!("daemon ended: {status}; {}", last_line(&self.log)).into()),
        }
    }

    /// Waits for it to end by itself and returns its exit code.
    pub(crate) async fn ended(&mut self, within: Duration) -> Played<Option<i32>> {
        let status = tokio::time::timeout(within, self.child.wait())
            .await
            .map_err(|_| format!("daemon still runs after {} s", within.as_secs()))??;
        Ok(status.code())
    }

    /// Ends it as a power cut does (SIGKILL).
    pub(crate) async fn kill(mut self) -> Played {
        self.child.start_kill()?;
        self.child.wait().await?;
        Ok(())
    }

    /// Asks it to end (SIGTERM) and returns its exit code.
    pub(crate) async fn terminate(self) -> Played<Option<i32>> {
        self.terminate_within(TERMINATE_MAX).await
    }

    /// The same for one that takes another time to end.
    pub(crate) async fn terminate_within(mut self, within: Duration) -> Played<Option<i32>> {
        let pid = self.child.id().ok_or("daemon has ended before")?;
        crate::command::output("kill", &["-TERM", &pid.to_string()]).await?;
        self.ended(within).await
    }
}

/// The last line of a log.
pub(crate) fn last_line(log: &Path) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default().to_owned()
}
