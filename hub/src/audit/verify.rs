//! Checks every chain and every anchor, and says where the first thing does not fit.

use super::{
    ANCHORS, Anchor, DROPPED, ENTRIES, End, HEADS, Head,
    anchor::hash_of,
    prune::{base_hash, dropped_hash},
};
use crate::{Hub, HubError};
use mamba_core::{
    audit::{HUB_CHAIN, chain},
    db::{ReadTxn, Snapshot, Span},
    ids::TenantId,
};
use mamba_wire::net::keys::is_attested_by;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Entries read at once.
const BATCH: usize = 500;
/// Most breaks that are told; one is enough to know.
const BREAKS_MAX: usize = 100;

/// What was checked, and what does not fit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verified {
    /// Chains.
    pub chains: u64,
    /// Entries in them.
    pub entries: u64,
    /// Anchors.
    pub anchors: u64,
    /// What does not fit, in the order of chains; empty when all is well.
    pub breaks: Vec<Break>,
}

/// One thing that does not fit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Break {
    /// Whose chain; `None` for anchors and for the installation's own.
    pub tenant: Option<TenantId>,
    /// Number of the entry or anchor.
    pub number: u64,
    /// What is wrong with it.
    pub what: String,
}

impl Hub {
    /// Checks the whole audit trail on one snapshot.
    ///
    /// # Errors
    /// What the store says; what does not fit is no error but in the answer.
    pub fn verify_audit(&self) -> Result<Verified, HubError> {
        self.read(|view| {
            let mut found = Verified::default();
            let ends = self.verify_anchors(view, &mut found)?;
            let mut after: Option<TenantId> = None;
            loop {
                let span = after.map_or_else(Span::all, |after| Span::all().after(&after));
                let Some((tenant, head)) = view.first(HEADS, span)? else { break };
                let none = BTreeMap::new();
                let its = ends.get(&tenant).unwrap_or(&none);
                self.verify_chain(view, tenant, &head, its, &mut found)?;
                after = Some(tenant);
            }
            for (tenant, its) in &ends {
                if let Some(number) = its.keys().next_back()
                    && !view.contains(HEADS, tenant)?
                {
                    found.break_at(*tenant, *number, "is anchored, but its chain is gone");
                }
            }
            Ok(found)
        })
    }

    /// Checks the anchors and returns the ends that they hold.
    fn verify_anchors(
        &self,
        view: &ReadTxn,
        found: &mut Verified,
    ) -> Result<BTreeMap<TenantId, BTreeMap<u64, [u8; 32]>>, HubError> {
        let key = self.keys().envelopes.public();
        let mut ends: BTreeMap<TenantId, BTreeMap<u64, [u8; 32]>> = BTreeMap::new();
        let (mut span, mut before, mut next) = (Span::all(), [0; 32], 1);
        if let Some(it) = view.get(DROPPED, &())? {
            if !is_attested_by(key, &dropped_hash(it.number, &it.hash), &it.signature) {
                found.break_at(
                    HUB_CHAIN,
                    it.number,
                    "anchors up to here were not removed by this hub",
                );
            }
            (before, next) = (it.hash, it.number + 1);
        }
        loop {
            let some = view.range(ANCHORS, span.clone(), BATCH)?;
            let Some((last, _)) = some.last() else { return Ok(ends) };
            span = span.after(last);
            for (number, it) in some {
                let Anchor { at, before: its, ends: held, hash, signature } = it;
                let what = if number != next {
                    Some("follows a gap")
                } else if its != before {
                    Some("does not hang on the anchor before")
                } else if hash != hash_of(number, at, &its, &held) {
                    Some("was changed")
                } else if !is_attested_by(key, &hash, &signature) {
                    Some("is not signed by this hub")
                } else {
                    None
                };
                if let Some(what) = what {
                    found.break_at(HUB_CHAIN, number, &format!("anchor {what}"));
                }
                for End { tenant, number, hash } in held {
                    ends.entry(tenant).or_default().insert(number, hash);
                }
                (before, next) = (hash, number + 1);
                found.anchors += 1;
            }
        }
    }

    fn verify_chain(
        &self,
        view: &impl Snapshot,
        tenant: TenantId,
        head: &Head,
        ends: &BTreeMap<u64, [u8; 32]>,
        found: &mut Verified,
    ) -> Result<(), HubError> {
        found.chains += 1;
        let base = head.first - 1;
        let signed = base_hash(tenant, base, &head.base);
        let is_signed = if base == 0 {
            head.base == [0; 32]
        } else {
            is_attested_by(self.keys().envelopes.public(), &signed, &head.signature)
        };
        if !is_signed {
            found.break_at(tenant, head.first, "begins at something that the hub did not sign");
        }
        let (mut hash, mut next, mut span) = (head.base, head.first, head.span(tenant));
        loop {
            let some = view.range(ENTRIES, span.clone(), BATCH)?;
            let Some((last, _)) = some.last() else { break };
            span = span.after(last);
            for ((_, number), entry) in some {
                if number != next {
                    found.break_at(tenant, next, "is missing");
                    return Ok(());
                }
                hash = chain(&hash, tenant, number, &entry.body);
                if hash != entry.hash {
                    found.break_at(tenant, number, "was changed, or something before it");
                    return Ok(());
                }
                if ends.get(&number).is_some_and(|anchored| *anchored != hash) {
                    found.break_at(tenant, number, "is not what the hub signed");
                    return Ok(());
                }
                next += 1;
                found.entries += 1;
            }
        }
        if next != head.last + 1 || hash != head.hash {
            found.break_at(tenant, next, "is missing at the end");
        } else if ends.keys().next_back().is_some_and(|anchored| *anchored > head.last) {
            found.break_at(tenant, next, "is missing, although the hub signed it");
        }
        Ok(())
    }
}

impl Verified {
    fn break_at(&mut self, tenant: TenantId, number: u64, what: &str) {
        if self.breaks.len() < BREAKS_MAX {
            let tenant = (tenant != HUB_CHAIN).then_some(tenant);
            self.breaks.push(Break { tenant, number, what: what.to_owned() });
        }
    }

    /// Whether everything fits.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.breaks.is_empty()
    }
}
