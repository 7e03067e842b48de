//! Facts, wishes, intents, states and requests over a real session, and what ends one.

use super::{
    fakes::FakeEdge,
    rig::{EdgeRig, HubRig, enrol, wait_until},
};
use mamba_core::{
    access::{ServerKey, ServerKeys},
    clock::UnixMs,
    desired::{Envelope, Home, Order, Wish},
    fact::Stream,
    ids::{IntentId, NodeId, ServerId, TenantId, UserId},
    lifecycle::PowerAction,
    registry::Login,
    seq::{Generation, Incarnation},
};
use mamba_hub::link::{RequestError, backend::Standing};
use mamba_wire::{
    link::v1::{DesiredLine, Intent},
    node::{
        Answer, Ask, Asker, ConsoleFrom, ConsoleInput, Needs, NodeError, NodeReply, NodeRequest,
    },
};
use std::sync::Arc;

/// A hub and an edge with a session, and what keeps them.
async fn joined() -> (HubRig, EdgeRig, NodeId, tempfile::TempDir) {
    let hub = HubRig::start();
    let dir = tempfile::tempdir().unwrap();
    let identity = enrol(dir.path(), &hub.token(), &hub.clock).await.unwrap();
    let mut edge = EdgeRig::start(dir.path(), &hub.clock, 1);
    edge.wait_up().await;
    (hub, edge, identity.node, dir)
}

fn custody(hub: &HubRig, node: NodeId, stream: Stream) -> Vec<Vec<u8>> {
    hub.store.with(|state| state.custody.get(&(node, stream)).cloned().unwrap_or_default())
}

fn bodies(stream: u8, count: u8) -> Vec<Vec<u8>> {
    (0..count).map(|fact| vec![stream, fact]).collect()
}

#[tokio::test]
async fn logins_of_registries_reach_the_edge_when_they_change_and_with_a_new_session() {
    let login = |password: &str| Login {
        host: "ghcr.io".to_owned(),
        user: "bot".to_owned(),
        password: password.to_owned(),
    };
    let (hub, mut edge, node, dir) = joined().await;
    let is_told = |edge: &EdgeRig, logins: &[Login]| {
        edge.store.with(|state| state.registries.as_deref() == Some(logins))
    };
    wait_until("that there are none", || is_told(&edge, &[])).await;
    hub.store.with(|state| state.registries = vec![login("one")]);
    hub.store.changed(node);
    wait_until("the first login", || is_told(&edge, &[login("one")])).await;
    edge.stop().await;
    hub.store.with(|state| state.registries = vec![login("two")]);
    let edge = EdgeRig::start(dir.path(), &hub.clock, 2);
    wait_until("what changed meanwhile", || is_told(&edge, &[login("two")])).await;
}

#[tokio::test]
async fn facts_arrive_once_through_restarts_of_both_ends() {
    let (mut hub, mut edge, node, dir) = joined().await;
    let (usage, activity) = (bodies(1, 90), bodies(2, 30));
    usage[..30].iter().for_each(|body| edge.store.add(Stream::Usage, body));
    activity.iter().for_each(|body| edge.store.add(Stream::Activity, body));
    wait_until("first facts", || custody(&hub, node, Stream::Usage).len() == 30).await;
    hub.stop().await;
    edge.wait_down("hub ended the session").await;
    usage[30..60].iter().for_each(|body| edge.store.add(Stream::Usage, body));
    let hub = hub.again();
    wait_until("facts of the outage", || custody(&hub, node, Stream::Usage).len() == 60).await;
    edge.stop().await;
    let store = Arc::clone(&edge.store);
    usage[60..].iter().for_each(|body| store.add(Stream::Usage, body));
    let edge = EdgeRig::with_store(dir.path(), &hub.clock, 2, store);
    wait_until("all acks", || {
        edge.store.with(|state| state.acked.values().map(|seq| seq.0).sum::<u64>()) == 120
    })
    .await;
    assert_eq!(custody(&hub, node, Stream::Usage), usage);
    assert_eq!(custody(&hub, node, Stream::Activity), activity);
}

