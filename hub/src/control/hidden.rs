//! What of a server is secret, sealed in the store: the values of its secret variables, and its signed
//! wish, which holds them as the node needs them.

use super::{
    transfer::LEFT,
    wish::{ServerKey, blueprint_of, find, find_kept},
};
use crate::{
    Hub, HubError, secrets,
    secrets::Place,
    store::{ENVELOPES, EnvelopeRecord, SERVERS, ServerRecord},
};
use mamba_core::{
    audit::MASK,
    db::{Snapshot, Txn},
    desired::{Order, SignedEnvelope},
    ids::{NodeId, ServerId},
    server::{is_secret_name, mask_typed, secret_values},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::{Deref, DerefMut},
};

/// A server's record with the values of its secret variables. The store has it without them, so that
/// only a whole one can become the next wish.
pub(crate) struct Whole(ServerRecord);

impl Deref for Whole {
    type Target = ServerRecord;

    fn deref(&self) -> &ServerRecord {
        &self.0
    }
}

impl DerefMut for Whole {
    fn deref_mut(&mut self) -> &mut ServerRecord {
        &mut self.0
    }
}

impl Whole {
    /// Takes a record that was not read from the store.
    pub(crate) fn made(record: ServerRecord) -> Self {
        Self(record)
    }

    /// Completes a record that was read from the store.
    pub(crate) fn of(
        hub: &Hub,
        view: &impl Snapshot,
        key: &ServerKey,
        mut record: ServerRecord,
    ) -> Result<Self, HubError> {
        if record.has_secrets {
            let place = place_of_values(key);
            let bytes = hub.vault().get(view, &place)?.ok_or_else(|| missing("variables"))?;
            let values: BTreeMap<String, String> =
                postcard::from_bytes(&bytes).map_err(|_| missing("variables"))?;
            record.choices.variables.extend(values);
        }
        Ok(Self(record))
    }

    /// Returns the record, to be shown.
    pub(super) fn into_record(self) -> ServerRecord {
        self.0
    }

    /// Reads that of a server that exists for the tenant, as [`find`] does.
    pub(crate) fn find(hub: &Hub, view: &impl Snapshot, key: &ServerKey) -> Result<Self, HubError> {
        Self::of(hub, view, key, find(view, key)?)
    }

    /// Reads that of a server whose deletion was not asked for.
    pub(crate) fn find_kept(
        hub: &Hub,
        view: &impl Snapshot,
        key: &ServerKey,
    ) -> Result<Self, HubError> {
        Self::of(hub, view, key, find_kept(view, key)?)
    }

    /// Stores it, with what is secret sealed.
    pub(crate) fn put(
        &self,
        hub: &Hub,
        txn: &mut Txn<'_>,
        key: &ServerKey,
    ) -> Result<(), HubError> {
        let secret_names = secret_names(txn, &self.0)?;
        let mut record = self.0.clone();
        let all = std::mem::take(&mut record.choices.variables);
        let (secret, open): (BTreeMap<_, _>, BTreeMap<_, _>) =
            all.into_iter().partition(|(name, _)| secret_names.contains(name));
        record.choices.variables = open;
        record.has_secrets = !secret.is_empty();
        let place = place_of_values(key);
        if record.has_secrets {
            let bytes = postcard::to_allocvec(&secret)
                .map_err(|err| HubError::Bug(format!("variables cannot be written: {err}")))?;
            hub.vault().put(txn, hub.entropy(), &place, &zeroize::Zeroizing::new(bytes))?;
        } else {
            secrets::forget(txn, &place)?;
        }
        Ok(txn.put(SERVERS, key, &record)?)
    }
}

/// Returns which of a server's variables are secret.
fn secret_names(view: &impl Snapshot, record: &ServerRecord) -> Result<BTreeSet<String>, HubError> {
    let named = record.choices.variables.keys().filter(|name| is_secret_name(name)).cloned();
    let mut names: BTreeSet<String> = named.collect();
    match blueprint_of(view, record) {
        Ok(blueprint) => {
            let hidden = blueprint.variables.into_iter().filter(|it| it.is_secret());
            names.extend(hidden.map(|it| it.env));
        }
        // Adopted from a node by a hub that does not know it: names have to do.
        Err(HubError::NotFound { .. }) => {}
        Err(err) => return Err(err),
    }
    Ok(names)
}

/// Masks a line that somebody typed into the console of a server. What of it is secret cannot be known
/// where the sealed values cannot be read: then all of it is masked.
pub(crate) fn mask_line(
    hub: &Hub,
    view: &impl Snapshot,
    key: &ServerKey,
    line: &str,
) -> Result<String, HubError> {
    match secrets_of(hub, view, key) {
        Ok(secrets) => Ok(mask_typed(line, &secrets)),
        Err(HubError::NotFound { .. }) => Ok(mask_typed(line, &[])),
        Err(err @ HubError::Unavailable(_)) => Err(err),
        Err(_) => Ok(MASK.to_owned()),
    }
}

