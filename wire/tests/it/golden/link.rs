//! Messages between edge and hub, and what is signed and stored inside of them.

use super::{
    Sample,
    samples::{
        AT, POWER, all_activity, all_seen, framed, invalid, node, node_state, order, server, spec,
        tenant, transfer, usage_fact, user,
    },
};
use mamba_core::{
    desired::{Envelope, EnvelopeHash, Home, SignedEnvelope, Wish},
    fact::{ActivityFact, Chain, Stream, UsageFact},
    ids::{InstanceId, IntentId},
    registry::Login,
    seq::{Epoch, Seq},
};
use mamba_wire::link::{
    enrol::{
        EnrolAnswer, EnrolAsk, EnrolRefused, EnrolReply, EnrolRequest, Machine, PublicKey,
        RenewReply, RenewRequest,
    },
    token::JoinSecret,
    v1::{
        Ack, DesiredLine, DesiredOutcome, DesiredResult, EdgeFrame, Facts, Found, Goodbye, Hello,
        HubFrame, Intent, IntentOutcome, IntentResult, LaneOpen, PackedFacts, Ping, StateReport,
        StreamHello, StreamWelcome, Welcome,
    },
};

pub(super) fn samples() -> Vec<Sample> {
    let edge = edge_frames().into_iter().map(|(name, message)| {
        framed(name, message, EdgeFrame::to_frame, |frame| EdgeFrame::from_frame(frame).ok()?)
    });
    let hub = hub_frames().into_iter().map(|(name, message)| {
        framed(name, message, HubFrame::to_frame, |frame| HubFrame::from_frame(frame).ok()?)
    });
    let asks = enrol_asks().into_iter().map(|(name, message)| {
        framed(name, message, EnrolAsk::to_frame, |frame| EnrolAsk::from_frame(frame).ok())
    });
    let answers = enrol_answers().into_iter().map(|(name, message)| {
        framed(name, message, EnrolAnswer::to_frame, |frame| EnrolAnswer::from_frame(frame).ok())
    });
    edge.chain(hub).chain(asks).chain(answers).chain(stored()).collect()
}

fn edge_frames() -> Vec<(&'static str, EdgeFrame)> {
    let outcomes = [
        DesiredOutcome::Adopted,
        DesiredOutcome::Conflict,
        DesiredOutcome::Stale,
        DesiredOutcome::HubRollback,
        DesiredOutcome::Forged,
        DesiredOutcome::Invalid(invalid()),
        DesiredOutcome::NeedsForce,
        DesiredOutcome::NotStored,
    ];
    let result = |outcome| DesiredResult { server: server(), order: order(), outcome };
    let intents = [
        IntentOutcome::Accepted,
        IntentOutcome::Expired,
        IntentOutcome::Refused("suspended".to_owned()),
    ];
    let intent = |outcome| IntentResult { intent: IntentId::from_bytes([5; 16]), outcome };
    let report = StateReport { complete: true, servers: all_seen(), node: node_state() };
    vec![
        ("edge.hello", EdgeFrame::Hello(hello())),
        ("edge.lane.usage", EdgeFrame::LaneOpen(LaneOpen::Facts(Stream::Usage))),
        ("edge.lane.activity", EdgeFrame::LaneOpen(LaneOpen::Facts(Stream::Activity))),
        ("edge.lane.state", EdgeFrame::LaneOpen(LaneOpen::State)),
        ("edge.lane.control", EdgeFrame::LaneOpen(LaneOpen::Control)),
        ("edge.facts", EdgeFrame::Facts(facts())),
        ("edge.state", EdgeFrame::State(report)),
        ("edge.desired_results", EdgeFrame::DesiredResults(outcomes.map(result).to_vec())),
        ("edge.intent_results", EdgeFrame::IntentResults(intents.map(intent).to_vec())),
        ("edge.pong", EdgeFrame::Pong(300)),
        ("edge.envelopes", EdgeFrame::Envelopes(vec![signed()])),
        ("edge.packed_facts", EdgeFrame::PackedFacts(packed_facts())),
    ]
}

fn packed_facts() -> PackedFacts {
    PackedFacts { first: Seq(300), check: [1; 8], bytes: vec![0xff, 1, 7, 0] }
}

fn hub_frames() -> Vec<(&'static str, HubFrame)> {
    let ack = Ack {
        stream: Stream::Usage,
        epoch: Epoch(7),
        watermark: Seq(300),
        backup_watermark: Seq(200),
    };
    let intents = POWER.map(|action| Intent {
        intent: IntentId::from_bytes([5; 16]),
        server: server(),
        action,
        by: user(),
        keys: [action.key()].into_iter().collect(),
        expires_at: AT,
    });
    let protocol = Goodbye::Protocol("bad frame".to_owned());
    vec![
        ("hub.challenge", HubFrame::Challenge(AT)),
        ("hub.welcome", HubFrame::Welcome(welcome())),
        ("hub.ack", HubFrame::Ack(ack)),
        ("hub.desired", HubFrame::Desired(vec![signed()])),
        ("hub.intents", HubFrame::Intents(intents.to_vec())),
        ("hub.ping", HubFrame::Ping(Ping { number: 300, now: AT })),
        ("hub.goodbye.revoked", HubFrame::Goodbye(Goodbye::Revoked)),
        ("hub.goodbye.superseded", HubFrame::Goodbye(Goodbye::Superseded)),
        ("hub.goodbye.quarantined", HubFrame::Goodbye(Goodbye::Quarantined)),
        ("hub.goodbye.version", HubFrame::Goodbye(Goodbye::Version { minors: (1, 3) })),
        ("hub.goodbye.shutting_down", HubFrame::Goodbye(Goodbye::ShuttingDown)),
        ("hub.goodbye.protocol", HubFrame::Goodbye(protocol)),
        ("hub.ask_desired", HubFrame::AskDesired(vec![server()])),
        ("hub.registries", HubFrame::Registries(vec![login()])),
    ]
}

