//! Facts from nodes: custody first, understanding after, money exactly once.
//!
//! One batch is one transaction: raw facts, postings, coverage, hourly sums and the watermark change
//! together, and the ack follows the commit. What holds at every commit, and is asserted:
//! - S4: custody holds each sequence up to the watermark that is not in a gap row, once;
//! - S2: the billed spans of a server are disjoint, because each fact is clipped against coverage;
//! - S7: for every hour that was touched, the postings add up to the hour's sums.
//!
//! A fact that cannot be read, lies in the future, or is about a server that this node has no lease
//! for is kept raw, listed in quarantine with the reason, and acked like any other: one bad fact
//! never holds up the rest, and nothing is thrown away. What has become bookable since is booked by
//! [`requeue`].
//!
//! What is "the future" hangs on the hub's own clock. When that stands clearly before the newest fact
//! in custody, nothing is taken at all: facts stay on the nodes until the clock is right.

mod activity;
mod hello;
mod lease;
pub mod requeue;
mod usage;
#[cfg(test)]
mod foreign;
#[cfg(test)]
pub(crate) mod tests;

use crate::{
    Hub, HubError,
    link::backend::{BackendError, IngestError},
    nodes::raise,
    store::{
        AlarmKind, COUNTERS, CUSTODY, Counters, CustodyRecord, FactKey, QUARANTINE, Quarantined,
        RECEIVED, STREAMS, StreamKey, StreamRecord, stream_number,
    },
};
use lease::Leases;
use mamba_core::{
    clock::UnixMs,
    db::{Snapshot, Txn},
    error::chain,
    fact::{Chain, Stream},
    ids::{EventId, NodeId},
    scope::NodeScope,
    seq::{Epoch, Seq},
};
use mamba_wire::link::v1::{Ack, BATCH_BYTES_MAX, BATCH_FACTS_MAX, Facts};

/// How far ahead of hub time a span may end. An honest node's calendar follows the hub's to within
/// seconds; what lies further ahead could cover time that has not been.
pub const AHEAD_MS_MAX: u64 = 600_000;
/// How far the hub's clock may stand before the newest fact in custody. Time daemons step by less,
/// and facts measured meanwhile are not taken for the future.
pub const BACK_MS_MAX: u64 = 60_000;
const _: () = assert!(BACK_MS_MAX < AHEAD_MS_MAX);
/// Most alarms about quarantine per node: one in this time.
const QUARANTINE_ALARM_MS: u64 = 3_600_000;

impl Hub {
    /// Takes a batch into custody. Durable on return. What is in custody already is not taken
    /// again, and acked again.
    ///
    /// # Errors
    /// `Diverged` when the batch does not follow what is in custody, `Store` when it may be sent
    /// again, which includes a hub whose clock went back; nothing of it was taken, or all.
    pub async fn ingest(&self, scope: &NodeScope, facts: Facts) -> Result<Ack, IngestError> {
        let node = scope.node();
        let now = self.now();
        let alarm = self.new_id(EventId::new);
        let hub = self.clone();
        let taken = self.write(move |txn| take(&hub, txn, node, &facts, (now, alarm))).await;
        self.live().heard(node, now);
        match taken {
            Ok(Taken::Acked(ack)) => Ok(ack),
            Ok(Taken::Diverged) => Err(IngestError::Diverged),
            Ok(Taken::ClockBack(why)) => Err(IngestError::Store(BackendError(why))),
            Err(err) => Err(IngestError::Store(BackendError(chain(&err)))),
        }
    }
}

/// What became of a batch.
enum Taken {
    /// It is in custody.
    Acked(Ack),
    /// It does not follow what is in custody.
    Diverged,
    /// The hub cannot tell future from past: nothing was taken, and an alarm is open.
    ClockBack(String),
}

/// Takes what is new of a batch.
fn take(
    hub: &Hub,
    txn: &mut Txn<'_>,
    node: NodeId,
    facts: &Facts,
    (now, alarm): (UnixMs, EventId),
) -> Result<Taken, HubError> {
    let newest = UnixMs(txn.get(RECEIVED, &())?.unwrap_or_default());
    if now.plus(BACK_MS_MAX) < newest {
        let why = format!(
            "hub's clock stands at {now}, before {newest}, when facts came: none are taken until it \
             is right, or `mamba-hub requeue --clock-is-right` says that it is"
        );
        raise(txn, alarm, now, (None, None), AlarmKind::Clock, &why)?;
        return Ok(Taken::ClockBack(why));
    }
    let Facts { stream, epoch, first, bodies, chain } = facts;
    let key: StreamKey = (node, stream_number(*stream), *epoch);
    let Some(mut record) = txn.get(STREAMS, &key)?.filter(|it| it.closed_at.is_none()) else {
        return Ok(Taken::Diverged);
    };
    let Some(new) = new_part(&record, *first, bodies) else { return Ok(Taken::Diverged) };
    let next = record.watermark.next();
    let (end, watermark) = follow(&record, *epoch, new);
    // What was taken long ago is not compared again; its chain is part of every later one.
    let is_comparable = !new.is_empty() || watermark == last_of(*first, bodies);
    if is_comparable && end != *chain {
        return Ok(Taken::Diverged);
    }
    let mut booking = Booking::new(hub, txn, (node, *stream, *epoch), now)?;
    booking.counters.repeated += (bodies.len() - new.len()) as u64;
    let mut seq = next;
    for body in new {
        booking.book(txn, seq, body)?;
        seq = seq.next();
    }
    booking.touched.assert_sums(txn)?;
    assert_eq!(seq, watermark.next(), "custody ends at the watermark");
    (record.watermark, record.chain) = (watermark, end);
    txn.put(STREAMS, &key, &record)?;
    booking.finish(txn, !new.is_empty(), alarm)?;
    if !new.is_empty() && now > newest {
        txn.put(RECEIVED, &(), &now.0)?;
    }
    let backup_watermark = record.backup_watermark;
    Ok(Taken::Acked(Ack { stream: *stream, epoch: *epoch, watermark, backup_watermark }))
}

