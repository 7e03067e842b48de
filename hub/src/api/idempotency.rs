//! Idempotency keys: a create that is sent twice is done once.
//!
//! The key is recorded, with a hash of the request, in a commit before the work begins, and its
//! answer in one after it. A key without an answer says that the first request still runs or that the
//! hub was stopped in its middle: then nobody can promise what happened, and the client is told so.

use super::{Api, ApiError, Served};
use crate::{HubError, identity::Caller};
use mamba_core::{
    clock::UnixMs,
    db::{Snapshot as _, Span, Table, TableDef, Txn},
    ids::UserId,
    record,
};
use mamba_wire::api::{Code, KEY_BYTES_MAX, KEY_TTL_MS, Row};
use serde::{Deserialize, Serialize};
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

/// What a key says about its request.
pub(super) enum Begin {
    /// It is new: go on.
    Fresh,
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
pub(super) async fn begin(api: &Api, key: &Key) -> Result<Begin, ApiError> {
    let now = api.clock().wall();
    let (id, request) = ((key.user, key.text.clone()), key.request);
    let found = api
        .store()
        .write(move |txn| {
            purge(txn, now)?;
            let found = txn.get(KEYS, &id)?;
            if found.is_none() {
                txn.put(KEYS, &id, &KeyRecord { request, made_at: now, answer: None })?;
                txn.put(KEYS_BY_AGE, &(now, id.0, id.1.clone()), &Present)?;
            }
            Ok::<_, HubError>(found)
        })
        .await
        .map_err(HubError::from)?;
    match found {
        None => Ok(Begin::Fresh),
        Some(KeyRecord { request, .. }) if request != key.request => {
            Err(ApiError::new(Code::KeyReused, "this key was used with another request"))
        }
        Some(KeyRecord { answer: Some((status, body)), .. }) => Ok(Begin::Replay(status, body)),
        Some(KeyRecord { answer: None, .. }) => Err(ApiError::new(
            Code::KeyPending,
            "the first request with this key has no outcome yet: look whether its result exists",
        )),
    }
}

/// Records the answer of a request. A refusal frees the key; an unknown outcome keeps it pending.
pub(super) async fn finish(
    api: &Api,
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
    let stored = api
        .store()
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
