//! Ports under contention: given once, and all given back.

use super::{AllocationWords, Deleting, NewServer, PortAsker, ServerChange};
use crate::{
    Hub, HubError,
    external::ExternalId,
    store::{ALLOCATIONS, FREE_PORTS, GONE_PORTS, SERVERS},
    testing::{World, admin, new_server, ports_of, tenant},
};
use mamba_core::{
    allocation::PortRange,
    db::{Snapshot as _, Span},
    ids::{AllocationId, NodeId, ServerId},
    placement::{Needs, NodeSettings},
    server::PortProtocol,
};
use mamba_wire::api::PageQuery;
use std::collections::{BTreeMap, BTreeSet};
use tokio::task::JoinSet;

const PORTS: u16 = 1_100;
const FIRST: u16 = 20_000;

/// Offers the ports, and lets owners take those of the range.
async fn offer(world: &World, node: NodeId, self_service_ports: Option<PortRange>) {
    let ip = "127.0.0.1".parse().unwrap();
    for start in [FIRST, FIRST + 1_000] {
        let ports = start..=(start + 999).min(FIRST + PORTS - 1);
        let (both, words) = (PortProtocol::Both, AllocationWords::default());
        world.hub.create_allocations(&admin(), node, ip, ports, both, words).await.unwrap();
    }
    let settings = NodeSettings { self_service_ports, ..NodeSettings::default() };
    world.hub.change_node(&admin(), node, None, Some(settings)).await.unwrap();
}

