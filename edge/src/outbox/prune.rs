//! Removes what the hub holds twice, a few facts per transaction.

use super::{
    CHUNK_FACTS_MAX, FACTS, META, Meta, OutboxError, Progress, Watermarks, fact_key, key, meta,
};
use mamba_core::{
    db::{Snapshot, Span, Txn},
    fact::Stream,
    seq::{Epoch, Seq},
};

/// Raises the watermarks and removes at most [`CHUNK_FACTS_MAX`] facts at or below both.
pub(super) fn ack(
    txn: &mut Txn<'_>,
    stream: Stream,
    epoch: Epoch,
    marks: Watermarks,
) -> Result<Progress, OutboxError> {
    let mut meta = meta(txn, stream)?;
    if meta.epoch != epoch {
        return Err(OutboxError::ForeignEpoch { stream, ours: meta.epoch, theirs: epoch });
    }
    let last = Seq(meta.next.0 - 1);
    let watermark = marks.acked.max(marks.backed_up);
    if watermark > last {
        return Err(OutboxError::AheadOfUs { stream, watermark, last });
    }
    let before = meta.clone();
    meta.acked = meta.acked.max(marks.acked);
    meta.backed_up = meta.backed_up.max(marks.backed_up);
    let progress = remove_first(txn, stream, &mut meta)?;
    if meta != before {
        txn.put(META, &key(stream), &meta)?;
    }
    match progress {
        // What a fork left behind because of a crash; in a transaction of its own.
        Progress::Done if meta.first != before.first && meta.lanes_removed != meta.lane => {
            Ok(Progress::More)
        }
        Progress::Done => old_lanes(txn, stream),
        Progress::More => Ok(Progress::More),
    }
}

fn remove_first(
    txn: &mut Txn<'_>,
    stream: Stream,
    meta: &mut Meta,
) -> Result<Progress, OutboxError> {
    let mut until = meta.acked.min(meta.backed_up);
    if let Some(fork) = &meta.fork {
        // A fork under way has still to copy what follows.
        until = until.min(Seq(fork.from.0 - 1));
    }
    for _ in 0..CHUNK_FACTS_MAX {
        if meta.first > until {
            return Ok(Progress::Done);
        }
        let key = fact_key(stream, meta.lane, meta.first);
        let fact = txn.get(FACTS, &key)?.ok_or(OutboxError::Missing { stream, seq: meta.first })?;
        txn.delete(FACTS, &key)?;
        meta.chain_before_first = fact.chain;
        meta.bytes = meta.bytes.saturating_sub(fact.body.len() as u64);
        meta.first = meta.first.next();
    }
    Ok(if meta.first > until { Progress::Done } else { Progress::More })
}

/// Removes at most [`CHUNK_FACTS_MAX`] facts of lanes that a fork has left behind.
pub(super) fn old_lanes(txn: &mut Txn<'_>, stream: Stream) -> Result<Progress, OutboxError> {
    let mut meta = meta(txn, stream)?;
    if meta.lanes_removed == meta.lane {
        return Ok(Progress::Done);
    }
    let old = Span::keys(fact_key(stream, 0, Seq(0))..fact_key(stream, meta.lane, Seq(0)));
    let facts = txn.range(FACTS, old, CHUNK_FACTS_MAX)?;
    for (key, _) in &facts {
        txn.delete(FACTS, key)?;
    }
    if facts.len() < CHUNK_FACTS_MAX {
        meta.lanes_removed = meta.lane;
        txn.put(META, &key(stream), &meta)?;
        return Ok(Progress::Done);
    }
    Ok(Progress::More)
}
