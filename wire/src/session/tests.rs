//! Both halves joined in memory, cut at any moment.

use super::*;
use crate::{
    frame::Frame,
    link::v1::{
        Ack, DesiredLine, DesiredOutcome, DesiredResult, EdgeFrame, Facts, Found, HubFrame, Intent,
        IntentOutcome, IntentResult, MINOR_PACKED, PackedFacts, StreamHello, StreamWelcome,
    },
};
use mamba_core::{
    clock::{BootMs, UnixMs},
    desired::{Envelope, Home, Order, SignedEnvelope, Verdict, Wish, judge},
    fact::{Quantities, UsageBody, UsageFact},
    ids::{InstanceId, IntentId, NodeId, ServerId, TenantId, UserId},
    lifecycle::PowerAction,
    registry::Login,
    seq::{Generation, Incarnation},
};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

const NODE: NodeId = NodeId::from_bytes([9; 16]);

/// One outbox stream as an edge keeps it.
#[derive(Clone, Debug)]
struct Outbox {
    epoch: Epoch,
    /// Kept facts with the chain after each.
    kept: BTreeMap<Seq, (Vec<u8>, Chain)>,
    first: Seq,
    before_first: Chain,
}

impl Outbox {
    fn new(epoch: u64) -> Self {
        let (kept, first) = (BTreeMap::new(), Seq(1));
        Self { epoch: Epoch(epoch), kept, first, before_first: Chain::default() }
    }

    fn next(&self) -> Seq {
        self.kept.keys().next_back().map_or(self.first, |last| last.next())
    }

    fn chain_at(&self, seq: Seq) -> Chain {
        self.kept.get(&seq).map_or(self.before_first, |(_, chain)| *chain)
    }

    fn head(&self) -> Chain {
        self.chain_at(Seq(self.next().0 - 1))
    }

    fn add(&mut self, body: Vec<u8>) {
        let seq = self.next();
        let chain = self.head().then(self.epoch, seq, &body);
        self.kept.insert(seq, (body, chain));
    }

    fn prune(&mut self, to: Seq) {
        while self.first <= to {
            let Some((_, chain)) = self.kept.remove(&self.first) else { return };
            (self.before_first, self.first) = (chain, self.first.next());
        }
    }

    fn fork(&mut self, epoch: u64) {
        let kept = std::mem::take(&mut self.kept);
        *self = Self::new(epoch);
        kept.into_values().for_each(|(body, _)| self.add(body));
    }

    fn batch(&self, after: Seq) -> Option<Batch> {
        // Three facts to a batch, so that windows fill.
        let take = self.kept.range(after.next()..).take(3).collect::<Vec<_>>();
        let (first, _) = take.first()?;
        let (_, (_, chain)) = take.last()?;
        Some(Batch {
            epoch: self.epoch,
            first: **first,
            chain_before: self.chain_at(after),
            bodies: take.iter().map(|(_, (body, _))| body.clone()).collect(),
            chain: *chain,
        })
    }
}

#[derive(Clone, Debug)]
struct EdgeStore {
    streams: BTreeMap<Stream, Outbox>,
    desired: BTreeMap<ServerId, SignedEnvelope>,
    done: BTreeSet<IntentId>,
    /// Everything that was told, in its order.
    registries: Vec<Vec<Login>>,
}

/// The hub's store: custody per stream and epoch.
#[derive(Clone, Debug, Default)]
struct HubStore {
    records: BTreeMap<(Stream, Epoch), StreamRecord>,
    custody: BTreeMap<(Stream, Epoch), Vec<Vec<u8>>>,
    open: BTreeMap<Stream, Epoch>,
    desired: BTreeMap<ServerId, SignedEnvelope>,
    intents: BTreeMap<IntentId, Intent>,
    registries: Vec<Login>,
    lost: u64,
}

fn envelope(server: u8, incarnation: u32, generation: u64) -> SignedEnvelope {
    let envelope = Envelope {
        tenant: TenantId::from_bytes([1; 16]),
        node: NODE,
        server: ServerId::from_bytes([server; 16]),
        order: Order { incarnation: Incarnation(incarnation), generation: Generation(generation) },
        home: Home::default(),
        not_before: UnixMs(0),
        force: false,
        body: Wish::Deleted { retain_ms: generation },
    };
    SignedEnvelope { bytes: envelope.encode().unwrap(), signature: vec![] }
}

