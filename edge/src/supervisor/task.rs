//! The one task: wakes, looks, plans, acts, shows.

use super::{
    Census, Parts, Settings, Shown, Supervisor, Unstored, Wake,
    boot::PendingBoot,
    entry::{Entry, InProgress, Kind, Save},
    install::{self, EndPlan, InstallPlan},
    look::{Engine, Looked},
    operation::{self, Hold, Outcome, StepError},
    release::Networks,
    start::{Net, StartPlan},
};
use crate::{
    calendar::Moment,
    runtime::{Runtime, RuntimeEvent, subnet::Subnet},
};
use futures_util::StreamExt;
use mamba_core::{
    clock::{BootMs, UnixMs, draw},
    db::WriteError,
    desired::{Order, Wish},
    error::chain,
    fact::{Activity, ActivityFact},
    ids::{EventId, ServerId, TenantId},
    lifecycle::{
        Actor,
        install::{InstallOutcome, InstallRecord},
        plan::{Action, Now, StopReason, Stopping, World, plan, standing},
    },
    server::ServerSpec,
};
use std::{collections::BTreeMap, future::Future, sync::Arc, time::Duration};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
};

/// Longest time without looking at everything, so that whatever was missed is found.
pub(super) const SCAN_MS: u64 = 30_000;
/// Pause before something that the store did not take is offered again.
pub(super) const SAVE_RETRY_MS: u64 = 2_000;
/// Longest wait at the end of the daemon for operations in progress and for what is not yet stored:
/// half of what systemd gives the whole daemon.
const STOP_MS_MAX: u64 = 10_000;

pub(super) struct Task<R> {
    pub(super) parts: Parts<R>,
    pub(super) settings: Settings,
    wakes: mpsc::Receiver<Wake>,
    pub(super) shown: Shown,
    pub(super) entries: BTreeMap<ServerId, Entry>,
    /// How runs of install scripts ended, of servers that the store knows nothing of.
    pub(super) marks: BTreeMap<ServerId, InstallRecord>,
    /// Networks of tenants, so that a start needs no store.
    pub(super) subnets: BTreeMap<TenantId, Subnet>,
    /// Which of them may exist.
    pub(super) networks: Networks,
    pub(super) engine: Engine,
    /// What the boot changed and is not stored yet.
    pub(super) boot: Option<PendingBoot>,
    /// Whether the stored state was taken up.
    pub(super) is_loaded: bool,
    /// When wishes that changed, or could not be read, are read again.
    pub(super) reload_at: Option<BootMs>,
    /// At most one per server.
    operations: JoinSet<Done>,
    /// At most one per server and one for all.
    pub(super) looks: JoinSet<Looked>,
    /// A pump and a watch per process.
    pub(super) sessions: JoinSet<SessionNews>,
    /// At most one per server and one for the boot.
    pub(super) saves: JoinSet<Saved>,
    /// At most one.
    pub(super) releases: JoinSet<Result<(), StepError>>,
}

/// An operation that ended.
struct Done {
    server: ServerId,
    outcome: Outcome,
}

/// What a console's tasks tell.
pub(super) enum SessionNews {
    /// The game said that it is ready.
    Ready(ServerId, crate::runtime::ContainerId),
    /// The watch was replaced or is useless.
    NotReady,
    /// The output ended.
    Ended(ServerId, crate::runtime::ContainerId),
}

/// How a write ended.
pub(super) enum Saved {
    /// What happened to a server, with these facts.
    Server { server: ServerId, facts: Vec<EventId>, result: Stored },
    /// What the boot changed.
    Boot(Stored),
}

/// Whether it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stored {
    Yes,
    Later,
    /// It can never be stored.
    Never,
}

enum Event {
    Wake(Wake),
    Done(Result<Done, tokio::task::JoinError>),
    /// `None`: it panicked.
    Looked(Option<Looked>),
    Session(SessionNews),
    /// `None`: it panicked.
    Saved(Option<Saved>),
    /// `None`: it panicked.
    Released(Option<Result<(), StepError>>),
    Runtime(Option<RuntimeEvent>),
    Time,
}

