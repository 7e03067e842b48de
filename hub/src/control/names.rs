//! What people and other systems call a server. Nodes need not know of it.

use super::wish::ServerKey;
use crate::{
    HubError,
    store::{EXTERNAL_IDS, SERVERS, ServerRecord, ServerRef},
};
use mamba_core::{
    db::{Snapshot as _, Txn},
    error::Invalid,
    server::check_text,
};

/// Longest description in bytes.
const DESCRIPTION_BYTES_MAX: usize = 1_024;
/// Longest name in another system in bytes.
const EXTERNAL_ID_BYTES_MAX: usize = 128;

/// Checks both words.
///
/// # Errors
/// Names `description` or `external_id`.
pub(super) fn check_names(
    description: Option<&str>,
    external_id: Option<&str>,
) -> Result<(), Invalid> {
    if let Some(text) = description {
        check_text("description", text, 0, DESCRIPTION_BYTES_MAX)?;
    }
    external_id.map_or(Ok(()), |text| check_text("external_id", text, 1, EXTERNAL_ID_BYTES_MAX))
}

/// Gives a server its name in another system, and takes the one that it had.
///
/// # Errors
/// `Invalid` when another server that still exists has the name.
pub(super) fn name_outside(
    txn: &mut Txn<'_>,
    key: ServerKey,
    before: Option<&String>,
    now: Option<&String>,
) -> Result<(), HubError> {
    if before == now {
        return Ok(());
    }
    if let Some(before) = before
        && txn.get(EXTERNAL_IDS, before)? == Some(ServerRef(key.0, key.1))
    {
        txn.delete(EXTERNAL_IDS, before)?;
    }
    let Some(now) = now else { return Ok(()) };
    if let Some(ServerRef(tenant, server)) = txn.get(EXTERNAL_IDS, now)?
        && (tenant, server) != key
        && txn.get(SERVERS, &(tenant, server))?.is_some_and(|it: ServerRecord| it.is_present())
    {
        return Err(HubError::invalid("external_id", "belongs to another server already"));
    }
    Ok(txn.put(EXTERNAL_IDS, now, &ServerRef(key.0, key.1))?)
}
