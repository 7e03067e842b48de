//! What must hold: the invariants of the protocol, held against what truly happened.

mod books;
mod bounds;
mod tenants;

use self::books::{Books, Doubted};
use super::{
    centre::{Reached, apart, reached},
    chance::millis,
    machine::Machine,
    plan::{Fault, WALL_PPM_MAX},
    world::{Placed, World},
};
use mamba_core::{
    clock::UnixMs,
    db::{Snapshot, Span, TxnError},
    desired::{Order, Wish},
    fact::{ActivityFact, GapReason, Meter, Quantities, Stream, UsageBody, UsageFact},
    ids::ServerId,
    lifecycle::{Actor, NotRunning, power::Power},
    seq::Seq,
    usage::coverage::HourSpan,
};
use mamba_edge::{
    outbox::{self, OutboxError},
    runtime::{Container, ContainerStatus},
    store::{DESIRED, POWER, TRASH},
};
use mamba_hub::{
    Hub,
    control::transfer::{OPEN, TRANSFERS},
    ingest::AHEAD_MS_MAX,
    store::{SERVERS, StreamKey, stream_number},
};
use mamba_wire::node::OutboxLine;
use std::collections::{BTreeMap, BTreeSet};
use tokio::time::Instant;

/// Rows that are read of one table at once.
const ROWS_MAX: usize = 1_000_000;
/// D4: so soon a server that should run, runs; and the time between two looks.
const START_MS_MAX: u64 = 60_000 + 5_000;
/// How far an edge's calendar may be from true time.
const CALENDAR_MS: u64 = 5_000;
/// How long an intent to start may be followed.
const INTENT_MS: u64 = 60_000;
/// How soon data is purged when its time has come.
const PURGE_MS: u64 = 60_000;

/// An invariant that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Broken {
    pub(super) invariant: &'static str,
    pub(super) text: String,
}

impl Broken {
    pub(super) fn new(invariant: &'static str, text: impl Into<String>) -> Self {
        Self { invariant, text: text.into() }
    }
}

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.invariant, self.text)
    }
}

/// What a model outside of the product knows.
#[derive(Default)]
pub(super) struct Truth {
    /// Usage facts that were on an edge's disk, and whether the disk was lost before the hub had
    /// them.
    facts: BTreeMap<Vec<u8>, Known>,
    /// Read up to here.
    read: BTreeMap<(usize, StreamKey), Seq>,
    /// Highest ack that an edge stored.
    acked: BTreeMap<StreamKey, Seq>,
    had_data: BTreeSet<(usize, ServerId)>,
    /// Since when a server that should run does not.
    idle: BTreeMap<(usize, ServerId), Instant>,
    /// Edges whose disk went back in time, or away.
    disturbed: BTreeSet<usize>,
    /// Edges whose disk is slow.
    slow: BTreeSet<usize>,
    /// Wishes to run that were looked at, by server and number.
    asked: BTreeSet<(ServerId, u64, UnixMs)>,
    /// Acks of a hub that was restored since.
    voided: BTreeMap<StreamKey, Seq>,
}

struct Known {
    edge: usize,
    key: StreamKey,
    seq: Seq,
    is_excused: bool,
}

impl Truth {
    /// Returns how many usage facts were seen on disks of edges.
    pub(super) fn facts(&self) -> u64 {
        self.facts.len() as u64
    }

    /// The hub went back to its backup: acks that it gave since then are void, and it is allowed
    /// that, because nothing above the backup's watermark was pruned (S5).
    pub(super) fn hub_restored(&mut self, world: &World) {
        self.voided.append(&mut self.acked);
        for machine in &world.machines {
            let Some(daemon) = &machine.daemon else { continue };
            let lines: Result<Vec<OutboxLine>, OutboxError> = daemon.store.read(outbox::lines);
            for line in lines.unwrap_or_default() {
                let key = (machine.node, stream_number(line.stream), line.epoch);
                let voided = self.voided.entry(key).or_default();
                *voided = (*voided).max(line.acked);
            }
        }
    }

