//! The audit trail: appended in the transaction of what it tells, hash-chained for each tenant, and
//! anchored by signatures of the hub.
//!
//! | table | holds |
//! |---|---|
//! | `ENTRIES` | entries of each chain, numbered from 1 without gaps |
//! | `HEADS` | where each chain begins and ends |
//! | `OPEN` | chains that grew since the last anchor |
//! | `ANCHORS` | what the hub signed: ends of chains, and the anchor before |
//! | `DROPPED` | the newest anchor that was removed, signed |
//!
//! The store has one writer, and the head is read and written in the same transaction as the entry: a
//! chain neither forks nor loses an entry, however many append at once. Old entries are removed only
//! up to an end that an anchor holds, which is checked and signed once more: it is the chain's new
//! base, and what is left can still be verified.

mod anchor;
mod prune;
mod read;
mod verify;
#[cfg(test)]
mod tests;

pub use anchor::keep_audit;
pub use verify::{Break, Verified};

use crate::HubError;
use mamba_core::{
    audit::{AuditEntry, Change, HUB_CHAIN, chain},
    clock::UnixMs,
    db::{Record as _, Snapshot, Span, Table, TableDef, Txn, TxnError},
    ids::TenantId,
    record,
    scope::AdminScope,
};
use serde::{Deserialize, Serialize};

/// Entries of each chain.
pub(crate) const ENTRIES: Table<(TenantId, u64), Entry> = Table::new(220, "audit");
/// Where each chain begins and ends.
pub(crate) const HEADS: Table<TenantId, Head> = Table::new(221, "audit_heads");
/// Chains that grew since the last anchor.
pub(crate) const OPEN: Table<TenantId, Grown> = Table::new(222, "audit_open");
/// Anchors, numbered from 1.
pub(crate) const ANCHORS: Table<u64, Anchor> = Table::new(223, "audit_anchors");

/// The newest anchor that was removed.
pub(crate) const DROPPED: Table<(), Dropped> = Table::new(224, "audit_dropped");

/// All tables of this module.
pub const TABLES: &[TableDef] =
    &[ENTRIES.def(), HEADS.def(), OPEN.def(), ANCHORS.def(), DROPPED.def()];

/// One entry as it is stored: the bytes that were hashed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// Version and encoding of [`Told`].
    pub(crate) body: Vec<u8>,
    /// The chain's hash up to here.
    pub(crate) hash: [u8; 32],
}

/// What is in the body of an entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Told(pub(crate) AuditEntry);

/// One chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Head {
    /// Number of the oldest entry that is kept.
    pub(crate) first: u64,
    /// Hash before that entry.
    pub(crate) base: [u8; 32],
    /// The hub's signature over the base; empty while the chain is whole.
    pub(crate) signature: Vec<u8>,
    /// Number of the newest entry.
    pub(crate) last: u64,
    /// Its hash.
    pub(crate) hash: [u8; 32],
}

impl Default for Head {
    fn default() -> Self {
        Self { first: 1, base: [0; 32], signature: Vec::new(), last: 0, hash: [0; 32] }
    }
}

impl Head {
    /// The entries of the chain, whose tenant this is: what stands before them is being removed.
    pub(crate) fn span(&self, tenant: TenantId) -> Span<(TenantId, u64)> {
        Span::prefix(&(tenant,)).from(&(tenant, self.first))
    }
}

/// The key says it all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Grown;

/// The end of a chain, as an anchor holds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct End {
    pub(crate) tenant: TenantId,
    pub(crate) number: u64,
    pub(crate) hash: [u8; 32],
}

/// What the hub signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Anchor {
    pub(crate) at: UnixMs,
    /// Hash of the anchor before; zeros for the first.
    pub(crate) before: [u8; 32],
    pub(crate) ends: Vec<End>,
    /// Hash over all of the above and the anchor's number.
    pub(crate) hash: [u8; 32],
    /// The hub's signature over the hash.
    pub(crate) signature: Vec<u8>,
}

/// Up to where anchors were removed: the oldest one left hangs on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Dropped {
    /// Number of the newest anchor that was removed.
    pub(crate) number: u64,
    /// Its hash.
    pub(crate) hash: [u8; 32],
    /// The hub's signature over both.
    pub(crate) signature: Vec<u8>,
}

record!(Entry, 1);
record!(Told, 1);
record!(Head, 1);
record!(Grown, 1);
record!(Anchor, 1);
record!(Dropped, 1);

/// Appends an entry to a tenant's chain, in the transaction of what it tells. Three writes, and one
/// more for each further entry of the same tenant.
///
/// # Errors
/// What the store says.
pub(crate) fn append(
    txn: &mut Txn<'_>,
    tenant: TenantId,
    entry: AuditEntry,
) -> Result<(), HubError> {
    let mut head = txn.get(HEADS, &tenant)?.unwrap_or_default();
    let encode = |source| TxnError::Record { table: ENTRIES.def().name, source };
    let body = Told(entry).to_record_bytes().map_err(encode)?;
    head.last += 1;
    head.hash = chain(&head.hash, tenant, head.last, &body);
    txn.put(ENTRIES, &(tenant, head.last), &Entry { body, hash: head.hash })?;
    txn.put(HEADS, &tenant, &head)?;
    Ok(txn.put(OPEN, &tenant, &Grown)?)
}

/// Appends an entry to the installation's chain.
///
/// # Errors
/// What the store says.
pub(crate) fn append_admin(
    txn: &mut Txn<'_>,
    admin: &AdminScope,
    at: UnixMs,
    event: &str,
    changes: impl IntoIterator<Item = Change>,
) -> Result<(), HubError> {
    let entry = AuditEntry::new(at, admin.actor(), admin.origin(), event);
    append(txn, HUB_CHAIN, entry.with(changes))
}

/// Reads what an entry tells.
pub(crate) fn told(entry: &Entry) -> Result<AuditEntry, TxnError> {
    let decode = |source| TxnError::Record { table: ENTRIES.def().name, source };
    Ok(Told::from_record_bytes(&entry.body).map_err(decode)?.0)
}
