//! Pure: version 1 of the link between edge and hub.
//!
//! The edge dials. ALPN is `mamba-link/1`; the minor version is agreed in [`Hello`] and [`Welcome`].
//! QUIC streams and who opens them:
//!
//! | stream | opened by | frames |
//! |---|---|---|
//! | control, the first bidirectional one | edge | everything in [`EdgeFrame`] and [`HubFrame`] but facts and state |
//! | usage, activity, state: one unidirectional each | edge | [`EdgeFrame::Facts`] or [`EdgeFrame::PackedFacts`], [`EdgeFrame::State`] |
//! | request, one bidirectional each | hub | [`crate::node`] |
//!
//! Each stream of the edge begins with [`LaneOpen`]. The hub sends [`HubFrame::Challenge`] first, so that the edge counts the link as up only when the
//! hub has accepted its certificate. Then the edge sends [`Hello`], the hub [`Welcome`], and both
//! sides talk freely. Acks mean custody: they follow the commit.
//!
//! Released messages are never edited: golden bytes in `tests/it/golden.rs` hold them.

use crate::frame::{CRITICAL, Frame, FrameError};
use mamba_core::{
    access::ServerKeys,
    clock::UnixMs,
    desired::{EnvelopeHash, Order, SignedEnvelope},
    error::Invalid,
    fact::{Chain, Stream},
    ids::{InstanceId, IntentId, NodeId, ServerId, UserId},
    lifecycle::{Observed, PowerAction},
    registry::{HOST_BYTES_MAX, LOGINS_MAX, Login, PASSWORD_BYTES_MAX, USER_BYTES_MAX},
    seq::{Epoch, Seq},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// ALPN of a session.
pub const ALPN: &[u8] = b"mamba-link/1";
/// ALPN of enrolment and renewal, where the client has no valid certificate.
pub const ALPN_ENROL: &[u8] = b"mamba-enrol/1";
/// Newest minor version spoken here.
pub const MINOR_MAX: u16 = 1;
/// From this minor version on, usage is sent as [`EdgeFrame::PackedFacts`].
pub const MINOR_PACKED: u16 = 1;
/// Oldest minor version still spoken.
pub const MINOR_MIN: u16 = 0;
/// Most facts in one batch.
pub const BATCH_FACTS_MAX: usize = 256;
/// Most bytes of facts in one batch.
pub const BATCH_BYTES_MAX: usize = 256 * 1024;
/// Batches that may be on the way without an ack, per stream.
pub const BATCHES_IN_FLIGHT_MAX: usize = 4;
/// Most bytes of envelopes in one message.
pub const ENVELOPES_BYTES_MAX: usize = 512 * 1024;
/// Most intents in one message, and most that the hub keeps open for a node.
pub const INTENTS_MAX: usize = 256;
/// Most servers of one node, in any message that lists them.
pub const SERVERS_MAX: usize = 2_000;

const _: () = assert!(mamba_core::desired::ENVELOPE_BYTES_MAX < ENVELOPES_BYTES_MAX);
const _: () = assert!(ENVELOPES_BYTES_MAX < crate::frame::FRAME_BYTES_MAX);
const _: () = assert!(
    LOGINS_MAX * (HOST_BYTES_MAX + USER_BYTES_MAX + PASSWORD_BYTES_MAX + 8)
        < crate::frame::FRAME_BYTES_MAX
);
const _: () = assert!(BATCH_BYTES_MAX * 2 < crate::frame::FRAME_BYTES_MAX);
const _: () = assert!(mamba_core::fact::FACT_BYTES_MAX < BATCH_BYTES_MAX);
// A line of the desired digest has about 80 bytes.
const _: () = assert!(SERVERS_MAX * 96 < crate::frame::FRAME_BYTES_MAX);

/// First words of the edge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Hello {
    /// Who it is. Must be the node in its certificate.
    pub node: NodeId,
    /// This run of the daemon. Two live sessions with different ones are two daemons.
    pub instance: InstanceId,
    /// Minor versions that it speaks, least and most.
    pub minors: (u16, u16),
    /// Version of the program, for people.
    pub software: String,
    /// State of each outbox stream, one for each of [`Stream::ALL`].
    pub streams: Vec<StreamHello>,
    /// Every wish that it holds, tombstones included.
    pub desired: Vec<DesiredLine>,
    /// Its calendar as it believes it, to see how wrong it is.
    pub now: UnixMs,
}