/// Returns the facts above the watermark. `None` for a gap, and for a batch over its limits.
fn new_part<'a>(record: &StreamRecord, first: Seq, bodies: &'a [Vec<u8>]) -> Option<&'a [Vec<u8>]> {
    let bytes: usize = bodies.iter().map(Vec::len).sum();
    let is_batch = (1..=BATCH_FACTS_MAX).contains(&bodies.len()) && bytes <= BATCH_BYTES_MAX;
    let in_range = first.0 >= 1 && first.0.checked_add(bodies.len() as u64).is_some();
    if !is_batch || !in_range || first > record.watermark.next() {
        return None;
    }
    let known = usize::try_from(record.watermark.next().0 - first.0).unwrap_or(usize::MAX);
    Some(bodies.get(known..).unwrap_or_default())
}

fn last_of(first: Seq, bodies: &[Vec<u8>]) -> Seq {
    Seq(first.0 + bodies.len() as u64 - 1)
}

/// Returns chain and watermark after the new facts.
fn follow(record: &StreamRecord, epoch: Epoch, new: &[Vec<u8>]) -> (Chain, Seq) {
    new.iter().fold((record.chain, record.watermark), |(chain, seq), body| {
        (chain.then(epoch, seq.next(), body), seq.next())
    })
}

/// One batch on its way into the books.
struct Booking {
    hub: Hub,
    node: NodeId,
    stream: Stream,
    epoch: Epoch,
    now: UnixMs,
    leases: Leases,
    touched: usage::Touched,
    counters: Counters,
}

impl Booking {
    fn new(
        hub: &Hub,
        view: &impl Snapshot,
        (node, stream, epoch): (NodeId, Stream, Epoch),
        now: UnixMs,
    ) -> Result<Self, HubError> {
        let counters = view.get(COUNTERS, &node)?.unwrap_or_default();
        let (leases, touched) = (Leases::default(), usage::Touched::default());
        let hub = hub.clone();
        Ok(Self { hub, node, stream, epoch, now, leases, touched, counters })
    }

    /// Takes one fact into custody and books it, or puts it into quarantine.
    fn book(&mut self, txn: &mut Txn<'_>, seq: Seq, body: &[u8]) -> Result<(), HubError> {
        let key: FactKey = (self.node, stream_number(self.stream), self.epoch, seq);
        let custody = CustodyRecord { received_at: self.now, body: body.to_vec() };
        assert!(!txn.contains(CUSTODY, &key)?, "a sequence is taken once");
        txn.put(CUSTODY, &key, &custody)?;
        self.counters.facts += 1;
        if let Err(Doubt(reason)) = self.decide(txn, seq, body)? {
            self.counters.quarantined += 1;
            txn.put(QUARANTINE, &key, &Quarantined { received_at: self.now, reason })?;
        }
        Ok(())
    }

    /// Books one fact. With a doubt nothing was written.
    fn decide(&mut self, txn: &mut Txn<'_>, seq: Seq, body: &[u8]) -> Booked {
        match self.stream {
            Stream::Usage => self.book_usage(txn, seq, body),
            Stream::Activity => self.book_activity(txn, body),
        }
    }

    fn finish(mut self, txn: &mut Txn<'_>, is_new: bool, alarm: EventId) -> Result<(), HubError> {
        let before = txn.get(COUNTERS, &self.node)?.unwrap_or_default();
        self.counters.batches += u64::from(is_new);
        let has_doubts = self.counters.quarantined > before.quarantined;
        let is_due = self.now.since(before.alarmed_at) >= QUARANTINE_ALARM_MS;
        if has_doubts && (is_due || before.quarantined == 0) {
            self.counters.alarmed_at = self.now;
            let text = "facts of this node are in quarantine: see `mamba-hub node show`";
            raise(txn, alarm, self.now, (Some(self.node), None), AlarmKind::Quarantine, text)?;
        }
        if self.counters != before {
            txn.put(COUNTERS, &self.node, &self.counters)?;
        }
        Ok(())
    }
}

/// Why a fact is not booked.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Doubt(String);

impl Doubt {
    fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}

/// Outer errors end the batch, inner ones put the fact into quarantine.
type Booked = Result<Result<(), Doubt>, HubError>;
