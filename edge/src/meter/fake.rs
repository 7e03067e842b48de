//! A machine for tests.

use super::probe::{Probe, Seen};
use mamba_core::usage::{integrate::Reading, window::RunKey};
use std::{
    collections::BTreeMap,
    future::Future,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

/// Says what it was told.
#[derive(Clone, Debug, Default)]
pub struct FakeProbe {
    told: Arc<Mutex<Told>>,
}

#[derive(Debug, Default)]
struct Told {
    processes: BTreeMap<u32, Reading>,
    disks: BTreeMap<PathBuf, u64>,
}

impl FakeProbe {
    /// From now on this process is there with this reading, or gone.
    pub fn tell(&self, pid: u32, reading: Option<Reading>) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        match reading {
            Some(reading) => told.processes.insert(pid, reading),
            None => told.processes.remove(&pid),
        };
    }

    /// From now on this directory takes so much.
    pub fn tell_disk(&self, dir: impl Into<PathBuf>, bytes: u64) {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).disks.insert(dir.into(), bytes);
    }
}

impl Probe for FakeProbe {
    async fn look(&self, runs: Vec<RunKey>) -> Vec<Seen> {
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let seen =
            |run: &RunKey| told.processes.get(&run.pid).map_or(Seen::Gone, |it| Seen::Here(*it));
        runs.iter().map(seen).collect()
    }

    fn disk(&self, dir: PathBuf) -> impl Future<Output = Option<u64>> + Send + 'static {
        let bytes =
            self.told.lock().unwrap_or_else(PoisonError::into_inner).disks.get(&dir).copied();
        async move { bytes }
    }
}
