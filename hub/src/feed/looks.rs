//! Pure: what a viewer looks at, what of it a change concerns, and what waits to be told.

use super::taps::Place;
use crate::{
    blueprints::BLUEPRINTS,
    control::Seen,
    store::{
        ACTIVITY, ALARMS, INTENTS, JOIN_TOKENS, NODE_STATES, NODES, NODES_SEEN, OBSERVED, SERVERS,
    },
    tenants::TENANTS,
};
use mamba_core::{
    access::ServerKeys,
    clock::UnixMs,
    db::{ChangedKey, TableDef},
    ids::{EventId, IntentId, NodeId, ServerId, TenantId},
};
use mamba_wire::{
    api::feed::{FeedMessage, Topic},
    node::Gauges,
};
use std::collections::{BTreeMap, BTreeSet};

/// Tables whose changes are told.
pub(super) const TABLES: [TableDef; 11] = [
    SERVERS.def(),
    OBSERVED.def(),
    INTENTS.def(),
    ACTIVITY.def(),
    NODES.def(),
    NODES_SEEN.def(),
    NODE_STATES.def(),
    TENANTS.def(),
    BLUEPRINTS.def(),
    ALARMS.def(),
    JOIN_TOKENS.def(),
];

/// What a changed key is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum About {
    /// A server as lists show it.
    Server(TenantId, ServerId),
    /// What was asked of a server, or happened to it.
    History(ServerId),
    /// A node.
    Node,
    /// What the administration keeps beside nodes.
    Administration,
}

impl About {
    /// Returns what a key of one of [`TABLES`] is about.
    pub(super) fn key(key: &ChangedKey) -> Option<Self> {
        if let Some((tenant, server)) = key.of(SERVERS).or_else(|| key.of(OBSERVED)) {
            return Some(Self::Server(tenant, server));
        }
        let intent: Option<(TenantId, ServerId, IntentId)> = key.of(INTENTS);
        let event: Option<(TenantId, ServerId, UnixMs, EventId)> = key.of(ACTIVITY);
        let server = intent.map(|it| it.1).or(event.map(|it| it.1));
        if let Some(server) = server {
            return Some(Self::History(server));
        }
        let node = key.of(NODES).or_else(|| key.of(NODES_SEEN)).or_else(|| key.of(NODE_STATES));
        if node.is_some() {
            return node.map(|_: NodeId| Self::Node);
        }
        let is_kept = key.of(TENANTS).is_some()
            || key.of(BLUEPRINTS).is_some()
            || key.of(ALARMS).is_some()
            || key.of(JOIN_TOKENS).is_some();
        is_kept.then_some(Self::Administration)
    }
}

/// What a viewer may see of what it looks at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sight {
    /// What it is told of; of a server, with its node.
    pub(super) topics: BTreeMap<Topic, Option<NodeId>>,
    /// What it holds for the servers among them.
    pub(super) keys: BTreeMap<ServerId, ServerKeys>,
    /// Whose servers it may see, when it looks at the list.
    pub(super) seen: Option<Seen>,
}

impl Sight {
    /// Whether a server is in the list that the viewer looks at.
    pub(super) fn lists(&self, tenant: TenantId, server: ServerId) -> bool {
        match &self.seen {
            None => false,
            Some(Seen::All) => true,
            Some(Seen::These { tenants, shared }) => {
                tenants.contains(&tenant) || shared.contains(&(tenant, server))
            }
        }
    }

    /// Returns what changed for this viewer.
    pub(super) fn of(&self, about: About) -> impl Iterator<Item = Topic> {
        let (list, one) = match about {
            About::Server(tenant, server) => {
                let list = self.lists(tenant, server).then_some(Topic::Servers);
                (list, Some(Topic::Server(server)))
            }
            About::History(server) => (None, Some(Topic::Server(server))),
            About::Node => (Some(Topic::Nodes), None),
            About::Administration => (Some(Topic::Administration), None),
        };
        [list, one].into_iter().flatten().filter(|topic| self.topics.contains_key(topic))
    }

    /// Returns what changed for this viewer with the link of a node. `is_listed` says whether a server
    /// of the list is on it.
    pub(super) fn of_link(&self, node: NodeId, is_listed: bool) -> BTreeSet<Topic> {
        let changed = |(topic, at): (&Topic, &Option<NodeId>)| match topic {
            Topic::Nodes => true,
            Topic::Servers => is_listed,
            Topic::Server(_) => *at == Some(node),
            Topic::Administration | Topic::Gauges(_) => false,
        };
        let found = self.topics.iter().filter(|it| changed((it.0, it.1)));
        found.map(|(topic, _)| *topic).collect()
    }

    /// Returns the servers whose gauges it looks at, with their places.
    pub(super) fn gauges(&self) -> BTreeMap<ServerId, Place> {
        let gauges = self.topics.iter().filter_map(|(topic, node)| match topic {
            Topic::Gauges(server) => Some((*server, ((*node)?, *self.keys.get(server)?))),
            Topic::Servers | Topic::Nodes | Topic::Administration | Topic::Server(_) => None,
        });
        gauges.collect()
    }
}

/// What waits to be told to a viewer: never more than it looks at.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    looking: Option<Vec<Topic>>,
    is_missed: bool,
    changed: BTreeSet<Topic>,
    gauges: BTreeMap<ServerId, Gauges>,
}

impl Waiting {
    /// Whether there is anything.
    pub(super) fn is_any(&self) -> bool {
        let is_quiet = self.changed.is_empty() && self.gauges.is_empty();
        self.looking.is_some() || self.is_missed || !is_quiet
    }

    /// What the viewer may see is now this.
    pub(super) fn look(&mut self, sight: &Sight) {
        let has = |topic: &Topic| sight.topics.contains_key(topic);
        self.changed.retain(has);
        self.gauges.retain(|server, _| has(&Topic::Gauges(*server)));
        self.looking = Some(sight.topics.keys().copied().collect());
    }

    /// These changed.
    pub(super) fn change(&mut self, topics: impl IntoIterator<Item = Topic>) {
        if !self.is_missed {
            self.changed.extend(topics);
        }
    }

    /// Something changed, and nobody knows what.
    pub(super) fn miss(&mut self) {
        self.is_missed = true;
        self.changed.clear();
    }

    /// A gauge came. An older one that was not told is not told any more.
    pub(super) fn gauge(&mut self, gauges: Gauges) {
        self.gauges.insert(gauges.server, gauges);
    }

    /// Takes what there is, as messages. What may be seen comes first.
    pub(super) fn take(&mut self) -> Vec<FeedMessage> {
        let Self { looking, is_missed, changed, gauges } = std::mem::take(self);
        let mut messages = Vec::new();
        messages.extend(looking.map(FeedMessage::Looking));
        if is_missed {
            messages.push(FeedMessage::Missed(true));
        }
        if !changed.is_empty() {
            messages.push(FeedMessage::Changed(changed.into_iter().collect()));
        }
        messages.extend(gauges.into_values().map(FeedMessage::Gauges));
        messages
    }
}
