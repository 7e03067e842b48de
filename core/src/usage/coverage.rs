//! Pure: which milliseconds of one server were billed before, so that none is billed twice.
//!
//! A [`Coverage`] belongs to one server and one UTC hour: facts never cross an hour, so a claim looks
//! at exactly one record, and a record never grows with the age of the server. One record serves
//! all seven meters: a measured fact always carries all of them for its whole span, so they are
//! always covered together. Disjoint spans per server are then disjoint per (server, meter), too.
//!
//! A record is a list of half-open spans in milliseconds of the hour, sorted, disjoint and merged
//! where they touch. A node that reports without gaps needs one span, whatever the number of facts.
//! At most [`SPANS_MAX`] are kept: above that the narrowest hole between two spans is closed, which
//! counts its milliseconds as billed although they were not. In doubt nothing is billed.
//!
//! Encoded, a record is `count, then per span: hole before it, length`, each as a varint: 6 bytes
//! for a whole hour, at most 1,284 bytes.
//!
//! A claim that is partly covered is billed in proportion to its uncovered time: of each quantity `q`
//! of a fact that lasted `t` milliseconds, `u` of them uncovered, `floor(q * u / t)` is billed and the
//! rest is recorded as clipped. So for each meter, whatever arrives how often: the sum of what was
//! reported equals the sum billed plus the sum clipped.

use super::share;
use crate::{
    clock::{HOUR_MS, UnixMs},
    fact::{Meter, Quantities},
};
use serde::{Deserialize, Serialize};

/// Most spans of one hour. An honest node makes a hole only where it was down or its clock was
/// stepped; 128 of those in an hour are a fault, and a record stays below 1.3 KB.
pub const SPANS_MAX: usize = 128;

const _: () = assert!(HOUR_MS < u32::MAX as u64);

/// A half-open, not empty span within one UTC hour; holding one proves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HourSpan {
    hour: UnixMs,
    from: u32,
    to: u32,
}

/// A span that is not one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpanError {
    /// It ends before, or where, it begins.
    #[error("span from {from} to {to} is empty")]
    Empty {
        /// Its start.
        from: UnixMs,
        /// Its end.
        to: UnixMs,
    },
    /// It crosses the end of a UTC hour.
    #[error("span from {from} to {to} crosses an hour")]
    CrossesHour {
        /// Its start.
        from: UnixMs,
        /// Its end.
        to: UnixMs,
    },
}

impl HourSpan {
    /// Checks a span.
    ///
    /// # Errors
    /// `Empty` or `CrossesHour`.
    pub fn new(from: UnixMs, to: UnixMs) -> Result<Self, SpanError> {
        if to <= from {
            return Err(SpanError::Empty { from, to });
        }
        let hour = from.hour();
        match (offset(hour, from), offset(hour, to)) {
            (Some(start), Some(end)) => Ok(Self { hour, from: start, to: end }),
            _ => Err(SpanError::CrossesHour { from, to }),
        }
    }

    /// Start of the UTC hour that it lies in: names the record.
    #[must_use]
    pub fn hour(self) -> UnixMs {
        self.hour
    }

    /// Its start.
    #[must_use]
    pub fn from(self) -> UnixMs {
        self.hour.plus(self.from.into())
    }

    /// Its end.
    #[must_use]
    pub fn to(self) -> UnixMs {
        self.hour.plus(self.to.into())
    }

    /// Its length in milliseconds, 1 to 3,600,000.
    #[must_use]
    pub fn ms(self) -> u64 {
        u64::from(self.to - self.from)
    }
}

/// Returns how far `at` is into the hour, `None` when it is not in it or at its end.
fn offset(hour: UnixMs, at: UnixMs) -> Option<u32> {
    u32::try_from(at.0.checked_sub(hour.0)?).ok().filter(|&ms| u64::from(ms) <= HOUR_MS)
}

/// What was billed of one server in one UTC hour. See the module's documentation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<u32>", into = "Vec<u32>")]
pub struct Coverage {
    /// Sorted and disjoint, with holes between; offsets into the hour in milliseconds.
    spans: Vec<(u32, u32)>,
}

/// Bytes that are not a coverage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("spans are not sorted, disjoint and within one hour")]
pub struct CoverageError;