impl<R: Runtime> Task<R> {
    pub(super) fn new(supervisor: Supervisor<R>) -> Self {
        let Supervisor { parts, settings, wakes, shown } = supervisor;
        Self {
            parts,
            settings,
            wakes,
            shown,
            entries: BTreeMap::new(),
            marks: BTreeMap::new(),
            subnets: BTreeMap::new(),
            networks: Networks::default(),
            engine: Engine::default(),
            boot: None,
            is_loaded: false,
            reload_at: None,
            operations: JoinSet::new(),
            looks: JoinSet::new(),
            sessions: JoinSet::new(),
            saves: JoinSet::new(),
            releases: JoinSet::new(),
        }
    }

    pub(super) async fn run(mut self) {
        self.boot();
        loop {
            let wait_ms = self.act();
            self.show();
            match self.next_event(wait_ms).await {
                Event::Wake(Wake::Stopping) => break,
                event => self.note(event),
            }
        }
        self.finish().await;
    }

    /// Both clocks.
    pub(super) fn now(&self) -> Now {
        let Moment { now: calendar, certain } = self.parts.calendar.moment();
        Now { calendar, certain, boot: self.parts.clock.boot() }
    }

    /// Puts a time of the engine, which reads the machine's clock, on the node's calendar.
    pub(super) fn on_calendar(&self, engine: UnixMs) -> UnixMs {
        let age_ms = self.parts.clock.wall().since(engine);
        UnixMs(self.parts.calendar.now().0.saturating_sub(age_ms))
    }

    pub(super) fn event_id(&self) -> EventId {
        EventId::new(self.parts.calendar.now(), draw(&*self.parts.entropy))
    }

    /// Records something about a server for the hub.
    pub(super) fn report(&mut self, server: ServerId, body: Activity) {
        let (event, at) = (self.event_id(), self.parts.calendar.now());
        if let Some(entry) = self.entries.get_mut(&server) {
            entry.report(event, at, Actor::Edge, body);
        }
    }

    /// Adds a line of the edge to a server's console.
    pub(super) fn say(&self, server: ServerId, text: &str) {
        self.parts.consoles.sink(server).say(text);
    }

    /// Does what there is to do and returns how long there will be nothing more by itself.
    fn act(&mut self) -> u64 {
        let now = self.now();
        self.reload(now);
        self.promote(now);
        let planned = {
            let servers = self.entries.iter().map(|(&server, entry)| (server, entry.view()));
            let world = World {
                engine_error: self.engine.error.as_deref(),
                starts_max: self.settings.starts_max,
                servers: servers.collect(),
            };
            plan(&world, now)
        };
        for (server, action) in planned.actions {
            self.perform(server, action, now);
        }
        self.start_looks(now);
        self.start_saves(now);
        self.start_release(now);
        self.entries.retain(|_, entry| !entry.is_empty());
        let saves = self.entries.values().filter_map(|entry| match entry.save {
            Save::Due(at) => Some(at),
            Save::Clean | Save::Running { .. } => None,
        });
        let boot = self.boot.as_ref().and_then(|boot| boot.retry_at);
        let next = saves.chain(boot).chain(self.reload_at).chain([self.engine.scan_at]).min();
        let next_ms = next.map_or(SCAN_MS, |at| at.since(now.boot));
        // Never zero, so that a clock that stands still does not turn the loop into a spin.
        next_ms.min(planned.wake_ms.unwrap_or(SCAN_MS)).clamp(1, SCAN_MS)
    }

    async fn next_event(&mut self, wait_ms: u64) -> Event {
        tokio::select! {
            biased;
            Some(wake) = self.wakes.recv() => Event::Wake(wake),
            Some(done) = self.operations.join_next() => Event::Done(done),
            Some(looked) = self.looks.join_next() => Event::Looked(looked.ok()),
            Some(Ok(news)) = self.sessions.join_next() => Event::Session(news),
            Some(saved) = self.saves.join_next() => Event::Saved(saved.ok()),
            Some(released) = self.releases.join_next() => Event::Released(released.ok()),
            event = next_runtime_event(&mut self.engine.events) => Event::Runtime(event),
            () = tokio::time::sleep(Duration::from_millis(wait_ms)) => Event::Time,
        }
    }

