//! The model: says of each batch what must become of it, and keeps books in which every second of a
//! server is a flag.

use crate::coverage::{Naive, SECONDS};
use mamba_core::{
    clock::{HOUR_MS, UnixMs},
    db::{Snapshot as _, Span},
    fact::{Chain, Quantities, UsageBody, UsageFact},
    ids::{NodeId, ServerId, TenantId},
    seq::{Epoch, Seq},
};
use mamba_hub::{
    Hub,
    ingest::{AHEAD_MS_MAX, BACK_MS_MAX},
    link::backend::IngestError,
    reconcile::Problem,
    store::{COUNTERS, CUSTODY, GAPS, HOURS, POSTINGS, QUARANTINE, STREAM_GAPS},
};
use mamba_wire::link::v1::{Facts, Found, StreamHello};
use std::collections::BTreeMap;

use super::place::START;

/// How much earlier than its server a span may begin.
const EARLY_MS: u64 = 60_000;
/// More rows than any input makes.
const ROWS_MAX: usize = 100_000;

type Server = (TenantId, ServerId);

/// What the hub should hold.
pub(super) struct Model {
    servers: [Server; 4],
    /// How far each epoch is in custody; the last one is open.
    epochs: Vec<(Epoch, usize, Chain)>,
    /// When facts came into custody last.
    newest: UnixMs,
    facts: u64,
    set_aside: usize,
    gaps: usize,
    /// How often the node had pruned facts that the hub had not.
    holes: usize,
    hours: BTreeMap<(Server, UnixMs), Hour>,
    is_absurd: bool,
}

#[derive(Clone)]
struct Hour {
    seconds: Naive,
    billed: [u128; 2],
    clipped: [u128; 2],
}

impl Model {
    pub(super) fn new(servers: [Server; 4]) -> Self {
        Self {
            servers,
            epochs: Vec::new(),
            newest: UnixMs(0),
            facts: 0,
            set_aside: 0,
            gaps: 0,
            holes: 0,
            hours: BTreeMap::new(),
            is_absurd: false,
        }
    }

    /// Facts of the open epoch that are in custody, or lost.
    pub(super) fn watermark(&self) -> usize {
        self.epochs.last().map_or(0, |(_, watermark, _)| *watermark)
    }

    /// What a hello finds, and the watermark that it is told.
    pub(super) fn greet(&mut self, hello: &StreamHello) -> (Found, Seq) {
        let count = |seq: Seq| usize::try_from(seq.0 - 1).unwrap();
        let (pruned, made) = (count(hello.first_retained), count(hello.next));
        let known = self.epochs.iter().position(|(epoch, ..)| *epoch == hello.epoch);
        let found = match known {
            None => {
                self.epochs.push((hello.epoch, pruned, hello.chain_before_first));
                self.holes += usize::from(pruned > 0);
                Found::NewEpoch
            }
            Some(at) => {
                let is_closed = at + 1 < self.epochs.len();
                let (_, watermark, chain) = &mut self.epochs[at];
                let ends = [(pruned, hello.chain_before_first), (made, hello.chain_head)];
                if is_closed || *watermark > made {
                    Found::Fork
                } else if *watermark < pruned {
                    (*watermark, *chain) = ends[0];
                    self.holes += 1;
                    Found::HubLost
                } else if ends.iter().any(|(at, it)| at == watermark && it != chain) {
                    Found::Fork
                } else {
                    Found::InStep
                }
            }
        };
        let at = known.unwrap_or(self.epochs.len() - 1);
        (found, Seq(self.epochs[at].1 as u64))
    }

    /// What becomes of a batch at this time: the watermark, or a refusal; `None` for the one because
    /// of the hub's clock.
    pub(super) fn take(&mut self, batch: &Facts, now: UnixMs) -> Result<Seq, Option<IngestError>> {
        let diverged = Err(Some(IngestError::Diverged));
        if now.plus(BACK_MS_MAX) < self.newest {
            return Err(None);
        }
        let Some(&(epoch, watermark, mut chain)) = self.epochs.last() else { return diverged };
        let first = usize::try_from(batch.first.0).unwrap();
        let is_next = (1..=watermark + 1).contains(&first);
        if epoch != batch.epoch || batch.bodies.is_empty() || !is_next {
            return diverged;
        }
        let known = watermark + 1 - first;
        let new = batch.bodies.get(known..).unwrap_or_default();
        for (seq, body) in (watermark as u64 + 1..).map(Seq).zip(new) {
            chain = chain.then(epoch, seq, body);
        }
        // What ends below the watermark cannot be compared, and changes nothing.
        if known <= batch.bodies.len() && chain != batch.chain {
            return diverged;
        }
        let after = watermark + new.len();
        *self.epochs.last_mut().unwrap() = (epoch, after, chain);
        if !new.is_empty() {
            self.newest = self.newest.max(now);
        }
        new.iter().for_each(|body| self.book(body, now));
        Ok(Seq(after as u64))
    }

    fn book(&mut self, body: &[u8], now: UnixMs) {
        self.facts += 1;
        let booked = UsageFact::decode(body).is_ok_and(|fact| self.book_fact(&fact, now));
        self.set_aside += usize::from(!booked);
    }