/// What became of one claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Parts of the span that were not covered before, in order. Empty when all of it was.
    pub parts: Vec<HourSpan>,
    /// What is billed for them.
    pub billed: Quantities,
    /// The rest: for each meter, billed plus clipped is what was claimed.
    pub clipped: Quantities,
}

impl Coverage {
    /// Bills what is not yet covered of `span` and covers all of it.
    #[must_use]
    pub fn claim(&mut self, span: HourSpan, claimed: &Quantities) -> Claim {
        let parts = self.clip(span);
        let uncovered_ms: u64 = parts.iter().map(|part| part.ms()).sum();
        let (mut billed, mut clipped) = (Quantities::default(), Quantities::default());
        for meter in Meter::ALL {
            let whole = claimed.of(meter);
            let part = share(whole, uncovered_ms, span.ms());
            *billed.of_mut(meter) = part;
            *clipped.of_mut(meter) = whole - part;
        }
        self.insert(span);
        Claim { parts, billed, clipped }
    }

    /// Covers `span`. A second time changes nothing.
    pub fn insert(&mut self, span: HourSpan) {
        let (mut from, mut to) = (span.from, span.to);
        // Everything that overlaps or touches becomes one span with it.
        let first = self.spans.partition_point(|&(_, end)| end < from);
        let last = self.spans.partition_point(|&(start, _)| start <= to);
        for &(start, end) in &self.spans[first..last.max(first)] {
            from = from.min(start);
            to = to.max(end);
        }
        self.spans.splice(first..last.max(first), [(from, to)]);
        if self.spans.len() > SPANS_MAX {
            self.close_narrowest_hole();
        }
    }

    /// Returns the parts of `span` that are not covered, in order.
    #[must_use]
    pub fn clip(&self, span: HourSpan) -> Vec<HourSpan> {
        let mut parts = Vec::new();
        let mut at = span.from;
        let meets = |&&(start, end): &&(u32, u32)| start < span.to && end > span.from;
        for &(start, end) in self.spans.iter().filter(meets) {
            if at < start {
                parts.push(HourSpan { from: at, to: start, ..span });
            }
            at = at.max(end);
        }
        if at < span.to {
            parts.push(HourSpan { from: at, ..span });
        }
        parts
    }

    /// Returns the covered milliseconds, at most those of an hour.
    #[must_use]
    pub fn covered_ms(&self) -> u64 {
        self.spans.iter().map(|&(from, to)| u64::from(to - from)).sum()
    }

    fn close_narrowest_hole(&mut self) {
        let hole = |&index: &usize| self.spans[index + 1].0 - self.spans[index].1;
        if let Some(index) = (0..self.spans.len() - 1).min_by_key(hole) {
            self.spans[index].1 = self.spans[index + 1].1;
            self.spans.remove(index + 1);
        }
    }
}

impl From<Coverage> for Vec<u32> {
    fn from(coverage: Coverage) -> Self {
        let mut numbers = Self::with_capacity(coverage.spans.len() * 2);
        let mut at = 0;
        for (from, to) in coverage.spans {
            numbers.extend([from - at, to - from]);
            at = to;
        }
        numbers
    }
}

