//! The API's certificate: read from files, read again when they change, or made by the hub itself.

use mamba_core::error::chain;
use rcgen::generate_simple_self_signed;
use std::{
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        self, ServerConfig,
        crypto::aws_lc_rs,
        pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject as _},
        server::{ClientHello, ResolvesServerCert},
        sign::CertifiedKey,
    },
};

/// Time between two looks at the files.
const LOOK_MS: u64 = 60_000;
/// Longest file; a chain of five certificates has ten kilobytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// A certificate and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate, then those between it and its root, in PEM.
    pub certificate: PathBuf,
    /// Its key, in PEM.
    pub key: PathBuf,
}

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("file `{}` could not be read", file.display())]
    Read {
        /// Which.
        file: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file cannot be written.
    #[error("file `{}` could not be written", file.display())]
    Write {
        /// Which.
        file: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file is not PEM, or has not what it should.
    #[error("file `{}` holds no certificate or key in PEM", file.display())]
    Parse {
        /// Which.
        file: PathBuf,
        /// Why.
        #[source]
        source: pem::Error,
    },
    /// Certificate and key do not fit.
    #[error("certificate and key do not fit each other")]
    Pair(#[source] rustls::Error),
    /// No certificate could be made.
    #[error("no certificate could be made")]
    Make(#[source] rcgen::Error),
    /// Signals cannot be listened for.
    #[error("signals could not be listened for")]
    Signal(#[source] std::io::Error),
}

/// The certificate that new connections get.
#[derive(Debug)]
pub struct Certificates {
    files: TlsFiles,
    // Locked for moments, never across a wait.
    current: Mutex<Current>,
}

#[derive(Debug)]
struct Current {
    /// BLAKE3 over both files.
    digest: blake3::Hash,
    pair: Arc<CertifiedKey>,
}

impl Certificates {
    /// Reads the files.
    ///
    /// # Errors
    /// When a file cannot be read or used, or the two do not fit.
    pub fn load(files: TlsFiles) -> Result<Arc<Self>, TlsError> {
        let current = Mutex::new(read(&files)?);
        Ok(Arc::new(Self { files, current }))
    }

    /// Makes a certificate for these names unless there is one in `dir`, and reads it.
    ///
    /// # Errors
    /// When it can be neither read nor made.
    pub fn self_made(dir: &Path, names: Vec<String>) -> Result<Arc<Self>, TlsError> {
        let files = TlsFiles { certificate: dir.join("cert.pem"), key: dir.join("key.pem") };
        let write = |file: &Path, text: &str| {
            let failed = |source| TlsError::Write { file: file.to_path_buf(), source };
            let mut options = std::fs::OpenOptions::new();
            let open = options.write(true).create(true).truncate(true).mode(0o600).open(file);
            let mut open = open.map_err(failed)?;
            open.write_all(text.as_bytes()).and_then(|()| open.sync_all()).map_err(failed)
        };
        if !files.certificate.exists() {
            let made = generate_simple_self_signed(names).map_err(TlsError::Make)?;
            let failed = |source| TlsError::Write { file: dir.to_path_buf(), source };
            std::fs::create_dir_all(dir).map_err(failed)?;
            // The certificate comes last: where it is, its key is.
            write(&files.key, &made.signing_key.serialize_pem())?;
            write(&files.certificate, &made.cert.pem())?;
        }
        Self::load(files)
    }

    /// Returns what ends TLS with the certificate of the moment. HTTP/1.1 only.
    ///
    /// # Errors
    /// When the library refuses its own defaults.
    pub fn acceptor(self: &Arc<Self>) -> Result<TlsAcceptor, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Pair)?
            .with_no_client_auth()
            .with_cert_resolver(self.clone());
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }

    /// Reads the files again. Returns whether they hold another certificate now; one that cannot be
    /// used changes nothing.
    ///
    /// # Errors
    /// As [`Certificates::load`].
    pub fn reload(&self) -> Result<bool, TlsError> {
        let new = read(&self.files)?;
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let is_other = current.digest != new.digest;
        *current = new;
        Ok(is_other)
    }

    /// Looks at the files each minute, and at once on SIGHUP, until told to stop.
    ///
    /// # Errors
    /// `Signal`.
    pub async fn keep(self: Arc<Self>, mut stop: watch::Receiver<bool>) -> Result<(), TlsError> {
        let mut hangup = signal(SignalKind::hangup()).map_err(TlsError::Signal)?;
        loop {
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return Ok(()),
                _ = hangup.recv() => {}
                () = tokio::time::sleep(Duration::from_millis(LOOK_MS)) => {}
            }
            match self.reload() {
                Ok(true) => tracing::info!("the API has a new certificate"),
                Ok(false) => {}
                Err(err) => {
                    tracing::error!(cause = chain(&err), "the API keeps its old certificate");
                }
            }
        }
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _client: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.lock().unwrap_or_else(PoisonError::into_inner).pair.clone())
    }
}

