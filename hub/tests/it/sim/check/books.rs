//! The hub's books at one moment.

use super::{Broken, ROWS_MAX};
use mamba_core::{
    clock::UnixMs,
    db::{ReadTxn, Snapshot, Span, TxnError},
    fact::{Meter, Quantities, Stream},
    ids::ServerId,
    seq::Seq,
    usage::coverage::Coverage,
};
use mamba_hub::store::{
    COVERAGE, CUSTODY, FactKey, HOURS, POSTINGS, QUARANTINE, STREAM_GAPS, STREAMS, StreamKey,
    stream_number,
};
use std::collections::{BTreeMap, BTreeSet};

/// What was billed of one server in all, and the spans that it covers, by hour and owner.
type Billed = (Quantities, BTreeMap<UnixMs, Vec<Coverage>>);

/// The hub's books at one moment.
pub(super) struct Books {
    pub(super) servers: BTreeMap<ServerId, Billed>,
    /// What the postings add up to.
    posted: BTreeMap<ServerId, Quantities>,
    /// Postings that were billed whole.
    whole: BTreeMap<ServerId, Vec<(u64, u64)>>,
    streams: Vec<(StreamKey, Seq, u64, u64)>,
    /// What was not believed.
    pub(super) quarantined: Vec<Doubted>,
    /// Usage facts in custody.
    pub(super) bodies: BTreeSet<Vec<u8>>,
}

/// A fact in quarantine.
pub(super) struct Doubted {
    pub(super) key: FactKey,
    pub(super) received_at: UnixMs,
    pub(super) reason: String,
    pub(super) body: Vec<u8>,
}

impl Books {
    pub(super) fn read(txn: &ReadTxn) -> Result<Self, TxnError> {
        let mut servers = BTreeMap::<ServerId, Billed>::new();
        let mut posted = BTreeMap::<ServerId, Quantities>::new();
        let mut whole = BTreeMap::<ServerId, Vec<(u64, u64)>>::new();
        for ((_, server, _), hour) in txn.range(HOURS, Span::all(), ROWS_MAX)? {
            add(&mut servers.entry(server).or_default().0, &hour.billed);
        }
        for ((_, server, hour), coverage) in txn.range(COVERAGE, Span::all(), ROWS_MAX)? {
            let hours = &mut servers.entry(server).or_default().1;
            hours.entry(hour).or_default().push(coverage.spans);
        }
        for ((_, server, from, _, _), posting) in txn.range(POSTINGS, Span::all(), ROWS_MAX)? {
            add(posted.entry(server).or_default(), &posting.billed);
            if posting.clipped == Quantities::default() {
                whole.entry(server).or_default().push((from.0, posting.to.0));
            }
        }
        let mut streams = Vec::new();
        for (key, record) in txn.range(STREAMS, Span::all(), ROWS_MAX)? {
            let rows = txn.prefix(CUSTODY, &key, ROWS_MAX)?.len() as u64;
            let gaps = txn.prefix(STREAM_GAPS, &key, ROWS_MAX)?;
            let lost = |gap: &mamba_hub::store::StreamGap| {
                gap.last.map_or(0, |last| last.0 + 1 - gap.first.0)
            };
            let lost = gaps.iter().map(|(_, gap)| lost(gap)).sum();
            streams.push((key, record.watermark, rows, lost));
        }
        let mut quarantined = Vec::new();
        for (key, why) in txn.range(QUARANTINE, Span::all(), ROWS_MAX)? {
            let body = txn.get(CUSTODY, &key)?.map(|it| it.body).unwrap_or_default();
            let (received_at, reason) = (why.received_at, why.reason);
            quarantined.push(Doubted { key, received_at, reason, body });
        }
        let custody = txn.range(CUSTODY, Span::all(), ROWS_MAX)?.into_iter();
        let usage = custody.filter(|((_, stream, ..), _)| *stream == stream_number(Stream::Usage));
        let bodies = usage.map(|(_, record)| record.body).collect();
        Ok(Self { servers, posted, whole, streams, quarantined, bodies })
    }

    /// Custody is without holes.
    pub(super) fn check_custody(&self) -> Result<(), Broken> {
        for (key, watermark, rows, lost) in &self.streams {
            if rows + lost != watermark.0 {
                let text = format!("{key:?}: watermark {watermark}, {rows} facts, {lost} lost");
                return Err(Broken::new("S4", text));
            }
        }
        Ok(())
    }

    pub(super) fn check_sums(&self) -> Result<(), Broken> {
        for (server, (billed, _)) in &self.servers {
            let posted = self.posted.get(server).copied().unwrap_or_default();
            if posted != *billed {
                let text = format!("{server}: ledger {posted:?}, hours {billed:?}");
                return Err(Broken::new("S7", text));
            }
        }
        for (server, spans) in &self.whole {
            let mut spans = spans.clone();
            spans.sort_unstable();
            if let Some(pair) = spans.windows(2).find(|pair| pair[0].1 > pair[1].0) {
                return Err(Broken::new("S2", format!("{server}: {pair:?} billed twice")));
            }
        }
        Ok(())
    }
}

fn add(sum: &mut Quantities, more: &Quantities) {
    for meter in Meter::ALL {
        *sum.of_mut(meter) += more.of(meter);
    }
}
