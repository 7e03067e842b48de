//! Pure: what to do next about the servers of a node.
//!
//! [`plan`] looks at everything and remembers nothing: it may be asked at any time, as often as one
//! likes. At most one operation per server is in progress; the plan gives a server an action only
//! when it has none, but for [`Action::Abort`]. Nothing here deletes without a tombstone, and no
//! decision depends on whether the hub can be reached.
//!
//! Two clocks: the calendar for what was agreed with the hub (entitlement, not-before, purge) and for
//! what must survive a restart of the machine; the boot clock for everything that was begun in this
//! life of the daemon, because the calendar may jump by years and a jump must not kill a game. A purge
//! waits until its time has certainly passed, because no correction brings a world back.

use super::{
    Exit, NotRunning, ServerState,
    crash::{Cause, Verdict, wait_ms},
    install::{
        INSTALL_ATTEMPTS_MAX, INSTALL_STEP, INSTALLS_MAX, InstallOutcome, InstallRecord, Stage,
        stage,
    },
    power::Power,
};
use crate::{
    clock::{BootMs, UnixMs},
    desired::Order,
    ids::ServerId,
    server::{Limits, ServerSpec},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Starts in preparation at once, unless configured otherwise: enough to bring up a node quickly,
/// few enough that its disk and engine stay responsive.
pub const STARTS_MAX: usize = 4;
/// Longest grace period when the hub, and not a user, ends a server: suspension, end of the
/// entitlement, deletion.
pub const HUB_STOP_GRACE_MS_MAX: u32 = 60_000;
/// Pause before a kill that did not end the process is tried again.
pub const KILL_AGAIN_MS: u64 = 10_000;

/// Both clocks, and what of the calendar is certain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Hub time as best known.
    pub calendar: UnixMs,
    /// A lower bound of hub time, whatever a wrong clock says: what cannot be undone goes by it.
    pub certain: UnixMs,
    /// Time since the machine was started.
    pub boot: BootMs,
}

/// Everything the plan depends on.
#[derive(Clone, Debug)]
pub struct World<'a> {
    /// What the container engine said last, `None` when it answers.
    pub engine_error: Option<&'a str>,
    /// Starts that may be in preparation at once.
    pub starts_max: usize,
    /// All servers that are wanted, or known as a container.
    pub servers: BTreeMap<ServerId, ServerView<'a>>,
}

/// One server.
#[derive(Clone, Debug)]
pub struct ServerView<'a> {
    /// The wish in force.
    pub wanted: Wanted<'a>,
    /// Whether that wish forbids it to run because it is being moved to another node.
    pub is_leaving: bool,
    /// Whether its process is in the network of a tenant that owned it before: it is started again,
    /// for nobody else may reach what is this tenant's.
    pub is_among_others: bool,
    /// When another wish, already held, comes into force.
    pub next_wish_at: Option<UnixMs>,
    /// What power actions asked for.
    pub power: &'a Power,
    /// Its container as seen last.
    pub process: Process<'a>,
    /// The process that the edge started or adopted and whose end is not yet recorded.
    pub run: Option<RunView<'a>>,
    /// What is being done about it.
    pub operation: Option<Operation>,
    /// How the last process ended and what follows. `None` before the first end.
    pub ending: Option<&'a Ending>,
    /// The last step, when it failed.
    pub failure: Option<&'a StepFailure>,
    /// The stop in progress.
    pub stopping: Option<Stopping>,
    /// Whether the image of the wish in force was seen to be present since the last start.
    pub is_image_ready: bool,
    /// The newest run of its install script. `None` before the first.
    pub install: Option<&'a InstallRecord>,
}

/// The wish in force.
#[derive(Clone, Copy, Debug)]
pub enum Wanted<'a> {
    /// None: a container that somebody left. It is never touched.
    Unknown,
    /// Only one that is not yet in force.
    NotBefore(UnixMs),
    /// It exists, so.
    Exist(&'a ServerSpec),
    /// It is deleted.
    Deleted(Disposal),
}

/// What became of the data of a deleted server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposal {
    /// It is where it was.
    Present,
    /// It is in the trash.
    Trashed {
        /// When it is purged.
        purge_at: UnixMs,
    },
    /// It is gone.
    Purged,
}

/// A container as seen last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Process<'a> {
    /// Not looked at yet, or something was done since; it is being looked at.
    Unseen,
    /// There is no container.
    Absent,
    /// Made and never started.
    Created,
    /// It has a process.
    Running,
    /// Its process ended.
    Exited(&'a Exit),
}

