//! The service's own certificate: made once into the data directory, and checked at each start.
//!
//! It is self-signed, so clients trust it by its very bytes. A damaged one must not be served, and a new one must not take its
//! place by itself: then all that pinned the old one would be cut off without a word.

use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;
use sha2::{Digest, Sha256};

use super::tls::{Identity, TlsError, file_error};

const CERT_FILE: &str = "cert.pem";
const KEY_FILE: &str = "key.pem";

/// Read and write for the owner alone.
const FILE_MODE: u32 = 0o600;

/// Begin of the line in the certificate's file with the SHA-256 of certificate and key. Readers of PEM pass over it.
const DIGEST_OF: &str = "SHA-256 of this certificate and its key: ";

/// Returns the identity of this data directory, which is made at the first call and stays the same.
///
/// # Errors
/// When it cannot be made, written or read back, or is damaged.
pub fn of_data_dir(data_dir: &Path) -> Result<Identity, TlsError> {
    let files = Files::of(data_dir);
    let (has_cert, has_key) = (files.cert.exists(), files.key.exists());
    if !has_cert || !has_key {
        // What is left of a pair goes aside: once the other half is found, it can be put back.
        for half in [&files.cert, &files.key].into_iter().filter(|path| path.exists()) {
            let kept = aside(half.clone())?;
            tracing::warn!(kept = %kept.display(), "one half of certificate and key was missing: both were made anew");
        }
        files.make(data_dir)?;
    }
    files.keep_private()?;
    files.load()
}

/// A certificate and key that were moved aside.
#[derive(Debug)]
pub struct SetAside {
    /// Reason why they cannot be used.
    pub why: TlsError,
    /// The new names.
    pub moved_to: Vec<PathBuf>,
}

/// Returns the reason why the identity of this data directory cannot be used. `None`: it can be used, or there is none.
pub fn damage(data_dir: &Path) -> Option<TlsError> {
    let files = Files::of(data_dir);
    if !files.cert.exists() || !files.key.exists() {
        return None;
    }
    files.load().err()
}

/// Moves the identity of this data directory aside if it cannot be used, so that the next start makes a new one. `None`:
/// it can be used, or there is none.
///
/// # Errors
/// When a file cannot be renamed.
pub fn set_aside(data_dir: &Path) -> Result<Option<SetAside>, TlsError> {
    let Some(why) = damage(data_dir) else { return Ok(None) };
    let files = Files::of(data_dir);
    // The certificate first: wherever this is cut off, the next start makes both anew.
    let moved_to = [files.cert, files.key].into_iter().map(aside).collect::<Result<_, _>>()?;
    sync_dir(data_dir)?;
    Ok(Some(SetAside { why, moved_to }))
}

fn aside(path: PathBuf) -> Result<PathBuf, TlsError> {
    let plain = path.with_extension("pem.damaged");
    let numbered = (1..).map(|number| path.with_extension(format!("pem.{number}.damaged")));
    let mut names = [plain].into_iter().chain(numbered);
    let free = names.find(|name| name.symlink_metadata().is_err()).expect("there are numbers enough");
    fs::rename(&path, &free).map_err(|source| file_error(&path, source))?;
    Ok(free)
}

/// Paths of the identity.
struct Files {
    cert: PathBuf,
    key: PathBuf,
}

impl Files {
    fn of(data_dir: &Path) -> Self {
        Self { cert: data_dir.join(CERT_FILE), key: data_dir.join(KEY_FILE) }
    }

    fn load(&self) -> Result<Identity, TlsError> {
        let identity = Identity::load(&self.cert, &self.key)?;
        identity.server_config(&[])?;
        let text = fs::read_to_string(&self.cert).map_err(|source| file_error(&self.cert, source))?;
        let noted = text.lines().find_map(|line| line.strip_prefix(DIGEST_OF));
        let found = digest(identity.certificate(), identity.key().secret_der());
        // A certificate that an operator has put here has no such line.
        if noted.is_some_and(|noted| noted != found) {
            return Err(TlsError::Changed { cert: self.cert.clone(), key: self.key.clone() });
        }
        Ok(identity)
    }

    /// Makes the key first, and leaves no old certificate beside a new key: wherever this is cut off, one of the two is
    /// missing and the next start makes both anew.
    fn make(&self, data_dir: &Path) -> Result<(), TlsError> {
        let signing_key = KeyPair::generate()?;
        let cert = params()?.self_signed(&signing_key)?;
        remove(&self.cert)?;
        write(&self.key, signing_key.serialize_pem().as_bytes(), FILE_MODE)?;
        sync_dir(data_dir)?;
        let key = PrivatePkcs8KeyDer::from(signing_key.serialized_der());
        let text = format!("{DIGEST_OF}{}\n{}", digest(cert.der(), key.secret_pkcs8_der()), cert.pem());
        write(&self.cert, text.as_bytes(), FILE_MODE)?;
        sync_dir(data_dir)
    }

