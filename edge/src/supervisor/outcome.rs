//! What follows when an operation ends, and what consoles tell.

use super::{
    entry::{Kind, RunningAs, Save, Seen},
    operation::{self, Outcome, StepError},
    start::{Session, Started},
    task::{SessionNews, Task},
};
use crate::{
    console::pump,
    runtime::{ContainerId, Runtime},
    store::Run,
};
use mamba_core::{
    clock::BootMs,
    fact::Activity,
    ids::ServerId,
    lifecycle::{
        Actor, Exit, PowerAction,
        crash::{Cause, Verdict, delay_ms, judge},
        install::InstallRecord,
        plan::{ConsoleLink, Ending, Fingerprint, StepFailure},
    },
    server::{Limits, RestartPolicy},
    units::{Mib, Millicores},
};
use std::sync::Arc;
use tokio::sync::oneshot;

/// Pauses between attempts at a step that fails: a registry that comes back is used within half a
/// minute, and one that stays away costs two attempts a minute.
const STEP_RETRY_MS_MIN: u32 = 1_000;
const STEP_RETRY_MS_MAX: u32 = 30_000;
/// Pause before a console that was lost is attached again.
const CONSOLE_RETRY_MS: u64 = 2_000;
/// Exit code of a process whose container is gone: nobody knows the real one.
const CODE_UNKNOWN: i64 = -1;

impl<R: Runtime> Task<R> {
    /// Takes over how an operation ended.
    pub(super) fn operation_done(&mut self, server: ServerId, outcome: Outcome) {
        let Some(entry) = self.entries.get_mut(&server) else { return };
        let Some(operation) = entry.operation.take() else { return };
        entry.version += 1;
        match outcome {
            Outcome::Aborted => self.aborted(server, &operation.kind),
            Outcome::Fetched { image, result } => match result {
                Ok(()) => entry.image_ready = Some(image),
                Err(err) => self.step_failed(server, err),
            },
            Outcome::Started(result) => match result {
                Ok(started) => self.started(server, *started),
                Err(err) => {
                    // It may have had its effect all the same.
                    self.unseen(server);
                    self.step_failed(server, err);
                }
            },
            Outcome::Asked(result) | Outcome::Killed(result) => {
                entry.look_due = true;
                // The grace period, and the next kill, are the second attempts.
                if let Err(err) = result {
                    tracing::warn!(%server, step = err.step, error = err.error, "step failed");
                    if err.is_unreachable {
                        self.engine_lost(err.error);
                    }
                }
            }
            Outcome::Attached { container, result } => self.attached(server, &container, result),
            Outcome::Updated { limits, result } => match result {
                Ok(()) => {
                    if let Some(run) = &mut entry.life.run {
                        run.limits = limits;
                    }
                    self.step_worked(server);
                }
                Err(err) => self.step_failed(server, err),
            },
            Outcome::Ended { exit, cause, lines } => self.ended(server, exit, cause, lines),
            Outcome::Installed(result) => self.installed(server, result),
            Outcome::Removed(result) => {
                self.unseen(server);
                match result {
                    Ok(()) => self.step_worked(server),
                    Err(err) => self.step_failed(server, err),
                }
            }
            Outcome::Disposed(result) => match result {
                Ok(trash) => {
                    entry.trash = Some(trash);
                    // The rows went in the same transaction.
                    entry.life = crate::store::Life::default();
                    entry.install = None;
                    entry.unsaved.install = None;
                    entry.unsaved.life = None;
                    entry.unsaved.power = None;
                    entry.save = match (&entry.save, entry.unsaved.facts.is_empty()) {
                        (Save::Due(_), true) => Save::Clean,
                        (save, _) => *save,
                    };
                }
                Err(err) => self.step_failed(server, err),
            },
        }
    }

    /// Nobody knows what an operation did that was cut off.
    fn aborted(&mut self, server: ServerId, kind: &Kind) {
        match kind {
            Kind::Start { .. } => {
                self.say(server, "start was aborted");
                self.parts.consoles.set_input(server, None);
                self.unseen(server);
            }
            Kind::Adopt => self.detached(server),
            Kind::Fetch { .. }
            | Kind::Stop
            | Kind::Kill
            | Kind::Install { .. }
            | Kind::EndInstall
            | Kind::UpdateLimits
            | Kind::RecordExit
            | Kind::Remove
            | Kind::Trash
            | Kind::Purge => {
                if let Some(entry) = self.entries.get_mut(&server) {
                    entry.look_due = true;
                }
            }
        }
    }

    /// Forgets what was seen until somebody has looked again.
    fn unseen(&mut self, server: ServerId) {
        if let Some(entry) = self.entries.get_mut(&server) {
            entry.seen = Seen::Unseen;
            entry.look_due = true;
        }
    }

