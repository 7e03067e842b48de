//! Facts of every kind, in every order and more than once; the last test compares bills with a naive
//! model.

use super::AHEAD_MS_MAX;
use crate::{
    control::Seen,
    identity::{NewAccount, create_admin},
    link::backend::IngestError,
    mail,
    store::{CUSTODY, HOURS, QUARANTINE, STREAM_GAPS, STREAMS, StreamGapKind},
    tenants::join,
    testing::{Outbox, START, World, admin, hello, ports_of, tenant},
};
use mamba_core::{
    access::Role,
    clock::{HOUR_MS, SystemEntropy, UnixMs},
    db::{Snapshot as _, Span},
    desired::Order,
    fact::{Activity, ActivityFact, GapReason, Quantities, Stream, UsageBody, UsageFact},
    ids::{EventId, NodeId, ServerId, TenantId},
    lifecycle::Actor,
    scope::NodeScope,
    seq::{Generation, Incarnation, Seq},
};
use mamba_wire::{
    api::{PageQuery, server::ServerQuery, usage::UsageQuery},
    link::v1::{Facts, Found, StreamHello, StreamWelcome},
};

pub(crate) fn usage(server: (TenantId, ServerId), from_ms: u64, ms: u64, cpu: u128) -> UsageFact {
    let from = START.plus(from_ms);
    let body = UsageBody::Measured(Quantities { cpu_used: cpu, ..Quantities::default() });
    UsageFact { tenant: server.0, server: server.1, from, to: from.plus(ms), body }
}

fn activity(server: Option<(TenantId, ServerId)>, event: u8, body: Activity) -> ActivityFact {
    let event = EventId::from_bytes([event; 16]);
    ActivityFact { event, at: START.plus(1), about: server, actor: Actor::Edge, body }
}

pub(crate) async fn greet(
    world: &World,
    node: NodeId,
    streams: Vec<StreamHello>,
) -> Vec<StreamWelcome> {
    let peer = "127.0.0.1:1".parse().unwrap();
    world.hub.hello(&NodeScope::granted(node), hello(node, streams), peer).await.unwrap()
}

pub(crate) async fn send(world: &World, node: NodeId, facts: Facts) -> Result<u64, IngestError> {
    let ack = world.hub.ingest(&NodeScope::granted(node), facts).await?;
    Ok(ack.watermark.0)
}

pub(crate) fn cpu_billed(world: &World, server: (TenantId, ServerId)) -> u128 {
    let span = Span::prefix(&server);
    let hours = world.hub.read(|txn| Ok(txn.range(HOURS, span, 1_000)?)).unwrap();
    hours.iter().map(|(_, it)| it.billed.cpu_used).sum()
}

pub(crate) fn reasons(world: &World) -> Vec<String> {
    let found = world.hub.read(|txn| Ok(txn.range(QUARANTINE, Span::all(), 1_000)?)).unwrap();
    found.into_iter().map(|(_, it)| it.reason).collect()
}

/// A world with one connected node, one server on it, an hour after its making.
pub(super) async fn world_with_server() -> (World, NodeId, (TenantId, ServerId)) {
    let mut world = World::new().await;
    let node = world.node("a").await;
    let server = world.server(&tenant(1), node).await;
    world.clock.advance(HOUR_MS);
    (world, node, (tenant(1).tenant(), server))
}

pub(crate) fn usage_outbox(facts: &[UsageFact]) -> Outbox {
    let bodies = facts.iter().map(|fact| fact.encode().unwrap()).collect();
    Outbox { bodies, ..Outbox::new(Stream::Usage, 1) }
}

#[tokio::test]
async fn repeats_are_acked_again_and_gaps_and_other_chains_are_refused() {
    let (world, node, server) = world_with_server().await;
    let facts: Vec<_> = (0..6).map(|i| usage(server, i * 60_000, 60_000, 10)).collect();
    let outbox = usage_outbox(&facts);
    assert_eq!(
        send(&world, node, outbox.batch(1, 2)).await,
        Err(IngestError::Diverged),
        "no hello"
    );
    greet(&world, node, vec![outbox.hello(1)]).await;
    assert_eq!(send(&world, node, outbox.batch(1, 2)).await, Ok(2));
    assert_eq!(send(&world, node, outbox.batch(1, 2)).await, Ok(2), "all of it again");
    assert_eq!(send(&world, node, outbox.batch(4, 5)).await, Err(IngestError::Diverged), "gap");
    assert_eq!(send(&world, node, outbox.batch(1, 4)).await, Ok(4), "half of it again");
    let mut wrong = outbox.batch(5, 6);
    wrong.bodies.swap(0, 1);
    assert_eq!(send(&world, node, wrong).await, Err(IngestError::Diverged), "another chain");
    assert_eq!(send(&world, node, outbox.batch(5, 6)).await, Ok(6));
    assert_eq!(send(&world, node, outbox.batch(2, 3)).await, Ok(6), "long since held");
    assert_eq!(cpu_billed(&world, server), 60);
    let usage =
        world.hub.usage(&tenant(1), server.1, &UsageQuery { from: None, to: None }).unwrap();
    assert_eq!(usage.hours[0].amounts[1].amount, "60");
}

