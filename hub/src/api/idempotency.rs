//! Idempotency keys: a create that is sent twice is done once.
//!
//! The key is recorded, with a hash of the request, in a commit before the work begins, and its
//! answer in one after it. Every transaction of the work itself also marks the key, so that a key
//! without an answer says exactly what is known: unmarked, nothing was done, and the request may be
//! sent again with it; marked, something was, and the client is told to look. Only while the first
//! request runs does a second one have to wait. Answers are sealed: some hold a token that nothing
//! else in the store does.

use super::{ApiError, Served};
use crate::{
    HubError,
    identity::Caller,
    secrets::{self, Place, Vault},
};
use mamba_core::{
    clock::{Entropy, UnixMs},
    db::{Rider, Snapshot, Span, Store, Table, TableDef, Txn},
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
use zeroize::Zeroizing;

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
    made_at: UnixMs,
    /// Whether a transaction of the work was committed.
    has_effect: bool,
    /// Status of the answer; `None` while there is none.
    status: Option<u16>,
}
record!(KeyRecord, 1);

/// What is sealed of a key: a request may hold a password, of which even a hash tells too much, and an
/// answer a token that is shown once.
#[derive(Clone, Serialize, Deserialize)]
struct Secret {
    /// BLAKE3 over the endpoint, the path and the body.
    request: [u8; 32],
    /// Body of the answer; empty while there is none.
    answer: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Present;
record!(Present, 1);

/// The key of one request.
pub(super) struct Key {
    user: UserId,
    text: String,
    request: [u8; 32],
}

/// Keys, what is known of them, and which of their requests run now.
pub(super) struct Keys {
    store: Store,
    vault: Vault,
    entropy: Arc<dyn Entropy>,
    /// Never more than connections.
    running: Mutex<BTreeSet<KeyId>>,
}

type KeyId = (UserId, String);

/// Says that a key's request runs, until it is dropped.
pub(super) struct Run<'a> {
    keys: &'a Keys,
    id: KeyId,
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        self.keys.running.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
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

impl Keys {
    pub(super) fn new(store: Store, vault: Vault, entropy: Arc<dyn Entropy>) -> Self {
        Self { store, vault, entropy, running: Mutex::default() }
    }

