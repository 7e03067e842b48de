//! What people and other systems call a server. Nodes need not know of it.

use super::wish::ServerKey;
use crate::{
    HubError,
    external::{ExternalId, Names},
    store::{EXTERNAL_IDS, SERVERS, ServerRecord, ServerRef},
};
use mamba_core::{
    db::{Snapshot as _, Txn},
    error::Invalid,
    server::check_text,
};

/// Servers by their names in another system.
pub(super) const NAMES: Names<ServerRef> = Names::new(EXTERNAL_IDS, "server");
/// Longest description in bytes.
const DESCRIPTION_BYTES_MAX: usize = 1_024;

/// Checks what a server is for.
///
/// # Errors
/// Names `description`.
pub(super) fn check_description(text: Option<&str>) -> Result<(), Invalid> {
    text.map_or(Ok(()), |text| check_text("description", text, 0, DESCRIPTION_BYTES_MAX))
}

/// Gives a server its name in another system, and takes the one that it had.
///
/// # Errors
/// `Invalid` when another server that still exists has the name.
pub(super) fn name_outside(
    txn: &mut Txn<'_>,
    key: ServerKey,
    before: Option<&ExternalId>,
    now: Option<&ExternalId>,
) -> Result<(), HubError> {
    if let Some(now) = now.filter(|_| before != now)
        && let Some(other) = NAMES.find(txn, now.as_str())?
        && !txn.get(SERVERS, &(other.0, other.1))?.is_some_and(|it: ServerRecord| it.is_present())
    {
        // One that is gone holds its name until another wants it.
        NAMES.change(txn, other, Some(now), None)?;
    }
    NAMES.change(txn, ServerRef(key.0, key.1), before, now)
}
