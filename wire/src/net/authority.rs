//! Certificate authorities of the hub, and the reading of what they signed.
//!
//! All certificates are valid from [`VALID_FROM`] on and not from their making: a machine whose
//! clock is behind can then still check them, and nothing is lost, since no key is older than its
//! first certificate. They end at a real time.

use crate::{
    link::enrol::PublicKey,
    net::{
        SERVER_NAME,
        keys::{EnvelopeSigner, KeyError, SecretKey, is_signed_by},
    },
};
use mamba_core::{
    clock::{Entropy, UnixMs, draw},
    ids::NodeId,
};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyUsagePurpose, PKCS_ED25519, PublicKeyData, SanType,
    SerialNumber, SignatureAlgorithm, SigningKey,
};
use rustls::pki_types::{CertificateDer, CertificateSigningRequestDer};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use x509_parser::{extensions::GeneralName, prelude::FromDer};

/// Start of every certificate: 2026-01-01, before the first release.
pub const VALID_FROM: UnixMs = UnixMs(1_767_225_600_000);
/// Life of a certificate below a CA: 7 days.
pub const LEAF_MS: u64 = 7 * 86_400_000;
/// Certificates are renewed after this much of their life, plus or minus a tenth of it, so that a
/// fleet that was enrolled on one day does not renew in one minute.
pub const RENEW_AFTER_MS: u64 = LEAF_MS / 3 * 2;
/// Life of a CA: 30 years. It is only trusted where it is pinned.
const CA_MS: u64 = 30 * 365 * 86_400_000;
/// Start of the name in a node's certificate.
const NODE_URI: &str = "mamba://node/";

/// Why a certificate could not be made or read.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The library refused to make it.
    #[error("certificate could not be made")]
    Make(#[source] rcgen::Error),
    /// A stored CA cannot be read.
    #[error("CA certificate cannot be read")]
    ReadCa(#[source] rcgen::Error),
    /// A key cannot be used.
    #[error("key cannot be used")]
    Key(#[source] KeyError),
    /// A signing request is malformed, not signed by its own key, or not Ed25519.
    #[error("certificate signing request is not a valid one for an ed25519 key")]
    Csr,
    /// A certificate is not a node's.
    #[error("certificate is not a node's")]
    NotANode,
}

/// Secrets of a hub in the form in which they are stored. Whoever has them is the hub.
#[derive(Clone, Serialize, Deserialize)]
pub struct HubSecrets {
    hub_ca: StoredAuthority,
    node_ca: StoredAuthority,
    envelope_seed: [u8; 32],
}

#[derive(Clone, Serialize, Deserialize)]
struct StoredAuthority {
    certificate: Vec<u8>,
    seed: [u8; 32],
}

impl std::fmt::Debug for HubSecrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HubSecrets(***)")
    }
}

/// Keys of a hub, ready for use.
#[derive(Debug)]
pub struct HubKeys {
    /// Signs the hub's own certificates.
    pub hub_ca: Authority,
    /// Signs nodes' certificates.
    pub node_ca: Authority,
    /// Signs envelopes.
    pub envelopes: EnvelopeSigner,
}

impl HubSecrets {
    /// Makes the secrets of a new hub.
    ///
    /// # Errors
    /// `Make` or `Key`.
    pub fn create(now: UnixMs, entropy: &dyn Entropy) -> Result<Self, CertificateError> {
        Ok(Self {
            hub_ca: Authority::create("mamba hub CA", now, entropy)?.store(),
            node_ca: Authority::create("mamba node CA", now, entropy)?.store(),
            envelope_seed: draw(entropy),
        })
    }

    /// Makes the secrets usable.
    ///
    /// # Errors
    /// `ReadCa` or `Key` when they were damaged.
    pub fn open(&self) -> Result<HubKeys, CertificateError> {
        let envelopes = SecretKey::from_seed(self.envelope_seed).map_err(CertificateError::Key)?;
        Ok(HubKeys {
            hub_ca: Authority::restore(&self.hub_ca)?,
            node_ca: Authority::restore(&self.node_ca)?,
            envelopes: EnvelopeSigner::new(envelopes),
        })
    }
}

