//! Walks the store for a reconciliation, page by page.

use super::{
    Report,
    books::{Books, Column, DAYS_MAX, NodeLine, Problem, complete_to, sum},
};
use crate::{
    Hub, HubError,
    control::owners,
    store::{
        CUSTODY, CustodyRecord, FactKey, GAPS, HOURS, HourKey, NODE_STATES, NODES, PLACED,
        POSTINGS, Posting, QUARANTINE, SERVER_TENANTS, STREAM_GAPS, STREAMS, StreamKey,
        stream_number,
    },
};
use mamba_core::{
    clock::{HOUR_MS, UnixMs},
    db::{ReadTxn, Snapshot as _, Span},
    fact::{GapReason, Quantities, Stream, UsageBody, UsageFact},
    ids::{NodeId, ServerId, TenantId},
    seq::{Epoch, Seq},
    usage::owners::divide,
};
use std::collections::BTreeMap;

/// Records of one snapshot: some milliseconds, then the store may reuse pages.
const PAGE: usize = 500;
/// Hours of one snapshot; each has a dozen postings, after many changes some dozens.
const PAGE_HOURS: usize = 48;
/// Gap rows of one epoch, and servers of one node, that are looked at.
const ROWS_MAX: usize = 10_000;

/// How far each epoch was in custody at the beginning, and how many of those facts are lost.
type Limits = BTreeMap<StreamKey, (Seq, u64)>;

pub(super) fn run(hub: &Hub, first_day: UnixMs, now: UnixMs) -> Result<Report, HubError> {
    let mut books = Books::new(now, first_day);
    let limits = limits(hub)?;
    for (key, (watermark, lost)) in &limits {
        let found = custody(hub, &mut books, *key, *watermark)?;
        let expected = watermark.0.saturating_sub(*lost);
        if found != expected {
            let (node, stream, epoch) = *key;
            books.problem(Problem::WrongCount { node, stream, epoch, expected, found });
        }
    }
    ledger(hub, &mut books, &limits)?;
    nodes(hub, &mut books, &limits, now)?;
    Ok(books.finish())
}

fn limits(hub: &Hub) -> Result<Limits, HubError> {
    let mut limits = Limits::new();
    let mut span = Span::all();
    loop {
        let page = hub.read(|txn| {
            let streams = txn.range(STREAMS, span.clone(), PAGE)?;
            for (key, record) in &streams {
                let gaps = txn.prefix(STREAM_GAPS, key, ROWS_MAX)?;
                let lost = gaps.iter().filter_map(|(_, gap)| Some(gap.last?.0 + 1 - gap.first.0));
                limits.insert(*key, (record.watermark, lost.sum()));
            }
            Ok(streams)
        })?;
        match page.last() {
            Some((last, _)) if page.len() == PAGE => span = span.after(last),
            _ => return Ok(limits),
        }
    }
}

/// Compares the facts of one epoch with what became of them. Returns how many there are.
fn custody(
    hub: &Hub,
    books: &mut Books,
    (node, stream, epoch): StreamKey,
    watermark: Seq,
) -> Result<u64, HubError> {
    let is_usage = stream == stream_number(Stream::Usage);
    let key = |seq| (node, stream, epoch, seq);
    let mut span = Span::keys(key(Seq(0))..=key(watermark));
    let mut found = 0;
    loop {
        let page = hub.read(|txn| {
            let facts = txn.range(CUSTODY, span.clone(), PAGE)?;
            for (key, record) in facts.iter().filter(|_| is_usage) {
                compare(txn, books, key, record)?;
            }
            Ok(facts)
        })?;
        check_length(books)?;
        found += page.len() as u64;
        books.facts += page.len() as u64;
        match page.last() {
            Some((last, _)) if page.len() == PAGE => span = span.after(last),
            _ => return Ok(found),
        }
    }
}