#[tokio::test]
async fn what_cannot_be_believed_is_kept_and_acked_but_not_billed() {
    let (mut world, node, server) = world_with_server().await;
    let other_node = world.node("b").await;
    let foreign = (tenant(1).tenant(), world.server(&tenant(1), other_node).await);
    let stolen = (tenant(2).tenant(), server.1);
    let future = HOUR_MS + AHEAD_MS_MAX;
    let bad = [
        usage(foreign, 0, 1_000, 1),
        usage(stolen, 0, 1_000, 1),
        usage(server, HOUR_MS - 500, 1_000, 1),
        usage(server, future - 500, 1_000, 1),
        UsageFact { from: UnixMs(5), to: UnixMs(5), ..usage(server, 0, 1, 1) },
        UsageFact { from: UnixMs(START.0 - 200_000), to: START, ..usage(server, 0, 1, 1) },
    ];
    let mut outbox = usage_outbox(&bad);
    outbox.bodies.push(vec![99, 1, 2]);
    outbox.bodies.push(usage(server, 0, 1_000, 7).encode().unwrap());
    greet(&world, node, vec![outbox.hello(1)]).await;
    assert_eq!(send(&world, node, outbox.batch(1, 8)).await, Ok(8));
    assert_eq!(
        reasons(&world),
        [
            "server was not on this node then",
            "server was not on this node then",
            "span from 2026-11-22T17:59:59.500Z to 2026-11-22T18:00:00.500Z crosses an hour",
            "span ends 600500 ms in the future",
            "span from 1970-01-01T00:00:00.005Z to 1970-01-01T00:00:00.005Z is empty",
            "server was not on this node then",
            "fact has version 99, known are versions up to 1",
        ]
    );
    assert_eq!((cpu_billed(&world, server), cpu_billed(&world, foreign)), (7, 0));
    let custody = world.hub.read(|txn| Ok(txn.range(CUSTODY, Span::all(), 99)?)).unwrap();
    assert!(custody.iter().map(|(_, it)| &it.body).eq(&outbox.bodies), "raw and complete");
    assert_eq!(world.hub.alarms(&admin(), &PageQuery::FIRST).unwrap().items.len(), 1);
}

#[tokio::test]
async fn a_gap_is_a_row_and_bills_nothing() {
    let (world, node, server) = world_with_server().await;
    let gap = UsageFact { body: UsageBody::Gap(GapReason::Reboot), ..usage(server, 0, 9_000, 0) };
    let step = UsageBody::ClockStep { by_ms: -5 };
    let step = UsageFact { body: step, ..usage(server, 9_000, 0, 0) };
    let outbox = usage_outbox(&[gap, step, usage(server, 0, 10_000, 3)]);
    greet(&world, node, vec![outbox.hello(1)]).await;
    assert_eq!(send(&world, node, outbox.batch(1, 3)).await, Ok(3));
    assert_eq!(reasons(&world), Vec::<String>::new());
    let usage =
        world.hub.usage(&tenant(1), server.1, &UsageQuery { from: None, to: None }).unwrap();
    let gaps: Vec<_> = usage.hours[0].gaps.iter().map(|it| it.reason).collect();
    assert_eq!(gaps, [GapReason::Reboot, GapReason::Clock]);
    assert_eq!(cpu_billed(&world, server), 3);
}

