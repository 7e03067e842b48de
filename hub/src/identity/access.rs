//! Access tokens: signed statements of who asks, from which session, until when.
//!
//! A JWT with `alg` EdDSA, `typ` [`TYPE`], the audience [`AUDIENCE`] and a purpose, so that no other
//! token that the hub may ever sign passes for one. Times are checked against the hub's own clock.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use jsonwebtoken::{
    Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, decode_header, encode,
};
use mamba_core::{
    clock::{Entropy, UnixMs, draw},
    ids::{SessionId, UserId},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

const TYPE: &str = "at+jwt";
const AUDIENCE: &str = "mamba-api";
/// Longest token that is looked at; ours have about 350 bytes.
const TOKEN_BYTES_MAX: usize = 1_024;
/// Most tokens that are remembered as genuine: some 500 KiB, and more people than use a panel within the
/// life of a token. Above, any one is forgotten and its signature checked again.
const GENUINE_MAX: usize = 4_096;
/// Separates the key of refresh tokens from every other use of the same bytes.
const REFRESH_CONTEXT: &str = "mamba-hub 2026-11 refresh tokens";
/// The key's file in the data directory.
const FILE: &str = "access.key";

/// Signs and checks access tokens.
pub struct AccessKey {
    encoding: EncodingKey,
    decoding: DecodingKey,
    /// Makes refresh tokens, see `sessions`.
    refresh: zeroize::Zeroizing<[u8; 32]>,
    /// What genuine tokens say, by their BLAKE3: to check a signature costs more than all else that a
    /// small request needs.
    genuine: Mutex<BTreeMap<[u8; 32], Claims>>,
}

/// What a token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Purpose {
    /// Everything that its account may do.
    Api,
    /// To set up the second factor that its account must have, and nothing else.
    SetUp,
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read or made.
    #[error("key file `{}` could not be {step}", path.display())]
    File {
        /// `read` or `written`.
        step: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file holds something else.
    #[error("key file `{}` holds no Ed25519 key; without it the hub makes a new one", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
    },
}

/// What a token says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Claims {
    pub(super) user: UserId,
    pub(super) session: SessionId,
    pub(super) purpose: Purpose,
    pub(super) until: UnixMs,
}

#[derive(Serialize, Deserialize)]
struct Body {
    aud: String,
    purpose: Purpose,
    sub: UserId,
    sid: SessionId,
    iat: u64,
    exp: u64,
}

impl AccessKey {
    /// Reads the key from a data directory, or makes it there with mode 0600. Losing it costs nobody
    /// more than one refresh.
    ///
    /// # Errors
    /// See [`KeyError`].
    pub fn open(dir: &Path, entropy: &dyn Entropy) -> Result<Self, KeyError> {
        let path = dir.join(FILE);
        let failed = |step, source| KeyError::File { step, path: path.clone(), source };
        let malformed = || KeyError::Malformed { path: path.clone() };
        let pkcs8 = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(err) if err.kind() == std::io::ErrorKind::NotFound => {
                let bytes = fresh(entropy).ok_or_else(malformed)?;
                write_private(&path, &bytes).map_err(|err| failed("written", err))?;
                bytes
            }
            Err(err) => return Err(failed("read", err)),
        };
        Self::from_pkcs8(&pkcs8).ok_or_else(malformed)
    }

    fn from_pkcs8(pkcs8: &[u8]) -> Option<Self> {
        let pair = Ed25519KeyPair::from_pkcs8(pkcs8).ok()?;
        Some(Self {
            encoding: EncodingKey::from_ed_der(pkcs8),
            decoding: DecodingKey::from_ed_der(pair.public_key().as_ref()),
            refresh: zeroize::Zeroizing::new(blake3::derive_key(REFRESH_CONTEXT, pkcs8)),
            genuine: Mutex::default(),
        })
    }

    /// Signs a token. `None` only when the key is unusable, which [`AccessKey::open`] excludes.
    pub(super) fn sign(&self, now: UnixMs, claims: Claims) -> Option<String> {
        let mut header = Header::new(Algorithm::EdDSA);
        header.typ = Some(TYPE.to_owned());
        let body = Body {
            aud: AUDIENCE.to_owned(),
            purpose: claims.purpose,
            sub: claims.user,
            sid: claims.session,
            iat: now.0 / 1_000,
            exp: claims.until.0 / 1_000,
        };
        encode(&header, &body, &self.encoding).ok()
    }

    /// Reads a token that is genuine, for this purpose, and valid now.
    pub(super) fn check(&self, now: UnixMs, token: &str) -> Option<Claims> {
        if token.len() > TOKEN_BYTES_MAX {
            return None;
        }
        let hash = *blake3::hash(token.as_bytes()).as_bytes();
        let genuine = || self.genuine.lock().unwrap_or_else(PoisonError::into_inner);
        let known = genuine().get(&hash).copied();
        let claims = match known {
            Some(claims) => claims,
            None => {
                let claims = self.read(token)?;
                let mut genuine = genuine();
                if genuine.len() >= GENUINE_MAX {
                    genuine.retain(|_, claims| now < claims.until);
                }
                if genuine.len() >= GENUINE_MAX {
                    genuine.pop_first();
                }
                genuine.insert(hash, claims);
                claims
            }
        };
        (now < claims.until).then_some(claims)
    }

    /// Pure: reads a token that is genuine, whether or not it is valid still.
    fn read(&self, token: &str) -> Option<Claims> {
        if decode_header(token).ok()?.typ.as_deref() != Some(TYPE) {
            return None;
        }
        let mut rules = Validation::new(Algorithm::EdDSA);
        rules.validate_exp = false; // By our clock, below.
        rules.set_audience(&[AUDIENCE]);
        rules.set_required_spec_claims(&["aud", "sub", "exp"]);
        let body = decode::<Body>(token, &self.decoding, &rules).ok()?.claims;
        let until = UnixMs(body.exp.checked_mul(1_000)?);
        let Body { sub: user, sid: session, purpose, .. } = body;
        Some(Claims { user, session, purpose, until })
    }

    /// Returns the secret part of the refresh token of one generation of a session. Only who has this
    /// key and the session's salt can make it, so that one that is right was given out by us.
    pub(super) fn refresh_secret(&self, salt: &[u8; 32], generation: u64) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_keyed(&self.refresh);
        hasher.update(salt).update(&generation.to_be_bytes());
        *hasher.finalize().as_bytes()
    }
}