    pub(super) fn edge_down(&mut self, edge: usize) {
        let _ = edge;
        self.idle.clear();
    }

    pub(super) fn engine_troubled(&mut self, edge: usize) {
        let _ = edge;
        self.idle.clear();
    }

    pub(super) fn disk_slow(&mut self, edge: Option<usize>, is_slow: bool) {
        self.idle.clear();
        match edge {
            Some(edge) if is_slow => drop(self.slow.insert(edge)),
            Some(edge) => drop(self.slow.remove(&edge)),
            None => {}
        }
    }

    /// Another machine has the same identity from now on.
    pub(super) fn cloned(&mut self, world: &World, edge: usize) {
        self.read_facts(world);
        self.disturbed.insert(edge);
    }

    /// The disk of an edge is lost: what the hub does not have is lost with it.
    pub(super) fn disk_gone(&mut self, world: &World, edge: usize) {
        self.read_facts(world);
        self.disturbed.insert(edge);
        let held = world.centre.running.as_ref().map(|it| reached(&it.hub)).unwrap_or_default();
        for known in self.facts.values_mut().filter(|known| known.edge == edge) {
            known.is_excused |= held.get(&known.key).is_none_or(|held| known.seq > *held);
        }
        let node = world.machines[edge].node;
        world.machines[edge].ranks.lock().unwrap().clear();
        self.acked.retain(|key, _| key.0 != node);
        self.read.retain(|(_, key), _| key.0 != node);
    }

    /// Reads new facts from every edge's disk.
    pub(super) fn read_facts(&mut self, world: &World) {
        for machine in world.machines.iter().chain(world.clones.values()) {
            let Some(daemon) = &machine.daemon else { continue };
            let is_clone = machine.index >= world.machines.len();
            // A disk that cannot be read now is read later.
            let Ok(line) = daemon.store.read(|txn| outbox::line(txn, Stream::Usage)) else {
                continue;
            };
            let key = (machine.node, stream_number(Stream::Usage), line.epoch);
            let place = (machine.index, key);
            let after = self.read.get(&place).copied().unwrap_or(Seq(0));
            let mut after = after.max(Seq(line.first_retained.0 - 1));
            loop {
                let read = daemon
                    .store
                    .read(|txn| outbox::window(txn, Stream::Usage, after, 1_000, 1 << 20));
                let Ok(window) = read else { break };
                let Some((last, _)) = window.facts.last() else { break };
                after = *last;
                for (seq, body) in window.facts {
                    // What only a clone measured goes when it goes.
                    let is_excused = is_clone;
                    let known = Known { edge: machine.index, key, seq, is_excused };
                    self.facts.entry(body).or_insert(known);
                }
            }
            self.read.insert(place, after);
        }
    }

    /// Checks what must hold at any moment.
    pub(super) fn check(&mut self, world: &World) -> Result<(), Broken> {
        self.read_facts(world);
        for machine in &world.machines {
            let Some(daemon) = &machine.daemon else { continue };
            let lines: Result<Vec<OutboxLine>, OutboxError> = daemon.store.read(outbox::lines);
            for line in lines.unwrap_or_default() {
                self.check_line(world, machine.index, &line)?;
            }
            self.check_machine(world, machine.index)?;
        }
        self.check_runners(world)?;
        if let Some(running) = &world.centre.running {
            let held = reached(&running.hub);
            for (key, acked) in &self.acked {
                // A hub whose disk just died cannot be asked.
                if !held.is_empty() && held.get(key).is_none_or(|held| held < acked) {
                    let text = format!("{key:?}: acked {acked}, held {:?}", held.get(key));
                    return Err(Broken::new("S6", text));
                }
            }
        }
        Ok(())
    }

