//! The service's own certificate: made into the data directory, checked at each start, and renewed before its end.
//!
//! It is self-signed, so clients trust it by its very bytes. A damaged one must not be served, and a new one must not take its
//! place by itself: then all that pinned the old one would be cut off without a word. A renewed one keeps the key, by which it can be
//! pinned for good.

mod names;

use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, date_time_ymd};
use rustls::client::verify_server_name;
use rustls::pki_types::{PrivatePkcs8KeyDer, ServerName};
use rustls::server::ParsedCertificate;
use sha2::{Digest, Sha256};
use vagn_flow::rfc3339::rfc3339;

use super::tls::{Identity, TlsError, file_error};
use super::validity::Validity;
use names::names;

const CERT_FILE: &str = "cert.pem";
const KEY_FILE: &str = "key.pem";

/// Read and write for the owner alone.
const FILE_MODE: u32 = 0o600;

/// Begin of the line in the certificate's file with the SHA-256 of certificate and key. Readers of PEM pass over it.
const DIGEST_OF: &str = "SHA-256 of this certificate and its key: ";

/// Days for which a certificate is valid, from the day before it is made: what clients take at most.
const DAYS: i64 = 398;

/// Time before its end at which it is renewed, ms: 30 days, for clients that have to be given the new one.
const RENEW_BEFORE_MS: i64 = 30 * DAY_MS;

const DAY_MS: i64 = 24 * 3_600_000;

/// Last time that is written with a year of four digits, ms since 1970.
const LAST_MS: i64 = 253_402_300_799_000;

/// Names and time that a certificate is made for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Names and addresses that it must carry, besides those of this machine.
    pub names: Vec<String>,
    /// Present time, ms since 1970.
    pub now_ms: i64,
}

/// Returns the identity of this data directory, which is made at the first call. It stays the same until it is
/// [renewed](renew), but is made anew when it lacks a name that is wanted.
///
/// # Errors
/// When it cannot be made, written or read back, or is damaged.
pub fn of_data_dir(data_dir: &Path, wanted: &Wanted) -> Result<Identity, TlsError> {
    let files = OwnFiles::of(data_dir);
    if !files.cert.exists() || !files.key.exists() {
        // What is left of a pair goes aside: once the other half is found, it can be put back.
        for half in [&files.cert, &files.key].into_iter().filter(|path| path.exists()) {
            let kept = aside(half.clone())?;
            tracing::warn!(kept = %kept.display(), "one half of certificate and key was missing: both were made anew");
        }
        files.make(data_dir, wanted)?;
    }
    files.keep_private()?;
    let identity = files.load()?;
    match lacks(&identity, wanted) {
        Some(name) if files.is_own()? => {
            tracing::warn!(
                name,
                "the own certificate lacks a name and is made anew, with the same key; give it to its clients"
            );
            files.sign(data_dir, wanted)?;
            files.load()
        }
        _ => Ok(identity),
    }
}

/// Renews the identity of this data directory if its end is near, or it is not valid yet. `None`: it need not be, or an operator has
/// put it here. The time that is `wanted` must be one that can be believed.
///
/// # Errors
/// When it cannot be read or written.
pub fn renew(data_dir: &Path, wanted: &Wanted) -> Result<Option<Identity>, TlsError> {
    let files = OwnFiles::of(data_dir);
    let identity = files.load()?;
    let is_due = identity.validity().is_none_or(|Validity { begins_ms, ends_ms }| {
        wanted.now_ms < begins_ms || wanted.now_ms > ends_ms.saturating_sub(RENEW_BEFORE_MS)
    });
    if !is_due || !files.is_own()? {
        return Ok(None);
    }
    files.sign(data_dir, wanted)?;
    files.load().map(Some)
}

/// Returns a name that is wanted and not in the certificate.
fn lacks<'a>(identity: &Identity, wanted: &'a Wanted) -> Option<&'a String> {
    let certificate = ParsedCertificate::try_from(identity.certificate()).ok();
    wanted.names.iter().find(|name| {
        let name = ServerName::try_from(name.as_str());
        // What is no name of a server cannot be in any certificate.
        let (Ok(name), Some(certificate)) = (name, &certificate) else { return false };
        verify_server_name(certificate, &name).is_err()
    })
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
    let files = OwnFiles::of(data_dir);
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
    let files = OwnFiles::of(data_dir);
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
struct OwnFiles {
    cert: PathBuf,
    key: PathBuf,
}

impl OwnFiles {
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
    fn make(&self, data_dir: &Path, wanted: &Wanted) -> Result<(), TlsError> {
        let signing_key = KeyPair::generate()?;
        remove(&self.cert)?;
        write(&self.key, signing_key.serialize_pem().as_bytes(), FILE_MODE)?;
        sync_dir(data_dir)?;
        self.certify(&signing_key, data_dir, wanted)
    }

    /// Makes a certificate for the key that is there.
    fn sign(&self, data_dir: &Path, wanted: &Wanted) -> Result<(), TlsError> {
        let key = fs::read_to_string(&self.key).map_err(|source| file_error(&self.key, source))?;
        self.certify(&KeyPair::from_pem(&key)?, data_dir, wanted)
    }

