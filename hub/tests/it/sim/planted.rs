//! Bugs that are planted at the seams of the product, to show that the simulator would see them.

use mamba_core::{
    clock::{BootId, BootMs, Clock, UnixMs},
    db::{Snapshot, Span, TxnError},
    desired::SignedEnvelope,
    fact::Stream,
    ids::{InstanceId, IntentId, NodeId, ServerId, TenantId},
    seq::Seq,
};
use mamba_edge::{
    backend::NodeBackend,
    link::backend::{BackendError as EdgeError, EdgeBackend, Holdings, View},
    store::DESIRED,
};
use mamba_hub::{
    Hub,
    link::backend::{
        BackendError, EnrolError, Enrolment, IngestError, LinkBackend, NodeAccess, NodeSignal,
        Pending,
    },
    store::{COVERAGE, CUSTODY, HOURS, stream_number},
};
use mamba_wire::{
    link::v1::{
        Ack, DesiredResult, Facts, Found, Hello, Intent, IntentResult, StateReport, StreamWelcome,
    },
    session::Batch,
};
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
};
use tokio::sync::watch;

/// A bug, and the invariants of which one has to break.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bug {
    PruneOnAckAlone,
    AckBeforeCommit,
    NoForkDetection,
    NoCoverage,
    HoleInCustody,
    SumsDrift,
    ActBeforePersist,
    AbsenceDeletes,
    LowerGenerationAccepted,
    StartWaitsForHub,
    WishesForgotten,
    IntentsRepeated,
    TenantsMixed,
    TrashEmptiedAtOnce,
    WallTimeBilled,
}

impl Bug {
    pub(super) const ALL: [(Self, &'static [&'static str]); 15] = [
        (Self::PruneOnAckAlone, &["S5"]),
        (Self::AckBeforeCommit, &["S6"]),
        (Self::NoForkDetection, &["L1", "S1"]),
        (Self::NoCoverage, &["S2"]),
        (Self::HoleInCustody, &["S4"]),
        (Self::SumsDrift, &["S7", "product assertion"]),
        (Self::ActBeforePersist, &["D3"]),
        (Self::AbsenceDeletes, &["D2"]),
        (Self::LowerGenerationAccepted, &["D1"]),
        (Self::StartWaitsForHub, &["D4"]),
        (Self::WishesForgotten, &["L1"]),
        (Self::IntentsRepeated, &["stale start"]),
        (Self::TenantsMixed, &["T1"]),
        (Self::TrashEmptiedAtOnce, &["D2"]),
        (Self::WallTimeBilled, &["S2", "S3"]),
    ];
}

/// The hub as its link sees it, perhaps with a bug.
pub(super) struct BentHub {
    pub(super) hub: Hub,
    pub(super) bug: Option<Bug>,
    pub(super) held: Mutex<Held>,
    /// Facts that nodes sent, each as often as it came.
    pub(super) came: Arc<AtomicU64>,
}

/// What a bug needs to remember.
#[derive(Default)]
pub(super) struct Held {
    batches: BTreeMap<(NodeId, Stream), Facts>,
    envelopes: BTreeMap<ServerId, SignedEnvelope>,
    pending: BTreeMap<NodeId, Pending>,
    calls: u64,
}

impl BentHub {
    async fn damage(&self, node: NodeId, facts: &Facts, ack: &Ack) {
        let (bug, stream, epoch) = (self.bug, stream_number(facts.stream), facts.epoch);
        let seq = ack.watermark;
        let done = self.hub.store().write(move |txn| {
            match bug {
                Some(Bug::HoleInCustody) => txn.delete(CUSTODY, &(node, stream, epoch, seq))?,
                Some(Bug::SumsDrift) => {
                    if let Some((key, mut hour)) = txn.range(HOURS, Span::all(), 1)?.pop() {
                        hour.billed.egress += 1;
                        txn.put(HOURS, &key, &hour)?;
                    }
                }
                Some(Bug::TenantsMixed) => {
                    if let Some(((tenant, server, hour), sums)) =
                        txn.range(HOURS, Span::all(), 1)?.pop()
                    {
                        let other = TenantId::from_bytes([tenant.to_bytes()[0] % 3 + 1; 16]);
                        txn.put(HOURS, &(other, server, hour), &sums)?;
                    }
                }
                Some(Bug::NoCoverage) => {
                    for (key, _) in txn.range(COVERAGE, Span::all(), 200)? {
                        txn.delete(COVERAGE, &key)?;
                    }
                }
                _ => {}
            }
            Ok::<_, TxnError>(())
        });
        // A disk that fails meanwhile is another fault.
        done.await.ok();
    }
}

