//! Sealed secrets in the store: put, read and removed in the transaction of what they belong to, and
//! wrapped anew when the master key is replaced.

use super::{
    SEALED,
    master::{self, Home},
    vault::{MasterKey, Place, Sealed, Vault, VaultError},
};
use crate::HubError;
use mamba_core::{
    clock::{Entropy, draw},
    db::{Snapshot, Span, Store, Txn, WriteError},
};
use serde::{Deserialize, Serialize};
use std::sync::PoisonError;
use zeroize::Zeroizing;

/// Secrets wrapped anew in one transaction: 7 MiB at most, and most are a few KiB.
const BATCH: usize = 25;

impl From<VaultError> for HubError {
    fn from(err: VaultError) -> Self {
        match err {
            VaultError::TooLarge { .. } => Self::invalid("secret", err.to_string()),
            VaultError::File { .. }
            | VaultError::Malformed { .. }
            | VaultError::Variable { .. }
            | VaultError::UnknownKey { .. }
            | VaultError::Damaged => Self::Bug(mamba_core::error::chain(&err)),
        }
    }
}

/// Removes a sealed secret, which needs no key.
///
/// # Errors
/// What the store says.
pub(crate) fn forget(txn: &mut Txn<'_>, place: &Place) -> Result<(), HubError> {
    Ok(txn.delete(SEALED, &(place.table, place.id.clone()))?)
}

/// What a rotation did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rotated {
    /// Secrets that were wrapped anew.
    pub rewrapped: u64,
    /// Names the master key that seals now.
    pub fingerprint: String,
}

impl Vault {
    /// Seals a secret and stores it at its place, in the transaction of what it belongs to.
    ///
    /// # Errors
    /// `Invalid` when it is too large, or what the store says.
    pub fn put(
        &self,
        txn: &mut Txn<'_>,
        entropy: &dyn Entropy,
        place: &Place,
        secret: &[u8],
    ) -> Result<(), HubError> {
        let sealed = self.seal(entropy, place, secret)?;
        Ok(txn.put(SEALED, &(place.table, place.id.clone()), &sealed)?)
    }

    /// Reads a secret; `None` when there is none at this place.
    ///
    /// # Errors
    /// `Bug` when it cannot be opened, or what the store says.
    pub fn get(
        &self,
        view: &impl Snapshot,
        place: &Place,
    ) -> Result<Option<Zeroizing<Vec<u8>>>, HubError> {
        let sealed = view.get(SEALED, &(place.table, place.id.clone()))?;
        Ok(sealed.map(|sealed| self.reveal(place, &sealed)).transpose()?)
    }

    /// Removes a secret.
    ///
    /// # Errors
    /// What the store says.
    pub fn delete(&self, txn: &mut Txn<'_>, place: &Place) -> Result<(), HubError> {
        forget(txn, place)
    }

    /// Checks that what is sealed in a store can be opened with the keys at hand: a store without its
    /// master key must not be run, since it would seal new secrets with another one.
    ///
    /// # Errors
    /// `Refused` with the key that is missing.
    pub fn check(&self, view: &impl Snapshot) -> Result<(), HubError> {
        let mut span = Span::all();
        loop {
            let some = view.range(SEALED, span.clone(), BATCH)?;
            let Some((last, _)) = some.last() else { return Ok(()) };
            span = span.after(last);
            if let Some((_, sealed)) = some.iter().find(|(_, it)| !self.knows(it.master)) {
                let fingerprint = super::vault::hex(&sealed.master);
                let err = VaultError::UnknownKey { fingerprint };
                return Err(HubError::Refused(err.to_string()));
            }
        }
    }

    /// Replaces the master key: makes a new one beside the old, wraps every secret with it, and
    /// forgets the old one when none is left. Crashed at any point, all secrets can be opened, and
    /// calling it again goes on with the key that was made.
    ///
    /// With the key in the environment, put the new one into [`VARIABLE`](super::VARIABLE) and the old
    /// one into [`VARIABLE_OLD`](super::VARIABLE_OLD) first.
    ///
    /// # Errors
    /// `Refused` when a secret needs a key that is not here, or when the environment names no old
    /// key; or what store and file system say.
    pub async fn rotate(
        &self,
        store: &Store,
        entropy: std::sync::Arc<dyn Entropy>,
    ) -> Result<Rotated, HubError> {
        self.check_store(store)?;
        self.add_key(&*entropy)?;
        let mut rewrapped = 0;
        loop {
            let (vault, entropy) = (self.clone(), entropy.clone());
            let done = store.write(move |txn| vault.rewrap_some(txn, &*entropy));
            let done = done.await.map_err(|err: WriteError<HubError>| HubError::from(err))?;
            if done == 0 {
                break;
            }
            rewrapped += done;
        }
        self.drop_old_keys()?;
        Ok(Rotated { rewrapped, fingerprint: super::vault::hex(&self.newest()) })
    }

    fn check_store(&self, store: &Store) -> Result<(), HubError> {
        store.read(|view| self.check(view))
    }

    /// Makes the next key, unless one was made before and waits for its secrets.
    fn add_key(&self, entropy: &dyn Entropy) -> Result<(), HubError> {
        let mut keys = self.inner.keys.write().unwrap_or_else(PoisonError::into_inner);
        let is_under_way = keys.len() > 1;
        match &self.inner.home {
            _ if is_under_way => Ok(()),
            Home::Environment => {
                let why = format!(
                    "the master key comes from `{}`: put a new one there and the present one into \
                     `{}`",
                    super::VARIABLE,
                    super::VARIABLE_OLD
                );
                Err(HubError::Refused(why))
            }
            home @ (Home::File(_) | Home::Memory) => {
                let mut next = keys.clone();
                next.insert(0, MasterKey::new(draw(entropy)));
                save(home, &next)?;
                *keys = next;
                Ok(())
            }
        }
    }

    /// Wraps up to [`BATCH`] secrets that another key wraps; returns how many.
    fn rewrap_some(&self, txn: &mut Txn<'_>, entropy: &dyn Entropy) -> Result<u64, HubError> {
        let (newest, mut span, mut old) = (self.newest(), Span::all(), Vec::new());
        while old.len() < BATCH {
            let some = txn.range(SEALED, span.clone(), BATCH)?;
            let Some((last, _)) = some.last() else { break };
            span = span.after(last);
            old.extend(some.into_iter().filter(|(_, it)| it.master != newest));
        }
        old.truncate(BATCH);
        for ((table, id), sealed) in &old {
            let place = Place { table: *table, id: id.clone() };
            let next: Sealed = self.rewrap(entropy, &place, sealed)?;
            txn.put(SEALED, &(*table, id.clone()), &next)?;
        }
        Ok(u64::try_from(old.len()).unwrap_or(u64::MAX))
    }

    fn drop_old_keys(&self) -> Result<(), HubError> {
        let mut keys = self.inner.keys.write().unwrap_or_else(PoisonError::into_inner);
        let mut next = keys.clone();
        next.truncate(1);
        save(&self.inner.home, &next)?;
        *keys = next;
        Ok(())
    }
}

fn save(home: &Home, keys: &[MasterKey]) -> Result<(), HubError> {
    match home {
        Home::Environment | Home::Memory => Ok(()),
        Home::File(path) => master::write(path, keys).map_err(|source| {
            VaultError::File { step: "written", path: path.clone(), source }.into()
        }),
    }
}