fn compare(
    txn: &ReadTxn,
    books: &mut Books,
    key: &FactKey,
    record: &CustodyRecord,
) -> Result<(), HubError> {
    let (node, _, epoch, seq) = *key;
    let fact = UsageFact::decode(&record.body);
    if txn.contains(QUARANTINE, key)? {
        books.set_aside += 1;
        return set_aside(txn, books, fact.ok());
    }
    let Ok(fact) = fact else {
        books.problem(Problem::NotBooked { node, epoch, seq });
        return Ok(());
    };
    let owners = owners(txn, fact.server)?;
    for part in divide(fact, &owners) {
        compare_part(txn, books, (node, epoch, seq), part)?;
    }
    Ok(())
}

/// Compares what of a fact lies within one owner's time.
fn compare_part(
    txn: &ReadTxn,
    books: &mut Books,
    (node, epoch, seq): (NodeId, Epoch, Seq),
    part: UsageFact,
) -> Result<(), HubError> {
    let UsageFact { tenant, server, from, to, body } = part;
    let place = (tenant, server, from, epoch, seq);
    let (claimed, reason) = match body {
        UsageBody::Measured(claimed) => (Some(claimed), None),
        UsageBody::Gap(reason) => (None, Some(reason)),
        UsageBody::ClockStep { .. } => (None, Some(GapReason::Clock)),
    };
    if let Some(claimed) = claimed {
        books.add(tenant, from, Column::Reported, &claimed);
        match txn.get(POSTINGS, &place)? {
            None => books.problem(Problem::NotBooked { node, epoch, seq }),
            Some(it) if is_of(&it, node, to, &claimed) => {}
            Some(_) => books.problem(Problem::BookedOtherwise { node, epoch, seq }),
        }
    }
    if let Some(reason) = reason {
        match txn.get(GAPS, &place)? {
            None => books.problem(Problem::NotBooked { node, epoch, seq }),
            Some(gap) if (gap.to, gap.reason) == (to, reason) => {
                books.gap(tenant, from, to, reason);
            }
            Some(_) => books.problem(Problem::BookedOtherwise { node, epoch, seq }),
        }
    }
    Ok(())
}

fn is_of(posting: &Posting, node: NodeId, to: UnixMs, claimed: &Quantities) -> bool {
    (posting.node, posting.to) == (node, to)
        && sum(&posting.billed, &posting.clipped).as_ref() == Some(claimed)
}

/// A fact in quarantine counts for the tenant that it names if that one owns the server, or did.
fn set_aside(txn: &ReadTxn, books: &mut Books, fact: Option<UsageFact>) -> Result<(), HubError> {
    if let Some(UsageFact { tenant, server, from, body: UsageBody::Measured(claimed), .. }) = fact
        && (txn.get(SERVER_TENANTS, &server)?.is_some_and(|owner| owner.0 == tenant)
            || owners(txn, server)?.iter().any(|(_, owner)| *owner == tenant))
    {
        books.set_aside(tenant, from, &claimed);
    } else {
        books.unattributed += 1;
    }
    Ok(())
}

/// Sums of an hour, of its postings, and of those that came after the beginning.
#[derive(Clone, Debug, Default)]
struct Hour {
    sums: Quantities,
    /// `None` when they overflow.
    posted: Option<Quantities>,
    late: Quantities,
}

impl Hour {
    fn new(sums: Quantities) -> Self {
        Self { sums, posted: Some(Quantities::default()), late: Quantities::default() }
    }
}

/// Compares hours with their postings and these with custody.
fn ledger(hub: &Hub, books: &mut Books, limits: &Limits) -> Result<(), HubError> {
    let mut hours = Span::all();
    let mut postings = Span::all();
    loop {
        let next = hub.read(|txn| {
            let page = txn.range(HOURS, hours.clone(), PAGE_HOURS)?;
            let last = page.last().map(|(key, _)| *key).filter(|_| page.len() == PAGE_HOURS);
            let mut found: BTreeMap<HourKey, Hour> =
                page.into_iter().map(|(key, it)| (key, Hour::new(it.billed))).collect();
            let mut rest = postings.clone();
            if let Some(last) = last {
                rest = rest.before(&end_of(last));
            }
            while let Some(more) = post(txn, books, limits, &mut found, rest.clone())? {
                rest = rest.after(&more);
            }
            for (key, hour) in found {
                books.hour(key, &hour.sums, hour.posted.as_ref(), &hour.late);
            }
            Ok(last)
        })?;
        check_length(books)?;
        let Some(last) = next else { return Ok(()) };
        hours = hours.after(&last);
        postings = postings.from(&end_of(last));
    }
}

