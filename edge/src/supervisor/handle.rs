//! What other parts ask of the supervisor, and see of it.

use super::{Card, Census, Parts, Shown, Unstored, Wake};
use crate::{
    calendar::Calendar, console::Consoles, desired::record_power, install, store::EdgeStore,
};
use mamba_core::{
    clock::{Entropy, UnixMs, draw},
    error::chain,
    ids::{EventId, ServerId, TransferId},
    lifecycle::{Actor, Observed, PowerAction, install::InstallRecord},
};
use mamba_wire::node::{NodeError, ServerDetail, ServerLine};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::sync::{mpsc, watch};

/// Longest wait for the store to take a power action. A disk in order answers in milliseconds; on one
/// that hangs, whoever wants to end a game must not hang with it.
const STORE_TIMEOUT: Duration = Duration::from_secs(5);

/// Cheap to clone; talks to the one supervisor of the node.
#[derive(Clone)]
pub struct SupervisorHandle {
    store: EdgeStore,
    consoles: Consoles,
    calendar: Arc<dyn Calendar>,
    entropy: Arc<dyn Entropy>,
    wakes: mpsc::Sender<Wake>,
    observed: watch::Receiver<Arc<BTreeMap<ServerId, Observed>>>,
    cards: watch::Receiver<Arc<BTreeMap<ServerId, Card>>>,
    census: watch::Receiver<Arc<Census>>,
    engine_error: watch::Receiver<Option<String>>,
}

impl SupervisorHandle {
    pub(super) fn new<R>(parts: &Parts<R>, shown: &Shown, wakes: mpsc::Sender<Wake>) -> Self {
        Self {
            store: parts.store.clone(),
            consoles: parts.consoles.clone(),
            calendar: Arc::clone(&parts.calendar),
            entropy: Arc::clone(&parts.entropy),
            wakes,
            observed: shown.observed.subscribe(),
            cards: shown.cards.subscribe(),
            census: shown.census.subscribe(),
            engine_error: shown.engine_error.subscribe(),
        }
    }

    /// Records a power action; when this returns it is on disk and will be carried out, also after a
    /// restart of daemon or machine. It says nothing about whether it was carried out yet.
    ///
    /// A stop or kill that the node cannot write is carried out all the same, and is written as soon
    /// as that works: only the end of the daemon before that loses it.
    ///
    /// Cancelled, it may be recorded or not.
    ///
    /// # Errors
    /// `NoSuchServer`, `NotAllowed`; `StoreUnavailable` when the node cannot write and the action
    /// starts something. Nothing was recorded then, but for a disk that failed or hung in the very
    /// moment of writing.
    pub async fn power(
        &self,
        server: ServerId,
        action: PowerAction,
        by: Actor,
    ) -> Result<(), NodeError> {
        let now = self.calendar.now();
        let event = EventId::new(now, draw(&*self.entropy));
        let actor = by.clone();
        let write = self
            .store
            .raw()
            .write(move |txn| record_power(txn, server, action, &actor, event, now));
        let error = match tokio::time::timeout(STORE_TIMEOUT, write).await {
            Ok(Ok(recorded)) => {
                recorded?;
                self.power_changed(server).await;
                return Ok(());
            }
            Ok(Err(err)) => chain(&err),
            Err(_) => format!("store does not answer within {STORE_TIMEOUT:?}"),
        };
        if self.power_unstored(server, action, by, event, now).await {
            return Ok(());
        }
        Err(NodeError::StoreUnavailable(error))
    }

    /// Has a power action carried out that could not be recorded, when it is one that ends a process,
    /// and tells whether it will be. `event` is the id of the fact that tells of it.
    pub async fn power_unstored(
        &self,
        server: ServerId,
        action: PowerAction,
        by: Actor,
        event: EventId,
        at: UnixMs,
    ) -> bool {
        let is_known = self.cards.borrow().get(&server).is_some_and(|card| card.spec.is_some());
        let ends = matches!(action, PowerAction::Stop | PowerAction::Kill);
        if !is_known || !ends {
            return false;
        }
        tracing::warn!(%server, ?action, "carried out although the store does not take it");
        let unstored = Unstored { server, action, by, event, at };
        self.wakes.send(Wake::PowerUnstored(unstored)).await.is_ok()
    }

