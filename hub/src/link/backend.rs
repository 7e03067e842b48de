//! What the link needs of the hub's store. Nothing here knows QUIC.
//!
//! Who checks what:
//!
//! | check | by |
//! |---|---|
//! | certificate is of our node CA and in date | TLS |
//! | its key is the one on record, node neither revoked nor in quarantine | link, with [`LinkBackend::node`], at every connect |
//! | `Hello.node` is the certificate's node | link |
//! | frames, order of messages, windows, limits | session |
//! | facts, states and results are about servers of *this* node (T1) | backend, in each call: `node` is proven, everything inside of messages is claimed |
//! | facts follow the chain | backend, in the transaction of [`LinkBackend::ingest`] |
//! | envelopes that an edge hands back are signed by this hub | backend, in [`LinkBackend::adopt`] |
//!
//! Every call may be repeated: a session may be cut before its answer is used.

use mamba_core::{
    clock::UnixMs,
    desired::SignedEnvelope,
    ids::{InstanceId, NodeId, ServerId},
};
use mamba_wire::link::{
    enrol::{Machine, PublicKey},
    token::SecretHash,
    v1::{Ack, DesiredResult, Facts, Hello, IntentResult, StateReport, StreamWelcome},
};
use std::{future::Future, net::SocketAddr};
use tokio::sync::watch;

/// Everything that the hub wants a node to have. `desired` has one line for each server that the node
/// has or should have, `intents` are those without a result that have not expired, oldest first, at
/// most [`mamba_wire::link::v1::INTENTS_MAX`], `acks` the custody of the open epoch of each stream.
pub use mamba_wire::session::Wanted as Pending;

/// A machine that wants to be a node; it has proven that it holds the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enrolment {
    /// Of the join token.
    pub secret: SecretHash,
    /// Its key from now on.
    pub key: PublicKey,
    /// Proposed name, at most 64 bytes.
    pub name_hint: String,
    /// What it says of itself.
    pub machine: Machine,
    /// Where it came from.
    pub peer: SocketAddr,
}

/// Why a machine does not become a node.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnrolError {
    /// Unknown, expired, or used with another key.
    #[error("join token is unknown, used or expired")]
    Token,
    /// The node of this token and key was revoked since.
    #[error("node is revoked")]
    Revoked,
    /// Nothing was done; worth trying again.
    #[error("store cannot do it now")]
    Store(#[from] BackendError),
}

/// The store cannot do it now. Nothing was done, or it may be done again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("hub store failed: {0}")]
pub struct BackendError(pub String);

/// Why a batch is not in custody.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IngestError {
    /// It does not follow the chain at the watermark, or its epoch is not open: the edge must say
    /// hello again.
    #[error("facts do not follow the chain")]
    Diverged,
    /// The store cannot do it now.
    #[error("store cannot take facts now")]
    Store(#[from] BackendError),
}

/// What the link must know of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeAccess {
    /// Its key on record.
    pub key: PublicKey,
    /// Whether it may connect.
    pub standing: Standing,
}

/// Whether a node may connect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    /// Yes.
    #[default]
    Active,
    /// Never again.
    Revoked,
    /// Two daemons fight over its identity; an admin has to decide.
    Quarantined,
}

/// Tells sessions that something changed; they look at everything again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NodeSignal {
    /// Grows with each change of the node's wishes, open intents or backup watermarks.
    pub revision: u64,
    /// Whether it may stay connected: a session ends as soon as this is not `Active`.
    pub standing: Standing,
}

/// The hub's store as the link sees it.
pub trait LinkBackend: Send + Sync + 'static {
    /// Uses up a join token, makes the node and records its key, in one transaction. The same
    /// secret with the same key gives the same node again while the token is valid.
    fn enrol(
        &self,
        enrolment: Enrolment,
    ) -> impl Future<Output = Result<NodeId, EnrolError>> + Send;

    /// Looks a node up. `None` when there is none.
    fn node(
        &self,
        node: NodeId,
    ) -> impl Future<Output = Result<Option<NodeAccess>, BackendError>> + Send;

    /// Notes the end of a certificate that is about to be given to a node.
    fn certified(
        &self,
        node: NodeId,
        until: UnixMs,
    ) -> impl Future<Output = Result<(), BackendError>> + Send;

    /// Bars a node whose identity two daemons fight over, and raises an alarm.
    fn quarantine(&self, node: NodeId) -> impl Future<Output = Result<(), BackendError>> + Send;

    /// Records that a session begins and compares its streams with
    /// [`mamba_wire::session::compare`]: new epochs are opened and older ones closed, lost spans
    /// become gap rows. Returns one welcome per stream of the hello, in its order.
    fn hello(
        &self,
        node: NodeId,
        hello: Hello,
        peer: SocketAddr,
    ) -> impl Future<Output = Result<Vec<StreamWelcome>, BackendError>> + Send;

    /// Returns everything that the node should have.
    fn pending(&self, node: NodeId) -> impl Future<Output = Result<Pending, BackendError>> + Send;

    /// Returns signed wishes for these servers, in this order; leaves out what is not there, and
    /// what does not fit into [`mamba_wire::link::v1::ENVELOPES_BYTES_MAX`], but never the first.
    fn envelopes(
        &self,
        node: NodeId,
        servers: Vec<ServerId>,
    ) -> impl Future<Output = Result<Vec<SignedEnvelope>, BackendError>> + Send;

    /// Takes over wishes that the node holds and the hub lost. Anything not signed by this hub, not
    /// for this node, or not newer is left alone.
    fn adopt(
        &self,
        node: NodeId,
        envelopes: Vec<SignedEnvelope>,
    ) -> impl Future<Output = Result<(), BackendError>> + Send;

    /// Takes a batch into custody. Returns after the commit. Facts at or below the watermark are
    /// not taken again.
    fn ingest(
        &self,
        node: NodeId,
        facts: Facts,
    ) -> impl Future<Output = Result<Ack, IngestError>> + Send;

    /// Notes what the node sees.
    fn state(
        &self,
        node: NodeId,
        report: StateReport,
    ) -> impl Future<Output = Result<(), BackendError>> + Send;

    /// Notes what the node did with wishes.
    fn desired_results(
        &self,
        node: NodeId,
        results: Vec<DesiredResult>,
    ) -> impl Future<Output = Result<(), BackendError>> + Send;

    /// Notes what the node did with intents.
    fn intent_results(
        &self,
        node: NodeId,
        results: Vec<IntentResult>,
    ) -> impl Future<Output = Result<(), BackendError>> + Send;

    /// Notes that a session ended, and why. Another one of the same node may already be up.
    fn gone(
        &self,
        node: NodeId,
        instance: InstanceId,
        at: UnixMs,
        why: &str,
    ) -> impl Future<Output = Result<(), BackendError>> + Send;

    /// Notes a sign of life of a connected node: any frame, often only the answer to a ping. Must be
    /// quick.
    fn heard(&self, node: NodeId);

    /// Returns the signal of a node. Must show a change within 5 s of its commit.
    fn signal(&self, node: NodeId) -> watch::Receiver<NodeSignal>;
}