    fn check_line(&mut self, world: &World, edge: usize, line: &OutboxLine) -> Result<(), Broken> {
        let key = (world.machines[edge].node, stream_number(line.stream), line.epoch);
        let pruned = Seq(line.first_retained.0 - 1);
        let nothing = Reached::new();
        let backed_up = world.centre.backup.as_ref().map_or(&nothing, |(_, reached)| reached);
        let safe = backed_up.get(&key).copied().unwrap_or(Seq(0));
        if pruned > safe {
            let text = format!(
                "edge {edge} pruned {:?} to {pruned}, in the backup is {safe}",
                line.stream
            );
            return Err(Broken::new("S5", text));
        }
        if line.acked > self.voided.get(&key).copied().unwrap_or(Seq(0)) {
            let acked = self.acked.entry(key).or_default();
            *acked = (*acked).max(line.acked);
        }
        Ok(())
    }

    #[expect(clippy::too_many_lines, reason = "one look at a machine, held against each rule")]
    fn check_machine(&mut self, world: &World, edge: usize) -> Result<(), Broken> {
        let machine = &world.machines[edge];
        if let Some(fell) = machine.ranks.lock().unwrap().fell.take() {
            return Err(Broken::new("D1", fell));
        }
        let Some(daemon) = &machine.daemon else { return Ok(()) };
        let rows: Result<_, TxnError> = daemon.store.read(|txn| {
            let desired = txn.range(DESIRED, Span::all(), ROWS_MAX)?;
            let power = txn.range(POWER, Span::all(), ROWS_MAX)?;
            let trash = txn.range(TRASH, Span::all(), ROWS_MAX)?;
            Ok((desired, power, trash))
        });
        // A disk that cannot be read now.
        let Ok((desired, power, trash)) = rows else { return Ok(()) };
        let trash: BTreeMap<_, _> = trash.into_iter().collect();
        let (desired, power): (BTreeMap<_, _>, BTreeMap<_, _>) =
            (desired.into_iter().collect(), power.into_iter().collect());
        let observed = daemon.supervisor.observed().borrow().clone();
        let containers = machine.engine.containers();
        for container in &containers {
            let held = desired.get(&container.server).and_then(|it| it.newest());
            self.check_container(world, edge, container, held.map(|it| it.order))?;
        }
        for placed in world.servers.iter().filter(|it| it.may_be_on(edge)) {
            let place = (edge, placed.id);
            let newest = desired.get(&placed.id).and_then(|it| it.newest());
            let newest = newest.and_then(|held| held.envelope.open().ok());
            // A copy that never became the server may go, and does not count; nor does an old one
            // when the server comes back.
            let is_moved = !placed.wanted_on.is_empty();
            let lives = newest.is_some_and(|it| it.body.spec().is_some()) || !is_moved;
            // Only the store of a disk that goes back goes back here, and not what lies beside it.
            let is_torn = is_moved && self.disturbed.contains(&edge);
            let had_data = self.had_data.contains(&place) && !is_torn;
            if machine.has_data(placed.id) && lives {
                self.had_data.insert(place);
            } else if had_data && lives && !placed.is_deleted && !machine.has_data(placed.id) {
                return Err(Broken::new("D2", format!("data of {} is gone", placed.id)));
            } else if had_data
                && !machine.has_data(placed.id)
                && !machine.has_trash(placed.id)
                && placed.wanted_on.len() < 2
            {
                let purge_at = trash.get(&placed.id).map(|it| it.purge_at);
                let now = world.centre.clock.true_now();
                let is_due = purge_at.is_some_and(|at| at <= now.plus(CALENDAR_MS));
                if !is_due && !self.disturbed.contains(&edge) {
                    let text = format!("data of {} is purged before {purge_at:?}", placed.id);
                    return Err(Broken::new("D2", text));
                }
            }
            self.check_start(placed, power.get(&placed.id))?;
            let seen = observed.get(&placed.id);
            let in_force = desired.get(&placed.id).and_then(|it| it.in_force.as_ref());
            let wish = in_force.and_then(|held| held.envelope.open().ok());
            let may_run =
                wish.is_some_and(|it| matches!(it.body, Wish::Exist(spec) if !spec.suspended));
            let is_wanted = may_run && power.get(&placed.id).is_some_and(|it| it.wish.running);
            let gave_up = seen.and_then(|it| it.not_running.as_ref());
            let gave_up =
                matches!(gave_up, Some(NotRunning::GaveUp { .. } | NotRunning::StepFailed { .. }));
            let runs = containers.iter().any(|it| {
                it.server == placed.id && matches!(it.status, ContainerStatus::Running { .. })
            });
            // A stop that a full disk does not take is followed from memory, and stored later.
            let is_ended = machine.disk.has_limit() && seen.is_some_and(|it| !it.wish.running);
            if !is_wanted || is_ended || runs || gave_up || self.slow.contains(&edge) {
                self.idle.remove(&place);
                continue;
            }
            let since = *self.idle.entry(place).or_insert_with(Instant::now);
            let since = since.max(daemon.up_at);
            if millis(since, Instant::now()) > START_MS_MAX {
                let text = format!("{} should run; seen is {seen:?}", placed.id);
                return Err(Broken::new("D4", text));
            }
        }
        Ok(())
    }

