//! Runs an install script in a container of its own, or takes up a run that an earlier daemon began.
//!
//! In order: what ended already is only written down; a container of this very run is followed; else
//! one is made. Its end is marked in a file, the container removed, and the end written to the store
//! with its fact. Cut off anywhere, the next attempt goes on from what it finds.

use super::{
    Parts,
    operation::{Hold, Outcome, StepError, blocking, runtime_step, store_step},
    start::{ENGINE_MS_MAX, Net, network},
};
use crate::{
    console::LINE_BYTES_MAX,
    runtime::{
        ContainerStatus, Installer, InstallerSpec, LogLine, OutputSource, PullProgress, Runtime,
    },
};
use mamba_core::{
    clock::UnixMs,
    desired::Order,
    fact::{Activity, ActivityFact, CRASH_LINE_BYTES_MAX, CRASH_LINES_MAX},
    ids::{EventId, ServerId},
    lifecycle::{
        Actor,
        install::{InstallEnd, InstallOutcome, InstallRecord},
    },
    server::{Install, ServerSpec, install_limits, mask},
    units::Mib,
};
use mamba_wire::node::{ConsoleLine, LineSource};
use std::{sync::Arc, time::Duration};
use tokio::sync::mpsc;

/// Time between two looks at a run.
const LOOK_MS: u64 = 500;
/// Time between two measurements of the disk; one walks the server's files.
const MEASURE_MS: u64 = 15_000;
/// Wait for the last lines of a script that ended.
const LAST_LINES_MS: u64 = 200;
/// Most lines taken at one look; what is above is not kept. A script that prints more than that in half
/// a second says nothing that anybody reads.
const LINES_MAX: u32 = 5_000;
/// Longest fetch of the image.
const FETCH_MS_MAX: u64 = 900_000;
/// Longest work on the server's files: wiping or giving away millions of them.
const FILES_MS_MAX: u64 = 600_000;
/// Longest measurement of the server's files.
const SIZE_MS_MAX: u64 = 120_000;
/// Longest wait for the store.
const STORE_MS_MAX: u64 = 10_000;
/// Exit codes of a process that somebody else ended: SIGKILL and SIGTERM.
const ENDED_BY_SIGNAL: [i64; 2] = [137, 143];
/// What the engine says of a process whose end it missed. A script may end so too (`exit -1`).
const END_MISSED: i64 = 255;

/// Bounds of runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InstallBounds {
    /// Longest life of a script, in milliseconds.
    pub run_ms_max: u64,
    /// Free bytes on the servers' disk below which no run begins, and one that runs is ended: the
    /// worlds of the other servers need room more than this one.
    pub free_bytes_min: u64,
}

impl Default for InstallBounds {
    fn default() -> Self {
        Self { run_ms_max: mamba_core::server::INSTALL_MS_MAX, free_bytes_min: 512 << 20 }
    }
}

/// Everything that a run needs to know.
#[derive(Clone, Debug)]
pub(super) struct InstallPlan {
    pub(super) net: Net,
    pub(super) server: ServerId,
    pub(super) asked: Order,
    pub(super) spec: Arc<ServerSpec>,
    pub(super) bounds: InstallBounds,
    /// Ids of the facts of its begin and its end.
    pub(super) events: [EventId; 2],
}

/// A run that is to be ended.
#[derive(Clone, Debug)]
pub(super) struct EndPlan {
    pub(super) net: Net,
    pub(super) server: ServerId,
    pub(super) asked: Order,
    pub(super) outcome: InstallOutcome,
    pub(super) event: EventId,
    /// Who wanted it.
    pub(super) by: Actor,
}

/// Makes a run or takes one up.
pub(super) async fn install<R: Runtime>(parts: Parts<R>, plan: InstallPlan, hold: Hold) -> Outcome {
    let result = match plan.spec.install.clone() {
        Some(install) => {
            Run { parts: &parts, plan: &plan, install: &install, hold: &hold }.run().await
        }
        None => Err(StepError::new("install: begin", "there is no script any more".to_owned())),
    };
    Outcome::Installed(result)
}

