//! The hub with a crash at each operation of its disk, as tests.
//!
//! The same steps are played once without a crash, keeping what the store holds after each. Then
//! once per crash point, in three images of the disk: what is found afterwards is what was
//! acknowledged, with or without the step under way and nothing between; the books balance; and when
//! everybody asks again for what he heard no answer to, the end is the very same store.

use crate::{
    HubError,
    control::{Deleting, ServerChange},
    store::{
        ALARMS, Alarm, COUNTERS, ENVELOPES, JOIN_TOKENS, LINK_CHANGES, NODE_KEYS, NODES, PLACED,
        POSTINGS, SERVERS, STREAMS,
    },
    testing::{Outbox, START, World, admin, enrolment, hello, limits, machine, tenant},
};
use mamba_core::{
    db::{
        Order as Direction, RawPair, RawSpan, Record as _, Snapshot as _, Source as _, Span,
        TxnError,
        sim::{crash_images, crash_points},
    },
    desired::Order,
    fact::{Activity, ActivityFact, Meter, Quantities, Stream, UsageBody, UsageFact},
    ids::{EventId, IntentId, NodeId, ServerId},
    lifecycle::{Actor, PowerAction},
    scope::NodeScope,
    seq::Seq,
    server::{Limits, PortProtocol},
    units::Mib,
};
use mamba_wire::{
    api::{PageQuery, server::INTENT_TTL_MS_MAX},
    link::{
        token::JoinToken,
        v1::{DesiredOutcome, DesiredResult, Found, IntentOutcome, IntentResult, StateReport},
    },
};
use std::net::{IpAddr, Ipv4Addr};

/// Points of the default run.
const SOME: u64 = 20;
/// Time between two steps.
const STEP_MS: u64 = 600_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Token,
    Enrol,
    Connect,
    Allocate,
    Create(u8),
    Change,
    Adopted,
    Greet(Epoch),
    Ingest(Epoch, u64, u64),
    Events,
    Power,
    HandOver,
    Answered,
    Promise(Epoch, u64),
    /// The node's disk went back in time: it says that it made only so many facts.
    Reverted(u64),
    Delete,
}

/// Which filling of the node's outbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Epoch {
    First,
    /// After the fork: what is kept is issued anew.
    Second,
}

use Epoch::{First, Second};
use Step::*;

const STEPS: [Step; 23] = [
    Token,
    Enrol,
    Connect,
    Allocate,
    Create(1),
    Create(2),
    Change,
    Adopted,
    Greet(First),
    Ingest(First, 1, 40),
    Power,
    HandOver,
    Events,
    Answered,
    Ingest(First, 41, 60),
    Promise(First, 40),
    Reverted(50),
    Greet(Second),
    Ingest(Second, 1, 30),
    Promise(Second, 20),
    Ingest(Second, 31, 60),
    Delete,
    HandOver,
];

impl Step {
    /// Whether whoever asked for it asks again when he heard no answer.
    fn is_repeated(self) -> bool {
        !matches!(self, Token | Allocate | Create(_) | Change | Power | Delete)
    }
}

/// Names that the steps give to each other. They are the same in each run.
#[derive(Clone, Debug, Default)]
struct Cast {
    token: Option<JoinToken>,
    node: Option<NodeId>,
    servers: Vec<ServerId>,
    intent: Option<IntentId>,
}

impl Cast {
    fn node(&self) -> NodeScope {
        NodeScope::granted(self.node.unwrap())
    }

    fn outbox(&self, epoch: Epoch) -> Outbox {
        // The second epoch issues the facts from the 31st on anew, and goes on otherwise.
        let facts: Vec<UsageFact> = match epoch {
            First => (0..60).map(|number| self.fact(number, 7)).collect(),
            Second => (30..50)
                .map(|number| self.fact(number, 7))
                .chain((50..90).map(|number| self.fact(number, 11)))
                .collect(),
        };
        let mut bodies: Vec<Vec<u8>> = facts.iter().map(|it| it.encode().unwrap()).collect();
        // One that nobody understands.
        bodies[33] = vec![99];
        Outbox { bodies, ..Outbox::new(Stream::Usage, if epoch == First { 1 } else { 2 }) }
    }

    fn fact(&self, number: u64, amount: u128) -> UsageFact {
        let from = START.plus(6 * STEP_MS + number * 30_000);
        let body = UsageBody::Measured(Quantities { cpu_used: amount, ..Quantities::default() });
        let (tenant, server) = (tenant(1).tenant(), self.servers[0]);
        UsageFact { tenant, server, from, to: from.plus(30_000), body }
    }

    fn events(&self) -> Outbox {
        let about = Some((tenant(1).tenant(), self.servers[0]));
        let body = |number: u8| ActivityFact {
            event: EventId::from_bytes([number; 16]),
            at: START,
            about,
            actor: Actor::Edge,
            body: Activity::Started,
        };
        let bodies = (1..=3).map(|number| body(number).encode().unwrap()).collect();
        Outbox { bodies, ..Outbox::new(Stream::Activity, 1) }
    }
}

