//! Stores in memory for both ends.

use mamba_core::{
    clock::UnixMs,
    desired::SignedEnvelope,
    fact::{Chain, Stream},
    ids::{InstanceId, IntentId, NodeId, ServerId},
    registry::Login,
    seq::{Epoch, Seq},
};
use mamba_edge::link::backend::{
    BackendError as EdgeError, Dispatcher, EdgeBackend, Holdings, View,
};
use mamba_hub::link::backend::{
    BackendError, EnrolError, Enrolment, IngestError, LinkBackend, NodeAccess, NodeSignal, Pending,
    Standing,
};
use mamba_wire::{
    link::{
        enrol::PublicKey,
        token::SecretHash,
        v1::{
            Ack, DesiredLine, DesiredOutcome, DesiredResult, Facts, Found, Hello, Intent,
            IntentOutcome, IntentResult, NodeState, StateReport, StreamHello, StreamWelcome,
        },
    },
    net::frames::FrameStream,
    node::{Answer, Ask, NodeReply},
    session::{Batch, StreamRecord, compare},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::{Arc, Mutex},
};
use tokio::sync::watch;

/// What a hub knows.
#[derive(Default)]
pub(super) struct HubState {
    /// Tokens that were given out, with the key and node that used them.
    pub(super) tokens: BTreeMap<SecretHash, Option<(PublicKey, NodeId)>>,
    pub(super) nodes: BTreeMap<NodeId, NodeAccess>,
    pub(super) records: BTreeMap<(NodeId, Stream, Epoch), StreamRecord>,
    pub(super) custody: BTreeMap<(NodeId, Stream), Vec<Vec<u8>>>,
    pub(super) open: BTreeMap<(NodeId, Stream), Epoch>,
    pub(super) desired: BTreeMap<ServerId, (DesiredLine, SignedEnvelope)>,
    pub(super) intents: BTreeMap<IntentId, Intent>,
    pub(super) states: Vec<StateReport>,
    pub(super) results: Vec<DesiredResult>,
    pub(super) hellos: Vec<(InstanceId, SocketAddr)>,
    pub(super) gone: Vec<InstanceId>,
    /// Ends of the newest certificates.
    pub(super) certified: BTreeMap<NodeId, UnixMs>,
    pub(super) registries: Vec<Login>,
    signals: BTreeMap<NodeId, watch::Sender<NodeSignal>>,
}

/// A hub's store.
#[derive(Default)]
pub(super) struct FakeHub {
    state: Mutex<HubState>,
}

impl FakeHub {
    pub(super) fn with<T>(&self, look: impl FnOnce(&mut HubState) -> T) -> T {
        look(&mut self.state.lock().unwrap())
    }

    /// Tells the node's session to look again.
    pub(super) fn changed(&self, node: NodeId) {
        self.with(|state| {
            let standing = state.nodes[&node].standing;
            let signal = state.signals.entry(node).or_default();
            signal.send_modify(|signal| {
                signal.revision += 1;
                signal.standing = standing;
            });
        });
    }

    pub(super) fn set_standing(&self, node: NodeId, standing: Standing) {
        self.with(|state| state.nodes.get_mut(&node).unwrap().standing = standing);
        self.changed(node);
    }
}

impl LinkBackend for FakeHub {
    async fn enrol(&self, enrolment: Enrolment) -> Result<NodeId, EnrolError> {
        self.with(|state| {
            let next = u8::try_from(state.nodes.len()).unwrap() + 1;
            match state.tokens.get_mut(&enrolment.secret) {
                Some(Some((key, node))) if *key == enrolment.key => Ok(*node),
                Some(used @ None) => {
                    let node = NodeId::from_bytes([next; 16]);
                    *used = Some((enrolment.key, node));
                    let access = NodeAccess { key: enrolment.key, standing: Standing::Active };
                    state.nodes.insert(node, access);
                    Ok(node)
                }
                Some(Some(_)) | None => Err(EnrolError::Token),
            }
        })
    }

    async fn node(&self, node: NodeId) -> Result<Option<NodeAccess>, BackendError> {
        Ok(self.with(|state| state.nodes.get(&node).copied()))
    }

    async fn certified(&self, node: NodeId, until: UnixMs) -> Result<(), BackendError> {
        self.with(|state| state.certified.insert(node, until));
        Ok(())
    }

    async fn quarantine(&self, node: NodeId) -> Result<(), BackendError> {
        self.set_standing(node, Standing::Quarantined);
        Ok(())
    }

    async fn hello(
        &self,
        node: NodeId,
        hello: Hello,
        peer: SocketAddr,
    ) -> Result<Vec<StreamWelcome>, BackendError> {
        Ok(self.with(|state| {
            state.hellos.push((hello.instance, peer));
            let welcome = |hello: &StreamHello| {
                let key = (node, hello.stream, hello.epoch);
                let found = compare(hello, state.records.get(&key));
                if found.found != Found::Fork {
                    state.records.insert(key, found.record);
                    state.open.insert((node, hello.stream), hello.epoch);
                }
                found.welcome(hello)
            };
            hello.streams.iter().map(welcome).collect()
        }))
    }