/// State of one outbox stream at the edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StreamHello {
    /// Which.
    pub stream: Stream,
    /// Which filling of the table.
    pub epoch: Epoch,
    /// Lowest sequence still kept; equal to `next` when none is.
    pub first_retained: Seq,
    /// Sequence of the next fact.
    pub next: Seq,
    /// Chain hash of `next - 1`.
    pub chain_head: Chain,
    /// Chain hash at each kept sequence can be asked for; this is the one before `first_retained`.
    pub chain_before_first: Chain,
}

/// One wish that the edge holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DesiredLine {
    /// About which server.
    pub server: ServerId,
    /// Its rank.
    pub order: Order,
    /// Its content.
    pub hash: EnvelopeHash,
}

/// First words of the hub.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Welcome {
    /// Minor version spoken from now on.
    pub minor: u16,
    /// Version of the program, for people.
    pub software: String,
    /// The hub's time.
    pub now: UnixMs,
    /// What the hub holds of each stream that the hello named, in its order.
    pub streams: Vec<StreamWelcome>,
}

/// What the hub holds of one outbox stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StreamWelcome {
    /// Which.
    pub stream: Stream,
    /// What was found when the two states were compared.
    pub found: Found,
    /// The epoch that the hello named.
    pub epoch: Epoch,
    /// Everything up to this is in the hub's custody; the edge goes on with the next.
    pub watermark: Seq,
    /// Chain hash at the watermark.
    pub chain_at_watermark: Chain,
    /// Everything up to this is also in a verified backup; only that may be pruned.
    pub backup_watermark: Seq,
}

/// How the two ends of a stream relate at hello.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Found {
    /// The hub has never seen this epoch.
    NewEpoch,
    /// Resume after the watermark.
    InStep,
    /// The hub lacks facts that the edge no longer has; a gap was recorded, go on.
    HubLost,
    /// The edge went back or diverged: it must make a new epoch and issue what it keeps anew.
    Fork,
}

/// Frames that the edge sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EdgeFrame {
    /// First on control.
    Hello(Hello),
    /// First on each stream: which one it is.
    LaneOpen(LaneOpen),
    /// A batch of one stream, without gaps.
    Facts(Facts),
    /// What is seen of servers that changed since the last of these.
    State(StateReport),
    /// What became of envelopes that came.
    DesiredResults(Vec<DesiredResult>),
    /// What became of intents that came.
    IntentResults(Vec<IntentResult>),
    /// Answer to [`HubFrame::Ping`] with its number.
    Pong(u64),
    /// Answer to [`HubFrame::AskDesired`], in its order; what is not held is left out.
    Envelopes(Vec<SignedEnvelope>),
    /// A batch of the usage stream, without gaps, as it differs from those before. Only where
    /// [`MINOR_PACKED`] was agreed.
    PackedFacts(PackedFacts),
}

/// First frame of every stream that the edge opens: which one it is. The control stream needs it
/// too, because a QUIC stream is invisible to the other side until something is written to it.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub enum LaneOpen {
    /// Facts of one outbox stream.
    Facts(Stream),
    /// State reports.
    State,
    /// Everything else.
    Control,
}

