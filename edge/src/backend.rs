//! The edge as its link sees it: the real store, outbox, calendar and supervisor.

use crate::{
    calendar::{Calendar, HubCalendar},
    desired::{Adopter, accept_intent, answered, desired_lines},
    link::backend::{BackendError, EdgeBackend, Holdings, View},
    outbox::{self, Outbox, OutboxError, Watermarks},
    registries::HubRegistries,
    store::{EdgeStore, META, meta},
    supervisor::SupervisorHandle,
};
use mamba_core::{
    clock::{Entropy, UnixMs, draw},
    db::{Snapshot, TxnError, WriteError},
    desired::SignedEnvelope,
    error::chain,
    fact::Stream,
    ids::{EventId, IntentId, ServerId},
    lifecycle::Actor,
    registry::Login,
    seq::Seq,
};
use mamba_wire::{
    link::v1::{
        Ack, BATCH_BYTES_MAX, BATCH_FACTS_MAX, DesiredOutcome, DesiredResult, ENVELOPES_BYTES_MAX,
        Intent, IntentOutcome, IntentResult, StreamHello,
    },
    session::Batch,
};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{sync::watch, time::MissedTickBehavior};

/// Time between two writes of when the hub was heard. Each costs a flush of the disk.
const REMEMBER_EVERY: Duration = Duration::from_secs(60);

/// How wrong the hub's time may be when it arrives. Two ways of a usual link; a smaller difference
/// than half of it is no reason to correct the calendar.
const HUB_TIME_UNSURE_MS: u64 = 200;

/// Longest wait for the store to take an intent; on a disk that hangs, a kill must not hang with it.
const INTENT_TIMEOUT: Duration = Duration::from_secs(5);

/// Intents remembered that were carried out without being stored. They expire within a minute, so
/// that only a copy of one of the newest can still come.
const CARRIED_MAX: usize = 256;

/// The node's parts behind the link.
pub struct NodeBackend {
    /// State.
    pub store: EdgeStore,
    /// Takes over wishes.
    pub adopter: Adopter,
    /// Facts.
    pub outbox: Outbox,
    /// The node's calendar.
    pub calendar: Arc<HubCalendar>,
    /// For epochs and ids of facts.
    pub entropy: Arc<dyn Entropy>,
    /// Told of what came.
    pub supervisor: SupervisorHandle,
    /// What is seen.
    pub view: watch::Receiver<Arc<View>>,
    /// When the hub was heard last, in its time; 0 for never.
    pub heard: AtomicU64,
    /// Intents that were carried out and are not stored, oldest first: a copy must not end what was
    /// started since.
    pub carried: Mutex<VecDeque<IntentId>>,
    /// The newest ack of each stream that the disk did not take. A quiet hub does not repeat it.
    pub unstored: Mutex<BTreeMap<Stream, Ack>>,
    /// Logins of image registries that the hub told.
    pub registries: HubRegistries,
}

/// Reads when the hub was heard last, 0 for never.
///
/// # Errors
/// When the store fails.
pub fn load_heard(read: &impl Snapshot) -> Result<u64, TxnError> {
    let bytes = read.get(META, &meta::HUB_HEARD.to_owned())?;
    Ok(bytes.and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_be_bytes))
}

impl NodeBackend {
    /// Keeps on disk, once a minute while the hub is heard, when that was and what the calendar is, and
    /// acks that the disk did not take before. Runs until it is dropped; what is lost then is a minute of knowing.
    pub async fn remember(&self) {
        let mut kept = self.heard.load(Relaxed);
        let mut due = tokio::time::interval(REMEMBER_EVERY);
        due.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            due.tick().await;
            let unstored = std::mem::take(&mut *self.unstored());
            for ack in unstored.into_values() {
                if let Err(err) = self.acked(ack).await {
                    tracing::debug!(error = err.0, "ack is not stored");
                }
            }
            let heard = self.heard.load(Relaxed);
            if heard == kept {
                continue;
            }
            let calendar = self.calendar.remembered();
            let write = self.store.raw().write(move |txn| {
                calendar.save(txn)?;
                let heard = heard.to_be_bytes().to_vec();
                txn.put(META, &meta::HUB_HEARD.to_owned(), &heard)
            });
            match write.await {
                Ok(()) => kept = heard,
                // The store says so itself; the next round tries again.
                Err(err) => tracing::debug!(error = chain(&err), "hub time is not kept"),
            }
        }
    }

    fn unstored(&self) -> MutexGuard<'_, BTreeMap<Stream, Ack>> {
        self.unstored.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn accept_one(&self, intent: Intent) -> Option<IntentResult> {
        let accepted = IntentResult { intent: intent.intent, outcome: IntentOutcome::Accepted };
        if self.is_carried(intent.intent) {
            return Some(accepted);
        }
        if let Err(refused) = intent.asker().check(intent.needs()) {
            // Who asked may have lost the right after it was carried out.
            let known = self.store.raw().read(|txn| answered(txn, intent.intent)).ok().flatten();
            if known.is_some() {
                return known;
            }
            // Nothing of it is kept: each copy says the same.
            let outcome = IntentOutcome::Refused(refused.to_string());
            tracing::warn!(by = %intent.by, error = chain(&refused), "intent refused");
            return Some(IntentResult { intent: intent.intent, outcome });
        }
        let now = self.calendar.now();
        let event = EventId::new(now, draw(&*self.entropy));
        let server = intent.server;
        let recorded = intent.clone();
        let write = self.store.raw().write(move |txn| accept_intent(txn, &recorded, event, now));
        let error = match tokio::time::timeout(INTENT_TIMEOUT, write).await {
            Ok(Ok(result)) => {
                if result.outcome == IntentOutcome::Accepted {
                    self.supervisor.power_changed(server).await;
                }
                return Some(result);
            }
            Ok(Err(err)) => chain(&err),
            Err(_) => format!("store does not answer within {INTENT_TIMEOUT:?}"),
        };
        tracing::warn!(%server, error, "intent could not be recorded");
        let Intent { intent, action, by, expires_at, .. } = intent;
        if expires_at <= now
            || !self.supervisor.power_unstored(server, action, Actor::User(by), event, now).await
        {
            return None;
        }
        let mut carried = self.carried.lock().unwrap_or_else(PoisonError::into_inner);
        if carried.len() == CARRIED_MAX {
            carried.pop_front();
        }
        carried.push_back(intent);
        Some(accepted)
    }

    fn is_carried(&self, intent: IntentId) -> bool {
        self.carried.lock().unwrap_or_else(PoisonError::into_inner).contains(&intent)
    }
}