fn line(signed: &SignedEnvelope) -> DesiredLine {
    let open = signed.open().unwrap();
    DesiredLine { server: open.server, order: open.order, hash: signed.hash() }
}

fn rank(signed: &SignedEnvelope) -> (Order, mamba_core::desired::EnvelopeHash) {
    (line(signed).order, signed.hash())
}

impl HubStore {
    fn hello(&mut self, streams: &[StreamHello]) -> Vec<StreamWelcome> {
        let welcome = |hello: &StreamHello| {
            let key = (hello.stream, hello.epoch);
            let found = compare(hello, self.records.get(&key));
            if found.found != Found::Fork {
                self.records.insert(key, found.record);
                self.open.insert(hello.stream, hello.epoch);
                self.lost += found.lost.map_or(0, |(from, to)| to.0 - from.0 + 1);
            }
            found.welcome(hello)
        };
        streams.iter().map(welcome).collect()
    }

    /// Takes what is new of a batch. `None` when it does not follow.
    fn ingest(&mut self, facts: &Facts) -> Option<Ack> {
        let key = (facts.stream, facts.epoch);
        let record = self.records.get_mut(&key)?;
        if self.open.get(&facts.stream) != Some(&facts.epoch)
            || facts.first > record.watermark.next()
        {
            return None;
        }
        let custody = self.custody.entry(key).or_default();
        let mut seq = facts.first;
        for body in &facts.bodies {
            if seq > record.watermark {
                record.chain = record.chain.then(facts.epoch, seq, body);
                record.watermark = seq;
                custody.push(body.clone());
            }
            seq = seq.next();
        }
        Some(self.ack(facts.stream, facts.epoch))
    }

    fn ack(&self, stream: Stream, epoch: Epoch) -> Ack {
        let StreamRecord { watermark, backup_watermark, .. } = self.records[&(stream, epoch)];
        Ack { stream, epoch, watermark, backup_watermark }
    }

    fn wanted(&self) -> Wanted {
        Wanted {
            desired: self.desired.values().map(line).collect(),
            intents: self.intents.values().cloned().collect(),
            acks: self.open.iter().map(|(stream, epoch)| self.ack(*stream, *epoch)).collect(),
            registries: self.registries.clone(),
        }
    }
}

/// One connection: both halves and what is on the way between them.
struct Pair {
    edge: EdgeSession,
    hub: HubSession,
    up: BTreeMap<Lane, VecDeque<Frame>>,
    down: VecDeque<Frame>,
    edge_asks: VecDeque<EdgeAsk>,
    hub_asks: VecDeque<HubAsk>,
}

struct World {
    edge: EdgeStore,
    hub: HubStore,
    pair: Pair,
    /// What old sessions still wanted of the hub's store; a cut does not call it back.
    ghosts: VecDeque<Facts>,
    now: u64,
    epochs: u64,
    /// Why sessions ended, cuts apart.
    ends: Vec<End>,
    most_in_flight: usize,
}

impl World {
    fn new() -> Self {
        let streams = Stream::ALL.into_iter().zip(1..).map(|(s, epoch)| (s, Outbox::new(epoch)));
        let (edge, hub) = (
            EdgeStore {
                streams: streams.collect(),
                desired: BTreeMap::new(),
                done: BTreeSet::new(),
                registries: Vec::new(),
            },
            HubStore::default(),
        );
        let (ghosts, ends) = (VecDeque::new(), Vec::new());
        let pair = Pair::new(0);
        Self { edge, hub, pair, ghosts, now: 0, epochs: 10, ends, most_in_flight: 0 }
    }

    fn cut(&mut self) {
        let old = std::mem::replace(&mut self.pair, Pair::new(self.now));
        for ask in old.hub_asks {
            if let HubAsk::Ingest(facts) = ask {
                self.ghosts.push_back(facts);
            }
        }
    }

