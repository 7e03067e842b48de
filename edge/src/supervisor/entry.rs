//! What the supervisor knows of one server, and how that looks to the plan and to others.

use super::{Card, ExistingServer, RunningServer};
use crate::{
    data::DataDirs,
    runtime::{Container, ContainerId, ContainerStatus},
    store::{Desired, Held, Life, News, Run, Trash},
};
use mamba_core::{
    clock::{BootMs, UnixMs},
    desired::{Envelope, EnvelopeHash, Order, Wish},
    error::chain,
    fact::{Activity, ActivityFact},
    ids::{EventId, ServerId, TenantId, TransferId},
    lifecycle::{
        Actor, Exit, Observed, ServerState,
        install::InstallRecord,
        plan::{
            ConsoleLink, Disposal, Fingerprint, Operation, Process, RunView, ServerView, Standing,
            Stopping, Wanted, fingerprint,
        },
        power::Power,
    },
    server::ServerSpec,
};
use std::sync::Arc;
use tokio::{sync::oneshot, task};

/// Facts of one server kept while the store cannot be written. A crashing game makes a few a minute;
/// above this the oldest go, because what is newest says what to do about it.
const FACTS_UNSAVED_MAX: usize = 64;

/// One server.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) server: ServerId,
    pub(super) desired: Desired,
    /// The wish in force, opened.
    pub(super) wish: Option<Opened>,
    pub(super) power: Power,
    pub(super) life: Life,
    pub(super) trash: Option<Trash>,
    /// The newest run of its install script.
    pub(super) install: Option<InstallRecord>,
    pub(super) seen: Seen,
    pub(super) operation: Option<InProgress>,
    pub(super) stopping: Option<Stopping>,
    /// Image that was seen to be here since the last start.
    pub(super) image_ready: Option<String>,
    pub(super) console: ConsoleLink,
    /// Container whose process was started or adopted by this run of the daemon.
    pub(super) known: Option<ContainerId>,
    /// Counts what was done to the container, so that an older look at it is recognised.
    pub(super) version: u64,
    /// Whether it has to be looked at: something was done, or missed.
    pub(super) look_due: bool,
    /// Whether somebody looks at it alone.
    pub(super) is_looking: bool,
    /// Resolves when everything that the process printed is in its console.
    pub(super) drained: Option<oneshot::Receiver<()>>,
    /// What is metered of its process.
    metered: Option<RunningServer>,
    pub(super) unsaved: News,
    /// Whether `unsaved` differs from what is being stored.
    pub(super) save: Save,
    state: ServerState,
    since: UnixMs,
}

/// The wish in force, opened.
#[derive(Clone, Debug)]
pub(super) struct Opened {
    pub(super) hash: EnvelopeHash,
    pub(super) envelope: Arc<Envelope>,
    /// `None` when it has no place here any more.
    pub(super) spec: Option<Arc<ServerSpec>>,
    /// The hand-over to another node for which it may not run.
    pub(super) leaving: Option<TransferId>,
    pub(super) fingerprint: Option<Fingerprint>,
}

/// A container as seen last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    Unseen,
    Absent,
    Created(Container),
    Running(Container, RunningAs),
    Exited(Container, Exit),
}

/// A process as the engine shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RunningAs {
    pub(super) started_at: UnixMs,
    pub(super) pid: u32,
}

/// An operation and how to end it.
#[derive(Debug)]
pub(super) struct InProgress {
    pub(super) kind: Kind,
    pub(super) task: task::Id,
    /// Dropped or used to abort it.
    pub(super) cancel: Option<oneshot::Sender<()>>,
}

/// What is done to a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Fetch { image: String },
    Start { power: u64 },
    Stop,
    Kill,
    Adopt,
    UpdateLimits,
    RecordExit,
    Install { asked: Order },
    EndInstall,
    Remove,
    Trash,
    Purge,
}

/// Where the storing of what happened stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Save {
    /// Everything is stored.
    Clean,
    /// Something is not; not before this time.
    Due(BootMs),
    /// It is being stored, and something happened since.
    Running { is_stale: bool },
}