/// A process that runs, as far as is recorded.
#[derive(Clone, Copy, Debug)]
pub struct RunView<'a> {
    /// Number of the power action under which it was started.
    pub power: u64,
    /// Whether the wish in force has another [`fingerprint`] than the one that it was made from.
    pub is_outdated: bool,
    /// The limits that are set on it.
    pub limits: &'a Limits,
    /// Whether the game said that it is ready.
    pub is_ready: bool,
    /// Its console.
    pub console: ConsoleLink,
}

/// Whether a process' console is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConsoleLink {
    /// It is.
    Attached,
    /// It is not, and may be tried from this time on.
    Detached {
        /// When.
        retry_at: BootMs,
    },
}

/// What is being done about a server. Each has a deadline of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Its image is fetched.
    Fetch {
        /// Whether the wish in force names another image by now.
        is_outdated: bool,
    },
    /// Its container is made and started.
    Start {
        /// Number of the power action under which it is started.
        power: u64,
    },
    /// Its install script is prepared, or runs.
    Install {
        /// Rank of the wish that asked for it.
        asked: Order,
    },
    /// Its process is asked to stop, adopted or updated. A kill does not wait for that.
    Yielding,
    /// Anything else: kill, record, remove, trash, purge.
    Other,
}

/// How a process ended, and what follows. Stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ending {
    /// How.
    pub exit: Exit,
    /// What follows.
    pub verdict: Verdict,
    /// Number of the newest power action by then. A newer one overrules the verdict.
    pub power: u64,
}

/// A step that failed. Stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepFailure {
    /// Which step, for example `pull image`.
    pub step: String,
    /// What went wrong, in one line.
    pub error: String,
    /// When it is tried again, by the node's calendar.
    pub retry_at: UnixMs,
    /// The wait that led to `retry_at`, in milliseconds.
    pub delay_ms: u32,
    /// Failures in a row.
    pub attempts: u32,
    /// Number of the newest power action by then. A newer one does not wait.
    pub power: u64,
}

/// A stop in progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopping {
    /// When it was asked to stop.
    pub asked_at: BootMs,
    /// How long it may take.
    pub grace_ms: u32,
    /// When it was killed, if it was.
    pub killed_at: Option<BootMs>,
}

/// Hash of everything in a spec that only a new container can change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fingerprint(pub [u8; 32]);

/// One thing to do for one server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// End the operation in progress; what it did so far is looked at afresh.
    Abort,
    /// Make sure that the image is here.
    Fetch,
    /// Prepare data and network, make the container and start it.
    Start,
    /// Take over a process that runs: read its console, record it.
    Adopt,
    /// Ask it to stop.
    Stop {
        /// How long it may take.
        grace_ms: u32,
        /// Why.
        reason: StopReason,
    },
    /// End it now.
    Kill,
    /// Set the limits of the wish in force on the running container.
    UpdateLimits,
    /// Record how the process ended. `None`: its container is gone.
    RecordExit {
        /// How it ended, as far as the engine knows.
        exit: Option<Exit>,
        /// Why.
        cause: Cause,
    },
    /// Run the install script, or take a run up again.
    Install {
        /// Rank of the wish that asked for it.
        asked: Order,
    },
    /// Remove the container of an install script, if there is one, and record how the run ended.
    EndInstall {
        /// Rank of the wish that asked for it.
        asked: Order,
        /// How it ended.
        outcome: InstallOutcome,
    },
    /// Remove the container of a deleted server.
    Remove,
    /// Move the data of a deleted server to the trash.
    Trash,
    /// Delete the data of a deleted server for good.
    Purge,
}

/// Why a process is asked to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// A power action.
    Power,
    /// The hub suspended it.
    Suspended,
    /// The entitlement ended.
    EntitlementEnded,
    /// It is deleted.
    Deleted,
    /// It is installed again.
    Reinstalled,
    /// It is moved to another node.
    Moving,
    /// It changed hands, and is started again among what its new owner has.
    ChangedHands,
}

/// What to do now, and when to ask again at the latest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// At most one action per server.
    pub actions: BTreeMap<ServerId, Action>,
    /// Milliseconds until the plan changes by itself. `None`: only an event changes it.
    pub wake_ms: Option<u64>,
}

/// Where a server is, for people and for the hub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Where it is in its life.
    pub state: ServerState,
    /// Why it does not run as wanted. `None` when it does, or is about to.
    pub not_running: Option<NotRunning>,
    /// Whether the running process lacks changes of the wish in force.
    pub restart_pending: bool,
}