    async fn pending(&self, node: NodeId) -> Result<Pending, BackendError> {
        Ok(self.with(|state| {
            let open = state.open.range((node, Stream::Usage)..=(node, Stream::Activity));
            let ack = |((_, stream), epoch): (&(NodeId, Stream), &Epoch)| {
                let record = state.records[&(node, *stream, *epoch)];
                Ack {
                    stream: *stream,
                    epoch: *epoch,
                    watermark: record.watermark,
                    backup_watermark: record.backup_watermark,
                }
            };
            Pending {
                desired: state.desired.values().map(|(line, _)| *line).collect(),
                intents: state.intents.values().cloned().collect(),
                acks: open.map(ack).collect(),
                registries: state.registries.clone(),
            }
        }))
    }

    async fn envelopes(
        &self,
        _node: NodeId,
        servers: Vec<ServerId>,
    ) -> Result<Vec<SignedEnvelope>, BackendError> {
        let held = |state: &mut HubState| {
            servers.iter().filter_map(|id| Some(state.desired.get(id)?.1.clone())).collect()
        };
        Ok(self.with(held))
    }

    async fn adopt(
        &self,
        _node: NodeId,
        _envelopes: Vec<SignedEnvelope>,
    ) -> Result<(), BackendError> {
        Ok(())
    }

    async fn ingest(&self, node: NodeId, facts: Facts) -> Result<Ack, IngestError> {
        self.with(|state| {
            let key = (node, facts.stream, facts.epoch);
            let record = state.records.get_mut(&key).ok_or(IngestError::Diverged)?;
            let custody = state.custody.entry((node, facts.stream)).or_default();
            let mut seq = facts.first;
            for body in &facts.bodies {
                if seq == record.watermark.next() {
                    record.chain = record.chain.then(facts.epoch, seq, body);
                    record.watermark = seq;
                    custody.push(body.clone());
                }
                seq = seq.next();
            }
            Ok(Ack {
                stream: facts.stream,
                epoch: facts.epoch,
                watermark: record.watermark,
                backup_watermark: record.backup_watermark,
            })
        })
    }

    async fn state(&self, _node: NodeId, report: StateReport) -> Result<(), BackendError> {
        self.with(|state| state.states.push(report));
        Ok(())
    }

    async fn desired_results(
        &self,
        _node: NodeId,
        results: Vec<DesiredResult>,
    ) -> Result<(), BackendError> {
        self.with(|state| state.results.extend(results));
        Ok(())
    }

    async fn intent_results(
        &self,
        _node: NodeId,
        results: Vec<IntentResult>,
    ) -> Result<(), BackendError> {
        self.with(|state| state.intents.retain(|id, _| results.iter().all(|it| it.intent != *id)));
        Ok(())
    }

    async fn gone(
        &self,
        _node: NodeId,
        instance: InstanceId,
        _at: UnixMs,
        _why: &str,
    ) -> Result<(), BackendError> {
        self.with(|state| state.gone.push(instance));
        Ok(())
    }

    fn heard(&self, _node: NodeId) {}

    fn signal(&self, node: NodeId) -> watch::Receiver<NodeSignal> {
        self.with(|state| {
            let standing = state.nodes.get(&node).map_or(Standing::Active, |node| node.standing);
            let first = || watch::Sender::new(NodeSignal { revision: 0, standing });
            state.signals.entry(node).or_insert_with(first).subscribe()
        })
    }
}

/// What an edge keeps.
pub(super) struct EdgeState {
    pub(super) facts: BTreeMap<Stream, Vec<Vec<u8>>>,
    pub(super) acked: BTreeMap<Stream, Seq>,
    pub(super) desired: BTreeMap<ServerId, SignedEnvelope>,
    pub(super) done: BTreeSet<IntentId>,
    pub(super) learnt: UnixMs,
    pub(super) registries: Option<Vec<Login>>,
}

/// An edge's store.
pub(super) struct FakeEdge {
    state: Mutex<EdgeState>,
    added: watch::Sender<u64>,
    pub(super) view: watch::Sender<Arc<View>>,
}

const EPOCH: Epoch = Epoch(7);

impl FakeEdge {
    pub(super) fn new() -> Self {
        let node = NodeState {
            cpus: 1,
            memory_bytes: 1,
            disk_bytes: 1,
            disk_free_bytes: 1,
            engine: None,
            troubles: vec![],
            outbox: vec![],
        };
        let state = EdgeState {
            facts: Stream::ALL.into_iter().map(|stream| (stream, vec![])).collect(),
            acked: BTreeMap::new(),
            desired: BTreeMap::new(),
            done: BTreeSet::new(),
            learnt: UnixMs(0),
            registries: None,
        };
        Self {
            state: Mutex::new(state),
            added: watch::Sender::new(0),
            view: watch::Sender::new(Arc::new(View { servers: BTreeMap::new(), node })),
        }
    }

