//! Looks at the machine every few seconds and joins it with what the supervisor sees.

use super::troubles;
use crate::{
    calendar::{Calendar, HubCalendar},
    link::backend::View,
    meter::MeterHandle,
    outbox,
    runtime::{EngineInfo, Runtime, RuntimeError},
};
use mamba_core::{
    clock::{Clock, UnixMs},
    db::Store,
    ids::ServerId,
    lifecycle::Observed,
};
use mamba_wire::link::v1::NodeState;
use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};
use tokio::sync::watch;

/// Time between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Sizes that only drift are told again after this; troubles are told at once.
const RETELL_MS: u64 = 60_000;

/// Where a machine is looked at.
pub struct Machine<R> {
    /// Engine.
    pub runtime: Arc<R>,
    /// Store, for its health and the outbox.
    pub store: Store,
    /// Folder whose file system counts.
    pub data_dir: PathBuf,
    /// Calendar, for its troubles.
    pub calendar: Arc<HubCalendar>,
    /// Meter, for its troubles.
    pub meter: MeterHandle,
    /// Clock that looks are spaced by.
    pub clock: Arc<dyn Clock>,
    /// What went wrong at the start and people should know until the next.
    pub notices: Vec<String>,
}

impl<R> Clone for Machine<R> {
    fn clone(&self) -> Self {
        Self {
            runtime: Arc::clone(&self.runtime),
            store: self.store.clone(),
            data_dir: self.data_dir.clone(),
            calendar: Arc::clone(&self.calendar),
            meter: self.meter.clone(),
            clock: Arc::clone(&self.clock),
            notices: self.notices.clone(),
        }
    }
}

/// One look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// What the hub is told.
    pub state: NodeState,
    /// What the engine said.
    pub engine: Result<EngineInfo, RuntimeError>,
}

impl<R: Runtime> Machine<R> {
    /// Looks once.
    pub async fn look(&self) -> Look {
        let engine = self.runtime.info().await;
        let disk = disk(&self.data_dir);
        let now = self.calendar.now();
        let read = self.store.read(|txn| {
            let trouble = outbox::trouble(txn)?;
            Ok::<_, outbox::OutboxError>((outbox::lines(txn)?, trouble))
        });
        let health = self.store.health().borrow().clone();
        let error = engine.as_ref().err().map(ToString::to_string);
        let mut troubles = troubles(error.as_deref(), &health, disk, self.calendar.trouble());
        troubles.extend(self.meter.trouble());
        troubles.extend(self.notices.iter().cloned());
        let lines = match read {
            Ok((lines, trouble)) => {
                troubles.extend(trouble);
                lines
            }
            Err(err) => {
                troubles.push(mamba_core::error::chain(&err));
                Vec::new()
            }
        };
        let info = engine.as_ref().ok();
        let (disk_bytes, disk_free_bytes) = disk.unwrap_or_default();
        let state = NodeState {
            cpus: info.map_or(0, |info| info.cpus),
            memory_bytes: info.map_or(0, |info| info.memory_bytes),
            disk_bytes,
            disk_free_bytes,
            engine: info.map(|info| info.version.clone()),
            troubles,
            outbox: lines.iter().map(|line| outbox::state(line, now)).collect(),
        };
        Look { state, engine }
    }

    /// Keeps `view` true until it is dropped: what the supervisor sees at once, the machine when it
    /// changed or after a minute. Its first change comes after the first look at the machine.
    pub async fn watch(
        self,
        mut servers: watch::Receiver<Arc<BTreeMap<ServerId, Observed>>>,
        view: watch::Sender<Arc<View>>,
    ) {
        let node = self.look().await.state;
        let seen = servers.borrow_and_update().as_ref().clone();
        view.send_replace(Arc::new(View { servers: seen, node }));
        let mut told = self.clock.boot();
        let mut due = tokio::time::interval(LOOK_EVERY);
        due.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                changed = servers.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    see(&mut servers, &view);
                }
                _ = due.tick() => {
                    let node = self.look().await.state;
                    let old = Arc::clone(&view.borrow());
                    let is_news = node.troubles != old.node.troubles || node.engine != old.node.engine;
                    let now = self.clock.boot();
                    if is_news || now.since(told) >= RETELL_MS {
                        told = now;
                        let servers = old.servers.clone();
                        view.send_replace(Arc::new(View { servers, node }));
                    }
                }
            }
        }
    }
}

/// Returns size and free bytes of the file system that holds `path`.
pub(super) fn disk(path: &std::path::Path) -> Option<(u64, u64)> {
    let it = rustix::fs::statvfs(path).ok()?;
    Some((it.f_blocks * it.f_frsize, it.f_bavail * it.f_frsize))
}

/// Takes over what the supervisor sees.
fn see(
    servers: &mut watch::Receiver<Arc<BTreeMap<ServerId, Observed>>>,
    view: &watch::Sender<Arc<View>>,
) {
    let servers = servers.borrow_and_update().as_ref().clone();
    let node = view.borrow().node.clone();
    view.send_replace(Arc::new(View { servers, node }));
}

/// Keeps `view` true, as [`Machine::watch`], of a machine that is made up: it stays as `view` says. For
/// simulations and benches.
pub async fn watch_servers(
    mut servers: watch::Receiver<Arc<BTreeMap<ServerId, Observed>>>,
    view: watch::Sender<Arc<View>>,
) {
    loop {
        see(&mut servers, &view);
        if servers.changed().await.is_err() {
            return;
        }
    }
}

/// Returns what is said before the first look.
#[must_use]
pub fn unseen() -> View {
    let node = NodeState {
        cpus: 0,
        memory_bytes: 0,
        disk_bytes: 0,
        disk_free_bytes: 0,
        engine: None,
        troubles: Vec::new(),
        outbox: Vec::new(),
    };
    View { servers: BTreeMap::new(), node }
}

/// Returns how far the system's clock is from the calendar, in milliseconds.
pub(super) fn clock_error_ms(wall: UnixMs, calendar: UnixMs) -> u64 {
    wall.0.abs_diff(calendar.0)
}
