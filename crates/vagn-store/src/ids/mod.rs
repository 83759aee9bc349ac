//! Vehicle ids and slots, both ways.
//!
//! `table.rs` leads from an id to its slot, `names.rs` from a slot to its id.

mod names;
mod table;

use std::hash::Hasher;

use foldhash::SharedSeed;
use foldhash::quality::FoldHasher;

use crate::Key;
use table::IdTable;

pub(crate) use names::Names;

/// The ids of one partition's vehicles and their slots.
#[derive(Debug)]
pub(crate) struct Ids {
    seed: Seed,
    table: IdTable,
    names: Names,
}

/// Seed of the hash by which ids are found, which is not that of [`Key::hash`]. The service draws one in every run,
/// so that ids cannot be chosen to collide. Both halves take part: with one of them known, ids that collide under any
/// other can be worked out.
#[derive(Debug)]
struct Seed {
    hasher: u64,
    shared: SharedSeed,
}

/// Keeps a text from having the hash of the UUID of the same bytes.
const TEXT: u8 = 254;

impl Ids {
    pub(crate) fn new(seed: u64) -> Ids {
        Ids::of(Names::new(), seed)
    }

    /// Returns ids that know the vehicles by their slots, and none by its id before [`Ids::register`].
    pub(crate) fn of(names: Names, seed: u64) -> Ids {
        let seed = Seed { hasher: seed, shared: SharedSeed::from_u64(seed) };
        Ids { seed, table: IdTable::new(), names }
    }

    /// Counts the vehicles known by their ids.
    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    /// Returns the hash that the methods below take.
    #[inline]
    pub(crate) fn hash(&self, key: &Key<'_>) -> u64 {
        hash(&self.seed, key)
    }

    /// Starts to load what [`Ids::key`] will read.
    #[inline]
    pub(crate) fn prefetch_key(&self, slot: u32) {
        self.names.prefetch(slot);
    }

    /// Starts to load what [`Ids::guess`] will read.
    #[inline]
    pub(crate) fn prefetch(&self, hash: u64) {
        self.table.prefetch(hash);
    }

    /// Returns the slot that a vehicle with this hash most likely has, and starts to load what confirms it.
    #[inline]
    pub(crate) fn guess(&self, hash: u64) -> Option<u32> {
        // Right but once in billions, and its row can be on its way from memory while the id is still being compared.
        let slot = self.table.find(hash, |_| true)?;
        self.prefetch_key(slot);
        Some(slot)
    }

    /// Returns the slot of a vehicle.
    #[inline]
    pub(crate) fn find(&self, hash: u64, key: &Key<'_>) -> Option<u32> {
        self.table.find(hash, |slot| self.is(slot, key))
    }

    /// Returns true when the slot is that vehicle's; for a slot without vehicle the answer means nothing.
    #[inline]
    pub(crate) fn is(&self, slot: u32, key: &Key<'_>) -> bool {
        self.names.is(slot, key)
    }

    /// Returns the vehicle in a slot.
    #[inline]
    pub(crate) fn key(&self, slot: u32) -> Key<'_> {
        self.names.key(slot)
    }

    /// Gives a slot to a vehicle that has none; the slot may be one past the last ever used.
    pub(crate) fn insert(&mut self, hash: u64, slot: u32, key: &Key<'_>) {
        self.names.set(slot, key);
        self.table.insert(hash, slot);
    }

    /// Makes room to [`Ids::register`] the vehicles named in these slots, when none is known yet.
    pub(crate) fn reserve(&mut self, slots: impl Iterator<Item = u32>) {
        self.table.reserve(slots.map(|slot| hash(&self.seed, &self.names.key(slot))));
    }

    /// Makes the vehicle named in a slot known by its id, of which `hash` is the hash. False when it is
    /// already, by another slot.
    #[inline]
    pub(crate) fn register(&mut self, hash: u64, slot: u32) -> bool {
        let key = self.names.key(slot);
        self.table.insert_new(hash, slot, |other| self.names.is(other, &key))
    }

    /// Adds an empty slot behind the last one.
    pub(crate) fn push_vacant(&mut self) {
        self.names.push_vacant();
    }

    /// Removes the last slot, which is empty.
    pub(crate) fn pop_vacant(&mut self) {
        self.names.pop_vacant();
    }

    /// Takes the slot from its vehicle.
    pub(crate) fn remove(&mut self, slot: u32) {
        let hash = self.hash(&self.key(slot));
        self.table.remove(hash, slot);
        self.names.clear(slot);
    }

    /// Removes the name from a slot whose vehicle is not known by its id.
    pub(crate) fn clear(&mut self, slot: u32) {
        self.names.clear(slot);
    }
}

#[inline]
fn hash(seed: &Seed, key: &Key<'_>) -> u64 {
    let mut hasher = FoldHasher::with_seed(seed.hasher, &seed.shared);
    match key {
        Key::Uuid(bytes) => hasher.write_u128(u128::from_le_bytes(*bytes)),
        Key::Text(text) => {
            hasher.write(text.as_bytes());
            // Without it the text of 16 bytes and the UUID of the same bytes would always collide.
            hasher.write_u8(TEXT);
        }
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: [Key<'static>; 6] = [
        Key::Uuid([0; 16]),
        Key::Uuid(*b"sixteen bytes id"),
        Key::Text("sixteen bytes id"),
        Key::Text("seventeen byte id"),
        Key::Text("7"),
        Key::Text("7\u{e9}"),
    ];

    fn filled() -> Ids {
        let mut ids = Ids::new(1);
        for (slot, key) in (0..).zip(KEYS) {
            ids.insert(ids.hash(&key), slot, &key);
        }
        ids
    }

    fn find(ids: &Ids, key: &Key<'_>) -> Option<u32> {
        ids.find(ids.hash(key), key)
    }

    #[test]
    fn tells_ids_apart_by_their_bytes_and_kind() {
        let ids = filled();
        for (slot, key) in (0..).zip(KEYS) {
            assert_eq!((find(&ids, &key), ids.key(slot)), (Some(slot), key));
        }
        assert_eq!(find(&ids, &Key::Text("seventeen byte iD")), None);
    }

    #[test]
    fn forgets_one_and_keeps_the_others() {
        for gone in 0..KEYS.len() as u32 {
            let mut ids = filled();
            ids.remove(gone);
            assert_eq!(ids.len(), KEYS.len() - 1);
            for (slot, key) in (0..).zip(KEYS) {
                assert_eq!(find(&ids, &key), (slot != gone).then_some(slot));
            }
        }
    }

    #[test]
    fn uses_the_room_of_forgotten_texts_again() {
        let mut ids = filled();
        for _ in 0..100 {
            ids.remove(3);
            ids.insert(ids.hash(&KEYS[3]), 3, &KEYS[3]);
        }
        assert_eq!((ids.names.texts(), find(&ids, &KEYS[3])), (1, Some(3)));
    }
}