    fn start(&self, id: KeyId) -> Option<Run<'_>> {
        let is_new = self.running.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone());
        // Made only then: dropping one ends what it stands for.
        is_new.then(|| Run { keys: self, id })
    }

    /// Records a key, or finds what it was used for.
    ///
    /// # Errors
    /// `KeyReused`, `KeyPending`, or what the store says; nothing was done then.
    pub(super) async fn begin(&self, now: UnixMs, key: &Key) -> Result<Begin<'_>, ApiError> {
        let id = (key.user, key.text.clone());
        let pending = |detail: &str| ApiError::new(Code::KeyPending, detail);
        let run = self.start(id.clone());
        let run = run.ok_or_else(|| pending("the first request with this key still runs"))?;
        let request = key.request;
        let (vault, entropy) = (self.vault.clone(), self.entropy.clone());
        let found = self
            .store
            .write(move |txn| {
                purge(txn, now)?;
                let found = txn.get(KEYS, &id)?;
                if let Some(row) = found.as_ref().filter(|it| it.status.is_some() || it.has_effect)
                {
                    return Ok(Some((row.status, open(&vault, txn, &id)?)));
                }
                let made_at = found.as_ref().map_or(now, |it| it.made_at);
                let row = KeyRecord { made_at, has_effect: false, status: None };
                txn.put(KEYS, &id, &row)?;
                txn.put(KEYS_BY_AGE, &(made_at, id.0, id.1.clone()), &Present)?;
                seal(&vault, &*entropy, txn, &id, &Secret { request, answer: Vec::new() })?;
                Ok::<_, HubError>(None)
            })
            .await
            .map_err(HubError::from)?;
        match found {
            None => Ok(Begin::Fresh(run)),
            Some((_, secret)) if secret.request != key.request => {
                Err(ApiError::new(Code::KeyReused, "this key was used with another request"))
            }
            Some((Some(status), secret)) => Ok(Begin::Replay(status, secret.answer)),
            Some((None, _)) => Err(pending(
                "the first request with this key changed something and was cut off: look whether \
                 its result exists",
            )),
        }
    }

    /// Records the answer of a request. A refusal frees the key; what is known of an
    /// unknown outcome is the mark of [`rider`].
    pub(super) async fn finish(
        &self,
        key: &Key,
        status: u16,
        result: &Result<Served<Vec<u8>>, ApiError>,
    ) {
        let answer = match result {
            Ok(Served::Json(body) | Served::Ready(body)) => Some((status, body.clone())),
            Ok(Served::JsonAs(status, body)) => Some((*status, body.clone())),
            Ok(Served::Whole(_)) => None,
            Err(err) => match err.code {
                Code::Unavailable | Code::NoAnswer | Code::Bug => return,
                _ => None,
            },
        };
        let (id, request) = ((key.user, key.text.clone()), key.request);
        let (vault, entropy) = (self.vault.clone(), self.entropy.clone());
        let stored = self
            .store
            .write(move |txn| {
                let Some(mut row) = txn.get(KEYS, &id)? else { return Ok(()) };
                match &answer {
                    Some((status, answer)) => {
                        row.status = Some(*status);
                        txn.put(KEYS, &id, &row)?;
                        let secret = Secret { request, answer: answer.clone() };
                        seal(&vault, &*entropy, txn, &id, &secret)
                    }
                    None => forget(txn, row.made_at, id.clone()),
                }
            })
            .await;
        if let Err(err) = stored {
            // The work is done and answered; only a repetition will be told that it is unknown.
            let cause = mamba_core::error::chain(&HubError::from(err));
            tracing::warn!(cause, "answer of an idempotency key could not be stored");
        }
    }
}

fn place(id: &KeyId) -> Place {
    Place::new(KEYS.def().id, id)
}

fn seal(
    vault: &Vault,
    entropy: &dyn Entropy,
    txn: &mut Txn<'_>,
    id: &KeyId,
    secret: &Secret,
) -> Result<(), HubError> {
    let bytes = postcard::to_allocvec(secret)
        .map_err(|err| HubError::Bug(format!("answer of a key cannot be written: {err}")))?;
    vault.put(txn, entropy, &place(id), &Zeroizing::new(bytes))
}

fn open(vault: &Vault, view: &impl Snapshot, id: &KeyId) -> Result<Secret, HubError> {
    let unreadable = || HubError::Bug("the sealed answer of a key cannot be read".to_owned());
    let bytes = vault.get(view, &place(id))?.ok_or_else(unreadable)?;
    postcard::from_bytes(&bytes).map_err(|_| unreadable())
}

