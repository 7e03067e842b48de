//! Looks at containers: all of them after the engine came (back) and now and then, one when it changed.
//!
//! A look that began before an operation ended is out of date and thrown away; the plan never acts on
//! it. What is missing in a list of all is looked at once more before it counts as gone.

use super::{
    entry::{Entry, Seen},
    task::{SCAN_MS, Task},
};
use crate::runtime::{
    Container, ContainerId, ContainerStatus, Runtime, RuntimeError, RuntimeEvent,
};
use futures_util::stream::BoxStream;
use mamba_core::{
    clock::BootMs,
    error::chain,
    ids::ServerId,
    lifecycle::{crash::delay_ms, plan::Now},
};
use std::collections::BTreeMap;

/// Pauses between attempts to reach the engine. D4 asks for every server to run 60 s after the daemon
/// came up, which leaves no room for longer ones.
const RETRY_MS_MIN: u32 = 500;
const RETRY_MS_MAX: u32 = 5_000;

/// What is known of the engine.
#[derive(Default)]
pub(super) struct Engine {
    /// What went wrong last, `None` when it answers.
    pub(super) error: Option<String>,
    pub(super) events: Option<BoxStream<'static, RuntimeEvent>>,
    /// When everything is looked at next.
    pub(super) scan_at: BootMs,
    /// Whether everything was looked at once.
    has_listed: bool,
    is_listing: bool,
    failures: u32,
}

impl Engine {
    /// Whether it answers and everything was looked at once.
    pub(super) fn has_shown_all(&self) -> bool {
        self.error.is_none() && self.has_listed
    }
}

/// What a look has shown.
pub(super) enum Looked {
    All {
        /// Versions of the entries when the look began.
        versions: BTreeMap<ServerId, u64>,
        result: Result<Vec<Container>, RuntimeError>,
    },
    One {
        server: ServerId,
        version: u64,
        result: Result<Option<Container>, RuntimeError>,
    },
}

impl<R: Runtime> Task<R> {
    /// Begins the looks that are due.
    pub(super) fn start_looks(&mut self, now: Now) {
        let can_look = self.engine.has_shown_all();
        for (&server, entry) in &mut self.entries {
            let is_due = entry.look_due && entry.operation.is_none() && !entry.is_looking;
            if !is_due || !can_look {
                continue;
            }
            entry.look_due = false;
            let Some(id) = entry.container_id() else {
                self.engine.scan_at = BootMs(0);
                continue;
            };
            entry.is_looking = true;
            let (runtime, version) = (self.parts.runtime.clone(), entry.version);
            self.looks.spawn(async move {
                Looked::One { server, version, result: runtime.inspect(&id).await }
            });
        }
        if self.engine.is_listing || now.boot < self.engine.scan_at {
            return;
        }
        // Before the list, so that nothing is missed in between.
        if self.engine.events.is_none() {
            self.engine.events = Some(self.parts.runtime.events(self.settings.node));
        }
        self.engine.is_listing = true;
        self.engine.scan_at = now.boot.plus(SCAN_MS);
        let versions =
            self.entries.iter().map(|(&server, entry)| (server, entry.version)).collect();
        let (runtime, node) = (self.parts.runtime.clone(), self.settings.node);
        self.looks.spawn(async move { Looked::All { versions, result: runtime.list(node).await } });
    }

    pub(super) fn looked(&mut self, looked: Looked) {
        match looked {
            Looked::All { versions, result } => {
                self.engine.is_listing = false;
                match result {
                    Ok(containers) => self.listed(&versions, containers),
                    Err(err) => self.engine_failed(&err),
                }
            }
            Looked::One { server, version, result } => {
                let Some(entry) = self.entries.get_mut(&server) else { return };
                entry.is_looking = false;
                match result {
                    Ok(container) if entry.version == version && entry.operation.is_none() => {
                        entry.set_seen(container.into());
                    }
                    Ok(_) => entry.look_due = true,
                    Err(err @ (RuntimeError::Unreachable(_) | RuntimeError::TimedOut { .. })) => {
                        entry.look_due = true;
                        self.engine_failed(&err);
                    }
                    // It answers, and cannot say anything about this one: no reason to stop
                    // looking after the others. The next look at everything asks again.
                    Err(err) => {
                        tracing::warn!(%server, error = %chain(&err), "container cannot be seen");
                        let soon = self.parts.clock.boot().plus(u64::from(RETRY_MS_MAX));
                        self.engine.scan_at = self.engine.scan_at.min(soon);
                    }
                }
            }
        }
    }

