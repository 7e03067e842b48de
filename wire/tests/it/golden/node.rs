//! Requests to a node and their replies.

use super::{
    Sample,
    samples::{
        AT, POWER, all_activity, all_seen, framed, invalid, node, node_state, order, server, spec,
        tenant, transfer, usage_fact, user,
    },
};
use mamba_core::{
    access::{ServerKey, ServerKeys},
    fact::{Chain, Stream},
    ids::InstanceId,
    lifecycle::{ServerState, power::Power},
    players::{Players, Query},
    seq::{Epoch, LineNumber, Seq},
};
use mamba_wire::node::{
    Answer, Ask, Asker, Check, CheckLevel, ConsoleEvent, ConsoleFrom, ConsoleInput, ConsoleLine,
    Gauges, InstallLog, LineSource, LinkStatus, Moment, Needs, NodeError, NodeReply, NodeRequest,
    OutboxLine, ServerDetail, ServerLine, Status,
    moving::{
        Digest, Luggage, MoveAnswer, MoveChunk, MoveLine, MoveStep, MoveWay, Part, Parts, Place,
    },
};

pub(super) fn samples() -> Vec<Sample> {
    let requests = requests().into_iter().map(|(name, message)| {
        framed(&name, message, Ask::to_frame, |frame| Ask::from_frame(frame).ok())
    });
    let answers = answers().into_iter().chain(moved()).map(|(name, answer)| {
        let reply = NodeReply::Ok(Box::new(answer));
        framed(name, reply, NodeReply::to_frame, |frame| NodeReply::from_frame(frame).ok())
    });
    let errors = errors().into_iter().map(|(name, err)| {
        let reply = NodeReply::Err(err);
        framed(name, reply, NodeReply::to_frame, |frame| NodeReply::from_frame(frame).ok())
    });
    let input = ConsoleInput { line: "say hello".to_owned() };
    let input = framed("node.input", input, ConsoleInput::to_frame, |frame| {
        ConsoleInput::from_frame(frame).ok()
    });
    let chunk = framed("node.move.chunk", chunk(), MoveChunk::to_frame, |frame| {
        MoveChunk::from_frame(frame).ok()
    });
    requests.chain(answers).chain(errors).chain([input, chunk]).collect()
}

fn requests() -> Vec<(String, Ask)> {
    let console = |from| NodeRequest::Console { server: server(), from, follow: true };
    let mut all = vec![
        ("node.status".to_owned(), NodeRequest::Status),
        ("node.servers".to_owned(), NodeRequest::Servers),
        ("node.server".to_owned(), NodeRequest::Server(server())),
        ("node.console.line".to_owned(), console(ConsoleFrom::Line(LineNumber(300)))),
        ("node.console.last".to_owned(), console(ConsoleFrom::Last(100))),
        (
            "node.type".to_owned(),
            NodeRequest::Type { server: server(), line: "say hello".to_owned() },
        ),
        ("node.usage".to_owned(), NodeRequest::Usage { server: Some(server()) }),
        ("node.outbox".to_owned(), NodeRequest::Outbox),
        ("node.link".to_owned(), NodeRequest::Link),
        ("node.facts".to_owned(), NodeRequest::Facts { server: None }),
        ("node.doctor".to_owned(), NodeRequest::Doctor),
        ("node.moves".to_owned(), NodeRequest::Moves),
        ("node.install_log".to_owned(), NodeRequest::InstallLog { server: server() }),
        ("node.cancel_install".to_owned(), NodeRequest::CancelInstall { server: server() }),
        ("node.gauges".to_owned(), NodeRequest::Gauges { server: server(), query: None }),
        (
            "node.gauges.players".to_owned(),
            NodeRequest::Gauges { server: server(), query: Some(Query::Teeworlds) },
        ),
        ("node.recent".to_owned(), NodeRequest::Recent { server: server() }),
    ];
    let power = POWER.into_iter().zip(0..).map(|(action, at)| {
        (format!("node.power.{at}"), NodeRequest::Power { server: server(), action })
    });
    all.extend(power);
    let step = |(name, step)| {
        let transfer = transfer();
        (format!("node.move.{name}"), NodeRequest::Move { server: server(), transfer, step })
    };
    all.extend(steps().into_iter().map(step));
    let held = |needs| match needs {
        Needs::Key(key) => [key].into_iter().collect(),
        Needs::Trust => ServerKeys::ALL,
    };
    let of_user = |(name, request): (String, NodeRequest)| {
        let keys = held(request.needs());
        (name, Ask { by: Asker::User { user: user(), keys }, request })
    };
    let mut asks: Vec<_> = all.into_iter().map(of_user).collect();
    for (name, by) in [("hub", Asker::Hub), ("operator", Asker::Operator("root".to_owned()))] {
        asks.push((format!("node.by.{name}"), Ask { by, request: NodeRequest::Status }));
    }
    asks
}

