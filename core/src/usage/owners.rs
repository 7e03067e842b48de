//! Pure: whose a server was when, and so whose a span of usage is.
//!
//! A node names the owner that it knows of. One that was cut off when the server changed hands goes on
//! naming the former one until it hears of it, so the hub decides by time: a span across a change is
//! cut there, and each part has its share of what was measured. Shares are differences of rounded sums,
//! so that they add up to it exactly.

use super::share;
use crate::{
    clock::UnixMs,
    fact::{Meter, Quantities, UsageBody, UsageFact},
    ids::TenantId,
};

/// Owners of a server in the order of time, each with the moment from which on it is his. None where
/// it never changed hands.
pub type Owners = [(UnixMs, TenantId)];

/// Returns the owner at a time: the first before all others.
#[must_use]
pub fn owner_at(owners: &Owners, at: UnixMs) -> Option<TenantId> {
    let before = owners.iter().rev().find(|(from, _)| *from <= at);
    before.or(owners.first()).map(|(_, tenant)| *tenant)
}

/// Returns whose an event is that names `named`. The node that knows of a new owner acts for him, even
/// if its calendar says that he was none yet; otherwise the time decides.
#[must_use]
pub fn owner_of_event(owners: &Owners, named: TenantId, at: UnixMs) -> TenantId {
    let is_later = owners.iter().any(|(from, tenant)| *tenant == named && *from > at);
    match owner_at(owners, at) {
        Some(owner) if !is_later => owner,
        Some(_) | None => named,
    }
}

/// Divides a fact among those whose server it was, in the order of time. One that lies within one
/// owner's time becomes his as it is.
#[must_use]
pub fn divide(fact: UsageFact, owners: &Owners) -> Vec<UsageFact> {
    let Some(first) = owner_at(owners, fact.from) else { return vec![fact] };
    let within = |at: &UnixMs| fact.from < *at && *at < fact.to;
    let changes = owners.iter().filter(|(from, _)| within(from));
    let begins: Vec<(UnixMs, TenantId)> =
        std::iter::once((fact.from, first)).chain(changes.copied()).collect();
    let ends = begins.iter().skip(1).map(|(from, _)| *from).chain([fact.to]);
    begins
        .iter()
        .zip(ends)
        .map(|((from, tenant), to)| UsageFact {
            tenant: *tenant,
            server: fact.server,
            from: *from,
            to,
            body: part(&fact, *from, to),
        })
        .collect()
}

fn part(fact: &UsageFact, from: UnixMs, to: UnixMs) -> UsageBody {
    let UsageBody::Measured(all) = &fact.body else { return fact.body.clone() };
    let whole = fact.to.since(fact.from);
    let until = |at: UnixMs, meter| share(all.of(meter), at.since(fact.from), whole);
    let mut part = Quantities::default();
    for meter in Meter::ALL {
        *part.of_mut(meter) = until(to, meter) - until(from, meter);
    }
    UsageBody::Measured(part)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{fact::GapReason, ids::ServerId};
    use proptest::prelude::*;

    fn tenant(number: u8) -> TenantId {
        TenantId::from_bytes([number; 16])
    }

    fn owners(all: &[(u64, u8)]) -> Vec<(UnixMs, TenantId)> {
        all.iter().map(|(at, number)| (UnixMs(*at), tenant(*number))).collect()
    }

    fn fact(from: u64, to: u64, body: UsageBody) -> UsageFact {
        let (tenant, server) = (tenant(1), ServerId::from_bytes([9; 16]));
        UsageFact { tenant, server, from: UnixMs(from), to: UnixMs(to), body }
    }

    fn cpu(amount: u128) -> UsageBody {
        UsageBody::Measured(Quantities { cpu_used: amount, ..Quantities::default() })
    }

    #[test]
    fn a_span_is_cut_where_the_server_changed_hands() {
        let gap = UsageBody::Gap(GapReason::Reboot);
        let step = UsageBody::ClockStep { by_ms: -7 };
        for (all, from, to, body, expected) in [
            (vec![], 10, 20, cpu(7), vec![(1, 10, 20, cpu(7))]),
            (vec![(0, 1), (15, 2)], 10, 15, cpu(7), vec![(1, 10, 15, cpu(7))]),
            (vec![(0, 1), (15, 2)], 15, 20, cpu(7), vec![(2, 15, 20, cpu(7))]),
            (vec![(0, 1), (13, 2)], 10, 20, cpu(7), vec![(1, 10, 13, cpu(2)), (2, 13, 20, cpu(5))]),
            (
                vec![(0, 1), (12, 2), (14, 1)],
                10,
                20,
                cpu(100),
                vec![(1, 10, 12, cpu(20)), (2, 12, 14, cpu(20)), (1, 14, 20, cpu(60))],
            ),
            (
                vec![(0, 1), (13, 2)],
                10,
                20,
                gap.clone(),
                vec![(1, 10, 13, gap.clone()), (2, 13, 20, gap)],
            ),
            (vec![(0, 1), (15, 2)], 15, 15, step.clone(), vec![(2, 15, 15, step)]),
        ] {
            let parts = divide(fact(from, to, body), &owners(&all));
            let seen: Vec<_> =
                parts.into_iter().map(|it| (it.tenant, it.from.0, it.to.0, it.body)).collect();
            let expected: Vec<_> = expected
                .into_iter()
                .map(|(number, from, to, body)| (tenant(number), from, to, body))
                .collect();
            assert_eq!(seen, expected, "{all:?} {from} {to}");
        }
    }

    #[test]
    fn an_event_belongs_to_whom_the_node_knew_or_to_whom_it_was_then() {
        let all = owners(&[(0, 1), (100, 2)]);
        for (named, at, expected) in [
            (1, 99, 1),
            // The node did not know yet.
            (1, 100, 2),
            (2, 100, 2),
            // Its calendar is late.
            (2, 90, 2),
        ] {
            let owner = owner_of_event(&all, tenant(named), UnixMs(at));
            assert_eq!(owner, tenant(expected), "{named} at {at}");
        }
        assert_eq!(owner_of_event(&[], tenant(1), UnixMs(5)), tenant(1));
    }

    proptest! {
        #[test]
        fn parts_add_up_and_touch(
            amount in any::<u64>(),
            length in 1_u64..3_600_000,
            changes in prop::collection::btree_set(1_u64..4_000_000, 0..5),
        ) {
            let mut all = vec![(0, 1)];
            all.extend(changes.iter().zip(2..).map(|(at, number)| (*at, number)));
            let body = cpu(amount.into());
            let parts = divide(fact(1_000, 1_000 + length, body), &owners(&all));
            let mut at = UnixMs(1_000);
            let mut sum = 0;
            for part in parts {
                prop_assert_eq!(part.from, at);
                prop_assert!(part.from < part.to);
                prop_assert_eq!(Some(part.tenant), owner_at(&owners(&all), part.from));
                at = part.to;
                let UsageBody::Measured(quantities) = part.body else { panic!() };
                sum += quantities.cpu_used;
            }
            prop_assert_eq!((at, sum), (UnixMs(1_000 + length), amount.into()));
        }
    }
}