    fn note(&mut self, event: Event) {
        match event {
            Event::Wake(Wake::DesiredChanged) => self.reload_at = Some(BootMs(0)),
            Event::Wake(Wake::PowerChanged(server)) => self.power_changed(server),
            Event::Wake(Wake::InstallChanged(server)) => self.install_changed(server),
            Event::Wake(Wake::PowerUnstored(unstored)) => self.power_unstored(unstored),
            Event::Wake(Wake::Stopping) | Event::Time => {}
            Event::Done(Ok(done)) => self.operation_done(done.server, done.outcome),
            Event::Done(Err(err)) => {
                tracing::error!(error = %chain(&err), "operation panicked");
                let id = err.id();
                let of = |entry: &&mut Entry| {
                    entry.operation.as_ref().is_some_and(|operation| operation.task == id)
                };
                if let Some(entry) = self.entries.values_mut().find(of) {
                    let server = entry.server;
                    self.operation_done(server, Outcome::Aborted);
                }
            }
            Event::Looked(Some(looked)) => self.looked(looked),
            Event::Looked(None) => self.look_lost(),
            Event::Session(news) => self.session_news(news),
            Event::Saved(Some(saved)) => self.saved(saved),
            Event::Saved(None) => self.save_lost(),
            Event::Released(result) => self.released(result),
            Event::Runtime(event) => self.runtime_event(event),
        }
    }

    fn power_changed(&mut self, server: ServerId) {
        match self.parts.store.power(server) {
            Ok(power) => self.set_power(server, power),
            // It was stored a moment ago; read again with everything else.
            Err(err) => {
                tracing::warn!(%server, error = %chain(&err), "power wish cannot be read");
                self.reload_at = Some(self.parts.clock.boot().plus(SAVE_RETRY_MS));
            }
        }
    }

    /// Carries out what the store did not take, and offers it to the store again.
    fn power_unstored(&mut self, unstored: Unstored) {
        let Unstored { server, action, by, event, at } = unstored;
        let Some(entry) = self.entries.get_mut(&server) else { return };
        entry.power = entry.power.then(action, by.clone(), at);
        entry.unsaved.power = Some(entry.power.clone());
        entry.report(event, at, by, Activity::Power { action });
    }

    /// Puts wishes into force whose time has come.
    fn promote(&mut self, now: Now) {
        let at = Moment { now: now.calendar, certain: now.certain };
        let due: Vec<ServerId> = self
            .entries
            .iter_mut()
            .filter_map(|(&server, entry)| entry.desired.promote(at).then_some(server))
            .collect();
        for server in due {
            let Some(entry) = self.entries.get_mut(&server) else { continue };
            entry.open_wish();
            entry.unsaved.promoted_at = Some(at);
            let Some(held) = &entry.desired.in_force else { continue };
            let generation = held.order.generation.0;
            self.report(server, Activity::Applied { generation });
        }
    }