fn read(files: &TlsFiles) -> Result<Current, TlsError> {
    let bytes = |file: &PathBuf| {
        let mut bytes = Vec::new();
        std::fs::File::open(file)
            .and_then(|open| {
                std::io::Read::read_to_end(
                    &mut std::io::Read::take(open, FILE_BYTES_MAX),
                    &mut bytes,
                )
            })
            .map_err(|source| TlsError::Read { file: file.clone(), source })?;
        Ok::<_, TlsError>(bytes)
    };
    let parsed = |file: &PathBuf| {
        let file = file.clone();
        move |source| TlsError::Parse { file, source }
    };
    let (certificate, key) =
        (bytes(&files.certificate)?, zeroize::Zeroizing::new(bytes(&files.key)?));
    let mut hasher = blake3::Hasher::new();
    hasher.update(&certificate).update(&key);
    let chain = CertificateDer::pem_slice_iter(&certificate)
        .collect::<Result<Vec<_>, _>>()
        .map_err(parsed(&files.certificate))?;
    let secret = PrivateKeyDer::from_pem_slice(&key).map_err(parsed(&files.key))?;
    let pair = CertifiedKey::from_der(chain, secret, &aws_lc_rs::default_provider());
    Ok(Current { digest: hasher.finalize(), pair: Arc::new(pair.map_err(TlsError::Pair)?) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_self_made_pair_stays_and_a_broken_one_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let own = dir.path().join("tls");
        let names = || vec!["localhost".to_owned()];
        let first = Certificates::self_made(&own, names()).unwrap();
        let digest = |it: &Certificates| it.current.lock().unwrap().digest;
        let again = Certificates::self_made(&own, names()).unwrap();
        assert_eq!(digest(&first), digest(&again));
        assert!(!first.reload().unwrap());
        let mode = std::fs::metadata(own.join("key.pem")).unwrap();
        assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode.permissions()) & 0o777, 0o600);
        // Another certificate without its key: half of a renewal.
        let other = Certificates::self_made(&dir.path().join("other"), names()).unwrap();
        std::fs::copy(&other.files.certificate, &first.files.certificate).unwrap();
        assert!(matches!(first.reload(), Err(TlsError::Pair(_))));
        assert_eq!(digest(&first), digest(&again));
        std::fs::copy(&other.files.key, &first.files.key).unwrap();
        assert!(first.reload().unwrap());
        assert_eq!(digest(&first), digest(&other));
    }

    #[tokio::test]
    async fn new_connections_get_the_certificate_of_the_moment() {
        use tokio_rustls::{
            TlsConnector,
            rustls::{ClientConfig, RootCertStore, pki_types::ServerName},
        };
        let dir = tempfile::tempdir().unwrap();
        let names = || vec!["localhost".to_owned()];
        let own = Certificates::self_made(&dir.path().join("own"), names()).unwrap();
        let other = Certificates::self_made(&dir.path().join("other"), names()).unwrap();
        let acceptor = own.acceptor().unwrap();
        let trusts = async |whom: &Certificates| {
            let mut roots = RootCertStore::empty();
            roots.add(whom.current.lock().unwrap().pair.cert[0].clone()).unwrap();
            let provider = Arc::new(aws_lc_rs::default_provider());
            let config = ClientConfig::builder_with_provider(provider)
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_root_certificates(roots)
                .with_no_client_auth();
            let (near, far) = tokio::io::duplex(1 << 16);
            let connector = TlsConnector::from(Arc::new(config));
            let name = ServerName::try_from("localhost").unwrap();
            let (client, _) = tokio::join!(connector.connect(name, near), acceptor.accept(far));
            client.is_ok()
        };
        assert!(trusts(&own).await && !trusts(&other).await);
        std::fs::copy(&other.files.certificate, &own.files.certificate).unwrap();
        std::fs::copy(&other.files.key, &own.files.key).unwrap();
        let before = Certificates::load(TlsFiles { ..other.files.clone() }).unwrap();
        assert!(own.reload().unwrap());
        assert!(trusts(&before).await);
    }
}
