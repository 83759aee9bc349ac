//! Ids, secrets and epochs of keys.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroize;

/// Id of a key: 8 random bytes, written as 16 hexadecimal digits. It is not the id of a vehicle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId(pub [u8; 8]);

/// Secret of a device: 32 bytes, written in base64. Shows itself to no log.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub [u8; 32]);

/// Number of the secret under a key id, 0 to 15.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Epoch(u8);

/// The text names no key, secret or epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotAKey(pub &'static str);

impl Epoch {
    /// The first one of a key.
    pub const FIRST: Self = Self(0);

    /// Accepts a number from 0 to 15.
    pub fn new(number: u8) -> Option<Self> {
        (number < 16).then_some(Self(number))
    }

    /// Returns the number.
    pub fn get(self) -> u8 {
        self.0
    }

    /// Returns the next one; `None` after the last, when a new key id is needed.
    pub fn next(self) -> Option<Self> {
        Self::new(self.0 + 1)
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for KeyId {
    type Err = NotAKey;

    fn from_str(text: &str) -> Result<Self, NotAKey> {
        let number =
            u64::from_str_radix(text, 16).ok().filter(|_| text.len() == 16 && !text.starts_with('+'));
        number.map(|number| Self(number.to_be_bytes())).ok_or(NotAKey("a key id has 16 hexadecimal digits"))
    }
}

impl Secret {
    /// Returns the secret in base64, for the one time that it is shown.
    pub fn to_base64(&self) -> String {
        STANDARD.encode(self.0)
    }

    /// Reads a secret in base64.
    ///
    /// # Errors
    /// The text is not 32 bytes in base64.
    pub fn from_base64(text: &str) -> Result<Self, NotAKey> {
        let mut bytes = STANDARD.decode(text).unwrap_or_default();
        let secret = <[u8; 32]>::try_from(bytes.as_slice()).map(Self);
        bytes.zeroize();
        secret.map_err(|_| NotAKey("a secret is 32 bytes in base64"))
    }
}