/// A certificate authority with its key.
#[derive(Debug)]
pub struct Authority {
    certificate: CertificateDer<'static>,
    key: SecretKey,
}

/// A certificate and the CA behind it.
#[derive(Clone, Debug)]
pub struct Leaf {
    /// The certificate, then its CA.
    pub chain: Vec<CertificateDer<'static>>,
    /// End of the certificate.
    pub valid_until: UnixMs,
}

impl Authority {
    fn create(name: &str, now: UnixMs, entropy: &dyn Entropy) -> Result<Self, CertificateError> {
        let key = SecretKey::generate(entropy).map_err(CertificateError::Key)?;
        let mut params = params(name, now.plus(CA_MS), entropy);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let made = params.self_signed(&Signer(&key)).map_err(CertificateError::Make)?;
        Ok(Self { certificate: made.der().clone(), key })
    }

    fn restore(stored: &StoredAuthority) -> Result<Self, CertificateError> {
        let key = SecretKey::from_seed(stored.seed).map_err(CertificateError::Key)?;
        let certificate = CertificateDer::from(stored.certificate.clone());
        Issuer::from_ca_cert_der(&certificate, Signer(&key)).map_err(CertificateError::ReadCa)?;
        Ok(Self { certificate, key })
    }

    fn store(&self) -> StoredAuthority {
        StoredAuthority { certificate: self.certificate.to_vec(), seed: self.key.seed() }
    }

    /// Returns the CA's own certificate.
    #[must_use]
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// Makes a certificate for the hub itself.
    ///
    /// # Errors
    /// `Make`.
    pub fn issue_server(
        &self,
        key: PublicKey,
        now: UnixMs,
        entropy: &dyn Entropy,
    ) -> Result<Leaf, CertificateError> {
        let name = SERVER_NAME.try_into().map_err(CertificateError::Make)?;
        let san = SanType::DnsName(name);
        self.issue(key, san, ExtendedKeyUsagePurpose::ServerAuth, (now, entropy))
    }

    /// Makes a certificate for a node.
    ///
    /// # Errors
    /// `Make`.
    pub fn issue_node(
        &self,
        node: NodeId,
        key: PublicKey,
        now: UnixMs,
        entropy: &dyn Entropy,
    ) -> Result<Leaf, CertificateError> {
        let name = format!("{NODE_URI}{node}").try_into().map_err(CertificateError::Make)?;
        let san = SanType::URI(name);
        self.issue(key, san, ExtendedKeyUsagePurpose::ClientAuth, (now, entropy))
    }

    fn issue(
        &self,
        key: PublicKey,
        name: SanType,
        purpose: ExtendedKeyUsagePurpose,
        (now, entropy): (UnixMs, &dyn Entropy),
    ) -> Result<Leaf, CertificateError> {
        let valid_until = now.plus(LEAF_MS);
        let mut params = params("mamba", valid_until, entropy);
        params.subject_alt_names = vec![name];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![purpose];
        params.use_authority_key_identifier_extension = true;
        let issuer = Issuer::from_ca_cert_der(&self.certificate, Signer(&self.key))
            .map_err(CertificateError::ReadCa)?;
        let made = params.signed_by(&Subject(key), &issuer).map_err(CertificateError::Make)?;
        Ok(Leaf { chain: vec![made.der().clone(), self.certificate.clone()], valid_until })
    }
}

fn params(name: &str, until: UnixMs, entropy: &dyn Entropy) -> CertificateParams {
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = epoch + Duration::from_millis(VALID_FROM.0);
    params.not_after = epoch + Duration::from_millis(until.0);
    let mut serial: [u8; 16] = draw(entropy);
    serial[0] &= 0x7f; // A serial number is positive.
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    params
}

/// Makes a signing request for a key.
///
/// # Errors
/// `Make`.
pub fn make_csr(key: &SecretKey) -> Result<Vec<u8>, CertificateError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    let made = params.serialize_request(&Signer(key)).map_err(CertificateError::Make)?;
    Ok(made.der().to_vec())
}