    /// Returns whether the fact may be booked.
    fn book_fact(&mut self, fact: &UsageFact, now: UnixMs) -> bool {
        let hour = fact.from.0 / HOUR_MS;
        let is_span = fact.from < fact.to && fact.to.0.div_ceil(HOUR_MS) == hour + 1;
        let is_step = matches!(fact.body, UsageBody::ClockStep { .. }) && fact.from == fact.to;
        let is_ours = self.servers[..2].contains(&(fact.tenant, fact.server));
        let is_late = fact.to > now.plus(AHEAD_MS_MAX);
        let is_early = fact.from.plus(EARLY_MS) < START;
        if !(is_span || is_step) || !is_ours || is_late || is_early {
            return false;
        }
        match fact.body {
            UsageBody::Gap(_) | UsageBody::ClockStep { .. } => {
                self.gaps += 1;
                true
            }
            UsageBody::Measured(claimed) => self.bill(fact, &claimed),
        }
    }

    fn bill(&mut self, fact: &UsageFact, claimed: &Quantities) -> bool {
        let key = ((fact.tenant, fact.server), fact.from.hour());
        let mut hour = self.hours.get(&key).cloned().unwrap_or(Hour {
            seconds: Naive([false; SECONDS]),
            billed: [0; 2],
            clipped: [0; 2],
        });
        let second = |at: UnixMs| usize::try_from((at.0 - key.1.0) / 1_000).unwrap();
        let (from, to) = (second(fact.from), second(fact.to));
        let (new, all) = (u128::from(hour.seconds.claim(from, to)), (to - from) as u128);
        for (meter, whole) in [claimed.cpu_used, claimed.egress].into_iter().enumerate() {
            // All of it when all is new; else in proportion, rounded down, without overflow.
            let part = whole / all * new + whole % all * new / all;
            let Some(billed) = hour.billed[meter].checked_add(part) else {
                self.is_absurd = true;
                return false;
            };
            hour.billed[meter] = billed;
            let clipped = hour.clipped[meter].checked_add(whole - part);
            self.is_absurd |= clipped.is_none();
            hour.clipped[meter] = clipped.unwrap_or(u128::MAX);
        }
        self.hours.insert(key, hour);
        true
    }

    /// The hub's books are these.
    pub(super) async fn agrees_with(&self, hub: &Hub, node: NodeId) {
        let [custody, quarantine, gaps, holes] = hub
            .store()
            .read(|txn| {
                Ok::<_, mamba_core::db::TxnError>([
                    txn.range(CUSTODY, Span::all(), ROWS_MAX)?.len(),
                    txn.range(QUARANTINE, Span::all(), ROWS_MAX)?.len(),
                    txn.range(GAPS, Span::all(), ROWS_MAX)?.len(),
                    txn.range(STREAM_GAPS, Span::all(), ROWS_MAX)?
                        .iter()
                        .filter(|(_, gap)| gap.last.is_some())
                        .count(),
                ])
            })
            .unwrap();
        assert_eq!(custody as u64, self.facts, "custody holds each fact once");
        assert_eq!((quarantine, gaps, holes), (self.set_aside, self.gaps, self.holes));
        let counters = hub.store().read(|txn| txn.get(COUNTERS, &node)).unwrap();
        assert_eq!(counters.unwrap_or_default().facts, self.facts);
        self.bills_agree(hub);
        let report = hub.reconcile(None).await.unwrap();
        let is_excused = |it: &Problem| self.is_absurd && matches!(it, Problem::Overflow { .. });
        assert!(report.problems.iter().all(is_excused), "{:?}", report.problems);
    }

    fn bills_agree(&self, hub: &Hub) {
        let (hours, postings) = hub
            .store()
            .read(|txn| {
                let hours = txn.range(HOURS, Span::all(), ROWS_MAX)?;
                Ok::<_, mamba_core::db::TxnError>((
                    hours,
                    txn.range(POSTINGS, Span::all(), ROWS_MAX)?,
                ))
            })
            .unwrap();
        let of = |it: &Quantities| [it.cpu_used, it.egress];
        let billed: BTreeMap<_, _> = hours
            .iter()
            .map(|((tenant, server, hour), it)| (((*tenant, *server), *hour), of(&it.billed)))
            .collect();
        let expected: BTreeMap<_, _> =
            self.hours.iter().map(|(key, it)| (*key, it.billed)).collect();
        assert_eq!(billed, expected, "every second is billed once");
        let mut clipped: BTreeMap<(Server, UnixMs), [u128; 2]> = BTreeMap::new();
        for ((tenant, server, from, ..), posting) in postings {
            let sums = clipped.entry(((tenant, server), from.hour())).or_default();
            for (sum, more) in sums.iter_mut().zip(of(&posting.clipped)) {
                *sum = sum.saturating_add(more);
            }
        }
        let expected: BTreeMap<_, _> =
            self.hours.iter().map(|(key, it)| (*key, it.clipped)).collect();
        assert_eq!(clipped, expected, "and the rest is written down");
    }
}