/// Returns the values of the secret variables of a server: those that were given and those of the
/// blueprint.
fn secrets_of(hub: &Hub, view: &impl Snapshot, key: &ServerKey) -> Result<Vec<String>, HubError> {
    let record = Whole::find(hub, view, key)?;
    let names = secret_names(view, &record)?;
    let mut values = match blueprint_of(view, &record) {
        Ok(it) => it.variables.into_iter().map(|it| (it.env, it.default)).collect(),
        Err(HubError::NotFound { .. }) => BTreeMap::new(),
        Err(err) => return Err(err),
    };
    values.extend(record.choices.variables.clone());
    Ok(secret_values(values.iter().filter(|(name, _)| names.contains(*name))))
}

/// Stores the signed wish of a server.
pub(crate) fn put_wish(
    hub: &Hub,
    txn: &mut Txn<'_>,
    key: &ServerKey,
    order: Order,
    signed: &SignedEnvelope,
) -> Result<(), HubError> {
    seal_wish(hub, txn, &place_of_wish(key), signed)?;
    Ok(txn.put(ENVELOPES, key, &EnvelopeRecord { order })?)
}

fn seal_wish(
    hub: &Hub,
    txn: &mut Txn<'_>,
    place: &Place,
    signed: &SignedEnvelope,
) -> Result<(), HubError> {
    let bytes = postcard::to_allocvec(signed)
        .map_err(|err| HubError::Bug(format!("wish cannot be written: {err}")))?;
    hub.vault().put(txn, hub.entropy(), place, &zeroize::Zeroizing::new(bytes))
}

/// Stores the signed wish for a server that lives on another node by now.
pub(super) fn put_left(
    hub: &Hub,
    txn: &mut Txn<'_>,
    key: (NodeId, ServerId),
    order: Order,
    signed: &SignedEnvelope,
) -> Result<(), HubError> {
    seal_wish(hub, txn, &place_of_left(key), signed)?;
    Ok(txn.put(LEFT, &key, &EnvelopeRecord { order })?)
}

/// Reads the signed wish for a server that lives on another node by now.
pub(crate) fn left_wish(
    hub: &Hub,
    view: &impl Snapshot,
    key: (NodeId, ServerId),
) -> Result<Option<SignedEnvelope>, HubError> {
    if !view.contains(LEFT, &key)? {
        return Ok(None);
    }
    let bytes = hub.vault().get(view, &place_of_left(key))?.ok_or_else(|| missing("wish"))?;
    postcard::from_bytes(&bytes).map(Some).map_err(|_| missing("wish"))
}

/// Forgets the wish for a server that lives on the node again.
pub(super) fn forget_left(txn: &mut Txn<'_>, key: (NodeId, ServerId)) -> Result<(), HubError> {
    secrets::forget(txn, &place_of_left(key))?;
    Ok(txn.delete(LEFT, &key)?)
}

/// Reads the signed wish of a server; `None` when there is none.
pub(crate) fn wish(
    hub: &Hub,
    view: &impl Snapshot,
    key: &ServerKey,
) -> Result<Option<SignedEnvelope>, HubError> {
    if !view.contains(ENVELOPES, key)? {
        return Ok(None);
    }
    let bytes = hub.vault().get(view, &place_of_wish(key))?.ok_or_else(|| missing("wish"))?;
    postcard::from_bytes(&bytes).map(Some).map_err(|_| missing("wish"))
}

/// Forgets what is sealed under the owner that a server had.
pub(super) fn pass(txn: &mut Txn<'_>, key: &ServerKey) -> Result<(), HubError> {
    secrets::forget(txn, &place_of_values(key))?;
    secrets::forget(txn, &place_of_wish(key))?;
    Ok(txn.delete(ENVELOPES, key)?)
}

/// Forgets what is secret of a server that its node deleted.
pub(crate) fn forget(
    txn: &mut Txn<'_>,
    key: &ServerKey,
    record: &mut ServerRecord,
) -> Result<(), HubError> {
    record.has_secrets = false;
    secrets::forget(txn, &place_of_values(key))
}

fn missing(what: &str) -> HubError {
    HubError::Bug(format!("the sealed {what} of a server cannot be read"))
}

fn place_of_values(key: &ServerKey) -> Place {
    Place::new(SERVERS.def().id, key)
}

fn place_of_left(key: (NodeId, ServerId)) -> Place {
    Place::new(LEFT.def().id, &key)
}

fn place_of_wish(key: &ServerKey) -> Place {
    Place::new(ENVELOPES.def().id, key)
}

impl Hub {
    /// Returns the signed wish of a server, as its node gets it; `None` when there is none.
    ///
    /// # Errors
    /// `Unavailable`, or `Bug` when it cannot be opened.
    pub fn signed_wish(&self, key: ServerKey) -> Result<Option<SignedEnvelope>, HubError> {
        self.read(|view| wish(self, view, &key))
    }
}