impl Entry {
    pub(super) fn new(server: ServerId, now: UnixMs) -> Self {
        Self {
            server,
            desired: Desired::default(),
            wish: None,
            power: Power::never_asked(),
            life: Life::default(),
            trash: None,
            install: None,
            seen: Seen::Unseen,
            operation: None,
            stopping: None,
            image_ready: None,
            console: ConsoleLink::Detached { retry_at: BootMs(0) },
            known: None,
            version: 0,
            look_due: false,
            is_looking: false,
            drained: None,
            metered: None,
            unsaved: News::default(),
            save: Save::Clean,
            state: ServerState::Offline,
            since: now,
        }
    }

    /// Takes over wishes from the store.
    pub(super) fn set_desired(&mut self, mut desired: Desired) {
        // A promotion that could not be stored yet is not taken back.
        if let Some(at) = self.unsaved.promoted_at {
            desired.promote(at);
        }
        self.desired = desired;
        self.open_wish();
    }

    /// Takes over what is kept of its install script. A node that lost its store has the mark of the
    /// last run all the same.
    pub(super) fn set_install(
        &mut self,
        stored: Option<InstallRecord>,
        mark: Option<InstallRecord>,
    ) {
        self.install = stored;
        if self.install.is_none() && mark.is_some() {
            self.install.clone_from(&mark);
            self.unsaved.install = mark;
            self.changed();
        }
    }

    /// Opens the wish in force unless it is open.
    pub(super) fn open_wish(&mut self) {
        let Some(held) = &self.desired.in_force else {
            self.wish = None;
            return;
        };
        if self.wish.as_ref().is_some_and(|wish| wish.hash == held.hash) {
            return;
        }
        match Opened::new(held) {
            Ok(wish) => self.wish = Some(wish),
            // It was opened before it was stored. What was in force stays.
            Err(err) => {
                tracing::error!(server = %self.server, error = %chain(&err), "wish is damaged")
            }
        }
    }

    pub(super) fn tenant(&self) -> Option<TenantId> {
        match (&self.wish, self.seen.container()) {
            (Some(wish), _) => Some(wish.envelope.tenant),
            (None, container) => container.map(|container| container.tenant),
        }
    }

    /// Whose network it needs, or may still be in. `None` when it was deleted and its container is
    /// gone: all that is left to do then is the purge, which takes long and needs no network.
    pub(super) fn network_user(&self) -> Option<TenantId> {
        let is_deleted = self.wish.as_ref().is_some_and(|wish| wish.spec.is_none());
        let is_over =
            is_deleted && self.disposal() != Disposal::Present && self.seen == Seen::Absent;
        self.tenant().filter(|_| !is_over)
    }

    /// The hand-over to another node that the wish in force is for.
    fn leaving(&self) -> Option<TransferId> {
        self.wish.as_ref()?.leaving
    }

    /// Whether its container was made for a tenant that owned it before.
    fn is_among_others(&self) -> bool {
        let owner = self.wish.as_ref().map(|wish| wish.envelope.tenant);
        self.seen.container().is_some_and(|it| owner.is_some_and(|owner| it.tenant != owner))
    }

    /// Whether no process of it is left, nor comes, as long as the wish in force forbids it to run.
    fn is_at_rest(&self) -> bool {
        let has_none = match self.seen {
            Seen::Absent | Seen::Created(_) | Seen::Exited(..) => true,
            Seen::Unseen | Seen::Running(..) => false,
        };
        has_none && self.life.run.is_none() && self.operation.is_none()
    }

    pub(super) fn spec(&self) -> Option<&Arc<ServerSpec>> {
        self.wish.as_ref()?.spec.as_ref()
    }

    /// Whether nothing is known of it any more.
    pub(super) fn is_empty(&self) -> bool {
        self.desired == Desired::default()
            && matches!(self.seen, Seen::Absent)
            && self.life.run.is_none()
            && self.operation.is_none()
            && self.save == Save::Clean
    }

    /// Notes that what happened to the process has to be stored.
    pub(super) fn changed(&mut self) {
        self.unsaved.life = Some(self.life.clone());
        self.save = match self.save {
            Save::Clean => Save::Due(BootMs(0)),
            due @ Save::Due(_) => due,
            Save::Running { .. } => Save::Running { is_stale: true },
        };
    }