/// Consecutive facts of one stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Facts {
    /// Which stream.
    pub stream: Stream,
    /// Which filling of its table.
    pub epoch: Epoch,
    /// Sequence of the first fact.
    pub first: Seq,
    /// Encoded facts in order, 1 to [`BATCH_FACTS_MAX`].
    pub bodies: Vec<Vec<u8>>,
    /// Chain hash of the last one.
    pub chain: Chain,
}

/// Consecutive facts of the usage stream, each told by how it differs from the one before it in this
/// session: see [`crate::session`]. Epoch and chain are those that the session goes on with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PackedFacts {
    /// Sequence of the first fact.
    pub first: Seq,
    /// Beginning of the chain hash of the last one: tells whether what was unpacked is what was packed.
    pub check: [u8; 8],
    /// The facts, 1 to [`BATCH_FACTS_MAX`].
    pub bytes: Vec<u8>,
}

impl PackedFacts {
    /// Returns the part of a chain hash that is sent.
    #[must_use]
    pub fn check_of(chain: Chain) -> [u8; 8] {
        let [a, b, c, d, e, f, g, h, ..] = chain.0;
        [a, b, c, d, e, f, g, h]
    }
}

/// What the node sees.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StateReport {
    /// Whether this is everything: servers not named are not on the node.
    pub complete: bool,
    /// Servers, those that changed or all.
    pub servers: Vec<Observed>,
    /// The machine.
    pub node: NodeState,
}

/// What is seen of the machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NodeState {
    /// Processors.
    pub cpus: u32,
    /// Memory in bytes.
    pub memory_bytes: u64,
    /// Size of the file system that holds the servers' data, in bytes.
    pub disk_bytes: u64,
    /// Room left on it in bytes.
    pub disk_free_bytes: u64,
    /// Container engine and its version, `None` when it does not answer.
    pub engine: Option<String>,
    /// What is wrong with the node at the moment, one line each, most serious first.
    pub troubles: Vec<String>,
    /// Facts not yet in the hub's custody and the age of the oldest, per stream.
    pub outbox: Vec<OutboxState>,
}

/// Depth of one outbox stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OutboxState {
    /// Which.
    pub stream: Stream,
    /// Facts without an ack.
    pub unacked: u64,
    /// Age of the oldest of them in milliseconds, 0 without any.
    pub oldest_age_ms: u64,
}

/// What the edge did with one envelope.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DesiredResult {
    /// About which server.
    pub server: ServerId,
    /// Which wish.
    pub order: Order,
    /// What became of it.
    pub outcome: DesiredOutcome,
}

/// What became of an envelope.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DesiredOutcome {
    /// It is stored and in force, now or already before.
    Adopted,
    /// Another with the same rank and other content is held: alarm.
    Conflict,
    /// A newer one is held.
    Stale,
    /// One from a later life of the hub is held.
    HubRollback,
    /// The signature is wrong or it is for another node: alarm.
    Forged,
    /// Its content breaks a rule; the last good one stays.
    Invalid(Invalid),
    /// With the others of the same delta it would stop or delete too many servers at once.
    NeedsForce,
    /// The node could not store it now; the hub sends it again later.
    NotStored,
}

/// A user's wish that is carried out once or not at all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Intent {
    /// Its id: a second copy is recognised by it.
    pub intent: IntentId,
    /// About which server.
    pub server: ServerId,
    /// What is wanted.
    pub action: PowerAction,
    /// Who wants it.
    pub by: UserId,
    /// What they held for the server when they asked.
    pub keys: ServerKeys,
    /// Not carried out at or after this, by hub time.
    pub expires_at: UnixMs,
}

/// What became of an intent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct IntentResult {
    /// Which.
    pub intent: IntentId,
    /// What became of it.
    pub outcome: IntentOutcome,
}

/// What became of an intent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum IntentOutcome {
    /// Recorded on the node and carried out from there on.
    Accepted,
    /// It came too late and does nothing.
    Expired,
    /// The node may not or cannot, and why.
    Refused(String),
}