    /// At most one node runs a server, but for one whose disk went back in time or was doubled.
    fn check_runners(&self, world: &World) -> Result<(), Broken> {
        let mut seen: BTreeMap<ServerId, usize> = BTreeMap::new();
        let is_sound = |machine: &&Machine| !self.disturbed.contains(&machine.index);
        for machine in world.machines.iter().filter(is_sound) {
            let containers = machine.engine.containers().into_iter();
            let up = containers.filter(|it| matches!(it.status, ContainerStatus::Running { .. }));
            for container in up {
                if let Some(other) = seen.insert(container.server, machine.index) {
                    let (server, edge) = (container.server, machine.index);
                    let text = format!("{server} runs on edges {other} and {edge}");
                    return Err(Broken::new("M1", text));
                }
            }
        }
        Ok(())
    }

    /// A container is one of the node's own servers, after a wish that is stored.
    fn check_container(
        &self,
        world: &World,
        edge: usize,
        container: &Container,
        held: Option<Order>,
    ) -> Result<(), Broken> {
        let placed = world.servers.iter().find(|it| it.id == container.server);
        let is_ours = placed.is_some_and(|it| it.may_be_on(edge) && it.may_be_of(container.tenant));
        if !is_ours {
            let text = format!("edge {edge} runs {}, not its own", container.server);
            return Err(Broken::new("T1", text));
        }
        let is_persisted = held.is_some_and(|held| held.generation >= container.generation);
        if !is_persisted && !self.disturbed.contains(&edge) {
            let text = format!(
                "edge {edge} runs generation {:?} of {}, stored is {held:?}",
                container.generation, container.server
            );
            return Err(Broken::new("D3", text));
        }
        Ok(())
    }

    /// An intent to start that is older than it may be is never followed.
    fn check_start(&mut self, placed: &Placed, power: Option<&Power>) -> Result<(), Broken> {
        let Some(power) = power.filter(|it| it.wish.running) else { return Ok(()) };
        let Actor::User(_) = power.wish.by else { return Ok(()) };
        let at = power.wish.at;
        if !self.asked.insert((placed.id, power.number, at)) {
            return Ok(());
        }
        let was_asked = placed.starts.iter().any(|start| {
            *start <= at.plus(CALENDAR_MS) && at <= start.plus(INTENT_MS + CALENDAR_MS)
        });
        if was_asked {
            return Ok(());
        }
        let text = format!("{} started at {at}, asked at {:?}", placed.id, placed.starts);
        Err(Broken::new("stale start", text))
    }

