//! Facts on their way to the hub, kept until the hub has them twice: in custody and in a backup.
//!
//! Tables 20 to 29 of the edge's store:
//!
//! | table | key | value |
//! |---|---|---|
//! | 20 `outbox_meta` | stream u8 | `Meta` |
//! | 21 `outbox_facts` | stream u8, lane u32, sequence u64 | time u64 BE, chain 32 bytes, body |
//!
//! - A fact is appended in the transaction that made it true ([`append_usage`],
//!   [`append_activity`]), so that its sequence has no gaps: a transaction that fails leaves nothing.
//!   It is never changed.
//! - A fact is removed only when its sequence is at or below both what the hub acknowledged and what
//!   the hub's last verified backup holds ([`Outbox::ack`]).
//! - Each fact is stored with the chain hash up to it, so that the hash at any kept sequence can be
//!   told without reading the rest.
//! - A *lane* is one numbering of the facts under one epoch. When the hub asks for a fork the kept
//!   facts are copied, a few per transaction, into a new lane with a new epoch, numbered from 1;
//!   readers see the old lane, which meanwhile takes appends as usual, until the transaction that
//!   copies the last fact makes the new lane the current one. The old lane is removed afterwards,
//!   again in small transactions. A fork that was cut off by a crash goes on where it was.
//!
//! Bounds. **Usage is never dropped.** What a node that is cut off keeps is bounded by its
//! rate: per server 288 windows of 5 minutes on the first day and then 24 of an hour a day (see
//! `mamba_core::usage::window`), [`usage_facts_max`] in all, and two more for each start and stop. That
//! is 1,344 in 45 days, at most [`USAGE_FACT_BYTES`] each, about 300 KB; [`USAGE_FACTS_ALARM`] raises
//! an alarm far above what 500 servers need. If the disk fills up first, the meter holds its windows
//! back in memory, as for any full disk. **Activity** is kept up to [`ACTIVITY_FACTS_MAX`] facts or
//! [`ACTIVITY_BYTES_MAX`] bytes. Above it new facts are counted, not kept, and when there is room
//! again the first thing appended is [`Activity::Lost`] with the count. The oldest cannot make room
//! instead: the hub would see a hole in the sequence and take it for lost data.

mod prune;
mod fork;
mod read;
#[cfg(test)]
mod tests;

pub use read::{Window, activity, chain_at, hello, line, lines, state, trouble, usage, window};

use mamba_core::{
    clock::{Entropy, UnixMs, draw},
    db::{Record, RecordError, Snapshot, Store, Table, TableDef, Txn, TxnError, WriteError},
    fact::{Activity, ActivityFact, Chain, FACT_BYTES_MAX, FactError, Stream, UsageFact},
    ids::EventId,
    lifecycle::Actor,
    record,
    seq::{Epoch, Seq},
};
use serde::{Deserialize, Serialize};

/// Most activity facts kept: weeks of a busy node, and still a scan of seconds.
pub const ACTIVITY_FACTS_MAX: u64 = 1_000_000;
/// Most bytes of activity kept: what a node of the smallest size can spare.
pub const ACTIVITY_BYTES_MAX: u64 = 512 << 20;
/// Kept usage facts that raise an alarm: three times what 500 servers gather in 45 days.
pub const USAGE_FACTS_ALARM: u64 = 2_000_000;

/// Bytes that a usage fact takes in the store, with its key and chain hash, rounded up.
pub const USAGE_FACT_BYTES: u64 = 256;

/// Returns the most usage facts that servers which neither start nor stop leave here in so many whole
/// days without the hub.
#[must_use]
pub const fn usage_facts_max(servers: u64, days: u64) -> u64 {
    servers * if days == 0 { 0 } else { FIRST_DAY_FACTS + LATER_DAY_FACTS * (days - 1) }
}

/// Windows of five minutes on the first day, and the one that was open before it.
const FIRST_DAY_FACTS: u64 = 24 * 12 + 1;
/// Windows of an hour on each day that follows.
const LATER_DAY_FACTS: u64 = 24;

