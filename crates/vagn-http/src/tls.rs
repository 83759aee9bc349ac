//! The certificate of the TCP door and the API, as it is read from its files and served.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::RwLock;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};

use super::validity::Validity;

/// Failure to get a certificate to serve with.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read or written.
    #[error("cannot read or write {}", path.display())]
    File {
        /// Path of the file.
        path: PathBuf,
        /// Error of the system.
        source: io::Error,
    },
    /// A file is not what its name says.
    #[error("{} holds no usable PEM", path.display())]
    Pem {
        /// Path of the file.
        path: PathBuf,
        /// Fault in its text.
        source: pem::Error,
    },
    /// The self-signed certificate could not be made.
    #[error("cannot make a certificate")]
    Make(#[from] rcgen::Error),
    /// Certificate and key do not go together, or are of a kind that cannot be used.
    #[error("certificate {} and key {} cannot be used together", cert.display(), key.display())]
    Pair {
        /// File of the certificate.
        cert: PathBuf,
        /// File of the key.
        key: PathBuf,
        /// Reason of the refusal.
        source: rustls::Error,
    },
    /// Certificate or key are not the ones that were made.
    #[error("{} or {} was changed since they were made", cert.display(), key.display())]
    Changed {
        /// File of the certificate.
        cert: PathBuf,
        /// File of the key.
        key: PathBuf,
    },
}

/// A certificate chain with its private key. All that serve it get a newer one when it is [replaced](Identity::replace).
#[derive(Debug)]
pub struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    files: PemFiles,
    served: Arc<Served>,
}

/// The certificate that clients are shown. Connections that begin later get a newer one; those that have begun keep theirs.
#[derive(Debug, Default)]
struct Served(RwLock<Option<Arc<CertifiedKey>>>);

impl ResolvesServerCert for Served {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.read().clone()
    }
}

/// Paths of a certificate chain and its key.
#[derive(Debug, Clone)]
struct PemFiles {
    cert: PathBuf,
    key: PathBuf,
}

impl Identity {
    /// Reads the identity from two PEM files.
    ///
    /// # Errors
    /// When a file cannot be read or holds something else.
    pub fn load(cert: &Path, key: &Path) -> Result<Self, TlsError> {
        PemFiles { cert: cert.into(), key: key.into() }.load()
    }

    /// Sets up the server's side of TLS 1.2 and 1.3, which offers `protocols` (ALPN, in order of preference; may be empty).
    ///
    /// # Errors
    /// When certificate and key do not go together.
    pub fn server_config(&self, protocols: &[&[u8]]) -> Result<Arc<ServerConfig>, TlsError> {
        let own = self.certified()?;
        self.served.0.write().get_or_insert(own);
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&TLS13, &TLS12])
            .map_err(|source| self.unfit(source))?;
        let mut config = config.with_no_client_auth().with_cert_resolver(self.served.clone());
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        Ok(Arc::new(config))
    }

    /// Serves `newer` from here on, to connections that begin later. Returns false when that is what is served already.
    ///
    /// # Errors
    /// When its certificate and key do not go together; all stays as it is then.
    pub fn replace(&self, newer: &Identity) -> Result<bool, TlsError> {
        let newer = newer.certified()?;
        let mut served = self.served.0.write();
        let is_new = served.as_ref().is_none_or(|served| served.cert != newer.cert);
        *served = Some(newer);
        Ok(is_new)
    }

    /// Returns the time for which the certificate that is served is valid; `None` when it cannot be read.
    pub fn validity(&self) -> Option<Validity> {
        let served = self.served.0.read();
        let first = served.as_ref().and_then(|served| served.cert.first());
        Validity::of(first.unwrap_or(&self.chain[0]))
    }

    fn certified(&self) -> Result<Arc<CertifiedKey>, TlsError> {
        let certified =
            CertifiedKey::from_der(self.chain.clone(), self.key.clone_key(), &ring::default_provider());
        certified.map(Arc::new).map_err(|source| self.unfit(source))
    }

    fn unfit(&self, source: rustls::Error) -> TlsError {
        let PemFiles { cert, key } = self.files.clone();
        TlsError::Pair { cert, key, source }
    }

    /// Returns the private key.
    pub(crate) fn key(&self) -> &PrivateKeyDer<'static> {
        &self.key
    }

    /// Returns the first certificate of the chain, in DER, which clients pin.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.chain[0]
    }
}

