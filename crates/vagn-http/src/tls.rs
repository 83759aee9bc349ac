//! The certificate of the TCP door and the API: made once into the data directory, or read from the configured files.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::version::{TLS12, TLS13};

const CERT_FILE: &str = "cert.pem";
const KEY_FILE: &str = "key.pem";

/// Read and write for the owner alone.
const KEY_MODE: u32 = 0o600;

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
}

/// A certificate chain with its private key.
#[derive(Debug)]
pub struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    files: Files,
}

#[derive(Debug, Clone)]
struct Files {
    cert: PathBuf,
    key: PathBuf,
}

impl Identity {
    /// Reads the identity from two PEM files.
    ///
    /// # Errors
    /// When a file cannot be read or holds something else.
    pub fn load(cert: &Path, key: &Path) -> Result<Self, TlsError> {
        Files { cert: cert.into(), key: key.into() }.load()
    }

    /// Returns the self-signed identity of this data directory, which is made at the first call and stays the same.
    ///
    /// # Errors
    /// When it cannot be made, written or read back.
    pub fn of_data_dir(data_dir: &Path) -> Result<Self, TlsError> {
        let files = Files { cert: data_dir.join(CERT_FILE), key: data_dir.join(KEY_FILE) };
        if !files.cert.exists() || !files.key.exists() {
            files.make(data_dir)?;
        }
        files.keep_private()?;
        files.load()
    }

    /// Sets up the server's side of TLS 1.2 and 1.3, which offers `protocols` (ALPN, in order of preference; may be empty).
    ///
    /// # Errors
    /// When certificate and key do not go together.
    pub fn server_config(&self, protocols: &[&[u8]]) -> Result<Arc<ServerConfig>, TlsError> {
        let Files { cert, key } = &self.files;
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&TLS13, &TLS12])
            .map(|builder| builder.with_no_client_auth())
            .and_then(|builder| builder.with_single_cert(self.chain.clone(), self.key.clone_key()));
        let mut config =
            config.map_err(|source| TlsError::Pair { cert: cert.clone(), key: key.clone(), source })?;
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        Ok(Arc::new(config))
    }

    /// First certificate of the chain, in DER, which clients pin.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.chain[0]
    }
}

impl Files {
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
        Ok(Identity { chain, key, files: self })
    }

    /// Makes the key first, and leaves no old certificate beside a new key: wherever this is cut off, one of the two is
    /// missing and the next start makes both anew.
    fn make(&self, data_dir: &Path) -> Result<(), TlsError> {
        let signing_key = KeyPair::generate()?;
        let cert = params()?.self_signed(&signing_key)?;
        remove(&self.cert)?;
        write(&self.key, signing_key.serialize_pem().as_bytes(), KEY_MODE)?;
        sync_dir(data_dir)?;
        write(&self.cert, cert.pem().as_bytes(), 0o644)?;
        sync_dir(data_dir)
    }

    fn keep_private(&self) -> Result<(), TlsError> {
        let metadata = fs::metadata(&self.key).map_err(|source| file_error(&self.key, source))?;
        let mode = metadata.permissions().mode() & 0o777;
        if mode & !KEY_MODE == 0 {
            return Ok(());
        }
        tracing::warn!(file = %self.key.display(), mode = format!("{mode:o}"), "others could read the private key; now 0600");
        let changed = fs::set_permissions(&self.key, Permissions::from_mode(KEY_MODE));
        changed.map_err(|source| file_error(&self.key, source))
    }
}

fn params() -> Result<CertificateParams, TlsError> {
    let mut params = CertificateParams::new(names())?;
    // Without the name that the library would put in.
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "Vagn, self-signed");
    Ok(params)
}

/// Names that clients on this machine and its network use for it.
fn names() -> Vec<String> {
    let mut names: Vec<String> = ["localhost", "127.0.0.1", "::1"].map(String::from).into();
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = host.trim();
    // A name with other characters would make the whole certificate fail.
    let plain = host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'));
    if plain && !host.is_empty() && host != "localhost" {
        names.push(host.to_owned());
    }
    names
}

/// Writes a file as a whole or not at all: aside, synced, then renamed.
fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<(), TlsError> {
    let aside = path.with_extension("new");
    remove(&aside)?;
    let written = write_new(&aside, bytes, mode).and_then(|()| fs::rename(&aside, path));
    written.map_err(|source| file_error(path, source))
}

fn write_new(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    // The mode is that of the creation: at no time can others read the key.
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|source| file_error(path, source))
}

fn remove(path: &Path) -> Result<(), TlsError> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(file_error(path, source)),
        _ => Ok(()),
    }
}

fn sync_dir(path: &Path) -> Result<(), TlsError> {
    let synced = File::open(path).and_then(|dir| dir.sync_all());
    synced.map_err(|source| file_error(path, source))
}

fn file_error(path: &Path, source: io::Error) -> TlsError {
    TlsError::File { path: path.into(), source }
}

fn not_pem(path: &Path, source: pem::Error) -> TlsError {
    TlsError::Pem { path: path.into(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn is_made_once_and_stays_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let first = Identity::of_data_dir(dir.path()).unwrap();
        let again = Identity::of_data_dir(dir.path()).unwrap();
        assert_eq!(first.certificate(), again.certificate());
        assert_eq!(mode(&dir.path().join("key.pem")), 0o600);
    }

    #[test]
    fn makes_a_key_private_that_others_could_read() {
        let dir = tempfile::tempdir().unwrap();
        let first = Identity::of_data_dir(dir.path()).unwrap();
        let key = dir.path().join("key.pem");
        fs::set_permissions(&key, Permissions::from_mode(0o644)).unwrap();
        let again = Identity::of_data_dir(dir.path()).unwrap();
        assert_eq!(first.certificate(), again.certificate());
        assert_eq!(mode(&key), 0o600);
    }

    #[test]
    fn a_half_made_pair_is_made_anew() {
        for missing in ["cert.pem", "key.pem"] {
            let dir = tempfile::tempdir().unwrap();
            let first = Identity::of_data_dir(dir.path()).unwrap();
            fs::write(dir.path().join("key.new"), "cut off").unwrap();
            fs::remove_file(dir.path().join(missing)).unwrap();
            let again = Identity::of_data_dir(dir.path()).unwrap();
            assert_ne!(first.certificate(), again.certificate(), "without {missing}");
            assert!(again.server_config(&[]).is_ok(), "without {missing}");
        }
    }

    #[test]
    fn serves_a_configured_pair_and_names_a_file_without_pem() {
        let dir = tempfile::tempdir().unwrap();
        let made = Identity::of_data_dir(dir.path()).unwrap();
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
        Identity::of_data_dir(one.path()).unwrap();
        Identity::of_data_dir(other.path()).unwrap();
        let mixed = Identity::load(&one.path().join("cert.pem"), &other.path().join("key.pem")).unwrap();
        assert!(matches!(mixed.server_config(&[]), Err(TlsError::Pair { .. })));
    }

    #[test]
    fn offers_the_protocols_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let config = Identity::of_data_dir(dir.path()).unwrap().server_config(&[b"h2", b"http/1.1"]).unwrap();
        assert_eq!(config.alpn_protocols, [b"h2".to_vec(), b"http/1.1".to_vec()]);
    }
}
