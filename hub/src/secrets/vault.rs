//! Seals secrets: each under a key of its own, which the master key wraps (AES-256-GCM both times).
//!
//! The place of a secret, its table and id, is bound to both: a sealed secret that is copied to
//! another place cannot be opened there. Nothing here writes to the store.

use super::master::{self, Home};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use mamba_core::{
    clock::{Entropy, draw},
    record,
};
use serde::{Deserialize, Serialize};
use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};
use zeroize::{Zeroize as _, Zeroizing};

/// Most bytes of one secret: the signed wish of a server, which holds its secret variables.
pub const SECRET_BYTES_MAX: usize = mamba_core::desired::ENVELOPE_BYTES_MAX + 1_024;

/// Why there is no vault, or why a secret cannot be sealed or opened.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// The key file cannot be read or written.
    #[error("master key file `{}` could not be {step}", path.display())]
    File {
        /// `read` or `written`.
        step: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The key file holds something else.
    #[error("master key file `{}` must hold one or two lines of 64 hexadecimal digits", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
    },
    /// The variable holds something else.
    #[error("variable `{name}` must hold 64 hexadecimal digits")]
    Variable {
        /// Its name.
        name: &'static str,
    },
    /// Sealed with a key that is not here.
    #[error("a secret is sealed with master key {fingerprint}, which is not the one that is given")]
    UnknownKey {
        /// Names the key.
        fingerprint: String,
    },
    /// Damaged, or moved to another place.
    #[error("a secret cannot be opened: it was damaged or moved")]
    Damaged,
    /// Over [`SECRET_BYTES_MAX`].
    #[error("a secret of {bytes} bytes is over the limit of {SECRET_BYTES_MAX}")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
}

/// One master key. Its bytes are gone from memory when it is.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct MasterKey {
    bytes: Zeroizing<[u8; 32]>,
}

impl MasterKey {
    pub(super) fn new(mut bytes: [u8; 32]) -> Self {
        let key = Self { bytes: Zeroizing::new(bytes) };
        bytes.zeroize();
        key
    }

    /// Names the key without telling it.
    pub(super) fn fingerprint(&self) -> [u8; 8] {
        let hash = blake3::derive_key("mamba master key fingerprint v1", &*self.bytes);
        let mut name = [0; 8];
        name.copy_from_slice(&hash[..8]);
        name
    }

    pub(super) fn text(&self) -> Zeroizing<String> {
        Zeroizing::new(hex(&*self.bytes))
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MasterKey({})", hex(&self.fingerprint()))
    }
}

/// The master key's fingerprint, a nonce and a key that is wrapped with both.
type Wrapped = ([u8; 8], [u8; NONCE_LEN], Vec<u8>);

/// Where a secret is kept: the number of the table that it belongs to, and its key there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Number of the table.
    pub table: u16,
    /// Its key in that table.
    pub id: Vec<u8>,
}

impl Place {
    /// Names the place of what belongs to a record: its table's number and its key.
    pub fn new(table: u16, key: &impl mamba_core::db::Key) -> Self {
        Self { table, id: key.to_key_bytes() }
    }

    fn bound(&self, purpose: &[u8]) -> Vec<u8> {
        let mut out = purpose.to_vec();
        out.extend(self.table.to_be_bytes());
        out.extend(&self.id);
        out
    }
}

/// A sealed secret, as it is stored.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    /// Names the master key.
    pub(super) master: [u8; 8],
    key_nonce: [u8; NONCE_LEN],
    wrapped_key: Vec<u8>,
    nonce: [u8; NONCE_LEN],
    body: Vec<u8>,
}
record!(Sealed, 1);

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealed(with {})", hex(&self.master))
    }
}

/// Seals and opens secrets. All clones share the keys.
#[derive(Clone)]
pub struct Vault {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) home: Home,
    pub(super) keys: RwLock<Vec<MasterKey>>,
}

impl Vault {
    /// Takes the master key from the environment, or else from the data directory, where it is made
    /// with mode 0600 if there is none.
    ///
    /// # Errors
    /// When the variable or the file cannot be used.
    pub fn open(dir: &Path, entropy: &dyn Entropy) -> Result<Self, VaultError> {
        let (home, keys) = master::read(dir, |name| std::env::var(name).ok(), entropy)?;
        Ok(Self { inner: Arc::new(Inner { home, keys: RwLock::new(keys) }) })
    }

    /// Makes a vault whose key is nowhere but here: for tests and simulations.
    #[must_use]
    pub fn in_memory(key: [u8; 32]) -> Self {
        let keys = RwLock::new(vec![MasterKey::new(key)]);
        Self { inner: Arc::new(Inner { home: Home::Memory, keys }) }
    }