    /// Says what is still under way.
    pub(super) fn is_at_rest(&self, world: &World) -> Result<(), String> {
        let Some(running) = &world.centre.running else { return Err("hub is down".to_owned()) };
        let held_by_hub = reached(&running.hub);
        for machine in &world.machines {
            let edge = machine.index;
            let Some(daemon) = &machine.daemon else { return Err(format!("edge {edge} is down")) };
            let status = daemon.link.status.borrow();
            if !status.up {
                return Err(format!("edge {edge} is not connected: {:?}", *status));
            }
            let lines = daemon.store.read(outbox::lines).map_err(|err| err.to_string())?;
            for line in lines {
                // Not what the edge believes: a hub that was restored knows less.
                let key = (machine.node, stream_number(line.stream), line.epoch);
                let held = held_by_hub.get(&key).copied().unwrap_or(Seq(0));
                if line.acked.next() != line.next || held.next() != line.next {
                    let stream = line.stream;
                    return Err(format!(
                        "edge {edge} has {stream:?} {} to {}, the hub to {held}",
                        line.acked, line.next
                    ));
                }
            }
            let held: Result<_, TxnError> =
                daemon.store.read(|txn| txn.range(DESIRED, Span::all(), ROWS_MAX));
            let held: BTreeMap<_, _> = held.map_err(|err| err.to_string())?.into_iter().collect();
            for placed in world.servers.iter().filter(|it| !it.is_deleted) {
                let key = (placed.owner(&running.hub), placed.id);
                let home: Result<_, TxnError> =
                    running.hub.store().read(|txn| txn.get(SERVERS, &key));
                let home = home.map_err(|err| err.to_string())?.map(|it| it.node);
                if home != Some(machine.node) {
                    continue;
                }
                let wanted = running.hub.signed_wish(key).map_err(|err| err.to_string())?;
                let wanted = wanted.map(|it| it.hash());
                let has = held.get(&placed.id).and_then(|it| it.newest()).map(|it| it.hash);
                if wanted != has {
                    return Err(format!("edge {edge} has another wish of {}", placed.id));
                }
            }
        }
        let open: Result<_, TxnError> =
            running.hub.store().read(|txn| txn.range(OPEN, Span::all(), ROWS_MAX));
        if let Some((key, _)) = open.map_err(|err| err.to_string())?.first() {
            let known = running.hub.store().read(|txn| txn.get(TRANSFERS, key));
            let known: Result<_, TxnError> = known;
            return Err(format!("{} is being moved: {known:?}", key.1));
        }
        check_networks(world, &running.hub)?;
        self.is_purged(world)?;
        if self.idle.is_empty() {
            Ok(())
        } else {
            Err(format!("not running: {:?}", self.idle.keys()))
        }
    }

    /// Says which data should be purged and is not.
    fn is_purged(&self, world: &World) -> Result<(), String> {
        let now = world.centre.clock.true_now();
        for machine in &world.machines {
            let Some(daemon) = &machine.daemon else { continue };
            let trash: Result<_, TxnError> =
                daemon.store.read(|txn| txn.range(TRASH, Span::all(), ROWS_MAX));
            for (server, row) in trash.map_err(|err| err.to_string())? {
                let is_due = row.purge_at.plus(PURGE_MS) < now;
                if is_due && (!row.is_purged || machine.has_trash(server)) {
                    return Err(format!("data of {server} is not purged: {row:?}"));
                }
            }
        }
        Ok(())
    }

    /// Checks what must hold when nothing is under way.
    pub(super) fn check_at_rest(&mut self, world: &World) -> Result<(), Broken> {
        self.check(world)?;
        let Some(running) = &world.centre.running else {
            return Err(Broken::new("L1", "the hub is down"));
        };
        let books: Result<Books, TxnError> = running.hub.store().read(Books::read);
        let books = books.map_err(|err| Broken::new("S1", err.to_string()))?;
        if let Some(body) = books.bodies.iter().find(|body| !self.facts.contains_key(*body)) {
            let text = format!("no edge had {:?}", UsageFact::decode(body));
            return Err(Broken::new("S3", text));
        }
        books.check_custody()?;
        for doubted in &books.quarantined {
            self.check_doubted(world, doubted)?;
        }
        tenants::check(world, &running.hub)?;
        books.check_sums()?;
        check_report(&running.hub)?;
        for (body, known) in &mut self.facts {
            known.is_excused |= books.quarantined.iter().any(|it| it.body == *body);
        }
        for placed in world.servers.iter().filter(|it| it.is_marked && !it.is_deleted) {
            let key = (placed.owner(&running.hub), placed.id);
            let home: Result<_, TxnError> = running.hub.store().read(|txn| txn.get(SERVERS, &key));
            let home = home.map_err(|err| Broken::new("M2", err.to_string()))?;
            let node = home.map(|it| it.node);
            let machine = world.machines.iter().find(|it| Some(it.node) == node);
            if !machine.is_some_and(|it| it.has_mark(placed.id)) {
                let text = format!("data of {} is not on its node {node:?}", placed.id);
                return Err(Broken::new("M2", text));
            }
        }
        for placed in &world.servers {
            let checked = self.check_server(world, &books, placed);
            if checked.is_err() {
                self.tell(world, &books, placed);
            }
            checked?;
        }
        Ok(())
    }

