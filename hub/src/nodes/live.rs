//! Who is connected now, and the signals by which sessions learn that something changed. In memory
//! only: after a restart of the hub every node connects anew.

use crate::link::backend::{NodeSignal, Standing};
use mamba_core::{
    clock::UnixMs,
    ids::{InstanceId, NodeId},
};
use mamba_wire::{api::LinkState, session::SILENCE_MS};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
};
use tokio::sync::watch;

/// Live sessions and signals of all nodes.
#[derive(Debug, Default)]
pub struct Live {
    // Locked for moments, never across a wait. Holds one entry per node that was ever connected or
    // changed since the start, which the number of nodes bounds.
    nodes: Mutex<BTreeMap<NodeId, LiveNode>>,
}

/// What is known of a node without the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LiveWord {
    /// The last sign of life of a connected node.
    pub heard: Option<UnixMs>,
    /// The state of its link.
    pub link: LinkState,
}

#[derive(Debug, Default)]
struct LiveNode {
    signal: watch::Sender<NodeSignal>,
    /// Open sessions by run of the daemon. For a moment there are two: one that broke and does not
    /// know it yet, and the next.
    sessions: BTreeMap<InstanceId, u32>,
    last_heard: UnixMs,
    /// The node was given a new key: sessions of the old one end, and the signal stays so until
    /// the next connection is checked.
    is_replaced: bool,
}

impl LiveNode {
    fn link_state(&self, now: UnixMs) -> LinkState {
        if self.sessions.is_empty() {
            LinkState::Unreachable
        } else if now.since(self.last_heard) > SILENCE_MS {
            LinkState::Delayed
        } else {
            LinkState::Live
        }
    }

    fn tell(&self, standing: Standing) {
        self.signal.send_modify(|signal| {
            signal.standing = standing;
            signal.revision += 1;
        });
    }
}

impl Live {
    /// Notes that a session begins. Each beginning has its end. Returns whether it is the only one.
    pub fn begin(&self, node: NodeId, instance: InstanceId, now: UnixMs) -> bool {
        let mut nodes = self.nodes();
        let entry = nodes.entry(node).or_default();
        let is_only = entry.sessions.is_empty();
        *entry.sessions.entry(instance).or_default() += 1;
        entry.last_heard = entry.last_heard.max(now);
        is_only
    }

    /// Notes a sign of life.
    pub fn heard(&self, node: NodeId, now: UnixMs) {
        if let Some(entry) = self.nodes().get_mut(&node) {
            entry.last_heard = entry.last_heard.max(now);
        }
    }

    /// Notes that a session ended. Returns whether it was the last one.
    pub fn end(&self, node: NodeId, instance: InstanceId) -> bool {
        let mut nodes = self.nodes();
        let Some(entry) = nodes.get_mut(&node) else { return true };
        if let Some(count) = entry.sessions.get_mut(&instance) {
            *count -= 1;
            if *count == 0 {
                entry.sessions.remove(&instance);
            }
        }
        entry.sessions.is_empty()
    }

    /// Wakes the node's session: what it should have, or was promised, changed. Called after the
    /// commit of the change.
    pub fn changed(&self, node: NodeId) {
        let mut nodes = self.nodes();
        nodes.entry(node).or_default().signal.send_modify(|signal| signal.revision += 1);
    }

    /// Tells the node's session whether it may go on. Called after the commit of the change.
    pub fn set_standing(&self, node: NodeId, standing: Standing) {
        let mut nodes = self.nodes();
        let entry = nodes.entry(node).or_default();
        entry.is_replaced = false;
        entry.tell(standing);
    }

    /// Ends the sessions of a node whose key was replaced. Called after the commit of the change.
    pub fn end_replaced(&self, node: NodeId) {
        let mut nodes = self.nodes();
        let entry = nodes.entry(node).or_default();
        entry.is_replaced = true;
        entry.tell(Standing::Revoked);
    }

