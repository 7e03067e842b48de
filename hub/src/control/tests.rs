//! What is asked of servers, on a real store with signed wishes.

use super::{Deleting, NewServer, ServerChange};
use crate::{
    HubError,
    store::{ALLOCATIONS, ENVELOPES, PLACED, SERVERS},
    testing::{World, admin, limits, new_server, ports_of, tenant},
};
use mamba_core::{
    clock::UnixMs,
    db::{Snapshot as _, Span},
    desired::Wish,
    ids::{AllocationId, NodeId, ServerId},
    lifecycle::PowerAction,
    scope::NodeScope,
    server::Limits,
    units::Mib,
};
use mamba_wire::{
    api::{PageQuery, server::IntentState},
    link::v1::{DesiredOutcome, DesiredResult, IntentOutcome, IntentResult, StateReport},
};
use std::collections::BTreeMap;

/// An egg with a variable whose name says that it is secret.
pub(super) const SECRETIVE: &str = r#"{
    "meta": { "version": "PTDL_v2" }, "name": "Secretive",
    "docker_images": { "One": "game:1" }, "startup": "./game",
    "config": { "files": "{}", "startup": "{\"done\": \"up \"}", "logs": "[]", "stop": "^C" },
    "variables": [{
        "name": "Password", "description": "", "env_variable": "RCON_PASSWORD", "default_value": "",
        "user_viewable": true, "user_editable": true, "rules": "nullable|string", "field_type": "text"
    }]
}"#;

fn count_servers(world: &World) -> usize {
    let count = world.hub.read(|txn| Ok(txn.range(SERVERS, Span::all(), 1_000)?.len()));
    count.unwrap()
}

fn wish(world: &World, server: ServerId) -> (u64, Wish, UnixMs) {
    let found = world.hub.read(|txn| Ok(txn.range(ENVELOPES, Span::all(), 1_000)?)).unwrap();
    let (key, record) = found.into_iter().find(|((_, id), _)| *id == server).unwrap();
    let envelope = world.hub.signed_wish(key).unwrap().unwrap().open().unwrap();
    assert_eq!(envelope.order, record.order);
    (envelope.order.generation.0, envelope.body, envelope.not_before)
}

#[tokio::test]
async fn a_new_server_has_a_signed_wish_a_port_and_an_event() {
    let mut world = World::new().await;
    let node = world.node("a").await;
    let server = world.server(&tenant(1), node).await;
    let (generation, body, _) = wish(&world, server);
    assert_eq!(generation, 1);
    let Wish::Exist(spec) = body else { panic!("{body:?}") };
    assert_eq!(spec.name, "world");
    assert_eq!(spec.ports[0].port, 30_000);
    let shown = world.hub.server(&tenant(1), server).unwrap();
    assert_eq!(shown.ports[0].port, 30_000);
    let activity = world.hub.activity(&tenant(1), server, &PageQuery::FIRST).unwrap();
    assert_eq!(activity.items.len(), 1);
}

#[tokio::test]
async fn of_two_creates_for_one_port_exactly_one_wins() {
    let mut world = World::new().await;
    let node = world.node("a").await;
    let offers = world.hub.allocations(&admin(), &ports_of(node, PageQuery::FIRST)).unwrap();
    let allocations = vec![offers.items[3].allocation];
    let new = NewServer { node: Some(node), allocations, ..new_server() };
    let (one, two) = (tenant(1), tenant(2));
    let (a, b) = tokio::join!(
        world.hub.create_server(&one, new.clone()),
        world.hub.create_server(&two, new.clone()),
    );
    let errors: Vec<String> =
        [a, b].into_iter().filter_map(|it| it.err()).map(|e| e.to_string()).collect();
    assert_eq!(errors, ["`allocations.0`: port 30003 is already taken by another server"]);
    assert_eq!(count_servers(&world), 1);
}

