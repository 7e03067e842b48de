//! Which servers there are to meter, as the supervisor sees them.

use crate::supervisor::Census;
use mamba_core::{
    clock::UnixMs,
    ids::{ServerId, TenantId},
    lifecycle::Observed,
    server::Limits,
    usage::window::RunKey,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    path::PathBuf,
    sync::Arc,
};
use tokio::sync::watch;

/// A server that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metered {
    /// Whose.
    pub tenant: TenantId,
    /// What it may use.
    pub limits: Limits,
    /// Its data.
    pub data_dir: PathBuf,
    /// Its process as far as the supervisor knows.
    pub process: Option<Process>,
    /// Whether `process` is what was seen. Without it, no process may only mean that nobody looked.
    pub is_looked_at: bool,
    /// When its last process ended, by the calendar.
    pub last_exit_at: Option<UnixMs>,
}

/// The process of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Which.
    pub key: RunKey,
    /// Limits that are set on it.
    pub limits: Limits,
}

/// A list of servers that changes.
pub trait Roll: Send + 'static {
    /// Returns all servers.
    fn servers(&mut self) -> BTreeMap<ServerId, Metered>;

    /// Returns those that another node may meter by now. Their absence is no gap.
    fn left(&self) -> BTreeSet<ServerId> {
        BTreeSet::new()
    }

    /// Waits for a change since the last call of [`Roll::servers`]. Ends with `false` when there will
    /// be no more. Cancelling it loses nothing.
    fn changed(&mut self) -> impl Future<Output = bool> + Send;
}

/// What the supervisor shows.
pub struct SupervisorRoll {
    census: watch::Receiver<Arc<Census>>,
    observed: watch::Receiver<Arc<BTreeMap<ServerId, Observed>>>,
}

impl SupervisorRoll {
    /// Takes both of the supervisor's views: the second for the times at which processes ended.
    #[must_use]
    pub fn new(
        census: watch::Receiver<Arc<Census>>,
        observed: watch::Receiver<Arc<BTreeMap<ServerId, Observed>>>,
    ) -> Self {
        Self { census, observed }
    }
}

impl Roll for SupervisorRoll {
    fn servers(&mut self) -> BTreeMap<ServerId, Metered> {
        let census = Arc::clone(&self.census.borrow_and_update());
        let observed = Arc::clone(&self.observed.borrow_and_update());
        let mut servers = BTreeMap::new();
        for (&server, it) in &census.existing {
            let metered = Metered {
                tenant: it.tenant,
                limits: it.limits,
                data_dir: it.data_dir.clone(),
                process: None,
                is_looked_at: it.is_looked_at,
                last_exit_at: None,
            };
            servers.insert(server, metered);
        }
        for (&server, it) in &census.running {
            // One that is being deleted has a process and no wish any more.
            let metered = servers.entry(server).or_insert_with(|| Metered {
                tenant: it.tenant,
                limits: it.limits,
                data_dir: it.data_dir.clone(),
                process: None,
                is_looked_at: true,
                last_exit_at: None,
            });
            let (container, started_at) = (it.container.0.clone(), it.started_at);
            let key = RunKey { container, started_at, pid: it.pid };
            metered.process = Some(Process { key, limits: it.limits });
        }
        for (server, metered) in &mut servers {
            let exit = observed.get(server).and_then(|it| it.last_exit.as_ref());
            metered.last_exit_at = exit.map(|exit| exit.at);
        }
        servers
    }

    fn left(&self) -> BTreeSet<ServerId> {
        self.census.borrow().left.clone()
    }

    /// A state counts as a change too: when a server is being stopped, its process is looked at once
    /// more while it is there.
    async fn changed(&mut self) -> bool {
        tokio::select! {
            biased;
            changed = self.census.changed() => changed.is_ok(),
            changed = self.observed.changed() => changed.is_ok(),
        }
    }
}
