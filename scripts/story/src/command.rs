//! Runs other programs to their end, with a limit on time.

use crate::report::{Failure, Played};
use std::{ffi::OsStr, process::Stdio, time::Duration};
use tokio::process::Command;

/// Longest run of one program: the longest is a power action that waits for a game.
const RUN_MAX: Duration = Duration::from_secs(60);

/// How a program ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// `None` when a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs a program and returns how it ended.
pub(crate) async fn run<S: AsRef<OsStr>>(program: &str, args: &[S]) -> Played<Ended> {
    let mut command = Command::new(program);
    command.args(args);
    run_prepared(command, RUN_MAX).await
}

/// Runs a prepared program; it is killed when it takes longer than `within`.
pub(crate) async fn run_prepared(mut command: Command, within: Duration) -> Played<Ended> {
    let name = format!("{:?}", command.as_std());
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(within, command.output())
        .await
        .map_err(|_| format!("{name} did not end within {} s", within.as_secs()))?
        .map_err(|err| format!("{name} could not be run: {err}"))?;
    Ok(Ended {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

/// Runs a program that has to succeed and returns what it printed.
pub(crate) async fn output<S: AsRef<OsStr>>(program: &str, args: &[S]) -> Played<String> {
    let ended = run(program, args).await?;
    if ended.code == Some(0) { Ok(ended.stdout) } else { Err(failure(program, args, &ended)) }
}

/// Runs a short program now, on this thread: for clean-up, which also happens while unwinding.
/// Returns what it printed, `None` when it did not succeed.
pub(crate) fn output_now(program: &str, args: &[&str]) -> Option<String> {
    let output =
        std::process::Command::new(program).args(args).stdin(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

fn failure<S: AsRef<OsStr>>(program: &str, args: &[S], ended: &Ended) -> Failure {
    let args: Vec<_> = args.iter().map(|arg| arg.as_ref().to_string_lossy()).collect();
    let code = ended.code.map_or("a signal".to_owned(), |code| format!("code {code}"));
    let said = format!("{} {}", ended.stderr.trim(), ended.stdout.trim());
    format!("`{program} {}` ended with {code}: {said}", args.join(" ")).into()
}