#[tokio::test]
async fn bad_input_names_the_field_and_leaves_nothing() {
    let mut world = World::new().await;
    let node = world.node("a").await;
    let good = NewServer { node: Some(node), ..new_server() };
    let low = Limits { memory_mib: Mib(1), ..limits() };
    let high = Limits { memory_mib: Mib(1 << 20), ..limits() };
    let unknown = BTreeMap::from([("NO_SUCH".to_owned(), "x".to_owned())]);
    let nowhere = NodeId::from_bytes([9; 16]);
    let foreign = vec![AllocationId::from_bytes([9; 16])];
    for (new, field) in [
        (NewServer { name: String::new(), ..good.clone() }, "name"),
        (NewServer { blueprint: "doom".to_owned(), ..good.clone() }, "blueprint"),
        (NewServer { image: Some("evil".to_owned()), ..good.clone() }, "image"),
        (NewServer { variables: unknown, ..good.clone() }, "variables.NO_SUCH"),
        (NewServer { limits: low, ..good.clone() }, "limits.memory_mib"),
        (NewServer { limits: high, ..good.clone() }, "node"),
        (NewServer { node: Some(nowhere), ..good.clone() }, "node"),
        (NewServer { allocations: foreign, ..good.clone() }, "allocations.0"),
    ] {
        match world.hub.create_server(&tenant(1), new).await {
            Err(HubError::Invalid(err)) => assert_eq!(err.field, field, "{err}"),
            other => panic!("{field}: {other:?}"),
        }
    }
    assert_eq!(count_servers(&world), 0);
    let placed = world.hub.read(|txn| Ok(txn.range(PLACED, Span::all(), 9)?.len())).unwrap();
    let taken = world.hub.read(|txn| Ok(txn.range(ALLOCATIONS, Span::all(), 99)?)).unwrap();
    assert_eq!(placed, 0);
    assert!(taken.iter().all(|(_, it)| it.server.is_none()));
}

#[tokio::test]
async fn without_a_node_the_connected_one_with_room_is_chosen() {
    let mut world = World::new().await;
    let err = world.hub.create_server(&tenant(1), new_server()).await.unwrap_err();
    assert_eq!(err.to_string(), "no node can take the server: there is none");
    let (_away, here) = (world.node("away").await, world.node("here").await);
    let scope = NodeScope::granted(_away);
    let instance = mamba_core::ids::InstanceId::from_bytes([1; 16]);
    world.hub.note_gone(&scope, instance, world.hub.now(), "test").await.unwrap();
    let server = world.hub.create_server(&tenant(1), new_server()).await.unwrap();
    assert_eq!(server.node, here);
    let instance = mamba_core::ids::InstanceId::from_bytes([1; 16]);
    world
        .hub
        .note_gone(&NodeScope::granted(here), instance, world.hub.now(), "test")
        .await
        .unwrap();
    let err = world.hub.create_server(&tenant(1), new_server()).await.unwrap_err();
    let expected = "no node can take the server: away is not connected; here is not connected";
    assert_eq!(err.to_string(), expected);
}

#[tokio::test]
async fn each_change_is_one_generation_and_no_change_is_none() {
    let mut world = World::new().await;
    let node = world.node("a").await;
    let (owner, other) = (tenant(1), tenant(2));
    let server = world.server(&owner, node).await;
    let more = Limits { memory_mib: Mib(512), ..limits() };
    let change = ServerChange { limits: Some(more), ..ServerChange::default() };
    let changed = world.hub.change_server(&owner, server, change.clone()).await.unwrap();
    assert_eq!((changed.desired.generation.0, changed.limits), (2, more));
    let same = world.hub.change_server(&owner, server, change.clone()).await.unwrap();
    assert_eq!(same.desired.generation.0, 2);
    let low = Limits { memory_mib: Mib(1), ..limits() };
    let bad = ServerChange { limits: Some(low), ..ServerChange::default() };
    let err = world.hub.change_server(&owner, server, bad).await.unwrap_err();
    assert_eq!(err.to_string(), "`limits.memory_mib`: must be 32 to 1048576, not 1");
    let err = world.hub.change_server(&other, server, change).await.unwrap_err();
    assert_eq!(err.to_string(), "server does not exist");
    assert_eq!(wish(&world, server).0, 2);
}