fn steps() -> Vec<(&'static str, MoveStep)> {
    let prepare =
        MoveStep::Prepare { image: spec().image, mounts: spec().mounts, needed_bytes: 300 };
    vec![
        ("measure", MoveStep::Measure),
        ("prepare", prepare),
        ("write", MoveStep::Write { copy: 2, most_bytes: 1 << 30 }),
        ("read", MoveStep::Read { from: Some(place()) }),
        ("count", MoveStep::Count),
        ("seal", MoveStep::Seal(Box::new(luggage()))),
        ("confirm", MoveStep::Confirm),
        ("drop", MoveStep::Drop),
    ]
}

fn place() -> Place {
    Place { path: b"world/\xff".to_vec(), offset: 65_536 }
}

fn luggage() -> Luggage {
    Luggage {
        digest: Digest { hash: [9; 32], parts: 300, bytes: 4_096 },
        power: Power::never_asked(),
        install: all_seen().remove(0).install,
    }
}

fn chunk() -> MoveChunk {
    let (mode, path) = (0o700, b"world".to_vec());
    let parts = vec![
        Part::Folder { path: path.clone(), mode },
        Part::Link { path: path.clone(), target: b"..".to_vec() },
        Part::File { path, mode, size: 300 },
        Part::Bytes { offset: 65_536, bytes: vec![1, 2] },
        Part::End { modified: (-1, 5) },
    ];
    MoveChunk::pack(&Parts { parts, next: Some(place()) }).unwrap()
}

fn answers() -> Vec<(&'static str, Answer)> {
    let sources = [
        LineSource::Stdout,
        LineSource::Stderr,
        LineSource::Input,
        LineSource::Edge,
        LineSource::Install,
    ];
    let line = |source| ConsoleLine { at: AT, source, text: "ready".to_owned() };
    let lines = ConsoleEvent::Lines { first: LineNumber(300), lines: sources.map(line).to_vec() };
    let install = InstallLog {
        run: all_seen().remove(0).install,
        is_cut: true,
        lines: vec![line(LineSource::Stdout)],
    };
    let gap = ConsoleEvent::Gap { first: LineNumber(300), count: 5 };
    let observed = all_seen().remove(0);
    let server = ServerLine { name: "world".to_owned(), tenant: tenant(), observed };
    let link = LinkStatus {
        hub: Some("hub:7443".to_owned()),
        up: true,
        since: Some(AT),
        last_heard: Some(AT),
        last_error: Some("no route".to_owned()),
        failures: 2,
        next_dial: None,
        certificate_until: Some(AT),
        rtt_us: Some(1_500),
    };
    let checks = [CheckLevel::Ok, CheckLevel::Warn, CheckLevel::Fail].map(|level| Check {
        name: "clock".to_owned(),
        level,
        text: "right".to_owned(),
    });
    let outbox = OutboxLine {
        stream: Stream::Usage,
        epoch: Epoch(7),
        first_retained: Seq(5),
        next: Seq(300),
        acked: Seq(200),
        backed_up: Seq(100),
        bytes: 4_096,
        oldest_unacked_at: Some(AT),
        chain_head: Chain([1; 32]),
    };
    vec![
        ("node.reply.status", Answer::Status(status(link.clone()))),
        ("node.reply.server", Answer::Server(Box::new(detail()))),
        ("node.reply.outbox", Answer::Outbox(vec![outbox])),
        ("node.reply.usage", Answer::Usage(vec![usage_fact()])),
        ("node.reply.facts", Answer::Facts(all_activity())),
        ("node.reply.accepted", Answer::Accepted),
        ("node.reply.servers", Answer::Servers(vec![server])),
        ("node.reply.lines", Answer::Console(lines)),
        ("node.reply.gap", Answer::Console(gap)),
        ("node.reply.caught_up", Answer::Console(ConsoleEvent::CaughtUp)),
        (
            "node.reply.input_refused",
            Answer::Console(ConsoleEvent::InputRefused(NodeError::NotRunning)),
        ),
        ("node.reply.link", Answer::Link(link)),
        ("node.reply.doctor", Answer::Doctor(checks.to_vec())),
        ("node.reply.install_log", Answer::InstallLog(install)),
        ("node.reply.gauges", Answer::Gauges(gauges())),
        ("node.reply.recent", Answer::Recent(moments())),
    ]
}