    fn finish(&mut self, result: Result<(), End>) {
        if let Err(end) = result {
            self.ends.push(end);
            self.cut();
        }
    }

    fn deliver_up(&mut self, lane: Lane) {
        let Some(frame) = self.pair.up.get_mut(&lane).and_then(VecDeque::pop_front) else { return };
        let result = if let Ok(lane) = lane_of(&frame) {
            if lane == Lane::Control { Ok(()) } else { self.pair.hub.on_lane(lane) }
        } else {
            self.pair.hub.on_frame(now(self.now), lane, &frame)
        };
        self.pair.collect();
        self.finish(result);
    }

    fn deliver_down(&mut self) {
        let Some(frame) = self.pair.down.pop_front() else { return };
        let result = self.pair.edge.on_frame(BootMs(self.now), &frame);
        self.pair.collect();
        self.finish(result);
    }

    fn run_edge_ask(&mut self) {
        let Some(ask) = self.pair.edge_asks.pop_front() else { return };
        let result = self.do_edge_ask(ask);
        self.pair.collect();
        self.finish(result);
    }

    fn do_edge_ask(&mut self, ask: EdgeAsk) -> Result<(), End> {
        let session = &mut self.pair.edge;
        match ask {
            EdgeAsk::LearnTime(_) => Ok(()),
            EdgeAsk::Holdings => {
                let streams = self.edge.streams.iter().map(|(stream, outbox)| StreamHello {
                    stream: *stream,
                    epoch: outbox.epoch,
                    first_retained: outbox.first,
                    next: outbox.next(),
                    chain_head: outbox.head(),
                    chain_before_first: outbox.before_first,
                });
                let desired = self.edge.desired.values().map(line).collect();
                session.on_holdings(UnixMs(self.now), streams.collect(), desired)
            }
            EdgeAsk::ReadFacts { stream, after } => {
                session.on_facts(stream, self.edge.streams[&stream].batch(after))
            }
            EdgeAsk::Acked(ack) => {
                let held = self.hub.records[&(ack.stream, ack.epoch)];
                assert!(ack.watermark <= held.watermark, "ack before commit");
                assert!(ack.backup_watermark <= held.backup_watermark, "backup never made");
                let outbox = self.edge.streams.get_mut(&ack.stream).unwrap();
                if outbox.epoch == ack.epoch {
                    outbox.prune(ack.watermark.min(ack.backup_watermark));
                }
                Ok(())
            }
            EdgeAsk::Fork(stream) => {
                self.epochs += 1;
                self.edge.streams.get_mut(&stream).unwrap().fork(self.epochs);
                Err(session.on_forked(stream))
            }
            EdgeAsk::Adopt(envelopes) => {
                let results = envelopes.into_iter().map(|signed| adopt(&mut self.edge, signed));
                let results = results.collect();
                session.on_adopted(results)
            }
            EdgeAsk::Envelopes(servers) => {
                let held = servers.iter().filter_map(|id| self.edge.desired.get(id).cloned());
                session.on_envelopes(held.collect())
            }
            EdgeAsk::Registries(logins) => {
                self.edge.registries.push(logins);
                Ok(())
            }
            EdgeAsk::Accept(intents) => {
                let results = intents.into_iter().map(|intent| {
                    self.edge.done.insert(intent.intent);
                    IntentResult { intent: intent.intent, outcome: IntentOutcome::Accepted }
                });
                session.on_accepted(results.collect())
            }
        }
    }

    fn run_hub_ask(&mut self) {
        let Some(ask) = self.pair.hub_asks.pop_front() else { return };
        let result = self.do_hub_ask(ask);
        self.pair.collect();
        self.finish(result);
    }

