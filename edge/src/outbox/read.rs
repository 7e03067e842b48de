//! What can be asked of the outbox without changing it. Works on a snapshot as in a transaction.

use super::{FACTS, OutboxError, USAGE_FACTS_ALARM, fact_key, meta};
use mamba_core::{
    clock::UnixMs,
    db::{Order, Snapshot, Span},
    fact::{ActivityFact, Chain, Stream, UsageFact},
    ids::ServerId,
    seq::{Epoch, Seq},
};
use mamba_wire::{
    link::v1::{OutboxState, StreamHello},
    node::OutboxLine,
};

/// Facts read at once while searching.
const PAGE_FACTS: usize = 256;
/// Most facts looked at by [`usage`] and [`activity`]: a search for a server that was quiet ends.
const SEARCH_FACTS_MAX: usize = 20_000;

/// Consecutive facts of one stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// Which filling of the table they are of.
    pub epoch: Epoch,
    /// Sequence and encoded fact, ascending, without gaps. Empty when there is nothing more.
    pub facts: Vec<(Seq, Vec<u8>)>,
    /// Chain hash of the last one; of `after` when there is none.
    pub chain: Chain,
}

/// Returns the facts after a sequence: at most `facts_max`, and no more than fit `bytes_max` but for
/// the first one.
///
/// # Errors
/// `NotKept` when the fact after `after` was removed, or `after` was never made.
pub fn window(
    read: &impl Snapshot,
    stream: Stream,
    after: Seq,
    facts_max: usize,
    bytes_max: usize,
) -> Result<Window, OutboxError> {
    let meta = meta(read, stream)?;
    let Some(chain) = chain_at(read, stream, after)? else {
        return Err(OutboxError::NotKept { stream, after, first: meta.first });
    };
    let mut window = Window { epoch: meta.epoch, facts: Vec::new(), chain };
    let span = Span::keys(
        fact_key(stream, meta.lane, after.next())..fact_key(stream, meta.lane, meta.next),
    );
    let mut bytes = 0;
    for ((_, _, seq), fact) in read.range(FACTS, span, facts_max)? {
        let expected = Seq(after.0 + 1 + window.facts.len() as u64);
        if Seq(seq) != expected {
            return Err(OutboxError::Missing { stream, seq: expected });
        }
        bytes += fact.body.len();
        if bytes > bytes_max && !window.facts.is_empty() {
            break;
        }
        window.chain = fact.chain;
        window.facts.push((expected, fact.body));
    }
    Ok(window)
}

/// Returns the chain hash at a sequence; `None` when it is neither kept nor the one before the first
/// kept.
///
/// # Errors
/// When the store fails.
pub fn chain_at(
    read: &impl Snapshot,
    stream: Stream,
    seq: Seq,
) -> Result<Option<Chain>, OutboxError> {
    let meta = meta(read, stream)?;
    if seq.next() == meta.first {
        return Ok(Some(meta.chain_before_first));
    }
    if seq < meta.first || seq >= meta.next {
        return Ok(None);
    }
    let fact = read.get(FACTS, &fact_key(stream, meta.lane, seq))?;
    fact.map(|fact| Some(fact.chain)).ok_or(OutboxError::Missing { stream, seq })
}

/// Returns what the hello says of a stream.
///
/// # Errors
/// When the store fails.
pub fn hello(read: &impl Snapshot, stream: Stream) -> Result<StreamHello, OutboxError> {
    let meta = meta(read, stream)?;
    Ok(StreamHello {
        stream,
        epoch: meta.epoch,
        first_retained: meta.first,
        next: meta.next,
        chain_head: meta.chain_head,
        chain_before_first: meta.chain_before_first,
    })
}