    pub(super) fn with<T>(&self, look: impl FnOnce(&mut EdgeState) -> T) -> T {
        look(&mut self.state.lock().unwrap())
    }

    pub(super) fn add(&self, stream: Stream, body: &[u8]) {
        self.with(|state| state.facts.get_mut(&stream).unwrap().push(body.to_vec()));
        self.added.send_modify(|count| *count += 1);
    }
}

fn chain(bodies: &[Vec<u8>]) -> Chain {
    let numbered = bodies.iter().zip(1..);
    numbered.fold(Chain::default(), |chain, (body, seq)| chain.then(EPOCH, Seq(seq), body))
}

fn index(seq: Seq) -> usize {
    usize::try_from(seq.0).unwrap()
}

fn seq(index: usize) -> Seq {
    Seq(u64::try_from(index).unwrap())
}

impl EdgeBackend for FakeEdge {
    async fn holdings(&self) -> Result<Holdings, EdgeError> {
        Ok(self.with(|state| {
            let hello = |(stream, bodies): (&Stream, &Vec<Vec<u8>>)| StreamHello {
                stream: *stream,
                epoch: EPOCH,
                first_retained: Seq(1),
                next: seq(bodies.len() + 1),
                chain_head: chain(bodies),
                chain_before_first: Chain::default(),
            };
            let line = |signed: &SignedEnvelope| {
                let open = signed.open().unwrap();
                DesiredLine { server: open.server, order: open.order, hash: signed.hash() }
            };
            Holdings {
                streams: state.facts.iter().map(hello).collect(),
                desired: state.desired.values().map(line).collect(),
            }
        }))
    }

    async fn read_facts(&self, stream: Stream, after: Seq) -> Result<Option<Batch>, EdgeError> {
        Ok(self.with(|state| {
            let all = &state.facts[&stream];
            let from = index(after);
            let to = all.len().min(from + 10);
            (from < to).then(|| Batch {
                epoch: EPOCH,
                first: after.next(),
                chain_before: chain(&all[..from]),
                bodies: all[from..to].to_vec(),
                chain: chain(&all[..to]),
            })
        }))
    }

    async fn acked(&self, ack: Ack) -> Result<(), EdgeError> {
        self.with(|state| state.acked.insert(ack.stream, ack.watermark));
        Ok(())
    }

    async fn fork(&self, stream: Stream) -> Result<(), EdgeError> {
        panic!("{stream:?} was forked");
    }

    async fn adopt(&self, envelopes: Vec<SignedEnvelope>) -> Vec<DesiredResult> {
        let adopt = |signed: SignedEnvelope| {
            let open = signed.open().unwrap();
            self.with(|state| state.desired.insert(open.server, signed));
            let outcome = DesiredOutcome::Adopted;
            DesiredResult { server: open.server, order: open.order, outcome }
        };
        envelopes.into_iter().map(adopt).collect()
    }

    async fn envelopes(&self, _servers: Vec<ServerId>) -> Result<Vec<SignedEnvelope>, EdgeError> {
        Ok(vec![])
    }

    async fn accept(&self, intents: Vec<Intent>) -> Vec<IntentResult> {
        let accept = |intent: Intent| {
            self.with(|state| state.done.insert(intent.intent));
            IntentResult { intent: intent.intent, outcome: IntentOutcome::Accepted }
        };
        intents.into_iter().map(accept).collect()
    }

    async fn registries(&self, logins: Vec<Login>) {
        self.with(|state| state.registries = Some(logins));
    }

    fn learn_time(&self, hub: UnixMs) {
        self.with(|state| state.learnt = state.learnt.max(hub));
    }

    fn time_floor(&self) -> UnixMs {
        self.with(|state| state.learnt)
    }

    fn facts_added(&self) -> watch::Receiver<u64> {
        self.added.subscribe()
    }

    fn view(&self) -> watch::Receiver<Arc<View>> {
        self.view.subscribe()
    }
}

/// Answers every request as accepted, then sends each further frame back until the asker ends.
pub(super) struct Echo;

impl Dispatcher for Echo {
    async fn serve(&self, _ask: Ask, mut stream: FrameStream) {
        let reply = NodeReply::Ok(Box::new(Answer::Accepted)).to_frame().unwrap();
        stream.writer.send(&reply).await.ok();
        while let Ok(Some(frame)) = stream.reader.next().await {
            if stream.writer.send(&frame).await.is_err() {
                return;
            }
        }
    }
}
