//! Secrets of devices, wrapped by a key from a file: ChaCha20-Poly1305 (RFC 8439), with a random nonce for each.
//!
//! Form in base64: nonce (12 bytes), then ciphertext with tag (32 + 16). Kind, key and epoch of the object are associated
//! data, so a wrapped secret that is moved to another object is not unwrapped.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

use crate::Kind;
use crate::secret::random;

/// Key that wraps secrets.
pub(crate) struct Wrapping(LessSafeKey);

/// Place of a secret.
#[derive(Clone, Copy)]
pub(crate) struct SecretAt<'a> {
    pub(crate) kind: Kind,
    pub(crate) key: &'a str,
    pub(crate) epoch: u8,
}

impl Wrapping {
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        Self(LessSafeKey::new(
            UnboundKey::new(&CHACHA20_POLY1305, key).expect("the key has the length of the algorithm"),
        ))
    }

    pub(crate) fn wrap(&self, secret: &[u8], at: SecretAt<'_>) -> String {
        let nonce = random::<NONCE_LEN>();
        let mut sealed = secret.to_vec();
        self.0
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), at.aad(), &mut sealed)
            .expect("a secret is far shorter than the algorithm allows");
        STANDARD.encode([&nonce[..], &sealed].concat())
    }

    /// Returns the secret; `None` when the text is not one that this key wrapped for this place.
    pub(crate) fn unwrap(&self, text: &str, at: SecretAt<'_>) -> Option<Vec<u8>> {
        let mut bytes = STANDARD.decode(text).ok()?;
        let (nonce, sealed) = bytes.split_at_mut_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        self.0.open_in_place(nonce, at.aad(), sealed).ok().map(|secret| secret.to_vec())
    }
}

impl SecretAt<'_> {
    fn aad(self) -> Aad<Vec<u8>> {
        let mut data = Vec::with_capacity(2 + self.key.len());
        data.extend([self.kind.number(), self.epoch]);
        data.extend_from_slice(self.key.as_bytes());
        Aad::from(data)
    }
}

impl fmt::Debug for Wrapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wrapping(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: SecretAt<'_> = SecretAt { kind: Kind::Device, key: "0011223344556677", epoch: 1 };

    #[test]
    fn gives_back_what_it_wrapped_for_the_same_place_only() {
        let wrapping = Wrapping::new(&[7; 32]);
        let text = wrapping.wrap(&[9; 32], AT);
        assert_eq!(wrapping.unwrap(&text, AT).as_deref(), Some(&[9; 32][..]));
        assert_eq!(wrapping.unwrap(&text, SecretAt { epoch: 2, ..AT }), None);
        assert_eq!(wrapping.unwrap(&text, SecretAt { key: "0011223344556678", ..AT }), None);
        assert_eq!(wrapping.unwrap(&text, SecretAt { kind: Kind::Token, ..AT }), None);
        assert_eq!(Wrapping::new(&[8; 32]).unwrap(&text, AT), None);
    }

    #[test]
    fn unwraps_nothing_that_was_damaged() {
        let wrapping = Wrapping::new(&[7; 32]);
        let text = wrapping.wrap(&[9; 32], AT);
        for at in 0..text.len() {
            let mut damaged = text.clone().into_bytes();
            damaged[at] ^= 1;
            let damaged = String::from_utf8(damaged).unwrap();
            assert_eq!(wrapping.unwrap(&damaged, AT), None, "at {at}");
            assert_eq!(wrapping.unwrap(&text[..at], AT), None, "cut at {at}");
        }
    }
}
