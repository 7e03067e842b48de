//! Copies a stream into a new epoch, a few facts per transaction.

use super::{CHUNK_BYTES_MAX, CHUNK_FACTS_MAX, FACTS, Fact, Fork, META, OutboxError};
use super::{fact_key, key, meta};
use mamba_core::{
    db::{Snapshot, Span, Txn},
    fact::{Chain, Stream},
    seq::{Epoch, Seq},
};

/// Copies the next facts. Returns the epoch once the new lane is the current one; `epoch` is used
/// when no fork is under way yet.
pub(super) fn step(
    txn: &mut Txn<'_>,
    stream: Stream,
    epoch: Epoch,
) -> Result<Option<Epoch>, OutboxError> {
    let mut meta = meta(txn, stream)?;
    let mut fork = meta.fork.take().unwrap_or(Fork {
        epoch,
        from: meta.first,
        next: Seq(1),
        chain_head: Chain::default(),
        bytes: 0,
    });
    let rest =
        Span::keys(fact_key(stream, meta.lane, fork.from)..fact_key(stream, meta.lane, meta.next));
    let mut copied_bytes = 0;
    for ((_, _, seq), fact) in txn.range(FACTS, rest, CHUNK_FACTS_MAX)? {
        if seq != fork.from.0 {
            return Err(OutboxError::Missing { stream, seq: fork.from });
        }
        if copied_bytes >= CHUNK_BYTES_MAX {
            break;
        }
        copied_bytes += fact.body.len();
        fork.bytes += fact.body.len() as u64;
        fork.chain_head = fork.chain_head.then(fork.epoch, fork.next, &fact.body);
        let copy = Fact { chain: fork.chain_head, ..fact };
        txn.put(FACTS, &fact_key(stream, meta.lane + 1, fork.next), &copy)?;
        fork.next = fork.next.next();
        fork.from = fork.from.next();
    }
    let is_whole = fork.from == meta.next;
    let epoch = fork.epoch;
    if is_whole {
        meta.lane += 1;
        meta.epoch = fork.epoch;
        meta.next = fork.next;
        meta.first = Seq(1);
        meta.acked = Seq(0);
        meta.backed_up = Seq(0);
        meta.chain_head = fork.chain_head;
        meta.chain_before_first = Chain::default();
        meta.bytes = fork.bytes;
    } else {
        meta.fork = Some(fork);
    }
    txn.put(META, &key(stream), &meta)?;
    Ok(is_whole.then_some(epoch))
}