impl PemFiles {
    fn load(self) -> Result<Identity, TlsError> {
        let text = read(&self.cert)?;
        let chain: Vec<_> = CertificateDer::pem_slice_iter(&text)
            .collect::<Result<_, _>>()
            .map_err(|source| not_pem(&self.cert, source))?;
        if chain.is_empty() {
            return Err(not_pem(&self.cert, pem::Error::NoItemsFound));
        }
        let key = PrivateKeyDer::from_pem_slice(&read(&self.key)?);
        let key = key.map_err(|source| not_pem(&self.key, source))?;
        Ok(Identity { chain, key, files: self, served: Arc::default() })
    }
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|source| file_error(path, source))
}

pub(crate) fn file_error(path: &Path, source: io::Error) -> TlsError {
    TlsError::File { path: path.into(), source }
}

fn not_pem(path: &Path, source: pem::Error) -> TlsError {
    TlsError::Pem { path: path.into(), source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::own_certificate::{Wanted, of_data_dir as made_for};

    fn of_data_dir(dir: &Path) -> Result<Identity, TlsError> {
        made_for(dir, &Wanted { names: Vec::new(), now_ms: 1_795_860_000_000 })
    }

    #[test]
    fn serves_a_configured_pair_and_names_a_file_without_pem() {
        let dir = tempfile::tempdir().unwrap();
        let made = of_data_dir(dir.path()).unwrap();
        let (cert, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
        assert_eq!(Identity::load(&cert, &key).unwrap().certificate(), made.certificate());
        for (cert, key, wrong) in [(&key, &key, "key.pem"), (&cert, &cert, "cert.pem")] {
            let said = Identity::load(cert, key).unwrap_err().to_string();
            assert!(said.contains(wrong), "{said}");
        }
        let gone = Identity::load(&dir.path().join("gone.pem"), &key).unwrap_err().to_string();
        assert!(gone.contains("gone.pem"), "{gone}");
    }

    #[test]
    fn a_key_of_another_certificate_is_refused() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        of_data_dir(one.path()).unwrap();
        of_data_dir(other.path()).unwrap();
        let mixed = Identity::load(&one.path().join("cert.pem"), &other.path().join("key.pem")).unwrap();
        assert!(matches!(mixed.server_config(&[]), Err(TlsError::Pair { .. })));
    }

    #[test]
    fn what_is_served_is_replaced_by_a_whole_pair_and_by_nothing_else() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let first = of_data_dir(one.path()).unwrap();
        let newer = of_data_dir(other.path()).unwrap();
        first.server_config(&[]).unwrap();
        let served = || first.served.0.read().as_ref().unwrap().cert[0].clone();
        assert_eq!((&served(), first.replace(&first).unwrap()), (first.certificate(), false));
        let mixed = Identity::load(&one.path().join("cert.pem"), &other.path().join("key.pem")).unwrap();
        assert!(first.replace(&mixed).is_err());
        assert_eq!(&served(), first.certificate());
        assert!(first.replace(&newer).unwrap());
        assert_eq!(&served(), newer.certificate());
        first.server_config(&[]).unwrap();
        assert_eq!(&served(), newer.certificate(), "a part that is started again serves the newer one");
    }

    #[test]
    fn offers_the_protocols_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let config = of_data_dir(dir.path()).unwrap().server_config(&[b"h2", b"http/1.1"]).unwrap();
        assert_eq!(config.alpn_protocols, [b"h2".to_vec(), b"http/1.1".to_vec()]);
    }
}