    /// Notes a fact that has to be stored with what happened.
    pub(super) fn report(&mut self, event: EventId, at: UnixMs, actor: Actor, body: Activity) {
        let about = self.tenant().map(|tenant| (tenant, self.server));
        if self.unsaved.facts.len() == FACTS_UNSAVED_MAX {
            let lost = self.unsaved.facts.remove(0);
            tracing::error!(server = %self.server, ?lost, "fact lost: the store takes none");
        }
        self.unsaved.facts.push(ActivityFact { event, at, about, actor, body });
        self.changed();
    }

    /// What the plan looks at.
    pub(super) fn view(&self) -> ServerView<'_> {
        let wanted = match (&self.wish, &self.desired.next) {
            (Some(wish), _) => match &wish.spec {
                Some(spec) => Wanted::Exist(spec),
                None => Wanted::Deleted(self.disposal()),
            },
            (None, Some(next)) => Wanted::NotBefore(next.not_before),
            (None, None) => Wanted::Unknown,
        };
        ServerView {
            wanted,
            is_leaving: self.leaving().is_some(),
            is_among_others: self.is_among_others(),
            next_wish_at: self.desired.next.as_ref().map(|next| next.not_before),
            power: &self.power,
            process: match &self.seen {
                Seen::Unseen => Process::Unseen,
                Seen::Absent => Process::Absent,
                Seen::Created(_) => Process::Created,
                Seen::Running(..) => Process::Running,
                Seen::Exited(_, exit) => Process::Exited(exit),
            },
            run: self.life.run.as_ref().map(|run| self.run_view(run)),
            operation: self.operation.as_ref().map(|it| self.operation_view(&it.kind)),
            ending: self.life.ending.as_ref(),
            failure: self.life.failure.as_ref(),
            stopping: self.stopping,
            is_image_ready: match (&self.image_ready, self.spec()) {
                (Some(ready), Some(spec)) => *ready == spec.image,
                _ => false,
            },
            install: self.install.as_ref(),
        }
    }

    fn run_view<'a>(&'a self, run: &'a Run) -> RunView<'a> {
        let wanted = self.wish.as_ref().and_then(|wish| wish.fingerprint);
        RunView {
            power: run.power,
            is_outdated: wanted.is_some_and(|wanted| wanted != run.fingerprint),
            limits: &run.limits,
            is_ready: run.is_ready,
            console: self.console,
        }
    }

    fn operation_view(&self, kind: &Kind) -> Operation {
        match kind {
            Kind::Fetch { image } => {
                let is_outdated = self.spec().is_none_or(|spec| spec.image != *image);
                Operation::Fetch { is_outdated }
            }
            Kind::Start { power } => Operation::Start { power: *power },
            Kind::Install { asked } => Operation::Install { asked: *asked },
            Kind::Stop | Kind::Adopt | Kind::UpdateLimits => Operation::Yielding,
            Kind::Kill
            | Kind::RecordExit
            | Kind::EndInstall
            | Kind::Remove
            | Kind::Trash
            | Kind::Purge => Operation::Other,
        }
    }

    /// Whether it was deleted and its data purged.
    pub(super) fn is_purged(&self) -> bool {
        let is_deleted = self.wish.as_ref().is_some_and(|wish| wish.spec.is_none());
        is_deleted && self.disposal() == Disposal::Purged
    }

    fn disposal(&self) -> Disposal {
        let order = self.wish.as_ref().map(|wish| wish.envelope.order);
        match self.trash.filter(|trash| Some(trash.order) == order) {
            None => Disposal::Present,
            Some(trash) if trash.is_purged => Disposal::Purged,
            Some(trash) => Disposal::Trashed { purge_at: trash.purge_at },
        }
    }

    /// What others see.
    pub(super) fn observe(&mut self, standing: Standing, now: UnixMs) -> Observed {
        if self.state != standing.state {
            self.state = standing.state;
            self.since = now;
        }
        let started_at = match (&self.seen, &self.life.run) {
            (Seen::Running(..) | Seen::Unseen, Some(run)) => Some(run.started_at),
            _ => None,
        };
        Observed {
            server: self.server,
            applied: self.wish.as_ref().map(|wish| wish.envelope.order),
            refused: self.desired.refused.clone(),
            state: standing.state,
            since: self.since,
            not_running: standing.not_running,
            wish: self.power.wish.clone(),
            started_at,
            last_exit: self.life.ending.as_ref().map(|ending| ending.exit.clone()),
            crashes: self.life.crashes.total,
            restart_pending: standing.restart_pending,
            install: self.install.clone(),
        }
    }

    /// What is shown besides what is observed. `None` for a container without a wish.
    pub(super) fn card(&self) -> Option<Card> {
        let wish = self.wish.as_ref()?;
        Some(Card {
            tenant: wish.envelope.tenant,
            order: wish.envelope.order,
            spec: wish.spec.clone(),
            container: self.seen.container().map(|container| container.id.0.clone()),
            resting: self.leaving().filter(|_| self.is_at_rest()),
        })
    }

    /// What is metered of its process. Only of one whose limits are known: the operation that adopts
    /// it comes first. A process that has ended is shown until its end is recorded: whoever meters it
    /// has to know when that was.
    pub(super) fn running(&mut self, data: &DataDirs) -> Option<RunningServer> {
        self.metered = match (&self.seen, &self.life.run) {
            (Seen::Running(container, process), Some(run)) => Some(RunningServer {
                server: self.server,
                tenant: container.tenant,
                container: container.id.clone(),
                started_at: process.started_at,
                pid: process.pid,
                limits: run.limits,
                data_dir: data.of(self.server),
            }),
            (_, Some(run)) => self.metered.take().filter(|it| it.container == run.container),
            (_, None) => None,
        };
        self.metered.clone()
    }

    /// Whether another node may meter it: it is being moved and has no process here, or was moved.
    pub(super) fn has_left(&self) -> bool {
        self.life.run.is_none()
            && self.wish.as_ref().is_some_and(|wish| {
                wish.leaving.is_some() || matches!(wish.envelope.body, Wish::Moved { .. })
            })
    }

    /// What is metered whether it runs or not. A deleted server exists until its data is in the trash;
    /// one that is being moved until its process has ended: from then on its next node may meter it.
    pub(super) fn existing(&self, data: &DataDirs) -> Option<ExistingServer> {
        let wish = self.wish.as_ref()?;
        let spec = wish.spec.as_ref()?;
        if self.has_left() {
            return None;
        }
        Some(ExistingServer {
            server: self.server,
            tenant: wish.envelope.tenant,
            limits: spec.limits,
            data_dir: data.of(self.server),
            suspended: spec.suspended,
            is_looked_at: match &self.seen {
                Seen::Unseen => false,
                // Adopted at once, and only then listed.
                Seen::Running(..) => self.life.run.is_some(),
                Seen::Absent | Seen::Created(_) | Seen::Exited(..) => true,
            },
        })
    }
}

