//! What a change is about, what of it a viewer is told, and what waits for a slow one. The feed as a
//! whole is tested over real sockets in `tests/it`.

use super::looks::{About, Sight, Waiting};
use crate::control::Seen;
use mamba_core::{
    clock::UnixMs,
    ids::{NodeId, ServerId, TenantId},
    lifecycle::ServerState,
};
use mamba_wire::{
    api::feed::{FeedMessage, GAUGES_MAX, TOPICS_MAX, Topic},
    node::Gauges,
};

fn tenant(n: u8) -> TenantId {
    TenantId::from_bytes([n; 16])
}

fn server(n: u8) -> ServerId {
    ServerId::from_bytes([n; 16])
}

fn node(n: u8) -> NodeId {
    NodeId::from_bytes([n; 16])
}

fn sight(topics: &[(Topic, u8)], seen: Option<Seen>) -> Sight {
    let at = |n: u8| (n > 0).then(|| node(n));
    let topics = topics.iter().map(|(topic, n)| (*topic, at(*n))).collect();
    Sight { topics, seen, ..Sight::default() }
}

fn gauges(n: u8, at: u64) -> Gauges {
    Gauges {
        server: server(n),
        at: UnixMs(at),
        state: ServerState::Running,
        memory_bytes: Some(1),
        cpu_millicores: None,
        sent_bytes_per_s: None,
        disk: None,
        players: None,
    }
}

#[test]
fn a_viewer_is_told_of_what_it_looks_at_and_may_see() {
    let some = Seen::These { tenants: vec![tenant(1)], shared: vec![(tenant(2), server(9))] };
    let list = sight(&[(Topic::Servers, 0)], Some(some));
    let all = sight(&[(Topic::Servers, 0), (Topic::Nodes, 0)], Some(Seen::All));
    let hub = sight(&[(Topic::Administration, 0)], None);
    let one = sight(&[(Topic::Server(server(1)), 1), (Topic::Gauges(server(1)), 1)], None);
    let (own, shared, foreign) = (
        About::Server(tenant(1), server(1)),
        About::Server(tenant(2), server(9)),
        About::Server(tenant(2), server(8)),
    );
    let (told, other) = (Topic::Server(server(1)), About::History(server(2)));
    for (sight, about, expected) in [
        (&list, own, vec![Topic::Servers]),
        (&list, shared, vec![Topic::Servers]),
        (&list, foreign, vec![]),
        (&list, About::History(server(1)), vec![]),
        (&list, About::Node, vec![]),
        (&all, foreign, vec![Topic::Servers]),
        (&all, About::Node, vec![Topic::Nodes]),
        (&all, About::Administration, vec![]),
        (&hub, About::Administration, vec![Topic::Administration]),
        (&hub, About::Node, vec![]),
        (&one, own, vec![told]),
        (&one, About::History(server(1)), vec![told]),
        (&one, other, vec![]),
        (&one, foreign, vec![]),
    ] {
        assert_eq!(sight.of(about).collect::<Vec<_>>(), expected, "{about:?} in {sight:?}");
    }
    let link = |sight: &Sight, n, is_listed| -> Vec<Topic> {
        sight.of_link(node(n), is_listed).into_iter().collect()
    };
    assert_eq!(link(&one, 1, false), [told]);
    assert_eq!(link(&one, 2, false), []);
    assert_eq!(link(&list, 1, true), [Topic::Servers]);
    assert_eq!(link(&list, 1, false), []);
    assert_eq!(link(&all, 1, false), [Topic::Nodes]);
    assert_eq!(link(&hub, 1, true), []);
}

#[test]
fn what_waits_for_a_slow_viewer_is_bounded_by_what_it_looks_at() {
    let count = u8::try_from(TOPICS_MAX - GAUGES_MAX).unwrap();
    let gauged = u8::try_from(GAUGES_MAX).unwrap();
    let mut waiting = Waiting::default();
    assert!(!waiting.is_any());
    for round in 0..10_000 {
        let n = u8::try_from(round % u64::from(count)).unwrap();
        waiting.change([Topic::Server(server(n))]);
        waiting.gauge(gauges(n % gauged, round));
    }
    let told = waiting.take();
    assert_eq!(told.len(), 1 + GAUGES_MAX);
    assert!(matches!(&told[0], FeedMessage::Changed(topics) if topics.len() == usize::from(count)));
    let newest = |message: &FeedMessage| matches!(message, FeedMessage::Gauges(it) if it.at.0 >= 10_000 - u64::from(count));
    assert!(told[1..].iter().all(newest), "only the newest of each is told: {told:?}");
    assert!(!waiting.is_any() && waiting.take().is_empty());
}

#[test]
fn a_miss_stands_for_all_that_was_not_told() {
    let mut waiting = Waiting::default();
    waiting.change([Topic::Servers]);
    waiting.miss();
    waiting.change([Topic::Nodes]);
    assert_eq!(waiting.take(), [FeedMessage::Missed(true)]);
    waiting.change([Topic::Nodes]);
    assert_eq!(waiting.take(), [FeedMessage::Changed(vec![Topic::Nodes])]);
}

#[test]
fn what_may_not_be_seen_any_more_is_not_told_although_it_waits() {
    let mut waiting = Waiting::default();
    waiting.change([Topic::Servers, Topic::Server(server(1))]);
    waiting.gauge(gauges(1, 5));
    waiting.look(&sight(&[(Topic::Servers, 0)], Some(Seen::All)));
    assert_eq!(
        waiting.take(),
        [FeedMessage::Looking(vec![Topic::Servers]), FeedMessage::Changed(vec![Topic::Servers])]
    );
}