    fn do_hub_ask(&mut self, ask: HubAsk) -> Result<(), End> {
        let (session, now) = (&mut self.pair.hub, now(self.now));
        match ask {
            HubAsk::Hello(hello) => session.on_welcome(now, self.hub.hello(&hello.streams)),
            HubAsk::Wanted => session.on_wanted(now, &self.hub.wanted()),
            HubAsk::Envelopes(servers) => {
                // One at a time, as if no two had room in a message.
                let held = servers.iter().filter_map(|id| self.hub.desired.get(id).cloned());
                session.on_envelopes(held.take(1).collect())
            }
            HubAsk::Adopt(envelopes) => {
                for signed in envelopes {
                    let (server, got) = (line(&signed).server, rank(&signed));
                    let held = self.hub.desired.get(&server).map(rank);
                    if judge(held, got) == Verdict::Adopt {
                        self.hub.desired.insert(server, signed);
                    }
                }
                session.on_adopted();
                Ok(())
            }
            HubAsk::Ingest(facts) => match self.hub.ingest(&facts) {
                Some(ack) => session.on_ingested(ack),
                None => Err(End::Store("facts do not follow".to_owned())),
            },
            HubAsk::IntentResults(results) => {
                self.hub.intents.retain(|id, _| results.iter().all(|it| it.intent != *id));
                Ok(())
            }
            HubAsk::State(_) | HubAsk::DesiredResults(_) => Ok(()),
        }
    }

    fn pass(&mut self, ms: u64) {
        self.now += ms;
        let result = self.pair.edge.on_deadline(BootMs(self.now));
        self.finish(result);
        let result = self.pair.hub.on_deadline(now(self.now));
        self.pair.collect();
        self.finish(result);
    }

    fn step(&mut self, op: u8, arg: u8) {
        let lanes = [Lane::Control, Lane::Facts(Stream::Usage), Lane::Facts(Stream::Activity)];
        match op % 16 {
            0..=2 => self.deliver_up(lanes[usize::from(arg) % 3]),
            3 | 4 => self.deliver_down(),
            5 | 6 => self.run_edge_ask(),
            7 | 8 => self.run_hub_ask(),
            9 | 10 => {
                let stream = Stream::ALL[usize::from(arg) % 2];
                let outbox = self.edge.streams.get_mut(&stream).unwrap();
                outbox.add(vec![arg, u8::try_from(outbox.next().0 % 256).unwrap()]);
                self.pair.edge.facts_added();
            }
            11 if arg < 40 => self.cut(),
            11 => self.deliver_down(),
            12 => {
                if let Some(facts) = self.ghosts.pop_front() {
                    self.hub.ingest(&facts);
                }
            }
            13 => self.want(arg % 4),
            14 => {
                for record in self.hub.records.values_mut() {
                    record.backup_watermark = record.watermark;
                }
                self.pair.hub.on_changed();
            }
            _ => self.pass(u64::from(arg) * 100),
        }
        self.pair.collect();
        for stream in Stream::ALL {
            let lane = self.pair.up.get(&Lane::Facts(stream));
            self.most_in_flight = self.most_in_flight.max(lane.map_or(0, VecDeque::len));
        }
    }

    /// The hub wants something new of a server, and a user something of it.
    fn want(&mut self, server: u8) {
        let id = ServerId::from_bytes([server; 16]);
        let generation = self.hub.desired.get(&id).map_or(0, |held| rank(held).0.generation.0) + 1;
        self.hub.desired.insert(id, envelope(server, 1, generation));
        let mut name = [server; 16];
        name[..8].copy_from_slice(&generation.to_be_bytes());
        let intent = Intent {
            intent: IntentId::from_bytes(name),
            server: id,
            action: PowerAction::Start,
            by: UserId::from_bytes([0; 16]),
            keys: Default::default(),
            expires_at: UnixMs(u64::MAX),
        };
        self.hub.intents.insert(intent.intent, intent);
        self.pair.hub.on_changed();
    }

    /// Lets everything run without faults until nothing moves any more.
    fn settle(&mut self) {
        self.cut();
        self.run();
    }

    fn run(&mut self) {
        for _ in 0..3_000 {
            for lane in [Lane::Control, Lane::Facts(Stream::Usage), Lane::Facts(Stream::Activity)] {
                self.deliver_up(lane);
            }
            self.deliver_down();
            self.run_edge_ask();
            self.run_hub_ask();
            self.pass(50);
        }
    }
}