#[tokio::test]
async fn an_event_is_listed_once_whatever_the_epoch() {
    let (world, node, server) = world_with_server().await;
    let facts = [
        activity(Some(server), 1, Activity::Started),
        activity(None, 2, Activity::ClockStep { by_ms: 1 }),
        activity(Some(server), 3, Activity::Created),
        activity(Some((server.0, ServerId::from_bytes([9; 16]))), 4, Activity::Started),
    ];
    let bodies: Vec<_> = facts.iter().map(|fact| fact.encode().unwrap()).collect();
    for epoch in [1, 2] {
        let outbox = Outbox { bodies: bodies.clone(), ..Outbox::new(Stream::Activity, epoch) };
        let found = greet(&world, node, vec![outbox.hello(1)]).await[0].found;
        assert_eq!(found, Found::NewEpoch);
        assert_eq!(send(&world, node, outbox.batch(1, 4)).await, Ok(4));
    }
    let listed = world.hub.activity(&tenant(1), server.1, &PageQuery::FIRST).unwrap().items;
    let listed: Vec<_> = listed.into_iter().map(|it| it.activity).collect();
    assert!(matches!(listed[..], [Activity::Started, Activity::Created]), "{listed:?}");
    let (created, foreign) =
        ("only the hub makes this kind of activity", "server was not on this node then");
    assert_eq!(reasons(&world), [created, foreign, created, foreign]);
    assert!(world.hub.activity(&tenant(2), server.1, &PageQuery::FIRST).is_err());
}

#[tokio::test]
async fn owners_are_written_to_once_an_hour_of_a_server_that_stays_off() {
    let (world, node, server) = world_with_server().await;
    let owner = NewAccount {
        email: "owner@example.org".to_owned(),
        password: "correct horse battery".to_owned().into(),
    };
    let store = world.hub.store();
    let user = create_admin(store, START, &SystemEntropy, owner).await.unwrap();
    let joined = world.hub.write(move |txn| Ok(join(txn, server.0, user, Role::Owner, START)?));
    joined.await.unwrap();
    let gave_up = |event| activity(Some(server), event, Activity::GaveUp { crashes: 4 });
    let asked = Order { incarnation: Incarnation(1), generation: Generation(1) };
    let installed = Activity::Installed { asked, took_ms: 1 };
    let (error, lines) = ("code 1".to_owned(), vec![]);
    let failed = Activity::InstallFailed { asked, code: Some(1), error, lines };
    let of = |event, body: &Activity| activity(Some(server), event, body.clone());
    let facts = [
        activity(Some(server), 1, Activity::Started),
        gave_up(2),
        gave_up(3),
        gave_up(4),
        of(5, &installed),
        of(6, &installed),
        of(7, &failed),
    ];
    let bodies = facts.iter().map(|fact| fact.encode().unwrap()).collect();
    let outbox = Outbox { bodies, ..Outbox::new(Stream::Activity, 1) };
    greet(&world, node, vec![outbox.hello(1)]).await;
    let letters = || mail::list(store, None, 10, mail::Shown::Whole).unwrap();
    assert_eq!(send(&world, node, outbox.batch(1, 1)).await, Ok(1));
    assert_eq!(letters(), []);
    assert_eq!(send(&world, node, outbox.batch(2, 3)).await, Ok(3));
    let first = letters();
    assert_eq!((first.len(), first[0].to.as_str()), (1, "owner@example.org"));
    assert!(first[0].subject.ends_with(" crashed"), "{first:?}");
    world.clock.advance(HOUR_MS);
    assert_eq!(send(&world, node, outbox.batch(4, 4)).await, Ok(4));
    assert_eq!(letters().len(), 2);
    // Each kind has its own hour.
    assert_eq!(send(&world, node, outbox.batch(5, 7)).await, Ok(7));
    let subjects: Vec<_> = letters().into_iter().map(|it| it.subject).collect();
    let count = |end: &str| subjects.iter().filter(|it| it.ends_with(end)).count();
    assert_eq!((subjects.len(), count(" is ready"), count(" crashed")), (4, 1, 2), "{subjects:?}");
}

