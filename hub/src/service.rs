//! The hub as its doors see it: one cloneable handle over store, keys, clock and live sessions.
//!
//! What it can do is written beside its subject: `control` for servers, `nodes` for machines,
//! `ingest` for facts, `backup` for copies. Every change is one transaction, and a call returns after
//! its commit.

use crate::{
    HubError,
    backup::{BackupStatus, StatusCell},
    control::transfer::Progresses,
    metrics::Requests,
    nodes::live::Live,
    secrets::{Rotated, Vault},
    store::{META, Meta},
};
use mamba_core::{
    clock::{Clock, Entropy, UnixMs, draw},
    db::{ReadTxn, Snapshot as _, Store, Txn},
    desired::Envelope,
    desired::SignedEnvelope,
    scope::AdminScope,
    seq::Incarnation,
};
use mamba_wire::net::authority::HubKeys;
use std::sync::Arc;

/// Parts of a hub, made by the composition root.
pub struct HubParts {
    /// Its store.
    pub store: Store,
    /// Its keys.
    pub keys: HubKeys,
    /// Opens what is sealed in the store.
    pub vault: Vault,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Gives random numbers.
    pub entropy: Arc<dyn Entropy>,
}

/// Cheap to clone; all clones are the same hub.
#[derive(Clone)]
pub struct Hub {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    keys: HubKeys,
    vault: Vault,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    incarnation: Incarnation,
    live: Live,
    requests: Requests,
    backups: StatusCell,
    progresses: Progresses,
}

impl Hub {
    /// Takes up a store, and begins its first life when it is new.
    ///
    /// # Errors
    /// `Unavailable` when the store cannot be read or written.
    pub async fn open(parts: HubParts) -> Result<Self, HubError> {
        let now = parts.clock.wall();
        let meta = parts
            .store
            .write(move |txn: &mut Txn<'_>| match txn.get(META, &())? {
                Some(meta) => Ok::<_, HubError>(meta),
                None => {
                    let meta =
                        Meta { incarnation: Incarnation(1), made_at: now, restored_at: None };
                    txn.put(META, &(), &meta)?;
                    Ok(meta)
                }
            })
            .await?;
        let HubParts { store, keys, vault, clock, entropy } = parts;
        store.read(|view| vault.check(view))?;
        let incarnation = meta.incarnation;
        let (live, backups) = (Live::default(), StatusCell::default());
        let (requests, progresses) = (Requests::default(), Progresses::default());
        let inner = Inner {
            store,
            keys,
            vault,
            clock,
            entropy,
            incarnation,
            live,
            requests,
            backups,
            progresses,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The store, for parts that keep tables of their own in it.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.inner.store
    }

    /// The keys.
    #[must_use]
    pub fn keys(&self) -> &HubKeys {
        &self.inner.keys
    }

    /// Seals secrets and opens them.
    #[must_use]
    pub fn vault(&self) -> &Vault {
        &self.inner.vault
    }

    /// Replaces the master key; see [`Vault::rotate`].
    ///
    /// # Errors
    /// As there.
    pub async fn rotate_secrets(&self, _admin: &AdminScope) -> Result<Rotated, HubError> {
        self.inner.vault.rotate(&self.inner.store, self.inner.entropy.clone()).await
    }

    /// The clock.
    #[must_use]
    pub fn clock(&self) -> &dyn Clock {
        &*self.inner.clock
    }

    /// The source of randomness, to be kept.
    pub(crate) fn shared_entropy(&self) -> Arc<dyn Entropy> {
        self.inner.entropy.clone()
    }

    /// The source of randomness.
    #[must_use]
    pub fn entropy(&self) -> &dyn Entropy {
        &*self.inner.entropy
    }

    /// Hub time.
    #[must_use]
    pub fn now(&self) -> UnixMs {
        self.inner.clock.wall()
    }

    /// The life of this database.
    #[must_use]
    pub fn incarnation(&self) -> Incarnation {
        self.inner.incarnation
    }

    /// Who is connected, and signals to sessions.
    #[must_use]
    pub fn live(&self) -> &Live {
        &self.inner.live
    }

    /// What the API answered.
    pub(crate) fn requests(&self) -> &Requests {
        &self.inner.requests
    }

    /// How the automatic backups go.
    #[must_use]
    pub fn backup_status(&self) -> BackupStatus {
        self.inner.backups.read()
    }

    /// How moves of servers go.
    pub(crate) fn progresses(&self) -> &Progresses {
        &self.inner.progresses
    }

    pub(crate) fn backup_status_cell(&self) -> &StatusCell {
        &self.inner.backups
    }

    /// Makes an id from the time and chance: `hub.new_id(EventId::new)`.
    pub(crate) fn new_id<T>(&self, make: impl FnOnce(UnixMs, [u8; 10]) -> T) -> T {
        make(self.now(), draw(self.entropy()))
    }

    /// Runs one change and returns after its commit. The closure may run more than once.
    pub(crate) async fn write<T, F>(&self, change: F) -> Result<T, HubError>
    where
        F: FnMut(&mut Txn<'_>) -> Result<T, HubError> + Send + 'static,
        T: Send + 'static,
    {
        Ok(self.inner.store.write(change).await?)
    }

    /// Looks at a snapshot.
    pub(crate) fn read<T>(
        &self,
        look: impl FnOnce(&ReadTxn) -> Result<T, HubError>,
    ) -> Result<T, HubError> {
        self.inner.store.read(look)
    }

    /// Encodes and signs a wish.
    pub(crate) fn sign(&self, envelope: &Envelope) -> Result<SignedEnvelope, HubError> {
        let signed = self.inner.keys.envelopes.sign(envelope);
        signed.map_err(|err| HubError::Bug(err.to_string()))
    }
}
