//! The hash by which a file of the census knows a vehicle. The hash of a [`Key`] will not do: ids that collide with that of a known
//! vehicle are easily found, and each of them would be taken for it.

use std::hash::Hasher;
#[expect(deprecated, reason = "the standard library has no other keyed hash whose key can be kept")]
use std::hash::SipHasher;

use vagn_store::Key;

/// Bits for the rounds in an entry.
pub(super) const ROUND_BITS: u32 = 4;

/// Bytes of a key in the file.
pub(super) const KEY_BYTES: usize = 16;

/// Secret key of the hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct HashKey(pub(super) [u64; 2]);

impl HashKey {
    pub(super) fn of_bytes(bytes: [u8; KEY_BYTES]) -> Self {
        let both = u128::from_le_bytes(bytes);
        Self([both as u64, (both >> u64::BITS) as u64])
    }

    pub(super) fn to_bytes(self) -> [u8; KEY_BYTES] {
        let [low, high] = self.0;
        (u128::from(high) << u64::BITS | u128::from(low)).to_le_bytes()
    }

    /// Returns SipHash-2-4 of the vehicle's key, as many of its upper bits as there is room for beside the rounds.
    #[expect(deprecated, reason = "as above")]
    pub(super) fn hash(self, key: Key<'_>) -> u64 {
        let mut hasher = SipHasher::new_with_keys(self.0[0], self.0[1]);
        match key {
            Key::Uuid(bytes) => {
                hasher.write(&[0]);
                hasher.write(&bytes);
            }
            Key::Text(text) => {
                hasher.write(&[1]);
                hasher.write(text.as_bytes());
            }
        }
        hasher.finish() >> ROUND_BITS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From another implementation: a file that is read by a later version must find its vehicles.
    #[test]
    fn never_changes() {
        let key = HashKey::of_bytes(std::array::from_fn(|at| at as u8));
        assert_eq!(key.to_bytes(), std::array::from_fn(|at| at as u8));
        assert_eq!(key.hash(Key::Text("bus 7")), 0x077d_d0ff_5c90_a775);
        assert_eq!(key.hash(Key::Uuid([7; 16])), 0x04de_86f7_17aa_17ee);
        assert_ne!(key.hash(Key::Text("bus 7")), HashKey([1, 2]).hash(Key::Text("bus 7")));
    }
}
