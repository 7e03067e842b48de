//! Books usage: what was not billed before is added to its hour, the rest is recorded as clipped.

use super::{AHEAD_MS_MAX, Booked, Booking, Doubt};
use crate::{
    HubError,
    store::{COVERAGE, GAPS, Gap, HOURS, HourKey, HourRecord, POSTINGS, Posting},
};
use mamba_core::{
    clock::UnixMs,
    db::{Snapshot, Span, Txn},
    fact::{GapReason, Meter, Quantities, UsageBody, UsageFact},
    seq::{Epoch, Seq},
    usage::{coverage::HourSpan, owners::divide},
};
use std::collections::BTreeSet;

/// Postings of one hour up to which their sum is checked at each commit. A node reports an hour in
/// a dozen facts, after many changes in some dozens.
const ASSERTED_POSTINGS_MAX: usize = 1_000;

/// The parts of a fact, one for each owner in its time, with their spans; or why it is not booked.
type Read = Result<Result<Vec<(UsageFact, Option<HourSpan>)>, Doubt>, HubError>;

impl Booking {
    pub(super) fn book_usage(&mut self, txn: &mut Txn<'_>, seq: Seq, body: &[u8]) -> Booked {
        let parts = match self.read_usage(txn, body)? {
            Ok(found) => found,
            Err(doubt) => return Ok(Err(doubt)),
        };
        // All of it is booked or nothing.
        if let Some(doubt) = doubt(txn, &parts)? {
            return Ok(Err(doubt));
        }
        for (fact, span) in &parts {
            match (&fact.body, span) {
                (UsageBody::Measured(claimed), Some(span)) => {
                    self.bill(txn, seq, fact, *span, claimed)?;
                }
                (UsageBody::Measured(_), None) => {}
                (UsageBody::Gap(reason), _) => self.note_gap(txn, seq, fact, *reason)?,
                (UsageBody::ClockStep { .. }, _) => {
                    self.note_gap(txn, seq, fact, GapReason::Clock)?;
                }
            }
        }
        Ok(Ok(()))
    }

    /// Returns the parts of a fact that may be booked, each for whose the server was then, with their
    /// spans; `None` for a step of the clock, which has no length.
    pub(super) fn read_usage(&mut self, view: &impl Snapshot, body: &[u8]) -> Read {
        let fact = match UsageFact::decode(body) {
            Ok(fact) => fact,
            Err(err) => return Ok(Err(Doubt::new(err.to_string()))),
        };
        let is_step = matches!(fact.body, UsageBody::ClockStep { .. }) && fact.from == fact.to;
        if let Err(err) = HourSpan::new(fact.from, fact.to)
            && !is_step
        {
            return Ok(Err(Doubt::new(err.to_string())));
        }
        if fact.to > self.now.plus(AHEAD_MS_MAX) {
            let ahead = fact.to.since(self.now);
            return Ok(Err(Doubt::new(format!("span ends {ahead} ms in the future"))));
        }
        let owners = match self.leases.owners(view, (fact.tenant, fact.server))? {
            Ok(owners) => owners,
            Err(doubt) => return Ok(Err(doubt)),
        };
        let mut parts = Vec::new();
        for part in divide(fact, &owners) {
            let (server, times) = ((part.tenant, part.server), (part.from, part.to));
            if let Err(doubt) = self.leases.check_span(view, self.node, server, times)? {
                return Ok(Err(doubt));
            }
            let span = HourSpan::new(part.from, part.to).ok();
            parts.push((part, span));
        }
        Ok(Ok(parts))
    }

