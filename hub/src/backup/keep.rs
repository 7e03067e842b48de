//! Backs up on an interval, so that nodes can delete what they have sent, and keeps the newest few.

use super::{file_name, time_of};
use crate::Hub;
use mamba_core::{clock::UnixMs, error::chain};
use std::{
    fs::{self, DirBuilder},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::{sync::watch, time::sleep};

/// Longest sleep between looks at the clock, so that a step of the calendar delays no backup; also
/// the pause after a failure.
const LOOK_MS: u64 = 60_000;

/// How the automatic backups go, for whoever asks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BackupStatus {
    /// Time between two of them; 0 while nobody makes them.
    pub every_ms: u64,
    /// When the newest good one was made.
    pub last: Option<UnixMs>,
    /// What went wrong since then.
    pub error: Option<String>,
}

/// The status with its lock, which is held for moments.
#[derive(Debug, Default)]
pub(crate) struct StatusCell(Mutex<BackupStatus>);

impl StatusCell {
    pub(crate) fn read(&self) -> BackupStatus {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn change(&self, change: impl FnOnce(&mut BackupStatus)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Makes backups in `dir` until `stop` becomes true: one as soon as the newest is older than
/// `every`, which is at once when there is none. Failures are told in the status and tried again.
pub async fn keep_backups(
    hub: Hub,
    dir: PathBuf,
    every: Duration,
    keep: usize,
    mut stop: watch::Receiver<bool>,
) {
    let every_ms = u64::try_from(every.as_millis()).unwrap_or(u64::MAX);
    let newest = times(&dir).ok().and_then(|times| times.last().copied());
    hub.backup_status_cell().change(|status| {
        status.every_ms = every_ms;
        status.last = newest;
    });
    loop {
        let now = hub.now();
        let wait_ms = match wait_ms(hub.backup_status().last, every_ms, now) {
            0 => {
                let made = make(&hub, &dir, now, keep).await;
                hub.backup_status_cell().change(|status| match &made {
                    Ok(()) => (status.last, status.error) = (Some(now), None),
                    Err(error) => status.error = Some(error.clone()),
                });
                if let Err(error) = &made {
                    tracing::warn!("automatic backup failed: {error}");
                }
                LOOK_MS
            }
            wait_ms => wait_ms,
        };
        tokio::select! {
            () = sleep(Duration::from_millis(wait_ms.min(LOOK_MS))) => {}
            ended = stop.wait_for(|stop| *stop) => {
                // An error means that nobody is left who could say stop.
                drop(ended);
                return;
            }
        }
    }
}

/// Returns how long the next backup has to wait. One from the future was made before the clock was
/// set back, and says nothing about now.
fn wait_ms(last: Option<UnixMs>, every_ms: u64, now: UnixMs) -> u64 {
    match last {
        Some(last) if last <= now => every_ms.saturating_sub(now.since(last)),
        Some(_) | None => 0,
    }
}

async fn make(hub: &Hub, dir: &Path, now: UnixMs, keep: usize) -> Result<(), String> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.map_err(|err| format!("directory `{}` could not be made: {err}", dir.display()))?;
    hub.back_up(dir.join(file_name(now))).await.map_err(|err| chain(&err))?;
    let times = times(dir).map_err(|err| format!("`{}` cannot be read: {err}", dir.display()))?;
    for at in surplus(&times, keep) {
        let path = dir.join(file_name(*at));
        fs::remove_file(&path)
            .map_err(|err| format!("old backup `{}` cannot be removed: {err}", path.display()))?;
    }
    Ok(())
}

/// Returns the times of the automatic backups in a directory, oldest first.
fn times(dir: &Path) -> io::Result<Vec<UnixMs>> {
    let mut times = Vec::new();
    for entry in fs::read_dir(dir)? {
        times.extend(entry?.file_name().to_str().and_then(time_of));
    }
    times.sort_unstable();
    Ok(times)
}

/// Returns which of the times, oldest first, are more than are kept.
fn surplus(times: &[UnixMs], keep: usize) -> &[UnixMs] {
    &times[..times.len().saturating_sub(keep.max(1))]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backup_is_due_when_the_newest_is_old_or_from_the_future() {
        for (last, now, expected) in [
            (None, 5, 0),
            (Some(100), 100, 60),
            (Some(100), 159, 1),
            (Some(100), 160, 0),
            (Some(100), 900, 0),
            (Some(100), 99, 0),
        ] {
            assert_eq!(wait_ms(last.map(UnixMs), 60, UnixMs(now)), expected, "{last:?} {now}");
        }
    }

    #[test]
    fn the_newest_are_kept_and_never_none() {
        let times = [1, 2, 3].map(UnixMs);
        assert_eq!(surplus(&times, 2), [UnixMs(1)]);
        assert_eq!(surplus(&times, 5), []);
        assert_eq!(surplus(&times, 0), [UnixMs(1), UnixMs(2)]);
    }

    #[test]
    fn only_our_own_names_are_backups() {
        assert_eq!(time_of(&file_name(UnixMs(17))), Some(UnixMs(17)));
        for name in ["hub-.backup", "hub-1.backup.partial", "my-hub-1.backup", "hub--1.backup"] {
            assert_eq!(time_of(name), None, "{name}");
        }
    }
}