/// Returns the state of one stream.
///
/// # Errors
/// When the store fails.
pub fn line(read: &impl Snapshot, stream: Stream) -> Result<OutboxLine, OutboxError> {
    let meta = meta(read, stream)?;
    let oldest = meta.acked.next().max(meta.first);
    let oldest_unacked_at = if oldest < meta.next {
        let fact = read.get(FACTS, &fact_key(stream, meta.lane, oldest))?;
        Some(fact.ok_or(OutboxError::Missing { stream, seq: oldest })?.at)
    } else {
        None
    };
    Ok(OutboxLine {
        stream,
        epoch: meta.epoch,
        first_retained: meta.first,
        next: meta.next,
        acked: meta.acked,
        backed_up: meta.backed_up,
        bytes: meta.bytes,
        oldest_unacked_at,
        chain_head: meta.chain_head,
    })
}

/// Returns the state of all streams, in the order of [`Stream::ALL`].
///
/// # Errors
/// When the store fails.
pub fn lines(read: &impl Snapshot) -> Result<Vec<OutboxLine>, OutboxError> {
    Stream::ALL.into_iter().map(|stream| line(read, stream)).collect()
}

/// Returns what a state report says of a stream.
#[must_use]
pub fn state(line: &OutboxLine, now: UnixMs) -> OutboxState {
    OutboxState {
        stream: line.stream,
        unacked: line.next.0 - 1 - line.acked.0.min(line.next.0 - 1),
        oldest_age_ms: line.oldest_unacked_at.map_or(0, |at| now.since(at)),
    }
}

/// Returns what is wrong with the outbox, in one line for people. `None` when nothing is.
///
/// # Errors
/// When the store fails.
pub fn trouble(read: &impl Snapshot) -> Result<Option<String>, OutboxError> {
    let lost = meta(read, Stream::Activity)?.lost;
    if lost > 0 {
        return Ok(Some(format!("activity outbox is full: {lost} facts were not kept")));
    }
    let usage_meta = meta(read, Stream::Usage)?;
    let kept = usage_meta.next.0 - usage_meta.first.0;
    Ok((kept > USAGE_FACTS_ALARM).then(|| {
        format!("usage outbox holds {kept} facts: the hub does not acknowledge or back them up")
    }))
}

/// Returns kept usage facts, newest first, of one server or all, at most `limit`. Facts that this
/// release cannot read are skipped.
///
/// # Errors
/// When the store fails.
pub fn usage(
    read: &impl Snapshot,
    server: Option<ServerId>,
    limit: usize,
) -> Result<Vec<UsageFact>, OutboxError> {
    backwards(read, Stream::Usage, limit, |body| {
        UsageFact::decode(body).ok().filter(|fact| server.is_none_or(|it| it == fact.server))
    })
}

/// Returns kept activity facts, newest first, about one server or all, at most `limit`. Facts that
/// this release cannot read are skipped.
///
/// # Errors
/// When the store fails.
pub fn activity(
    read: &impl Snapshot,
    server: Option<ServerId>,
    limit: usize,
) -> Result<Vec<ActivityFact>, OutboxError> {
    backwards(read, Stream::Activity, limit, |body| {
        let is_about = |fact: &ActivityFact| match (server, fact.about) {
            (None, _) => true,
            (Some(server), about) => about.is_some_and(|(_, it)| it == server),
        };
        ActivityFact::decode(body).ok().filter(is_about)
    })
}

fn backwards<T>(
    read: &impl Snapshot,
    stream: Stream,
    limit: usize,
    take: impl Fn(&[u8]) -> Option<T>,
) -> Result<Vec<T>, OutboxError> {
    let meta = meta(read, stream)?;
    let low = fact_key(stream, meta.lane, meta.first);
    let mut high = fact_key(stream, meta.lane, meta.next);
    let mut found = Vec::new();
    for _ in 0..SEARCH_FACTS_MAX.div_ceil(PAGE_FACTS) {
        let page = read.scan(FACTS, Span::keys(low..high), Order::Descending, PAGE_FACTS)?;
        for (key, fact) in &page {
            high = *key;
            found.extend(take(&fact.body));
            if found.len() == limit {
                return Ok(found);
            }
        }
        if page.len() < PAGE_FACTS {
            break;
        }
    }
    Ok(found)
}