#[tokio::test]
async fn wishes_intents_and_states_travel() {
    let (hub, edge, node, _dir) = joined().await;
    let server = ServerId::from_bytes([5; 16]);
    let envelope = Envelope {
        tenant: TenantId::from_bytes([1; 16]),
        node,
        server,
        order: Order { incarnation: Incarnation(1), generation: Generation(1) },
        home: Home::default(),
        not_before: UnixMs(0),
        force: false,
        body: Wish::Deleted { retain_ms: 1 },
    };
    let signed = hub.keys.envelopes.sign(&envelope).unwrap();
    let line = DesiredLine { server, order: envelope.order, hash: signed.hash() };
    let intent = Intent {
        intent: IntentId::from_bytes([6; 16]),
        server,
        action: PowerAction::Start,
        by: UserId::from_bytes([7; 16]),
        keys: ServerKeys::ALL,
        expires_at: UnixMs(u64::MAX),
    };
    hub.store.with(|state| {
        state.desired.insert(server, (line, signed.clone()));
        state.intents.insert(intent.intent, intent.clone());
    });
    hub.store.changed(node);
    wait_until("result of the intent", || hub.store.with(|state| state.intents.is_empty())).await;
    assert_eq!(hub.store.with(|state| state.results.len()), 1);
    assert_eq!(edge.store.with(|state| state.desired.get(&server).cloned()), Some(signed));
    assert!(edge.store.with(|state| state.done.contains(&intent.intent)));
    wait_until("first report", || hub.store.with(|state| !state.states.is_empty())).await;
    assert!(hub.store.with(|state| state.states[0].complete));
    edge.store.view.send_modify(|view| {
        let mut changed = (**view).clone();
        changed.node.troubles.push("trouble".to_owned());
        *view = Arc::new(changed);
    });
    wait_until("second report", || {
        hub.store.with(|state| state.states.iter().any(|it| !it.node.troubles.is_empty()))
    })
    .await;
}

fn status() -> Ask {
    Ask { by: Asker::Hub, request: NodeRequest::Status }
}

#[tokio::test]
async fn an_account_gets_from_an_edge_what_it_holds_the_key_for_and_nothing_else() {
    let (hub, mut edge, node, _dir) = joined().await;
    let (server, user) = (ServerId::from_bytes([5; 16]), UserId::from_bytes([7; 16]));
    let power = |action| NodeRequest::Power { server, action };
    let from = ConsoleFrom::Last(1);
    for request in [
        NodeRequest::Console { server, from, follow: true },
        NodeRequest::Type { server, line: "stop".to_owned() },
        NodeRequest::InstallLog { server },
        NodeRequest::CancelInstall { server },
        NodeRequest::Gauges { server, query: None },
        power(PowerAction::Start),
        power(PowerAction::Stop),
        power(PowerAction::Restart),
        power(PowerAction::Kill),
        NodeRequest::Status,
    ] {
        let needs = request.needs();
        let ask = async |keys: ServerKeys| {
            let ask = Ask { by: Asker::User { user, keys }, request: request.clone() };
            let mut stream = hub.links.request(node, &ask).await.unwrap();
            let reply = stream.reader.next().await.unwrap().unwrap();
            NodeReply::from_frame(&reply).unwrap()
        };
        let holds = |key: &ServerKey| needs == Needs::Key(*key);
        let own: ServerKeys = ServerKey::ALL.iter().copied().filter(holds).collect();
        let others = ServerKey::ALL.iter().copied().filter(|key| !holds(key)).collect();
        let refused = NodeReply::Err(NodeError::Forbidden(needs));
        assert_eq!(ask(others).await, refused, "{request:?}");
        // The fake behind the door accepts whatever comes to it.
        let accepted = NodeReply::Ok(Box::new(Answer::Accepted));
        let expected = if own == ServerKeys::NONE { refused } else { accepted };
        assert_eq!(ask(own).await, expected, "{request:?}");
    }
    edge.stop().await;
}

#[tokio::test]
async fn requests_reach_the_edge_in_both_directions() {
    let (hub, mut edge, node, _dir) = joined().await;
    let mut stream = hub.links.request(node, &status()).await.unwrap();
    let frame = stream.reader.next().await.unwrap().unwrap();
    assert_eq!(NodeReply::from_frame(&frame), Ok(NodeReply::Ok(Box::new(Answer::Accepted))));
    let input = ConsoleInput { line: "say hello".to_owned() }.to_frame().unwrap();
    stream.writer.send(&input).await.unwrap();
    assert_eq!(stream.reader.next().await.unwrap(), Some(input));
    let info = hub.links.connected(node).unwrap();
    assert_eq!((info.node, info.software.as_str()), (node, "test"));
    assert_eq!(hub.links.list().len(), 1);
    edge.stop().await;
    wait_until("session is gone", || hub.links.connected(node).is_none()).await;
    let refused = hub.links.request(node, &status()).await;
    assert!(matches!(refused, Err(RequestError::NotConnected(_))));
    wait_until("the store is told", || hub.store.with(|state| state.gone.len() == 1)).await;
}