    fn started(&mut self, server: ServerId, started: Started) {
        let Started { run, subnet, session, seen } = started;
        let Some(entry) = self.entries.get_mut(&server) else { return };
        self.subnets.extend(entry.tenant().map(|tenant| (tenant, subnet)));
        let (container, is_ready) = (run.container.clone(), run.is_ready);
        entry.seen = seen;
        entry.known = Some(container.clone());
        entry.life.run = Some(run);
        entry.stopping = None;
        self.step_worked(server);
        self.report(server, Activity::Started);
        self.say(server, "started");
        if is_ready {
            self.report(server, Activity::Ready { after_ms: 0 });
        }
        self.begin_session(server, container, session);
    }

    /// Takes over a process that runs: records it, then attaches to its console.
    pub(super) fn adopt(&mut self, server: ServerId) {
        let Some(entry) = self.entries.get(&server) else { return };
        let Seen::Running(container, RunningAs { started_at, .. }) = &entry.seen else { return };
        let (container, by_engine) = (container.clone(), *started_at);
        let (started_at, now) = (self.on_calendar(by_engine), self.parts.calendar.now());
        let Some(entry) = self.entries.get_mut(&server) else { return };
        if entry.power.number == 0 {
            // The store was lost and the game was not: somebody wanted it, and it goes on.
            entry.power = entry.power.then(PowerAction::Start, Actor::Edge, now);
            entry.unsaved.power = Some(entry.power.clone());
        }
        if entry.life.run.is_none() {
            let Some(wish) = &entry.wish else { return };
            let order = wish.envelope.order;
            let is_current = order.generation == container.generation;
            entry.life.run = Some(Run {
                container: container.id.clone(),
                order: mamba_core::desired::Order { generation: container.generation, ..order },
                fingerprint: wish
                    .fingerprint
                    .filter(|_| is_current)
                    .unwrap_or(Fingerprint([0; 32])),
                // The rest is unknown, so that what the wish says is set on it.
                limits: container.allocated.map_or(NO_LIMITS, |set| set.within(NO_LIMITS)),
                // It counts as started under what is wanted now; a process that nobody wants is
                // older than every kill.
                power: if entry.power.wish.running { entry.power.number } else { 0 },
                started_at,
                is_ready: entry.spec().is_some_and(|spec| spec.done.is_empty()),
            });
            entry.changed();
        }
        let is_new = entry.known.as_ref() != Some(&container.id);
        let is_ready = entry.life.run.as_ref().is_some_and(|run| run.is_ready);
        let unready = entry.spec().filter(|_| !is_ready).map(|spec| (Arc::clone(spec), by_engine));
        entry.known = Some(container.id.clone());
        if is_new {
            self.report(server, Activity::Adopted);
        }
        let work = operation::attach(self.parts.clone(), server, container.id, unready);
        self.spawn(server, Kind::Adopt, work);
    }

    fn attached(
        &mut self,
        server: ServerId,
        container: &ContainerId,
        result: Result<Session, StepError>,
    ) {
        match result {
            Ok(session) => self.begin_session(server, container.clone(), session),
            Err(err) => {
                tracing::warn!(%server, error = err.error, "console could not be attached");
                if err.is_unreachable {
                    self.engine_lost(err.error);
                }
                self.detached(server);
            }
        }
    }

    fn detached(&mut self, server: ServerId) {
        let retry_at = self.parts.clock.boot().plus(CONSOLE_RETRY_MS);
        if let Some(entry) = self.entries.get_mut(&server) {
            entry.console = ConsoleLink::Detached { retry_at };
            entry.look_due = true;
        }
    }

    /// Reads a console until its output ends.
    fn begin_session(&mut self, server: ServerId, container: ContainerId, session: Session) {
        let Session { attached, ready } = session;
        let Some(entry) = self.entries.get_mut(&server) else { return };
        entry.console = ConsoleLink::Attached;
        let (drained, is_drained) = oneshot::channel::<()>();
        entry.drained = Some(is_drained);
        self.parts.consoles.set_input(server, Some(attached.input));
        let (sink, id) = (self.parts.consoles.sink(server), container.clone());
        self.sessions.spawn(async move {
            if let Err(err) = pump(attached.output, &sink).await {
                tracing::debug!(%server, error = %err, "console output ended");
            }
            drop(drained);
            SessionNews::Ended(server, id)
        });
        if let Some(ready) = ready {
            self.sessions.spawn(async move {
                match ready.await {
                    Ok(_) => SessionNews::Ready(server, container),
                    Err(_) => SessionNews::NotReady,
                }
            });
        }
    }

    pub(super) fn session_news(&mut self, news: SessionNews) {
        match news {
            SessionNews::NotReady => {}
            SessionNews::Ready(server, container) => self.ready(server, &container),
            SessionNews::Ended(server, container) => {
                let of_run = |run: &Run| run.container == container;
                let entry = self.entries.get(&server);
                if entry.and_then(|entry| entry.life.run.as_ref()).is_some_and(of_run) {
                    self.parts.consoles.set_input(server, None);
                    // Mostly because the process ended; if not, it is attached again.
                    self.detached(server);
                }
            }
        }
    }

