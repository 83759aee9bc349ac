//! Which vehicle has which slot, both ways.
//!
//! A slot keeps an id in 16 bytes: a UUID packed, another id of up to 16 bytes as it is, a longer one
//! interned aside.

mod table;

use std::hash::{BuildHasher, Hasher};

use foldhash::quality::RandomState;

use crate::Key;
use crate::chunked::{Arena, Chunked};
use crate::prefetch::prefetch;
use table::Table;

/// The ids of one partition's vehicles and their slots.
#[derive(Debug)]
pub(crate) struct Ids {
    /// Seeded anew in every run, so that nobody can choose ids that collide; see [`Key::hash`] for one that
    /// does not change.
    seed: RandomState,
    table: Table,
    names: Chunked<Name>,
    shapes: Chunked<Shape>,
    texts: Arena<Box<str>>,
}

/// What a slot keeps of an id; its [`Shape`] says how to read it.
type Name = [u8; 16];

/// How a [`Name`] is to be read: the length of a text of up to 16 bytes, or one of the two below.
type Shape = u8;
const UUID: Shape = 254;
/// The first four bytes number a text kept aside.
const ASIDE: Shape = 255;

impl Ids {
    pub(crate) fn new() -> Ids {
        Ids {
            seed: RandomState::default(),
            table: Table::new(),
            names: Chunked::new(),
            shapes: Chunked::new(),
            texts: Arena::new(),
        }
    }

    /// Vehicles known.
    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    /// What the methods below want as `hash`.
    #[inline]
    pub(crate) fn hash(&self, key: &Key<'_>) -> u64 {
        let mut hasher = self.seed.build_hasher();
        match key {
            Key::Uuid(bytes) => hasher.write_u128(u128::from_le_bytes(*bytes)),
            Key::Text(text) => {
                hasher.write(text.as_bytes());
                hasher.write_u8(UUID);
            }
        }
        hasher.finish()
    }

    /// Starts to load what [`Ids::key`] will read.
    #[inline]
    pub(crate) fn prefetch_key(&self, slot: u32) {
        prefetch(&self.names[slot]);
        prefetch(&self.shapes[slot]);
    }

    /// Starts to load what [`Ids::guess`] will read.
    #[inline]
    pub(crate) fn prefetch(&self, hash: u64) {
        self.table.prefetch(hash);
    }

    /// The slot that a vehicle with this hash most likely has, and starts to load what confirms it.
    #[inline]
    pub(crate) fn guess(&self, hash: u64) -> Option<u32> {
        let slot = self.table.find(hash, |_| true)?;
        self.prefetch_key(slot);
        Some(slot)
    }

    /// The slot of a vehicle.
    #[inline]
    pub(crate) fn find(&self, hash: u64, key: &Key<'_>) -> Option<u32> {
        self.table.find(hash, |slot| self.is(slot, key))
    }

    /// Whether the slot is that vehicle's; of a slot without vehicle it may say either.
    #[inline]
    pub(crate) fn is(&self, slot: u32, key: &Key<'_>) -> bool {
        match key {
            Key::Uuid(bytes) => self.names[slot] == *bytes && self.shapes[slot] == UUID,
            Key::Text(_) => self.key(slot) == *key,
        }
    }

    /// The vehicle in a slot.
    #[inline]
    pub(crate) fn key(&self, slot: u32) -> Key<'_> {
        let name = &self.names[slot];
        match self.shapes[slot] {
            UUID => Key::Uuid(*name),
            ASIDE => Key::Text(&self.texts[aside(name)]),
            len => Key::Text(text(&name[..usize::from(len)])),
        }
    }

    /// Gives a slot to a vehicle that has none; the slot may be one past the last ever used.
    pub(crate) fn insert(&mut self, hash: u64, slot: u32, key: &Key<'_>) {
        let (name, shape) = self.name(key);
        if slot as usize == self.names.len() {
            self.names.push(name);
            self.shapes.push(shape);
        } else {
            self.names[slot] = name;
            self.shapes[slot] = shape;
        }
        self.table.insert(hash, slot);
    }

    /// Adds an empty slot behind the last one.
    pub(crate) fn push_vacant(&mut self) {
        self.names.push([0; 16]);
        self.shapes.push(0);
    }

    /// Takes the slot from its vehicle.
    pub(crate) fn remove(&mut self, slot: u32) {
        let hash = self.hash(&self.key(slot));
        self.table.remove(hash, slot);
        if self.shapes[slot] == ASIDE {
            let number = aside(&self.names[slot]);
            self.texts[number] = Box::default();
            self.texts.free(number);
        }
        self.names[slot] = [0; 16];
        self.shapes[slot] = 0;
    }

    fn name(&mut self, key: &Key<'_>) -> (Name, Shape) {
        let mut name = [0; 16];
        match key {
            Key::Uuid(bytes) => (*bytes, UUID),
            Key::Text(text) if text.len() <= name.len() => {
                name[..text.len()].copy_from_slice(text.as_bytes());
                (name, text.len() as Shape)
            }
            Key::Text(text) => {
                let number = self.texts.add(Box::from(*text));
                name[..4].copy_from_slice(&number.to_le_bytes());
                (name, ASIDE)
            }
        }
    }
}

fn aside(name: &Name) -> u32 {
    u32::from_le_bytes([name[0], name[1], name[2], name[3]])
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("the bytes were copied from a text")
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
        let mut ids = Ids::new();
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
        assert_eq!((ids.texts.len(), find(&ids, &KEYS[3])), (1, Some(3)));
    }
}