    fn perform(&mut self, server: ServerId, action: Action, now: Now) {
        let parts = self.parts.clone();
        let Some(entry) = self.entries.get_mut(&server) else { return };
        tracing::info!(%server, ?action, "acting");
        let spec = entry.spec().cloned();
        let container = entry.seen.container().map(|container| container.id.clone());
        match (action, container, spec) {
            (Action::Abort, ..) => {
                // The sender is dropped, which ends the operation.
                entry.operation.as_mut().and_then(|operation| operation.cancel.take());
            }
            (Action::Fetch, _, Some(spec)) => {
                let image = spec.image.clone();
                let kind = Kind::Fetch { image: image.clone() };
                self.spawn(server, kind, operation::fetch(parts, server, image));
            }
            // It is asked for again when that is over, which is soon.
            (Action::Start, ..) if self.networks.is_releasing(entry.tenant()) => {}
            (Action::Start, _, Some(spec)) => {
                entry.image_ready = None;
                let Some(plan) = start_plan(entry, spec, &self.settings, &self.subnets) else {
                    return;
                };
                let kind = Kind::Start { power: plan.power };
                let hold = Hold::new();
                let work = operation::run_start(parts, plan, hold.clone());
                self.spawn_held(server, kind, hold, work);
            }
            (Action::Adopt, Some(_), _) => self.adopt(server),
            (Action::Stop { grace_ms, reason }, Some(id), spec) => {
                entry.stopping = Some(Stopping { asked_at: now.boot, grace_ms, killed_at: None });
                let method =
                    spec.map_or(mamba_core::server::StopMethod::Runtime, |it| it.stop.clone());
                self.report_stop(server, reason);
                self.say(server, "stopping");
                let ask = operation::ask_to_stop(parts, server, id, method);
                self.spawn(server, Kind::Stop, ask);
            }
            (Action::Kill, Some(id), _) => {
                let asked = Stopping { asked_at: now.boot, grace_ms: 0, killed_at: None };
                entry.stopping.get_or_insert(asked).killed_at = Some(now.boot);
                self.say(server, "killing");
                self.spawn(server, Kind::Kill, operation::kill(parts, id));
            }
            (Action::UpdateLimits, Some(id), Some(spec)) => {
                let update = operation::update(parts, id, spec.limits);
                self.spawn(server, Kind::UpdateLimits, update);
            }
            (Action::RecordExit { exit, cause }, ..) => {
                let drained = entry.drained.take();
                let end = operation::collect_end(parts, server, drained, exit, cause);
                self.spawn(server, Kind::RecordExit, end);
            }
            // It is asked for again when that is over, which is soon.
            (Action::Install { .. } | Action::EndInstall { .. }, ..)
                if self.networks.is_releasing(entry.tenant()) => {}
            (Action::Install { asked }, _, Some(spec)) => self.install(server, asked, spec),
            (Action::EndInstall { asked, outcome }, ..) => {
                self.end_install(server, asked, outcome);
            }
            (Action::Remove, Some(id), _) => {
                self.spawn(server, Kind::Remove, operation::remove(parts, id));
            }
            (Action::Trash | Action::Purge, ..) => self.dispose(server, now),
            // The plan asks only for what it sees; what went meanwhile is looked at again.
            (action, ..) => {
                tracing::debug!(%server, ?action, "skipped");
                entry.look_due = true;
            }
        }
    }

    fn report_stop(&mut self, server: ServerId, reason: StopReason) {
        match reason {
            StopReason::Power
            | StopReason::Deleted
            | StopReason::Reinstalled
            | StopReason::Moving
            | StopReason::ChangedHands => {}
            StopReason::Suspended => {
                self.report(server, Activity::StoppedByHub { suspended: true })
            }
            StopReason::EntitlementEnded => {
                self.report(server, Activity::StoppedByHub { suspended: false });
            }
        }
    }

    /// Moves a deleted server's data one step further: to the trash, then away.
    fn dispose(&mut self, server: ServerId, now: Now) {
        let (event, at, parts) = (self.event_id(), now.calendar, self.parts.clone());
        let Some(entry) = self.entries.get(&server) else { return };
        let Some(wish) = &entry.wish else { return };
        let Some(retain_ms) = wish.envelope.body.retain_ms() else { return };
        let is_moved = matches!(wish.envelope.body, Wish::Moved { .. });
        let (order, tenant) = (wish.envelope.order, wish.envelope.tenant);
        // The same for every attempt, so that what was moved before a crash is found again.
        let stamp = wish.envelope.not_before;
        let fact = |body| ActivityFact {
            event,
            at,
            about: Some((tenant, server)),
            actor: Actor::Hub,
            body,
        };
        match entry.trash.filter(|trash| trash.order == order) {
            None => {
                let purge_at = at.plus(retain_ms);
                let record =
                    crate::store::Trash { order, moved_at: at, purge_at, is_purged: false };
                let done = if is_moved { Activity::Left } else { Activity::Deleted };
                let work = operation::trash(parts, server, stamp, record, fact(done));
                self.spawn(server, Kind::Trash, work);
            }
            Some(trash) => {
                let record = crate::store::Trash { is_purged: true, ..trash };
                let work = operation::purge(parts, server, stamp, record, fact(Activity::Purged));
                self.spawn(server, Kind::Purge, work);
            }
        }
    }

    /// Begins a run of the install script, or takes one up.
    fn install(&mut self, server: ServerId, asked: Order, spec: Arc<ServerSpec>) {
        let (now, events) = (self.parts.calendar.now(), [self.event_id(), self.event_id()]);
        let bounds = self.settings.install;
        let Some(entry) = self.entries.get_mut(&server) else { return };
        let Some(net) = net(entry, &self.settings, &self.subnets) else { return };
        if entry.install.as_ref().is_none_or(|known| known.asked != asked) {
            // What failed before has nothing to do with it.
            entry.life.failure = None;
            entry.install = Some(InstallRecord { asked, begun_at: now, cancel: None, end: None });
        }
        let plan = InstallPlan { net, server, asked, spec, bounds, events };
        let hold = Hold::new();
        let work = install::install(self.parts.clone(), plan, hold.clone());
        self.spawn_held(server, Kind::Install { asked }, hold, work);
    }

