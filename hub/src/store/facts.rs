//! Pure: records of custody, usage, activity and alarms.

use mamba_core::{
    clock::UnixMs,
    db::{RecordError, decode_postcard},
    fact::{Activity, Chain, GapReason, Quantities, Stream},
    ids::{NodeId, ServerId, TenantId},
    lifecycle::Actor,
    record,
    seq::Seq,
    usage::coverage,
};
use serde::{Deserialize, Serialize};

/// One epoch of one stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamRecord {
    /// Everything up to this is in custody, or in a gap row.
    pub watermark: Seq,
    /// Chain hash at the watermark.
    pub chain: Chain,
    /// Everything up to this is in a verified backup.
    pub backup_watermark: Seq,
    /// When the epoch was seen first.
    pub opened_at: UnixMs,
    /// When another epoch took its place, `None` while it is the current one.
    pub closed_at: Option<UnixMs>,
}
record!(StreamRecord, 1);

/// One fact as it came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CustodyRecord {
    /// When.
    pub received_at: UnixMs,
    /// Its bytes.
    pub body: Vec<u8>,
}
record!(CustodyRecord, 1);

/// Why a fact in custody was not booked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantined {
    /// When.
    pub received_at: UnixMs,
    /// Why, in words.
    pub reason: String,
}
record!(Quarantined, 1);

/// Sequences that the hub does not have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamGap {
    /// First one.
    pub first: Seq,
    /// Last one; `None` when it is not known how far the edge had come.
    pub last: Option<Seq>,
    /// Why.
    pub kind: StreamGapKind,
}
record!(StreamGap, 1);

/// Why sequences are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StreamGapKind {
    /// The edge had pruned them and the hub lost more than its backup promised.
    HubLost,
    /// The edge began a new epoch; what it had not sent of the old one may be issued anew in the
    /// new one, or lost.
    TailPossiblyLost,
}

/// Counts of one node since it joined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Batches with at least one new fact.
    pub batches: u64,
    /// Facts taken into custody.
    pub facts: u64,
    /// Facts that came again.
    pub repeated: u64,
    /// Facts in quarantine.
    pub quarantined: u64,
    /// Usage facts of which some or all was billed before.
    pub clipped: u64,
    /// Events that were known from an earlier epoch.
    pub events_known: u64,
    /// When an alarm about facts in quarantine was raised last.
    pub alarmed_at: UnixMs,
}
record!(Counters, 1);

/// What one usage fact added to its hour.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Posting {
    /// The node that measured.
    pub node: NodeId,
    /// End of the fact's span.
    pub to: UnixMs,
    /// Added to the hour.
    pub billed: Quantities,
    /// Not added, because the time was billed before.
    pub clipped: Quantities,
}
record!(Posting, 1);

/// Spans of one hour that were billed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coverage {
    /// The spans.
    pub spans: coverage::Coverage,
}
record!(Coverage, 1);

/// Sums of one hour.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HourRecord {
    /// Billed quantities.
    pub billed: Quantities,
    /// When the last fact for it came.
    pub updated_at: UnixMs,
}
record!(HourRecord, 1);

/// A span not, or not wholly, measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// End of the span.
    pub to: UnixMs,
    /// Why.
    pub reason: GapReason,
}
record!(Gap, 1);

/// One event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActivityRecord {
    /// When, by the calendar of whoever made it.
    pub at: UnixMs,
    /// When the hub learnt of it.
    pub received_at: UnixMs,
    /// Who caused it.
    pub actor: Actor,
    /// What it was.
    pub activity: Activity,
}
record!(ActivityRecord, 1);

/// Something that a person should look at. Stays until it is cleared; while it does, the same again
/// is counted in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alarm {
    /// When it happened first.
    pub at: UnixMs,
    /// About which node.
    pub node: Option<NodeId>,
    /// About which server.
    pub server: Option<(TenantId, ServerId)>,
    /// What happened last, in one line.
    pub text: String,
    /// How often it happened.
    pub count: u64,
    /// When it happened last.
    pub last_at: UnixMs,
}
record!(Alarm, 2, Alarm::from_first);

impl Alarm {
    /// Version 1 had neither count nor last time.
    fn from_first(version: u8, body: &[u8]) -> Result<Self, RecordError> {
        type First = (UnixMs, Option<NodeId>, Option<(TenantId, ServerId)>, String);
        if version != 1 {
            return Err(RecordError::Unmigratable { found: version });
        }
        let (at, node, server, text): First = decode_postcard(version, body)?;
        Ok(Self { at, node, server, text, count: 1, last_at: at })
    }
}

/// What an alarm is about. Of one kind there is one open alarm per node and server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlarmKind {
    /// Two daemons fight over a node's identity.
    Identity,
    /// A node was given a new key.
    NewKey,
    /// A node did not take over a wish.
    WishRefused,
    /// A wish was taken over from a node.
    WishAdopted,
    /// A server that was taken over uses a port of another.
    PortTaken,
    /// Facts are in quarantine.
    Quarantine,
    /// The hub's clock went back.
    Clock,
    /// A node's facts differ from those in custody.
    Forked(Stream),
    /// Facts are lost.
    Lost(Stream),
}

impl AlarmKind {
    /// Number in keys. Never changes.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Identity => 0,
            Self::NewKey => 1,
            Self::WishRefused => 2,
            Self::WishAdopted => 3,
            Self::PortTaken => 4,
            Self::Quarantine => 5,
            Self::Clock => 6,
            Self::Forked(stream) => 16 + super::stream_number(stream),
            Self::Lost(stream) => 32 + super::stream_number(stream),
        }
    }
}