/// Names one posting.
type PostingKey = (TenantId, ServerId, UnixMs, Epoch, Seq);

/// First possible posting after an hour.
fn end_of((tenant, server, hour): HourKey) -> PostingKey {
    (tenant, server, hour.plus(HOUR_MS), Epoch(0), Seq(0))
}

/// Adds a page of postings to their hours. Returns the last one's key when there may be more.
fn post(
    txn: &ReadTxn,
    books: &mut Books,
    limits: &Limits,
    hours: &mut BTreeMap<HourKey, Hour>,
    span: Span<PostingKey>,
) -> Result<Option<PostingKey>, HubError> {
    let page = txn.range(POSTINGS, span, PAGE)?;
    for ((tenant, server, from, epoch, seq), posting) in &page {
        let hour = (*tenant, *server, from.hour());
        let hour = hours.entry(hour).or_insert_with(|| Hour::new(Quantities::default()));
        hour.posted = hour.posted.and_then(|all| sum(&all, &posting.billed));
        let stream = (posting.node, stream_number(Stream::Usage), *epoch);
        if limits.get(&stream).is_none_or(|(watermark, _)| seq > watermark) {
            hour.late = sum(&hour.late, &posting.billed).unwrap_or(hour.late);
        } else {
            books.add(*tenant, *from, Column::Billed, &posting.billed);
            books.add(*tenant, *from, Column::Clipped, &posting.clipped);
        }
        if !txn.contains(CUSTODY, &(stream.0, stream.1, *epoch, *seq))? {
            books.problem(Problem::NoFact { node: posting.node, epoch: *epoch, seq: *seq });
        }
    }
    Ok(page.last().map(|(key, _)| *key).filter(|_| page.len() == PAGE))
}

fn nodes(hub: &Hub, books: &mut Books, limits: &Limits, now: UnixMs) -> Result<(), HubError> {
    let mut span = Span::all();
    loop {
        let page = hub.read(|txn| {
            let nodes = txn.range(NODES, span.clone(), PAGE)?;
            for (node, record) in &nodes {
                let line = line(txn, *node, record.name.clone(), now, limits)?;
                books.nodes.push(line);
            }
            Ok(nodes)
        })?;
        match page.last() {
            Some((last, _)) if page.len() == PAGE => span = span.after(last),
            _ => return Ok(()),
        }
    }
}

fn line(
    txn: &ReadTxn,
    node: NodeId,
    name: String,
    now: UnixMs,
    limits: &Limits,
) -> Result<NodeLine, HubError> {
    let state = txn.get(NODE_STATES, &node)?;
    let usage = state
        .as_ref()
        .and_then(|it| it.state.outbox.iter().find(|line| line.stream == Stream::Usage).copied());
    let waiting = usage.map_or(0, |it| it.unacked);
    let oldest_age_ms = usage.map_or(0, |it| it.oldest_age_ms);
    let reported_at = state.map(|it| it.received_at);
    // A node that cannot say what waits in its outbox is not one with nothing waiting.
    let told_at = reported_at.filter(|_| usage.is_some());
    let complete_to = told_at.map(|at| complete_to(at, waiting, oldest_age_ms));
    let placed = txn.prefix(PLACED, &(node,), ROWS_MAX)?;
    let of_node = limits.iter().filter(|(key, _)| key.0 == node);
    Ok(NodeLine {
        node,
        name,
        has_servers: placed.iter().any(|(_, it)| !it.gone),
        reported_at,
        waiting,
        complete_to,
        lag_ms: complete_to.map(|at| now.since(at)),
        lost: of_node.map(|(_, (_, lost))| lost).sum(),
    })
}

fn check_length(books: &Books) -> Result<(), HubError> {
    books.check_length().map_err(|_| {
        let text = format!("more than {DAYS_MAX} days of tenants: ask for fewer with --days");
        HubError::Refused(text)
    })
}