#[tokio::test]
async fn a_revoked_node_is_out_within_five_seconds_and_stays_out() {
    let (hub, mut edge, node, dir) = joined().await;
    let (host, user, password) = ("ghcr.io".to_owned(), "bot".to_owned(), "one".to_owned());
    hub.store.with(|state| state.registries = vec![Login { host, user, password }]);
    hub.store.changed(node);
    let logins =
        |edge: &EdgeRig| edge.store.with(|state| state.registries.as_ref().map_or(0, Vec::len));
    wait_until("a login", || logins(&edge) == 1).await;
    let before = std::time::Duration::from_secs(5);
    hub.store.set_standing(node, Standing::Revoked);
    tokio::time::timeout(before, edge.wait_down("Revoked")).await.unwrap();
    // It forgets the logins that it was told.
    wait_until("no login", || logins(&edge) == 0).await;
    edge.stop().await;
    let mut again = EdgeRig::start(dir.path(), &hub.clock, 2);
    again.wait_down("Revoked").await;
    assert_eq!(hub.store.with(|state| state.hellos.len()), 1);
}

#[tokio::test]
async fn two_daemons_with_one_identity_end_in_quarantine() {
    let (hub, mut first, node, dir) = joined().await;
    let mut second = EdgeRig::start(dir.path(), &hub.clock, 2);
    wait_until("quarantine", || {
        hub.store.with(|state| state.nodes[&node].standing == Standing::Quarantined)
    })
    .await;
    first.wait_down("Quarantined").await;
    second.wait_down("Quarantined").await;
}

#[tokio::test]
async fn a_new_address_keeps_the_session() {
    let (hub, edge, node, _dir) = joined().await;
    let before = hub.links.connected(node).unwrap();
    edge.handle.rebind();
    edge.store.add(Stream::Usage, b"after the move");
    wait_until("fact from the new address", || {
        custody(&hub, node, Stream::Usage).len() == 1
            && hub.links.connected(node).unwrap().address != before.address
    })
    .await;
    let after = hub.links.connected(node).unwrap();
    assert_eq!((after.since, after.instance), (before.since, before.instance));
    assert_eq!(hub.store.with(|state| state.hellos.len()), 1);
}

#[tokio::test]
async fn facts_added_while_nothing_is_connected_wait() {
    let hub = HubRig::start();
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(FakeEdge::new());
    let mut edge = EdgeRig::with_store(dir.path(), &hub.clock, 1, Arc::clone(&store));
    edge.wait_down("not enrolled").await;
    store.add(Stream::Activity, b"early");
    // Another process enrols; the running link takes the identity up by itself.
    let identity = enrol(dir.path(), &hub.token(), &hub.clock).await.unwrap();
    wait_until("early fact", || custody(&hub, identity.node, Stream::Activity).len() == 1).await;
}

/// RUSTSEC-2024-0373, RUSTSEC-2026-0037, RUSTSEC-2026-0185 and RUSTSEC-2026-0258: a datagram that nobody
/// asked for ended the endpoint. Thousands of them, of every shape that a first packet can have, leave the
/// hub to its nodes.
#[tokio::test]
async fn raw_datagrams_leave_the_hub_to_its_nodes() {
    let (hub, edge, node, dir) = joined().await;
    let socket = tokio::net::UdpSocket::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut draw = move || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    for number in 0..6_000 {
        let length = usize::try_from(draw() % 1_473).unwrap();
        let mut bytes: Vec<u8> = (0..length).map(|_| draw().to_le_bytes()[0]).collect();
        // Long header of each type, in a version that is served or not, with ids as long as it says.
        if number % 3 != 0 && length > 8 {
            bytes[0] = 0xc0 | (draw().to_le_bytes()[0] & 0x3f);
            let version: u32 = [1, 0, 0x6b33_43cf, u32::MAX][number % 4];
            bytes[1..5].copy_from_slice(&version.to_be_bytes());
            bytes[5] = [0, 8, 20, 255][number / 4 % 4];
        }
        if number % 3 == 1 {
            bytes.resize(1_200, 0);
        }
        socket.send_to(&bytes, hub.address).await.ok();
        // What a buffer cannot hold nobody reads.
        if number % 50 == 0 {
            tokio::task::yield_now().await;
        }
    }
    let answer = hub.links.request(node, &status()).await;
    assert!(answer.is_ok(), "the session goes on");
    drop(edge);
    let other = tempfile::tempdir().unwrap();
    enrol(other.path(), &hub.token(), &hub.clock).await.unwrap();
    let mut edge = EdgeRig::start(other.path(), &hub.clock, 2);
    edge.wait_up().await;
    drop(dir);
}
