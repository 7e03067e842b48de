//! Idempotency keys: a create that is sent twice is done once.
//!
//! The key is recorded, with a hash of the request, in a commit before the work begins, and its
//! answer in one after it. Every transaction of the work itself also marks the key, so that a key
//! without an answer says exactly what is known: unmarked, nothing was done, and the request may be
//! sent again with it; marked, something was, and the client is told to look. Only while the first
//! request runs does a second one have to wait.

use super::{ApiError, Served};
use crate::{HubError, identity::Caller};
use mamba_core::{
    clock::UnixMs,
    db::{Rider, Snapshot as _, Span, Store, Table, TableDef, Txn},
    ids::UserId,
    record,
};
use mamba_wire::api::{Code, KEY_BYTES_MAX, KEY_TTL_MS, Row};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};
use warp::http::HeaderMap;

/// Keys by account.
const KEYS: Table<(UserId, String), KeyRecord> = Table::new(160, "idempotency_keys");
/// Keys by age.
const KEYS_BY_AGE: Table<(UnixMs, UserId, String), Present> =
    Table::new(161, "idempotency_keys_by_age");

/// All tables of this module.
pub const TABLES: &[TableDef] = &[KEYS.def(), KEYS_BY_AGE.def()];

/// Expired keys that go with each new one: more than one, so that they all go in time.
const PURGED_AT_ONCE: usize = 8;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct KeyRecord {
    /// BLAKE3 over the endpoint, the path and the body.
    request: [u8; 32],
    made_at: UnixMs,
    /// Whether a transaction of the work was committed.
    has_effect: bool,
    /// Status and body of the answer; `None` while there is none.
    answer: Option<(u16, Vec<u8>)>,
}
record!(KeyRecord, 1);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Present;
record!(Present, 1);

/// The key of one request.
pub(super) struct Key {
    user: UserId,
    text: String,
    request: [u8; 32],
}

/// Keys whose requests run now; never more than connections.
#[derive(Default)]
pub(super) struct Running(Mutex<BTreeSet<KeyId>>);

type KeyId = (UserId, String);

/// Says that a key's request runs, until it is dropped.
pub(super) struct Run<'a> {
    running: &'a Running,
    id: KeyId,
}

impl Running {
    fn start(&self, id: KeyId) -> Option<Run<'_>> {
        let is_new = self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone());
        is_new.then_some(Run { running: self, id })
    }
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        self.running.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}

/// What a key says about its request.
pub(super) enum Begin<'a> {
    /// Nothing was done with it: go on, and hold this until the answer is recorded.
    Fresh(Run<'a>),
    /// It was answered so.
    Replay(u16, Vec<u8>),
}

