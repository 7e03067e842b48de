//! Meters the servers of this node: reads the kernel's counters, keeps a [`ServerMeter`] for each
//! server, and appends its facts to the outbox.
//!
//! One task owns all of it. Every ten seconds, and whenever the supervisor sees a change, it looks at
//! the processes (`probe`), moves each meter on (`server`), and commits meters that made facts, and
//! all of them once a minute, each in one transaction with its facts and the calendar (`commit`).
//! Nothing waits for this task, and it waits for nothing but the store and the files it reads.
//!
//! Tables 30 to 39 of the edge's store: 30 `meters`, one `Kept` per server; 39 is the calendar's.
//!
//! What a crash costs. The meter on disk and the facts in the outbox are of one moment; the daemon
//! goes on from there. For the same process, CPU, bytes sent and allocated amounts continue exactly;
//! memory and disk over the time since the last commit are bridged at their lower end up to five
//! minutes and are a `recovered` gap beyond. After a restart of the machine the time since the last
//! commit, at most a minute while the daemon ran, is part of a `reboot` gap.
//!
//! When the store takes no writes the meters go on in memory, with windows of an hour, and are
//! committed when it does again. A commit of which it is not known whether it happened is repeated
//! as it was; each row counts its commits, so that the second time finds that the first did happen.
//!
//! Cost of a look: per server four or five small files of `/proc` and of the control groups, read on
//! a thread for blocking work. Where a process's groups are is found once and remembered. Data
//! directories are counted one at a time, each at most every 150 s.

mod cgroup;
mod disk;
#[cfg(any(test, feature = "test-support"))]
mod fake;
mod probe;
mod recent;
mod roll;
mod server;
mod commit;
mod task;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_docker;

pub(crate) use disk::size as disk_size;
#[cfg(any(test, feature = "test-support"))]
pub use fake::FakeProbe;
pub use probe::{Probe, Seen, SystemProbe};
pub use roll::{Metered, Process, Roll, SupervisorRoll};
pub use task::Meter;

use crate::calendar::HubCalendar;
use mamba_core::{
    clock::{Clock, UnixMs},
    db::{Store, Table, TableDef},
    ids::ServerId,
    record,
    usage::window::ServerMeter,
};
use mamba_wire::node::Moment;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::sync::{mpsc, oneshot, watch};

/// Commands waiting for the task. They come from people and from the shutdown.
const COMMANDS_MAX: usize = 64;
/// Time between two looks at all processes that nobody asked for.
const SAMPLE_MS: u64 = 10_000;

const METERS: Table<ServerId, Kept> = Table::new(30, "meters");

/// Tables of this module, for the list of all tables of the store.
pub const TABLES: [TableDef; 1] = [METERS.def()];

/// The meter of one server on disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    /// Counts the commits of this row.
    commit: u64,
    meter: ServerMeter,
}
record!(Kept, 1);

/// How often things are done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MeterConfig {
    /// Between two looks at all processes.
    pub sample: Duration,
    /// Between two commits of meters that made no facts: what a power cut costs at most.
    pub checkpoint_ms: u64,
    /// Between two counts of the same data directory.
    pub disk_ms: u64,
}

impl Default for MeterConfig {
    fn default() -> Self {
        Self { sample: Duration::from_millis(SAMPLE_MS), checkpoint_ms: 60_000, disk_ms: 150_000 }
    }
}

/// What a server uses now, for people.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LiveSample {
    /// When it was read, by the calendar.
    pub at: UnixMs,
    /// Working set in bytes. `None` without a process.
    pub memory_bytes: Option<u64>,
    /// CPU since the look before, in thousandths of a core.
    pub cpu_millicores: Option<u64>,
    /// Bytes sent since the process was started.
    pub sent_bytes: Option<u64>,
    /// Bytes sent per second since the look before.
    pub sent_bytes_per_s: Option<u64>,
    /// Bytes of the data directory when they were counted last, and when.
    pub disk: Option<(u64, UnixMs)>,
}

/// What the task shows to others.
#[derive(Clone, Debug, Default)]
struct Shown {
    live: BTreeMap<ServerId, LiveSample>,
    /// Why nothing can be committed, in one line.
    trouble: Option<String>,
}

enum Command {
    /// Looks at everything now.
    Look,
    /// Looks, cuts all windows and commits.
    Flush(oneshot::Sender<bool>),
    /// Tells what a server used in the last minutes.
    Recent(ServerId, oneshot::Sender<Vec<Moment>>),
}

/// Talks to the meter. Cheap to clone; when all clones are gone the task ends.
#[derive(Clone)]
pub struct MeterHandle {
    commands: mpsc::Sender<Command>,
    shown: watch::Receiver<Arc<Shown>>,
}

impl MeterHandle {
    /// Returns what a server used when it was looked at last. `None` when it was not yet.
    #[must_use]
    pub fn current(&self, server: ServerId) -> Option<LiveSample> {
        self.shown.borrow().live.get(&server).copied()
    }

    /// Returns why usage cannot be committed, in one line for people. It is measured all the same.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.shown.borrow().trouble.clone()
    }

    /// Asks for a look at all processes, for example before one is stopped. Never waits; when the
    /// task is busy the next look comes in its time.
    pub fn look(&self) {
        self.commands.try_send(Command::Look).ok();
    }

    /// Returns what a server used in the last ten minutes, oldest first; [`Moment`] says what its numbers
    /// are. Empty when it had no process then, or this daemon did not run. `None` when the task has too
    /// much to do. Cancelled, nothing is lost.
    pub async fn recent(&self, server: ServerId) -> Option<Vec<Moment>> {
        let (reply, told) = oneshot::channel();
        self.commands.try_send(Command::Recent(server, reply)).ok()?;
        told.await.ok()
    }

    /// Closes all windows and commits them: for the shutdown. Returns whether everything is on disk.
    /// Cancelled, it is done all the same.
    pub async fn flush(&self) -> bool {
        let (reply, done) = oneshot::channel();
        self.commands.send(Command::Flush(reply)).await.is_ok() && done.await.unwrap_or(false)
    }
}

/// What the meter works with.
pub struct MeterParts<P, R> {
    /// Where meters and facts are kept; the outbox must have been made in it.
    pub store: Store,
    /// For durations, and to place the engine's times.
    pub clock: Arc<dyn Clock>,
    /// For the placement of facts.
    pub calendar: Arc<HubCalendar>,
    /// How the machine is looked at.
    pub probe: P,
    /// Which servers there are.
    pub roll: R,
    /// How often.
    pub config: MeterConfig,
}