#[tokio::test]
async fn a_server_grows_only_into_the_room_of_its_node() {
    let mut world = World::new().await;
    let node = world.node("a").await;
    let scope = NodeScope::granted(node);
    let server = world.server(&tenant(1), node).await;
    world.server(&tenant(2), node).await;
    // Two servers with 256 MiB each are on it: 488 MiB of memory and 1 GiB of disk are left.
    let mut state = crate::testing::machine();
    (state.memory_bytes, state.disk_bytes) = (1_000 << 20, 2_048 << 20);
    let report = StateReport { complete: true, servers: vec![], node: state.clone() };
    world.hub.note_state(&scope, report).await.unwrap();
    let room = |memory, disk| Limits { memory_mib: Mib(memory), disk_mib: Mib(disk), ..limits() };
    let resize = async |limits| {
        let change = ServerChange { limits: Some(limits), ..ServerChange::default() };
        let changed = world.hub.change_server(&tenant(1), server, change).await;
        changed.map(|it| it.limits).map_err(|err| err.to_string())
    };
    let refused = "`limits`: the server's node has 488 MiB of memory left, 489 MiB are needed";
    assert_eq!(resize(room(745, 512)).await, Err(refused.to_owned()));
    let refused = "`limits`: the server's node has 1024 MiB of disk left, 1025 MiB are needed";
    assert_eq!(resize(room(256, 1_537)).await, Err(refused.to_owned()));
    assert_eq!(world.hub.server(&tenant(1), server).unwrap().desired.generation.0, 1);
    assert_eq!(resize(room(744, 1_536)).await, Ok(room(744, 1_536)));
    // A node that shrank below what it promised: less is always possible, more is not.
    state.memory_bytes = 512 << 20;
    let report = StateReport { complete: true, servers: vec![], node: state };
    world.hub.note_state(&scope, report).await.unwrap();
    assert_eq!(resize(room(700, 1_536)).await, Ok(room(700, 1_536)));
    assert!(resize(room(701, 1_536)).await.is_err());
}

#[tokio::test]
async fn a_deletion_is_a_tombstone_that_may_come_earlier_but_not_later() {
    let mut world = World::new().await;
    let node = world.node("a").await;
    let server = world.server(&tenant(1), node).await;
    let owner = tenant(1);
    world.hub.delete_server(&owner, server, Deleting::default()).await.unwrap();
    let (generation, body, not_before) = wish(&world, server);
    assert_eq!((generation, not_before), (2, world.hub.now().plus(86_400_000)));
    assert_eq!(body, Wish::Deleted { retain_ms: super::RETAIN_MS_DEFAULT });
    world.clock.advance(1_000);
    world.hub.delete_server(&owner, server, Deleting::default()).await.unwrap();
    assert_eq!(wish(&world, server).0, 2, "asking again changes nothing");
    let now = Deleting { after_ms: 0, ..Deleting::default() };
    world.hub.delete_server(&owner, server, now).await.unwrap();
    assert_eq!(wish(&world, server).2, world.hub.now());
    let change = ServerChange { name: Some("x".to_owned()), ..ServerChange::default() };
    let err = world.hub.change_server(&owner, server, change).await.unwrap_err();
    assert_eq!(err.to_string(), "server is being deleted");
    let err = world.hub.power(&owner, server, PowerAction::Start, None).await.unwrap_err();
    assert_eq!(err.to_string(), "server is being deleted");
}