    /// Seals a secret for a place.
    ///
    /// # Errors
    /// `TooLarge`.
    pub fn seal(
        &self,
        entropy: &dyn Entropy,
        place: &Place,
        secret: &[u8],
    ) -> Result<Sealed, VaultError> {
        if secret.len() > SECRET_BYTES_MAX {
            return Err(VaultError::TooLarge { bytes: secret.len() });
        }
        let key = Zeroizing::new(draw::<32>(entropy));
        let nonce = draw(entropy);
        let body = encrypt(&key, nonce, &place.bound(b"mamba secret v1"), secret)?;
        let (master, key_nonce, wrapped_key) = self.wrap(entropy, place, &*key)?;
        Ok(Sealed { master, key_nonce, wrapped_key, nonce, body })
    }

    /// Opens a sealed secret.
    ///
    /// # Errors
    /// `UnknownKey` or `Damaged`.
    pub fn reveal(&self, place: &Place, sealed: &Sealed) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        let key = self.unwrap_key(place, sealed)?;
        decrypt(&key, sealed.nonce, &place.bound(b"mamba secret v1"), &sealed.body)
    }

    /// Wraps the secret's own key with the newest master key; the secret is not touched.
    ///
    /// # Errors
    /// `UnknownKey` or `Damaged`.
    pub(super) fn rewrap(
        &self,
        entropy: &dyn Entropy,
        place: &Place,
        sealed: &Sealed,
    ) -> Result<Sealed, VaultError> {
        let key = self.unwrap_key(place, sealed)?;
        let (master, key_nonce, wrapped_key) = self.wrap(entropy, place, &*key)?;
        Ok(Sealed { master, key_nonce, wrapped_key, ..sealed.clone() })
    }

    /// Names the master key that seals now.
    #[must_use]
    pub fn newest(&self) -> [u8; 8] {
        let keys = self.inner.keys.read().unwrap_or_else(PoisonError::into_inner);
        keys.first().map(MasterKey::fingerprint).unwrap_or_default()
    }

    /// Whether a master key of that name is here.
    #[must_use]
    pub fn knows(&self, fingerprint: [u8; 8]) -> bool {
        let keys = self.inner.keys.read().unwrap_or_else(PoisonError::into_inner);
        keys.iter().any(|key| key.fingerprint() == fingerprint)
    }

    fn wrap(
        &self,
        entropy: &dyn Entropy,
        place: &Place,
        key: &[u8],
    ) -> Result<Wrapped, VaultError> {
        let keys = self.inner.keys.read().unwrap_or_else(PoisonError::into_inner);
        let master = keys.first().ok_or(VaultError::Damaged)?;
        let nonce = draw(entropy);
        let wrapped = encrypt(&master.bytes, nonce, &place.bound(b"mamba secret key v1"), key)?;
        Ok((master.fingerprint(), nonce, wrapped))
    }

    fn unwrap_key(
        &self,
        place: &Place,
        sealed: &Sealed,
    ) -> Result<Zeroizing<[u8; 32]>, VaultError> {
        let keys = self.inner.keys.read().unwrap_or_else(PoisonError::into_inner);
        let master = keys.iter().find(|key| key.fingerprint() == sealed.master);
        let unknown = || VaultError::UnknownKey { fingerprint: hex(&sealed.master) };
        let master = master.ok_or_else(unknown)?;
        let bound = place.bound(b"mamba secret key v1");
        let found = decrypt(&master.bytes, sealed.key_nonce, &bound, &sealed.wrapped_key)?;
        let key: [u8; 32] = found.as_slice().try_into().map_err(|_| VaultError::Damaged)?;
        Ok(Zeroizing::new(key))
    }
}

fn cipher(key: &[u8; 32]) -> Result<LessSafeKey, VaultError> {
    let key = UnboundKey::new(&AES_256_GCM, key).map_err(|_| VaultError::Damaged)?;
    Ok(LessSafeKey::new(key))
}

/// Encrypts with a nonce that this key never sees twice: keys of secrets are used once, and nonces
/// of master keys are random.
fn encrypt(
    key: &[u8; 32],
    nonce: [u8; NONCE_LEN],
    bound: &[u8],
    text: &[u8],
) -> Result<Vec<u8>, VaultError> {
    let mut body = text.to_vec();
    let nonce = Nonce::assume_unique_for_key(nonce);
    let done = cipher(key)?.seal_in_place_append_tag(nonce, Aad::from(bound), &mut body);
    done.map_err(|_| VaultError::Damaged)?;
    Ok(body)
}

fn decrypt(
    key: &[u8; 32],
    nonce: [u8; NONCE_LEN],
    bound: &[u8],
    body: &[u8],
) -> Result<Zeroizing<Vec<u8>>, VaultError> {
    let mut text = Zeroizing::new(body.to_vec());
    let nonce = Nonce::assume_unique_for_key(nonce);
    let opened = cipher(key)?.open_in_place(nonce, Aad::from(bound), &mut text);
    let length = opened.map_err(|_| VaultError::Damaged)?.len();
    text.truncate(length);
    Ok(text)
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Vault({})", hex(&self.newest()))
    }
}