/// Checks that servers, allocations and the index of free ones tell the same, and returns how many
/// ports are taken.
#[track_caller]
fn check_books(hub: &Hub) -> usize {
    hub.read(|txn| {
        let mut held: BTreeMap<AllocationId, ServerId> = BTreeMap::new();
        for ((_, server), record) in txn.range(SERVERS, Span::all(), 10_000)? {
            assert_eq!(record.allocations.len(), record.choices.ports.len());
            for allocation in record.allocations.iter().filter(|_| record.is_present()) {
                assert_eq!(held.insert(*allocation, server), None, "a port of two servers");
            }
        }
        let mut free = BTreeSet::new();
        for ((_, allocation), record) in txn.range(ALLOCATIONS, Span::all(), 10_000)? {
            let holder = record.server.map(|(_, server)| server);
            assert_eq!(held.get(&allocation).copied(), holder, "{allocation} leaks");
            free.extend(holder.is_none().then_some(allocation));
        }
        let index = txn.range(FREE_PORTS, Span::all(), 10_000)?;
        let index: BTreeSet<AllocationId> = index.into_iter().map(|(key, _)| key.2).collect();
        assert_eq!(index, free);
        Ok(held.len())
    })
    .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_thousand_ports_asked_for_at_once_never_collide_and_none_leaks() {
    let mut world = World::threaded().await;
    let node = world.node("a").await;
    let range = PortRange { first: FIRST, last: FIRST + PORTS - 1 };
    offer(&world, node, Some(range)).await;
    let owner = tenant(1);
    let wish = world.hub.allocations(&admin(), &ports_of(node, PageQuery::FIRST)).unwrap();
    let mut servers = Vec::new();
    for index in 0..25 {
        let first = wish.items[10 + index].allocation;
        let allocations = vec![first];
        let new = NewServer { node: Some(node), allocations, allocation_limit: 41, ..new_server() };
        servers.push(world.hub.create_server(&owner, new).await.unwrap().server);
    }
    let mut asked = JoinSet::new();
    for index in 0..1_000 {
        let (hub, owner, server) = (world.hub.clone(), tenant(1), servers[index % 25]);
        asked.spawn(async move { hub.add_port(&owner, server, PortAsker::Owner).await });
    }
    while let Some(done) = asked.join_next().await {
        done.unwrap().unwrap();
    }
    assert_eq!(check_books(&world.hub), 1_025);
    // Each is at its limit.
    let err = world.hub.add_port(&owner, servers[0], PortAsker::Owner).await.unwrap_err();
    assert_eq!(err.to_string(), "server has 41 ports, it may have 41");
    let shown = world.hub.server(&owner, servers[0]).unwrap();
    let mut given = JoinSet::new();
    for port in shown.ports.into_iter().skip(1) {
        let (hub, owner, server) = (world.hub.clone(), tenant(1), servers[0]);
        given.spawn(async move { hub.remove_port(&owner, server, port.allocation).await });
    }
    while let Some(done) = given.join_next().await {
        done.unwrap().unwrap();
    }
    assert_eq!(check_books(&world.hub), 985);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn servers_made_at_once_get_ports_of_their_own_until_none_is_left() {
    let mut world = World::threaded().await;
    world.node("a").await;
    world.node("b").await;
    let mut asked = JoinSet::new();
    for index in 0..40 {
        let (hub, owner) = (world.hub.clone(), tenant(1 + index % 3));
        asked.spawn(async move { hub.place_server(&owner, new_server()).await });
    }
    let (mut made, mut refused) = (0, Vec::new());
    while let Some(done) = asked.join_next().await {
        match done.unwrap() {
            Ok(_) => made += 1,
            Err(HubError::NoNode(rejected)) => refused.push(rejected),
            Err(err) => panic!("{err}"),
        }
    }
    assert_eq!((made, refused.len(), check_books(&world.hub)), (20, 20, 20));
    for rejected in refused {
        let reasons: Vec<_> =
            rejected.iter().map(|it| format!("{} {}", it.name, it.reason)).collect();
        let reason = "allocations: no free UDP port is left on the node";
        assert_eq!(reasons, [format!("a {reason}"), format!("b {reason}")]);
    }
}

#[tokio::test]
async fn ports_of_a_deleted_server_go_to_the_next() {
    let mut world = World::new().await;
    let node = world.node("a").await;
    let owner = tenant(1);
    let mut servers = Vec::new();
    for _ in 0..10 {
        servers.push(world.server(&owner, node).await);
    }
    let new = NewServer { node: Some(node), ..new_server() };
    let err = world.hub.create_server(&owner, new.clone()).await.unwrap_err();
    assert!(err.to_string().contains("no free UDP port is left"), "{err}");
    let would = async || world.hub.would_place(Needs::default(), Some("teeworlds")).await.unwrap();
    assert!(would().await.rejected[0].reason.contains("no free UDP port is left"));
    let now = Deleting { after_ms: 0, ..Deleting::default() };
    world.hub.delete_server(&owner, servers[4], now).await.unwrap();
    world.end_server(node, &owner, servers[4]).await;
    // A look knows of the port that came back, and leaves giving it back to who takes it.
    let revision = *world.hub.store().subscribe().borrow();
    assert_eq!(would().await.node, Some(node));
    assert_eq!(*world.hub.store().subscribe().borrow(), revision, "a look writes nothing");
    let unsettled = |hub: &Hub| hub.read(|txn| Ok(txn.range(GONE_PORTS, Span::all(), 9)?.len()));
    assert_eq!(unsettled(&world.hub).unwrap(), 1);
    let made = world.hub.create_server(&owner, new).await.unwrap();
    assert_eq!(made.ports[0].port, 30_004);
    assert_eq!(unsettled(&world.hub).unwrap(), 0);
    assert_eq!(would().await.node, None);
    assert_eq!(check_books(&world.hub), 10);
}

#[tokio::test]
async fn the_first_port_is_chosen_and_what_the_blueprint_needs_stays() {
    let mut world = World::new().await;
    let node = world.node("a").await;
    let owner = tenant(1);
    let server = world.server(&owner, node).await;
    let first = world.hub.server(&owner, server).unwrap().ports[0].clone();
    let err = world.hub.remove_port(&owner, server, first.allocation).await.unwrap_err();
    assert!(matches!(err, HubError::Refused(_)), "{err}");
    let err = world.hub.add_port(&owner, server, PortAsker::Owner).await.unwrap_err();
    assert_eq!(err.to_string(), "server has 1 ports, it may have 0");
    let ip = "127.0.0.1".parse().unwrap();
    let made = async |port, protocol| {
        let words = AllocationWords { alias: Some("play.example".into()), note: None };
        let (hub, admin, ports) = (&world.hub, admin(), port..=port);
        let made = hub.create_allocations(&admin, node, ip, ports, protocol, words).await;
        made.unwrap()[0].allocation
    };
    let (tcp, udp) = (made(7_000, PortProtocol::Tcp).await, made(7_001, PortProtocol::Udp).await);
    let add = |it| world.hub.add_port(&owner, server, PortAsker::Admin(Some(it)));
    add(tcp).await.unwrap();
    let shown = add(udp).await.unwrap();
    assert_eq!(shown.ports[2].alias.as_deref(), Some("play.example"));
    let err = add(udp).await.unwrap_err();
    assert_eq!(err.to_string(), "`allocations.0`: port 7001 is already taken by another server");
    let err = world.hub.set_primary_port(&owner, server, tcp).await.unwrap_err();
    assert!(err.to_string().contains("is not offered for UDP"), "{err}");
    let shown = world.hub.set_primary_port(&owner, server, udp).await.unwrap();
    let ports: Vec<u16> = shown.ports.iter().map(|it| it.port).collect();
    assert_eq!(ports, [7_001, first.port, 7_000]);
    let note = Some("query".to_owned());
    let shown = world.hub.note_port(&owner, server, tcp, note).await.unwrap();
    assert_eq!(shown.ports[2].note.as_deref(), Some("query"));
    let shown = world.hub.remove_port(&owner, server, first.allocation).await.unwrap();
    assert_eq!(shown.ports.len(), 2);
    let other = world.hub.remove_port(&tenant(2), server, tcp).await.unwrap_err();
    assert_eq!(other.to_string(), "server does not exist");
    assert_eq!(check_books(&world.hub), 2);
}

#[tokio::test]
async fn a_node_in_maintenance_keeps_its_servers_and_takes_none() {
    let mut world = World::new().await;
    let (a, b) = (world.node("a").await, world.node("b").await);
    let owner = tenant(1);
    let server = world.server(&owner, a).await;
    let settings = NodeSettings { maintenance: true, ..NodeSettings::default() };
    let shown = world.hub.change_node(&admin(), a, None, Some(settings)).await.unwrap();
    assert_eq!((shown.node.promised.memory_mib, shown.node.servers), (256, 1));
    let (made, rejected) = world.hub.place_server(&owner, new_server()).await.unwrap();
    assert_eq!((made.node, &*rejected[0].reason), (b, "is in maintenance"));
    let named = NewServer { node: Some(a), ..new_server() };
    let err = world.hub.create_server(&owner, named).await.unwrap_err();
    assert_eq!(err.to_string(), "`node`: is in maintenance");
    let change = ServerChange { name: Some("other".into()), ..ServerChange::default() };
    world.hub.change_server(&owner, server, change).await.unwrap();
    let bad = NodeSettings { memory_over_percent: 9_999, ..NodeSettings::default() };
    let err = world.hub.change_node(&admin(), a, None, Some(bad)).await.unwrap_err();
    assert_eq!(err.to_string(), "`settings.memory_over_percent`: must be 0 to 1000, not 9999");
}

#[tokio::test]
async fn names_in_other_systems_are_given_once_and_make_no_generation() {
    let mut world = World::new().await;
    let node = world.node("a").await;
    let (one, two) = (tenant(1), tenant(2));
    let (a, b) = (world.server(&one, node).await, world.server(&two, node).await);
    let name = |text: &str| ServerChange {
        external_id: Some(ExternalId::or_none(text).unwrap()),
        description: Some("for friends".into()),
        ..ServerChange::default()
    };
    let shown = world.hub.change_server(&one, a, name("whmcs-7")).await.unwrap();
    assert_eq!(shown.external_id.as_deref(), Some("whmcs-7"));
    assert_eq!(shown.desired.generation.0, 1, "the node need not know");
    let err = world.hub.change_server(&two, b, name("whmcs-7")).await.unwrap_err();
    assert_eq!(err.to_string(), "`external_id`: belongs to another server already");
    world.hub.change_server(&one, a, name("")).await.unwrap();
    world.hub.change_server(&two, b, name("whmcs-7")).await.unwrap();
    assert_eq!(world.hub.server(&one, a).unwrap().external_id, None);
}