impl LinkBackend for BentHub {
    async fn enrol(&self, enrolment: Enrolment) -> Result<NodeId, EnrolError> {
        LinkBackend::enrol(&self.hub, enrolment).await
    }
    async fn node(&self, node: NodeId) -> Result<Option<NodeAccess>, BackendError> {
        self.hub.node(node).await
    }
    async fn certified(&self, node: NodeId, until: UnixMs) -> Result<(), BackendError> {
        self.hub.certified(node, until).await
    }
    async fn quarantine(&self, node: NodeId) -> Result<(), BackendError> {
        self.hub.quarantine(node).await
    }
    async fn hello(
        &self,
        node: NodeId,
        hello: Hello,
        peer: SocketAddr,
    ) -> Result<Vec<StreamWelcome>, BackendError> {
        let mut welcomes = LinkBackend::hello(&self.hub, node, hello, peer).await?;
        for welcome in &mut welcomes {
            if self.bug == Some(Bug::NoForkDetection) && welcome.found == Found::Fork {
                welcome.found = Found::InStep;
            }
        }
        Ok(welcomes)
    }
    async fn pending(&self, node: NodeId) -> Result<Pending, BackendError> {
        let pending = self.hub.pending(node).await?;
        if self.bug != Some(Bug::WishesForgotten) {
            return Ok(pending);
        }
        let mut held = self.held.lock().unwrap();
        let known = held.pending.entry(node).or_insert_with(|| pending.clone());
        if known.desired.len() != pending.desired.len() {
            known.desired.clone_from(&pending.desired);
        }
        Ok(Pending { desired: known.desired.clone(), ..pending })
    }
    async fn envelopes(
        &self,
        node: NodeId,
        servers: Vec<ServerId>,
    ) -> Result<Vec<SignedEnvelope>, BackendError> {
        let mut envelopes = LinkBackend::envelopes(&self.hub, node, servers).await?;
        if self.bug == Some(Bug::LowerGenerationAccepted) {
            let mut held = self.held.lock().unwrap();
            held.calls += 1;
            let is_stale = held.calls.is_multiple_of(3);
            for envelope in &mut envelopes {
                let Ok(opened) = envelope.open() else { continue };
                let first = held.envelopes.entry(opened.server).or_insert(envelope.clone());
                if is_stale {
                    envelope.clone_from(first);
                }
            }
        }
        Ok(envelopes)
    }
    async fn adopt(
        &self,
        node: NodeId,
        envelopes: Vec<SignedEnvelope>,
    ) -> Result<(), BackendError> {
        LinkBackend::adopt(&self.hub, node, envelopes).await
    }
    async fn ingest(&self, node: NodeId, facts: Facts) -> Result<Ack, IngestError> {
        self.came.fetch_add(facts.bodies.len() as u64, SeqCst);
        if self.bug == Some(Bug::AckBeforeCommit) {
            let watermark = Seq(facts.first.0 + facts.bodies.len() as u64 - 1);
            let Facts { stream, epoch, .. } = facts;
            let before = self.held.lock().unwrap().batches.insert((node, stream), facts);
            if let Some(before) = before {
                LinkBackend::ingest(&self.hub, node, before).await?;
            }
            return Ok(Ack { stream, epoch, watermark, backup_watermark: Seq(0) });
        }
        if self.bug == Some(Bug::NoCoverage) {
            let nothing = Ack {
                stream: facts.stream,
                epoch: facts.epoch,
                watermark: Seq(0),
                backup_watermark: Seq(0),
            };
            self.damage(node, &facts, &nothing).await;
        }
        let mut ack = LinkBackend::ingest(&self.hub, node, facts.clone()).await?;
        match self.bug {
            Some(Bug::PruneOnAckAlone) => ack.backup_watermark = ack.watermark,
            Some(Bug::HoleInCustody | Bug::SumsDrift | Bug::TenantsMixed) => {
                self.damage(node, &facts, &ack).await
            }
            _ => {}
        }
        Ok(ack)
    }
    async fn state(&self, node: NodeId, report: StateReport) -> Result<(), BackendError> {
        self.hub.state(node, report).await
    }
    async fn desired_results(
        &self,
        node: NodeId,
        results: Vec<DesiredResult>,
    ) -> Result<(), BackendError> {
        self.hub.desired_results(node, results).await
    }
    async fn intent_results(
        &self,
        node: NodeId,
        results: Vec<IntentResult>,
    ) -> Result<(), BackendError> {
        self.hub.intent_results(node, results).await
    }
    async fn gone(
        &self,
        node: NodeId,
        instance: InstanceId,
        at: UnixMs,
        why: &str,
    ) -> Result<(), BackendError> {
        self.hub.gone(node, instance, at, why).await
    }
    fn heard(&self, node: NodeId) {
        self.hub.heard(node);
    }
    fn signal(&self, node: NodeId) -> watch::Receiver<NodeSignal> {
        self.hub.signal(node)
    }
}