    fn keep_private(&self) -> Result<(), TlsError> {
        let metadata = fs::metadata(&self.key).map_err(|source| file_error(&self.key, source))?;
        let mode = metadata.permissions().mode() & 0o777;
        if mode & !FILE_MODE == 0 {
            return Ok(());
        }
        tracing::warn!(file = %self.key.display(), mode = format!("{mode:o}"), "others could read the private key; now 0600");
        let changed = fs::set_permissions(&self.key, Permissions::from_mode(FILE_MODE));
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

fn digest(cert: &[u8], key: &[u8]) -> String {
    let digest = Sha256::new().chain_update(cert).chain_update(key).finalize();
    digest.iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("a string takes all that is written");
        hex
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn is_made_once_and_stays_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let first = of_data_dir(dir.path()).unwrap();
        let again = of_data_dir(dir.path()).unwrap();
        assert_eq!(first.certificate(), again.certificate());
        assert_eq!((mode(&dir.path().join("key.pem")), mode(&dir.path().join("cert.pem"))), (0o600, 0o600));
    }

    #[test]
    fn makes_a_key_private_that_others_could_read() {
        let dir = tempfile::tempdir().unwrap();
        let first = of_data_dir(dir.path()).unwrap();
        let key = dir.path().join("key.pem");
        fs::set_permissions(&key, Permissions::from_mode(0o644)).unwrap();
        let again = of_data_dir(dir.path()).unwrap();
        assert_eq!(first.certificate(), again.certificate());
        assert_eq!(mode(&key), 0o600);
    }

    #[test]
    fn a_half_made_pair_is_made_anew() {
        for missing in ["cert.pem", "key.pem"] {
            let dir = tempfile::tempdir().unwrap();
            let first = of_data_dir(dir.path()).unwrap();
            fs::write(dir.path().join("key.new"), "cut off").unwrap();
            fs::remove_file(dir.path().join(missing)).unwrap();
            let again = of_data_dir(dir.path()).unwrap();
            assert_ne!(first.certificate(), again.certificate(), "without {missing}");
            assert!(again.server_config(&[]).is_ok(), "without {missing}");
            let other = if missing == "cert.pem" { "key.pem" } else { "cert.pem" };
            assert!(dir.path().join(format!("{other}.damaged")).exists(), "{other} is kept");
        }
    }

    /// Changes a bit of every byte of a file in turn, and checks that each change is harmless or named.
    fn flip_in_every_byte(name: &str) {
        let dir = tempfile::tempdir().unwrap();
        let made = of_data_dir(dir.path()).unwrap();
        let path = dir.path().join(name);
        let whole = fs::read(&path).unwrap();
        let mut refused = 0;
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << (at % 8);
            fs::write(&path, &bytes).unwrap();
            match of_data_dir(dir.path()) {
                Ok(identity) => {
                    assert_eq!(identity.certificate(), made.certificate(), "{name}, byte {at}");
                    assert_eq!(identity.key(), made.key(), "{name}, byte {at}");
                }
                Err(err) => {
                    refused += 1;
                    assert!(err.to_string().contains(name), "{name}, byte {at}: {err}");
                }
            }
        }
        assert!(refused * 2 > whole.len(), "{refused} refused");
    }

    #[test]
    fn a_flipped_bit_is_harmless_or_named() {
        flip_in_every_byte(CERT_FILE);
        flip_in_every_byte(KEY_FILE);
    }

    #[test]
    fn what_cannot_be_used_is_set_aside_under_a_free_name_and_made_anew() {
        let dir = tempfile::tempdir().unwrap();
        let first = of_data_dir(dir.path()).unwrap();
        assert!(set_aside(dir.path()).unwrap().is_none());
        for expected in ["cert.pem.damaged", "cert.pem.1.damaged", "cert.pem.2.damaged"] {
            fs::write(dir.path().join(CERT_FILE), "").unwrap();
            assert!(of_data_dir(dir.path()).is_err());
            let aside = set_aside(dir.path()).unwrap().unwrap();
            assert!(aside.moved_to[0].ends_with(expected), "{aside:?}");
            assert!(set_aside(dir.path()).unwrap().is_none());
            assert_ne!(of_data_dir(dir.path()).unwrap().certificate(), first.certificate());
        }
    }

    #[test]
    fn a_key_of_another_directory_is_refused() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        of_data_dir(one.path()).unwrap();
        of_data_dir(other.path()).unwrap();
        fs::copy(other.path().join(KEY_FILE), one.path().join(KEY_FILE)).unwrap();
        assert!(matches!(of_data_dir(one.path()), Err(TlsError::Pair { .. })));
    }
}