    fn ready(&mut self, server: ServerId, container: &ContainerId) {
        let now = self.parts.calendar.now();
        let Some(entry) = self.entries.get_mut(&server) else { return };
        let Some(run) = entry.life.run.as_mut().filter(|run| run.container == *container) else {
            return;
        };
        if run.is_ready {
            return;
        }
        run.is_ready = true;
        let after_ms = now.since(run.started_at);
        self.report(server, Activity::Ready { after_ms });
    }

    /// Records the end of a process.
    fn ended(&mut self, server: ServerId, exit: Option<Exit>, cause: Cause, lines: Vec<String>) {
        let now = self.parts.calendar.now();
        let at = exit.as_ref().map_or(now, |exit| self.on_calendar(exit.at));
        let exit = match exit {
            Some(exit) => Exit { at, ..exit },
            None => Exit { code: CODE_UNKNOWN, oom_killed: false, at },
        };
        let Some(entry) = self.entries.get_mut(&server) else { return };
        let policy = entry.spec().map_or_else(RestartPolicy::default, |spec| spec.restart);
        let verdict = judge(&policy, &mut entry.life.crashes, &exit, cause);
        let killed = entry.stopping.take().is_some_and(|stopping| stopping.killed_at.is_some());
        entry.life.run = None;
        entry.life.ending = Some(Ending { exit: exit.clone(), verdict, power: entry.power.number });
        entry.console = ConsoleLink::Detached { retry_at: BootMs(0) };
        self.parts.consoles.set_input(server, None);
        let code = exit.code;
        match (cause, verdict, verdict.crashes()) {
            (Cause::Asked, ..) => {
                self.say(server, &format!("stopped with code {code}"));
                self.report(server, Activity::Stopped { exit, killed });
            }
            (Cause::Itself, verdict, Some(crashes)) => {
                let oom = if exit.oom_killed { ", out of memory" } else { "" };
                self.say(server, &format!("crashed with code {code}{oom}"));
                self.report(server, Activity::Crashed { exit, crashes, lines });
                if let Verdict::GaveUp { crashes } = verdict {
                    self.say(server, &format!("not restarted after {crashes} crashes"));
                    self.report(server, Activity::GaveUp { crashes });
                }
            }
            (Cause::Itself, _, None) => {
                self.say(server, &format!("ended with code {code}"));
                self.report(server, Activity::Ended { exit });
            }
        }
    }

    /// Takes over what is kept of a run of the install script.
    fn installed(&mut self, server: ServerId, result: Result<InstallRecord, StepError>) {
        match result {
            Ok(record) => {
                if let Some(entry) = self.entries.get_mut(&server) {
                    entry.install = Some(record);
                }
                self.step_worked(server);
            }
            Err(err) => self.step_failed(server, err),
        }
    }

    fn step_worked(&mut self, server: ServerId) {
        if let Some(entry) = self.entries.get_mut(&server) {
            entry.life.failure = None;
            entry.changed();
        }
    }

    /// Plans the next attempt at what failed.
    fn step_failed(&mut self, server: ServerId, err: StepError) {
        if err.is_unreachable {
            // The engine's failure, not the server's: no attempt is counted.
            self.engine_lost(err.error);
            return;
        }
        let now = self.parts.calendar.now();
        let Some(entry) = self.entries.get_mut(&server) else { return };
        let power = entry.power.number;
        let before = entry.life.failure.take().filter(|failure| failure.power == power);
        let attempts = before.as_ref().map_or(1, |failure| failure.attempts.saturating_add(1));
        let is_news = before.is_none_or(|it| it.step != err.step || it.error != err.error);
        let delay_ms = delay_ms(STEP_RETRY_MS_MIN, STEP_RETRY_MS_MAX, attempts);
        let (step, error) = (err.step.to_owned(), err.error);
        entry.life.failure = Some(StepFailure {
            step: step.clone(),
            error: error.clone(),
            retry_at: now.plus(u64::from(delay_ms)),
            delay_ms,
            attempts,
            power,
        });
        entry.changed();
        // The same failure again and again is told once.
        if is_news {
            tracing::warn!(%server, step, error, "step failed");
            self.say(server, &format!("{step} failed: {error}"));
            self.report(server, Activity::StepFailed { step, error });
        }
    }
}

const NO_LIMITS: Limits = Limits {
    memory_mib: Mib(0),
    swap_mib: Mib(0),
    cpu_millicores: Millicores(0),
    disk_mib: Mib(0),
    pids: 0,
    sharing: mamba_core::server::Sharing::USUAL,
};