    fn end_install(&mut self, server: ServerId, asked: Order, outcome: InstallOutcome) {
        let event = self.event_id();
        let Some(entry) = self.entries.get_mut(&server) else { return };
        let Some(net) = net(entry, &self.settings, &self.subnets) else { return };
        let own = entry.install.as_ref().filter(|known| known.asked == asked);
        let by = match (&outcome, own.and_then(|known| known.cancel.clone())) {
            (InstallOutcome::Cancelled, Some(by)) => by,
            (InstallOutcome::Cancelled, None) => Actor::Hub,
            (InstallOutcome::Installed | InstallOutcome::Failed { .. }, _) => Actor::Edge,
        };
        let plan = EndPlan { net, server, asked, outcome, event, by };
        let work = install::end(self.parts.clone(), plan);
        self.spawn(server, Kind::EndInstall, work);
    }

    /// Reads what somebody on the node asked of an install script.
    fn install_changed(&mut self, server: ServerId) {
        let Some(entry) = self.entries.get_mut(&server) else { return };
        match self.parts.store.install(server) {
            Ok(Some(record)) if record.end.is_none() || entry.operation.is_none() => {
                entry.install = Some(record);
            }
            Ok(_) => {}
            // It is asked for again, or the script ends by itself.
            Err(err) => tracing::warn!(%server, error = %chain(&err), "install cannot be read"),
        }
    }

    /// Begins an operation. The caller is the plan, which sees to it that there is none.
    pub(super) fn spawn(
        &mut self,
        server: ServerId,
        kind: Kind,
        work: impl Future<Output = Outcome> + Send + 'static,
    ) {
        self.spawn_held(server, kind, Hold::new(), work);
    }

    fn spawn_held(
        &mut self,
        server: ServerId,
        kind: Kind,
        hold: Hold,
        work: impl Future<Output = Outcome> + Send + 'static,
    ) {
        let Some(entry) = self.entries.get_mut(&server) else { return };
        assert!(entry.operation.is_none(), "two operations at once on {server}");
        let (cancel, cancelled) = oneshot::channel();
        let work = operation::cancellable(cancelled, hold, work);
        let task = self.operations.spawn(async move { Done { server, outcome: work.await } });
        entry.version += 1;
        entry.operation = Some(InProgress { kind, task: task.id(), cancel: Some(cancel) });
    }

    /// Stores what happened, as far as the store takes it.
    fn start_saves(&mut self, now: Now) {
        for (&server, entry) in &mut self.entries {
            if !matches!(entry.save, Save::Due(at) if at <= now.boot) {
                continue;
            }
            let (store, news) = (self.parts.store.clone(), entry.unsaved.clone());
            let facts = news.facts.iter().map(|fact| fact.event).collect();
            entry.save = Save::Running { is_stale: false };
            self.saves.spawn(async move {
                let result = stored(store.save(server, news).await);
                Saved::Server { server, facts, result }
            });
        }
        self.save_boot(now);
    }

    fn saved(&mut self, saved: Saved) {
        let retry_at = self.parts.clock.boot().plus(SAVE_RETRY_MS);
        let (server, facts, result) = match saved {
            Saved::Server { server, facts, result } => (server, facts, result),
            Saved::Boot(result) => return self.boot_saved(result, retry_at),
        };
        let Some(entry) = self.entries.get_mut(&server) else { return };
        let is_stale = matches!(entry.save, Save::Running { is_stale: true });
        if result == Stored::Later {
            entry.save = Save::Due(retry_at);
            return;
        }
        entry.unsaved.facts.retain(|fact| !facts.contains(&fact.event));
        if is_stale {
            entry.save = Save::Due(BootMs(0));
        } else {
            entry.unsaved.life = None;
            entry.unsaved.promoted_at = None;
            entry.unsaved.power = None;
            entry.unsaved.install = None;
            entry.save = Save::Clean;
        }
    }