/// Frames that the hub sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HubFrame {
    /// First of all: the certificate was accepted. Carries the hub's time.
    Challenge(UnixMs),
    /// Answer to the hello.
    Welcome(Welcome),
    /// Facts up to this are in custody.
    Ack(Ack),
    /// Wishes to take over.
    Desired(Vec<SignedEnvelope>),
    /// Intents to carry out.
    Intents(Vec<Intent>),
    /// Asks for a pong and tells the hub's time.
    Ping(Ping),
    /// The session ends, and why.
    Goodbye(Goodbye),
    /// Asks for wishes that the edge holds and the hub does not, because the hub came back from a
    /// backup. It takes them over before it sends any of its own.
    AskDesired(Vec<ServerId>),
    /// All logins of image registries that the hub knows, in place of those before. An edge that does
    /// not know this frame pulls with its own alone.
    Registries(Vec<Login>),
}

/// Custody of one stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Ack {
    /// Which stream.
    pub stream: Stream,
    /// Which filling of its table.
    pub epoch: Epoch,
    /// Everything up to this is in custody.
    pub watermark: Seq,
    /// Everything up to this is also in a verified backup.
    pub backup_watermark: Seq,
}

/// Keeps the clocks together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Ping {
    /// Comes back in the pong.
    pub number: u64,
    /// The hub's time.
    pub now: UnixMs,
}

/// Why the hub ends a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Goodbye {
    /// The node was revoked.
    Revoked,
    /// A newer session of the same node took over.
    Superseded,
    /// The node is in quarantine: two daemons fight over its identity.
    Quarantined,
    /// No common minor version.
    Version {
        /// Least and most that the hub speaks.
        minors: (u16, u16),
    },
    /// The hub shuts down; dial again.
    ShuttingDown,
    /// The edge broke the protocol.
    Protocol(String),
}

macro_rules! frames {
    ($(#[$doc:meta])* $name:ident { $($kind:literal $variant:ident($body:ty) $flags:expr;)+ }) => {
        impl $name {
            /// Encodes the frame.
            ///
            /// # Errors
            /// `TooLarge` when it does not fit.
            pub fn to_frame(&self) -> Result<Frame, FrameError> {
                match self {
                    $(Self::$variant(body) => Frame::new($kind, $flags, body),)+
                }
            }

            /// Decodes a frame; `None` for an unknown one that may be skipped.
            ///
            /// # Errors
            /// `Malformed`, or `UnknownCritical`.
            pub fn from_frame(frame: &Frame) -> Result<Option<Self>, FrameError> {
                match frame.kind {
                    $($kind => frame.open::<$body>().map(|body| Some(Self::$variant(body))),)+
                    kind if frame.is_critical() => Err(FrameError::UnknownCritical { kind }),
                    _ => Ok(None),
                }
            }
        }
    };
}

frames! { EdgeFrame {
    1 Hello(Hello) CRITICAL;
    2 LaneOpen(LaneOpen) CRITICAL;
    3 Facts(Facts) CRITICAL;
    4 State(StateReport) 0;
    5 DesiredResults(Vec<DesiredResult>) CRITICAL;
    6 IntentResults(Vec<IntentResult>) CRITICAL;
    7 Pong(u64) 0;
    8 Envelopes(Vec<SignedEnvelope>) CRITICAL;
    9 PackedFacts(PackedFacts) CRITICAL;
} }

frames! { HubFrame {
    101 Challenge(UnixMs) CRITICAL;
    102 Welcome(Welcome) CRITICAL;
    103 Ack(Ack) CRITICAL;
    104 Desired(Vec<SignedEnvelope>) CRITICAL;
    105 Intents(Vec<Intent>) CRITICAL;
    106 Ping(Ping) 0;
    107 Goodbye(Goodbye) CRITICAL;
    108 AskDesired(Vec<ServerId>) CRITICAL;
    109 Registries(Vec<Login>) 0;
} }
