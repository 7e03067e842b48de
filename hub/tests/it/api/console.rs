//! Consoles over real WebSockets, with a node that is played by the test.

use super::world::{Open, Socket, open_world};
use futures_util::{SinkExt, StreamExt};
use mamba_core::{
    access::{ServerKey, ServerKeys},
    clock::UnixMs,
    seq::LineNumber,
};
use mamba_edge::link::backend::Dispatcher;
use mamba_wire::{
    api::{
        Code,
        console::{
            CLOSE_MALFORMED, CLOSE_NO_SERVER, CLOSE_NODE_OFFLINE, CLOSE_SHUTDOWN, CLOSE_SIGNED_OUT,
            CLOSE_TOO_MANY, ConsoleMessage, CreateTicket, TICKET_TTL_MS, Ticket,
        },
        member::SubUserPath,
        params::ServerPath,
        table,
    },
    net::frames::FrameStream,
    node::{
        Answer, Ask, ConsoleEvent, ConsoleInput, ConsoleLine, LineSource, NodeError, NodeReply,
        NodeRequest,
    },
};
use std::time::Duration;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;

impl Open {
    async fn ticket(&self, write: bool) -> Ticket {
        let path = ServerPath { server: self.server };
        let body = CreateTicket { write };
        self.world
            .call::<table::CreateConsoleTicket>(Some(&self.owner), &path, &(), &body)
            .await
            .unwrap()
    }

    async fn connect(&self, target: &str, origin: Option<&'static str>) -> Result<Socket, u16> {
        self.world.socket(target, origin).await
    }
}

async fn next(socket: &mut Socket) -> Result<ConsoleMessage, u16> {
    loop {
        match socket.next().await.expect("a message").expect("a whole message") {
            Message::Text(text) => return Ok(serde_json::from_str(&text).unwrap()),
            Message::Close(frame) => return Err(frame.expect("a close code").code.into()),
            Message::Ping(_) | Message::Pong(_) | Message::Binary(_) | Message::Frame(_) => {}
        }
    }
}

fn event(event: ConsoleEvent) -> mamba_wire::frame::Frame {
    NodeReply::Ok(Box::new(Answer::Console(event))).to_frame().unwrap()
}

fn lines(first: u64, texts: &[&str]) -> ConsoleEvent {
    let line = |text: &&str| ConsoleLine {
        at: UnixMs(7),
        source: LineSource::Stdout,
        text: (*text).to_owned(),
    };
    ConsoleEvent::Lines { first: LineNumber(first), lines: texts.iter().map(line).collect() }
}

