//! Pure: records of what is wanted and seen of servers.

use crate::external::ExternalId;
use mamba_core::{
    access::ServerKeys,
    blueprint::Choices,
    clock::UnixMs,
    desired::{EnvelopeHash, Home, Order},
    ids::{AllocationId, NodeId, ServerId, TenantId, TransferId, UserId},
    lifecycle::{Actor, Observed, PowerAction},
    placement::Size,
    record,
    server::PortBinding,
};
use mamba_wire::link::v1::DesiredOutcome;
use serde::{Deserialize, Serialize};

/// What is wanted of one server: everything that its envelope is made from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerRecord {
    /// Where it runs.
    pub node: NodeId,
    /// Which of its homes that is.
    pub home: Home,
    /// Set while it is being moved to another node, until that is decided.
    pub moving: Option<Moving>,
    /// Since when it belongs to another tenant: then this is what its former owner keeps of it.
    pub passed_on: Option<UnixMs>,
    /// Its blueprint's key.
    pub blueprint: String,
    /// Version of the blueprint that it is made from.
    pub blueprint_version: u32,
    /// Name, variables, limits, ports and the rest; without the values of secret variables.
    pub choices: Choices,
    /// Whether there are such values; they are sealed.
    pub has_secrets: bool,
    /// Allocations that its ports come from, in the order of `choices.ports`.
    pub allocations: Vec<AllocationId>,
    /// Most ports that its owner may bring it to; those that it has already stay.
    pub allocation_limit: u32,
    /// Most backups that it may have.
    pub backup_limit: u32,
    /// What it is for, for people.
    pub description: Option<String>,
    /// Its name in another system, of which there is one in the whole hub.
    pub external_id: Option<ExternalId>,
    /// Whether its install script is never run.
    pub skip_scripts: bool,
    /// Rank of the newest wish.
    pub order: Order,
    /// Who had it made.
    pub made_by: Actor,
    /// When it was made.
    pub made_at: UnixMs,
    /// When what is wanted changed last.
    pub changed_at: UnixMs,
    /// Set when it is to be deleted.
    pub deletion: Option<Deletion>,
}
record!(ServerRecord, 1);

/// A move to another node that is not decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moving {
    /// Which.
    pub transfer: TransferId,
    /// Where to.
    pub to: NodeId,
    /// Whether it may not run meanwhile.
    pub is_frozen: bool,
}

/// A deletion that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deletion {
    /// When.
    pub asked_at: UnixMs,
    /// By whom.
    pub by: Actor,
    /// The node does nothing before this.
    pub not_before: UnixMs,
    /// How long the node keeps the data in the trash.
    pub retain_ms: u64,
    /// When the hub learnt that the node did it. Its ports are free since then.
    pub done_at: Option<UnixMs>,
}

/// One port of a server, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerPort {
    /// Allocation that it comes from.
    pub allocation: AllocationId,
    /// What is published.
    pub binding: PortBinding,
}

impl ServerRecord {
    /// Returns its ports with their allocations, the primary first.
    #[must_use]
    pub fn ports(&self) -> Vec<ServerPort> {
        let pairs = self.allocations.iter().zip(&self.choices.ports);
        pairs
            .map(|(allocation, binding)| ServerPort {
                allocation: *allocation,
                binding: binding.clone(),
            })
            .collect()
    }

    /// Whether the newest wish ends it: it is suspended or to be deleted.
    #[must_use]
    pub fn is_ending(&self) -> bool {
        self.choices.suspended || self.deletion.is_some()
    }

    /// Whether it still occupies its node, for this owner: ports, memory, disk.
    #[must_use]
    pub fn is_present(&self) -> bool {
        let is_gone = self.deletion.as_ref().is_some_and(|deletion| deletion.done_at.is_some());
        !is_gone && self.passed_on.is_none()
    }
}

/// The newest envelope of a server. What travels is sealed beside it, for it holds secrets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvelopeRecord {
    /// Its rank.
    pub order: Order,
}
record!(EnvelopeRecord, 1);

/// A server as its node's index holds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlacedServer {
    /// Who owns it.
    pub tenant: TenantId,
    /// Rank of its newest envelope.
    pub order: Order,
    /// Content of its newest envelope.
    pub hash: EnvelopeHash,
    /// Whether that envelope suspends or deletes it.
    pub ending: bool,
    /// What it may use.
    pub promised: Size,
    /// Whether it lives on another node by now; `order` and `hash` are of what this one should hold.
    pub left: bool,
    /// Whether the node did what its tombstone says, or cleared away what left.
    pub gone: bool,
    /// Newest rank that the node said to hold.
    pub held: Option<Order>,
    /// The node's last word on an envelope that it did not adopt, and when.
    pub refused: Option<(Order, DesiredOutcome, UnixMs)>,
}
record!(PlacedServer, 1);

/// The right of a node to speak for a server, from the time in its key on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The node.
    pub node: NodeId,
    /// End, `None` while it lasts.
    pub until: Option<UnixMs>,
}
record!(Lease, 1);

/// A recorded power action.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IntentRecord {
    /// The node that it is for.
    pub node: NodeId,
    /// What is wanted.
    pub action: PowerAction,
    /// Who wants it.
    pub by: UserId,
    /// What they held for the server when they asked.
    pub keys: ServerKeys,
    /// When it was given.
    pub given_at: UnixMs,
    /// Not carried out at or after this.
    pub expires_at: UnixMs,
    /// What became of it.
    pub state: IntentState,
    /// When that was known.
    pub state_at: UnixMs,
}
record!(IntentRecord, 1);

/// What became of an intent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum IntentState {
    /// Not yet handed to the node's session.
    Pending,
    /// Handed over; the node has not answered. The node itself judges whether it came in time.
    Sent,
    /// The node took it over in time.
    Applied,
    /// It came too late and did nothing.
    Expired,
    /// The node may not or cannot, and why.
    Refused(String),
    /// It was taken back before it was handed over.
    Cancelled,
}

impl IntentRecord {
    /// Returns what can be said of it at a time: one that was never handed over expires by itself.
    #[must_use]
    pub fn shown_state(&self, now: UnixMs) -> IntentState {
        match &self.state {
            IntentState::Pending if now >= self.expires_at => IntentState::Expired,
            state => state.clone(),
        }
    }
}

/// An intent that a node has not answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IntentWaiting {
    /// Whose server.
    pub tenant: TenantId,
    /// Which server.
    pub server: ServerId,
}
record!(IntentWaiting, 1);

/// What is seen of one server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObservedRecord {
    /// The node that said so.
    pub node: NodeId,
    /// When.
    pub received_at: UnixMs,
    /// What.
    pub observed: Observed,
}
record!(ObservedRecord, 1);