fn login() -> Login {
    Login {
        host: "ghcr.io".to_owned(),
        user: "bot".to_owned(),
        password: "not a secret".to_owned(),
    }
}

fn enrol_asks() -> Vec<(&'static str, EnrolAsk)> {
    let machine = Machine {
        software: "0.1.0".to_owned(),
        system: "Debian 12".to_owned(),
        cpus: 2,
        memory_bytes: 8 << 30,
    };
    let enrol = EnrolRequest {
        secret: JoinSecret([6; 32]),
        csr: vec![1, 2, 3],
        name_hint: "machine".to_owned(),
        machine,
    };
    let renew = RenewRequest { node: node(), csr: vec![1, 2, 3], signature: vec![4; 64] };
    vec![
        ("enrol.ask", EnrolAsk::Enrol(enrol)),
        ("enrol.renew_start", EnrolAsk::RenewStart(node())),
        ("enrol.renew", EnrolAsk::Renew(renew)),
    ]
}

fn enrol_answers() -> Vec<(&'static str, EnrolAnswer)> {
    let renewal = RenewReply {
        certificate_chain: vec![vec![1], vec![2, 3]],
        valid_until: AT,
        hub_ca: vec![2, 3],
        envelope_key: PublicKey([8; 32]),
        now: AT,
    };
    let enrolled = EnrolReply { node: node(), renewal: renewal.clone() };
    let refused = EnrolAnswer::Refused;
    vec![
        ("enrol.enrolled", EnrolAnswer::Enrolled(enrolled)),
        ("enrol.nonce", EnrolAnswer::Nonce([9; 32])),
        ("enrol.renewed", EnrolAnswer::Renewed(renewal)),
        ("enrol.refused.token", refused(EnrolRefused::Token)),
        ("enrol.refused.node", refused(EnrolRefused::Node)),
        ("enrol.refused.revoked", refused(EnrolRefused::Revoked)),
        ("enrol.refused.invalid", refused(EnrolRefused::Invalid("rule".to_owned()))),
        ("enrol.refused.busy", refused(EnrolRefused::Busy)),
    ]
}

/// What is encoded once, then signed, hashed or stored as bytes.
fn stored() -> Vec<Sample> {
    let wishes = [
        ("envelope.exist", envelope(Wish::Exist(Box::new(spec())))),
        ("envelope.deleted", envelope(Wish::Deleted { retain_ms: 86_400_000 })),
        (
            "envelope.leaving",
            envelope(Wish::Leaving { spec: Box::new(spec()), transfer: transfer(), to: node() }),
        ),
        ("envelope.moved", envelope(Wish::Moved { to: node(), retain_ms: 86_400_000 })),
    ];
    let envelopes = wishes.map(|(name, envelope)| Sample {
        name: name.to_owned(),
        bytes: envelope.encode().unwrap(),
        reads_back: Box::new(move |bytes| {
            let signed = SignedEnvelope { bytes: bytes.to_vec(), signature: vec![] };
            signed.open().as_ref() == Ok(&envelope)
        }),
    });
    let fact = usage_fact();
    let usage = Sample {
        name: "fact.usage".to_owned(),
        bytes: fact.encode().unwrap(),
        reads_back: Box::new(move |bytes| UsageFact::decode(bytes).as_ref() == Ok(&fact)),
    };
    let activity = all_activity().into_iter().zip(0..).map(|(fact, at)| Sample {
        name: format!("fact.activity.{at}"),
        bytes: fact.encode().unwrap(),
        reads_back: Box::new(move |bytes| ActivityFact::decode(bytes).as_ref() == Ok(&fact)),
    });
    envelopes.into_iter().chain([usage]).chain(activity).collect()
}

fn hello() -> Hello {
    let stream = |stream| StreamHello {
        stream,
        epoch: Epoch(u64::MAX),
        first_retained: Seq(5),
        next: Seq(300),
        chain_head: Chain([1; 32]),
        chain_before_first: Chain([2; 32]),
    };
    let line = DesiredLine { server: server(), order: order(), hash: EnvelopeHash([3; 32]) };
    Hello {
        node: node(),
        instance: InstanceId::from_bytes([4; 16]),
        minors: (0, 2),
        software: "0.1.0".to_owned(),
        streams: Stream::ALL.map(stream).to_vec(),
        desired: vec![line],
        now: AT,
    }
}

fn welcome() -> Welcome {
    let all = [Found::NewEpoch, Found::InStep, Found::HubLost, Found::Fork];
    let stream = |found| StreamWelcome {
        stream: Stream::Activity,
        found,
        epoch: Epoch(7),
        watermark: Seq(300),
        chain_at_watermark: Chain([1; 32]),
        backup_watermark: Seq(200),
    };
    Welcome { minor: 0, software: "0.1.0".to_owned(), now: AT, streams: all.map(stream).to_vec() }
}

fn facts() -> Facts {
    Facts {
        stream: Stream::Usage,
        epoch: Epoch(7),
        first: Seq(300),
        bodies: vec![vec![1], vec![2, 3]],
        chain: Chain([1; 32]),
    }
}

fn signed() -> SignedEnvelope {
    SignedEnvelope { bytes: vec![1, 2, 3], signature: vec![4; 64] }
}

fn envelope(body: Wish) -> Envelope {
    Envelope {
        tenant: tenant(),
        node: node(),
        server: server(),
        order: order(),
        home: Home { moves: 300, since: AT, owners: 5, owned_since: AT },
        not_before: AT,
        force: true,
        body,
    }
}