/// Plays a step. `None` when it was not acknowledged.
#[expect(clippy::too_many_lines, reason = "one short arm for each kind of step")]
async fn play(index: usize, world: &World, cast: &mut Cast) -> Option<()> {
    let number = index as u64;
    world.set(START.plus(number * STEP_MS), 1_000 * number);
    let hub = &world.hub;
    let peer = "127.0.0.1:1".parse().unwrap();
    match STEPS[index] {
        Token => cast.token = Some(world.try_token("a").await.ok()?),
        Enrol => {
            let token = cast.token.as_ref().unwrap();
            cast.node = Some(hub.enrol(enrolment(token, 1)).await.ok()?);
        }
        Connect => {
            let node = cast.node.unwrap();
            hub.hello(&cast.node(), hello(node, vec![]), peer).await.ok()?;
            let report = StateReport { complete: true, servers: vec![], node: machine() };
            hub.note_state(&cast.node(), report).await.ok()?;
        }
        Allocate => {
            let ip = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
            let (ports, both) = (30_000..=30_003, PortProtocol::Both);
            let node = cast.node.unwrap();
            hub.create_allocations(&admin(), node, ip, ports, both, Default::default())
                .await
                .ok()?;
        }
        Create(number) => {
            let new = crate::testing::new_server();
            let new = crate::control::NewServer { node: cast.node, ..new };
            let server = hub.create_server(&tenant(number), new).await.ok()?.server;
            cast.servers.push(server);
        }
        Change => {
            let limits = Limits { memory_mib: Mib(300), ..limits() };
            let change = ServerChange { limits: Some(limits), ..ServerChange::default() };
            hub.change_server(&tenant(1), cast.servers[0], change).await.ok()?;
        }
        Adopted => {
            let results = hub.wanted(&cast.node()).await.ok()?.desired.into_iter();
            let outcome = DesiredOutcome::Adopted;
            let results = results.map(|it| DesiredResult {
                server: it.server,
                order: it.order,
                outcome: outcome.clone(),
            });
            hub.note_desired(&cast.node(), results.collect()).await.ok()?;
        }
        Greet(epoch) => {
            let streams = vec![cast.outbox(epoch).hello(1), cast.events().hello(1)];
            let node = cast.node.unwrap();
            let welcome = hub.hello(&cast.node(), hello(node, streams), peer).await.ok()?;
            assert_ne!(welcome[0].found, Found::Fork);
        }
        Ingest(epoch, first, last) => {
            let batch = cast.outbox(epoch).batch(first, last);
            let ack = hub.ingest(&cast.node(), batch).await.ok()?;
            assert_eq!(ack.watermark, Seq(last));
        }
        Events => {
            hub.ingest(&cast.node(), cast.events().batch(1, 3)).await.ok()?;
        }
        Power => {
            let (server, action) = (cast.servers[0], PowerAction::Start);
            let ttl_ms = Some(INTENT_TTL_MS_MAX);
            cast.intent = Some(hub.power(&tenant(1), server, action, ttl_ms).await.ok()?.intent);
        }
        HandOver => {
            hub.wanted(&cast.node()).await.ok()?;
        }
        Answered => {
            let (intent, outcome) = (cast.intent.unwrap(), IntentOutcome::Accepted);
            let results = vec![IntentResult { intent, outcome }];
            hub.note_intents(&cast.node(), results).await.ok()?;
        }
        Promise(epoch, last) => {
            let key = cast.outbox(epoch).key(cast.node.unwrap());
            hub.promise(vec![(key, Seq(last))]).await.ok()?;
        }
        Reverted(made) => {
            let mut outbox = cast.outbox(First);
            outbox.bodies.truncate(usize::try_from(made).unwrap());
            let node = cast.node.unwrap();
            let greeting = hello(node, vec![outbox.hello(1)]);
            let welcome = hub.hello(&cast.node(), greeting, peer).await.ok()?;
            assert_eq!(welcome[0].found, Found::Fork);
        }
        Delete => {
            hub.delete_server(&tenant(2), cast.servers[1], Deleting::default()).await.ok()?;
        }
    }
    Some(())
}

/// Everything in the store, but for the counts of what came again.
fn dump(world: &World) -> Vec<RawPair> {
    let all = RawSpan::default();
    let mut pairs = world
        .hub
        .read(|txn| {
            let scan = txn.raw_scan(&all, Direction::Ascending, usize::MAX);
            Ok(scan.map_err(TxnError::Storage)?)
        })
        .unwrap();
    let of = |id: u16| move |key: &[u8]| key.starts_with(&id.to_be_bytes());
    let (is_counter, is_alarm) = (of(COUNTERS.def().id), of(ALARMS.def().id));
    // What became of a link tells of the crash itself.
    let is_past = of(LINK_CHANGES.def().id);
    pairs.retain(|(key, _)| !is_counter(key) && !is_past(key));
    for (_, value) in pairs.iter_mut().filter(|(key, _)| is_alarm(key)) {
        let alarm = Alarm { count: 1, ..Alarm::from_record_bytes(value).unwrap() };
        *value = alarm.to_record_bytes().unwrap();
    }
    pairs
}

