//! A node of the fleet: the product's link and session over QUIC, with its facts in memory.

use mamba_bench::sample;
use mamba_core::{
    clock::{Clock, HOUR_MS, UnixMs},
    desired::SignedEnvelope,
    fact::{Chain, Stream, UsageFact},
    ids::{ServerId, TenantId},
    seq::{Epoch, Seq},
};
use mamba_edge::link::backend::{BackendError, Dispatcher, EdgeBackend, Holdings, View};
use mamba_wire::{
    link::v1::{
        Ack, BATCH_FACTS_MAX, DesiredLine, DesiredOutcome, DesiredResult, Intent, IntentOutcome,
        IntentResult, NodeState, StreamHello,
    },
    net::frames::FrameStream,
    node::Ask,
    session::Batch,
};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::{sync::watch, time::Instant};

/// Length of a usage span. Small, so that a long backlog fits into the minutes of a bench; quantities
/// are those of a whole one, so that facts are as long as in the product.
const SPAN_MS: u64 = 20;
/// Length of a usage span in the product.
const WHOLE_MS: u64 = 300_000;

/// One fact that the hub has not acknowledged.
struct Unacked {
    body: Vec<u8>,
    chain: Chain,
    made: Instant,
}

struct State {
    epoch: Epoch,
    usage: VecDeque<Unacked>,
    /// Sequence and chain before the first of `usage`.
    base: (Seq, Chain),
    desired: BTreeMap<ServerId, DesiredLine>,
    owners: BTreeMap<ServerId, TenantId>,
    /// Start of the next spans.
    at: UnixMs,
    /// Facts made so far.
    made: u64,
    latencies_ms: Vec<f64>,
    learnt: UnixMs,
}

/// What stands for store and supervisor.
pub(super) struct Node {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    added: watch::Sender<u64>,
    view: watch::Sender<Arc<View>>,
}

/// Returns what a node's machine is said to be, before it has servers.
pub(super) fn view() -> View {
    let node = NodeState {
        cpus: 16,
        memory_bytes: 128 << 30,
        disk_bytes: 1 << 40,
        disk_free_bytes: 1 << 40,
        engine: Some("bench".to_owned()),
        troubles: vec![],
        outbox: vec![],
    };
    View { servers: BTreeMap::new(), node }
}

impl Node {
    pub(super) fn new(clock: Arc<dyn Clock>, epoch: Epoch) -> Self {
        let state = State {
            epoch,
            usage: VecDeque::new(),
            base: (Seq(0), Chain::default()),
            desired: BTreeMap::new(),
            owners: BTreeMap::new(),
            at: clock.wall(),
            made: 0,
            latencies_ms: Vec::new(),
            learnt: UnixMs(0),
        };
        let view = watch::Sender::new(Arc::new(view()));
        Self { clock, state: Mutex::new(state), added: watch::Sender::new(0), view }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Servers that the node was told of.
    pub(super) fn servers(&self) -> usize {
        self.state().desired.len()
    }

    /// Facts that are not acknowledged.
    pub(super) fn unacked(&self) -> usize {
        self.state().usage.len()
    }

    /// Takes the times from fact to ack that were seen since the last call.
    pub(super) fn take_latencies_ms(&self) -> Vec<f64> {
        std::mem::take(&mut self.state().latencies_ms)
    }

    /// Makes `rounds` facts for each server, as the meter does when an interval ends.
    pub(super) fn measure(&self, rounds: usize) {
        let mut state = self.state();
        let owners = state.owners.clone();
        for _ in 0..rounds {
            // Like the meter's, no span crosses an hour.
            if state.at.0 % HOUR_MS + SPAN_MS > HOUR_MS {
                state.at = state.at.hour().plus(HOUR_MS);
            }
            for (server, tenant) in &owners {
                let seed = state.made;
                state.made += 1;
                let fact = sample::varied((*tenant, *server), state.at, WHOLE_MS, seed);
                let fact = UsageFact { to: state.at.plus(SPAN_MS), ..fact };
                let Ok(body) = fact.encode() else { continue };
                let (last, before) = state.last();
                let chain = before.then(state.epoch, last.next(), &body);
                state.usage.push_back(Unacked { body, chain, made: Instant::now() });
            }
            state.at = state.at.plus(SPAN_MS);
        }
        drop(state);
        self.added.send_modify(|count| *count += 1);
    }
}

impl State {
    /// Sequence and chain of the newest fact.
    fn last(&self) -> (Seq, Chain) {
        let (seq, chain) = self.base;
        let last = Seq(seq.0 + self.usage.len() as u64);
        (last, self.usage.back().map_or(chain, |fact| fact.chain))
    }