    /// Nobody knows which write it was: all that were under way are done again, which is harmless.
    fn save_lost(&mut self) {
        tracing::error!("storing what happened panicked");
        let retry_at = self.parts.clock.boot().plus(SAVE_RETRY_MS);
        for entry in self.entries.values_mut() {
            if matches!(entry.save, Save::Running { .. }) {
                entry.save = Save::Due(retry_at);
            }
        }
        self.boot_saved(Stored::Later, retry_at);
    }

    /// Shows what is seen.
    fn show(&mut self) {
        let now = self.now();
        let (mut observed, mut cards) = (BTreeMap::new(), BTreeMap::new());
        let mut census = Census::default();
        for (&server, entry) in &mut self.entries {
            // Nothing is left of it but the tombstone, which the hub knows by the hello.
            if entry.is_purged() {
                continue;
            }
            let standing = standing(&entry.view(), now, self.engine.error.as_deref());
            observed.insert(server, entry.observe(standing, now.calendar));
            cards.extend(entry.card().map(|card| (server, card)));
            census.running.extend(entry.running(&self.parts.data).map(|it| (server, it)));
            census.existing.extend(entry.existing(&self.parts.data).map(|it| (server, it)));
            census.left.extend(entry.has_left().then_some(server));
        }
        publish(&self.shown.observed, Arc::new(observed));
        publish(&self.shown.cards, Arc::new(cards));
        publish(&self.shown.census, Arc::new(census));
        publish(&self.shown.engine_error, self.engine.error.clone());
    }

    /// Lets what is in hand end, as far as it is short, and stores what happened. Containers stay.
    async fn finish(mut self) {
        for entry in self.entries.values_mut() {
            // A fetch can take minutes and loses nothing.
            // Nor does a run of an install script, whose container goes on.
            let operation = &mut entry.operation;
            if let Some(InProgress {
                kind: Kind::Fetch { .. } | Kind::Install { .. },
                cancel,
                ..
            }) = operation
            {
                cancel.take();
            }
        }
        let ended = tokio::time::timeout(Duration::from_millis(STOP_MS_MAX), async {
            while let Some(done) = self.operations.join_next().await {
                if let Ok(Done { server, outcome }) = done {
                    self.operation_done(server, outcome);
                }
            }
            self.start_saves(self.now());
            while let Some(saved) = self.saves.join_next().await {
                if let Ok(saved) = saved {
                    self.saved(saved);
                }
            }
        });
        if ended.await.is_err() {
            tracing::warn!("operations were cut off by the end of the daemon");
        }
    }
}

/// Waits for ever without a subscription.
async fn next_runtime_event(
    events: &mut Option<futures_util::stream::BoxStream<'static, RuntimeEvent>>,
) -> Option<RuntimeEvent> {
    match events {
        Some(events) => events.next().await,
        None => std::future::pending().await,
    }
}

/// Wakes those who watch only when there is something new.
fn publish<T: PartialEq>(sender: &tokio::sync::watch::Sender<T>, value: T) {
    sender.send_if_modified(|old| {
        let is_new = *old != value;
        if is_new {
            *old = value;
        }
        is_new
    });
}

pub(super) fn stored<E: std::error::Error + 'static>(result: Result<(), WriteError<E>>) -> Stored {
    match result {
        Ok(()) => Stored::Yes,
        Err(err) if err.is_retryable() => {
            tracing::warn!(error = %chain(&err), "not stored yet");
            Stored::Later
        }
        Err(err) => {
            tracing::error!(error = %chain(&err), "cannot be stored");
            Stored::Never
        }
    }
}

fn start_plan(
    entry: &Entry,
    spec: Arc<ServerSpec>,
    settings: &Settings,
    subnets: &BTreeMap<TenantId, Subnet>,
) -> Option<StartPlan> {
    let wish = entry.wish.as_ref()?;
    Some(StartPlan {
        net: net(entry, settings, subnets)?,
        server: entry.server,
        order: wish.envelope.order,
        spec,
        fingerprint: wish.fingerprint?,
        power: entry.power.number,
    })
}

fn net(entry: &Entry, settings: &Settings, subnets: &BTreeMap<TenantId, Subnet>) -> Option<Net> {
    let tenant = entry.wish.as_ref()?.envelope.tenant;
    let (node, pool) = (settings.node, settings.pool);
    Some(Net { node, tenant, subnet: subnets.get(&tenant).copied(), pool })
}
