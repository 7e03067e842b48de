//! Servers that are no more where they were.

use super::{hidden, leases, wish::ServerKey};
use crate::{
    HubError,
    store::{GONE_PORTS, PLACED, SERVERS},
};
use mamba_core::{
    clock::UnixMs,
    db::{Snapshot as _, Txn},
    ids::NodeId,
};

/// Takes what a tombstone says as done by a node: the server's ports, memory and name are free, and the
/// node's right to report on it ends. Without a tombstone nothing follows, and `false` is returned.
///
/// # Errors
/// What the store says.
pub(crate) fn end_on_node(
    txn: &mut Txn<'_>,
    node: NodeId,
    (tenant, server): ServerKey,
    now: UnixMs,
) -> Result<bool, HubError> {
    let Some(mut record) = txn.get(SERVERS, &(tenant, server))? else { return Ok(false) };
    let Some(deletion) = record.deletion.as_mut().filter(|_| record.node == node) else {
        return Ok(false);
    };
    deletion.done_at = Some(now);
    hidden::forget(txn, &(tenant, server), &mut record)?;
    txn.put(SERVERS, &(tenant, server), &record)?;
    if let Some(mut placed) = txn.get(PLACED, &(node, server))? {
        placed.gone = true;
        txn.put(PLACED, &(node, server), &placed)?;
        txn.put(GONE_PORTS, &(node, tenant, server), &now.0)?;
    }
    // Ends at hub time and not at the node's: its last usage may still be on the way.
    leases::end(txn, (tenant, server), Some(node), now)?;
    Ok(true)
}
