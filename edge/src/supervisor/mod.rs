//! Keeps every server as it is wanted, with nothing but the node's own disk and engine.
//!
//! One task looks at what is stored and what the engine shows, asks the pure plan
//! (`mamba_core::lifecycle::plan`) what to do, and does it: at most one operation per server, each
//! with a deadline, each in a task that the supervisor holds. Whatever wakes it only makes it look
//! again, so that a restart, a lost event and a duplicate take the same path.
//!
//! Absences: no step waits for the hub. No step of a start or restart needs the store to be
//! writable, and no stop or kill: what happened meanwhile is kept in memory and stored when that works
//! again. No container is touched that no wish names.

mod handle;
mod entry;
mod boot;
mod look;
mod task;
mod outcome;
mod operation;
mod start;
mod release;
mod install;
#[cfg(test)]
mod tests;

#[cfg(test)]
pub(crate) use tests::spec as example;

pub use handle::SupervisorHandle;
pub use install::InstallBounds;

use crate::{
    calendar::Calendar,
    console::Consoles,
    data::DataDirs,
    runtime::{ContainerId, Runtime, subnet::SubnetPool},
    store::EdgeStore,
};
use mamba_core::{
    clock::{Clock, Entropy, UnixMs},
    desired::Order,
    ids::{EventId, NodeId, ServerId, TenantId, TransferId},
    lifecycle::{Actor, Observed, PowerAction},
    server::{Limits, ServerSpec},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
};
use tokio::sync::{mpsc, watch};

/// Wakes waiting to be seen. Whoever finds the queue full waits, and the supervisor empties it between
/// two looks, so that few are enough.
const WAKES_MAX: usize = 64;

/// What the supervisor works with.
pub struct Parts<R> {
    /// The container engine.
    pub runtime: Arc<R>,
    /// The node's state.
    pub store: EdgeStore,
    /// Consoles of the servers.
    pub consoles: Consoles,
    /// Data of the servers.
    pub data: DataDirs,
    /// For durations.
    pub clock: Arc<dyn Clock>,
    /// For everything agreed with the hub.
    pub calendar: Arc<dyn Calendar>,
    /// For the ids of facts.
    pub entropy: Arc<dyn Entropy>,
}

impl<R> Clone for Parts<R> {
    fn clone(&self) -> Self {
        Self {
            runtime: Arc::clone(&self.runtime),
            store: self.store.clone(),
            consoles: self.consoles.clone(),
            data: self.data.clone(),
            clock: Arc::clone(&self.clock),
            calendar: Arc::clone(&self.calendar),
            entropy: Arc::clone(&self.entropy),
        }
    }
}

/// Settings of the supervisor.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Whose containers are ours.
    pub node: NodeId,
    /// Servers that are started at the same time at most.
    pub starts_max: usize,
    /// Addresses that tenants' networks are cut from.
    pub pool: SubnetPool,
    /// Version of the daemon, for the log.
    pub version: String,
    /// Bounds of install scripts.
    pub install: InstallBounds,
}

/// A power action that the store did not take.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Unstored {
    server: ServerId,
    action: PowerAction,
    by: Actor,
    /// Id of the fact that tells of it.
    event: EventId,
    at: UnixMs,
}

/// Everything that wakes the supervisor from outside. Only one of them says what to do, because there
/// is no other place where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Wake {
    /// Wishes were adopted.
    DesiredChanged,
    /// A power action was recorded.
    PowerChanged(ServerId),
    /// Somebody on the node wants an install script to end.
    InstallChanged(ServerId),
    /// A power action could not be recorded and has to be carried out all the same.
    PowerUnstored(Unstored),
    /// The daemon goes down; containers stay.
    Stopping,
}

/// What there is to meter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Servers with a process.
    pub running: BTreeMap<ServerId, RunningServer>,
    /// All servers that exist, running or not.
    pub existing: BTreeMap<ServerId, ExistingServer>,
    /// Servers that are another node's to meter by now, or may be.
    pub left: BTreeSet<ServerId>,
}

/// A server with a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunningServer {
    /// Which.
    pub server: ServerId,
    /// Whose.
    pub tenant: TenantId,
    /// Its container; with `started_at` it names one process.
    pub container: ContainerId,
    /// Start of the process by the engine's clock.
    pub started_at: UnixMs,
    /// Process id on the machine.
    pub pid: u32,
    /// Limits that are set on it.
    pub limits: Limits,
    /// Its data.
    pub data_dir: PathBuf,
}

/// A server that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExistingServer {
    /// Which.
    pub server: ServerId,
    /// Whose.
    pub tenant: TenantId,
    /// What it may use.
    pub limits: Limits,
    /// Its data.
    pub data_dir: PathBuf,
    /// Whether the hub suspended it.
    pub suspended: bool,
    /// Whether the engine was asked if it runs, since this daemon came up or did something to it.
    pub is_looked_at: bool,
}

/// What is known of one server besides what is observed of it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Card {
    tenant: TenantId,
    order: Order,
    /// `None` when it is being deleted.
    spec: Option<Arc<ServerSpec>>,
    container: Option<String>,
    /// The hand-over to another node for which it was stopped, once no process is left.
    resting: Option<TransferId>,
}

/// What the supervisor shows to others.
struct Shown {
    observed: watch::Sender<Arc<BTreeMap<ServerId, Observed>>>,
    cards: watch::Sender<Arc<BTreeMap<ServerId, Card>>>,
    census: watch::Sender<Arc<Census>>,
    engine_error: watch::Sender<Option<String>>,
}

/// The supervisor, not yet running.
pub struct Supervisor<R> {
    parts: Parts<R>,
    settings: Settings,
    wakes: mpsc::Receiver<Wake>,
    shown: Shown,
}

/// Makes a supervisor and the handle to it. Nothing happens before [`Supervisor::run`].
pub fn supervisor<R: Runtime>(
    parts: Parts<R>,
    settings: Settings,
) -> (Supervisor<R>, SupervisorHandle) {
    let (wakes_sender, wakes) = mpsc::channel(WAKES_MAX);
    let shown = Shown {
        observed: watch::Sender::new(Arc::default()),
        cards: watch::Sender::new(Arc::default()),
        census: watch::Sender::new(Arc::default()),
        engine_error: watch::Sender::new(None),
    };
    let handle = SupervisorHandle::new(&parts, &shown, wakes_sender);
    (Supervisor { parts, settings, wakes, shown }, handle)
}

impl<R: Runtime> Supervisor<R> {
    /// Keeps the servers as they are wanted until [`SupervisorHandle::stop`]. Containers keep running
    /// after it has returned, and after it was cancelled.
    pub async fn run(self) {
        task::Task::new(self).run().await;
    }
}