fn adopt(edge: &mut EdgeStore, signed: SignedEnvelope) -> DesiredResult {
    let (server, got) = (line(&signed).server, rank(&signed));
    let outcome = match judge(edge.desired.get(&server).map(rank), got) {
        Verdict::Adopt => {
            edge.desired.insert(server, signed);
            DesiredOutcome::Adopted
        }
        Verdict::Same => DesiredOutcome::Adopted,
        Verdict::HubRollback => DesiredOutcome::HubRollback,
        Verdict::Stale => DesiredOutcome::Stale,
        Verdict::Conflict => DesiredOutcome::Conflict,
    };
    DesiredResult { server, order: got.0, outcome }
}

fn now(ms: u64) -> Now {
    Now { boot: BootMs(ms), wall: UnixMs(1_000_000 + ms) }
}

impl Pair {
    fn new(ms: u64) -> Self {
        let own = Own {
            node: NODE,
            instance: InstanceId::from_bytes([1; 16]),
            software: "test".to_owned(),
        };
        let mut pair = Self {
            edge: EdgeSession::new(own, BootMs(ms)),
            hub: HubSession::new(NODE, "test".to_owned(), now(ms)).unwrap(),
            up: BTreeMap::new(),
            down: VecDeque::new(),
            edge_asks: VecDeque::new(),
            hub_asks: VecDeque::new(),
        };
        pair.collect();
        pair
    }

    fn collect(&mut self) {
        while let Some(out) = self.edge.pop() {
            match out {
                EdgeOut::Send(lane, frame) => self.up.entry(lane).or_default().push_back(frame),
                EdgeOut::Ask(ask) => self.edge_asks.push_back(ask),
            }
        }
        while let Some(out) = self.hub.pop() {
            match out {
                HubOut::Send(frame) => self.down.push_back(frame),
                HubOut::Ask(ask) => self.hub_asks.push_back(ask),
            }
        }
    }
}