/// Reads the key of a request, `None` when it has none.
///
/// # Errors
/// `Invalid` when it breaks a rule.
pub(super) fn key(
    headers: &HeaderMap,
    caller: &Caller,
    row: &Row,
    path: &str,
    body: &[u8],
) -> Result<Option<Key>, ApiError> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    let text = value.to_str().ok().filter(|text| {
        (1..=KEY_BYTES_MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
    });
    let Some(text) = text else {
        let rule = format!("must be 1 to {KEY_BYTES_MAX} visible ASCII characters");
        return Err(mamba_core::error::Invalid::new("idempotency-key", rule).into());
    };
    let mut hasher = blake3::Hasher::new();
    for part in [row.name.as_bytes(), path.as_bytes(), body] {
        hasher.update(&(part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    let request = *hasher.finalize().as_bytes();
    Ok(Some(Key { user: caller.user, text: text.to_owned(), request }))
}

/// Records a key, or finds what it was used for.
///
/// # Errors
/// `KeyReused`, `KeyPending`, or what the store says; nothing was done then.
pub(super) async fn begin<'a>(
    store: &Store,
    running: &'a Running,
    now: UnixMs,
    key: &Key,
) -> Result<Begin<'a>, ApiError> {
    let id = (key.user, key.text.clone());
    let pending = |detail: &str| ApiError::new(Code::KeyPending, detail);
    let run = running.start(id.clone());
    let run = run.ok_or_else(|| pending("the first request with this key still runs"))?;
    let request = key.request;
    let found = store
        .write(move |txn| {
            purge(txn, now)?;
            let found = txn.get(KEYS, &id)?;
            let is_free = found.as_ref().is_none_or(|it| it.answer.is_none() && !it.has_effect);
            if is_free {
                let made_at = found.as_ref().map_or(now, |it| it.made_at);
                let row = KeyRecord { request, made_at, has_effect: false, answer: None };
                txn.put(KEYS, &id, &row)?;
                txn.put(KEYS_BY_AGE, &(made_at, id.0, id.1.clone()), &Present)?;
            }
            Ok::<_, HubError>(found.filter(|_| !is_free))
        })
        .await
        .map_err(HubError::from)?;
    match found {
        None => Ok(Begin::Fresh(run)),
        Some(KeyRecord { request, .. }) if request != key.request => {
            Err(ApiError::new(Code::KeyReused, "this key was used with another request"))
        }
        Some(KeyRecord { answer: Some((status, body)), .. }) => Ok(Begin::Replay(status, body)),
        Some(KeyRecord { answer: None, .. }) => Err(pending(
            "the first request with this key changed something and was cut off: look whether its \
             result exists",
        )),
    }
}

/// Returns what marks the key in each transaction of its request.
pub(super) fn rider(key: &Key) -> Rider {
    let id = (key.user, key.text.clone());
    Arc::new(move |txn| {
        if let Some(row) = txn.get(KEYS, &id)?.filter(|row| !row.has_effect) {
            txn.put(KEYS, &id, &KeyRecord { has_effect: true, ..row })?;
        }
        Ok(())
    })
}

/// Records the answer of a request. A refusal frees the key; what is known of an
/// unknown outcome is the mark of [`rider`].
pub(super) async fn finish(
    store: &Store,
    key: &Key,
    status: u16,
    result: &Result<Served<Vec<u8>>, ApiError>,
) {
    let answer = match result {
        Ok(Served::Json(body)) => Some((status, body.clone())),
        Ok(Served::JsonAs(status, body)) => Some((*status, body.clone())),
        Ok(Served::Whole(_)) => None,
        Err(err) => match err.code {
            Code::Unavailable | Code::NoAnswer | Code::Bug => return,
            _ => None,
        },
    };
    let id = (key.user, key.text.clone());
    let stored = store
        .write(move |txn| {
            let Some(mut row) = txn.get(KEYS, &id)? else { return Ok(()) };
            match &answer {
                Some(answer) => {
                    row.answer = Some(answer.clone());
                    txn.put(KEYS, &id, &row)?;
                }
                None => {
                    txn.delete(KEYS, &id)?;
                    txn.delete(KEYS_BY_AGE, &(row.made_at, id.0, id.1.clone()))?;
                }
            }
            Ok::<_, HubError>(())
        })
        .await;
    if let Err(err) = stored {
        // The work is done and answered; only a repetition will be told that it is unknown.
        let cause = mamba_core::error::chain(&HubError::from(err));
        tracing::warn!(cause, "answer of an idempotency key could not be stored");
    }
}

fn purge(txn: &mut Txn<'_>, now: UnixMs) -> Result<(), HubError> {
    let oldest = txn.range(KEYS_BY_AGE, Span::all(), PURGED_AT_ONCE)?;
    for ((made_at, user, text), Present) in oldest {
        if now.since(made_at) >= KEY_TTL_MS {
            txn.delete(KEYS, &(user, text.clone()))?;
            txn.delete(KEYS_BY_AGE, &(made_at, user, text))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use mamba_core::db::{StoreOptions, riding, sim::SimDisk};

    const MADE: Table<u16, Present> = Table::new(1, "made");

    /// What is left when the hub dies at some point of a request, and comes back.
    struct Case {
        store: Store,
        disk: SimDisk,
    }

    impl Case {
        fn new() -> Self {
            let disk = SimDisk::default();
            Self { store: Store::inline(disk.clone(), StoreOptions::HUB).unwrap(), disk }
        }

        fn restart(&mut self) -> Running {
            self.disk = self.disk.crash(7);
            self.store = Store::inline(self.disk.clone(), StoreOptions::HUB).unwrap();
            Running::default()
        }

        async fn begin<'a>(&self, running: &'a Running, key: &Key) -> Result<Begin<'a>, Code> {
            begin(&self.store, running, UnixMs(7), key).await.map_err(|err| err.code)
        }

        /// The effect of a request.
        async fn work(&self, key: &Key) {
            let store = self.store.clone();
            let work = async move {
                store.write(|txn| txn.put(MADE, &1, &Present)).await.unwrap();
            };
            riding(rider(key), work).await;
        }
    }

    fn key(request: u8) -> Key {
        Key { user: UserId::from_bytes([1; 16]), text: "k".to_owned(), request: [request; 32] }
    }

    #[tokio::test]
    async fn a_hub_that_dies_before_the_effect_leaves_the_key_free() {
        let (mut case, running, key) = (Case::new(), Running::default(), key(1));
        let first = case.begin(&running, &key).await;
        assert!(matches!(first, Ok(Begin::Fresh(_))));
        let second = case.begin(&running, &key).await;
        assert!(matches!(second, Err(Code::KeyPending)), "the first still runs");
        drop((first, second));
        // Cut off in the same run, or by the end of the hub: the same.
        assert!(matches!(case.begin(&running, &key).await, Ok(Begin::Fresh(_))));
        let running = case.restart();
        assert!(matches!(case.begin(&running, &key).await, Ok(Begin::Fresh(_))));
    }

    #[tokio::test]
    async fn a_hub_that_dies_after_the_effect_says_so_and_never_does_it_again() {
        let (mut case, running) = (Case::new(), Running::default());
        let (key, other) = (key(1), key(2));
        let first = case.begin(&running, &key).await;
        case.work(&key).await;
        drop(first);
        let running = case.restart();
        assert!(case.store.read(|txn| txn.contains(MADE, &1)).unwrap());
        assert!(matches!(case.begin(&running, &key).await, Err(Code::KeyPending)));
        assert!(matches!(case.begin(&running, &other).await, Err(Code::KeyReused)));
    }

    #[tokio::test]
    async fn an_answer_is_given_again_also_by_the_next_run() {
        let (mut case, running, key) = (Case::new(), Running::default(), key(1));
        let first = case.begin(&running, &key).await;
        case.work(&key).await;
        finish(&case.store, &key, 201, &Ok(Served::Json(b"made".to_vec()))).await;
        drop(first);
        let running = case.restart();
        match case.begin(&running, &key).await {
            Ok(Begin::Replay(status, body)) => assert_eq!((status, &*body), (201, &b"made"[..])),
            _ => panic!("the answer is lost"),
        }
    }
}