/// Ends a run: removes its container and writes down how it ended.
pub(super) async fn end<R: Runtime>(parts: Parts<R>, plan: EndPlan) -> Outcome {
    let EndPlan { net, server, asked, outcome, event, by } = plan;
    let at = parts.calendar.now();
    // An end that was seen, and could not be written down, stays what it was.
    let data = parts.data.clone();
    let mark = blocking("install: read mark", STORE_MS_MAX, move || data.install_mark(server));
    let mark = mark.await.unwrap_or_default().filter(|mark| mark.asked == asked);
    let end = mark.and_then(|mark| mark.end).unwrap_or(InstallEnd { at, outcome });
    let close = Close { net, server, asked, event, by, begun_at: at };
    let text = match &end.outcome {
        InstallOutcome::Failed { error, .. } => format!("install failed: {error}"),
        InstallOutcome::Installed => "install script ended well".to_owned(),
        InstallOutcome::Cancelled => "install was cancelled".to_owned(),
    };
    say(&parts, server, asked, &text).await;
    Outcome::Installed(close.close(&parts, end).await)
}

/// A run that is being made.
struct Run<'a, R> {
    parts: &'a Parts<R>,
    plan: &'a InstallPlan,
    install: &'a Install,
    hold: &'a Hold,
}

impl<R: Runtime> Run<'_, R> {
    async fn run(&self) -> Result<InstallRecord, StepError> {
        let Self { parts, plan, .. } = self;
        let (server, asked) = (plan.server, plan.asked);
        let data = parts.data.clone();
        let mark = blocking("install: read mark", STORE_MS_MAX, move || data.install_mark(server));
        let mark = mark.await?.filter(|mark| mark.asked >= asked);
        let record = self.begin().await?;
        if record.asked != asked || record.cancel.is_some() || record.end.is_some() {
            return Ok(record);
        }
        let close = Close {
            net: plan.net.clone(),
            server,
            asked,
            event: plan.events[1],
            by: Actor::Edge,
            begun_at: record.begun_at,
        };
        // An earlier daemon saw it end and did not come to write it down.
        if let Some(end) = mark.and_then(|mark| mark.end) {
            return close.close(parts, end).await;
        }
        let outcome = self.script().await?;
        let end = InstallEnd { at: parts.calendar.now(), outcome };
        close.close(parts, end).await
    }

    async fn begin(&self) -> Result<InstallRecord, StepError> {
        let Self { parts, plan, .. } = self;
        let (asked, at) = (plan.asked, parts.calendar.now());
        let fact = ActivityFact {
            event: plan.events[0],
            at,
            about: Some((plan.net.tenant, plan.server)),
            actor: Actor::Edge,
            body: Activity::InstallBegun { asked },
        };
        let write = parts.store.begin_install(asked, fact);
        store_step("install: record begin", STORE_MS_MAX, write).await
    }

    /// Sees the script to its end, from the beginning or from where it is.
    async fn script(&self) -> Result<InstallOutcome, StepError> {
        let found = self.look().await?.filter(|found| found.asked == self.plan.asked);
        let is_fresh = match found.map(|found| found.status) {
            Some(ContainerStatus::Running { .. } | ContainerStatus::Exited { .. }) => false,
            Some(ContainerStatus::Created) | None => true,
        };
        if is_fresh {
            self.start().await?;
        } else {
            self.say("install goes on after a restart of the daemon").await;
        }
        let outcome = self.follow().await?;
        let text = match &outcome {
            InstallOutcome::Installed => "install script ended well".to_owned(),
            InstallOutcome::Failed { error, .. } => format!("install failed: {error}"),
            InstallOutcome::Cancelled => "install was cancelled".to_owned(),
        };
        self.say(&text).await;
        Ok(outcome)
    }

    /// Makes the container and starts it.
    async fn start(&self) -> Result<(), StepError> {
        let Self { parts, plan, install, hold } = self;
        let (server, data) = (plan.server, parts.data.clone());
        network(parts, &plan.net).await?;
        let free = blocking("install: measure disk", STORE_MS_MAX, move || data.free_bytes());
        if let Some(error) = too_full(free.await?, &plan.bounds) {
            return Err(StepError::new("install: check disk", error));
        }
        self.fetch().await?;
        let (data, wanted) = (parts.data.clone(), (*install).clone());
        let prepare = move || data.prepare_install(server, &wanted);
        let dirs = blocking("install: prepare files", FILES_MS_MAX, prepare).await?;
        let spec = InstallerSpec {
            node: plan.net.node,
            tenant: plan.net.tenant,
            server,
            asked: plan.asked,
            image: install.image.clone(),
            entrypoint: install.entrypoint.clone(),
            environment: environment(&plan.spec, server),
            limits: install_limits(&plan.spec.limits),
            data_dir: dirs.data,
            script_dir: dirs.script,
        };
        self.say(&format!("install begins in `{}`", install.image)).await;
        let create = parts.runtime.create_installer(&spec);
        let id =
            hold.whole(runtime_step("install: create container", ENGINE_MS_MAX, create)).await?;
        let start = parts.runtime.start(&id);
        hold.whole(runtime_step("install: start container", ENGINE_MS_MAX, start)).await
    }

    async fn fetch(&self) -> Result<(), StepError> {
        // Its place is kept and nobody reads it: the progress of a download says little of an install.
        let (progress, _unread) = mpsc::channel::<PullProgress>(1);
        let call = self.parts.runtime.ensure_image(&self.install.image, progress);
        runtime_step("install: pull image", FETCH_MS_MAX, call).await
    }

    async fn look(&self) -> Result<Option<Installer>, StepError> {
        let call = self.parts.runtime.installer(self.plan.net.node, self.plan.server);
        runtime_step("install: look at container", ENGINE_MS_MAX, call).await
    }

    /// Reads the output and waits for the end.
    async fn follow(&self) -> Result<InstallOutcome, StepError> {
        let Self { parts, plan, .. } = self;
        let mut output = Output::resume(self).await?;
        let mut measured_at = parts.clock.boot();
        let mut deadline = None;
        let mut was_watched = false;
        loop {
            let found = self.look().await?.filter(|found| found.asked == plan.asked);
            let gone = || StepError::new("install: script", "its container is gone".to_owned());
            let Installer { id, status, .. } = found.ok_or_else(gone)?;
            output.read(self, &id).await?;
            match status {
                ContainerStatus::Created => return Err(gone()),
                ContainerStatus::Exited { code, oom_killed, .. } => {
                    tokio::time::sleep(Duration::from_millis(LAST_LINES_MS)).await;
                    output.read(self, &id).await?;
                    let from_outside = is_from_outside(code, was_watched);
                    return self.judge(code, oom_killed, from_outside).await;
                }
                ContainerStatus::Running { started_at, .. } => {
                    was_watched = true;
                    let limit_ms = plan.bounds.run_ms_max;
                    // Its age is asked for once: the machine's clock may be set meanwhile.
                    let deadline = *deadline.get_or_insert_with(|| {
                        let age_ms = parts.clock.wall().since(started_at).min(limit_ms);
                        parts.clock.boot().plus(limit_ms - age_ms)
                    });
                    if parts.clock.boot() >= deadline {
                        let error = format!("script was not over after {} s", limit_ms / 1_000);
                        return Ok(InstallOutcome::Failed { code: None, error });
                    }
                }
            }
            let now = parts.clock.boot();
            if now.since(measured_at) >= MEASURE_MS {
                if let Some(error) = self.measure().await? {
                    return Ok(InstallOutcome::Failed { code: None, error });
                }
                measured_at = now;
            }
            tokio::time::sleep(Duration::from_millis(LOOK_MS)).await;
        }
    }

    /// What the end of the script means.
    async fn judge(
        &self,
        code: i64,
        oom_killed: bool,
        from_outside: bool,
    ) -> Result<InstallOutcome, StepError> {
        let failed = |error| Ok(InstallOutcome::Failed { code: Some(code), error });
        if oom_killed && code != 0 {
            let Mib(mib) = install_limits(&self.plan.spec.limits).memory_mib;
            return failed(format!("script ran out of memory at {mib} MiB"));
        }
        if from_outside {
            // The engine or the machine went down: that says nothing about the script.
            self.remove().await?;
            let error = format!("it was ended from outside with code {code}");
            return Err(StepError::new("install: script", error));
        }
        if code != 0 {
            return failed(format!("script ended with code {code}"));
        }
        if let Some(error) = self.measure().await? {
            return failed(error);
        }
        Ok(InstallOutcome::Installed)
    }

    async fn remove(&self) -> Result<(), StepError> {
        remove(self.parts, &self.plan.net, self.plan.server).await
    }

    /// Says what is wrong with the disk. `None`: nothing.
    async fn measure(&self) -> Result<Option<String>, StepError> {
        let (data, server) = (self.parts.data.clone(), self.plan.server);
        let measure = move || {
            Ok::<_, crate::install::InstallError>((data.free_bytes()?, data.used_bytes(server)?))
        };
        let (free, used) = blocking("install: measure disk", SIZE_MS_MAX, measure).await?;
        let limit = self.plan.spec.limits.disk_mib;
        let too_large = (used > limit.bytes())
            .then(|| format!("files take {} MiB of the server's {} MiB", used >> 20, limit.0));
        Ok(too_large.or_else(|| too_full(free, &self.plan.bounds)))
    }

    async fn say(&self, text: &str) {
        say(self.parts, self.plan.server, self.plan.asked, text).await;
    }
}