#[tokio::test]
async fn ending_most_of_a_node_at_once_needs_force() {
    let mut world = World::new().await;
    let node = world.node("a").await;
    let owner = tenant(1);
    let mut servers = Vec::new();
    for _ in 0..7 {
        servers.push(world.server(&owner, node).await);
    }
    let now = Deleting { after_ms: 0, ..Deleting::default() };
    for server in &servers[..5] {
        world.hub.delete_server(&owner, *server, now).await.unwrap();
    }
    let err = world.hub.delete_server(&owner, servers[5], now).await.unwrap_err();
    assert!(matches!(err, HubError::NeedsForce { total: 7, ending: 6 }), "{err}");
    let suspend = ServerChange { suspended: Some(true), ..ServerChange::default() };
    let err = world.hub.change_server(&owner, servers[5], suspend.clone()).await.unwrap_err();
    assert!(matches!(err, HubError::NeedsForce { .. }), "{err}");
    // What the node has taken over is no longer ahead of it.
    let order = world.hub.server(&owner, servers[0]).unwrap().desired;
    let result = DesiredResult { server: servers[0], order, outcome: DesiredOutcome::Adopted };
    world.hub.note_desired(&NodeScope::granted(node), vec![result]).await.unwrap();
    world.hub.change_server(&owner, servers[5], suspend).await.unwrap();
    let forced = Deleting { force: true, ..now };
    world.hub.delete_server(&owner, servers[6], forced).await.unwrap();
}

#[tokio::test]
async fn a_power_action_is_pending_then_applied_or_expires() {
    let mut world = World::new().await;
    let node = world.node("a").await;
    let (owner, scope) = (tenant(1), NodeScope::granted(node));
    let server = world.server(&owner, node).await;
    world.account(&owner).await;
    let power = |action| world.hub.power(&owner, server, action, None);
    let first = power(PowerAction::Start).await.unwrap();
    assert_eq!(first.state, IntentState::Pending);
    let handed = world.hub.wanted(&scope).await.unwrap().intents;
    assert_eq!(handed.iter().map(|it| it.intent).collect::<Vec<_>>(), [first.intent]);
    let result = IntentResult { intent: first.intent, outcome: IntentOutcome::Accepted };
    world.hub.note_intents(&scope, vec![result.clone(), result]).await.unwrap();
    let shown = world.hub.intent(&owner, server, first.intent).unwrap();
    assert_eq!(shown.state, IntentState::Applied);
    let late = power(PowerAction::Stop).await.unwrap();
    world.clock.advance(60_000);
    let shown = world.hub.intent(&owner, server, late.intent).unwrap();
    assert_eq!((shown.state, shown.state_at), (IntentState::Expired, late.expires_at));
    assert!(world.hub.wanted(&scope).await.unwrap().intents.is_empty());
    let all = world.hub.intents(&owner, server, &PageQuery::FIRST).unwrap();
    let states: Vec<_> = all.items.into_iter().map(|it| it.state).collect();
    assert_eq!(states, [IntentState::Expired, IntentState::Applied]);
    let err = world.hub.power(&owner, server, PowerAction::Kill, Some(0)).await.unwrap_err();
    assert_eq!(err.to_string(), "`expires_in_ms`: must be 1 to 3600000");
}

