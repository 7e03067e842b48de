//! What must hold: the invariants of the protocol, held against what truly happened.

use super::{
    centre::{Reached, reached},
    chance::millis,
    world::World,
};
use mamba_core::{
    clock::UnixMs,
    db::{ReadTxn, Snapshot, Span, TxnError},
    desired::{Order, Wish},
    fact::{Meter, Quantities, Stream, UsageBody, UsageFact},
    ids::ServerId,
    lifecycle::NotRunning,
    seq::Seq,
    usage::coverage::{Coverage, HourSpan},
};
use mamba_edge::{
    outbox::{self, OutboxError},
    runtime::ContainerStatus,
    store::{DESIRED, POWER},
};
use mamba_hub::store::{
    COVERAGE, CUSTODY, ENVELOPES, HOURS, LEASES, POSTINGS, QUARANTINE, STREAM_GAPS, STREAMS,
    StreamKey, stream_number,
};
use mamba_wire::node::OutboxLine;
use std::collections::{BTreeMap, BTreeSet};
use tokio::time::Instant;

/// Rows that are read of one table at once.
const ROWS_MAX: usize = 1_000_000;
/// D4: so soon a server that should run, runs; and the time between two looks.
const START_MS_MAX: u64 = 60_000 + 5_000;
/// Newest usage that is not yet a fact: a window and a sample.
const OPEN_MS: u64 = 5 * 60_000 + 20_000;
/// Clock error of each start and stop that may be billed.
const SLACK_MS: u64 = 2_000;

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
    read: BTreeMap<StreamKey, Seq>,
    /// Highest ack that an edge stored.
    acked: BTreeMap<StreamKey, Seq>,
    /// Newest rank that an edge acted on.
    applied: BTreeMap<ServerId, Order>,
    had_data: BTreeSet<ServerId>,
    /// Since when a server that should run does not.
    idle: BTreeMap<ServerId, Instant>,
    /// Edges whose disk went back in time, or away.
    disturbed: BTreeSet<usize>,
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

    /// The disk of an edge is lost: what the hub does not have is lost with it.
    pub(super) fn disk_gone(&mut self, world: &World, edge: usize) {
        self.read_facts(world);
        self.disturbed.insert(edge);
        let held = world.centre.running.as_ref().map(|it| reached(&it.hub)).unwrap_or_default();
        for known in self.facts.values_mut().filter(|known| known.edge == edge) {
            known.is_excused |= held.get(&known.key).is_none_or(|held| known.seq > *held);
        }
        let node = world.machines[edge].node;
        self.applied.retain(|server, _| {
            !world.servers.iter().any(|it| it.id == *server && it.edge == edge)
        });
        self.acked.retain(|key, _| key.0 != node);
        self.read.retain(|key, _| key.0 != node);
    }

    /// Reads new facts from every edge's disk.
    pub(super) fn read_facts(&mut self, world: &World) {
        for machine in &world.machines {
            let Some(daemon) = &machine.daemon else { continue };
            // A disk that cannot be read now is read later.
            let Ok(line) = daemon.store.read(|txn| outbox::line(txn, Stream::Usage)) else {
                continue;
            };
            let key = (machine.node, stream_number(Stream::Usage), line.epoch);
            let after = self.read.get(&key).copied().unwrap_or(Seq(0));
            let mut after = after.max(Seq(line.first_retained.0 - 1));
            loop {
                let read = daemon
                    .store
                    .read(|txn| outbox::window(txn, Stream::Usage, after, 1_000, 1 << 20));
                let Ok(window) = read else { break };
                let Some((last, _)) = window.facts.last() else { break };
                after = *last;
                for (seq, body) in window.facts {
                    let known = Known { edge: machine.index, key, seq, is_excused: false };
                    self.facts.entry(body).or_insert(known);
                }
            }
            self.read.insert(key, after);
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

    fn check_machine(&mut self, world: &World, edge: usize) -> Result<(), Broken> {
        let machine = &world.machines[edge];
        let Some(daemon) = &machine.daemon else { return Ok(()) };
        let rows: Result<_, TxnError> = daemon.store.read(|txn| {
            let desired = txn.range(DESIRED, Span::all(), ROWS_MAX)?;
            let power = txn.range(POWER, Span::all(), ROWS_MAX)?;
            Ok((desired, power))
        });
        // A disk that cannot be read now.
        let Ok((desired, power)) = rows else { return Ok(()) };
        let (desired, power): (BTreeMap<_, _>, BTreeMap<_, _>) =
            (desired.into_iter().collect(), power.into_iter().collect());
        let observed = daemon.supervisor.observed().borrow().clone();
        let containers = machine.engine.containers();
        for container in &containers {
            let placed = world.servers.iter().find(|it| it.id == container.server);
            let is_ours = placed.is_some_and(|it| it.edge == edge && it.tenant == container.tenant);
            if !is_ours {
                let text = format!("edge {edge} runs {}, not its own", container.server);
                return Err(Broken::new("T1", text));
            }
            let held = desired.get(&container.server).and_then(|it| it.newest());
            let is_persisted =
                held.is_some_and(|held| held.order.generation >= container.generation);
            if !is_persisted && !self.disturbed.contains(&edge) {
                let text = format!(
                    "edge {edge} runs generation {:?} of {}, stored is {:?}",
                    container.generation,
                    container.server,
                    held.map(|it| it.order)
                );
                return Err(Broken::new("D3", text));
            }
        }
        for placed in world.servers.iter().filter(|it| it.edge == edge) {
            if machine.has_data(placed.id) {
                self.had_data.insert(placed.id);
            } else if self.had_data.contains(&placed.id) && !placed.is_deleted {
                return Err(Broken::new("D2", format!("data of {} is gone", placed.id)));
            }
            let seen = observed.get(&placed.id);
            if let Some(order) = seen.and_then(|it| it.applied) {
                let before = self.applied.insert(placed.id, order);
                if before.is_some_and(|before| before > order) {
                    let text = format!("{}: {before:?} then {order:?}", placed.id);
                    return Err(Broken::new("D1", text));
                }
            }
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
            if !is_wanted || runs || gave_up {
                self.idle.remove(&placed.id);
                continue;
            }
            let since = *self.idle.entry(placed.id).or_insert_with(Instant::now);
            let since = since.max(daemon.up_at);
            if millis(since, Instant::now()) > START_MS_MAX {
                let text = format!("{} should run; seen is {seen:?}", placed.id);
                return Err(Broken::new("D4", text));
            }
        }
        Ok(())
    }

    /// Says what is still under way.
    pub(super) fn is_at_rest(&self, world: &World) -> Result<(), String> {
        let Some(running) = &world.centre.running else { return Err("hub is down".to_owned()) };
        for machine in &world.machines {
            let edge = machine.index;
            let Some(daemon) = &machine.daemon else { return Err(format!("edge {edge} is down")) };
            let status = daemon.link.status.borrow();
            if !status.up {
                return Err(format!("edge {edge} is not connected: {:?}", *status));
            }
            let lines = daemon.store.read(outbox::lines).map_err(|err| err.to_string())?;
            for line in lines {
                if line.acked.next() != line.next {
                    let stream = line.stream;
                    return Err(format!(
                        "edge {edge} has {stream:?} {} to {}",
                        line.acked, line.next
                    ));
                }
            }
            let held: Result<_, TxnError> =
                daemon.store.read(|txn| txn.range(DESIRED, Span::all(), ROWS_MAX));
            let held: BTreeMap<_, _> = held.map_err(|err| err.to_string())?.into_iter().collect();
            for placed in world.servers.iter().filter(|it| it.edge == edge && !it.is_deleted) {
                let key = (placed.tenant, placed.id);
                let wanted: Result<_, TxnError> =
                    running.hub.store().read(|txn| txn.get(ENVELOPES, &key));
                let wanted = wanted.map_err(|err| err.to_string())?.map(|it| it.signed.hash());
                let has = held.get(&placed.id).and_then(|it| it.newest()).map(|it| it.hash);
                if wanted != has {
                    return Err(format!("edge {edge} has another wish of {}", placed.id));
                }
            }
        }
        if self.idle.is_empty() {
            Ok(())
        } else {
            Err(format!("not running: {:?}", self.idle.keys()))
        }
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
        books.check_custody(self.disturbed.is_empty())?;
        books.check_sums()?;
        for (body, known) in &mut self.facts {
            known.is_excused |= books.doubted.contains(body);
        }
        for placed in &world.servers {
            self.check_server(world, &books, placed.id)?;
        }
        Ok(())
    }

    fn check_server(&self, world: &World, books: &Books, server: ServerId) -> Result<(), Broken> {
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
            let hour = covered.get(&span.hour());
            if !is_excused && hour.is_none_or(|hour| !hour.clip(*span).is_empty()) {
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
        check_truth(world, server, billed)
    }
}

/// S3: holds what was billed of memory against the processes that there were.
fn check_truth(world: &World, server: ServerId, billed: &Quantities) -> Result<(), Broken> {
    let now = Instant::now();
    let (mut most, mut least) = (0_u128, 0_u128);
    for machine in &world.machines {
        for run in machine.engine.runs().values().filter(|run| run.server == server) {
            let end = run.to.unwrap_or(now);
            let mut largest = 0;
            for (index, (from, limits)) in run.limits.iter().enumerate() {
                let until = run.limits.get(index + 1).map_or(end, |(at, _)| *at);
                let rate = u128::from(limits.memory_mib.0) << 20;
                largest = rate.max(largest);
                most += rate * u128::from(millis(*from, until));
                let told = millis(world.begin, now).saturating_sub(OPEN_MS);
                let until_ms = millis(world.begin, until).min(told);
                let ms = until_ms.saturating_sub(millis(world.begin, *from));
                least += rate * u128::from(ms.saturating_sub(SLACK_MS));
            }
            // A change of limits is seen some time after it was made.
            most += largest * u128::from(SLACK_MS) * run.limits.len() as u128;
        }
    }
    let is = billed.memory_allocated;
    if is > most {
        let text = format!("{server}: allocated memory billed {is}, at most {most} ran");
        return Err(Broken::new("S3", text));
    }
    let harmless = ["loss", "partition", "rebind", "hub-crash", "restore"];
    let is_exact = world.plan.faults().all(|fault| harmless.contains(&fault.class()));
    if is_exact && is < least {
        let text = format!("{server}: allocated memory billed {is}, at least {least} ran");
        return Err(Broken::new("S1", text));
    }
    Ok(())
}

/// What was billed of one server in all, and the spans that it covers, by hour.
type Billed = (Quantities, BTreeMap<UnixMs, Coverage>);

/// The hub's books at one moment.
struct Books {
    servers: BTreeMap<ServerId, Billed>,
    /// What the postings add up to.
    posted: BTreeMap<ServerId, Quantities>,
    /// Postings that were billed whole.
    whole: BTreeMap<ServerId, Vec<(u64, u64)>>,
    streams: Vec<(StreamKey, Seq, u64, u64)>,
    quarantined: Option<String>,
    /// Usage facts in custody.
    bodies: BTreeSet<Vec<u8>>,
    /// Those that were not believed.
    doubted: BTreeSet<Vec<u8>>,
}

impl Books {
    fn read(txn: &ReadTxn) -> Result<Self, TxnError> {
        let mut servers = BTreeMap::<ServerId, Billed>::new();
        let mut posted = BTreeMap::<ServerId, Quantities>::new();
        let mut whole = BTreeMap::<ServerId, Vec<(u64, u64)>>::new();
        for ((_, server, _), hour) in txn.range(HOURS, Span::all(), ROWS_MAX)? {
            add(&mut servers.entry(server).or_default().0, &hour.billed);
        }
        for ((_, server, hour), coverage) in txn.range(COVERAGE, Span::all(), ROWS_MAX)? {
            servers.entry(server).or_default().1.insert(hour, coverage.spans);
        }
        for ((_, server, from, _, _), posting) in txn.range(POSTINGS, Span::all(), ROWS_MAX)? {
            add(posted.entry(server).or_default(), &posting.billed);
            if posting.clipped == Quantities::default() {
                whole.entry(server).or_default().push((from.0, posting.to.0));
            }
        }
        let mut streams = Vec::new();
        for (key, record) in txn.range(STREAMS, Span::all(), ROWS_MAX)? {
            let rows = txn.prefix(CUSTODY, &key, ROWS_MAX)?.len() as u64;
            let gaps = txn.prefix(STREAM_GAPS, &key, ROWS_MAX)?;
            let lost = |gap: &mamba_hub::store::StreamGap| {
                gap.last.map_or(0, |last| last.0 + 1 - gap.first.0)
            };
            let lost = gaps.iter().map(|(_, gap)| lost(gap)).sum();
            streams.push((key, record.watermark, rows, lost));
        }
        let quarantined = txn.range(QUARANTINE, Span::all(), 1)?;
        let quarantined = match quarantined.first() {
            Some((key, why)) => {
                let body = txn.get(CUSTODY, key)?.map(|it| it.body).unwrap_or_default();
                let (fact, reason) = (UsageFact::decode(&body), &why.reason);
                let leases = txn.range(LEASES, Span::all(), ROWS_MAX)?;
                let server = fact.as_ref().ok().map(|it| it.server);
                let leases: Vec<_> = leases.iter().filter(|(it, _)| Some(it.1) == server).collect();
                Some(format!("{key:?}: {reason}: {fact:?}, leases {leases:?}"))
            }
            None => None,
        };
        let mut doubted = BTreeSet::new();
        for (key, _) in txn.range(QUARANTINE, Span::all(), ROWS_MAX)? {
            doubted.extend(txn.get(CUSTODY, &key)?.map(|it| it.body));
        }
        let custody = txn.range(CUSTODY, Span::all(), ROWS_MAX)?.into_iter();
        let usage = custody.filter(|((_, stream, ..), _)| *stream == stream_number(Stream::Usage));
        let bodies = usage.map(|(_, record)| record.body).collect();
        Ok(Self { servers, posted, whole, streams, quarantined, bodies, doubted })
    }

    /// A disk that went back may bring a deleted server back for a while; what it uses then is
    /// rightly not believed.
    fn check_custody(&self, believes_all: bool) -> Result<(), Broken> {
        for (key, watermark, rows, lost) in &self.streams {
            if rows + lost != watermark.0 {
                let text = format!("{key:?}: watermark {watermark}, {rows} facts, {lost} lost");
                return Err(Broken::new("S4", text));
            }
        }
        match &self.quarantined {
            Some(why) if believes_all => Err(Broken::new("S1", format!("in quarantine: {why}"))),
            Some(_) | None => Ok(()),
        }
    }

    fn check_sums(&self) -> Result<(), Broken> {
        for (server, (billed, _)) in &self.servers {
            let posted = self.posted.get(server).copied().unwrap_or_default();
            if posted != *billed {
                let text = format!("{server}: ledger {posted:?}, hours {billed:?}");
                return Err(Broken::new("S7", text));
            }
        }
        for (server, spans) in &self.whole {
            let mut spans = spans.clone();
            spans.sort_unstable();
            if let Some(pair) = spans.windows(2).find(|pair| pair[0].1 > pair[1].0) {
                return Err(Broken::new("S2", format!("{server}: {pair:?} billed twice")));
            }
        }
        Ok(())
    }
}

fn add(sum: &mut Quantities, more: &Quantities) {
    for meter in Meter::ALL {
        *sum.of_mut(meter) += more.of(meter);
    }
}