/// Whether an exit code says that something else than the script ended it. An engine that answered all
/// the time, as it did when the script `was_watched` from running to its end, missed no end.
fn is_from_outside(code: i64, was_watched: bool) -> bool {
    ENDED_BY_SIGNAL.contains(&code) || (code == END_MISSED && !was_watched)
}

/// What was taken of a script's output.
struct Output {
    secrets: Vec<String>,
    /// Time of the newest line, and how many lines of that time were taken.
    newest: UnixMs,
    taken: usize,
}

impl Output {
    /// Goes on behind what is in the log.
    async fn resume<R: Runtime>(run: &Run<'_, R>) -> Result<Self, StepError> {
        let log = run.parts.data.install_log(run.plan.server, run.plan.asked);
        let lines = blocking("install: read log", STORE_MS_MAX, move || log.lines()).await?;
        let is_script = |line: &&ConsoleLine| line.source != LineSource::Edge;
        let newest = lines.iter().filter(is_script).map(|line| line.at).max();
        let newest = newest.unwrap_or(UnixMs(0));
        let taken = lines.iter().filter(is_script).filter(|line| line.at == newest).count();
        let secrets = run.install.secret_values(&run.plan.spec.environment);
        Ok(Self { secrets, newest, taken })
    }

    /// Takes what was printed since.
    async fn read<R: Runtime>(
        &mut self,
        run: &Run<'_, R>,
        id: &crate::runtime::ContainerId,
    ) -> Result<(), StepError> {
        let parts = run.parts;
        let call = parts.runtime.logs_since(id, self.newest, LINES_MAX);
        let found = runtime_step("install: read output", ENGINE_MS_MAX, call).await?;
        let known = found.iter().take_while(|line| line.at == self.newest).count().min(self.taken);
        let lines: Vec<ConsoleLine> = found.iter().skip(known).map(|it| self.line(it)).collect();
        let Some(newest) = lines.iter().map(|line| line.at).max() else { return Ok(()) };
        let same = lines.iter().filter(|line| line.at == newest).count();
        let before = if newest == self.newest { self.taken } else { 0 };
        let sink = parts.consoles.sink(run.plan.server);
        lines.iter().for_each(|line| sink.install(&line.text));
        let log = parts.data.install_log(run.plan.server, run.plan.asked);
        blocking("install: write log", STORE_MS_MAX, move || log.append(&lines)).await?;
        (self.newest, self.taken) = (newest, before + same);
        Ok(())
    }

