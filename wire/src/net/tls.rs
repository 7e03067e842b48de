//! TLS configurations of both ends.

use crate::{
    link::{
        token::CaHash,
        v1::{ALPN, ALPN_ENROL},
    },
    net::{
        authority::{CertificateError, Leaf},
        keys::SecretKey,
    },
};
use mamba_core::clock::UnixMs;
use rustls::{
    ClientConfig, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, ServerConfig,
    SignatureScheme,
    client::{
        Resumption, WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime},
    server::{NoServerSessionStorage, WebPkiClientVerifier},
    time_provider::TimeProvider,
    version::TLS13,
};
use std::{fmt, sync::Arc, time::Duration};

/// Tells the time at which certificates are checked.
pub type TimeSource = Arc<dyn Fn() -> UnixMs + Send + Sync>;

/// Why a TLS configuration could not be made.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The library refused it.
    #[error("TLS could not be configured")]
    Configure(#[source] Error),
    /// A CA cannot be used for checking.
    #[error("CA certificate cannot be used")]
    Ca(#[source] Error),
    /// The checker of clients' certificates could not be made.
    #[error("checker of node certificates could not be made")]
    Verifier(#[source] rustls::server::VerifierBuilderError),
    /// The cipher suite that QUIC begins with is missing.
    #[error("cipher suite for QUIC is missing")]
    Quic,
    /// The hub's own certificate could not be made.
    #[error("certificate of the hub could not be made")]
    Certificate(#[source] CertificateError),
}

/// What makes a server the hub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HubTrust {
    /// Its chain ends in the CA with this hash: before enrolment, from the join token.
    Hash(CaHash),
    /// Its chain ends in this CA, in DER: afterwards.
    Ca(Vec<u8>),
}

/// A certificate with its key.
#[derive(Clone, Copy, Debug)]
pub struct Identity<'a> {
    /// Own certificate first.
    pub chain: &'a [CertificateDer<'static>],
    /// Its key.
    pub key: &'a SecretKey,
}

/// Makes the hub's configuration for both ALPNs. A client may come without certificate; whoever
/// accepts the connection must refuse that unless the ALPN is the one of enrolment.
///
/// # Errors
/// See [`TlsError`].
pub fn server_config(
    leaf: &Leaf,
    key: &SecretKey,
    node_ca: &CertificateDer<'static>,
    time: &TimeSource,
) -> Result<ServerConfig, TlsError> {
    let mut roots = RootCertStore::empty();
    roots.add(node_ca.clone()).map_err(TlsError::Ca)?;
    let nodes = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider())
        .allow_unauthenticated()
        .build()
        .map_err(TlsError::Verifier)?;
    let mut config = ServerConfig::builder_with_details(provider(), provide(time))
        .with_protocol_versions(&[&TLS13])
        .map_err(TlsError::Configure)?
        .with_client_cert_verifier(nodes)
        .with_single_cert(leaf.chain.clone(), private(key))
        .map_err(TlsError::Configure)?;
    config.alpn_protocols = vec![ALPN.to_vec(), ALPN_ENROL.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    Ok(config)
}

/// Makes the edge's configuration: for a session with `identity`, for enrolment without.
///
/// # Errors
/// See [`TlsError`].
pub fn client_config(
    trust: HubTrust,
    identity: Option<Identity<'_>>,
    time: &TimeSource,
) -> Result<ClientConfig, TlsError> {
    let verifier = Arc::new(HubVerifier { trust, provider: provider() });
    let builder = ClientConfig::builder_with_details(provider(), provide(time))
        .with_protocol_versions(&[&TLS13])
        .map_err(TlsError::Configure)?
        .dangerous() // Stricter than the default: one pinned CA.
        .with_custom_certificate_verifier(verifier);
    let (mut config, alpn) = match identity {
        None => (builder.with_no_client_auth(), ALPN_ENROL),
        Some(own) => {
            let config = builder
                .with_client_auth_cert(own.chain.to_vec(), private(own.key))
                .map_err(TlsError::Configure)?;
            (config, ALPN)
        }
    };
    config.alpn_protocols = vec![alpn.to_vec()];
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    Ok(config)
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn private(key: &SecretKey) -> PrivateKeyDer<'static> {
    PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.pkcs8()))
}

fn provide(time: &TimeSource) -> Arc<dyn TimeProvider> {
    Arc::new(Time(Arc::clone(time)))
}

struct Time(TimeSource);

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Time({})", (self.0)())
    }
}

impl TimeProvider for Time {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_millis((self.0)().0)))
    }
}

/// Accepts exactly the hub: its chain, its name, its dates, its signature.
#[derive(Debug)]
struct HubVerifier {
    trust: HubTrust,
    provider: Arc<CryptoProvider>,
}

impl HubVerifier {
    /// Returns the one CA that counts, taken from what the server sent when only its hash is known.
    fn root(&self, sent: &[CertificateDer<'_>]) -> Result<CertificateDer<'static>, Error> {
        match &self.trust {
            HubTrust::Ca(der) => Ok(CertificateDer::from(der.clone())),
            HubTrust::Hash(hash) => sent
                .iter()
                .find(|certificate| CaHash::of(certificate) == *hash)
                .map(|certificate| certificate.clone().into_owned())
                .ok_or(Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer)),
        }
    }

    fn of(&self, root: CertificateDer<'static>) -> Result<Arc<WebPkiServerVerifier>, Error> {
        let mut roots = RootCertStore::empty();
        roots.add(root)?;
        let provider = Arc::clone(&self.provider);
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .map_err(|err| Error::General(err.to_string()))
    }
}

impl ServerCertVerifier for HubVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verifier = self.of(self.root(intermediates)?)?;
        verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::PeerIncompatible(rustls::PeerIncompatible::Tls13RequiredForQuic))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn root_hint_subjects(&self) -> Option<&[DistinguishedName]> {
        None
    }
}