impl Opened {
    fn new(held: &Held) -> Result<Self, mamba_core::desired::EnvelopeError> {
        let envelope = held.envelope.open()?;
        let spec = envelope.body.spec().map(|spec| Arc::new(spec.clone()));
        let leaving = match &envelope.body {
            Wish::Leaving { transfer, .. } => Some(*transfer),
            Wish::Exist(_) | Wish::Deleted { .. } | Wish::Moved { .. } => None,
        };
        let fingerprint = spec.as_deref().map(fingerprint);
        Ok(Self { hash: held.hash, envelope: Arc::new(envelope), spec, leaving, fingerprint })
    }
}

impl Seen {
    pub(super) fn container(&self) -> Option<&Container> {
        match self {
            Self::Unseen | Self::Absent => None,
            Self::Created(it) | Self::Running(it, _) | Self::Exited(it, _) => Some(it),
        }
    }
}

impl From<Option<Container>> for Seen {
    fn from(container: Option<Container>) -> Self {
        let Some(container) = container else { return Self::Absent };
        match container.status {
            ContainerStatus::Created => Self::Created(container),
            ContainerStatus::Running { started_at, pid } => {
                Self::Running(container, RunningAs { started_at, pid })
            }
            ContainerStatus::Exited { code, oom_killed, at } => {
                Self::Exited(container, Exit { code, oom_killed, at })
            }
        }
    }
}