fn issued(outbox: &Outbox) -> Vec<Vec<u8>> {
    outbox.kept.values().map(|(body, _)| body.clone()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn everything_arrives_once_and_in_order(
        ops in prop::collection::vec((any::<u8>(), any::<u8>()), 0..600),
    ) {
        let mut world = World::new();
        let mut all = BTreeMap::<Stream, Vec<Vec<u8>>>::new();
        for (op, arg) in ops {
            let before = world.edge.clone();
            world.step(op, arg);
            for (stream, outbox) in &world.edge.streams {
                if outbox.next() > before.streams[stream].next() {
                    let (body, _) = outbox.kept.values().next_back().unwrap();
                    all.entry(*stream).or_default().push(body.clone());
                }
            }
        }
        world.settle();
        prop_assert!(world.most_in_flight <= crate::link::v1::BATCHES_IN_FLIGHT_MAX + 1);
        prop_assert!(world.ends.iter().all(|end| matches!(end, End::Silent { .. })),
            "{:?}", world.ends);
        for (stream, outbox) in &world.edge.streams {
            let got = world.hub.custody.get(&(*stream, outbox.epoch)).cloned().unwrap_or_default();
            prop_assert_eq!(got, all.get(stream).cloned().unwrap_or_default(), "{:?}", stream);
        }
        prop_assert_eq!(world.hub.lost, 0);
        prop_assert_eq!(&world.edge.desired, &world.hub.desired);
        prop_assert!(world.hub.intents.is_empty(), "{:?}", world.hub.intents);
    }

    #[test]
    fn a_rewound_edge_and_a_restored_hub_converge(
        ops in prop::collection::vec((any::<u8>(), any::<u8>()), 0..400),
        snapshots in (0_usize..400, 0_usize..400),
        rewinds in (0_usize..400, 0_usize..400),
    ) {
        let mut world = World::new();
        let (mut edge, mut hub) = (world.edge.clone(), world.hub.clone());
        for (at, (op, arg)) in ops.into_iter().enumerate() {
            world.step(op, arg);
            if at == snapshots.0 {
                edge = world.edge.clone();
            }
            if at == snapshots.1 {
                hub = world.hub.clone();
            }
            if at == rewinds.0 {
                world.edge = edge.clone();
                world.cut();
                world.ghosts.clear();
            }
            if at == rewinds.1 {
                // The backup promised no more than it holds, and the hub's next life begins.
                let mut restored = hub.clone();
                restored.lost = 0;
                world.hub = restored;
                world.cut();
                world.ghosts.clear();
            }
        }
        world.settle();
        for (stream, outbox) in &world.edge.streams {
            let key = (*stream, outbox.epoch);
            let record = world.hub.records[&key];
            prop_assert_eq!(record.watermark.next(), outbox.next());
            prop_assert_eq!(record.chain, outbox.head());
            let custody = world.hub.custody.get(&key).cloned().unwrap_or_default();
            for body in issued(outbox) {
                prop_assert!(custody.contains(&body), "{body:?} is not in custody");
            }
        }
        prop_assert_eq!(&world.edge.desired, &world.hub.desired);
    }
}

#[test]
fn logins_are_told_once_in_a_session_and_again_when_they_change() {
    let login = |password: &str| Login {
        host: "ghcr.io".to_owned(),
        user: "bot".to_owned(),
        password: password.to_owned(),
    };
    let mut world = World::new();
    world.settle();
    assert_eq!(world.edge.registries, [vec![]], "none is told too: the edge may hold older ones");
    for (logins, told) in [
        (vec![], 1),
        (vec![login("one")], 2),
        (vec![login("one")], 2),
        (vec![login("two")], 3),
        (vec![], 4),
    ] {
        world.hub.registries.clone_from(&logins);
        world.pair.hub.on_changed();
        world.run();
        assert_eq!(world.edge.registries.len(), told);
        assert_eq!(world.edge.registries.last(), Some(&logins));
    }
    world.settle();
    assert_eq!(world.edge.registries.len(), 5, "a new session tells them anew");
}

#[test]
fn silence_ends_a_session_on_both_sides() {
    let mut world = World::new();
    world.settle();
    assert!(world.pair.edge.is_up() && world.pair.hub.is_up());
    let quiet = world.now + SILENCE_MS;
    let silent = Err(End::Silent { ms: SILENCE_MS });
    assert_eq!(world.pair.edge.on_deadline(BootMs(quiet)), silent);
    assert_eq!(world.pair.hub.on_deadline(now(quiet)), silent);
}

/// Brings a session up and sends one more frame on a lane.
fn after_up(lane: Lane, frame: &EdgeFrame) -> Result<(), End> {
    let mut world = World::new();
    world.settle();
    world.pair.hub.on_frame(now(world.now), lane, &frame.to_frame().unwrap())
}

#[test]
fn a_broken_protocol_is_named() {
    let facts = |first, bodies: Vec<Vec<u8>>, chain| {
        let (stream, epoch) = (Stream::Usage, Epoch(1));
        EdgeFrame::Facts(Facts { stream, epoch, first: Seq(first), bodies, chain })
    };
    let usage = Lane::Facts(Stream::Usage);
    let good = Chain::default().then(Epoch(1), Seq(1), b"a");
    let body = || vec![b"a".to_vec()];
    assert_eq!(after_up(usage, &facts(1, body(), good)), Ok(()));
    let gap = Err(End::Protocol(ProtocolError::Gap { stream: Stream::Usage }));
    assert_eq!(after_up(usage, &facts(2, body(), good)), gap);
    assert_eq!(after_up(usage, &facts(1, body(), Chain::default())), gap);
    let over = |limit| Err(End::Protocol(ProtocolError::OverLimit { frame: "Facts", limit }));
    assert_eq!(after_up(usage, &facts(1, vec![], good)), over("facts in one batch"));
    let many = vec![vec![]; crate::link::v1::BATCH_FACTS_MAX + 1];
    assert_eq!(after_up(usage, &facts(1, many, good)), over("facts in one batch"));
    let large = vec![vec![0; crate::link::v1::BATCH_BYTES_MAX + 1]];
    assert_eq!(after_up(usage, &facts(1, large, good)), over("bytes in one batch"));
    let unexpected = |frame, why| Err(End::Protocol(ProtocolError::Unexpected { frame, why }));
    let wrong = unexpected("Facts", "it is on the wrong stream");
    assert_eq!(after_up(Lane::Control, &facts(1, body(), good)), wrong);
    let unsent = unexpected("Pong", "no such ping was sent");
    assert_eq!(after_up(Lane::Control, &EdgeFrame::Pong(1 << 40)), unsent);
}

#[test]
fn a_hello_of_another_node_is_refused() {
    let mut hub = HubSession::new(NODE, "test".to_owned(), now(0)).unwrap();
    let hello = crate::link::v1::Hello {
        node: NodeId::from_bytes([8; 16]),
        instance: InstanceId::from_bytes([1; 16]),
        minors: (0, 0),
        software: String::new(),
        streams: vec![],
        desired: vec![],
        now: UnixMs(0),
    };
    let frame = EdgeFrame::Hello(hello).to_frame().unwrap();
    let why = "node is not the one of the certificate";
    let refused = ProtocolError::Unexpected { frame: "Hello", why };
    assert_eq!(hub.on_frame(now(0), Lane::Control, &frame), Err(refused.into()));
}

#[test]
fn another_history_inside_of_what_is_kept_is_forked() {
    let mut world = World::new();
    let usage = |world: &mut World, bodies: &[&[u8]]| {
        let outbox = world.edge.streams.get_mut(&Stream::Usage).unwrap();
        bodies.iter().for_each(|body| outbox.add(body.to_vec()));
    };
    usage(&mut world, &[b"a", b"b"]);
    world.settle();
    // What the hub promises is about the history that it holds.
    for record in world.hub.records.values_mut() {
        record.backup_watermark = record.watermark;
    }
    world.cut();
    *world.edge.streams.get_mut(&Stream::Usage).unwrap() = Outbox::new(1);
    usage(&mut world, &[b"x", b"y", b"z"]);
    world.settle();
    assert!(world.ends.contains(&End::Forked(Stream::Usage)), "{:?}", world.ends);
    let outbox = &world.edge.streams[&Stream::Usage];
    assert_ne!(outbox.epoch, Epoch(1));
    let custody = &world.hub.custody[&(Stream::Usage, outbox.epoch)];
    assert_eq!(custody, &[b"x", b"y", b"z"].map(|body| body.to_vec()));
}

#[test]
fn usage_arrives_byte_for_byte_over_several_sessions() {
    let mut world = World::new();
    let fact = |server, from: u64, memory_used| UsageFact {
        tenant: TenantId::from_bytes([1; 16]),
        server: ServerId::from_bytes([server; 16]),
        from: UnixMs(from),
        to: UnixMs(from + 300_000),
        body: UsageBody::Measured(Quantities { memory_used, ..Quantities::default() }),
    };
    let mut sent = Vec::new();
    for round in 0..6_u64 {
        for server in 1..4 {
            let body = fact(server, round * 300_000, u128::from(round % 3) << 40).encode().unwrap();
            let outbox = world.edge.streams.get_mut(&Stream::Usage).unwrap();
            outbox.add(body.clone());
            sent.push(body);
        }
        if round % 2 == 1 {
            world.cut();
        }
        world.settle();
    }
    let epoch = world.edge.streams[&Stream::Usage].epoch;
    assert_eq!(world.hub.custody[&(Stream::Usage, epoch)], sent);
}

#[test]
fn packed_facts_that_differ_from_their_check_are_a_gap() {
    let usage = Lane::Facts(Stream::Usage);
    let chain = Chain::default().then(Epoch(1), Seq(1), b"a");
    let packed = |first, chain, bytes: &[u8]| {
        let check = PackedFacts::check_of(chain);
        EdgeFrame::PackedFacts(PackedFacts { first: Seq(first), check, bytes: bytes.to_vec() })
    };
    let raw = [0xff, 1, b'a'];
    assert_eq!(after_up(usage, &packed(1, chain, &raw)), Ok(()));
    let gap = Err(End::Protocol(ProtocolError::Gap { stream: Stream::Usage }));
    assert_eq!(after_up(usage, &packed(1, Chain::default(), &raw)), gap);
    assert_eq!(after_up(usage, &packed(2, chain, &raw)), gap);
    let bad = Err(End::Protocol(ProtocolError::Packed(BadPack)));
    assert_eq!(after_up(usage, &packed(1, chain, &[0])), bad);
    let why = "it is on the wrong stream";
    let wrong = ProtocolError::Unexpected { frame: "PackedFacts", why };
    let other = Lane::Facts(Stream::Activity);
    assert_eq!(after_up(other, &packed(1, chain, &raw)), Err(End::Protocol(wrong)));
}

/// Returns what an edge sends of a batch to a hub that agreed to a minor version.
fn sent_of_batch(minor: u16) -> EdgeFrame {
    let own =
        Own { node: NODE, instance: InstanceId::from_bytes([1; 16]), software: String::new() };
    let mut edge = EdgeSession::new(own, BootMs(0));
    let take = |edge: &mut EdgeSession, frame: HubFrame| {
        edge.on_frame(BootMs(0), &frame.to_frame().unwrap()).unwrap();
    };
    take(&mut edge, HubFrame::Challenge(UnixMs(0)));
    let hello = |stream| StreamHello {
        stream,
        epoch: Epoch(1),
        first_retained: Seq(1),
        next: Seq(2),
        chain_head: Chain::default().then(Epoch(1), Seq(1), b"a"),
        chain_before_first: Chain::default(),
    };
    edge.on_holdings(UnixMs(0), Stream::ALL.map(hello).to_vec(), vec![]).unwrap();
    let found = |stream| StreamWelcome {
        stream,
        found: Found::NewEpoch,
        epoch: Epoch(1),
        watermark: Seq(0),
        chain_at_watermark: Chain::default(),
        backup_watermark: Seq(0),
    };
    let (software, streams) = (String::new(), Stream::ALL.map(found).to_vec());
    let welcome = crate::link::v1::Welcome { minor, software, now: UnixMs(0), streams };
    take(&mut edge, HubFrame::Welcome(welcome));
    let batch = Batch {
        epoch: Epoch(1),
        first: Seq(1),
        chain_before: Chain::default(),
        bodies: vec![b"a".to_vec()],
        chain: hello(Stream::Usage).chain_head,
    };
    edge.on_facts(Stream::Usage, Some(batch)).unwrap();
    let sent = std::iter::from_fn(|| edge.pop()).filter_map(|out| match out {
        EdgeOut::Send(Lane::Facts(Stream::Usage), frame) => EdgeFrame::from_frame(&frame).unwrap(),
        _ => None,
    });
    sent.last().unwrap()
}

#[test]
fn usage_is_packed_only_where_both_ends_know_how() {
    assert!(matches!(sent_of_batch(MINOR_PACKED - 1), EdgeFrame::Facts(_)));
    assert!(matches!(sent_of_batch(MINOR_PACKED), EdgeFrame::PackedFacts(_)));
}

#[test]
fn packed_facts_of_an_edge_that_did_not_offer_them_are_refused() {
    let mut hub = HubSession::new(NODE, "test".to_owned(), now(0)).unwrap();
    let hello = crate::link::v1::Hello {
        node: NODE,
        instance: InstanceId::from_bytes([1; 16]),
        minors: (0, MINOR_PACKED - 1),
        software: String::new(),
        streams: Stream::ALL
            .map(|stream| StreamHello {
                stream,
                epoch: Epoch(1),
                first_retained: Seq(1),
                next: Seq(1),
                chain_head: Chain::default(),
                chain_before_first: Chain::default(),
            })
            .to_vec(),
        desired: vec![],
        now: UnixMs(0),
    };
    let hello = EdgeFrame::Hello(hello).to_frame().unwrap();
    hub.on_frame(now(0), Lane::Control, &hello).unwrap();
    hub.on_welcome(now(0), vec![]).unwrap();
    let packed = PackedFacts { first: Seq(1), check: [0; 8], bytes: vec![0xff, 0] };
    let packed = EdgeFrame::PackedFacts(packed).to_frame().unwrap();
    let why = "minor version was not agreed";
    let refused = ProtocolError::Unexpected { frame: "PackedFacts", why };
    let usage = Lane::Facts(Stream::Usage);
    assert_eq!(hub.on_frame(now(0), usage, &packed), Err(refused.into()));
}
