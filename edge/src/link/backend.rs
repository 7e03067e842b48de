//! What the link needs of the rest of the edge. Nothing here knows QUIC, and nothing on the other
//! side waits for the link.

use mamba_core::{
    clock::UnixMs, desired::SignedEnvelope, error::chain, fact::Stream, ids::ServerId,
    lifecycle::Observed, registry::Login, seq::Seq,
};
use mamba_wire::{
    link::v1::{Ack, DesiredLine, DesiredResult, Intent, IntentResult, NodeState, StreamHello},
    net::frames::FrameStream,
    node::{Ask, NodeError, NodeReply},
    session::Batch,
};
use std::{collections::BTreeMap, future::Future, sync::Arc, time::Duration};
use tokio::{sync::watch, time::timeout};

/// Longest wait for an asker to take the word that it is refused: a round trip of a bad line, many times.
const REFUSAL_MS_MAX: u64 = 10_000;

/// The store cannot do it now. Nothing was done, or it may be done again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("edge store failed: {0}")]
pub struct BackendError(pub String);

/// What the edge says of itself when a session begins, read at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holdings {
    /// One for each of [`Stream::ALL`], in that order.
    pub streams: Vec<StreamHello>,
    /// Every wish held, tombstones included.
    pub desired: Vec<DesiredLine>,
}

/// What the supervisor sees at the moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// Every server on the node.
    pub servers: BTreeMap<ServerId, Observed>,
    /// The machine.
    pub node: NodeState,
}

/// The edge's store and supervisor as the link sees them.
///
/// Every call may be repeated, because a session may be cut before its answer is used.
pub trait EdgeBackend: Send + Sync + 'static {
    /// Returns what a hello says.
    fn holdings(&self) -> impl Future<Output = Result<Holdings, BackendError>> + Send;

    /// Returns facts after `after`, oldest first, within the limits of one batch. `None` when there
    /// are none. `Batch::chain_before` is the chain hash at `after`.
    fn read_facts(
        &self,
        stream: Stream,
        after: Seq,
    ) -> impl Future<Output = Result<Option<Batch>, BackendError>> + Send;

    /// Records custody and prunes what is both in custody and in the hub's backup. An ack of
    /// another epoch than the present one is ignored.
    fn acked(&self, ack: Ack) -> impl Future<Output = Result<(), BackendError>> + Send;

    /// Begins a new epoch of a stream and issues what is kept anew.
    fn fork(&self, stream: Stream) -> impl Future<Output = Result<(), BackendError>> + Send;

    /// Checks, judges and stores wishes of one delta. Returns one result each, after the commit. A
    /// failing store is `DesiredOutcome::NotStored`.
    fn adopt(
        &self,
        envelopes: Vec<SignedEnvelope>,
    ) -> impl Future<Output = Vec<DesiredResult>> + Send;

    /// Returns wishes as they were signed, those that are held, within
    /// [`mamba_wire::link::v1::ENVELOPES_BYTES_MAX`].
    fn envelopes(
        &self,
        servers: Vec<ServerId>,
    ) -> impl Future<Output = Result<Vec<SignedEnvelope>, BackendError>> + Send;

    /// Records intents and carries them out. Returns results after the commit, at most one each;
    /// without a result (the store failed) the hub sends the intent again.
    fn accept(&self, intents: Vec<Intent>) -> impl Future<Output = Vec<IntentResult>> + Send;

    /// Takes all logins of image registries that the hub knows, in place of those before.
    fn registries(&self, logins: Vec<Login>) -> impl Future<Output = ()> + Send;

    /// Tells the calendar the hub's time, which was true between the two moments at which the link
    /// called for it and this is called. Must not wait.
    fn learn_time(&self, hub: UnixMs);

    /// Returns the latest hub time known from before, 0 without any. It bounds from below the time
    /// at which certificates are checked.
    fn time_floor(&self) -> UnixMs;

    /// Changes after every commit that adds facts.
    fn facts_added(&self) -> watch::Receiver<u64>;

    /// Holds what the supervisor sees.
    fn view(&self) -> watch::Receiver<Arc<View>>;
}

/// Serves requests that come in through any door.
pub trait Dispatcher: Send + Sync + 'static {
    /// Serves one request and returns when it is over. `stream` carries the replies and, for a
    /// console, the input. Dropping the future ends the request. Doors call [`Dispatcher::admit`].
    fn serve(&self, ask: Ask, stream: FrameStream) -> impl Future<Output = ()> + Send;

    /// Serves a request of somebody who holds what it needs, and refuses every other before anything is
    /// done for it.
    fn admit(&self, ask: Ask, stream: FrameStream) -> impl Future<Output = ()> + Send {
        async move {
            let Err(refused) = ask.by.check(ask.request.needs()) else {
                return self.serve(ask, stream).await;
            };
            tracing::warn!(by = ?ask.by, error = chain(&refused), "request refused");
            refuse(stream, refused).await;
        }
    }
}

/// Tells an asker, at whatever door, why nothing is done for it. Who asks and does not listen is not waited
/// for.
pub(crate) async fn refuse(mut stream: FrameStream, why: NodeError) {
    let Ok(frame) = NodeReply::Err(why).to_frame() else { return };
    let answer = async {
        stream.writer.send(&frame).await?;
        stream.writer.finish().await
    };
    match timeout(Duration::from_millis(REFUSAL_MS_MAX), answer).await {
        Ok(Ok(())) => {}
        Ok(Err(err)) => tracing::debug!(error = chain(&err), "asker is gone"),
        Err(_) => tracing::debug!("asker does not take its answer"),
    }
}
