//! Every message that an edge can send, sent by a node about a server of another node: it must
//! change nothing and be answered like one about a server that does not exist.
//! CVE-2026-26016 and GHSA-v97c-v3vw-p5ff: a node's own token was enough for any server.

use super::tests::{greet, reasons};
use crate::{
    link::backend::LinkBackend,
    testing::{Outbox, START, World, hello, machine, tenant},
};
use mamba_core::{
    desired::{Order, SignedEnvelope},
    fact::{Activity, ActivityFact, Quantities, Stream, UsageBody, UsageFact},
    ids::{EventId, IntentId, NodeId, ServerId},
    lifecycle::{Actor, Exit, Observed, PowerAction, PowerWish, Refused, ServerState},
    seq::{Generation, Incarnation},
    server::InstallFiles,
};
use mamba_wire::{
    api::{PageQuery, audit::AuditQuery, usage::UsageQuery},
    link::v1::{
        DesiredOutcome, DesiredResult, EdgeFrame, IntentOutcome, IntentResult, LaneOpen,
        StateReport,
    },
};
use std::collections::BTreeSet;

/// What a message names.
struct Target {
    server: ServerId,
    intent: IntentId,
    envelope: Vec<SignedEnvelope>,
}

/// Kinds of activity.
const KINDS: usize = 36;

/// Returns activity of each kind; [`number`] does not compile without a new one.
fn kinds(order: Order) -> Vec<Activity> {
    let (text, action, exit) =
        (|| "x".to_owned(), PowerAction::Start, Exit { code: 1, oom_killed: false, at: START });
    let error = mamba_core::error::Invalid::new("name", "must be shorter");
    let node = NodeId::from_bytes([3; 16]);
    let all = vec![
        Activity::EdgeStarted { version: text(), after_reboot: true },
        Activity::Power { action },
        Activity::Started,
        Activity::Ready { after_ms: 1 },
        Activity::Adopted,
        Activity::Stopped { exit: exit.clone(), killed: true },
        Activity::Ended { exit: exit.clone() },
        Activity::Crashed { exit, crashes: 1, lines: vec![text()] },
        Activity::GaveUp { crashes: 5 },
        Activity::StepFailed { step: text(), error: text() },
        Activity::ConsoleCommand { line: text() },
        Activity::Applied { generation: 9 },
        Activity::Refused(Refused { order, error }),
        Activity::StoppedByHub { suspended: true },
        Activity::Deleted,
        Activity::Purged,
        Activity::ClockStep { by_ms: 1 },
        Activity::Created,
        Activity::Changed { generation: 9, fields: vec![text()] },
        Activity::PowerAsked { action },
        Activity::DeletionAsked { not_before: START },
        Activity::Lost { count: 1 },
        Activity::InstallBegun { asked: order },
        Activity::Installed { asked: order, took_ms: 1 },
        Activity::InstallFailed { asked: order, code: Some(1), error: text(), lines: vec![] },
        Activity::InstallCancelled { asked: order },
        Activity::ReinstallAsked { files: InstallFiles::Wipe },
        Activity::InstallCancelAsked,
        Activity::PowerCancelled { action },
        Activity::TransferAsked { to: node },
        Activity::Transferred { from: node, to: node },
        Activity::TransferCancelled,
        Activity::TransferFailed { error: text() },
        Activity::Left,
        Activity::GivenAway,
        Activity::TakenOver,
    ];
    let numbers: BTreeSet<usize> = all.iter().map(number).collect();
    assert_eq!(numbers, (0..KINDS).collect());
    all
}

/// Numbers the kinds of activity.
fn number(kind: &Activity) -> usize {
    match kind {
        Activity::EdgeStarted { .. } => 0,
        Activity::Power { .. } => 1,
        Activity::Started => 2,
        Activity::Ready { .. } => 3,
        Activity::Adopted => 4,
        Activity::Stopped { .. } => 5,
        Activity::Ended { .. } => 6,
        Activity::Crashed { .. } => 7,
        Activity::GaveUp { .. } => 8,
        Activity::StepFailed { .. } => 9,
        Activity::ConsoleCommand { .. } => 10,
        Activity::Applied { .. } => 11,
        Activity::Refused(_) => 12,
        Activity::StoppedByHub { .. } => 13,
        Activity::Deleted => 14,
        Activity::Purged => 15,
        Activity::ClockStep { .. } => 16,
        Activity::Created => 17,
        Activity::Changed { .. } => 18,
        Activity::PowerAsked { .. } => 19,
        Activity::DeletionAsked { .. } => 20,
        Activity::Lost { .. } => 21,
        Activity::InstallBegun { .. } => 22,
        Activity::Installed { .. } => 23,
        Activity::InstallFailed { .. } => 24,
        Activity::InstallCancelled { .. } => 25,
        Activity::ReinstallAsked { .. } => 26,
        Activity::InstallCancelAsked => 27,
        Activity::PowerCancelled { .. } => 28,
        Activity::TransferAsked { .. } => 29,
        Activity::Transferred { .. } => 30,
        Activity::TransferCancelled => 31,
        Activity::TransferFailed { .. } => 32,
        Activity::Left => 33,
        Activity::GivenAway => 34,
        Activity::TakenOver => 35,
    }
}

