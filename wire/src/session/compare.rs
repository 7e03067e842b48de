//! Pure: what two ends know of each other at hello, compared.

use crate::link::v1::{DesiredLine, Found, StreamHello, StreamWelcome};
use mamba_core::{
    desired::{EnvelopeHash, Order},
    fact::Chain,
    ids::ServerId,
    seq::Seq,
};
use std::collections::BTreeMap;

/// What the hub holds of one (node, stream, epoch).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamRecord {
    /// Everything up to this is in custody.
    pub watermark: Seq,
    /// Chain hash at the watermark.
    pub chain: Chain,
    /// Everything up to this is in a verified backup.
    pub backup_watermark: Seq,
}

/// How the two ends of one stream relate, and where the hub goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// What was found.
    pub found: Found,
    /// The hub's record from now on. Unchanged for `InStep` and `Fork`.
    pub record: StreamRecord,
    /// First and last fact that the hub will never get. Recorded as a gap, with an alarm.
    pub lost: Option<(Seq, Seq)>,
}

impl Comparison {
    /// Returns what the edge is told.
    #[must_use]
    pub fn welcome(&self, hello: &StreamHello) -> StreamWelcome {
        StreamWelcome {
            stream: hello.stream,
            found: self.found,
            epoch: hello.epoch,
            watermark: self.record.watermark,
            chain_at_watermark: self.record.chain,
            backup_watermark: self.record.backup_watermark,
        }
    }
}

/// Compares what the edge says of a stream with what the hub holds of that epoch.
///
/// A watermark strictly inside of what the edge keeps cannot be checked here, since the hello names
/// the chain only at both ends; the edge checks it against the welcome before it sends or prunes,
/// and the hub checks each batch against its own chain.
#[must_use]
pub fn compare(hello: &StreamHello, held: Option<&StreamRecord>) -> Comparison {
    let last_gone = Seq(hello.first_retained.0.saturating_sub(1));
    let last = Seq(hello.next.0.saturating_sub(1));
    let record = held.copied().unwrap_or_default();
    let is_new = held.is_none();
    // Nothing is kept, and yet the chain has two values at one place: no edge that works says so.
    let is_contradiction = last_gone == last && hello.chain_before_first != hello.chain_head;
    if last_gone > last || record.watermark > last || is_contradiction {
        return Comparison { found: Found::Fork, record, lost: None };
    }
    if record.watermark < last_gone {
        let moved = StreamRecord {
            watermark: last_gone,
            chain: hello.chain_before_first,
            backup_watermark: record.backup_watermark,
        };
        let found = if is_new { Found::NewEpoch } else { Found::HubLost };
        return Comparison {
            found,
            record: moved,
            lost: Some((record.watermark.next(), last_gone)),
        };
    }
    let known = [(last_gone, hello.chain_before_first), (last, hello.chain_head)];
    let differs = known.iter().any(|(at, chain)| *at == record.watermark && *chain != record.chain);
    let found = match (differs, is_new) {
        (true, _) => Found::Fork,
        (false, true) => Found::NewEpoch,
        (false, false) => Found::InStep,
    };
    Comparison { found, record, lost: None }
}

/// What has to travel so that both ends hold the same wishes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delta {
    /// The hub sends these: the edge lacks them, holds older ones, or others of the same rank, which
    /// it will refuse and report.
    pub send: Vec<ServerId>,
    /// The hub asks for these: the edge holds newer ones, because the hub came back from a backup.
    pub ask: Vec<ServerId>,
}

/// Compares the wishes that both ends hold, by server. A wish that only the edge holds is asked for:
/// absence is never deletion.
#[must_use]
pub fn desired_delta(edge: &[DesiredLine], hub: &[DesiredLine]) -> Delta {
    let edge = by_server(edge);
    let hub = by_server(hub);
    let send = hub.iter().filter(|(server, (order, hash))| match edge.get(server) {
        None => true,
        Some((at_edge, other)) => at_edge < order || (at_edge == order && other != hash),
    });
    let ask = edge
        .iter()
        .filter(|(server, (order, _))| hub.get(server).is_none_or(|(at_hub, _)| at_hub < order));
    Delta {
        send: send.map(|(server, _)| *server).collect(),
        ask: ask.map(|(server, _)| *server).collect(),
    }
}

