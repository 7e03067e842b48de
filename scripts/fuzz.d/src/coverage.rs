//! The coverage of an hour against one flag for each second.

use crate::Input;
use mamba_core::{
    clock::{HOUR_MS, UnixMs},
    db::{decode_postcard, encode_postcard},
    fact::{Meter, Quantities},
    usage::coverage::{Coverage, HourSpan, SPANS_MAX},
};

const HOUR: UnixMs = UnixMs(480_000 * HOUR_MS);
pub(crate) const SECONDS: usize = 3_600;

/// Seconds of an hour that were billed.
#[derive(Clone)]
pub(crate) struct Naive(pub(crate) [bool; SECONDS]);

impl Naive {
    /// Runs of billed seconds.
    fn runs(&self) -> Vec<(usize, usize)> {
        let mut runs = Vec::new();
        let mut at = 0;
        while at < SECONDS {
            let from = at;
            while at < SECONDS && self.0[at] {
                at += 1;
            }
            if at > from {
                runs.push((from, at));
            } else {
                at += 1;
            }
        }
        runs
    }

    /// Bills a span; returns how many of its seconds are new.
    pub(crate) fn claim(&mut self, from: usize, to: usize) -> u64 {
        let mut new = 0;
        for second in &mut self.0[from..to] {
            new += u64::from(!std::mem::replace(second, true));
        }
        let runs = self.runs();
        if runs.len() > SPANS_MAX {
            let hole = |&index: &usize| runs[index + 1].0 - runs[index].1;
            let narrowest = (0..runs.len() - 1).min_by_key(hole).unwrap();
            self.0[runs[narrowest].1..runs[narrowest + 1].0].fill(true);
        }
        new
    }
}

/// The even input is a list of claims, the odd one a stored coverage.
pub fn check(data: &[u8]) {
    let Some((&choice, rest)) = data.split_first() else { return };
    if choice % 2 == 1 {
        return stored(rest);
    }
    let mut input = Input(rest);
    let (mut coverage, mut naive) = (Coverage::default(), Naive([false; SECONDS]));
    while !input.is_empty() {
        let from = usize::from(input.short()) % SECONDS;
        let to = (from + 1 + usize::from(input.byte())).min(SECONDS);
        let at = |second: usize| HOUR.plus(second as u64 * 1_000);
        let span = HourSpan::new(at(from), at(to)).unwrap();
        let amount = u128::from(input.byte()) << (input.byte() % 121);
        let claimed = Quantities { egress: amount, memory_used: 3, ..Quantities::default() };
        let claim = coverage.claim(span, &claimed);
        let new = naive.claim(from, to);
        let billed_ms: u64 = claim.parts.iter().map(|part| part.ms()).sum();
        assert_eq!(billed_ms, new * 1_000, "as much time as is new");
        for meter in Meter::ALL {
            let (billed, clipped) = (claim.billed.of(meter), claim.clipped.of(meter));
            assert_eq!(billed + clipped, claimed.of(meter), "nothing gets lost");
        }
        let is_whole = new == (to - from) as u64;
        assert!(!is_whole || claim.billed == claimed, "new time is billed in full");
        assert!(new > 0 || claim.clipped == claimed, "old time not at all");
        assert!(coverage.clip(span).is_empty(), "what was claimed is covered");
    }
    let runs = naive.runs();
    let seconds: usize = runs.iter().map(|(from, to)| to - from).sum();
    assert_eq!(coverage.covered_ms(), seconds as u64 * 1_000);
    let numbers: Vec<u32> = coverage.clone().into();
    assert_eq!(numbers.len(), 2 * runs.len());
    assert_eq!(Coverage::try_from(numbers), Ok(coverage));
}

fn stored(bytes: &[u8]) {
    let Ok(coverage) = decode_postcard::<Coverage>(1, bytes) else { return };
    assert!(coverage.covered_ms() <= HOUR_MS);
    let mut again = Vec::new();
    encode_postcard(&coverage, &mut again).unwrap();
    assert_eq!(decode_postcard::<Coverage>(1, &again), Ok(coverage));
}
