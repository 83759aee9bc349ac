//! Secrets that are shown once, and the digests that are kept of them.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom, SystemRandom};

/// SHA-256 of a secret: all that is kept of one.
pub type Digest = [u8; 32];

/// The text of a new token, cookie or link: 256 random bits in base64 for URLs, 43 characters. Shows itself to no log.
pub struct NewSecret(String);

impl NewSecret {
    /// Makes one by chance.
    pub fn random() -> Self {
        Self(URL_SAFE_NO_PAD.encode(random::<32>()))
    }

    /// Returns its text, for the one time that it is shown.
    pub fn text(&self) -> &str {
        &self.0
    }

    /// Returns what is kept of it.
    pub fn digest(&self) -> Digest {
        Self::digest_of(&self.0)
    }

    /// Returns what is kept of a secret with this text.
    pub fn digest_of(text: &str) -> Digest {
        // A fast hash does: 256 random bits are not found by trying. Short tokens of the settings have a guard of their own.
        let digest = digest(&SHA256, text.as_bytes());
        digest.as_ref().try_into().expect("sha-256 has 32 bytes")
    }
}

impl fmt::Debug for NewSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NewSecret(…)")
    }
}

/// Returns bytes by chance, from the operating system. Secrets alone are made of them, so no test needs to choose them.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).expect("Linux gives random bytes from early in the boot on");
    bytes
}

/// Writes bytes as hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads a digest of 64 hexadecimal digits.
pub(crate) fn digest_from_hex(text: &str) -> Option<Digest> {
    let mut digest = [0; 32];
    if text.len() != 64 || !text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    for (at, byte) in digest.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok()?;
    }
    Some(digest)
}