impl TryFrom<Vec<u32>> for Coverage {
    type Error = CoverageError;
    fn try_from(numbers: Vec<u32>) -> Result<Self, CoverageError> {
        let (pairs, []) = numbers.as_chunks::<2>() else { return Err(CoverageError) };
        let mut spans = Vec::with_capacity(pairs.len());
        let mut at = 0_u32;
        for (index, &[hole, length]) in pairs.iter().enumerate() {
            let from = at.checked_add(hole).ok_or(CoverageError)?;
            at = from.checked_add(length).ok_or(CoverageError)?;
            if length == 0 || (hole == 0 && index > 0) || u64::from(at) > HOUR_MS {
                return Err(CoverageError);
            }
            spans.push((from, at));
        }
        if spans.len() > SPANS_MAX { Err(CoverageError) } else { Ok(Self { spans }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HOUR: UnixMs = UnixMs(HOUR_MS * 480_000);

    fn span(from: u64, to: u64) -> HourSpan {
        HourSpan::new(HOUR.plus(from), HOUR.plus(to)).unwrap()
    }

    #[track_caller]
    fn check_span(from: u64, to: u64, expected: Result<u64, &str>) {
        let result = HourSpan::new(HOUR.plus(from), HOUR.plus(to));
        assert_eq!(
            result.map(HourSpan::ms).map_err(|err| err.to_string()).as_ref(),
            expected.map_err(String::from).as_ref()
        );
    }

    #[test]
    fn spans_are_within_one_hour() {
        check_span(0, HOUR_MS, Ok(HOUR_MS));
        check_span(HOUR_MS - 1, HOUR_MS, Ok(1));
        assert!(matches!(HourSpan::new(HOUR, HOUR), Err(SpanError::Empty { .. })));
        assert!(matches!(HourSpan::new(HOUR.plus(1), HOUR), Err(SpanError::Empty { .. })));
        assert!(matches!(
            HourSpan::new(HOUR, HOUR.plus(HOUR_MS + 1)),
            Err(SpanError::CrossesHour { .. })
        ));
        assert!(matches!(
            HourSpan::new(UnixMs(1), UnixMs(u64::MAX)),
            Err(SpanError::CrossesHour { .. })
        ));
    }

    #[test]
    fn a_steady_node_needs_one_span() {
        let mut coverage = Coverage::default();
        for index in 0..12 {
            coverage.insert(span(index * 300_000, (index + 1) * 300_000));
        }
        assert_eq!(coverage.spans, [(0, 3_600_000)]);
        assert_eq!(postcard::to_stdvec(&coverage).unwrap().len(), 6);
    }

    #[test]
    fn too_many_holes_are_closed_from_the_narrowest() {
        let mut coverage = Coverage::default();
        for index in 0..SPANS_MAX as u64 {
            coverage.insert(span(index * 20, index * 20 + 1 + index % 10));
        }
        coverage.insert(span(3_000_000, 3_000_001));
        assert_eq!(coverage.spans.len(), SPANS_MAX);
        assert!(coverage.clip(span(0, 200)).iter().all(|part| part.ms() > 10), "narrowest first");
        assert!(coverage.clip(span(3_000_000, 3_000_001)).is_empty());
    }

    #[test]
    fn bad_encodings_are_refused() {
        for numbers in
            [vec![0], vec![0, 0], vec![0, 5, 0, 5], vec![0, 3_600_001], vec![9, u32::MAX]]
        {
            assert_eq!(Coverage::try_from(numbers.clone()), Err(CoverageError), "{numbers:?}");
        }
        let many = [1, 1].repeat(SPANS_MAX + 1);
        assert_eq!(Coverage::try_from(many), Err(CoverageError));
    }

    /// Spans within the first 60 ms of the hour, so that they meet often.
    fn spans() -> impl Strategy<Value = Vec<(u64, u64, u64)>> {
        prop::collection::vec((0..60_u64, 1..20_u64, 0..1_000_u64), 1..40)
    }

    proptest! {
        #[test]
        fn no_millisecond_is_billed_twice_and_no_unit_gets_lost(claims in spans()) {
            let mut naive = [false; 80];
            let mut coverage = Coverage::default();
            for (from, length, quantity) in claims {
                let claimed = Quantities {
                    cpu_used: quantity.into(), egress: (quantity * 7).into(), ..Quantities::default()
                };
                let claim = coverage.claim(span(from, from + length), &claimed);
                let mut uncovered = 0;
                for at in from..from + length {
                    let is_part = claim.parts.iter()
                        .any(|part| (part.from()..part.to()).contains(&HOUR.plus(at)));
                    let was_covered = std::mem::replace(&mut naive[usize::try_from(at).unwrap()], true);
                    prop_assert_eq!(is_part, !was_covered);
                    uncovered += u64::from(is_part);
                }
                for meter in Meter::ALL {
                    let whole = claimed.of(meter);
                    let expected = whole * u128::from(uncovered) / u128::from(length);
                    prop_assert_eq!(claim.billed.of(meter), expected);
                    prop_assert_eq!(claim.billed.of(meter) + claim.clipped.of(meter), whole);
                }
                let covered = naive.iter().filter(|&&is_covered| is_covered).count();
                prop_assert_eq!(coverage.covered_ms(), covered as u64);
                let bytes = postcard::to_stdvec(&coverage).unwrap();
                prop_assert_eq!(postcard::from_bytes::<Coverage>(&bytes).unwrap(), coverage.clone());
            }
        }
    }
}