fn moved() -> Vec<(&'static str, Answer)> {
    vec![
        ("node.reply.move.done", Answer::Move(MoveAnswer::Done)),
        (
            "node.reply.move.at",
            Answer::Move(MoveAnswer::At { place: Some(place()), is_whole: false, bytes: 300 }),
        ),
        ("node.reply.move.size", Answer::Move(MoveAnswer::Size { bytes: 300 })),
        ("node.reply.move.stored", Answer::Move(MoveAnswer::Stored { bytes: 300 })),
        ("node.reply.move.counted", Answer::Move(MoveAnswer::Counted(Box::new(luggage())))),
        ("node.reply.move.differs", Answer::Move(MoveAnswer::Differs)),
        ("node.reply.moves", Answer::Moves(lines())),
    ]
}

fn lines() -> Vec<MoveLine> {
    let ways = [MoveWay::Leaving { to: node() }, MoveWay::Coming { bytes: 300 }, MoveWay::Sealed];
    let line = |way| MoveLine { server: server(), transfer: transfer(), way };
    ways.map(line).to_vec()
}

fn gauges() -> Gauges {
    Gauges {
        server: server(),
        at: AT,
        state: ServerState::Running,
        memory_bytes: Some(300 << 20),
        cpu_millicores: Some(750),
        sent_bytes_per_s: Some(4_096),
        disk: Some((5 << 30, AT)),
        players: Some(Players { now: 3, max: 20 }),
    }
}

fn moments() -> Vec<Moment> {
    let ended = Moment {
        at: AT,
        memory_bytes: None,
        cpu_millicores: None,
        sent_bytes_per_s: None,
        disk_bytes: None,
    };
    let measured = Moment {
        memory_bytes: Some(300 << 20),
        cpu_millicores: Some(750),
        sent_bytes_per_s: Some(4_096),
        disk_bytes: Some(5 << 30),
        ..ended
    };
    vec![measured, ended]
}

fn status(link: LinkStatus) -> Status {
    Status {
        software: "0.1.0".to_owned(),
        node: Some(node()),
        instance: InstanceId::from_bytes([4; 16]),
        started_at: AT,
        now: AT,
        state: node_state(),
        link,
        servers: 3,
        running: 2,
    }
}

fn detail() -> ServerDetail {
    ServerDetail {
        tenant: tenant(),
        order: order(),
        spec: Some(spec()),
        observed: all_seen().remove(0),
        container: Some("abc".to_owned()),
        last_line: LineNumber(300),
        disk: Some((4_096, AT)),
    }
}

fn errors() -> Vec<(&'static str, NodeError)> {
    vec![
        ("node.err.no_such_server", NodeError::NoSuchServer(server())),
        ("node.err.invalid", NodeError::Invalid(invalid())),
        ("node.err.needs_key", NodeError::Forbidden(Needs::Key(ServerKey::ControlConsole))),
        ("node.err.needs_trust", NodeError::Forbidden(Needs::Trust)),
        ("node.err.not_allowed", NodeError::NotAllowed("suspended".to_owned())),
        ("node.err.not_running", NodeError::NotRunning),
        ("node.err.store", NodeError::StoreUnavailable("full".to_owned())),
        ("node.err.busy", NodeError::Busy),
        ("node.err.unsupported", NodeError::Unsupported),
        ("node.err.log", NodeError::LogUnreadable("torn".to_owned())),
        ("node.err.data", NodeError::Data("full".to_owned())),
    ]
}
