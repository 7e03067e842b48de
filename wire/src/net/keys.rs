//! Ed25519 keys, and signatures on envelopes.

use crate::link::enrol::PublicKey;
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use mamba_core::{
    clock::{Entropy, draw},
    desired::{Envelope, EnvelopeError, SignedEnvelope},
};
use std::fmt;

/// Head of an Ed25519 key in PKCS #8 (RFC 8410, section 7); the 32 bytes of the seed follow.
const PKCS8_HEAD: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

/// A seed that is not a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("bytes are not an ed25519 key")]
pub struct KeyError;

/// An Ed25519 key pair. Prints as stars.
pub struct SecretKey {
    seed: [u8; 32],
    pair: Ed25519KeyPair,
}

impl SecretKey {
    /// Draws a new key.
    ///
    /// # Errors
    /// When the cryptographic library refuses the seed.
    pub fn generate(entropy: &dyn Entropy) -> Result<Self, KeyError> {
        Self::from_seed(draw(entropy))
    }

    /// Takes a key from where it was stored.
    ///
    /// # Errors
    /// When the cryptographic library refuses the seed.
    pub fn from_seed(seed: [u8; 32]) -> Result<Self, KeyError> {
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|_| KeyError)?;
        Ok(Self { seed, pair })
    }

    /// Returns the stored form. Whoever has it is the key's owner.
    #[must_use]
    pub fn seed(&self) -> [u8; 32] {
        self.seed
    }

    /// Returns the key in DER as TLS libraries take it.
    #[must_use]
    pub fn pkcs8(&self) -> Vec<u8> {
        [&PKCS8_HEAD[..], &self.seed[..]].concat()
    }

    /// Returns the public half.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(self.pair.public_key().as_ref());
        PublicKey(bytes)
    }

    /// Returns the bytes of the public half.
    pub(crate) fn public_bytes(&self) -> &[u8] {
        self.pair.public_key().as_ref()
    }

    /// Signs `text`: 64 bytes.
    #[must_use]
    pub fn sign(&self, text: &[u8]) -> Vec<u8> {
        self.pair.sign(text).as_ref().to_vec()
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey(*** of {:?})", self.public())
    }
}

/// Whether `signature` over `text` was made with the secret half of `key`.
#[must_use]
pub fn is_signed_by(key: PublicKey, text: &[u8], signature: &[u8]) -> bool {
    UnparsedPublicKey::new(&ED25519, key.0).verify(text, signature).is_ok()
}

/// Signs what the hub wants.
#[derive(Debug)]
pub struct EnvelopeSigner {
    key: SecretKey,
}

impl EnvelopeSigner {
    /// Signs with this key, which must be used for nothing else.
    #[must_use]
    pub fn new(key: SecretKey) -> Self {
        Self { key }
    }

    /// Returns the key that edges check with.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        self.key.public()
    }

    /// Returns the key of the link's stateless resets, which is the same in every life of the hub.
    #[must_use]
    pub fn reset_secret(&self) -> [u8; 32] {
        blake3::derive_key("mamba 2026 stateless resets of the hub's link", &self.key.seed())
    }

    /// Encodes and signs.
    ///
    /// # Errors
    /// `TooLarge` when it has no room in a message.
    pub fn sign(&self, envelope: &Envelope) -> Result<SignedEnvelope, EnvelopeError> {
        let bytes = envelope.encode()?;
        let signature = self.key.sign(&bytes);
        Ok(SignedEnvelope { bytes, signature })
    }

    /// Signs a hash that only the hub itself checks. What is signed begins with words that no
    /// envelope begins with: an edge takes none of it for a wish.
    #[must_use]
    pub fn attest(&self, hash: &[u8; 32]) -> Vec<u8> {
        self.key.sign(&attested(hash))
    }
}

/// Stands before everything that is signed by [`EnvelopeSigner::attest`].
const ATTESTED: &[u8] = b"mamba audit anchor v1\0";

fn attested(hash: &[u8; 32]) -> Vec<u8> {
    [ATTESTED, hash].concat()
}

/// Whether the hub with this key attested a hash.
#[must_use]
pub fn is_attested_by(key: PublicKey, hash: &[u8; 32], signature: &[u8]) -> bool {
    is_signed_by(key, &attested(hash), signature)
}

/// Why an envelope is not taken as the hub's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// The hub did not sign this.
    #[error("envelope is not signed by the hub")]
    Signature,
    /// It is signed but cannot be read.
    #[error("envelope cannot be read")]
    Open(#[source] EnvelopeError),
}

/// Checks that the hub signed something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EnvelopeVerifier {
    key: PublicKey,
}

impl EnvelopeVerifier {
    /// Checks with this key, from the enrolment reply.
    #[must_use]
    pub fn new(key: PublicKey) -> Self {
        Self { key }
    }

    /// Checks the signature, then decodes.
    ///
    /// # Errors
    /// See [`VerifyError`].
    pub fn open(&self, signed: &SignedEnvelope) -> Result<Envelope, VerifyError> {
        if !is_signed_by(self.key, &signed.bytes, &signed.signature) {
            return Err(VerifyError::Signature);
        }
        signed.open().map_err(VerifyError::Open)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mamba_core::{
        clock::UnixMs,
        desired::{Home, Order, Wish},
        ids::{NodeId, ServerId, TenantId},
    };

    #[test]
    fn only_the_signers_bytes_are_accepted() {
        let signer = EnvelopeSigner::new(SecretKey::from_seed([1; 32]).unwrap());
        let other = EnvelopeSigner::new(SecretKey::from_seed([2; 32]).unwrap());
        let envelope = Envelope {
            tenant: TenantId::from_bytes([1; 16]),
            node: NodeId::from_bytes([2; 16]),
            server: ServerId::from_bytes([3; 16]),
            order: Order::default(),
            home: Home::default(),
            not_before: UnixMs(0),
            force: false,
            body: Wish::Deleted { retain_ms: 1 },
        };
        let verifier = EnvelopeVerifier::new(signer.public());
        let signed = signer.sign(&envelope).unwrap();
        assert_eq!(verifier.open(&signed), Ok(envelope.clone()));
        let foreign = other.sign(&envelope).unwrap();
        assert_eq!(verifier.open(&foreign), Err(VerifyError::Signature));
        let mut changed = signed;
        changed.bytes[0] ^= 1;
        assert_eq!(verifier.open(&changed), Err(VerifyError::Signature));
    }

    #[test]
    fn the_secret_is_not_printed() {
        let key = SecretKey::from_seed([0xab; 32]).unwrap();
        assert!(!format!("{key:?}").contains("171, 171"));
    }
}
