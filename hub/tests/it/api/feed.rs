//! The live feed over real WebSockets, with a node whose gauges are played by the test.

use super::world::{Open, Socket, open_world};
use futures_util::{SinkExt, StreamExt};
use mamba_core::{
    access::{ServerKey, ServerKeys},
    clock::UnixMs,
    db::{Snapshot as _, Span, Txn},
    ids::{InstanceId, ServerId},
    lifecycle::{PowerAction, ServerState},
    players::{Players, Query},
};
use mamba_hub::store::NODES;
use mamba_wire::{
    api::{
        Code,
        console::{
            CLOSE_MALFORMED, CLOSE_SHUTDOWN, CLOSE_SIGNED_OUT, CLOSE_TOO_MANY, CreateTicket,
            TICKET_TTL_MS,
        },
        feed::{FeedMessage, FeedSend, TOPICS_MAX, Topic},
        member::SubUserPath,
        params::ServerPath,
        server::{Power, UpdateServer},
        table,
    },
    net::frames::FrameStream,
    node::{Answer, Ask, Gauges, NodeReply, NodeRequest},
    session::SILENCE_MS,
};
use std::{collections::BTreeSet, time::Duration};
use tokio::time::{Instant, timeout};
use tokio_tungstenite::tungstenite::Message;

/// Longest wait for something that must come.
const WAIT: Duration = Duration::from_secs(10);

impl Open {
    async fn target(&self, token: &str) -> String {
        let ticket = self.world.call::<table::CreateFeedTicket>(Some(token), &(), &(), &()).await;
        ticket.unwrap().target
    }

    /// Opens a feed of somebody, which looks at something, and returns what of it is told.
    async fn feed(&self, token: &str, topics: &[Topic]) -> (Socket, Vec<Topic>) {
        let target = self.target(token).await;
        let mut socket = self.world.socket(&target, Some("http://hub")).await.unwrap();
        let looking = look(&mut socket, topics).await;
        (socket, looking)
    }

    /// Shares the server with somebody, and returns their token.
    async fn friend(&self) -> String {
        self.world.friend(&self.owner, self.server, [ServerKey::WebsocketConnect]).await
    }

    async fn rename(&self, server: ServerId, name: &str) {
        let body = UpdateServer { name: Some(name.to_owned()), ..UpdateServer::default() };
        self.world.admin::<table::UpdateServer>(&ServerPath { server }, &(), &body).await;
    }

    async fn stop(&self) {
        let body = Power { action: PowerAction::Stop, expires_in_ms: None };
        let path = ServerPath { server: self.server };
        self.world.admin::<table::Power>(&path, &(), &body).await;
    }
}

/// Returns the next message but signs of life, or the close code.
async fn next(socket: &mut Socket) -> Result<FeedMessage, u16> {
    loop {
        let message = timeout(WAIT, socket.next()).await.expect("a message in time");
        match message.expect("a message").expect("a whole message") {
            Message::Text(text) => match serde_json::from_str(&text).unwrap() {
                FeedMessage::Beat(_) => {}
                message => return Ok(message),
            },
            Message::Close(frame) => return Err(frame.expect("a close code").code.into()),
            Message::Ping(_) | Message::Pong(_) | Message::Binary(_) | Message::Frame(_) => {}
        }
    }
}

async fn look(socket: &mut Socket, topics: &[Topic]) -> Vec<Topic> {
    let text = serde_json::to_string(&FeedSend::Look(topics.to_vec())).unwrap();
    socket.send(Message::text(text)).await.unwrap();
    loop {
        if let FeedMessage::Looking(topics) = next(socket).await.unwrap() {
            return topics;
        }
    }
}