    fn bill(
        &mut self,
        txn: &mut Txn<'_>,
        seq: Seq,
        fact: &UsageFact,
        span: HourSpan,
        claimed: &Quantities,
    ) -> Result<(), HubError> {
        let hour: HourKey = (fact.tenant, fact.server, span.hour());
        let mut coverage = txn.get(COVERAGE, &hour)?.unwrap_or_default();
        let mut sums = txn.get(HOURS, &hour)?.unwrap_or_default();
        let claim = coverage.spans.claim(span, claimed);
        assert!(coverage.spans.clip(span).is_empty(), "what was claimed cannot be claimed again");
        let too_large = || HubError::Bug("quantities that fit do not add up".to_owned());
        let billed = sum(&sums.billed, &claim.billed).ok_or_else(too_large)?;
        sums = HourRecord { billed, updated_at: self.now };
        if claim.clipped != Quantities::default() || claim.parts.is_empty() {
            self.counters.clipped += 1;
        }
        let posting =
            Posting { node: self.node, to: fact.to, billed: claim.billed, clipped: claim.clipped };
        let key = (fact.tenant, fact.server, fact.from, self.epoch, seq);
        txn.put(POSTINGS, &key, &posting)?;
        txn.put(COVERAGE, &hour, &coverage)?;
        txn.put(HOURS, &hour, &sums)?;
        self.touched.hours.insert(hour);
        Ok(())
    }

    fn note_gap(
        &self,
        txn: &mut Txn<'_>,
        seq: Seq,
        fact: &UsageFact,
        reason: GapReason,
    ) -> Result<(), HubError> {
        let key = (fact.tenant, fact.server, fact.from, self.epoch, seq);
        Ok(txn.put(GAPS, &key, &Gap { to: fact.to, reason })?)
    }
}

/// Returns why the parts of a fact cannot be added to their hours, if that is so: even all of them to
/// each.
fn doubt(
    txn: &impl Snapshot,
    parts: &[(UsageFact, Option<HourSpan>)],
) -> Result<Option<Doubt>, HubError> {
    let mut whole = Some(Quantities::default());
    for (fact, span) in parts {
        let UsageBody::Measured(claimed) = &fact.body else { continue };
        let Some(span) = span else { return Ok(Some(Doubt::new("measured span is empty"))) };
        whole = whole.and_then(|whole| sum(&whole, claimed));
        let sums = txn.get(HOURS, &(fact.tenant, fact.server, span.hour()))?.unwrap_or_default();
        if whole.is_none_or(|whole| sum(&sums.billed, &whole).is_none()) {
            return Ok(Some(Doubt::new("quantity is absurdly large")));
        }
    }
    Ok(None)
}

/// Adds meter by meter; `None` when one overflows.
fn sum(a: &Quantities, b: &Quantities) -> Option<Quantities> {
    let mut sum = *a;
    for meter in Meter::ALL {
        let place = sum.of_mut(meter);
        *place = place.checked_add(b.of(meter))?;
    }
    Some(sum)
}

/// Hours that this batch changed.
#[derive(Debug, Default)]
pub(super) struct Touched {
    hours: BTreeSet<HourKey>,
}

impl Touched {
    /// Asserts that the postings of each touched hour add up to its sums (S7).
    pub(super) fn assert_sums(&self, txn: &Txn<'_>) -> Result<(), HubError> {
        for hour in &self.hours {
            let Some(posted) = posted(txn, *hour)? else { continue };
            let sums = txn.get(HOURS, hour)?.unwrap_or_default();
            assert_eq!(posted, sums.billed, "ledger and sums of an hour are the same");
        }
        Ok(())
    }
}

/// Adds up the postings of an hour; `None` when there are too many to do that at each commit.
fn posted(
    txn: &impl Snapshot,
    (tenant, server, hour): HourKey,
) -> Result<Option<Quantities>, HubError> {
    let from = (tenant, server, hour, Epoch(0), Seq(0));
    let to = (tenant, server, end_of(hour), Epoch(0), Seq(0));
    let found = txn.range(POSTINGS, Span::keys(from..to), ASSERTED_POSTINGS_MAX + 1)?;
    if found.len() > ASSERTED_POSTINGS_MAX {
        return Ok(None);
    }
    let add = |all: Quantities, posting: &Posting| sum(&all, &posting.billed);
    Ok(found.iter().try_fold(Quantities::default(), |all, (_, posting)| add(all, posting)))
}

fn end_of(hour: UnixMs) -> UnixMs {
    hour.plus(mamba_core::clock::HOUR_MS)
}