/// Returns one message of each kind about a target. A new kind does not compile until it is here:
/// see [`deliver`].
fn messages(node: NodeId, target: &Target) -> Vec<EdgeFrame> {
    let order = Order { incarnation: Incarnation(u32::MAX), generation: Generation(9) };
    let observed = Observed {
        server: target.server,
        applied: Some(order),
        refused: None,
        state: ServerState::Running,
        since: START,
        not_running: None,
        wish: PowerWish { running: true, by: Actor::Edge, at: START },
        started_at: None,
        last_exit: None,
        crashes: 7,
        restart_pending: false,
        install: None,
    };
    let tenant = tenant(1).tenant();
    let body = UsageBody::Measured(Quantities { cpu_used: 7, ..Quantities::default() });
    let usage =
        UsageFact { tenant, server: target.server, from: START, to: START.plus(1_000), body };
    let activity = |(number, body): (u8, Activity)| ActivityFact {
        event: EventId::from_bytes([target.server.to_bytes()[0] ^ number; 16]),
        at: START.plus(1),
        about: Some((tenant, target.server)),
        actor: Actor::Edge,
        body,
    };
    let bodies = (0..).zip(kinds(order)).map(|it| activity(it).encode().unwrap()).collect();
    let usage = Outbox { bodies: vec![usage.encode().unwrap()], ..Outbox::new(Stream::Usage, 1) };
    let activity = Outbox { bodies, ..Outbox::new(Stream::Activity, 2) };
    let mut greeting = hello(node, vec![]);
    greeting.streams = vec![usage.hello(1), activity.hello(1)];
    let result = |outcome| DesiredResult { server: target.server, order, outcome };
    vec![
        EdgeFrame::Hello(greeting),
        EdgeFrame::LaneOpen(LaneOpen::Control),
        EdgeFrame::Facts(usage.batch(1, 1)),
        EdgeFrame::Facts(activity.batch(1, activity.bodies.len() as u64)),
        EdgeFrame::State(StateReport { complete: true, servers: vec![observed], node: machine() }),
        EdgeFrame::DesiredResults(vec![
            result(DesiredOutcome::Adopted),
            result(DesiredOutcome::Conflict),
            result(DesiredOutcome::Forged),
        ]),
        EdgeFrame::IntentResults(vec![IntentResult {
            intent: target.intent,
            outcome: IntentOutcome::Accepted,
        }]),
        EdgeFrame::Pong(1),
        EdgeFrame::Envelopes(target.envelope.clone()),
    ]
}

/// Hands a message to the hub as a session of the node would; returns what the node is told.
async fn deliver(world: &World, node: NodeId, frame: EdgeFrame) -> String {
    let hub = &world.hub;
    match frame {
        EdgeFrame::Hello(it) => {
            let peer = "127.0.0.1:1".parse().unwrap();
            format!("{:?}", LinkBackend::hello(hub, node, it, peer).await)
        }
        EdgeFrame::Facts(it) => format!("{:?}", LinkBackend::ingest(hub, node, it).await),
        EdgeFrame::State(it) => format!("{:?}", hub.state(node, it).await),
        EdgeFrame::DesiredResults(it) => format!("{:?}", hub.desired_results(node, it).await),
        EdgeFrame::IntentResults(it) => format!("{:?}", hub.intent_results(node, it).await),
        EdgeFrame::Envelopes(it) => format!("{:?}", LinkBackend::adopt(hub, node, it).await),
        // They name no server, or become `Facts` in the session.
        EdgeFrame::LaneOpen(_) | EdgeFrame::Pong(_) | EdgeFrame::PackedFacts(_) => String::new(),
    }
}

/// Everything that people see of a server.
fn seen(world: &World, server: ServerId) -> String {
    let (hub, scope, page) = (&world.hub, tenant(1), PageQuery::FIRST);
    format!(
        "{:?}\n{:?}\n{:?}\n{:?}\n{:?}\n{:?}",
        hub.server(&scope, server).unwrap(),
        hub.intents(&scope, server, &page).unwrap(),
        hub.activity(&scope, server, &page).unwrap(),
        hub.usage(&scope, server, &UsageQuery { from: None, to: None }).unwrap(),
        hub.audit(scope.tenant(), &AuditQuery::ALL).unwrap().items,
        hub.read(|view| Ok(crate::mail::kept(view)?)).unwrap(),
    )
}

/// CVE-2026-26016 and GHSA-v97c-v3vw-p5ff: see the module.
#[tokio::test]
async fn no_message_about_a_server_of_another_node_does_anything() {
    let mut answers = vec![];
    for is_real in [true, false] {
        let mut world = World::new().await;
        let (own, other) = (world.node("own").await, world.node("other").await);
        let server = world.server(&tenant(1), own).await;
        let asked = world.hub.power(&tenant(1), server, PowerAction::Start, None).await.unwrap();
        let envelope = world.hub.envelopes(&mamba_core::scope::NodeScope::granted(own), &[server]);
        let target = if is_real {
            Target { server, intent: asked.intent, envelope: envelope.unwrap() }
        } else {
            Target {
                server: ServerId::from_bytes([9; 16]),
                intent: IntentId::from_bytes([9; 16]),
                envelope: vec![],
            }
        };
        world.clock.advance(10_000);
        let before = seen(&world, server);
        let mut told = vec![];
        for frame in messages(other, &target) {
            let kind = format!("{frame:?}");
            told.push(deliver(&world, other, frame).await);
            assert_eq!(seen(&world, server), before, "{kind}");
        }
        assert_eq!(reasons(&world).len(), KINDS + 1, "kept, and not believed");
        // Nor does the node get to know the server.
        let asked = LinkBackend::envelopes(&world.hub, other, vec![target.server]).await;
        told.push(format!("{asked:?}"));
        // The same messages from the right node do something, so that the test can see.
        if is_real {
            greet(&world, own, vec![]).await;
            for frame in messages(own, &target) {
                deliver(&world, own, frame).await;
            }
            assert_ne!(seen(&world, server), before);
        }
        answers.push(told);
    }
    assert_eq!(answers[0], answers[1]);
}
