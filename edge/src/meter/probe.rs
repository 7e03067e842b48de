//! Reads what the machine says about processes and disks.

use super::{cgroup, disk};
use cgroup::{Group, Version};
use mamba_core::usage::{integrate::Reading, window::RunKey};
use std::{
    fs,
    future::Future,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

/// Longest of the files that are read; `memory.stat` has about 2 KB, `mountinfo` of a node with 500
/// containers some 200 KB.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// What is seen of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// It is no longer there.
    Gone,
    /// It runs. Without the disk, which is read on its own.
    Here(Reading),
}

/// A way to look at the machine.
pub trait Probe: Send + Sync + 'static {
    /// Looks at processes; one answer each, in their order. Cancelling it has no effect.
    fn look(&self, runs: Vec<RunKey>) -> impl Future<Output = Vec<Seen>> + Send;

    /// Counts a data directory. `None` when it cannot be read. Takes up to minutes.
    fn disk(&self, dir: PathBuf) -> impl Future<Output = Option<u64>> + Send + 'static;
}

/// The real machine.
#[derive(Clone, Debug, Default)]
pub struct SystemProbe {
    /// Groups of the processes that were looked at last: finding them costs more than reading them.
    groups: Arc<Mutex<Vec<(RunKey, Groups)>>>,
}

#[derive(Clone, Debug, Default)]
struct Groups {
    memory: Option<Group>,
    cpu: Option<Group>,
}

impl Groups {
    fn is_whole(&self) -> bool {
        self.memory.is_some() && self.cpu.is_some()
    }
}

impl Probe for SystemProbe {
    async fn look(&self, runs: Vec<RunKey>) -> Vec<Seen> {
        let (known, count) = (Arc::clone(&self.groups), runs.len());
        let look = move || {
            let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
            let mut before = std::mem::take(&mut *known);
            let look_at = |run: RunKey| {
                let place = before.iter().position(|(it, _)| *it == run);
                let groups = place.map(|place| before.swap_remove(place).1);
                // What was not found may be a file that could not be opened for a moment.
                let groups = groups.filter(Groups::is_whole).unwrap_or_else(|| find(&run));
                let seen = read(&run, &groups);
                known.push((run, groups));
                seen
            };
            runs.into_iter().map(look_at).collect()
        };
        // It only fails when the runtime goes down: then nothing is known.
        let unknown = || vec![Seen::Here(Reading::default()); count];
        tokio::task::spawn_blocking(look).await.unwrap_or_else(|_| unknown())
    }

    fn disk(&self, dir: PathBuf) -> impl Future<Output = Option<u64>> + Send + 'static {
        count(dir)
    }
}

async fn count(dir: PathBuf) -> Option<u64> {
    let shown = dir.clone();
    match tokio::task::spawn_blocking(move || disk::size(&dir)).await {
        Ok(Ok(size)) => {
            if size.is_cut {
                tracing::warn!(dir = %shown.display(), "data is too much to count whole");
            }
            Some(size.bytes)
        }
        Ok(Err(err)) => {
            tracing::warn!(dir = %shown.display(), %err, "data could not be counted");
            None
        }
        // The runtime goes down.
        Err(_) => None,
    }
}

fn find(run: &RunKey) -> Groups {
    let (Some(cgroup), Some(mounts)) =
        (text(&proc(run, "cgroup")), text(Path::new("/proc/self/mountinfo")))
    else {
        return Groups::default();
    };
    Groups {
        memory: cgroup::group("memory", &cgroup, &mounts),
        cpu: cgroup::group("cpuacct", &cgroup, &mounts),
    }
}

fn read(run: &RunKey, groups: &Groups) -> Seen {
    let memory_bytes = groups.memory.as_ref().and_then(|group| {
        let usage = match group.version {
            Version::V1 => "memory.usage_in_bytes",
            Version::V2 => "memory.current",
        };
        let usage = text(&group.path.join(usage))?;
        cgroup::working_set_bytes(group.version, &usage, &text(&group.path.join("memory.stat"))?)
    });
    let cpu_us = groups.cpu.as_ref().and_then(|group| {
        let file = match group.version {
            Version::V1 => "cpuacct.usage",
            Version::V2 => "cpu.stat",
        };
        cgroup::cpu_us(group.version, &text(&group.path.join(file))?)
    });
    let sent_bytes = text(&proc(run, "net/dev")).and_then(|text| cgroup::sent_bytes(&text));
    // Asked last: the id was this container's before and after, so the readings are its own.
    // Otherwise another process may have got the id, and its traffic would be billed.
    match text(&proc(run, "cgroup")) {
        Some(cgroup) if cgroup::is_in(&run.container, &cgroup) => {
            Seen::Here(Reading { memory_bytes, cpu_us, sent_bytes, disk_bytes: None })
        }
        Some(_) | None => Seen::Gone,
    }
}

fn proc(run: &RunKey, file: &str) -> PathBuf {
    PathBuf::from(format!("/proc/{}/{file}", run.pid))
}

fn text(path: &Path) -> Option<String> {
    use std::io::Read;
    let mut text = String::new();
    fs::File::open(path).ok()?.take(FILE_BYTES_MAX).read_to_string(&mut text).ok()?;
    Some(text)
}