/// What holds in every state of the store.
async fn check(world: &World, at: &str) {
    let report = world.hub.reconcile(None).await.unwrap();
    assert!(report.is_balanced(), "{at}: {report:?}");
    let check = |txn: &mamba_core::db::ReadTxn| {
        let nodes = txn.range(NODES, Span::all(), 9)?;
        let used = txn.range(JOIN_TOKENS, Span::all(), 9)?.into_iter().filter_map(|it| it.1.used);
        let made: Vec<_> = nodes.iter().map(|(node, it)| (*node, it.key)).collect();
        assert_eq!(used.collect::<Vec<_>>(), made, "{at}: a token is used up with its node");
        let keys = txn.range(NODE_KEYS, Span::all(), 9)?;
        assert_eq!(keys.len(), made.len(), "{at}: a key comes with its node");
        for ((tenant, server), record) in txn.range(SERVERS, Span::all(), 9)? {
            let order: Option<Order> = txn.get(ENVELOPES, &(tenant, server))?.map(|it| it.order);
            assert_eq!(order, Some(record.order), "{at}: a wish comes with its envelope");
            let placed = txn.get(PLACED, &(record.node, server))?.map(|it| it.order);
            assert_eq!(placed, Some(record.order), "{at}: and with its node's index");
        }
        for (_, stream) in txn.range(STREAMS, Span::all(), 9)? {
            assert!(stream.backup_watermark <= stream.watermark, "{at}: S5");
        }
        Ok::<_, HubError>(())
    };
    world.hub.read(check).unwrap();
}

/// Makes a hub with the account of who asks.
async fn new_world() -> World {
    let world = World::new().await;
    world.account(&tenant(1)).await;
    world
}

/// Plays the steps until a crash at one operation. Returns how many were acknowledged.
async fn play_until(point: u64) -> (World, usize) {
    let world = new_world().await;
    world.disk.cut_power(point);
    let mut acknowledged = 0;
    let mut cast = Cast::default();
    while acknowledged < STEPS.len() && play(acknowledged, &world, &mut cast).await.is_some() {
        acknowledged += 1;
    }
    assert!(world.disk.is_dead(), "the steps are the same each time");
    (world, acknowledged)
}

/// Looks at what a crash left, and plays the rest of the steps.
async fn go_on(
    world: &World,
    at: &str,
    acknowledged: usize,
    after: &[Vec<RawPair>],
    mut cast: Cast,
) {
    check(world, at).await;
    let found = dump(world);
    let Some(&step) = STEPS.get(acknowledged) else {
        assert!(found == after[acknowledged], "{at}");
        return;
    };
    let is_done = found == after[acknowledged + 1];
    // A session begins with two transactions: hello and state.
    let is_whole = step != Connect;
    assert!(!is_whole || is_done || found == after[acknowledged], "{at}: neither before nor after");
    let node = cast.node.unwrap();
    if world.hub.read(|txn| Ok(txn.contains(NODES, &node)?)).unwrap() {
        world.hub.live().begin(node, hello(node, vec![]).instance, START);
    }
    let skip = is_done && !step.is_repeated();
    for (index, step) in STEPS.iter().enumerate().skip(acknowledged + usize::from(skip)) {
        assert!(play(index, world, &mut cast).await.is_some(), "{at}: {step:?}");
    }
    check(world, at).await;
    assert!(dump(world) == after[STEPS.len()], "{at}: the end differs");
}

#[tokio::test]
async fn a_crash_anywhere_loses_nothing_acknowledged_and_tears_nothing() {
    let world = new_world().await;
    let before = world.disk.changes_count();
    let (mut after, mut cast) = (vec![dump(&world)], Cast::default());
    for (index, step) in STEPS.iter().enumerate() {
        assert!(play(index, &world, &mut cast).await.is_some(), "{step:?}");
        after.push(dump(&world));
    }
    check(&world, "without a crash").await;
    let postings = world.hub.read(|txn| Ok(txn.range(POSTINGS, Span::all(), 1_000)?)).unwrap();
    let billed: u128 = postings.iter().map(|(_, it)| it.billed.of(Meter::CpuUsed)).sum();
    let clipped: u128 = postings.iter().map(|(_, it)| it.clipped.of(Meter::CpuUsed)).sum();
    // Of the first epoch all but one, of the second what the first had not; one fact each is rubbish.
    assert_eq!(
        (billed, clipped),
        (59 * 7 + 7 + 29 * 11, 19 * 7 + 10 * 11),
        "the steps do something"
    );
    assert!(!world.hub.alarms(&admin(), &PageQuery::FIRST).unwrap().items.is_empty());
    let points = crash_points(world.disk.changes_count() - before, SOME);
    for &point in &points {
        let (mut world, acknowledged) = play_until(point).await;
        let dead = world.disk.clone();
        for survives in crash_images(point) {
            world.reopen(dead.crash_with(survives)).await;
            let at = format!("point {point}, {survives:?}, step {:?}", STEPS.get(acknowledged));
            go_on(&world, &at, acknowledged, &after, cast.clone()).await;
        }
    }
    println!("hub: {} points, {} images", points.len(), points.len() * 3);
    assert!(points.len() as u64 >= SOME);
}
