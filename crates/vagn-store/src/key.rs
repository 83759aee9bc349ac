//! The key of a vehicle, and the hash that chooses its partition.

use std::fmt;

use vagn_wire::VehicleId;

use crate::uuid_text;

/// A vehicle id ready to look up. Ordered as keys are: all UUIDs by their value, then all other ids by their
/// bytes. That order also decides which comes first of vehicles at the same distance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key<'a> {
    /// An id that was written as a canonical lower-case UUID, `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx`.
    Uuid([u8; 16]),
    /// Any other id, as it was sent; an upper-case UUID is such a one, since different bytes are different
    /// vehicles.
    Text(&'a str),
}

impl<'a> Key<'a> {
    /// Returns the key of a vehicle id.
    #[inline]
    pub fn of(vehicle_id: VehicleId<'a>) -> Key<'a> {
        // The bytes first: to see that they are a text costs as much as all else here.
        uuid_text::parse(vehicle_id.as_bytes()).map_or_else(|| Key::Text(vehicle_id.as_str()), Key::Uuid)
    }

    /// Returns the key of a text that is known to be a vehicle id.
    #[inline]
    pub(crate) fn of_text(text: &'a str) -> Key<'a> {
        uuid_text::parse(text.as_bytes()).map_or(Key::Text(text), Key::Uuid)
    }

    /// Returns the hash that chooses the partition. The same on every machine, in every run and every version, because
    /// the log of that partition holds the vehicle. Made of 64×64→128-bit multiplications folded in half, over
    /// little-endian words of 8 bytes, the last ones padded with zeros. Ids that collide are easily found, so nothing
    /// that must stay fast may rest on it alone.
    #[inline]
    pub fn hash(&self) -> u64 {
        match self {
            Key::Uuid(bytes) => finish(mix(UUID_SEED, bytes)),
            Key::Text(text) => hash_text(text.as_bytes()),
        }
    }
}

impl fmt::Display for Key<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Key::Uuid(bytes) => f.pad(&crate::VehicleIdBuf::of(Key::Uuid(*bytes))),
            Key::Text(text) => f.pad(text),
        }
    }
}

/// Returns the partition, of `partitions`, that holds the vehicle whose [`Key::hash`] is `hash`.
#[inline]
pub fn partition(hash: u64, partitions: usize) -> usize {
    // Most often there is one, and a division takes as long as decoding the report.
    if partitions == 1 { 0 } else { (hash % partitions as u64) as usize }
}

// The first digits of pi, which are as good as any other bits. To change one is to change the format of the
// data directory.
const UUID_SEED: u64 = 0x2436_a885_3243_f6a9;
const TEXT_SEED: u64 = 0x1319_8a2e_0370_7345;
const SECOND_WORD: u64 = 0xa409_3822_299f_31d1;
const FINISH: u64 = 0x082e_fa98_ec4e_6c89;

fn hash_text(text: &[u8]) -> u64 {
    let (blocks, rest) = text.as_chunks::<16>();
    let state = blocks.iter().fold(TEXT_SEED ^ text.len() as u64, mix);
    let mut last = [0; 16];
    // The length is in the seed, so that padding with zeros makes no two ids alike.
    last[..rest.len()].copy_from_slice(rest);
    finish(mix(state, &last))
}

#[inline]
fn mix(state: u64, block: &[u8; 16]) -> u64 {
    let words = u128::from_le_bytes(*block);
    mix_words(state, words as u64, (words >> 64) as u64)
}

/// Mixes two words into the state of a hash.
#[inline]
pub(crate) fn mix_words(state: u64, one: u64, other: u64) -> u64 {
    folded_multiply(one ^ state, other ^ SECOND_WORD)
}

/// Returns the hash that a state ends with.
#[inline]
pub(crate) fn finish(state: u64) -> u64 {
    folded_multiply(state ^ SECOND_WORD, FINISH)
}

#[inline]
fn folded_multiply(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Key<'_> {
        Key::of(VehicleId::new(text).unwrap())
    }

    #[test]
    fn packs_canonical_uuids_and_nothing_else() {
        let packed =
            [0x4e, 9, 0x13, 0x96, 0x62, 0xae, 0x4f, 0x3b, 0x87, 0x15, 0x7b, 0x4f, 0xc9, 0xc6, 0x4d, 0x14];
        assert_eq!(key("4e091396-62ae-4f3b-8715-7b4fc9c64d14"), Key::Uuid(packed));
        for text in ["4E091396-62AE-4F3B-8715-7B4FC9C64D14", "4e09139662ae4f3b87157b4fc9c64d14", "bus 7"] {
            assert_eq!(key(text), Key::Text(text));
        }
    }

    #[test]
    fn is_shown_as_it_was_sent() {
        for text in ["4e091396-62ae-4f3b-8715-7b4fc9c64d14", "Bus 7", "車両一"] {
            assert_eq!(key(text).to_string(), text);
        }
    }

    #[test]
    fn spreads_running_numbers_evenly() {
        let mut counts = [0_u32; 8];
        for number in 0..80_000 {
            counts[partition(key(&format!("bus-{number:06}")).hash(), 8)] += 1;
        }
        assert!(counts.iter().all(|count| (9_500..10_500).contains(count)), "{counts:?}");
    }

    /// The values come from a second implementation, in another language.
    /// If this fails, every data directory in the field would look for its vehicles in the wrong partition.
    #[test]
    fn never_changes_its_hash() {
        assert_eq!(key("4e091396-62ae-4f3b-8715-7b4fc9c64d14").hash(), 0x6bb6_e8c6_a86c_a667);
        assert_eq!(key("7").hash(), 0xeb1d_5ace_4c31_2957);
        assert_eq!(key("sixteen bytes id").hash(), 0xfe1e_ac7b_bbe7_186a);
        assert_eq!(key("båten Bohuslän, Göteborg–Marstrand").hash(), 0x154b_111d_56ca_38ba);
    }
}
