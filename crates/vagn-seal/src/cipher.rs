//! What is done with a secret: keys of both directions are derived, reports are sealed and opened.

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, KeyType, Salt};
use zeroize::Zeroize;

use crate::envelope::TAG_LEN;
use crate::{Epoch, KeyId, Secret};

/// Length of the key of a direction.
const KEY_LEN: usize = 32;

/// Length of the part of a nonce that is not the sequence.
const SALT_LEN: usize = 4;

/// The way of an envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    /// Reports, to the service.
    Up,
    /// Answers, from it.
    Down,
}

/// Key and nonce salt of one direction. Shows itself to no log.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct DirectionKey {
    pub(crate) key: [u8; KEY_LEN],
    pub(crate) salt: [u8; SALT_LEN],
}

impl DirectionKey {
    /// Derives the key of a direction from the secret of an epoch.
    pub(crate) fn derive(key_id: KeyId, epoch: Epoch, secret: &Secret, direction: Direction) -> Self {
        let mut salt = [0; 9];
        salt[..8].copy_from_slice(&key_id.0);
        salt[8] = epoch.get();
        let info: &[u8] = match direction {
            Direction::Up => b"vagn/1 up",
            Direction::Down => b"vagn/1 down",
        };
        let mut bytes = [0; KEY_LEN + SALT_LEN];
        let pseudorandom = Salt::new(HKDF_SHA256, &salt).extract(&secret.0);
        pseudorandom
            .expand(&[info], DerivedLen)
            .and_then(|derived| derived.fill(&mut bytes))
            .expect("hkdf gives as many as 8160 bytes");
        let (key, salt) = bytes.split_first_chunk().expect("36 bytes begin with 32");
        let derived = Self { key: *key, salt: salt.try_into().expect("4 of 36 bytes are left") };
        bytes.zeroize();
        derived
    }

    /// Appends the sealed reports and their tag to `out`; the tag covers `aad` too.
    pub(crate) fn seal(&self, sequence: u64, aad: &[u8], reports: &[u8], out: &mut Vec<u8>) {
        let begin = out.len();
        out.extend_from_slice(reports);
        let tag = self
            .cipher()
            .seal_in_place_separate_tag(self.nonce(sequence), Aad::from(aad), &mut out[begin..])
            .expect("a datagram is far below the limit of 256 GiB");
        out.extend_from_slice(tag.as_ref());
    }

    /// Opens sealed reports into `buffer`, from its beginning; false, and an empty buffer, when the tag is wrong.
    pub(crate) fn open(&self, sequence: u64, aad: &[u8], sealed: &[u8], buffer: &mut Vec<u8>) -> bool {
        buffer.clear();
        buffer.extend_from_slice(sealed);
        let opened = self.cipher().open_in_place(self.nonce(sequence), Aad::from(aad), buffer).is_ok();
        buffer.truncate(if opened { sealed.len() - TAG_LEN } else { 0 });
        opened
    }

    fn cipher(&self) -> LessSafeKey {
        LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, &self.key).expect("a key has 32 bytes"))
    }

    fn nonce(&self, sequence: u64) -> Nonce {
        let mut nonce = [0; SALT_LEN + 8];
        nonce[..SALT_LEN].copy_from_slice(&self.salt);
        nonce[SALT_LEN..].copy_from_slice(&sequence.to_be_bytes());
        Nonce::assume_unique_for_key(nonce)
    }
}

impl Drop for DirectionKey {
    fn drop(&mut self) {
        self.key.zeroize();
        self.salt.zeroize();
    }
}

struct DerivedLen;

impl KeyType for DerivedLen {
    fn len(&self) -> usize {
        KEY_LEN + SALT_LEN
    }
}