#[tokio::test]
async fn secret_values_are_sealed_in_the_store_and_whole_for_the_node() {
    const SECRET: &str = "hunter2-of-the-console";
    let mut world = World::new().await;
    let node = world.node("a").await;
    let owner = tenant(1);
    let variable = |value: &str| BTreeMap::from([("RCON_PASSWORD".to_owned(), value.to_owned())]);
    world.hub.import_blueprint(&admin(), SECRETIVE.as_bytes()).await.unwrap();
    let new = NewServer {
        node: Some(node),
        name: "name of the world".to_owned(),
        blueprint: "secretive".to_owned(),
        variables: variable(SECRET),
        ..new_server()
    };
    let server = world.hub.create_server(&owner, new).await.unwrap().server;
    let spec = |world: &World| match wish(world, server).1 {
        Wish::Exist(spec) => spec,
        other => panic!("{other:?}"),
    };
    let shown = |world: &World| world.hub.server(&owner, server).unwrap().variables;
    assert_eq!(shown(&world)["RCON_PASSWORD"], SECRET);
    assert_eq!(spec(&world).environment["RCON_PASSWORD"], SECRET);
    assert!(world.disk.holds("name of the world"), "what is no secret is found");
    assert!(!world.disk.holds(SECRET));
    // A change of something else keeps it; a change of it replaces it.
    let rename = ServerChange { name: Some("other".to_owned()), ..ServerChange::default() };
    world.hub.change_server(&owner, server, rename).await.unwrap();
    assert_eq!(spec(&world).environment["RCON_PASSWORD"], SECRET);
    let change = ServerChange { variables: Some(variable("next")), ..ServerChange::default() };
    world.hub.change_server(&owner, server, change).await.unwrap();
    assert_eq!(spec(&world).environment["RCON_PASSWORD"], "next");
    assert_eq!(shown(&world)["RCON_PASSWORD"], "next");
}

#[tokio::test]
async fn a_power_action_can_be_taken_back_until_its_node_has_it() {
    let mut world = World::new().await;
    let node = world.node("a").await;
    let (owner, scope) = (tenant(1), NodeScope::granted(node));
    let server = world.server(&owner, node).await;
    world.account(&owner).await;
    let power = async || world.hub.power(&owner, server, PowerAction::Start, None).await.unwrap();
    let cancel = async |intent| world.hub.cancel_intent(&owner, server, intent).await;
    let given = power().await;
    let taken = cancel(given.intent).await.unwrap();
    assert_eq!(taken.state, IntentState::Cancelled);
    assert!(world.hub.wanted(&scope).await.unwrap().intents.is_empty());
    world.clock.advance(120_000);
    assert_eq!(cancel(given.intent).await.unwrap(), taken, "cancelled for good");
    let sent = power().await;
    assert_eq!(world.hub.wanted(&scope).await.unwrap().intents.len(), 1);
    let shown = world.hub.intent(&owner, server, sent.intent).unwrap();
    assert_eq!(shown.state, IntentState::Sent);
    let err = cancel(sent.intent).await.unwrap_err();
    assert!(err.to_string().starts_with("the node has the power action already"), "{err}");
    let late = power().await;
    world.clock.advance(60_000);
    let err = cancel(late.intent).await.unwrap_err();
    assert_eq!(err.to_string(), "the power action expired and did nothing");
    let stranger = world.hub.cancel_intent(&tenant(2), server, late.intent).await.unwrap_err();
    assert!(matches!(stranger, HubError::NotFound { .. }), "{stranger}");
}

#[tokio::test]
async fn an_offered_port_is_offered_once_and_withdrawn_only_when_free() {
    let mut world = World::new().await;
    let node = world.node("a").await;
    let server = world.server(&tenant(1), node).await;
    let ip = "127.0.0.1".parse().unwrap();
    let udp = mamba_core::server::PortProtocol::Udp;
    let admin = admin();
    let again = world
        .hub
        .create_allocations(&admin, node, ip, 30_009..=30_010, udp, Default::default())
        .await;
    let err = again.unwrap_err();
    assert_eq!(err.to_string(), "`port`: 30009 is offered on this node already");
    let page = PageQuery { after: None, limit: Some(6) };
    let first = world.hub.allocations(&admin, &ports_of(node, page)).unwrap();
    let rest = PageQuery { after: first.next, limit: Some(6) };
    let rest = world.hub.allocations(&admin, &ports_of(node, rest)).unwrap();
    assert_eq!((first.items.len(), rest.items.len(), rest.next), (6, 4, None));
    let taken = first.items.iter().find(|it| it.server == Some(server)).unwrap().allocation;
    assert!(world.hub.delete_allocation(&admin, taken).await.is_err());
    world.hub.delete_allocation(&admin, rest.items[0].allocation).await.unwrap();
}