/// Decides what to do next.
#[must_use]
pub fn plan(world: &World<'_>, now: Now) -> Plan {
    let starting = |view: &&ServerView<'_>| matches!(view.operation, Some(Operation::Start { .. }));
    let mut starts_left =
        world.starts_max.saturating_sub(world.servers.values().filter(starting).count());
    let installing =
        |view: &&ServerView<'_>| matches!(view.operation, Some(Operation::Install { .. }));
    let mut installs_left =
        INSTALLS_MAX.saturating_sub(world.servers.values().filter(installing).count());
    let mut plan = Plan::default();
    for (&server, view) in &world.servers {
        let mut waits = view.deadlines(now);
        match view.step(now, world.engine_error.is_none()) {
            // The operation that holds the last place ends with an event.
            Step::Act(Action::Start) if starts_left == 0 => {}
            Step::Act(Action::Install { .. }) if installs_left == 0 => {}
            Step::Act(action) => {
                starts_left -= usize::from(action == Action::Start);
                installs_left -= usize::from(matches!(action, Action::Install { .. }));
                plan.actions.insert(server, action);
            }
            Step::Wait(ms) => waits.push(ms),
            Step::Rest => {}
        }
        plan.wake_ms = plan.wake_ms.into_iter().chain(waits).min();
    }
    plan
}

/// Says where a server is. Agrees with [`plan`]: what it names as the reason is what the plan waits for.
#[must_use]
pub fn standing(view: &ServerView<'_>, now: Now, engine_error: Option<&str>) -> Standing {
    let preparing =
        matches!(view.operation, Some(Operation::Fetch { .. } | Operation::Start { .. }));
    // What was not looked at since is taken as last known: an engine that is away ends no game.
    let is_alive = match view.process {
        Process::Running => true,
        Process::Unseen => view.run.is_some(),
        Process::Absent | Process::Created | Process::Exited(_) => false,
    };
    let (state, not_running) = if is_alive {
        let is_ready = view.run.is_some_and(|run| run.is_ready);
        let is_ending = view.stopping.is_some() || view.end_reason(now).is_some();
        let state = match (is_ending, is_ready) {
            (true, _) => ServerState::Stopping,
            (false, true) => ServerState::Running,
            (false, false) => ServerState::Starting,
        };
        (state, view.refusal(now))
    } else if preparing {
        (ServerState::Preparing, None)
    } else if matches!(view.operation, Some(Operation::Install { .. })) {
        (ServerState::Installing, None)
    } else if let Stage::Due { .. } | Stage::Ending { .. } = view.stage() {
        (ServerState::Installing, view.why_not_installing(now, engine_error))
    } else {
        (ServerState::Offline, Some(view.why_down(now, engine_error)))
    };
    let restart_pending = match (view.process, view.run, view.wanted) {
        (Process::Running, Some(run), Wanted::Exist(spec)) => {
            run.is_outdated || !is_same_live(run.limits, &spec.limits)
        }
        _ => false,
    };
    Standing { state, not_running, restart_pending }
}

/// Returns the hash of what a container is made from and a running one cannot take over.
#[must_use]
pub fn fingerprint(spec: &ServerSpec) -> Fingerprint {
    let parts = (
        &spec.image,
        &spec.startup,
        spec.entry,
        &spec.environment,
        &spec.ports,
        &spec.capabilities,
        &spec.config_files,
        &spec.mounts,
        spec.limits.sharing,
    );
    // Plain values always encode; an empty encoding would only make a restart look pending.
    let bytes = postcard::to_stdvec(&parts).unwrap_or_default();
    Fingerprint(*blake3::hash(&bytes).as_bytes())
}

/// Whether two limits are the same for a running container. Disk is accounted, not set on it, and how it
/// shares its node is set when it is made.
#[must_use]
pub fn is_same_live(one: &Limits, other: &Limits) -> bool {
    Limits { disk_mib: other.disk_mib, sharing: other.sharing, ..*one } == *other
}

enum Step {
    /// Do this.
    Act(Action),
    /// Nothing for so many milliseconds.
    Wait(u64),
    /// Nothing until something happens: an operation ends, somebody asks, the engine speaks.
    Rest,
}