    /// Nobody knows which look it was: everything is looked at again.
    pub(super) fn look_lost(&mut self) {
        tracing::error!("a look at the containers panicked");
        self.engine.is_listing = false;
        self.entries.values_mut().for_each(|entry| entry.is_looking = false);
        self.engine.scan_at = self.parts.clock.boot().plus(u64::from(RETRY_MS_MAX));
    }

    /// Takes over what a list of all containers shows.
    fn listed(&mut self, versions: &BTreeMap<ServerId, u64>, containers: Vec<Container>) {
        if self.engine.error.take().is_some() {
            tracing::info!("container engine answers");
        }
        self.engine.failures = 0;
        self.engine.has_listed = true;
        let mut found: BTreeMap<ServerId, Container> = BTreeMap::new();
        for container in containers {
            let is_running = matches!(container.status, ContainerStatus::Running { .. });
            // There should be one per server; the one that runs is the one that matters.
            if is_running || !found.contains_key(&container.server) {
                found.insert(container.server, container);
            }
        }
        for (server, entry) in &mut self.entries {
            let container = found.remove(server);
            if entry.operation.is_some() || versions.get(server) != Some(&entry.version) {
                entry.look_due = true;
                continue;
            }
            match container {
                Some(container) => entry.set_seen(Some(container).into()),
                // An engine that has just come up may not know all it has.
                None if entry.container_id().is_some() => entry.look_due = true,
                None => entry.set_seen(Seen::Absent),
            }
        }
        let now = self.parts.calendar.now();
        for (server, container) in found {
            tracing::warn!(%server, container = container.id.0, "container without a wish is left alone");
            let mut entry = Entry::new(server, now);
            entry.set_seen(Some(container).into());
            self.entries.insert(server, entry);
        }
    }

    /// Notes that the engine did not do what was asked, and plans the next attempt.
    pub(super) fn engine_failed(&mut self, err: &RuntimeError) {
        self.engine_lost(chain(err));
    }

    /// Notes that the engine does not answer.
    pub(super) fn engine_lost(&mut self, error: String) {
        if self.engine.error.is_none() {
            tracing::error!(error, "container engine does not answer");
        }
        self.engine.error = Some(error);
        self.engine.failures = self.engine.failures.saturating_add(1);
        let delay_ms = delay_ms(RETRY_MS_MIN, RETRY_MS_MAX, self.engine.failures);
        self.engine.scan_at = self.parts.clock.boot().plus(u64::from(delay_ms));
    }

    pub(super) fn runtime_event(&mut self, event: Option<RuntimeEvent>) {
        match event {
            Some(RuntimeEvent::Changed(server)) => match self.entries.get_mut(&server) {
                Some(entry) => entry.look_due = true,
                None => self.engine.scan_at = BootMs(0),
            },
            Some(RuntimeEvent::Rescan) => self.engine.scan_at = BootMs(0),
            None => {
                self.engine.events = None;
                let soon = self.parts.clock.boot().plus(u64::from(RETRY_MS_MIN));
                self.engine.scan_at = self.engine.scan_at.min(soon);
            }
        }
    }

    /// What a server is taken for before anybody looked: after the first look at everything, a
    /// server without an entry has no container.
    pub(super) fn seen_at_first(&self) -> Seen {
        if self.engine.has_listed { Seen::Absent } else { Seen::Unseen }
    }
}

impl Entry {
    /// The container that a look is worth.
    fn container_id(&self) -> Option<ContainerId> {
        let seen = self.seen.container().map(|container| container.id.clone());
        seen.or_else(|| self.life.run.as_ref().map(|run| run.container.clone()))
    }

    /// Takes over what was seen.
    pub(super) fn set_seen(&mut self, seen: Seen) {
        if let (Seen::Running(container, _), Some(run)) = (&seen, &self.life.run)
            && container.id != run.container
        {
            // Another process than the one on record: adopted like any other.
            self.life.run = None;
            self.changed();
        }
        self.learn_limits(&seen);
        if !matches!(seen, Seen::Running(..) | Seen::Unseen) && self.life.run.is_none() {
            self.stopping = None;
        }
        self.seen = seen;
    }

    /// Believes the engine, and not the record, about a process that another life of this daemon
    /// left: a disk that was taken back, or a crash at a change, leaves an older record, and that
    /// would be billed. Later looks are not believed: an engine may round what was set.
    fn learn_limits(&mut self, seen: &Seen) {
        let Seen::Running(container, _) = seen else { return };
        let is_new = self.known.as_ref() != Some(&container.id);
        let (Some(run), Some(set), true) = (&mut self.life.run, container.allocated, is_new) else {
            return;
        };
        let limits = set.within(run.limits);
        if limits != run.limits {
            run.limits = limits;
            self.changed();
        }
    }
}