fn fresh(entropy: &dyn Entropy) -> Option<Vec<u8>> {
    let seed = zeroize::Zeroizing::new(draw::<32>(entropy));
    let pair = Ed25519KeyPair::from_seed_unchecked(&*seed).ok()?;
    Some(pair.to_pkcs8().ok()?.as_ref().to_vec())
}

/// Writes a file that only its owner may read, whole or not at all.
fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let draft = path.with_extension("new");
    match fs::remove_file(&draft) {
        Err(err) if err.kind() != std::io::ErrorKind::NotFound => return Err(err),
        _ => {}
    }
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&draft, path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use mamba_core::clock::SystemEntropy;

    const NOW: UnixMs = UnixMs(1_800_000_000_000);

    fn claims() -> Claims {
        Claims {
            user: UserId::from_bytes([1; 16]),
            session: SessionId::from_bytes([2; 16]),
            purpose: Purpose::Api,
            until: NOW.plus(60_000),
        }
    }

    #[test]
    fn tokens_hold_until_their_end_and_survive_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let key = AccessKey::open(dir.path(), &SystemEntropy).unwrap();
        let token = key.sign(NOW, claims()).unwrap();
        let again = AccessKey::open(dir.path(), &SystemEntropy).unwrap();
        assert_eq!(again.check(NOW, &token), Some(claims()));
        assert_eq!(again.check(NOW.plus(59_999), &token), Some(claims()));
        assert_eq!(again.check(NOW.plus(60_000), &token), None);
    }

    #[test]
    fn genuine_tokens_are_remembered_within_a_bound_and_forgotten_at_their_end() {
        let key = AccessKey::from_pkcs8(&fresh(&SystemEntropy).unwrap()).unwrap();
        let count = || key.genuine.lock().unwrap().len();
        let token = key.sign(NOW, claims()).unwrap();
        for _ in 0..2 {
            assert_eq!(key.check(NOW, &token), Some(claims()));
        }
        assert_eq!(key.check(NOW, &token[1..]), None);
        assert_eq!(count(), 1, "what is not genuine is not remembered");
        let fill = |until| {
            let others = (0..GENUINE_MAX as u64)
                .map(|it| (*blake3::hash(&it.to_be_bytes()).as_bytes(), until));
            let claims = |(hash, until)| (hash, Claims { until, ..claims() });
            key.genuine.lock().unwrap().extend(others.map(claims));
        };
        fill(NOW);
        let later = key.sign(NOW, Claims { until: NOW.plus(90_000), ..claims() }).unwrap();
        assert!(key.check(NOW, &later).is_some());
        assert_eq!(count(), 2, "those at their end made room");
        fill(NOW.plus(90_000));
        let last = key.sign(NOW, Claims { until: NOW.plus(80_000), ..claims() }).unwrap();
        let before = count();
        assert!(key.check(NOW, &last).is_some());
        assert_eq!(count(), before, "any other made room");
    }

    #[test]
    fn foreign_and_broken_tokens_are_refused() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let key = AccessKey::open(one.path(), &SystemEntropy).unwrap();
        let foreign = AccessKey::open(other.path(), &SystemEntropy).unwrap();
        let token = key.sign(NOW, claims()).unwrap();
        assert_eq!(foreign.check(NOW, &token), None);
        for broken in ["", ".", "a.b.c", &token[1..], &token[..token.len() - 2]] {
            assert_eq!(key.check(NOW, broken), None, "{broken}");
        }
        let mut header = Header::new(Algorithm::EdDSA);
        let body = Body {
            aud: AUDIENCE.to_owned(),
            purpose: Purpose::Api,
            sub: claims().user,
            sid: claims().session,
            iat: 0,
            exp: NOW.0,
        };
        let untyped = encode(&header, &body, &key.encoding).unwrap();
        assert_eq!(key.check(NOW, &untyped), None);
        header.typ = Some(TYPE.to_owned());
        let elsewhere = Body { aud: "mail".to_owned(), ..body };
        let elsewhere = encode(&header, &elsewhere, &key.encoding).unwrap();
        assert_eq!(key.check(UnixMs(0), &elsewhere), None);
    }

    #[test]
    fn a_key_file_with_something_else_is_named() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(FILE), b"nonsense").unwrap();
        let err = AccessKey::open(dir.path(), &SystemEntropy).err().unwrap();
        assert!(err.to_string().contains("access.key"), "{err}");
    }
}
