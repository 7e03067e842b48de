//! Lists of many servers: filters, orders, pages, and that no node is waited for.

use super::{NewServer, Seen, ServerChange};
use crate::testing::{World, hello, machine, new_server, observed, tenant};
use mamba_core::{
    clock::UnixMs,
    ids::{NodeId, ServerId},
    scope::NodeScope,
};
use mamba_wire::{
    api::{
        LinkState,
        server::{Server, ServerQuery},
    },
    link::v1::StateReport,
};
use std::collections::BTreeSet;

/// Reads all pages of a list.
fn pages(world: &World, seen: &Seen, query: &ServerQuery) -> Vec<Server> {
    let mut query = ServerQuery { limit: Some(200), ..query.clone() };
    let mut items = Vec::new();
    loop {
        let page = world.hub.list_servers(seen, &query).unwrap();
        items.extend(page.items);
        match page.next {
            Some(next) => query.after = Some(next),
            None => return items,
        }
    }
}

/// A hundred nodes, the first half of them away, and ten servers on each; and when every other node told
/// how its servers are.
async fn fleet() -> (World, Vec<NodeId>, UnixMs) {
    let mut world = World::new().await;
    let mut on_nodes = vec![Vec::new(); 100];
    let mut nodes = Vec::new();
    for index in 0..100 {
        nodes.push(world.node(&format!("n{index}")).await);
    }
    for (index, number) in (0..1_000).zip((0..4).cycle()) {
        let name = format!("server {:04}", 999 - index);
        let new = NewServer { node: Some(nodes[index % 100]), name, ..new_server() };
        world.clock.advance(1);
        let made = world.hub.create_server(&tenant(number), new).await.unwrap();
        on_nodes[index % 100].push(observed(made.server));
    }
    // Every other node says how its servers are, before some of all go away.
    for (node, servers) in nodes.iter().zip(on_nodes).step_by(2) {
        let report = StateReport { complete: true, servers, node: machine() };
        world.hub.note_state(&NodeScope::granted(*node), report).await.unwrap();
    }
    let reported_at = world.hub.now();
    world.clock.advance(1_000);
    for node in &nodes[..50] {
        let instance = hello(*node, vec![]).instance;
        let now = world.hub.now();
        world.hub.note_gone(&NodeScope::granted(*node), instance, now, "test").await.unwrap();
    }
    (world, nodes, reported_at)
}

#[tokio::test]
async fn a_thousand_servers_on_a_hundred_nodes_are_listed_from_the_store_alone() {
    let (world, nodes, reported_at) = fleet().await;
    let all = Seen::All;
    // Nobody answers here: the list comes without one word of a node.
    let listed = pages(&world, &all, &ServerQuery::ALL);
    assert_eq!(listed.len(), 1_000);
    let ids: BTreeSet<ServerId> = listed.iter().map(|it| it.server).collect();
    assert_eq!(ids.len(), 1_000);
    for server in &listed {
        let is_away = nodes[..50].contains(&server.node);
        let expected = if is_away { LinkState::Unreachable } else { LinkState::Live };
        let index = nodes.iter().position(|node| *node == server.node).unwrap();
        let as_of = index.is_multiple_of(2).then_some(reported_at);
        assert_eq!((server.freshness.link, server.freshness.as_of), (expected, as_of), "{index}");
        assert_eq!(server.observed.is_some(), as_of.is_some());
    }
    let on_node = ServerQuery { node: Some(nodes[3]), ..ServerQuery::ALL };
    assert_eq!(pages(&world, &all, &on_node).len(), 10);
    let own = Seen::These { tenants: vec![tenant(1).tenant()], shared: vec![] };
    let its = pages(&world, &own, &ServerQuery::ALL);
    assert!(its.len() == 250 && its.iter().all(|it| it.tenant == tenant(1).tenant()));
    let foreign = ServerQuery { tenant: Some(tenant(2).tenant()), ..ServerQuery::ALL };
    assert_eq!(pages(&world, &own, &foreign), []);
    assert_eq!(pages(&world, &all, &foreign).len(), 250);
    let named = ServerQuery { name: Some("SERVER 012".into()), ..ServerQuery::ALL };
    assert_eq!(pages(&world, &all, &named).len(), 10);
    for (sort, first, last) in [
        ("name", "server 0000", "server 0999"),
        ("-name", "server 0999", "server 0000"),
        ("-made", "server 0000", "server 0999"),
        ("changed", "server 0999", "server 0000"),
    ] {
        let query = ServerQuery { sort: Some(sort.into()), ..ServerQuery::ALL };
        let names: Vec<String> =
            pages(&world, &all, &query).into_iter().map(|it| it.name).collect();
        assert_eq!(names.len(), 1_000, "{sort}");
        assert_eq!((&*names[0], &*names[999]), (first, last), "{sort}");
    }
}

#[tokio::test]
async fn filters_name_what_they_do_not_know() {
    let mut world = World::new().await;
    let node = world.node("a").await;
    let server = world.server(&tenant(1), node).await;
    world.server(&tenant(1), node).await;
    let all = Seen::All;
    let change = ServerChange {
        external_id: Some("x-1".parse().ok()),
        suspended: Some(true),
        ..ServerChange::default()
    };
    world.hub.change_server(&tenant(1), server, change).await.unwrap();
    for query in [
        ServerQuery { external_id: Some("x-1".into()), ..ServerQuery::ALL },
        ServerQuery { suspended: Some(true), ..ServerQuery::ALL },
    ] {
        let found = pages(&world, &all, &query);
        assert_eq!(found.iter().map(|it| it.server).collect::<Vec<_>>(), [server]);
    }
    let running = ServerQuery { state: Some("running".into()), ..ServerQuery::ALL };
    assert_eq!(pages(&world, &all, &running), []);
    for (query, field) in [
        (ServerQuery { state: Some("dead".into()), ..ServerQuery::ALL }, "state"),
        (ServerQuery { sort: Some("+name".into()), ..ServerQuery::ALL }, "sort"),
        (ServerQuery { limit: Some(0), ..ServerQuery::ALL }, "limit"),
        (ServerQuery { after: Some("xx".into()), ..ServerQuery::ALL }, "after"),
    ] {
        let err = world.hub.list_servers(&all, &query).unwrap_err();
        assert!(err.to_string().starts_with(&format!("`{field}`")), "{err}");
    }
}