/// Frees a key.
fn forget(txn: &mut Txn<'_>, made_at: UnixMs, id: KeyId) -> Result<(), HubError> {
    secrets::forget(txn, &place(&id))?;
    txn.delete(KEYS, &id)?;
    Ok(txn.delete(KEYS_BY_AGE, &(made_at, id.0, id.1))?)
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

fn purge(txn: &mut Txn<'_>, now: UnixMs) -> Result<(), HubError> {
    let oldest = txn.range(KEYS_BY_AGE, Span::all(), PURGED_AT_ONCE)?;
    for ((made_at, user, text), Present) in oldest {
        if now.since(made_at) >= KEY_TTL_MS {
            forget(txn, made_at, (user, text))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use mamba_core::{
        clock::SystemEntropy,
        db::{StoreOptions, riding, sim::SimDisk},
    };

    const MADE: Table<u16, Present> = Table::new(1, "made");

    /// What is left when the hub dies at some point of a request, and comes back.
    struct Case {
        keys: Keys,
        disk: SimDisk,
    }

    fn keys(disk: &SimDisk) -> Keys {
        let store = Store::inline(disk.clone(), StoreOptions::HUB).unwrap();
        Keys::new(store, Vault::in_memory([7; 32]), Arc::new(SystemEntropy))
    }

    impl Case {
        fn new() -> Self {
            let disk = SimDisk::default();
            Self { keys: keys(&disk), disk }
        }

        fn restart(&mut self) {
            self.disk = self.disk.crash(7);
            self.keys = keys(&self.disk);
        }

        async fn begin(&self, key: &Key) -> Result<Begin<'_>, Code> {
            self.keys.begin(UnixMs(7), key).await.map_err(|err| err.code)
        }

        /// The effect of a request.
        async fn work(&self, key: &Key) {
            let store = self.keys.store.clone();
            let work = async move {
                store.write(|txn| txn.put(MADE, &1, &Present)).await.unwrap();
            };
            riding(rider(key), work).await;
        }
    }

    fn key(request: u8) -> Key {
        Key {
            user: UserId::from_bytes([1; 16]),
            text: "retry-7d1f".to_owned(),
            request: [request; 32],
        }
    }

    #[tokio::test]
    async fn a_hub_that_dies_before_the_effect_leaves_the_key_free() {
        let (mut case, key) = (Case::new(), key(1));
        let first = case.begin(&key).await;
        assert!(matches!(first, Ok(Begin::Fresh(_))));
        let second = case.begin(&key).await;
        assert!(matches!(second, Err(Code::KeyPending)), "the first still runs");
        let third = case.begin(&key).await;
        assert!(matches!(third, Err(Code::KeyPending)), "it runs on when a second one was refused");
        drop((first, second, third));
        // Cut off in the same run, or by the end of the hub: the same.
        assert!(matches!(case.begin(&key).await, Ok(Begin::Fresh(_))));
        case.restart();
        assert!(matches!(case.begin(&key).await, Ok(Begin::Fresh(_))));
    }

    #[tokio::test]
    async fn a_hub_that_dies_after_the_effect_says_so_and_never_does_it_again() {
        let (mut case, key, other) = (Case::new(), key(1), key(2));
        drop(case.begin(&key).await);
        case.work(&key).await;
        case.restart();
        assert!(case.keys.store.read(|txn| txn.contains(MADE, &1)).unwrap());
        assert!(matches!(case.begin(&key).await, Err(Code::KeyPending)));
        assert!(matches!(case.begin(&other).await, Err(Code::KeyReused)));
    }

    #[tokio::test]
    async fn an_answer_is_given_again_also_by_the_next_run_and_cannot_be_read_on_the_disk() {
        const ANSWER: &[u8] = b"mjt1-canary-token";
        let (mut case, key) = (Case::new(), key(b'R'));
        drop(case.begin(&key).await);
        case.work(&key).await;
        case.keys.finish(&key, 201, &Ok(Served::Json(ANSWER.to_vec()))).await;
        case.restart();
        match case.begin(&key).await {
            Ok(Begin::Replay(status, body)) => assert_eq!((status, &*body), (201, ANSWER)),
            _ => panic!("the answer is lost"),
        }
        assert!(case.disk.holds("retry-7d1f"), "the disk can be searched");
        assert!(!case.disk.holds("canary-token") && !case.disk.holds(&"R".repeat(32)));
    }

    #[tokio::test]
    async fn a_key_that_is_freed_leaves_nothing() {
        let (case, key) = (Case::new(), key(1));
        drop(case.begin(&key).await);
        let refused = Err(ApiError::new(Code::Conflict, "no"));
        case.keys.finish(&key, 201, &refused).await;
        let sealed = case
            .keys
            .store
            .read(|view| case.keys.vault.get(view, &place(&(key.user, key.text.clone()))));
        assert!(sealed.unwrap().is_none());
        assert!(matches!(case.begin(&key).await, Ok(Begin::Fresh(_))));
    }
}