impl EdgeBackend for NodeBackend {
    async fn holdings(&self) -> Result<Holdings, BackendError> {
        self.store
            .raw()
            .read(|txn| {
                let streams: Result<Vec<StreamHello>, OutboxError> =
                    Stream::ALL.into_iter().map(|stream| outbox::hello(txn, stream)).collect();
                Ok::<_, OutboxError>(Holdings { streams: streams?, desired: desired_lines(txn)? })
            })
            .map_err(|err| failed(&err))
    }

    async fn read_facts(&self, stream: Stream, after: Seq) -> Result<Option<Batch>, BackendError> {
        let read = self.store.raw().read(|txn| {
            let chain_before = outbox::chain_at(txn, stream, after)?;
            let window = outbox::window(txn, stream, after, BATCH_FACTS_MAX, BATCH_BYTES_MAX)?;
            Ok::<_, OutboxError>((chain_before, window))
        });
        let (chain_before, window) = read.map_err(|err| failed(&err))?;
        let Some(chain_before) = chain_before.filter(|_| !window.facts.is_empty()) else {
            return Ok(None);
        };
        Ok(Some(Batch {
            epoch: window.epoch,
            first: after.next(),
            chain_before,
            bodies: window.facts.into_iter().map(|(_, body)| body).collect(),
            chain: window.chain,
        }))
    }

    async fn acked(&self, ack: Ack) -> Result<(), BackendError> {
        let marks = Watermarks { acked: ack.watermark, backed_up: ack.backup_watermark };
        match self.outbox.ack(ack.stream, ack.epoch, marks).await {
            // An ack that was on its way when the stream forked.
            Err(WriteError::Refused(OutboxError::ForeignEpoch { .. })) => Ok(()),
            // It only says what may be pruned, and is tried again. A disk that takes no writes must
            // not end the session: the hub has to learn of it.
            Err(err) if err.is_retryable() => {
                tracing::debug!(error = chain(&err), "ack is not stored");
                self.unstored().insert(ack.stream, ack);
                Ok(())
            }
            done => done.map_err(|err| failed(&err)),
        }
    }

    async fn fork(&self, stream: Stream) -> Result<(), BackendError> {
        let epoch = self.outbox.fork(stream, &*self.entropy).await.map_err(|err| failed(&err))?;
        tracing::warn!(?stream, %epoch, "outbox was forked: the hub holds another history");
        Ok(())
    }

    async fn adopt(&self, envelopes: Vec<SignedEnvelope>) -> Vec<DesiredResult> {
        let results = self.adopter.adopt_all(envelopes, self.calendar.moment()).await;
        if results.iter().any(|result| result.outcome == DesiredOutcome::Adopted) {
            self.supervisor.desired_changed().await;
        }
        results
    }

    async fn envelopes(&self, servers: Vec<ServerId>) -> Result<Vec<SignedEnvelope>, BackendError> {
        let held = self.store.desired().map_err(|err| failed(&err))?;
        let mut bytes = 0;
        let newest = servers.iter().filter_map(|server| held.get(server)?.newest());
        // What does not fit is asked for again at the next session.
        let fitting = newest.map(|held| held.envelope.clone()).take_while(|envelope| {
            bytes += envelope.bytes.len() + envelope.signature.len();
            bytes <= ENVELOPES_BYTES_MAX
        });
        Ok(fitting.collect())
    }

    async fn accept(&self, intents: Vec<Intent>) -> Vec<IntentResult> {
        let mut results = Vec::with_capacity(intents.len());
        for intent in intents {
            results.extend(self.accept_one(intent).await);
        }
        results
    }

    async fn registries(&self, logins: Vec<Login>) {
        if let Err(err) = self.registries.learn(&self.store, logins).await {
            // They are used all the same, and told again with the next session.
            tracing::warn!(error = chain(&err), "logins of image registries are not stored");
        }
    }

    fn learn_time(&self, hub: UnixMs) {
        self.heard.store(hub.0, Relaxed);
        if let Some(by_ms) = self.calendar.learn(hub, HUB_TIME_UNSURE_MS) {
            tracing::warn!(by_ms, "calendar was stepped to the hub's time");
        }
    }

    fn time_floor(&self) -> UnixMs {
        UnixMs(self.heard.load(Relaxed))
    }

    fn facts_added(&self) -> watch::Receiver<u64> {
        self.store.raw().subscribe()
    }

    fn view(&self) -> watch::Receiver<Arc<View>> {
        self.view.clone()
    }
}

fn failed(err: &dyn std::error::Error) -> BackendError {
    BackendError(chain(err))
}
