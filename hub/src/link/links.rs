//! Live sessions by node, and requests to nodes.

use crate::link::takeover::Takeovers;
use mamba_core::{
    clock::{BootMs, UnixMs},
    ids::{InstanceId, NodeId},
};
use mamba_wire::{
    frame::FrameError,
    link::v1::Goodbye,
    net::{
        endpoint::BULK_PRIORITY,
        frames::{FrameStream, FramedError},
    },
    node::Ask,
};
use quinn::Connection;
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{sync::watch, time::timeout};

/// Longest wait for room for one more request at an edge.
const OPEN_MS_MAX: u64 = 5_000;

/// Reaches connected nodes. Cheap to clone.
#[derive(Clone, Default)]
pub struct Links {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    live: BTreeMap<NodeId, Live>,
    takeovers: BTreeMap<NodeId, Takeovers>,
    sessions: u64,
}

struct Live {
    /// Tells sessions of one node apart.
    session: u64,
    info: SessionInfo,
    connection: Connection,
    kick: watch::Sender<Option<Goodbye>>,
}

/// A session that is up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionInfo {
    /// Whose.
    pub node: NodeId,
    /// The daemon's run.
    pub instance: InstanceId,
    /// Its version.
    pub software: String,
    /// Since when.
    pub since: UnixMs,
    /// Present address.
    pub address: SocketAddr,
    /// Present round trip time in microseconds.
    pub rtt_us: u64,
}

/// Why a node could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// It has no session.
    #[error("node {0} is not connected")]
    NotConnected(NodeId),
    /// It has too many requests open.
    #[error("node {0} has too many requests open")]
    Busy(NodeId),
    /// The connection broke.
    #[error("connection to the node broke")]
    Broken(#[source] quinn::ConnectionError),
    /// The request did not go out.
    #[error("request could not be sent")]
    Send(#[source] FramedError),
    /// The request has no room in a frame.
    #[error("request is too large")]
    Encode(#[source] FrameError),
}

/// A place in the list of live sessions, given up when dropped.
pub(super) struct Registered {
    links: Links,
    pub(super) node: NodeId,
    session: u64,
    /// Becomes the reason for which this session has to end.
    pub(super) kick: watch::Receiver<Option<Goodbye>>,
    /// Whether two daemons fight over this node.
    pub(super) is_fight: bool,
}

impl Links {
    /// Sends a request to a node and returns the stream with its replies. Dropping the stream ends
    /// the request at the node.
    ///
    /// # Errors
    /// See [`RequestError`]; nothing reached the node, or the stream to it broke.
    pub async fn request(&self, node: NodeId, ask: &Ask) -> Result<FrameStream, RequestError> {
        let connection = self.state().live.get(&node).map(|live| live.connection.clone());
        let connection = connection.ok_or(RequestError::NotConnected(node))?;
        let open = timeout(Duration::from_millis(OPEN_MS_MAX), connection.open_bi()).await;
        let (send, receive) =
            open.map_err(|_| RequestError::Busy(node))?.map_err(RequestError::Broken)?;
        if ask.request.is_bulk() {
            // A stream that is closed by now says so when it is written to.
            send.set_priority(BULK_PRIORITY).ok();
        }
        let mut stream = FrameStream::new(receive, send);
        let frame = ask.to_frame().map_err(RequestError::Encode)?;
        stream.writer.send(&frame).await.map_err(RequestError::Send)?;
        Ok(stream)
    }

    /// Returns a node's session, `None` when it is not connected.
    #[must_use]
    pub fn connected(&self, node: NodeId) -> Option<SessionInfo> {
        self.state().live.get(&node).map(Live::now)
    }

    /// Returns all sessions in the order of their nodes.
    #[must_use]
    pub fn list(&self) -> Vec<SessionInfo> {
        self.state().live.values().map(Live::now).collect()
    }

    /// Puts a session that said hello into the list. The node's former one is told to end.
    pub(super) fn register(
        &self,
        info: SessionInfo,
        connection: Connection,
        now: BootMs,
    ) -> Registered {
        let (kick, kicked) = watch::channel(None);
        let (node, instance) = (info.node, info.instance);
        let mut state = self.state();
        state.sessions += 1;
        let session = state.sessions;
        let old = state.live.insert(node, Live { session, info, connection, kick });
        let is_fight = old.is_some_and(|old| {
            old.kick.send_replace(Some(Goodbye::Superseded));
            let takeovers = state.takeovers.entry(node).or_default();
            takeovers.note(old.info.instance, instance, now)
        });
        drop(state);
        Registered { links: self.clone(), node, session, kick: kicked, is_fight }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Live {
    fn now(&self) -> SessionInfo {
        SessionInfo {
            address: self.connection.remote_address(),
            rtt_us: u64::try_from(self.connection.rtt().as_micros()).unwrap_or(u64::MAX),
            ..self.info.clone()
        }
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        let mut state = self.links.state();
        if state.live.get(&self.node).is_some_and(|live| live.session == self.session) {
            state.live.remove(&self.node);
        }
    }
}