    /// Four kinds of facts are rightly not believed, and wait for an admin. A disk that went back may
    /// bring a deleted server back for a while. A machine that restarts with a clock that is ahead,
    /// and does not reach the hub, has nothing better than that clock. And a gap, which bills nothing,
    /// may begin before the server was made when a wrong clock tells its process's age.
    fn check_doubted(&self, world: &World, doubted: &Doubted) -> Result<(), Broken> {
        let Doubted { key, received_at, reason, body } = doubted;
        let edge = world.machines.iter().find(|it| it.node == key.0).map(|it| it.index);
        let fact = UsageFact::decode(body);
        let server = fact.as_ref().ok().map(|it| it.server);
        let is_back = edge.is_some_and(|edge| self.disturbed.contains(&edge))
            && world
                .servers
                .iter()
                .any(|it| Some(it.id) == server && (it.is_deleted || !it.wanted_on.is_empty()));
        let wrong_by_ms = world.plan.faults().filter_map(|fault| match fault {
            Fault::Clock { edge: of, wrong_by_ms } if Some(*of) == edge => Some(*wrong_by_ms),
            Fault::Drift { edge: of, .. } if Some(*of) == edge => Some(0),
            _ => None,
        });
        let wrong_by_ms = wrong_by_ms.max();
        let drift_ms = world.plan.lasts_ms * WALL_PPM_MAX / 1_000_000;
        let ahead_ms = u64::try_from(wrong_by_ms.unwrap_or(0)).unwrap_or(0) + drift_ms;
        // How long a process ran that a lost store had metered is told by the engine's clock.
        let is_gap = wrong_by_ms.is_some()
            && fact.as_ref().is_ok_and(|it| it.body == UsageBody::Gap(GapReason::DiskLoss));
        let has_restarted = edge.is_some_and(|edge| world.machines[edge].clock.has_restarted());
        let is_ahead = has_restarted
            && fact.as_ref().is_ok_and(|it| {
                it.to > received_at.plus(AHEAD_MS_MAX)
                    && it.to <= received_at.plus(ahead_ms + CALENDAR_MS)
            });
        // Who owned it between two changes is told by nobody when both are lost.
        let event = ActivityFact::decode(body).ok().and_then(|it| it.about);
        let about = server.or(event.map(|(_, server)| server));
        let is_restored = world.plan.faults().any(|it| matches!(it, Fault::HubRestore { .. }));
        let was_given = |it: &Placed| Some(it.id) == about && it.given_to.len() > 1;
        let is_lost = is_restored && world.servers.iter().any(was_given);
        if is_back || is_ahead || is_gap || is_lost {
            return Ok(());
        }
        let text = format!("in quarantine: {key:?} of {received_at}: {reason}: {fact:?}");
        Err(Broken::new("S1", text))
    }