pub(super) fn by_server(lines: &[DesiredLine]) -> BTreeMap<ServerId, (Order, EnvelopeHash)> {
    lines.iter().map(|line| (line.server, (line.order, line.hash))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use mamba_core::{
        fact::Stream,
        seq::{Epoch, Generation, Incarnation},
    };

    fn chain(tag: u8) -> Chain {
        Chain([tag; 32])
    }

    /// The edge keeps `first..next`; its chain is 1 before the first and 9 at the end.
    fn hello(first: u64, next: u64) -> StreamHello {
        StreamHello {
            stream: Stream::Usage,
            epoch: Epoch(7),
            first_retained: Seq(first),
            next: Seq(next),
            chain_head: if first == next { chain(1) } else { chain(9) },
            chain_before_first: chain(1),
        }
    }

    fn held(watermark: u64, tag: u8) -> Option<StreamRecord> {
        let backup_watermark = Seq(watermark / 2);
        Some(StreamRecord { watermark: Seq(watermark), chain: chain(tag), backup_watermark })
    }

    #[test]
    fn every_row_of_the_table_is_found() {
        use Found::{Fork, HubLost, InStep, NewEpoch};
        let fresh = StreamHello { chain_before_first: Chain::default(), ..hello(1, 5) };
        let torn = StreamHello { chain_head: chain(9), ..hello(9, 9) };
        let rows = [
            ("new disk", fresh, None, NewEpoch, 0, None),
            ("hub forgot the epoch", hello(4, 9), None, NewEpoch, 3, Some((1, 3))),
            ("inside, unseen", hello(4, 9), held(5, 77), InStep, 5, None),
            ("at the end, equal", hello(4, 9), held(8, 9), InStep, 8, None),
            ("at the end, other", hello(4, 9), held(8, 8), Fork, 8, None),
            ("before the first, equal", hello(4, 9), held(3, 1), InStep, 3, None),
            ("before the first, other", hello(4, 9), held(3, 2), Fork, 3, None),
            ("all pruned, equal", hello(9, 9), held(8, 1), InStep, 8, None),
            ("hub lost two", hello(4, 9), held(1, 5), HubLost, 3, Some((2, 3))),
            ("edge rewound", hello(4, 9), held(9, 9), Fork, 9, None),
            ("edge rewound far", hello(4, 9), held(90, 9), Fork, 90, None),
            ("nonsense", hello(9, 4), held(3, 1), Fork, 3, None),
            ("two chains at one place", torn, held(3, 1), Fork, 3, None),
        ];
        for (name, hello, held, found, watermark, lost) in rows {
            let got = compare(&hello, held.as_ref());
            assert_eq!(got.found, found, "{name}");
            assert_eq!(got.record.watermark, Seq(watermark), "{name}");
            assert_eq!(got.lost, lost.map(|(a, b)| (Seq(a), Seq(b))), "{name}");
        }
    }

    #[test]
    fn a_lost_span_moves_the_chain_and_not_the_backup() {
        let got = compare(&hello(4, 9), held(2, 5).as_ref());
        assert_eq!(got.record.chain, chain(1));
        assert_eq!(got.record.backup_watermark, Seq(1));
    }

    fn line(server: u8, incarnation: u32, generation: u64, hash: u8) -> DesiredLine {
        DesiredLine {
            server: ServerId::from_bytes([server; 16]),
            order: Order {
                incarnation: Incarnation(incarnation),
                generation: Generation(generation),
            },
            hash: EnvelopeHash([hash; 32]),
        }
    }

    #[test]
    fn the_newer_wish_travels() {
        let ids = |of: &[u8]| of.iter().map(|id| ServerId::from_bytes([*id; 16])).collect();
        for (edge, hub, send, ask) in [
            (vec![], vec![line(1, 1, 1, 1)], ids(&[1]), vec![]),
            (vec![line(1, 1, 1, 1)], vec![line(1, 1, 1, 1)], vec![], vec![]),
            (vec![line(1, 1, 1, 1)], vec![line(1, 1, 2, 2)], ids(&[1]), vec![]),
            (vec![line(1, 1, 9, 1)], vec![line(1, 2, 1, 2)], ids(&[1]), vec![]),
            (vec![line(1, 1, 1, 1)], vec![line(1, 1, 1, 2)], ids(&[1]), vec![]),
            (vec![line(1, 1, 2, 2)], vec![line(1, 1, 1, 1)], vec![], ids(&[1])),
            (vec![line(1, 1, 1, 1)], vec![], vec![], ids(&[1])),
        ] {
            assert_eq!(desired_delta(&edge, &hub), Delta { send, ask }, "{edge:?} {hub:?}");
        }
    }
}
