//! Begins sessions: compares what both ends hold of each stream, opens and closes epochs, and writes
//! down what is lost.

use crate::{
    Hub, HubError,
    nodes::{note_begin, raise},
    store::{
        AlarmKind, NODES_SEEN, NodeSeen, OPEN_EPOCHS, PLACED, STREAM_GAPS, STREAMS, StreamGap,
        StreamGapKind, StreamRecord, stream_number,
    },
};
use mamba_core::{
    clock::UnixMs,
    db::{Snapshot as _, Txn},
    fact::Stream,
    ids::{EventId, NodeId},
    scope::NodeScope,
    seq::{Epoch, Seq},
};
use mamba_wire::{
    link::v1::{DesiredLine, Found, Hello, SERVERS_MAX, StreamHello, StreamWelcome},
    session::{self, Comparison, compare},
};
use std::{collections::BTreeMap, net::SocketAddr};

impl Hub {
    /// Records that a session begins, and returns what the hub holds of each stream, in the order
    /// of the hello.
    ///
    /// # Errors
    /// `Unavailable`; nothing was changed.
    pub async fn hello(
        &self,
        scope: &NodeScope,
        hello: Hello,
        peer: SocketAddr,
    ) -> Result<Vec<StreamWelcome>, HubError> {
        let node = scope.node();
        let now = self.now();
        let alarms: Vec<EventId> =
            hello.streams.iter().map(|_| self.new_id(EventId::new)).collect();
        // Before the store is asked: the end of the session is noted also when the store fails.
        let is_only = self.live().begin(node, hello.instance, now);
        self.write(move |txn| {
            let ahead = i128::from(hello.now.0) - i128::from(now.0);
            let seen = NodeSeen {
                last_heard: now,
                connected_at: now,
                instance: hello.instance,
                software: hello.software.chars().take(64).collect(),
                remote: peer.to_string(),
                calendar_ahead_ms: i64::try_from(ahead).unwrap_or(i64::MAX),
            };
            note_begin(txn, node, now, peer.to_string(), is_only)?;
            txn.put(NODES_SEEN, &node, &seen)?;
            note_held(txn, node, &hello.desired)?;
            let streams = hello.streams.iter().zip(&alarms);
            streams.map(|(stream, alarm)| greet(txn, node, stream, now, *alarm)).collect()
        })
        .await
    }
}

fn greet(
    txn: &mut Txn<'_>,
    node: NodeId,
    hello: &StreamHello,
    now: UnixMs,
    alarm: EventId,
) -> Result<StreamWelcome, HubError> {
    let key = (node, stream_number(hello.stream), hello.epoch);
    let held = txn.get(STREAMS, &key)?;
    let comparison = match &held {
        // An epoch that was left for another one is back: the edge's disk went back in time.
        Some(record) if record.closed_at.is_some() => {
            let record = for_session(record);
            Comparison { found: Found::Fork, record, lost: None }
        }
        held => compare(hello, held.as_ref().map(for_session).as_ref()),
    };
    let name = stream_name(hello.stream);
    let mut texts = Vec::new();
    match comparison.found {
        Found::InStep => {}
        Found::Fork => texts.push(format!(
            "{name} facts on the node differ from those in custody: its disk was reverted or cloned"
        )),
        Found::HubLost => store(txn, key, &comparison, held, now)?,
        Found::NewEpoch => {
            if let Some((epoch, after)) = close_open(txn, node, hello, now)? {
                texts.push(format!(
                    "node began a new epoch of {name} facts: those after {after} of epoch {epoch} \
                     are lost unless it issues them anew"
                ));
            }
            store(txn, key, &comparison, held, now)?;
            txn.put(OPEN_EPOCHS, &(key.0, key.1), &hello.epoch.0)?;
        }
    }
    if let Some((first, last)) = comparison.lost {
        let gap = StreamGap { first, last: Some(last), kind: StreamGapKind::HubLost };
        note_gap(txn, key, now, &gap)?;
        texts.push(format!("{name} facts {first} to {last} are lost: the node has pruned them"));
    }
    if !texts.is_empty() {
        let kind = match comparison.found {
            Found::Fork => AlarmKind::Forked(hello.stream),
            Found::InStep | Found::HubLost | Found::NewEpoch => AlarmKind::Lost(hello.stream),
        };
        raise(txn, alarm, now, (Some(node), None), kind, &texts.join("; "))?;
    }
    Ok(comparison.welcome(hello))
}

fn store(
    txn: &mut Txn<'_>,
    key: (NodeId, u8, Epoch),
    comparison: &Comparison,
    held: Option<StreamRecord>,
    now: UnixMs,
) -> Result<(), HubError> {
    let session::StreamRecord { watermark, chain, backup_watermark } = comparison.record;
    let opened_at = held.map_or(now, |it| it.opened_at);
    let record = StreamRecord { watermark, chain, backup_watermark, opened_at, closed_at: None };
    Ok(txn.put(STREAMS, &key, &record)?)
}

/// Closes the open epoch of a stream, if another one is. Returns it with its watermark.
fn close_open(
    txn: &mut Txn<'_>,
    node: NodeId,
    hello: &StreamHello,
    now: UnixMs,
) -> Result<Option<(Epoch, Seq)>, HubError> {
    let number = stream_number(hello.stream);
    let Some(open) = txn.get(OPEN_EPOCHS, &(node, number))?.map(Epoch) else { return Ok(None) };
    let key = (node, number, open);
    let Some(mut record) = txn.get(STREAMS, &key)?.filter(|_| open != hello.epoch) else {
        return Ok(None);
    };
    record.closed_at = Some(now);
    txn.put(STREAMS, &key, &record)?;
    let first = record.watermark.next();
    let gap = StreamGap { first, last: None, kind: StreamGapKind::TailPossiblyLost };
    note_gap(txn, key, now, &gap)?;
    Ok(Some((open, record.watermark)))
}

/// Adds a gap beside those that were found in the same millisecond.
fn note_gap(
    txn: &mut Txn<'_>,
    (node, number, epoch): (NodeId, u8, Epoch),
    now: UnixMs,
    gap: &StreamGap,
) -> Result<(), HubError> {
    let mut at = now;
    // Each hello adds two at most.
    while txn.contains(STREAM_GAPS, &(node, number, epoch, at))? {
        at = at.plus(1);
    }
    Ok(txn.put(STREAM_GAPS, &(node, number, epoch, at), gap)?)
}

fn for_session(record: &StreamRecord) -> session::StreamRecord {
    let StreamRecord { watermark, chain, backup_watermark, .. } = *record;
    session::StreamRecord { watermark, chain, backup_watermark }
}

fn stream_name(stream: Stream) -> &'static str {
    match stream {
        Stream::Usage => "usage",
        Stream::Activity => "activity",
    }
}

/// Takes note of the wishes that the node holds, and forgets servers that it deleted and no longer
/// keeps a tombstone of.
fn note_held(txn: &mut Txn<'_>, node: NodeId, held: &[DesiredLine]) -> Result<(), HubError> {
    let held: BTreeMap<_, _> = held.iter().map(|line| (line.server, line)).collect();
    for (key, mut placed) in txn.prefix(PLACED, &(node,), SERVERS_MAX)? {
        let line = held.get(&key.1);
        if placed.gone && line.is_none() {
            txn.delete(PLACED, &key)?;
            continue;
        }
        let order = line.map(|line| line.order);
        if placed.held != order {
            placed.held = order;
            txn.put(PLACED, &key, &placed)?;
        }
    }
    Ok(())
}
