//! Reconciliation: does what nodes reported, what was booked and what will be billed add up?
//!
//! For each tenant, day and meter:
//! - *reported* (usage facts in custody) = *billed* + *clipped* (postings) + *set aside* (quarantine);
//! - *billed* = *buckets* (the hourly sums that bills are made from).
//!
//! Below the totals each fact is compared with its own posting, each posting with its fact, each hour
//! with its postings, and each stream's custody with its watermark. So two errors that cancel out
//! are found, too.
//!
//! The store is walked in pages, each of them one short snapshot, while the hub goes on. What is compared
//! with each other is read in one snapshot; and totals count facts up to the watermarks at the
//! beginning, so that what comes meanwhile is in none of them.

mod books;
mod walk;
#[cfg(test)]
mod tests;

pub use books::{GapLine, NodeLine, Problem, Report, Row};

use crate::{Hub, HubError};
use mamba_core::clock::UnixMs;

/// Milliseconds of a UTC day.
pub(crate) const DAY_MS: u64 = 24 * 3_600_000;

impl Hub {
    /// Reconciles all days, or the last `days` with today. Reads the whole store: minutes for a large
    /// one. Cancelled, a started walk still ends, without effect.
    ///
    /// # Errors
    /// `Refused` when the report would be too long, `Unavailable` when the store cannot be read.
    pub async fn reconcile(&self, days: Option<u32>) -> Result<Report, HubError> {
        let hub = self.clone();
        let now = self.now();
        let walked =
            tokio::task::spawn_blocking(move || walk::run(&hub, first_day(now, days), now));
        walked.await.map_err(|_| HubError::Bug("reconciliation was interrupted".to_owned()))?
    }
}

/// Returns the start of the first day that is shown.
fn first_day(now: UnixMs, days: Option<u32>) -> UnixMs {
    let before = |days: u32| u64::from(days.saturating_sub(1)).saturating_mul(DAY_MS);
    days.map_or(UnixMs(0), |days| UnixMs(day_of(now).0.saturating_sub(before(days))))
}

fn day_of(at: UnixMs) -> UnixMs {
    UnixMs(at.0 - at.0 % DAY_MS)
}