#[tokio::test]
async fn a_deleted_server_frees_its_port_and_its_last_usage_still_counts() {
    let (world, node, server) = world_with_server().await;
    let deleted = activity(Some(server), 1, Activity::Deleted).encode().unwrap();
    let early = Outbox { bodies: vec![deleted], ..Outbox::new(Stream::Activity, 1) };
    let last = usage_outbox(&[
        usage(server, HOUR_MS - 9_000, 9_000, 5),
        usage(server, HOUR_MS, 100, 2),
        usage(server, HOUR_MS + 100, 60_000, 3),
    ]);
    greet(&world, node, vec![early.hello(1), last.hello(1)]).await;
    world.hub.delete_server(&tenant(1), server.1, Default::default()).await.unwrap();
    send(&world, node, early.batch(1, 1)).await.unwrap();
    let listed = world
        .hub
        .list_servers(
            &Seen::These { tenants: vec![tenant(1).tenant()], shared: vec![] },
            &ServerQuery::ALL,
        )
        .unwrap()
        .items;
    assert_eq!(listed, []);
    let ports = world.hub.allocations(&admin(), &ports_of(node, PageQuery::FIRST)).unwrap().items;
    assert!(ports.iter().all(|it| it.server.is_none()));
    world.clock.advance(120_000);
    send(&world, node, last.batch(1, 3)).await.unwrap();
    assert_eq!(cpu_billed(&world, server), 7, "a node's calendar may be a little ahead");
    assert_eq!(reasons(&world), ["server was not on this node then"]);
    let again = world.server(&tenant(1), node).await;
    assert_eq!(world.hub.server(&tenant(1), again).unwrap().ports[0].port, 30_000);
    // The node keeps no tombstone any more: the hub forgets the place, but never for a live server.
    greet(&world, node, vec![]).await;
    let wanted = world.hub.wanted(&NodeScope::granted(node)).await.unwrap().desired;
    assert_eq!(wanted.iter().map(|it| it.server).collect::<Vec<_>>(), [again]);
}

#[tokio::test]
async fn a_new_epoch_closes_the_older_one_and_says_what_may_be_lost() {
    let (world, node, server) = world_with_server().await;
    let old = usage_outbox(&[usage(server, 0, 1_000, 1), usage(server, 1_000, 1_000, 1)]);
    greet(&world, node, vec![old.hello(1)]).await;
    send(&world, node, old.batch(1, 1)).await.unwrap();
    let new = Outbox { bodies: old.bodies.clone(), ..Outbox::new(Stream::Usage, 2) };
    let welcome = greet(&world, node, vec![new.hello(1)]).await;
    assert_eq!((welcome[0].found, welcome[0].watermark), (Found::NewEpoch, Seq(0)));
    let gaps = world.hub.read(|txn| Ok(txn.range(STREAM_GAPS, Span::all(), 9)?)).unwrap();
    let gap = &gaps[0].1;
    assert_eq!((gap.first, gap.last, gap.kind), (Seq(2), None, StreamGapKind::TailPossiblyLost));
    assert_eq!(send(&world, node, old.batch(2, 2)).await, Err(IngestError::Diverged));
    assert_eq!(send(&world, node, new.batch(1, 2)).await, Ok(2));
    assert_eq!(cpu_billed(&world, server), 2, "what came in both epochs is billed once");
    let welcome = greet(&world, node, vec![old.hello(1)]).await;
    assert_eq!(welcome[0].found, Found::Fork, "a closed epoch does not come back");
    assert!(!world.hub.alarms(&admin(), &PageQuery::FIRST).unwrap().items.is_empty());
}

#[tokio::test]
async fn a_node_that_forks_at_every_hello_has_one_alarm() {
    let (world, node, server) = world_with_server().await;
    let facts = [usage(server, 0, 1_000, 1), usage(server, 1_000, 1_000, 1)];
    let outbox = usage_outbox(&facts);
    greet(&world, node, vec![outbox.hello(1)]).await;
    send(&world, node, outbox.batch(1, 2)).await.unwrap();
    let reverted = usage_outbox(&facts[..1]);
    for _ in 0..5 {
        world.clock.advance(1_000);
        let found = greet(&world, node, vec![reverted.hello(1)]).await[0].found;
        assert_eq!(found, Found::Fork);
    }
    let alarms = world.hub.alarms(&admin(), &PageQuery::FIRST).unwrap().items;
    let [alarm] = &alarms[..] else { panic!("{alarms:?}") };
    assert_eq!((alarm.count, alarm.last_at.since(alarm.at)), (5, 4_000));
    // Once it was dealt with, the same again is a new one.
    world.hub.clear_alarm(&admin(), alarm.alarm).await.unwrap();
    greet(&world, node, vec![reverted.hello(1)]).await;
    let alarms = world.hub.alarms(&admin(), &PageQuery::FIRST).unwrap().items;
    assert_eq!(alarms.iter().map(|it| it.count).collect::<Vec<_>>(), [1]);
}