    fn line(&self, line: &LogLine) -> ConsoleLine {
        let source = match line.source {
            OutputSource::Stdout => LineSource::Stdout,
            OutputSource::Stderr => LineSource::Stderr,
        };
        // Masked before it is cut, so that no half of a secret is left at the end.
        let mut text = mask(&String::from_utf8_lossy(&line.text), &self.secrets);
        text.truncate(text.floor_char_boundary(LINE_BYTES_MAX));
        ConsoleLine { at: line.at, source, text }
    }
}

/// The end of a run, being written down.
struct Close {
    net: Net,
    server: ServerId,
    asked: Order,
    event: EventId,
    by: Actor,
    begun_at: UnixMs,
}

impl Close {
    /// Marks the end, removes the container, gives the files to the game and writes the end down.
    async fn close<R: Runtime>(
        self,
        parts: &Parts<R>,
        end: InstallEnd,
    ) -> Result<InstallRecord, StepError> {
        let Self { net, server, asked, event, by, begun_at } = self;
        let record = InstallRecord { asked, begun_at, cancel: None, end: Some(end.clone()) };
        let data = parts.data.clone();
        let mark = move || data.mark_install(server, &record);
        blocking("install: write mark", STORE_MS_MAX, mark).await?;
        remove(parts, &net, server).await?;
        let data = parts.data.clone();
        let give = move || data.finish_install(server);
        blocking("install: give files to the game", FILES_MS_MAX, give).await?;
        let body = match &end.outcome {
            InstallOutcome::Installed => {
                Activity::Installed { asked, took_ms: end.at.since(begun_at) }
            }
            InstallOutcome::Failed { code, error } => Activity::InstallFailed {
                asked,
                code: *code,
                error: cut(error.clone()),
                lines: last_lines(parts, server, asked).await,
            },
            InstallOutcome::Cancelled => Activity::InstallCancelled { asked },
        };
        let about = Some((net.tenant, server));
        let fact = ActivityFact { event, at: end.at, about, actor: by, body };
        let write = parts.store.end_install(asked, end, fact);
        store_step("install: record end", STORE_MS_MAX, write).await
    }
}