    /// Shows what was measured and what truly ran of a server whose bill is wrong.
    fn tell(&self, world: &World, books: &Books, placed: &Placed) {
        for (body, known) in &self.facts {
            let fact = UsageFact::decode(body).unwrap();
            if fact.server != placed.id {
                continue;
            }
            let (held, excused) = (books.bodies.contains(body), known.is_excused);
            let (from, to, edge, epoch) = (fact.from, fact.to, known.edge, known.key.2);
            world.trace.say(&format!(
                "  edge {edge}, {epoch:?} {}: {from} to {to} ({} ms), in custody {held}, excused \
                 {excused}: {:?}",
                known.seq,
                to.since(from),
                fact.body
            ));
        }
        for run in bounds::runs(world, placed) {
            let at = |at: Instant| millis(world.begin, at);
            let limits: Vec<_> = run.limits.iter().map(|(from, it)| (at(*from), it)).collect();
            let (from, to) = (at(run.from), run.to.map(at));
            world.trace.say(&format!("  ran from {from} to {to:?}: {limits:?}"));
        }
    }

    fn check_server(&self, world: &World, books: &Books, placed: &Placed) -> Result<(), Broken> {
        let server = placed.id;
        let mut known = Vec::new();
        for (body, known_as) in &self.facts {
            let fact = UsageFact::decode(body).unwrap();
            if let UsageBody::Measured(quantities) = &fact.body
                && fact.server == server
            {
                known.push((
                    HourSpan::new(fact.from, fact.to).unwrap(),
                    *quantities,
                    known_as.is_excused,
                ));
            }
        }
        known.sort_by_key(|(span, _, _)| *span);
        let nothing = (Quantities::default(), BTreeMap::new());
        let (billed, covered) = books.servers.get(&server).unwrap_or(&nothing);
        for (span, _, is_excused) in &known {
            // Each owner has a record of his part.
            let hours = covered.get(&span.hour()).into_iter().flatten();
            let left = hours.fold(vec![*span], |left, hour| {
                left.into_iter().flat_map(|part| hour.clip(part)).collect()
            });
            if !is_excused && !left.is_empty() {
                let text = format!(
                    "{server}: {} to {} was measured and is not in the ledger",
                    span.from(),
                    span.to()
                );
                return Err(Broken::new("S1", text));
            }
        }
        let is_disjoint = known.windows(2).all(|pair| pair[0].0.to() <= pair[1].0.from());
        for meter in Meter::ALL {
            let sum = |with_excused: bool| -> u128 {
                let counted = known.iter().filter(|(_, _, excused)| with_excused || !excused);
                counted.map(|(_, quantities, _)| quantities.of(meter)).sum()
            };
            let (least, most, is) = (sum(false), sum(true), billed.of(meter));
            if is > most {
                let text = format!("{server}: {meter:?} billed {is}, measured {most}");
                return Err(Broken::new("S2", text));
            }
            if is < least && is_disjoint {
                let text = format!("{server}: {meter:?} billed {is}, measured {least}");
                return Err(Broken::new("S1", text));
            }
        }
        let is_cut = self.disturbed.iter().any(|edge| placed.may_be_on(*edge));
        let cut_ms = if is_cut { bounds::SLACK_MS } else { 0 };
        bounds::check(world, placed, billed, cut_ms)
    }
}

/// What runs is in the network of its owner.
fn check_networks(world: &World, hub: &Hub) -> Result<(), String> {
    for container in world.machines.iter().flat_map(|it| it.engine.containers()) {
        let placed = world.servers.iter().find(|it| it.id == container.server);
        let is_up = matches!(container.status, ContainerStatus::Running { .. });
        let is_right = placed.is_some_and(|it| it.owner(hub) == container.tenant);
        if is_up && !is_right {
            return Err(format!("{} runs in the network of another tenant", container.server));
        }
    }
    Ok(())
}

/// The product's own report finds that everything adds up.
fn check_report(hub: &Hub) -> Result<(), Broken> {
    let report = apart(async { hub.reconcile(None).await });
    let report = report.map_err(|err| Broken::new("S7", err.to_string()))?;
    if report.is_balanced() {
        return Ok(());
    }
    let rows: Vec<_> = report.rows.iter().filter(|row| !row.is_balanced()).collect();
    Err(Broken::new("S7", format!("report: {:?}, {rows:?}", report.problems)))
}