#[tokio::test]
async fn facts_that_the_node_pruned_and_the_hub_lost_are_a_gap_row() {
    let (world, node, server) = world_with_server().await;
    let facts: Vec<_> = (0..5).map(|i| usage(server, i * 1_000, 1_000, 1)).collect();
    let outbox = usage_outbox(&facts);
    greet(&world, node, vec![outbox.hello(1)]).await;
    send(&world, node, outbox.batch(1, 1)).await.unwrap();
    let welcome = greet(&world, node, vec![outbox.hello(4)]).await;
    assert_eq!((welcome[0].found, welcome[0].watermark), (Found::HubLost, Seq(3)));
    assert_eq!(send(&world, node, outbox.batch(4, 5)).await, Ok(5));
    let gaps = world.hub.read(|txn| Ok(txn.range(STREAM_GAPS, Span::all(), 9)?)).unwrap();
    let gap = &gaps[0].1;
    assert_eq!((gap.first, gap.last, gap.kind), (Seq(2), Some(Seq(3)), StreamGapKind::HubLost));
    assert_eq!(cpu_billed(&world, server), 3);
}

/// S6: an ack survives any later crash, and with it everything that the batch changed.
#[tokio::test]
async fn what_was_acked_survives_a_power_cut() {
    let (mut world, node, server) = world_with_server().await;
    let facts: Vec<_> = (0..20).map(|i| usage(server, i * 1_000, 1_000, 1)).collect();
    let outbox = usage_outbox(&facts);
    greet(&world, node, vec![outbox.hello(1)]).await;
    for seed in 1..=10 {
        let last = seed * 2;
        assert_eq!(send(&world, node, outbox.batch(last - 1, last)).await, Ok(last));
        let disk = world.disk.crash(seed);
        world.reopen(disk).await;
        let held = world.hub.read(|txn| Ok(txn.get(STREAMS, &outbox.key(node))?)).unwrap();
        assert_eq!(held.unwrap().watermark, Seq(last));
        assert_eq!(cpu_billed(&world, server), last.into());
    }
}