/// The edge as its link sees it, perhaps with a bug.
pub(super) struct BentEdge {
    edge: Arc<NodeBackend>,
    bug: Option<Bug>,
    dir: PathBuf,
    accepted: Mutex<Vec<Intent>>,
}

impl BentEdge {
    pub(super) fn new(edge: Arc<NodeBackend>, bug: Option<Bug>, dir: PathBuf) -> Self {
        Self { edge, bug, dir, accepted: Mutex::default() }
    }

    /// Returns or sets the stored wish of a server, behind the product's back.
    async fn rewrite(&self, server: ServerId, old: Option<mamba_edge::store::Desired>) {
        let done = self.edge.store.raw().write(move |txn| match &old {
            Some(old) => txn.put(DESIRED, &server, old),
            None => txn.delete(DESIRED, &server),
        });
        // A disk that fails meanwhile is another fault.
        done.await.ok();
    }

    fn empty_trash(&self) {
        let Ok(entries) = std::fs::read_dir(self.dir.join("trash")) else { return };
        entries.flatten().for_each(|entry| drop(std::fs::remove_dir_all(entry.path())));
    }

    /// Deletes what the hub did not name.
    fn delete_others(&self, named: &[ServerId]) {
        let Ok(entries) = std::fs::read_dir(self.dir.join("servers")) else { return };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let server = name.to_str().and_then(|name| name.parse::<ServerId>().ok());
            if server.is_some_and(|server| !named.contains(&server)) {
                std::fs::remove_dir_all(entry.path()).ok();
            }
        }
    }
}

impl EdgeBackend for BentEdge {
    async fn holdings(&self) -> Result<Holdings, EdgeError> {
        if self.bug == Some(Bug::IntentsRepeated) {
            let mut again = std::mem::take(&mut *self.accepted.lock().unwrap());
            for intent in &mut again {
                let mut id = intent.intent.to_bytes();
                id[15] ^= 0xff;
                (intent.intent, intent.expires_at) = (IntentId::from_bytes(id), UnixMs(u64::MAX));
            }
            self.edge.accept(again).await;
        }
        self.edge.holdings().await
    }
    async fn read_facts(&self, stream: Stream, after: Seq) -> Result<Option<Batch>, EdgeError> {
        self.edge.read_facts(stream, after).await
    }
    async fn acked(&self, ack: Ack) -> Result<(), EdgeError> {
        self.edge.acked(ack).await
    }
    async fn fork(&self, stream: Stream) -> Result<(), EdgeError> {
        self.edge.fork(stream).await
    }
    async fn adopt(&self, envelopes: Vec<SignedEnvelope>) -> Vec<DesiredResult> {
        let opened = envelopes.iter().filter_map(|it| it.open().ok());
        let servers: Vec<ServerId> = opened.map(|it| it.server).collect();
        match self.bug {
            Some(Bug::AbsenceDeletes) => self.delete_others(&servers),
            Some(Bug::TrashEmptiedAtOnce) => self.empty_trash(),
            Some(Bug::LowerGenerationAccepted) => {
                for server in &servers {
                    self.rewrite(*server, None).await;
                }
            }
            _ => {}
        }
        let before = self.edge.store.desired().unwrap_or_default();
        let results = self.edge.adopt(envelopes).await;
        if self.bug == Some(Bug::ActBeforePersist) {
            // The supervisor sees the new wish and acts; then the disk turns out not to have it.
            tokio::time::sleep(std::time::Duration::from_secs(5)).await;
            for server in servers {
                if let Some(old) = before.get(&server) {
                    self.rewrite(server, Some(old.clone())).await;
                }
            }
        }
        results
    }
    async fn envelopes(&self, servers: Vec<ServerId>) -> Result<Vec<SignedEnvelope>, EdgeError> {
        self.edge.envelopes(servers).await
    }
    async fn accept(&self, intents: Vec<Intent>) -> Vec<IntentResult> {
        self.accepted.lock().unwrap().extend(intents.iter().cloned());
        self.edge.accept(intents).await
    }
    async fn registries(&self, logins: Vec<mamba_core::registry::Login>) {
        self.edge.registries(logins).await;
    }
    fn learn_time(&self, hub: UnixMs) {
        self.edge.learn_time(hub);
    }
    fn time_floor(&self) -> UnixMs {
        self.edge.time_floor()
    }
    fn facts_added(&self) -> watch::Receiver<u64> {
        self.edge.facts_added()
    }
    fn view(&self) -> watch::Receiver<Arc<View>> {
        self.edge.view()
    }
}

/// A clock that takes wall time for time that passed.
pub(super) struct WallAsBoot(pub(super) Arc<dyn Clock>);

impl Clock for WallAsBoot {
    fn wall(&self) -> UnixMs {
        self.0.wall()
    }
    fn boot(&self) -> BootMs {
        BootMs(self.0.wall().0 % (1 << 40))
    }
    fn boot_id(&self) -> BootId {
        self.0.boot_id()
    }
}