    /// Chain at a sequence that is the base or kept.
    fn chain_at(&self, skipped: usize) -> Option<Chain> {
        match skipped.checked_sub(1) {
            None => Some(self.base.1),
            Some(index) => self.usage.get(index).map(|fact| fact.chain),
        }
    }
}

impl EdgeBackend for Node {
    async fn holdings(&self) -> Result<Holdings, BackendError> {
        let state = self.state();
        let hello = |stream| {
            let ((base, base_chain), (last, chain_head)) = match stream {
                Stream::Usage => (state.base, state.last()),
                Stream::Activity => Default::default(),
            };
            StreamHello {
                stream,
                epoch: state.epoch,
                first_retained: base.next(),
                next: last.next(),
                chain_head,
                chain_before_first: base_chain,
            }
        };
        let streams = Stream::ALL.into_iter().map(hello).collect();
        Ok(Holdings { streams, desired: state.desired.values().copied().collect() })
    }

    async fn read_facts(&self, stream: Stream, after: Seq) -> Result<Option<Batch>, BackendError> {
        let state = self.state();
        let gone = || BackendError(format!("facts after {after:?} are not kept"));
        if stream == Stream::Activity {
            return Ok(None);
        }
        let skipped = after.0.checked_sub(state.base.0.0).ok_or_else(gone)?;
        let skipped = usize::try_from(skipped).map_err(|_| gone())?;
        let chain_before = state.chain_at(skipped).ok_or_else(gone)?;
        let facts: Vec<_> = state.usage.iter().skip(skipped).take(BATCH_FACTS_MAX).collect();
        Ok(facts.last().map(|last| Batch {
            epoch: state.epoch,
            first: after.next(),
            chain_before,
            bodies: facts.iter().map(|fact| fact.body.clone()).collect(),
            chain: last.chain,
        }))
    }

    async fn registries(&self, _logins: Vec<mamba_core::registry::Login>) {}

    async fn acked(&self, ack: Ack) -> Result<(), BackendError> {
        let mut state = self.state();
        if ack.stream == Stream::Activity || ack.epoch != state.epoch {
            return Ok(());
        }
        while state.base.0 < ack.watermark {
            let Some(fact) = state.usage.pop_front() else { break };
            state.base = (state.base.0.next(), fact.chain);
            let ms = fact.made.elapsed().as_secs_f64() * 1_000.0;
            state.latencies_ms.push(ms);
        }
        Ok(())
    }

    async fn fork(&self, stream: Stream) -> Result<(), BackendError> {
        Err(BackendError(format!("hub wants a new epoch of {stream:?}, which a bench never needs")))
    }

    async fn adopt(&self, envelopes: Vec<SignedEnvelope>) -> Vec<DesiredResult> {
        let mut state = self.state();
        let mut results = Vec::new();
        for signed in envelopes {
            let Ok(open) = signed.open() else { continue };
            let (server, order) = (open.server, open.order);
            if state.desired.is_empty() {
                state.at = self.clock.wall();
            }
            state.desired.insert(server, DesiredLine { server, order, hash: signed.hash() });
            state.owners.insert(server, open.tenant);
            results.push(DesiredResult { server, order, outcome: DesiredOutcome::Adopted });
        }
        results
    }

    async fn envelopes(
        &self,
        _servers: Vec<ServerId>,
    ) -> Result<Vec<SignedEnvelope>, BackendError> {
        Ok(vec![])
    }

    async fn accept(&self, intents: Vec<Intent>) -> Vec<IntentResult> {
        let accepted = |intent: Intent| IntentResult {
            intent: intent.intent,
            outcome: IntentOutcome::Accepted,
        };
        intents.into_iter().map(accepted).collect()
    }

    fn learn_time(&self, hub: UnixMs) {
        let mut state = self.state();
        state.learnt = state.learnt.max(hub);
    }

    fn time_floor(&self) -> UnixMs {
        self.state().learnt
    }

    fn facts_added(&self) -> watch::Receiver<u64> {
        self.added.subscribe()
    }

    fn view(&self) -> watch::Receiver<Arc<View>> {
        self.view.subscribe()
    }
}

/// Nobody opens a console here.
pub(super) struct NoDoor;

impl Dispatcher for NoDoor {
    async fn serve(&self, _ask: Ask, _stream: FrameStream) {}
}
