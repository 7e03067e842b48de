//! The right of a node to speak for a server: when one ends and the next one begins.

use super::wish::ServerKey;
use crate::{
    HubError,
    store::{LEASES, Lease},
};
use mamba_core::{
    clock::UnixMs,
    db::{Order, Snapshot, Span, Txn},
    ids::NodeId,
};

/// Returns the newest lease of a server under a tenant, with its beginning.
pub(crate) fn newest(
    view: &impl Snapshot,
    key: ServerKey,
) -> Result<Option<(UnixMs, Lease)>, HubError> {
    let found = view.scan(LEASES, Span::prefix(&key), Order::Descending, 1)?;
    Ok(found.into_iter().next().map(|((_, _, from), lease)| (from, lease)))
}

/// Ends the newest lease, if it still lasts; with a `holder` only if it is that node's.
pub(crate) fn end(
    txn: &mut Txn<'_>,
    key: ServerKey,
    holder: Option<NodeId>,
    at: UnixMs,
) -> Result<(), HubError> {
    let Some((from, lease)) = newest(txn, key)? else { return Ok(()) };
    if lease.until.is_none() && holder.is_none_or(|holder| lease.node == holder) {
        txn.put(LEASES, &(key.0, key.1, from), &Lease { until: Some(at), ..lease })?;
    }
    Ok(())
}

/// Begins a lease.
pub(crate) fn begin(
    txn: &mut Txn<'_>,
    (tenant, server): ServerKey,
    node: NodeId,
    at: UnixMs,
) -> Result<(), HubError> {
    Ok(txn.put(LEASES, &(tenant, server, at), &Lease { node, until: None })?)
}
