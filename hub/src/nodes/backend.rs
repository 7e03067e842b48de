//! The hub as the link sees it: every call is one of ours with its error in the link's words.

use super::registry::for_link;
use crate::{
    Hub, HubError,
    link::backend::{
        BackendError, EnrolError, Enrolment, IngestError, LinkBackend, NodeAccess, NodeSignal,
        Pending,
    },
    store::NODES,
};
use mamba_core::{
    clock::UnixMs,
    db::Snapshot as _,
    desired::SignedEnvelope,
    error::chain,
    ids::{InstanceId, NodeId, ServerId},
    scope::NodeScope,
};
use mamba_wire::{
    api::node::Standing,
    link::{
        enrol::PublicKey,
        v1::{Ack, DesiredResult, Facts, Hello, IntentResult, StateReport, StreamWelcome},
    },
};
use std::net::SocketAddr;
use tokio::sync::watch;

fn told<T>(result: Result<T, HubError>) -> Result<T, BackendError> {
    result.map_err(|err| BackendError(chain(&err)))
}

/// The link calls with nodes that it has proven.
fn proven(node: NodeId) -> NodeScope {
    NodeScope::granted(node)
}

impl LinkBackend for Hub {
    async fn enrol(&self, enrolment: Enrolment) -> Result<NodeId, EnrolError> {
        Self::enrol(self, enrolment).await
    }

    async fn node(&self, node: NodeId) -> Result<Option<NodeAccess>, BackendError> {
        let record = told(self.read(|txn| Ok(txn.get(NODES, &node)?)))?;
        if record.as_ref().is_some_and(|it| it.standing == Standing::Active) {
            self.live().admit(node);
        }
        let access = |it: crate::store::NodeRecord| NodeAccess {
            key: PublicKey(it.key),
            standing: for_link(it.standing),
        };
        Ok(record.map(access))
    }

    async fn certified(&self, node: NodeId, until: UnixMs) -> Result<(), BackendError> {
        told(self.note_certificate(&proven(node), until).await)
    }

    async fn quarantine(&self, node: NodeId) -> Result<(), BackendError> {
        told(self.quarantine_node(node).await)
    }

    async fn hello(
        &self,
        node: NodeId,
        hello: Hello,
        peer: SocketAddr,
    ) -> Result<Vec<StreamWelcome>, BackendError> {
        told(Self::hello(self, &proven(node), hello, peer).await)
    }

    async fn pending(&self, node: NodeId) -> Result<Pending, BackendError> {
        told(self.wanted(&proven(node)).await)
    }

    async fn envelopes(
        &self,
        node: NodeId,
        servers: Vec<ServerId>,
    ) -> Result<Vec<SignedEnvelope>, BackendError> {
        told(Self::envelopes(self, &proven(node), &servers))
    }

    async fn adopt(
        &self,
        node: NodeId,
        envelopes: Vec<SignedEnvelope>,
    ) -> Result<(), BackendError> {
        told(Self::adopt(self, &proven(node), envelopes).await)
    }

    async fn ingest(&self, node: NodeId, facts: Facts) -> Result<Ack, IngestError> {
        Self::ingest(self, &proven(node), facts).await
    }

    async fn state(&self, node: NodeId, report: StateReport) -> Result<(), BackendError> {
        told(self.note_state(&proven(node), report).await)
    }

    async fn desired_results(
        &self,
        node: NodeId,
        results: Vec<DesiredResult>,
    ) -> Result<(), BackendError> {
        told(self.note_desired(&proven(node), results).await)
    }

    async fn intent_results(
        &self,
        node: NodeId,
        results: Vec<IntentResult>,
    ) -> Result<(), BackendError> {
        told(self.note_intents(&proven(node), results).await)
    }

    async fn gone(
        &self,
        node: NodeId,
        instance: InstanceId,
        at: UnixMs,
        why: &str,
    ) -> Result<(), BackendError> {
        told(self.note_gone(&proven(node), instance, at, why).await)
    }

    fn heard(&self, node: NodeId) {
        self.live().heard(node, self.now());
    }

    fn signal(&self, node: NodeId) -> watch::Receiver<NodeSignal> {
        self.live().signal(node)
    }
}