    /// Notes that somebody connects as the node and its record says that it may.
    pub fn admit(&self, node: NodeId) {
        let mut nodes = self.nodes();
        let entry = nodes.entry(node).or_default();
        if std::mem::take(&mut entry.is_replaced) {
            entry.tell(Standing::Active);
        }
    }

    /// Returns the node's signal, now and later.
    #[must_use]
    pub fn signal(&self, node: NodeId) -> watch::Receiver<NodeSignal> {
        self.nodes().entry(node).or_default().signal.subscribe()
    }

    /// Returns the nodes with a session.
    #[must_use]
    pub fn connected(&self) -> BTreeSet<NodeId> {
        let nodes = self.nodes();
        nodes.iter().filter(|(_, it)| !it.sessions.is_empty()).map(|(node, _)| *node).collect()
    }

    /// Returns the last sign of life of a connected node.
    #[must_use]
    pub fn last_heard(&self, node: NodeId) -> Option<UnixMs> {
        let nodes = self.nodes();
        nodes.get(&node).filter(|it| !it.sessions.is_empty()).map(|it| it.last_heard)
    }

    /// Returns the state of a node's link.
    #[must_use]
    pub fn link_state(&self, node: NodeId, now: UnixMs) -> LinkState {
        self.nodes().get(&node).map_or(LinkState::Unreachable, |it| it.link_state(now))
    }

    /// Returns what is known of each of these nodes at one moment, in their order.
    #[must_use]
    pub fn words(&self, of: impl Iterator<Item = NodeId>, now: UnixMs) -> Vec<LiveWord> {
        let nodes = self.nodes();
        let word = |node| match nodes.get(&node) {
            Some(it) => LiveWord {
                heard: (!it.sessions.is_empty()).then_some(it.last_heard),
                link: it.link_state(now),
            },
            None => LiveWord { heard: None, link: LinkState::Unreachable },
        };
        of.map(word).collect()
    }

    /// Returns the state of every link that was ever up since the start.
    #[must_use]
    pub fn link_states(&self, now: UnixMs) -> BTreeMap<NodeId, LinkState> {
        let nodes = self.nodes();
        nodes.iter().map(|(node, it)| (*node, it.link_state(now))).collect()
    }

    fn nodes(&self) -> MutexGuard<'_, BTreeMap<NodeId, LiveNode>> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node() -> NodeId {
        NodeId::from_bytes([1; 16])
    }

    #[test]
    fn the_end_of_an_older_session_does_not_disconnect_the_newer() {
        let live = Live::default();
        let (old, new) = (InstanceId::from_bytes([1; 16]), InstanceId::from_bytes([2; 16]));
        live.begin(node(), old, UnixMs(1));
        live.begin(node(), new, UnixMs(2));
        assert!(!live.end(node(), old));
        assert!(live.connected().contains(&node()));
        assert_eq!(live.link_state(node(), UnixMs(3)), LinkState::Live);
        assert_eq!(live.link_state(node(), UnixMs(3 + SILENCE_MS)), LinkState::Delayed);
        assert_eq!(live.link_states(UnixMs(3)), [(node(), LinkState::Live)].into());
        live.begin(node(), new, UnixMs(3));
        assert!(!live.end(node(), new));
        assert!(live.connected().contains(&node()), "of two sessions of one run one is left");
        assert!(live.end(node(), new));
        assert_eq!(live.link_state(node(), UnixMs(3)), LinkState::Unreachable);
    }

    #[test]
    fn a_revocation_is_seen_by_who_subscribes_later() {
        let live = Live::default();
        live.set_standing(node(), Standing::Revoked);
        assert_eq!(live.signal(node()).borrow().standing, Standing::Revoked);
        let mut signal = live.signal(node());
        signal.mark_unchanged();
        live.changed(node());
        assert!(signal.has_changed().unwrap());
    }
}
