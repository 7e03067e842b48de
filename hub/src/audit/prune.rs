//! Removes entries that are older than they have to be kept, and the anchors that held them.
//!
//! Anchors are taken from the oldest on, one after the other, each once: whatever stands in the chains
//! up to the ends that it holds is removed, then the anchor. An entry is as old as the anchor that
//! holds it, by the hub's clock: what a node says of its time moves nothing. So a look that finds
//! nothing old reads one anchor, and one that finds much goes on in small transactions until all of
//! it is gone.

use super::{
    ANCHORS, DROPPED, Dropped, ENTRIES, End, HEADS,
    anchor::{ENDS_MAX, hash_of},
};
use crate::{Hub, HubError};
use mamba_core::{
    clock::UnixMs,
    db::{Snapshot as _, Span, Txn},
    ids::TenantId,
};
use mamba_wire::net::keys::EnvelopeSigner;

/// Entries removed in one transaction: with the heads of all chains of one anchor, the anchor and
/// what is left of it within what a transaction should have.
const PRUNE_MAX: usize = 56;

const _: () = assert!(PRUNE_MAX + ENDS_MAX + 2 <= mamba_core::db::TXN_OPS_AIM);

/// What one transaction did.
struct Pruned {
    entries: usize,
    /// Whether more may be old enough.
    has_more: bool,
}

/// Returns the hash of what is signed of a chain's base.
pub(super) fn base_hash(tenant: TenantId, number: u64, hash: &[u8; 32]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key("mamba-hub audit base v1");
    hasher.update(&tenant.to_bytes());
    hasher.update(&number.to_be_bytes());
    hasher.update(hash);
    *hasher.finalize().as_bytes()
}

/// Returns the hash of what is signed of removed anchors.
pub(super) fn dropped_hash(number: u64, hash: &[u8; 32]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key("mamba-hub audit dropped v1");
    hasher.update(&number.to_be_bytes());
    hasher.update(hash);
    *hasher.finalize().as_bytes()
}

impl Hub {
    /// Removes entries that were anchored before `until`, and those anchors but the newest; returns how
    /// many entries.
    ///
    /// # Errors
    /// `Refused` at something that does not fit what was signed, which stays; or what the store says.
    /// What was removed before that stays removed.
    pub async fn prune_audit(&self, until: UnixMs) -> Result<u64, HubError> {
        let mut removed = 0;
        loop {
            let hub = self.clone();
            let done = self.write(move |txn| prune_some(&hub, txn, until)).await?;
            removed += u64::try_from(done.entries).unwrap_or(u64::MAX);
            if !done.has_more {
                return Ok(removed);
            }
        }
    }
}

/// Removes what the oldest anchor holds, or a part of it.
fn prune_some(hub: &Hub, txn: &mut Txn<'_>, until: UnixMs) -> Result<Pruned, HubError> {
    let oldest = txn.range(ANCHORS, Span::all(), 2)?;
    let is_newest = oldest.len() == 1;
    let old = oldest.into_iter().next().filter(|(_, anchor)| anchor.at < until);
    let Some((number, anchor)) = old else { return Ok(Pruned { entries: 0, has_more: false }) };
    if anchor.hash != hash_of(number, anchor.at, &anchor.before, &anchor.ends) {
        return Err(unfit(format!("anchor {number}")));
    }
    let signer = &hub.keys().envelopes;
    let mut entries = 0;
    for end in &anchor.ends {
        cut(signer, txn, end)?;
        let rest = Span::prefix(&(end.tenant,)).before(&(end.tenant, end.number + 1));
        for (key, _) in txn.range(ENTRIES, rest, PRUNE_MAX - entries)? {
            txn.delete(ENTRIES, &key)?;
            entries += 1;
        }
        if entries == PRUNE_MAX {
            return Ok(Pruned { entries, has_more: true });
        }
    }
    // The next anchor hangs on the newest one.
    if !is_newest {
        let hash = anchor.hash;
        let signature = signer.attest(&dropped_hash(number, &hash));
        txn.put(DROPPED, &(), &Dropped { number, hash, signature })?;
        txn.delete(ANCHORS, &number)?;
    }
    Ok(Pruned { entries, has_more: !is_newest })
}

/// Lets a chain begin after an end that was anchored. What stands before no longer belongs to it.
fn cut(signer: &EnvelopeSigner, txn: &mut Txn<'_>, end: &End) -> Result<(), HubError> {
    let End { tenant, number, hash } = *end;
    let of_chain = || unfit(format!("entry {number} of the chain of {tenant}"));
    let mut head = txn.get(HEADS, &tenant)?.ok_or_else(of_chain)?;
    if number < head.first {
        return Ok(());
    }
    let entry = txn.get(ENTRIES, &(tenant, number))?.filter(|entry| entry.hash == hash);
    entry.ok_or_else(of_chain)?;
    (head.first, head.base) = (number + 1, hash);
    head.signature = signer.attest(&base_hash(tenant, number, &hash));
    Ok(txn.put(HEADS, &tenant, &head)?)
}

/// What was tampered with is kept as it is.
fn unfit(what: String) -> HubError {
    let verify = "`mamba-hub audit verify` says more";
    HubError::Refused(format!("{what} is not what the hub signed, nothing is removed: {verify}"))
}
