//! A hash of 64 bits that is the same on all machines and in all versions. It finds accidents, and no attacker's work.

const SEED: u64 = 0x9e37_79b9_7f4a_7c15;
const FACTOR: u64 = 0xd6e8_feb8_6659_fd93;

/// Mixes a word so that each bit changes about half of all (the finisher of splitmix64, with the constants of D. Stafford's variant 13).
pub fn mix(word: u64) -> u64 {
    let word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ word >> 31
}

/// Adds a word to a hash. The order of words counts.
pub fn fold(hash: u64, word: u64) -> u64 {
    mix(hash.rotate_left(23).wrapping_mul(FACTOR) ^ word)
}

/// Returns the hash of some pieces of bytes. Where one piece ends and the next begins counts.
pub fn hash(pieces: &[&[u8]]) -> u64 {
    pieces.iter().fold(SEED, |hash, piece| {
        let (words, rest) = piece.as_chunks::<8>();
        let hash = words.iter().fold(hash, |hash, word| fold(hash, u64::from_le_bytes(*word)));
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        fold(fold(hash, u64::from_le_bytes(last)), piece.len() as u64)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bit_of_every_piece_counts() {
        let bytes: Vec<u8> = (0..37).collect();
        let whole = hash(&[&bytes]);
        for bit in 0..bytes.len() * 8 {
            let mut other = bytes.clone();
            other[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(hash(&[&other]), whole, "bit {bit}");
        }
    }

    #[test]
    fn ends_of_pieces_and_order_count() {
        let (a, b): (&[u8], &[u8]) = (b"ab", b"c");
        let hashes = [hash(&[a, b]), hash(&[b, a]), hash(&[b"abc"]), hash(&[b"abc", b""]), hash(&[b"abc\0"])];
        for (at, one) in hashes.iter().enumerate() {
            assert!(hashes[at + 1..].iter().all(|other| other != one));
        }
    }
}