#[tokio::test]
async fn lines_go_out_and_input_goes_in() {
    let open = open_world().await;
    let mut node = open.world.door.expect(64 * 1024);
    let ticket = open.ticket(true).await;
    let mut socket = open.connect(&ticket.target, Some("http://hub")).await.unwrap();
    node.writer.send(&event(lines(41, &["hello", "world"]))).await.unwrap();
    node.writer.send(&event(ConsoleEvent::CaughtUp)).await.unwrap();
    let gap = ConsoleEvent::Gap { first: LineNumber(43), count: 5 };
    node.writer.send(&event(gap)).await.unwrap();
    match next(&mut socket).await.unwrap() {
        ConsoleMessage::Lines(lines) => {
            let seen: Vec<_> = lines.iter().map(|line| (line.n.0, line.text.as_str())).collect();
            assert_eq!(seen, [(41, "hello"), (42, "world")]);
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(next(&mut socket).await.unwrap(), ConsoleMessage::CaughtUp(true));
    assert!(matches!(next(&mut socket).await.unwrap(), ConsoleMessage::Gap(gap) if gap.count == 5));
    socket.send(Message::text(r#"{"input":"list"}"#)).await.unwrap();
    let frame = node.reader.next().await.unwrap().unwrap();
    assert_eq!(ConsoleInput::from_frame(&frame).unwrap().line, "list");
    let asked = open.world.door.asked.lock().unwrap().clone();
    assert!(matches!(&asked[0].request, NodeRequest::Console { follow: true, .. }));
    assert_eq!(asked[0].by, open.asker(&open.owner, ServerKeys::ALL).await);
    socket.send(Message::text(r#"{"shout":"list"}"#)).await.unwrap();
    assert!(matches!(next(&mut socket).await.unwrap(), ConsoleMessage::Error(_)));
    assert_eq!(next(&mut socket).await.unwrap_err(), CLOSE_MALFORMED);
    // The node learns that nobody looks any more.
    assert!(matches!(node.reader.next().await, Ok(None)));
}

#[tokio::test]
async fn a_ticket_is_for_one_console_once() {
    let open = open_world().await;
    let path = format!("/api/v1/servers/{}/console", open.server);
    assert_eq!(open.connect(&path, None).await.err(), Some(401));
    let guess = format!("{path}?ticket={}", "0".repeat(64));
    assert_eq!(open.connect(&guess, None).await.err(), Some(401));
    let ticket = open.ticket(true).await;
    assert_eq!(open.connect(&ticket.target, Some("https://evil.example")).await.err(), Some(403));
    let plain = open.world.send("GET", &ticket.target, &[], None).await;
    assert_eq!(plain.problem().code, Code::Malformed);
    let _node = open.world.door.expect(1024);
    let _socket = open.connect(&ticket.target, None).await.unwrap();
    assert_eq!(open.connect(&ticket.target, None).await.err(), Some(401));
    let late = open.ticket(true).await;
    open.world.clock.advance(TICKET_TTL_MS);
    assert_eq!(open.connect(&late.target, None).await.err(), Some(401));
}

#[tokio::test]
async fn every_end_has_its_code() {
    let open = open_world().await;
    let mut socket = open.connect(&open.ticket(false).await.target, None).await.unwrap();
    let told = next(&mut socket).await.unwrap();
    assert_eq!(told, ConsoleMessage::Error("the node is not connected".to_owned()));
    assert_eq!(next(&mut socket).await.unwrap_err(), CLOSE_NODE_OFFLINE);

    let mut node = open.world.door.expect(1024);
    let mut socket = open.connect(&open.ticket(false).await.target, None).await.unwrap();
    let err = NodeReply::Err(NodeError::NoSuchServer(open.server)).to_frame().unwrap();
    node.writer.send(&err).await.unwrap();
    assert!(matches!(next(&mut socket).await.unwrap(), ConsoleMessage::Error(_)));
    assert_eq!(next(&mut socket).await.unwrap_err(), CLOSE_NO_SERVER);

    let _nodes = [open.world.door.expect(1024), open.world.door.expect(1024)];
    let mut first = open.connect(&open.ticket(false).await.target, None).await.unwrap();
    first.send(Message::text(r#"{"input":"x"}"#)).await.unwrap();
    let told = next(&mut first).await.unwrap();
    assert_eq!(told, ConsoleMessage::Error("this console is read-only".to_owned()));
    let mut second = open.connect(&open.ticket(false).await.target, None).await.unwrap();
    let mut third = open.connect(&open.ticket(false).await.target, None).await.unwrap();
    assert!(matches!(next(&mut third).await.unwrap(), ConsoleMessage::Error(_)));
    assert_eq!(next(&mut third).await.unwrap_err(), CLOSE_TOO_MANY);

    open.world.call::<table::Logout>(Some(&open.owner), &(), &(), &()).await.unwrap();
    for socket in [&mut first, &mut second] {
        assert!(matches!(next(socket).await.unwrap(), ConsoleMessage::Error(_)));
        assert_eq!(next(socket).await.unwrap_err(), CLOSE_SIGNED_OUT);
    }
}

#[tokio::test]
async fn a_stopping_hub_says_so_and_waits_for_its_consoles() {
    let open = open_world().await;
    let _node = open.world.door.expect(1024);
    let mut socket = open.connect(&open.ticket(false).await.target, None).await.unwrap();
    let (code, ()) = tokio::join!(next(&mut socket), open.world.consoles.close());
    assert_eq!(code.unwrap_err(), CLOSE_SHUTDOWN);
}

#[tokio::test]
async fn a_slow_reader_stops_the_relay_and_not_the_node() {
    let open = open_world().await;
    // The node's pipe is small, so that its end is felt soon.
    let mut node = open.world.door.expect(64 * 1024);
    let mut socket = open.connect(&open.ticket(false).await.target, None).await.unwrap();
    let text = "x".repeat(4_000);
    let texts = vec![text.as_str(); 16];
    // Nobody reads the socket: sooner or later the node cannot send, and would count a gap.
    let mut sent = 0;
    let stalled = loop {
        let frame = event(lines(1 + sent * 16, &texts));
        let sending = node.writer.send(&frame);
        let wait = Duration::from_millis(500);
        if tokio::time::timeout(wait, sending).await.is_err() {
            break true;
        }
        sent += 1;
        if sent > 2_000 {
            break false;
        }
    };
    assert!(stalled, "the relay held {sent} batches");
    // A reader that comes back gets everything in order.
    let mut expected = 1;
    while expected <= sent * 16 {
        if let ConsoleMessage::Lines(lines) = next(&mut socket).await.unwrap() {
            assert_eq!(lines[0].n.0, expected);
            expected += lines.len() as u64;
        }
    }
}

/// What is behind the door of a node: says hello, and what it thinks of each line.
struct Played;

impl Dispatcher for Played {
    async fn serve(&self, ask: Ask, mut stream: FrameStream) {
        stream.writer.send(&event(lines(1, &["hello"]))).await.unwrap();
        while let Ok(Some(_)) = stream.reader.next().await {
            let said = match ask.by.check(ConsoleInput::NEEDS) {
                Ok(()) => lines(2, &["typed"]),
                Err(refused) => ConsoleEvent::InputRefused(refused),
            };
            stream.writer.send(&event(said)).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_node_is_told_what_a_visitor_holds_and_its_door_lets_in_no_other() {
    let open = open_world().await;
    // Whoever holds a key for a server sees it.
    let (type_in, read) = (ServerKey::ControlConsole, ServerKey::ControlReadConsole);
    let keys = [ServerKey::WebsocketConnect, read, type_in];
    let friend = open.world.friend(&open.owner, open.server, keys).await;
    let path = ServerPath { server: open.server };
    let (all, held) = (ServerKeys::ALL, ServerKeys::from_iter(keys));
    for (token, write, expected, lost) in [
        (&open.owner, true, all, None),
        (&open.owner, false, all.without(type_in), None),
        (&friend, true, held, None),
        (&friend, false, held.without(type_in), None),
        // The hub let it in and the node does not: what it held was lost on the way.
        (&friend, true, held, Some(read)),
        (&friend, true, held, Some(type_in)),
    ] {
        let mut node = open.world.door.expect(64 * 1024);
        let body = CreateTicket { write };
        let ticket = open.world.call::<table::CreateConsoleTicket>(Some(token), &path, &(), &body);
        let mut socket = open.connect(&ticket.await.unwrap().target, None).await.unwrap();
        node.writer.send(&event(ConsoleEvent::CaughtUp)).await.unwrap();
        assert_eq!(next(&mut socket).await.unwrap(), ConsoleMessage::CaughtUp(true));
        let Ask { by, request } = open.world.door.asked.lock().unwrap().pop().unwrap();
        assert_eq!(by, open.asker(token, expected).await);
        let by = open.asker(token, lost.map_or(expected, |key| expected.without(key))).await;
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(async move { Played.admit(Ask { by, request }, node).await });
        if lost == Some(read) {
            let why = "this needs the right `control.read-console`".to_owned();
            assert_eq!(next(&mut socket).await.unwrap(), ConsoleMessage::Error(why));
            assert_eq!(next(&mut socket).await.unwrap_err(), CLOSE_SIGNED_OUT);
            continue;
        }
        let said = |message| match message {
            ConsoleMessage::Lines(lines) => lines[0].text.clone(),
            ConsoleMessage::Error(why) => why,
            other => panic!("{other:?}"),
        };
        assert_eq!(said(next(&mut socket).await.unwrap()), "hello");
        socket.send(Message::text(r#"{"input":"list"}"#)).await.unwrap();
        let expected = match (write, lost) {
            (true, None) => "typed",
            (true, Some(_)) => "this needs the right `control.console`",
            (false, _) => "this console is read-only",
        };
        assert_eq!(said(next(&mut socket).await.unwrap()), expected);
        socket.close(None).await.unwrap();
    }
}

#[tokio::test]
async fn a_sub_user_who_is_removed_loses_the_console_that_is_open() {
    let open = open_world().await;
    let world = &open.world;
    let path = ServerPath { server: open.server };
    let keys = [ServerKey::ControlReadConsole, ServerKey::ControlConsole];
    let friend = world.friend(&open.owner, open.server, keys).await;
    let owner = Some(open.owner.as_str());
    let mut node = world.door.expect(64 * 1024);
    let ask = CreateTicket { write: true };
    let ticket = world.call::<table::CreateConsoleTicket>(Some(&friend), &path, &(), &ask).await;
    let mut socket = open.connect(&ticket.unwrap().target, None).await.unwrap();
    node.writer.send(&event(ConsoleEvent::CaughtUp)).await.unwrap();
    assert_eq!(next(&mut socket).await.unwrap(), ConsoleMessage::CaughtUp(true));
    let user = world.call::<table::WhoAmI>(Some(&friend), &(), &(), &()).await.unwrap().user;
    let path = SubUserPath { server: open.server, user };
    let removed_at = Instant::now();
    world.call::<table::RemoveSubUser>(owner, &path, &(), &()).await.unwrap();
    let code = loop {
        if let Err(code) = next(&mut socket).await {
            break code;
        }
    };
    assert_eq!(code, CLOSE_SIGNED_OUT);
    assert!(removed_at.elapsed() < Duration::from_secs(5), "{:?}", removed_at.elapsed());
}