mod model {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    /// What may happen between a node and its hub.
    #[derive(Clone, Debug)]
    enum Step {
        /// The node measures the next minutes of a server.
        Measure { server: usize, minutes: u64, quantity: u32 },
        /// It sends facts, some of them again, and hears the ack or not.
        Send { again: usize, count: usize, is_heard: bool },
        /// It makes a new epoch and issues what it keeps anew.
        Fork { keeps: usize },
        /// Its disk goes back by some facts, and it says hello.
        Revert { by: usize },
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            5 => (0..2_usize, 1..9_u64, 0..1_000_u32)
                .prop_map(|(server, minutes, quantity)| Step::Measure { server, minutes, quantity }),
            4 => (0..5_usize, 1..9_usize, any::<bool>())
                .prop_map(|(again, count, is_heard)| Step::Send { again, count, is_heard }),
            1 => (0..9_usize).prop_map(|keeps| Step::Fork { keeps }),
            1 => (1..4_usize).prop_map(|by| Step::Revert { by }),
        ];
        prop::collection::vec(step, 1..60)
    }

    /// The node: its present outbox, and how far it heard that facts are in custody.
    struct Edge {
        world: World,
        node: NodeId,
        servers: [(TenantId, ServerId); 2],
        outbox: Outbox,
        acked: usize,
        /// Minutes that each server was measured for.
        measured: [u64; 2],
        epochs: u64,
    }

    impl Edge {
        async fn new() -> Self {
            let mut world = World::new().await;
            let node = world.node("a").await;
            let mut servers = Vec::new();
            for number in [1, 2] {
                servers.push((tenant(number).tenant(), world.server(&tenant(number), node).await));
            }
            world.clock.advance(48 * HOUR_MS);
            let outbox = Outbox::new(Stream::Usage, 1);
            let servers = [servers[0], servers[1]];
            let edge = Self { world, node, servers, outbox, acked: 0, measured: [0; 2], epochs: 1 };
            greet(&edge.world, node, vec![edge.outbox.hello(1)]).await;
            edge
        }

        async fn fork(&mut self, keeps: usize) {
            // Everything without an ack is kept, and some of the rest.
            let from = self.acked.saturating_sub(keeps);
            self.epochs += 1;
            let bodies = self.outbox.bodies.split_off(from);
            self.outbox = Outbox { bodies, ..Outbox::new(Stream::Usage, self.epochs) };
            self.acked = 0;
            greet(&self.world, self.node, vec![self.outbox.hello(1)]).await;
        }

        async fn send(&mut self, again: usize, count: usize, is_heard: bool) {
            let first = self.acked.saturating_sub(again) + 1;
            let last = (first + count - 1).min(self.outbox.bodies.len());
            if last < first {
                return;
            }
            let batch = self.outbox.batch(first as u64, last as u64);
            let ack = send(&self.world, self.node, batch).await.unwrap();
            if is_heard {
                self.acked = usize::try_from(ack).unwrap();
            }
        }

        async fn revert(&mut self, by: usize) {
            let left = self.outbox.bodies.len().saturating_sub(by);
            for body in self.outbox.bodies.split_off(left) {
                let fact = UsageFact::decode(&body).unwrap();
                let server = usize::from(fact.server == self.servers[1].1);
                let minute = fact.from.since(START) / 60_000;
                self.measured[server] = self.measured[server].min(minute);
            }
            self.acked = self.acked.min(left);
            let welcome = greet(&self.world, self.node, vec![self.outbox.hello(1)]).await.remove(0);
            match welcome.found {
                Found::Fork => self.fork(usize::MAX).await,
                Found::InStep => self.acked = usize::try_from(welcome.watermark.0).unwrap(),
                found @ (Found::NewEpoch | Found::HubLost) => panic!("{found:?}"),
            }
        }

        fn measure(&mut self, server: usize, minutes: u64, quantity: u32) {
            let at = self.measured[server];
            let minutes = minutes.min(60 - at % 60);
            let fact = usage(self.servers[server], at * 60_000, minutes * 60_000, quantity.into());
            self.outbox.bodies.push(fact.encode().unwrap());
            self.measured[server] += minutes;
        }
    }

    /// Bills each minute of a server to whatever fact of it came into custody first.
    #[derive(Default)]
    struct Naive {
        minutes: BTreeMap<ServerId, BTreeSet<u64>>,
        billed: BTreeMap<ServerId, u128>,
    }

    impl Naive {
        fn take(&mut self, body: &[u8]) {
            let fact = UsageFact::decode(body).unwrap();
            let UsageBody::Measured(claimed) = fact.body else { panic!() };
            let span = fact.from.since(START) / 60_000..fact.to.since(START) / 60_000;
            let length = u128::from(span.end - span.start);
            let minutes = self.minutes.entry(fact.server).or_default();
            let new = span.filter(|minute| minutes.insert(*minute)).count() as u128;
            *self.billed.entry(fact.server).or_default() += claimed.cpu_used * new / length;
        }
    }

    async fn run(steps: Vec<Step>) {
        let mut edge = Edge::new().await;
        for step in steps {
            match step {
                Step::Measure { server, minutes, quantity } => {
                    edge.measure(server, minutes, quantity);
                }
                Step::Send { again, count, is_heard } => edge.send(again, count, is_heard).await,
                Step::Fork { keeps } => edge.fork(keeps).await,
                Step::Revert { by } => edge.revert(by).await,
            }
        }
        while edge.acked < edge.outbox.bodies.len() {
            edge.send(0, 200, true).await;
        }
        let world = &edge.world;
        let mut custody =
            world.hub.read(|txn| Ok(txn.range(CUSTODY, Span::all(), 10_000)?)).unwrap();
        // S4: custody holds exactly 1..=watermark of each epoch.
        let streams = world.hub.read(|txn| Ok(txn.range(STREAMS, Span::all(), 100)?)).unwrap();
        for ((_, _, epoch), record) in streams {
            let held: Vec<u64> =
                custody.iter().filter(|(key, _)| key.2 == epoch).map(|(key, _)| key.3.0).collect();
            assert_eq!(held, (1..=record.watermark.0).collect::<Vec<_>>());
        }
        // Epochs are numbered in the order of their making, so that custody is in order of arrival.
        custody.sort_by_key(|(key, _)| (key.2, key.3));
        let mut naive = Naive::default();
        custody.iter().for_each(|(_, it)| naive.take(&it.body));
        for server in edge.servers {
            let expected = naive.billed.get(&server.1).copied().unwrap_or_default();
            assert_eq!(cpu_billed(world, server), expected);
            let reached = edge.measured[usize::from(server == edge.servers[1])];
            let minutes = naive.minutes.remove(&server.1).unwrap_or_default();
            assert!((0..reached).all(|minute| minutes.contains(&minute)), "S1: nothing is lost");
        }
        assert_eq!(reasons(world), Vec::<String>::new());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn every_minute_is_billed_once_whatever_is_repeated_forked_or_reverted(steps in steps()) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(run(steps));
        }
    }
}