const _: () = assert!(USAGE_FACTS_ALARM > 2 * usage_facts_max(500, 45));

/// Facts removed or copied in one transaction: below the aim of 100 operations, with the record of
/// the stream.
const CHUNK_FACTS_MAX: usize = 96;
/// Bytes copied in one transaction.
const CHUNK_BYTES_MAX: usize = 256 << 10;

const _: () = assert!(CHUNK_FACTS_MAX < mamba_core::db::TXN_OPS_AIM);
const _: () = assert!(CHUNK_BYTES_MAX + FACT_BYTES_MAX < mamba_core::db::TXN_BYTES_AIM);

const META: Table<u8, Meta> = Table::new(20, "outbox_meta");
const FACTS: Table<FactKey, Fact> = Table::new(21, "outbox_facts");
/// Stream, lane, sequence.
type FactKey = (u8, u32, u64);

/// Tables of this module, for the list of all tables of the store.
pub const TABLES: [TableDef; 2] = [META.def(), FACTS.def()];

/// State of one stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Meta {
    epoch: Epoch,
    /// Which numbering is the current one.
    lane: u32,
    /// Sequence of the next fact.
    next: Seq,
    /// In the hub's custody.
    acked: Seq,
    /// In the hub's verified backup.
    backed_up: Seq,
    /// Lowest kept sequence; `next` when none is.
    first: Seq,
    /// Hash of `next - 1`.
    chain_head: Chain,
    /// Hash of `first - 1`.
    chain_before_first: Chain,
    /// Bytes of the kept bodies.
    bytes: u64,
    /// Activity facts that were not kept since the last [`Activity::Lost`].
    lost: u64,
    /// The lane that a fork is filling.
    fork: Option<Fork>,
    /// Lanes below this one, and not below `lanes_removed`, still have facts to remove.
    lanes_removed: u32,
}
record!(Meta, 1);

/// A fork under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Fork {
    epoch: Epoch,
    /// Sequence in the old lane of the next fact to copy.
    from: Seq,
    /// Its sequence in the new lane.
    next: Seq,
    chain_head: Chain,
    bytes: u64,
}

/// One stored fact.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Fact {
    at: UnixMs,
    /// Hash up to and with this fact.
    chain: Chain,
    body: Vec<u8>,
}

impl Record for Fact {
    const VERSION: u8 = 1;
    fn encode_body(&self, out: &mut Vec<u8>) -> Result<(), RecordError> {
        out.extend_from_slice(&self.at.0.to_be_bytes());
        out.extend_from_slice(&self.chain.0);
        out.extend_from_slice(&self.body);
        Ok(())
    }
    fn decode_body(body: &[u8]) -> Result<Self, RecordError> {
        let short = RecordError::Body {
            version: Self::VERSION,
            source: postcard::Error::DeserializeUnexpectedEnd,
        };
        let Some((at, rest)) = body.split_first_chunk() else { return Err(short) };
        let Some((chain, body)) = rest.split_first_chunk() else { return Err(short) };
        let at = UnixMs(u64::from_be_bytes(*at));
        Ok(Self { at, chain: Chain(*chain), body: body.to_vec() })
    }
}

