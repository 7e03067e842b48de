//! Who this node is, in files of their own: a store that is lost or moved aside does not take the
//! node's identity with it.
//!
//! `identity/node.key` holds the 32 bytes of the node's key, mode 0600; it is made here and never
//! leaves. `identity/node` holds what the hub gave, as a version byte and postcard. Both are written
//! to a new file, synced and renamed.

use mamba_core::{
    clock::{Entropy, UnixMs},
    ids::NodeId,
};
use mamba_wire::{
    link::enrol::{PublicKey, RenewReply},
    net::keys::{KeyError, SecretKey},
};
use serde::{Deserialize, Serialize};
use std::{
    fs::{DirBuilder, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

const DIR: &str = "identity";
const KEY: &str = "node.key";
const NODE: &str = "node";
const VERSION: u8 = 1;

/// What the hub gave this node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Who it is.
    pub node: NodeId,
    /// Where the hub is, `host:port`, tried in this order.
    pub hubs: Vec<String>,
    /// Certificate, key of envelopes, CA of the hub.
    pub certificate_chain: Vec<Vec<u8>>,
    /// End of the certificate, by hub time.
    pub valid_until: UnixMs,
    /// DER of the CA that the hub's certificates must come from.
    pub hub_ca: Vec<u8>,
    /// Key that envelopes must be signed with.
    pub envelope_key: PublicKey,
}

impl Identity {
    /// Takes over a new certificate and what came with it. The hub's CA stays the one pinned at
    /// enrolment.
    pub fn renew(&mut self, reply: RenewReply) {
        self.certificate_chain = reply.certificate_chain;
        self.valid_until = reply.valid_until;
        self.envelope_key = reply.envelope_key;
    }
}

/// Why the identity cannot be had or kept.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The system refused.
    #[error("`{path}` could not be {step}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// What was tried.
        step: &'static str,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A file holds something else.
    #[error("`{path}` is damaged: restore it, or remove the folder `identity` and enrol again")]
    Damaged {
        /// Which file.
        path: PathBuf,
    },
    /// A file was written by a newer program.
    #[error("`{path}` has version {found}, known is {VERSION}: use a newer mamba-edge")]
    Newer {
        /// Which file.
        path: PathBuf,
        /// Its version.
        found: u8,
    },
    /// The key cannot be used.
    #[error("key of the node cannot be used")]
    Key(#[source] KeyError),
}

/// The folder that holds the identity.
#[derive(Clone, Debug)]
pub struct IdentityFiles {
    dir: PathBuf,
}

impl IdentityFiles {
    /// Works in the folder `identity` of the data directory, which is made when it is first needed.
    #[must_use]
    pub fn new(data_dir: &Path) -> Self {
        Self { dir: data_dir.join(DIR) }
    }

    /// Returns the identity, `None` before enrolment.
    ///
    /// # Errors
    /// When it is there and cannot be read.
    pub fn load(&self) -> Result<Option<Identity>, IdentityError> {
        let path = self.dir.join(NODE);
        let Some(bytes) = read(&path)? else { return Ok(None) };
        match bytes.split_first() {
            Some((&VERSION, body)) => match postcard::take_from_bytes(body) {
                Ok((identity, [])) => Ok(Some(identity)),
                Ok((_, [_, ..])) | Err(_) => Err(IdentityError::Damaged { path }),
            },
            Some((&found, _)) if found > VERSION => Err(IdentityError::Newer { path, found }),
            Some(_) | None => Err(IdentityError::Damaged { path }),
        }
    }

    /// Keeps the identity. It is durable on return.
    ///
    /// # Errors
    /// When it could not be written; the former one stays.
    pub fn save(&self, identity: &Identity) -> Result<(), IdentityError> {
        let path = self.dir.join(NODE);
        let bytes = postcard::to_extend(identity, vec![VERSION])
            .map_err(|_| IdentityError::Damaged { path: path.clone() })?;
        self.write(&path, &bytes)
    }

    /// Returns the node's key, `None` when it was never made.
    ///
    /// # Errors
    /// When it is there and cannot be read.
    pub fn key(&self) -> Result<Option<SecretKey>, IdentityError> {
        let path = self.dir.join(KEY);
        let Some(bytes) = read(&path)? else { return Ok(None) };
        let seed = bytes.try_into().map_err(|_| IdentityError::Damaged { path })?;
        SecretKey::from_seed(seed).map(Some).map_err(IdentityError::Key)
    }

    /// Returns the node's key; makes it and keeps it when there is none. It is durable on return.
    ///
    /// # Errors
    /// When it can neither be read nor written.
    pub fn key_or_new(&self, entropy: &dyn Entropy) -> Result<SecretKey, IdentityError> {
        if let Some(key) = self.key()? {
            return Ok(key);
        }
        let key = SecretKey::generate(entropy).map_err(IdentityError::Key)?;
        self.write(&self.dir.join(KEY), &key.seed())?;
        Ok(key)
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> Result<(), IdentityError> {
        let failed = |step| move |source| IdentityError::Io { path: path.to_owned(), step, source };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.dir)
            .map_err(failed("put into its folder"))?;
        let new = path.with_extension("new");
        // A leftover of a crash may have another mode.
        match std::fs::remove_file(&new) {
            Err(err) if err.kind() != io::ErrorKind::NotFound => {
                return Err(failed("replaced")(err));
            }
            Ok(()) | Err(_) => {}
        }
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&new)
            .map_err(failed("created"))?;
        file.write_all(bytes).map_err(failed("written"))?;
        file.sync_all().map_err(failed("synced"))?;
        std::fs::rename(&new, path).map_err(failed("renamed"))?;
        File::open(&self.dir).and_then(|dir| dir.sync_all()).map_err(failed("synced"))
    }
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, IdentityError> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(IdentityError::Io { path: path.to_owned(), step: "read", source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    struct Fixed;
    impl Entropy for Fixed {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(7);
        }
    }

    fn identity() -> Identity {
        Identity {
            node: NodeId::from_bytes([1; 16]),
            hubs: vec!["hub:1".to_owned()],
            certificate_chain: vec![vec![1], vec![2]],
            valid_until: UnixMs(5),
            hub_ca: vec![3],
            envelope_key: PublicKey([4; 32]),
        }
    }

    #[test]
    fn key_and_identity_survive_and_are_private() {
        let dir = tempfile::tempdir().unwrap();
        let files = IdentityFiles::new(dir.path());
        assert!(files.load().unwrap().is_none() && files.key().unwrap().is_none());
        let made = files.key_or_new(&Fixed).unwrap().public();
        assert_eq!(files.key().unwrap().unwrap().public(), made);
        files.save(&identity()).unwrap();
        assert_eq!(files.load().unwrap(), Some(identity()));
        for (name, mode) in [("identity", 0o700), ("identity/node.key", 0o600)] {
            let found = std::fs::metadata(dir.path().join(name)).unwrap().permissions().mode();
            assert_eq!(found & 0o777, mode, "{name}");
        }
    }

    #[test]
    fn a_damaged_or_newer_identity_is_not_overlooked() {
        let dir = tempfile::tempdir().unwrap();
        let files = IdentityFiles::new(dir.path());
        files.save(&identity()).unwrap();
        let path = dir.path().join("identity/node");
        let good = std::fs::read(&path).unwrap();
        std::fs::write(&path, &good[..good.len() - 1]).unwrap();
        assert!(matches!(files.load(), Err(IdentityError::Damaged { .. })));
        std::fs::write(&path, [&[9], &good[1..]].concat()).unwrap();
        assert!(matches!(files.load(), Err(IdentityError::Newer { found: 9, .. })));
        std::fs::write(dir.path().join("identity/node.key"), [1; 31]).unwrap();
        assert!(matches!(files.key_or_new(&Fixed), Err(IdentityError::Damaged { .. })));
    }
}
