//! Loads what opening many envelopes needs, one dependency at a time for all of them: it waits for memory once per step and not
//! once per envelope.
//!
//! These are plain reads for which nothing waits; a processor has many of them under way. But a lock makes it wait for all that came
//! before. So a part is locked once for all envelopes of it, and all parts before the first read.

use std::hint::black_box;

use parking_lot::{RwLock, RwLockReadGuard};

use super::shard::Shard;
use super::{SHARDS, hash, part_of};
use crate::{Envelope, KeyId};

/// Envelopes that are loaded at once, as many as a door gets from the kernel at once.
const GROUP: usize = 64;

/// Keys of envelopes, and the parts of a table where they are.
pub(super) struct Loader<'a> {
    parts: [Option<RwLockReadGuard<'a, Shard>>; SHARDS],
    keys: [(u64, KeyId); GROUP],
    len: usize,
}

impl<'a> Loader<'a> {
    /// Returns a loader for the envelopes among these datagrams, up to [`GROUP`] of them.
    pub(super) fn new<'e>(
        shards: &'a [RwLock<Shard>; SHARDS],
        datagrams: impl Iterator<Item = &'e [u8]>,
    ) -> Self {
        let mut it = Self { parts: std::array::from_fn(|_| None), keys: [(0, KeyId([0; 8])); GROUP], len: 0 };
        for envelope in datagrams.filter_map(Envelope::parse).take(GROUP) {
            let hash = hash(&envelope.key_id.0);
            it.keys[it.len] = (hash, envelope.key_id);
            it.len += 1;
            let part = part_of(hash);
            if it.parts[part].is_none() {
                // Never waited for: two that hold each other's parts, with a writer before each, would wait for good.
                it.parts[part] = shards[part].try_read();
            }
        }
        it
    }

    /// Loads what opening needs, and returns the number of keys that are in force.
    pub(super) fn load(&self) -> usize {
        let entries = self.keys().map(|(shard, hash, _)| shard.touch(hash));
        black_box(entries.fold(0, u32::wrapping_add));
        self.keys().filter(|(shard, hash, key_id)| shard.line(*hash, *key_id).is_some()).count()
    }

    /// Keys with their hashes and their parts, without those whose part is being written to.
    fn keys(&self) -> impl Iterator<Item = (&Shard, u64, KeyId)> {
        let keys = self.keys[..self.len].iter();
        keys.filter_map(|(hash, key_id)| {
            let shard = self.parts[part_of(*hash)].as_deref()?;
            Some((shard, *hash, *key_id))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::parts_of;
    use crate::{Epoch, KeyInForce, Lane, Secret, SenderKey, Speaker};
    use vagn_wire::VehicleId;

    const SECRET: Secret = Secret([7; 32]);

    fn envelope(number: u8) -> Vec<u8> {
        let mut envelope = Vec::new();
        let sender = SenderKey::new(KeyId([number; 8]), Epoch::FIRST, &SECRET);
        sender.seal(1, b"\x80", Lane::Ordinary, &mut envelope);
        envelope
    }

    /// A table with the keys of these numbers.
    fn table(numbers: std::ops::Range<u8>) -> [RwLock<Shard>; SHARDS] {
        let shards: [RwLock<Shard>; SHARDS] = std::array::from_fn(|_| RwLock::default());
        for key_id in numbers.map(|number| KeyId([number; 8])) {
            let speaker = Speaker::Vehicle(VehicleId::new("bus 7").unwrap());
            let epochs = &[(Epoch::FIRST, SECRET)];
            let (line, newer, aside) = parts_of(&KeyInForce { key_id, speaker, epochs }).unwrap();
            shards[part_of(hash(&key_id.0))].write().put(line, newer, aside).unwrap();
        }
        shards
    }

    #[test]
    fn finds_the_keys_of_all_envelopes_and_passes_over_what_is_none() {
        let shards = table(0..40);
        let check = |numbers: std::ops::Range<u8>, found| {
            let datagrams: Vec<_> = numbers.flat_map(|number| [envelope(number), vec![number]]).collect();
            let loader = Loader::new(&shards, datagrams.iter().map(Vec::as_slice));
            assert_eq!(loader.load(), found);
        };
        check(0..0, 0);
        check(0..40, 40);
        check(30..50, 10);
        check(20..200, 20);
    }

    #[test]
    fn waits_for_no_writer() {
        let shards = table(0..40);
        let datagrams: Vec<_> = (0..40).map(envelope).collect();
        let written: Vec<_> = shards.iter().step_by(2).map(RwLock::write).collect();
        let found = Loader::new(&shards, datagrams.iter().map(Vec::as_slice)).load();
        assert!(found < 40, "{found} keys were found, those of the parts that are written to as well");
        drop(written);
    }
}