    fn certify(&self, signing_key: &KeyPair, data_dir: &Path, wanted: &Wanted) -> Result<(), TlsError> {
        let cert = params(wanted)?.self_signed(signing_key)?;
        let key = PrivatePkcs8KeyDer::from(signing_key.serialized_der());
        let text = format!("{DIGEST_OF}{}\n{}", digest(cert.der(), key.secret_pkcs8_der()), cert.pem());
        write(&self.cert, text.as_bytes(), FILE_MODE)?;
        sync_dir(data_dir)
    }

    /// Returns true for a certificate that was made here. One that an operator has put here has no such line.
    fn is_own(&self) -> Result<bool, TlsError> {
        let text = fs::read_to_string(&self.cert).map_err(|source| file_error(&self.cert, source))?;
        Ok(text.lines().any(|line| line.starts_with(DIGEST_OF)))
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

fn params(wanted: &Wanted) -> Result<CertificateParams, TlsError> {
    let mut params = CertificateParams::new(names(&wanted.names))?;
    // Without the name that the library would put in.
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "Vagn, self-signed");
    // From the day before: the clocks of clients differ.
    let (year, month, date) = day(wanted.now_ms - DAY_MS);
    params.not_before = date_time_ymd(year, month, date);
    let (year, month, date) = day(wanted.now_ms + (DAYS - 1) * DAY_MS);
    params.not_after = date_time_ymd(year, month, date);
    Ok(params)
}

/// Returns year, month and day of a time.
fn day(time_ms: i64) -> (i32, u8, u8) {
    let text = rfc3339(time_ms.clamp(0, LAST_MS));
    let mut numbers = text.splitn(3, '-').map(leading);
    let mut next = || numbers.next().unwrap_or(1);
    (next() as i32, next() as u8, next() as u8)
}

/// Returns the number with which a text begins.
fn leading(text: &str) -> u32 {
    let digits = text.bytes().take_while(u8::is_ascii_digit);
    digits.fold(0, |number, digit| number * 10 + u32::from(digit - b'0'))
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

    const NOW_MS: i64 = 1_795_860_000_000;

    fn wanted(names: &[&str], days_later: i64) -> Wanted {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        Wanted { names, now_ms: NOW_MS + days_later * DAY_MS }
    }

    fn of_data_dir(dir: &Path) -> Result<Identity, TlsError> {
        super::of_data_dir(dir, &wanted(&[], 0))
    }

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
    fn it_ends_after_398_days_and_is_renewed_before_with_the_same_key() {
        let dir = tempfile::tempdir().unwrap();
        let first = of_data_dir(dir.path()).unwrap();
        let Validity { begins_ms, ends_ms } = first.validity().unwrap();
        assert_eq!((ends_ms - begins_ms) / DAY_MS, DAYS);
        assert!((NOW_MS - 2 * DAY_MS..NOW_MS).contains(&begins_ms));
        let renewed = |days| renew(dir.path(), &wanted(&[], days)).unwrap();
        assert!(renewed(0).is_none() && renewed(360).is_none());
        let second = renewed(368).expect("its end is near");
        assert_ne!(second.certificate(), first.certificate());
        assert_eq!(second.key(), first.key());
        assert!(second.validity().unwrap().ends_ms > ends_ms);
        assert_eq!(of_data_dir(dir.path()).unwrap().certificate(), second.certificate());
        assert!(renewed(368).is_none());
        assert!(renewed(-400).is_some(), "one that was made under a clock far ahead is not valid yet");
    }

    #[test]
    fn it_carries_the_names_that_are_wanted_and_is_made_anew_for_a_further_one() {
        let dir = tempfile::tempdir().unwrap();
        let with = |names: &[&str]| super::of_data_dir(dir.path(), &wanted(names, 0)).unwrap();
        let first = with(&[]);
        assert!(lacks(&first, &wanted(&["localhost", "127.0.0.1", "::1"], 0)).is_none());
        let second = with(&["fleet.example", "192.0.2.7"]);
        assert_ne!(second.certificate(), first.certificate());
        assert_eq!(second.key(), first.key());
        assert!(lacks(&second, &wanted(&["fleet.example", "192.0.2.7", "localhost"], 0)).is_none());
        assert!(lacks(&second, &wanted(&["other.example"], 0)).is_some());
        assert_eq!(with(&["fleet.example"]).certificate(), second.certificate());
    }

    #[test]
    fn one_that_an_operator_has_put_there_is_left_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let made = of_data_dir(dir.path()).unwrap();
        let path = dir.path().join(CERT_FILE);
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text.split_once('\n').unwrap().1).unwrap();
        assert!(renew(dir.path(), &wanted(&[], 390)).unwrap().is_none());
        let same = super::of_data_dir(dir.path(), &wanted(&["fleet.example"], 0)).unwrap();
        assert_eq!(same.certificate(), made.certificate());
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