impl ServerView<'_> {
    fn step(&self, now: Now, engine_answers: bool) -> Step {
        if let Some(operation) = self.operation {
            return if self.must_abort(operation, now) {
                Step::Act(Action::Abort)
            } else {
                Step::Rest
            };
        }
        if matches!(self.wanted, Wanted::Unknown) {
            return Step::Rest;
        }
        match self.process {
            // Recording an end needs no engine.
            Process::Absent | Process::Created if self.run.is_some() => self.record_exit(None, now),
            Process::Exited(exit) if self.run.is_some() => self.record_exit(Some(exit), now),
            Process::Running if engine_answers => self.step_running(now),
            Process::Absent | Process::Created | Process::Exited(_) => {
                self.step_idle(now, engine_answers)
            }
            Process::Running | Process::Unseen => Step::Rest,
        }
    }

    fn step_running(&self, now: Now) -> Step {
        let Some(run) = self.run else { return Step::Act(Action::Adopt) };
        if run.power < self.power.kill_below {
            return self.kill(now);
        }
        // The console comes before a stop, because the stop may be a line typed into it.
        if let ConsoleLink::Detached { retry_at } = run.console
            && retry_at <= now.boot
            && self.stopping.is_none()
        {
            return Step::Act(Action::Adopt);
        }
        if let Some(stopping) = self.stopping {
            let kill_at = stopping.asked_at.plus(u64::from(stopping.grace_ms));
            return match kill_at.since(now.boot) {
                0 => self.kill(now),
                ms => Step::Wait(ms),
            };
        }
        if let Some(reason) = self.end_reason(now) {
            return Step::Act(Action::Stop { grace_ms: self.grace_ms(reason), reason });
        }
        if let Wanted::Exist(spec) = self.wanted
            && !is_same_live(run.limits, &spec.limits)
        {
            return match self.retry_ms(now) {
                0 => Step::Act(Action::UpdateLimits),
                ms => Step::Wait(ms),
            };
        }
        match run.console {
            ConsoleLink::Attached => Step::Rest,
            ConsoleLink::Detached { retry_at } => Step::Wait(retry_at.since(now.boot)),
        }
    }

    /// A server without a process whose last end is recorded.
    fn step_idle(&self, now: Now, engine_answers: bool) -> Step {
        if let Wanted::Deleted(disposal) = self.wanted {
            return self.step_deleted(disposal, now, engine_answers);
        }
        if !engine_answers {
            return Step::Rest;
        }
        if let Some(step) = self.step_install(now) {
            return step;
        }
        if self.refusal(now).is_some() {
            return Step::Rest;
        }
        match self.hold(now) {
            Some((_, Some(ms))) => Step::Wait(ms),
            Some((_, None)) => Step::Rest,
            None if self.is_image_ready => Step::Act(Action::Start),
            None => Step::Act(Action::Fetch),
        }
    }

    /// What the install script asks for before anything else. `None`: nothing.
    fn step_install(&self, now: Now) -> Option<Step> {
        let action = match self.stage() {
            Stage::Ready => return None,
            Stage::Failed(_) => return Some(Step::Rest),
            // One that has begun goes on: it is no game, and half of it is worth nothing.
            Stage::Due { has_begun: false, .. } if self.refusal(now).is_some() => {
                return Some(Step::Rest);
            }
            Stage::Due { asked, .. } => match self.install_failure() {
                Some(outcome) => Action::EndInstall { asked, outcome },
                None => Action::Install { asked },
            },
            Stage::Ending { asked } => {
                Action::EndInstall { asked, outcome: InstallOutcome::Cancelled }
            }
        };
        Some(match self.retry_ms(now) {
            0 => Step::Act(action),
            ms => Step::Wait(ms),
        })
    }

    /// How a run ended whose steps failed too often. `None` while they may be tried again.
    fn install_failure(&self) -> Option<InstallOutcome> {
        let failure = self.failure.filter(|failure| failure.power == self.power.number)?;
        let step = failure.step.strip_prefix(INSTALL_STEP)?;
        (failure.attempts >= INSTALL_ATTEMPTS_MAX).then(|| InstallOutcome::Failed {
            code: None,
            error: format!("{step}: {}", failure.error),
        })
    }

    fn step_deleted(&self, disposal: Disposal, now: Now, engine_answers: bool) -> Step {
        let action = match (self.process, disposal) {
            // Its container writes into what is moved to the trash.
            (Process::Absent, Disposal::Present) => match stage(None, self.install) {
                Stage::Ending { .. } if !engine_answers => return Step::Rest,
                Stage::Ending { asked } => {
                    Action::EndInstall { asked, outcome: InstallOutcome::Cancelled }
                }
                Stage::Ready | Stage::Due { .. } | Stage::Failed(_) => Action::Trash,
            },
            (Process::Absent, Disposal::Trashed { purge_at }) => {
                match purge_at.since(now.certain) {
                    0 => Action::Purge,
                    ms => return Step::Wait(ms),
                }
            }
            (Process::Absent, Disposal::Purged) => return Step::Rest,
            // Also after its data is gone: a slow engine may make it later than the order of a
            // daemon that was killed seemed to be without effect.
            _ if engine_answers => Action::Remove,
            _ => return Step::Rest,
        };
        match self.retry_ms(now) {
            0 => Step::Act(action),
            ms => Step::Wait(ms),
        }
    }

    fn kill(&self, now: Now) -> Step {
        let killed_at = self.stopping.and_then(|stopping| stopping.killed_at);
        match killed_at.map_or(0, |at| at.plus(KILL_AGAIN_MS).since(now.boot)) {
            0 => Step::Act(Action::Kill),
            ms => Step::Wait(ms),
        }
    }

    fn record_exit(&self, exit: Option<&Exit>, now: Now) -> Step {
        let asked = self.stopping.is_some() || self.end_reason(now).is_some();
        let cause = if asked { Cause::Asked } else { Cause::Itself };
        Step::Act(Action::RecordExit { exit: exit.cloned(), cause })
    }

    fn must_abort(&self, operation: Operation, now: Now) -> bool {
        match operation {
            Operation::Fetch { is_outdated } => is_outdated || self.is_unwanted(now),
            Operation::Start { power } => power < self.power.kill_below || self.is_unwanted(now),
            Operation::Install { asked } => match self.wanted {
                Wanted::Unknown | Wanted::NotBefore(_) => false,
                Wanted::Deleted(_) => true,
                Wanted::Exist(_) => {
                    !matches!(self.stage(), Stage::Due { asked: due, .. } if due == asked)
                }
            },
            Operation::Yielding => self.run.is_some_and(|run| run.power < self.power.kill_below),
            Operation::Other => false,
        }
    }

    /// Whether no process is wanted, or allowed.
    fn is_unwanted(&self, now: Now) -> bool {
        !self.power.wish.running
            || self.refusal(now).is_some()
            || !matches!(self.stage(), Stage::Ready)
    }

    /// Where it stands with its install script.
    fn stage(&self) -> Stage<'_> {
        match self.wanted {
            Wanted::Exist(spec) => stage(spec.install.as_ref(), self.install),
            Wanted::Unknown | Wanted::NotBefore(_) | Wanted::Deleted(_) => Stage::Ready,
        }
    }

    /// Why the present process must end. `None` when it may go on.
    fn end_reason(&self, now: Now) -> Option<StopReason> {
        match (self.wanted, self.refusal(now)) {
            (Wanted::Unknown | Wanted::NotBefore(_), _) => None,
            (Wanted::Deleted(_), _) => Some(StopReason::Deleted),
            (Wanted::Exist(_), Some(NotRunning::Suspended)) => Some(StopReason::Suspended),
            (Wanted::Exist(_), Some(NotRunning::Moving)) => Some(StopReason::Moving),
            (Wanted::Exist(_), Some(_)) => Some(StopReason::EntitlementEnded),
            (Wanted::Exist(_), None) if matches!(self.stage(), Stage::Due { .. }) => {
                Some(StopReason::Reinstalled)
            }
            (Wanted::Exist(_), None) if self.is_among_others => Some(StopReason::ChangedHands),
            (Wanted::Exist(_), None) => {
                let is_old = self.run.is_some_and(|run| {
                    run.power < self.power.stop_below || run.power < self.power.kill_below
                });
                (is_old || !self.power.wish.running).then_some(StopReason::Power)
            }
        }
    }

    /// Why it may not run, whatever power actions ask for.
    fn refusal(&self, now: Now) -> Option<NotRunning> {
        match self.wanted {
            Wanted::Unknown => None,
            Wanted::NotBefore(at) => Some(NotRunning::NotBefore { at }),
            Wanted::Deleted(_) => Some(NotRunning::NotWanted),
            Wanted::Exist(_) if self.is_leaving => Some(NotRunning::Moving),
            Wanted::Exist(spec) if spec.suspended => Some(NotRunning::Suspended),
            Wanted::Exist(spec) => spec
                .run_until
                .filter(|&at| at <= now.calendar)
                .map(|at| NotRunning::EntitlementEnded { at }),
        }
    }

    /// Why it is not started now although it may run, and for how long if time cures it.
    fn hold(&self, now: Now) -> Option<(NotRunning, Option<u64>)> {
        let Power { wish, number, .. } = self.power;
        if !wish.running {
            let why = match number {
                0 => NotRunning::NotWanted,
                _ => NotRunning::Stopped { by: wish.by.clone(), at: wish.at },
            };
            return Some((why, None));
        }
        if let Some(ending) = self.ending.filter(|ending| ending.power == *number) {
            let hold = match ending.verdict {
                Verdict::Free => None,
                Verdict::Ended => Some((NotRunning::Ended { at: ending.exit.at }, None)),
                Verdict::GaveUp { crashes } => Some((NotRunning::GaveUp { crashes }, None)),
                Verdict::NoRestart { .. } => Some((NotRunning::CrashedNoRestart, None)),
                Verdict::RestartAt { at, delay_ms, crashes } => {
                    match wait_ms(now.calendar, at, delay_ms) {
                        0 => None,
                        ms => Some((NotRunning::RestartDue { at, crashes }, Some(ms))),
                    }
                }
            };
            if hold.is_some() {
                return hold;
            }
        }
        match (self.failure, self.retry_ms(now)) {
            (Some(failure), ms @ 1..) => Some((failure.as_reason(), Some(ms))),
            (Some(_), 0) | (None, _) => None,
        }
    }

    /// Milliseconds until a failed step may be tried again, 0 when it may.
    fn retry_ms(&self, now: Now) -> u64 {
        self.failure
            .filter(|failure| failure.power == self.power.number)
            .map_or(0, |failure| wait_ms(now.calendar, failure.retry_at, failure.delay_ms))
    }

    /// Why a server without a process has none.
    fn why_down(&self, now: Now, engine_error: Option<&str>) -> NotRunning {
        if let Some(why) = self.refusal(now) {
            return why;
        }
        if let Stage::Failed(end) = self.stage() {
            let at = end.at;
            return match &end.outcome {
                InstallOutcome::Failed { error, .. } => {
                    NotRunning::InstallFailed { error: error.clone(), at }
                }
                InstallOutcome::Installed | InstallOutcome::Cancelled => {
                    NotRunning::InstallCancelled { at }
                }
            };
        }
        match (self.hold(now), engine_error) {
            (Some((why @ NotRunning::StepFailed { .. }, _)), None) => why,
            (Some((NotRunning::StepFailed { .. }, _)) | None, Some(error)) => {
                NotRunning::EngineUnreachable { error: error.to_owned() }
            }
            (Some((why, _)), _) => why,
            (None, None) => NotRunning::Queued,
        }
    }

    /// Why a run of the install script that is to be made is not under way.
    fn why_not_installing(&self, now: Now, engine_error: Option<&str>) -> Option<NotRunning> {
        let failed = self.failure.filter(|_| self.retry_ms(now) > 0).map(StepFailure::as_reason);
        let engine = engine_error.map(|it| NotRunning::EngineUnreachable { error: it.to_owned() });
        self.refusal(now).or(failed).or(engine).or(Some(NotRunning::Queued))
    }

    fn grace_ms(&self, reason: StopReason) -> u32 {
        let own = match self.wanted {
            Wanted::Exist(spec) => spec.stop_grace_ms,
            Wanted::Unknown | Wanted::NotBefore(_) | Wanted::Deleted(_) => HUB_STOP_GRACE_MS_MAX,
        };
        match reason {
            // Nobody waits for the place: the world is saved in the time that its owner gave it.
            StopReason::Power | StopReason::Moving | StopReason::ChangedHands => own,
            StopReason::Suspended
            | StopReason::EntitlementEnded
            | StopReason::Deleted
            | StopReason::Reinstalled => own.min(HUB_STOP_GRACE_MS_MAX),
        }
    }

    /// Milliseconds until the calendar alone changes what is wanted.
    fn deadlines(&self, now: Now) -> Vec<u64> {
        let until = match self.wanted {
            Wanted::Exist(spec) => spec.run_until,
            Wanted::NotBefore(at) => Some(at),
            Wanted::Unknown | Wanted::Deleted(_) => None,
        };
        [until, self.next_wish_at]
            .into_iter()
            .flatten()
            .map(|at| at.since(now.calendar))
            .filter(|&ms| ms > 0)
            .collect()
    }
}

impl StepFailure {
    fn as_reason(&self) -> NotRunning {
        NotRunning::StepFailed {
            step: self.step.clone(),
            error: self.error.clone(),
            retry_at: self.retry_at,
        }
    }
}

#[cfg(test)]
mod tests;
