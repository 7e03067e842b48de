//! Pure: which of many servers are looked at, when a feed carries the gauges of a few.

use mamba_core::{clock::UnixMs, ids::ServerId};
use mamba_wire::api::feed::GAUGES_MAX;

/// How long some are looked at before it is the turn of the next: a node tells a number at once, and another
/// two seconds later.
pub(super) const TURN_MS: u64 = 6_000;

/// Returns those whose turn it is. All of them, when a feed carries all.
pub(super) fn turn(servers: &[ServerId], now: UnixMs) -> &[ServerId] {
    let turns = u64::try_from(servers.len().div_ceil(GAUGES_MAX)).unwrap_or(1).max(1);
    let index = usize::try_from(now.0 / TURN_MS % turns).unwrap_or_default() * GAUGES_MAX;
    servers.get(index..servers.len().min(index + GAUGES_MAX)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn each_has_its_turn_and_no_more_than_a_feed_carries_have_it_at_once() {
        let servers: Vec<ServerId> = (0..20).map(|n| ServerId::from_bytes([n; 16])).collect();
        for count in 0..servers.len() {
            let mut seen = BTreeSet::<ServerId>::new();
            for round in 0..3 {
                let now = turn(&servers[..count], UnixMs(round * TURN_MS));
                assert!(now.len() <= GAUGES_MAX);
                seen.extend(now);
            }
            assert_eq!(seen.len(), count, "of {count}");
        }
        let few = &servers[..GAUGES_MAX];
        assert_eq!(turn(few, UnixMs(0)), turn(few, UnixMs(TURN_MS)));
    }
}
