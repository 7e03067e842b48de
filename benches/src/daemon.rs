//! A daemon of ours in a process of its own, killed when it is dropped.

use crate::{
    Outcome,
    process::{self, Usage},
};
use std::{
    fs::File,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};
use tokio::process::{Child, Command};

/// Longest orderly end of a daemon.
const STOP_MAX: Duration = Duration::from_secs(60);

/// A process that runs or ran.
pub(crate) struct Daemon {
    child: Child,
}

impl Daemon {
    /// Starts a program whose output is appended to `log`.
    pub(crate) fn start(program: &Path, args: &[&str], log: &Path) -> Outcome<Self> {
        let log = File::options().create(true).append(true).open(log)?;
        // Also when this program is killed, and can drop nothing.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]).arg(program).args(args).env("NO_COLOR", "1");
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).kill_on_drop(true);
        let child = command.spawn().map_err(|err| format!("`{}`: {err}", program.display()))?;
        Ok(Self { child })
    }

    /// Fails when it has ended.
    pub(crate) fn ensure_running(&mut self) -> Outcome {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => Err(format!("daemon ended: {status}").into()),
        }
    }

    /// What it has used since its start.
    pub(crate) fn usage(&self) -> Outcome<Usage> {
        process::usage(self.child.id().ok_or("daemon does not run")?)
    }

    /// Ends it in order (SIGTERM).
    pub(crate) async fn stop(mut self) -> Outcome {
        let pid = self.child.id().and_then(|id| rustix::process::Pid::from_raw(id.cast_signed()));
        let pid = pid.ok_or("daemon has ended")?;
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        tokio::time::timeout(STOP_MAX, self.child.wait())
            .await
            .map_err(|_| "daemon does not end")??;
        Ok(())
    }

    /// Ends it as a crash does (SIGKILL).
    pub(crate) async fn kill(mut self) -> Outcome {
        Ok(self.child.kill().await?)
    }
}

/// Runs a program to its end; what it said is the error when it fails.
pub(crate) async fn run(program: &Path, args: &[&str]) -> Outcome<String> {
    let mut command = Command::new(program);
    let done = command.args(args).stdin(Stdio::null()).kill_on_drop(true).output().await?;
    if done.status.success() {
        return Ok(String::from_utf8_lossy(&done.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&done.stderr);
    Err(format!("`{} {}`: {}", program.display(), args.join(" "), said.trim()).into())
}

/// A directory for one run, empty.
pub(crate) fn fresh_dir(path: &Path) -> Outcome<PathBuf> {
    if path.exists() {
        std::fs::remove_dir_all(path)?;
    }
    std::fs::create_dir_all(path)?;
    Ok(path.canonicalize()?)
}
