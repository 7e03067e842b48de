//! The hub's secrets: the keys of both CAs and of envelopes.
//!
//! They live in the store, so that they are made with it in one commit, travel with every backup, and
//! a restored hub is the same hub to its nodes. Whoever has the data directory or a backup is the hub:
//! both are readable for their owner only.
//!
//! Everything else that is secret (seeds of second factors, tokens, variables marked secret,
//! credentials of registries) is sealed by the [`Vault`], whose master key is not in the store.

mod master;
mod sealed;
mod vault;
#[cfg(test)]
mod tests;

pub use master::{VARIABLE, VARIABLE_OLD};
pub use sealed::Rotated;
pub(crate) use sealed::forget;
pub use vault::{Place, SECRET_BYTES_MAX, Sealed, Vault, VaultError};

use crate::HubError;
use mamba_core::{
    clock::{Entropy, UnixMs},
    db::{Snapshot as _, Store, Table, TableDef, TxnError, WriteError},
    record,
};
use mamba_wire::net::authority::{CertificateError, HubKeys, HubSecrets};
use serde::{Deserialize, Serialize};

/// The secrets.
const SECRETS: Table<(), SecretsRecord> = Table::new(170, "secrets");

/// Sealed secrets by their place.
const SEALED: Table<(u16, Vec<u8>), Sealed> = Table::new(171, "sealed");

/// All tables of this module.
pub const TABLES: &[TableDef] = &[SECRETS.def(), SEALED.def()];

#[derive(Clone, Serialize, Deserialize)]
struct SecretsRecord {
    made_at: UnixMs,
    secrets: HubSecrets,
}
record!(SecretsRecord, 1);

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
pub enum SecretsError {
    /// The store was never initialised.
    #[error("there are no keys: `mamba-hub init` makes them")]
    Missing,
    /// They cannot be made or used.
    #[error("keys of the hub cannot be used")]
    Keys(#[source] CertificateError),
    /// The store cannot be read.
    #[error("keys of the hub could not be read")]
    Read(#[from] TxnError),
    /// The store cannot be written.
    #[error("keys of the hub could not be stored")]
    Write(#[source] HubError),
}

/// Makes the secrets of a new hub. Secrets that exist stay.
///
/// # Errors
/// `Keys` or `Write`; nothing was stored.
pub async fn create(store: &Store, now: UnixMs, entropy: &dyn Entropy) -> Result<(), SecretsError> {
    let secrets = HubSecrets::create(now, entropy).map_err(SecretsError::Keys)?;
    let record = SecretsRecord { made_at: now, secrets };
    let stored = store.write(move |txn| {
        if !txn.contains(SECRETS, &())? {
            txn.put(SECRETS, &(), &record)?;
        }
        Ok::<_, HubError>(())
    });
    stored.await.map_err(|err: WriteError<HubError>| SecretsError::Write(err.into()))
}

/// Reads the secrets and makes them usable.
///
/// # Errors
/// `Missing`, `Keys` or `Read`.
pub fn load(store: &Store) -> Result<HubKeys, SecretsError> {
    let found = store.read(|txn| Ok::<_, SecretsError>(txn.get(SECRETS, &())?))?;
    found.ok_or(SecretsError::Missing)?.secrets.open().map_err(SecretsError::Keys)
}