/// Returns the key of a signing request that is signed with it. Names in it are not looked at.
///
/// # Errors
/// `Csr`.
pub fn read_csr(der: &[u8]) -> Result<PublicKey, CertificateError> {
    let request = CertificateSigningRequestDer::from(der);
    let read = CertificateSigningRequestParams::from_der(&request)
        .map_err(|_| CertificateError::Csr)?
        .public_key;
    let bytes = read.der_bytes().try_into().map_err(|_| CertificateError::Csr)?;
    if *read.algorithm() == PKCS_ED25519 {
        Ok(PublicKey(bytes))
    } else {
        Err(CertificateError::Csr)
    }
}

/// Who a node's certificate names. Says nothing about who signed it: TLS has checked that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeCertificate {
    /// The node.
    pub node: NodeId,
    /// Its key.
    pub key: PublicKey,
    /// End of the certificate.
    pub valid_until: UnixMs,
}

impl NodeCertificate {
    /// Reads a certificate.
    ///
    /// # Errors
    /// `NotANode` when it is malformed or has not exactly one name, a node's.
    pub fn read(der: &[u8]) -> Result<Self, CertificateError> {
        let not_a_node = || CertificateError::NotANode;
        let (_, read) =
            x509_parser::certificate::X509Certificate::from_der(der).map_err(|_| not_a_node())?;
        let names = read.subject_alternative_name().ok().flatten().ok_or_else(not_a_node)?;
        let [GeneralName::URI(name)] = names.value.general_names[..] else {
            return Err(not_a_node());
        };
        let node = name.strip_prefix(NODE_URI).and_then(|id| id.parse().ok());
        let key = read.public_key().subject_public_key.data.as_ref().try_into().ok();
        let until = u64::try_from(read.validity().not_after.timestamp()).ok();
        match (node, key, until) {
            (Some(node), Some(key), Some(until)) => Ok(Self {
                node,
                key: PublicKey(key),
                valid_until: UnixMs(until.saturating_mul(1_000)),
            }),
            _ => Err(not_a_node()),
        }
    }
}

/// Our key as the certificate library takes it.
struct Signer<'a>(&'a SecretKey);

/// A bare public key as the certificate library takes it.
struct Subject(PublicKey);

impl PublicKeyData for Signer<'_> {
    fn der_bytes(&self) -> &[u8] {
        self.0.public_bytes()
    }
    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ED25519
    }
}

impl SigningKey for Signer<'_> {
    fn sign(&self, msg: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        let signature = self.0.sign(msg);
        // A certificate that nobody can check is worse than none.
        assert!(is_signed_by(self.0.public(), msg, &signature));
        Ok(signature)
    }
}

impl PublicKeyData for Subject {
    fn der_bytes(&self) -> &[u8] {
        &self.0.0
    }
    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ED25519
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Counted;
    impl Entropy for Counted {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(0x5a);
        }
    }

    #[test]
    fn a_nodes_certificate_names_it_and_its_key() {
        let now = UnixMs(VALID_FROM.0 + 1_000);
        let keys = HubSecrets::create(now, &Counted).unwrap().open().unwrap();
        let key = SecretKey::from_seed([3; 32]).unwrap();
        let public = read_csr(&make_csr(&key).unwrap()).unwrap();
        assert_eq!(public, key.public());
        let node = NodeId::from_bytes([4; 16]);
        let leaf = keys.node_ca.issue_node(node, public, now, &Counted).unwrap();
        let read = NodeCertificate::read(&leaf.chain[0]).unwrap();
        let valid_until = now.plus(LEAF_MS);
        assert_eq!(read, NodeCertificate { node, key: public, valid_until });
        let server = keys.hub_ca.issue_server(public, now, &Counted).unwrap();
        assert!(NodeCertificate::read(&server.chain[0]).is_err());
        assert!(NodeCertificate::read(&leaf.chain[1]).is_err());
    }

    #[test]
    fn a_changed_signing_request_never_gives_another_key() {
        let key = SecretKey::from_seed([3; 32]).unwrap();
        let good = make_csr(&key).unwrap();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            let read = read_csr(&bad);
            assert!(read.is_err() || read.unwrap() == key.public(), "byte {at}");
        }
    }
}