    /// Records that the install script of a server shall end; when this returns it is on disk.
    ///
    /// # Errors
    /// `NoSuchServer`, `NotAllowed` when there is none to end, `StoreUnavailable`. Nothing was recorded.
    pub async fn cancel_install(&self, server: ServerId, by: Actor) -> Result<(), NodeError> {
        let now = self.calendar.now();
        let event = EventId::new(now, draw(&*self.entropy));
        let write =
            self.store.raw().write(move |txn| install::cancel(txn, server, &by, event, now));
        let error = match tokio::time::timeout(STORE_TIMEOUT, write).await {
            Ok(Ok(recorded)) => {
                recorded?;
                self.wakes.send(Wake::InstallChanged(server)).await.ok();
                return Ok(());
            }
            Ok(Err(err)) => chain(&err),
            Err(_) => format!("store does not answer within {STORE_TIMEOUT:?}"),
        };
        Err(NodeError::StoreUnavailable(error))
    }

    /// Returns what is known of the newest run of a server's install script.
    ///
    /// # Errors
    /// `NoSuchServer`.
    pub fn install(&self, server: ServerId) -> Result<Option<InstallRecord>, NodeError> {
        let observed = self.observed.borrow().get(&server).map(|it| it.install.clone());
        observed.ok_or(NodeError::NoSuchServer(server))
    }

    /// Tells that a power action of this server was recorded by somebody else: an intent.
    pub async fn power_changed(&self, server: ServerId) {
        // Without a supervisor the next one reads it from the store.
        self.wakes.send(Wake::PowerChanged(server)).await.ok();
    }

    /// Tells that wishes were adopted.
    pub async fn desired_changed(&self) {
        self.wakes.send(Wake::DesiredChanged).await.ok();
    }

    /// Lets the supervisor finish what it does and end. Containers keep running.
    pub async fn stop(&self) {
        self.wakes.send(Wake::Stopping).await.ok();
    }

    /// What is seen of each server.
    #[must_use]
    pub fn observed(&self) -> watch::Receiver<Arc<BTreeMap<ServerId, Observed>>> {
        self.observed.clone()
    }

    /// What there is to meter.
    #[must_use]
    pub fn census(&self) -> watch::Receiver<Arc<Census>> {
        self.census.clone()
    }

    /// What the container engine said last, `None` when it answers.
    #[must_use]
    pub fn engine_error(&self) -> watch::Receiver<Option<String>> {
        self.engine_error.clone()
    }

    /// Returns all servers by name, then id.
    #[must_use]
    pub fn servers(&self) -> Vec<ServerLine> {
        let (cards, observed) = (self.cards.borrow().clone(), self.observed.borrow().clone());
        let mut lines: Vec<ServerLine> = observed
            .values()
            .filter_map(|observed| {
                let card = cards.get(&observed.server)?;
                let name = card.spec.as_ref().map(|spec| spec.name.clone()).unwrap_or_default();
                Some(ServerLine { name, tenant: card.tenant, observed: observed.clone() })
            })
            .collect();
        lines.sort_by(|a, b| (&a.name, a.observed.server).cmp(&(&b.name, b.observed.server)));
        lines
    }

    /// Whether a server was stopped for this hand-over to another node, and no process is left. It
    /// is not started before another wish comes.
    #[must_use]
    pub fn rests_for(&self, server: ServerId, transfer: TransferId) -> bool {
        self.cards.borrow().get(&server).is_some_and(|card| card.resting == Some(transfer))
    }

    /// Returns what is known of one server. The disk is left to whoever measures it.
    ///
    /// # Errors
    /// `NoSuchServer`.
    pub fn detail(&self, server: ServerId) -> Result<ServerDetail, NodeError> {
        let card = self.cards.borrow().get(&server).cloned();
        let observed = self.observed.borrow().get(&server).cloned();
        let (Some(card), Some(observed)) = (card, observed) else {
            return Err(NodeError::NoSuchServer(server));
        };
        Ok(ServerDetail {
            tenant: card.tenant,
            order: card.order,
            spec: card.spec.as_deref().cloned(),
            observed,
            container: card.container,
            last_line: self.consoles.last_number(server),
            disk: None,
        })
    }
}
