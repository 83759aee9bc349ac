//! Call window: the sequences of a vehicle's sealed calls that were taken, so that none makes an incident twice.
//!
//! It is apart from the count of the store, which knows positions, and is written with the incident that a call opened or
//! updated: so it is exact over a crash.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use vagn_seal::KeyId;

/// Sequences below the highest of which each is known.
const BELOW: u64 = 63;

/// Highest sequence that was taken under a key, and which of those just below it were.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallWindow {
    /// Key of the seals.
    #[serde(serialize_with = "key_id_to_text", deserialize_with = "key_id_from_text")]
    pub key_id: KeyId,
    /// Highest sequence.
    pub highest: u64,
    /// Bit n is set if the sequence n below the highest was taken.
    pub taken: u64,
}

impl CallWindow {
    /// Returns the window of the first call.
    pub fn first(key_id: KeyId, sequence: u64) -> Self {
        Self { key_id, highest: sequence, taken: 1 }
    }

    /// Returns true when a call of this sequence was taken, or is too old to tell.
    pub fn has(&self, sequence: u64) -> bool {
        match self.highest.checked_sub(sequence) {
            None => false,
            Some(below @ 0..=BELOW) => self.taken >> below & 1 == 1,
            Some(_) => true,
        }
    }

    /// Notes a call that is taken.
    pub fn take(&mut self, sequence: u64) {
        match sequence.checked_sub(self.highest) {
            Some(above) => {
                self.taken =
                    u32::try_from(above).ok().and_then(|above| self.taken.checked_shl(above)).unwrap_or(0)
                        | 1;
                self.highest = sequence;
            }
            None => {
                self.taken |= u32::try_from(self.highest - sequence)
                    .ok()
                    .and_then(|below| 1_u64.checked_shl(below))
                    .unwrap_or(0)
            }
        }
    }

    /// Adds what another record of the same window has.
    pub fn merge(&mut self, other: Self) {
        let (mut newer, older) = if other.highest > self.highest { (other, *self) } else { (*self, other) };
        let apart = u32::try_from(newer.highest - older.highest).ok();
        newer.taken |= apart.and_then(|apart| older.taken.checked_shl(apart)).unwrap_or(0);
        *self = newer;
    }
}

fn key_id_to_text<S: Serializer>(key_id: &KeyId, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(key_id)
}

fn key_id_from_text<'de, D: Deserializer<'de>>(from: D) -> Result<KeyId, D::Error> {
    std::borrow::Cow::<str>::deserialize(from)?.parse().map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KEY: KeyId = KeyId([7; 8]);

    proptest! {
        #[test]
        fn knows_what_was_taken_within_its_reach_and_takes_nothing_below_it(
            sequences in prop::collection::vec(0_u64..200, 1..100),
        ) {
            let mut window = CallWindow::first(KEY, sequences[0]);
            let mut taken = vec![sequences[0]];
            for sequence in &sequences[1..] {
                let highest = *taken.iter().max().unwrap();
                let known = taken.contains(sequence) || highest.saturating_sub(*sequence) > BELOW;
                prop_assert_eq!(window.has(*sequence), known, "{} in {:?}", sequence, taken);
                if !known {
                    window.take(*sequence);
                    taken.push(*sequence);
                }
            }
        }

        #[test]
        fn two_records_make_the_one_that_has_all(
            one in prop::collection::vec(0_u64..100, 1..20),
            other in prop::collection::vec(0_u64..100, 1..20),
        ) {
            let of = |sequences: &[u64]| {
                let mut window = CallWindow::first(KEY, sequences[0]);
                sequences[1..].iter().for_each(|sequence| window.take(*sequence));
                window
            };
            let mut merged = of(&one);
            merged.merge(of(&other));
            let all = of(&[&one[..], &other[..]].concat());
            prop_assert!((0..100).all(|sequence| merged.has(sequence) == all.has(sequence)));
        }
    }

    #[test]
    fn a_leap_of_any_width_leaves_only_the_newest() {
        let mut window = CallWindow::first(KEY, 1);
        for sequence in [2, 1 << 40, u64::MAX] {
            assert!(!window.has(sequence));
            window.take(sequence);
            assert!(window.has(sequence) && window.has(1));
        }
        assert_eq!(window.taken, 1);
        assert_eq!(
            serde_json::from_str::<CallWindow>(&serde_json::to_string(&window).unwrap()).unwrap(),
            window
        );
    }
}