async fn remove<R: Runtime>(
    parts: &Parts<R>,
    net: &Net,
    server: ServerId,
) -> Result<(), StepError> {
    let look = parts.runtime.installer(net.node, server);
    let found = runtime_step("install: look at container", ENGINE_MS_MAX, look).await?;
    let Some(found) = found else { return Ok(()) };
    let call = parts.runtime.remove(&found.id);
    runtime_step("install: remove container", ENGINE_MS_MAX, call).await
}

/// The newest lines of a script, for the fact that tells of its failure. Without them it is told too.
async fn last_lines<R>(parts: &Parts<R>, server: ServerId, asked: Order) -> Vec<String> {
    let log = parts.data.install_log(server, asked);
    let lines = blocking("install: read log", STORE_MS_MAX, move || log.lines()).await;
    let script = lines.unwrap_or_default().into_iter().filter(|it| it.source != LineSource::Edge);
    let mut texts: Vec<String> = script.map(|line| cut(line.text)).collect();
    texts.drain(..texts.len().saturating_sub(CRASH_LINES_MAX));
    texts
}

/// Adds a line of the edge to console and log.
async fn say<R>(parts: &Parts<R>, server: ServerId, asked: Order, text: &str) {
    parts.consoles.sink(server).say(text);
    let line =
        ConsoleLine { at: parts.clock.wall(), source: LineSource::Edge, text: text.to_owned() };
    let log = parts.data.install_log(server, asked);
    let written = blocking("install: write log", STORE_MS_MAX, move || log.append(&[line])).await;
    // The log is for people; the run does not depend on it.
    if let Err(err) = written {
        tracing::debug!(%server, error = err.error, "install log is not written");
    }
}

/// What a script finds in its environment: what the game will, and the server's id.
fn environment(spec: &ServerSpec, server: ServerId) -> std::collections::BTreeMap<String, String> {
    let mut environment = spec.environment.clone();
    let given = [("STARTUP", spec.startup.clone()), ("P_SERVER_UUID", server.to_string())];
    for (name, value) in given {
        environment.entry(name.to_owned()).or_insert(value);
    }
    environment
}

fn too_full(free_bytes: u64, bounds: &InstallBounds) -> Option<String> {
    (free_bytes < bounds.free_bytes_min).then(|| {
        let (free, least) = (free_bytes >> 20, bounds.free_bytes_min >> 20);
        format!("node has {free} MiB of disk left and keeps {least} MiB free")
    })
}

fn cut(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(CRASH_LINE_BYTES_MAX));
    text
}