/// Why the outbox did not do it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum OutboxError {
    /// [`init`] was not called on this store.
    #[error("outbox has no {0:?} stream")]
    NotMade(Stream),
    /// The fact breaks its format.
    #[error("fact could not be encoded")]
    Encode(#[source] FactError),
    /// The caller speaks of another filling of the table.
    #[error("{stream:?} stream has epoch {ours}, not {theirs}")]
    ForeignEpoch {
        /// Which stream.
        stream: Stream,
        /// Its epoch.
        ours: Epoch,
        /// The one that was named.
        theirs: Epoch,
    },
    /// The hub claims to have facts that were never made.
    #[error("watermark {watermark} is above the last fact {last} of the {stream:?} stream")]
    AheadOfUs {
        /// Which stream.
        stream: Stream,
        /// What was claimed.
        watermark: Seq,
        /// The last fact there is.
        last: Seq,
    },
    /// The facts after this sequence are gone, or not yet made.
    #[error("facts after {after} of the {stream:?} stream are not kept, the first is {first}")]
    NotKept {
        /// Which stream.
        stream: Stream,
        /// What was asked for.
        after: Seq,
        /// The first fact kept.
        first: Seq,
    },
    /// A fact that should be there is missing: corruption.
    #[error("fact {seq} of the {stream:?} stream is missing")]
    Missing {
        /// Which stream.
        stream: Stream,
        /// The fact.
        seq: Seq,
    },
    /// The store failed.
    #[error("outbox could not be read or written")]
    Store(#[from] TxnError),
}

/// The outbox with its store, for what takes several transactions. Cheap to clone.
#[derive(Clone)]
pub struct Outbox {
    store: Store,
}

impl Outbox {
    /// Wraps the store, on which [`init`] must have been run.
    #[must_use]
    pub fn new(store: Store) -> Self {
        Self { store }
    }

    /// Records what the hub holds and removes what it holds twice, in several small transactions.
    /// Watermarks that are lower than known ones change nothing.
    ///
    /// The ack itself is durable after the first transaction; if a later one fails, or the call is
    /// cancelled, facts stay that may be removed, and the next ack removes them.
    ///
    /// # Errors
    /// `ForeignEpoch`, `AheadOfUs`: nothing has changed. Or what the store says.
    pub async fn ack(
        &self,
        stream: Stream,
        epoch: Epoch,
        marks: Watermarks,
    ) -> Result<(), WriteError<OutboxError>> {
        while self.store.write(move |txn| prune::ack(txn, stream, epoch, marks)).await?.is_more() {}
        Ok(())
    }

    /// Gives the stream a new epoch in which everything kept is issued anew from sequence 1, and
    /// returns the epoch. See the module's documentation. Cancelled, the old epoch stays until the
    /// next call finishes the work.
    ///
    /// # Errors
    /// What the store says; the old epoch stays.
    pub async fn fork(
        &self,
        stream: Stream,
        entropy: &dyn Entropy,
    ) -> Result<Epoch, WriteError<OutboxError>> {
        let epoch = Epoch(u64::from_be_bytes(draw(entropy)));
        let epoch = loop {
            if let Some(epoch) = self.store.write(move |txn| fork::step(txn, stream, epoch)).await?
            {
                break epoch;
            }
        };
        while self.store.write(move |txn| prune::old_lanes(txn, stream)).await?.is_more() {}
        Ok(epoch)
    }

    /// Waits until the stream has a fact after `after`, or another epoch than `epoch`. Cancelling
    /// leaves nothing behind.
    ///
    /// # Errors
    /// When the store cannot be read or was closed.
    pub async fn wait(&self, stream: Stream, epoch: Epoch, after: Seq) -> Result<(), OutboxError> {
        let mut commits = self.store.subscribe();
        loop {
            commits.mark_unchanged();
            let meta = self.store.read(|txn| meta(txn, stream))?;
            if meta.epoch != epoch || meta.next.0 > after.0 + 1 {
                return Ok(());
            }
            if commits.changed().await.is_err() {
                return Err(TxnError::Storage(mamba_core::db::Fault::Closed).into());
            }
        }
    }
}

/// What the hub says it holds of one stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Watermarks {
    /// In custody.
    pub acked: Seq,
    /// In a verified backup.
    pub backed_up: Seq,
}

/// Whether there is more of the same to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    More,
    Done,
}

impl Progress {
    fn is_more(self) -> bool {
        self == Self::More
    }
}

/// Makes the streams that do not exist yet, each with a random epoch.
///
/// # Errors
/// When the store fails.
pub fn init(txn: &mut Txn<'_>, entropy: &dyn Entropy) -> Result<(), OutboxError> {
    for stream in Stream::ALL {
        if txn.get(META, &key(stream))?.is_none() {
            let meta = Meta {
                epoch: Epoch(u64::from_be_bytes(draw(entropy))),
                lane: 0,
                next: Seq(1),
                acked: Seq(0),
                backed_up: Seq(0),
                first: Seq(1),
                chain_head: Chain::default(),
                chain_before_first: Chain::default(),
                bytes: 0,
                lost: 0,
                fork: None,
                lanes_removed: 0,
            };
            txn.put(META, &key(stream), &meta)?;
        }
    }
    Ok(())
}

