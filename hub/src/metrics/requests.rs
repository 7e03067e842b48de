//! What the API answered, counted since the start.

use mamba_core::metrics::{Family, Kind};
use std::sync::atomic::{AtomicU64, Ordering};

/// Classes of status codes, by their first digit from 1.
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// Counts answers.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    by_class: [AtomicU64; CLASSES.len()],
    ms: AtomicU64,
}

impl Requests {
    /// Counts one answer and the time until it was there.
    pub(crate) fn note(&self, status: u16, ms: u64) {
        let class = usize::from(status / 100).checked_sub(1);
        if let Some(count) = class.and_then(|class| self.by_class.get(class)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.ms.fetch_add(ms, Ordering::Relaxed);
    }

    /// Returns the counts.
    pub(super) fn families(&self) -> [Family; 2] {
        let count = |(class, count): (&str, &AtomicU64)| {
            (vec![("status", class.to_owned())], count.load(Ordering::Relaxed))
        };
        let requests = Family {
            name: "mamba_hub_requests_total",
            kind: Kind::Counter,
            help: "Requests that the API answered, by class of status.",
            samples: CLASSES.into_iter().zip(&self.by_class).map(count).collect(),
        };
        let time = Family::total(
            "mamba_hub_request_milliseconds_total",
            "Time until the API's answers were there.",
            self.ms.load(Ordering::Relaxed),
        );
        [requests, time]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_counted_by_class_and_a_strange_status_is_no_panic() {
        let requests = Requests::default();
        for (status, ms) in [(200, 5), (204, 0), (404, 1), (503, 2), (0, 0), (999, 0)] {
            requests.note(status, ms);
        }
        let [counts, time] = requests.families();
        let seen: Vec<u64> = counts.samples.iter().map(|(_, count)| *count).collect();
        assert_eq!(seen, [0, 2, 0, 1, 1]);
        assert_eq!(time.samples[0].1, 8);
    }
}