/// Gathers changes until all of these were told; nothing else may be.
async fn told(socket: &mut Socket, expected: &[Topic]) {
    let mut missing: BTreeSet<Topic> = expected.iter().copied().collect();
    while !missing.is_empty() {
        match next(socket).await.unwrap() {
            FeedMessage::Changed(topics) => {
                for topic in topics {
                    assert!(expected.contains(&topic), "{topic:?} is told, expected {expected:?}");
                    missing.remove(&topic);
                }
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_viewer_hears_of_its_own_servers_only() {
    let open = open_world().await;
    let (other, _) = open.world.tenant("other").await;
    let foreign = open.world.server(open.node, other, 30_002).await;
    let (list, own) = (Topic::Servers, Topic::Server(open.server));
    let foreign_topics = [Topic::Server(foreign), Topic::Gauges(foreign)];
    let asked = [&[list, Topic::Nodes, Topic::Administration, own][..], &foreign_topics].concat();
    let (mut socket, looking) = open.feed(&open.owner, &asked).await;
    assert_eq!(looking, [list, own]);
    open.rename(foreign, "not yours").await;
    open.stop().await;
    told(&mut socket, &[own]).await;
    open.rename(open.server, "arena 2").await;
    told(&mut socket, &[list, own]).await;
    // An administrator hears of all, and of nodes.
    let asked = [list, Topic::Nodes, Topic::Administration];
    let (mut admin, looking) = open.feed(&open.world.admin, &asked).await;
    assert_eq!(looking, asked);
    open.rename(foreign, "somebody's").await;
    told(&mut admin, &[list]).await;
    open.world.tenant("new").await;
    told(&mut admin, &[Topic::Administration]).await;
}

#[tokio::test]
async fn a_link_that_comes_falls_silent_and_goes_is_told() {
    let open = open_world().await;
    let (list, own) = (Topic::Servers, Topic::Server(open.server));
    let (mut socket, _) = open.feed(&open.owner, &[list, own]).await;
    let (live, instance) = (open.world.hub.live(), InstanceId::from_bytes([3; 16]));
    live.begin(open.node, instance, open.world.hub.now());
    told(&mut socket, &[list, own]).await;
    open.world.clock.advance(SILENCE_MS + 1);
    told(&mut socket, &[list, own]).await;
    live.end(open.node, instance);
    told(&mut socket, &[list, own]).await;
    // A node on which it has nothing says nothing to it.
    let other = open.world.node("n2", 2).await;
    live.begin(other, instance, open.world.hub.now());
    let quiet = timeout(Duration::from_millis(2_500), next(&mut socket)).await;
    assert!(quiet.is_err(), "{quiet:?}");
}

fn gauges(server: ServerId, at: u64) -> mamba_wire::frame::Frame {
    let gauges = Gauges {
        server,
        at: UnixMs(at),
        state: ServerState::Running,
        memory_bytes: Some(64 << 20),
        cpu_millicores: Some(250),
        sent_bytes_per_s: None,
        disk: None,
        players: Some(Players { now: 3, max: 8 }),
    };
    NodeReply::Ok(Box::new(Answer::Gauges(gauges))).to_frame().unwrap()
}

async fn gauge(socket: &mut Socket) -> Gauges {
    loop {
        if let FeedMessage::Gauges(gauges) = next(socket).await.unwrap() {
            return gauges;
        }
    }
}

#[tokio::test]
async fn gauges_are_asked_of_a_node_only_while_somebody_looks() {
    let open = open_world().await;
    let topic = Topic::Gauges(open.server);
    let mut node: FrameStream = open.world.door.expect(64 * 1024);
    let (mut socket, looking) = open.feed(&open.owner, &[Topic::Server(open.server)]).await;
    assert_eq!(looking, [Topic::Server(open.server)]);
    assert!(open.world.door.asked.lock().unwrap().is_empty(), "nobody looks at gauges");
    look(&mut socket, &[topic]).await;
    node.writer.send(&gauges(open.server, 7)).await.unwrap();
    let seen = gauge(&mut socket).await;
    assert_eq!((seen.at, seen.memory_bytes), (UnixMs(7), Some(64 << 20)));
    assert_eq!(seen.players, Some(Players { now: 3, max: 8 }));
    let asked = open.world.door.asked.lock().unwrap().clone();
    let request = NodeRequest::Gauges { server: open.server, query: Some(Query::Teeworlds) };
    let by = open.asker(&open.owner, ServerKeys::ALL).await;
    assert_eq!(asked, [Ask { by, request }]);
    assert_eq!(look(&mut socket, &[]).await, []);
    // The node learns that nobody looks any more.
    let end = timeout(WAIT, node.reader.next()).await.expect("an end");
    assert!(matches!(end, Ok(None)), "{end:?}");
    // A node that speaks for another server is not believed.
    let mut node = open.world.door.expect(64 * 1024);
    look(&mut socket, &[topic]).await;
    node.writer.send(&gauges(ServerId::from_bytes([9; 16]), 8)).await.unwrap();
    let end = timeout(WAIT, node.reader.next()).await.expect("an end");
    assert!(matches!(end, Ok(None)), "{end:?}");
    // It is asked again after a while, as a node that was away is.
    let mut node = open.world.door.expect(64 * 1024);
    node.writer.send(&gauges(open.server, 9)).await.unwrap();
    assert_eq!(gauge(&mut socket).await.at, UnixMs(9));
}

#[tokio::test]
async fn who_loses_the_right_hears_nothing_more_of_a_server() {
    let open = open_world().await;
    let friend = open.friend().await;
    let (list, own) = (Topic::Servers, Topic::Server(open.server));
    let node = open.world.door.expect(64 * 1024);
    let asked = [list, own, Topic::Gauges(open.server)];
    let (mut socket, looking) = open.feed(&friend, &asked).await;
    assert_eq!(looking, asked);
    open.rename(open.server, "ours").await;
    told(&mut socket, &[list, own]).await;
    let who = open.world.call::<table::WhoAmI>(Some(&friend), &(), &(), &()).await.unwrap();
    let path = SubUserPath { server: open.server, user: who.user };
    let removed_at = Instant::now();
    open.world.call::<table::RemoveSubUser>(Some(&open.owner), &path, &(), &()).await.unwrap();
    assert_eq!(next(&mut socket).await.unwrap(), FeedMessage::Looking(vec![list]));
    assert!(removed_at.elapsed() < Duration::from_secs(5), "{:?}", removed_at.elapsed());
    // The list is another one now; then nothing comes, whatever happens to the server.
    told(&mut socket, &[list]).await;
    let mut node = node;
    let end = timeout(WAIT, node.reader.next()).await.expect("an end");
    assert!(matches!(end, Ok(None)), "{end:?}");
    open.rename(open.server, "not yours").await;
    let quiet = timeout(Duration::from_millis(1_000), next(&mut socket)).await;
    assert!(quiet.is_err(), "{quiet:?}");
    // The feed ends with its session.
    open.world.call::<table::Logout>(Some(&friend), &(), &(), &()).await.unwrap();
    assert!(matches!(next(&mut socket).await.unwrap(), FeedMessage::Error(_)));
    assert_eq!(next(&mut socket).await.unwrap_err(), CLOSE_SIGNED_OUT);
}

#[tokio::test]
async fn a_viewer_that_sleeps_is_told_that_it_missed_something() {
    let open = open_world().await;
    let own = Topic::Server(open.server);
    let (mut socket, _) = open.feed(&open.owner, &[own]).await;
    // This thread runs the hub too: while it waits for commits here, no feed moves.
    let store = open.world.hub.store().clone();
    let touch = |txn: &mut Txn<'_>| {
        let node = txn.first(NODES, Span::all())?.expect("the world has a node");
        txn.put(NODES, &node.0, &node.1)
    };
    let commits = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        for _ in 0..300 {
            runtime.block_on(store.write(touch)).unwrap();
        }
    });
    commits.join().unwrap();
    assert_eq!(next(&mut socket).await.unwrap(), FeedMessage::Missed(true));
    open.rename(open.server, "still told").await;
    told(&mut socket, &[own]).await;
}

#[tokio::test]
async fn every_end_has_its_code_and_a_ticket_its_purpose() {
    let open = open_world().await;
    let path = "/api/v1/feed";
    assert_eq!(open.world.socket(path, None).await.err(), Some(401));
    let guess = format!("{path}?ticket={}", "0".repeat(64));
    assert_eq!(open.world.socket(&guess, None).await.err(), Some(401));
    let server = ServerPath { server: open.server };
    let console = CreateTicket { write: true };
    let console =
        open.world.call::<table::CreateConsoleTicket>(Some(&open.owner), &server, &(), &console);
    let borrowed = format!("{path}?ticket={}", console.await.unwrap().ticket);
    assert_eq!(open.world.socket(&borrowed, None).await.err(), Some(401));
    let target = open.target(&open.owner).await;
    assert_eq!(open.world.socket(&target, Some("https://evil.example")).await.err(), Some(403));
    let plain = open.world.send("GET", &target, &[], None).await;
    assert_eq!(plain.problem().code, Code::Malformed);
    let late = open.target(&open.owner).await;
    open.world.clock.advance(TICKET_TTL_MS);
    assert_eq!(open.world.socket(&late, None).await.err(), Some(401));

    let (mut first, _) = open.feed(&open.owner, &[Topic::Servers]).await;
    let (mut second, _) = open.feed(&open.owner, &[Topic::Servers]).await;
    let mut third = open.world.socket(&open.target(&open.owner).await, None).await.unwrap();
    assert!(matches!(next(&mut third).await.unwrap(), FeedMessage::Error(_)));
    assert_eq!(next(&mut third).await.unwrap_err(), CLOSE_TOO_MANY);
    let many = FeedSend::Look(vec![Topic::Servers; TOPICS_MAX + 1]);
    first.send(Message::text(serde_json::to_string(&many).unwrap())).await.unwrap();
    assert!(matches!(next(&mut first).await.unwrap(), FeedMessage::Error(_)));
    assert_eq!(next(&mut first).await.unwrap_err(), CLOSE_MALFORMED);
    let (code, ()) = tokio::join!(next(&mut second), open.world.feeds.close());
    assert_eq!(code.unwrap_err(), CLOSE_SHUTDOWN);
}