/// Appends a usage fact in the caller's transaction and returns its sequence.
///
/// # Errors
/// `Encode` when it breaks its format, or when the store fails.
pub fn append_usage(txn: &mut Txn<'_>, at: UnixMs, fact: &UsageFact) -> Result<Seq, OutboxError> {
    let body = fact.encode().map_err(OutboxError::Encode)?;
    let mut meta = meta(txn, Stream::Usage)?;
    push(txn, Stream::Usage, &mut meta, at, body)?;
    txn.put(META, &key(Stream::Usage), &meta)?;
    Ok(Seq(meta.next.0 - 1))
}

/// Appends an activity fact in the caller's transaction and returns its sequence; `None` when the
/// stream is at its cap and the fact was counted instead.
///
/// # Errors
/// `Encode` when it breaks its format, or when the store fails.
pub fn append_activity(txn: &mut Txn<'_>, fact: &ActivityFact) -> Result<Option<Seq>, OutboxError> {
    append_activity_capped(txn, fact, ACTIVITY_FACTS_MAX)
}

fn append_activity_capped(
    txn: &mut Txn<'_>,
    fact: &ActivityFact,
    facts_max: u64,
) -> Result<Option<Seq>, OutboxError> {
    const STREAM: Stream = Stream::Activity;
    let body = fact.encode().map_err(OutboxError::Encode)?;
    let mut meta = meta(txn, STREAM)?;
    // One place is left for the count of what was lost.
    if meta.next.0 - meta.first.0 + 2 > facts_max || meta.bytes >= ACTIVITY_BYTES_MAX {
        meta.lost = meta.lost.saturating_add(1);
        txn.put(META, &key(STREAM), &meta)?;
        return Ok(None);
    }
    if meta.lost > 0 {
        let lost = lost_fact(&meta, fact.at).encode().map_err(OutboxError::Encode)?;
        push(txn, STREAM, &mut meta, fact.at, lost)?;
        meta.lost = 0;
    }
    push(txn, STREAM, &mut meta, fact.at, body)?;
    txn.put(META, &key(STREAM), &meta)?;
    Ok(Some(Seq(meta.next.0 - 1)))
}

/// Says how many facts were not kept. Its id comes from its place, so that a closure that runs twice
/// makes the same fact twice.
fn lost_fact(meta: &Meta, at: UnixMs) -> ActivityFact {
    let hash = Chain::default().then(meta.epoch, meta.next, b"lost").0;
    let mut random = [0; 10];
    random.copy_from_slice(&hash[..10]);
    ActivityFact {
        event: EventId::new(at, random),
        at,
        about: None,
        actor: Actor::Edge,
        body: Activity::Lost { count: meta.lost },
    }
}

fn push(
    txn: &mut Txn<'_>,
    stream: Stream,
    meta: &mut Meta,
    at: UnixMs,
    body: Vec<u8>,
) -> Result<(), OutboxError> {
    meta.chain_head = meta.chain_head.then(meta.epoch, meta.next, &body);
    meta.bytes += body.len() as u64;
    let fact = Fact { at, chain: meta.chain_head, body };
    txn.put(FACTS, &fact_key(stream, meta.lane, meta.next), &fact)?;
    meta.next = meta.next.next();
    Ok(())
}

fn meta(read: &impl Snapshot, stream: Stream) -> Result<Meta, OutboxError> {
    read.get(META, &key(stream))?.ok_or(OutboxError::NotMade(stream))
}

fn key(stream: Stream) -> u8 {
    match stream {
        Stream::Usage => 0,
        Stream::Activity => 1,
    }
}

fn fact_key(stream: Stream, lane: u32, seq: Seq) -> FactKey {
    (key(stream), lane, seq.0)
}
