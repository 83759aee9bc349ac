//! A part of the table: the keys whose ids fall into it, under one lock.

use std::collections::{HashMap, HashSet};

use vagn_wire::VehicleId;

use super::index::Index;
use super::line::Line;
use super::{Speaker, hash};
use crate::cipher::DirectionKey;
use crate::{Epoch, KeyId, NotOpened};

/// Lines that are made at once: a page of memory.
const CHUNK: usize = 64;

/// Keys of one part.
#[derive(Default)]
pub(super) struct Shard {
    chunks: Vec<Box<[Line; CHUNK]>>,
    /// Places that were made, of which some may be free again.
    made: u32,
    free: Vec<u32>,
    index: Index,
    /// Newer epochs, oldest first, of keys that are being rotated.
    newer: HashMap<KeyId, Vec<(Epoch, DirectionKey)>>,
    /// Speakers that do not fit into a line.
    aside: HashMap<KeyId, Aside>,
    revoked: HashSet<KeyId>,
}

/// A speaker that does not fit into a line.
pub(super) enum Aside {
    /// A vehicle of a long id.
    Vehicle(Box<str>),
    /// A gateway.
    Gateway {
        /// Name.
        name: Box<str>,
        /// Beginning of the ids that it speaks for.
        prefix: Box<str>,
    },
}

/// The key that opens an envelope.
pub(super) struct Found<'a> {
    pub(super) line: &'a Line,
    pub(super) up: &'a DirectionKey,
    /// An older epoch is in force too.
    pub(super) is_newer: bool,
}

impl Shard {
    /// Finds the key of an epoch, whose id has this hash.
    pub(super) fn find(&self, hash: u64, key_id: KeyId, epoch: Epoch) -> Result<Found<'_>, NotOpened> {
        let Some(line) = self.line(hash, key_id) else {
            return Err(if self.is_revoked(key_id) { NotOpened::Revoked } else { NotOpened::UnknownKey });
        };
        if line.epoch == epoch {
            return Ok(Found { line, up: &line.up, is_newer: false });
        }
        let newer = self.newer.get(&key_id).and_then(|epochs| epochs.iter().find(|newer| newer.0 == epoch));
        newer.map(|(_, up)| Found { line, up, is_newer: true }).ok_or(NotOpened::UnknownKey)
    }

    /// Returns the place of a key in force, whose id has this hash.
    pub(super) fn place(&self, hash: u64, key_id: KeyId) -> Option<u32> {
        self.index.find(hash, |place| self.line_at(place).key_id == key_id)
    }

    /// Returns the line of a key in force, whose id has this hash.
    pub(super) fn line(&self, hash: u64, key_id: KeyId) -> Option<&Line> {
        self.place(hash, key_id).map(|place| self.line_at(place))
    }

    /// Calls `look` with the one that the key at a place speaks for; `None` when there is no key.
    pub(super) fn speaker_at<T>(&self, place: u32, look: impl FnOnce(Speaker<'_>) -> T) -> Option<T> {
        let is_key = place < self.made && !self.line_at(place).is_free();
        is_key.then(|| self.speaker_of(self.line_at(place), look))
    }

    /// Calls `look` with the one that the key in a line speaks for.
    pub(super) fn speaker_of<T>(&self, line: &Line, look: impl FnOnce(Speaker<'_>) -> T) -> T {
        let mut text = [0; _];
        look(line.vehicle_id(&mut text).map_or_else(|| self.aside(line.key_id), Speaker::Vehicle))
    }

    /// Reads the entry at which a search for this hash begins, and gives a number that hangs on it.
    pub(super) fn touch(&self, hash: u64) -> u32 {
        self.index.touch(hash)
    }

    /// Puts a key in force, or what has changed about it, and returns its place and whether the key is new; `None` when
    /// there is no place left.
    pub(super) fn put(
        &mut self,
        line: Line,
        newer: Vec<(Epoch, DirectionKey)>,
        aside: Option<Aside>,
    ) -> Option<(u32, bool)> {
        let key_id = line.key_id;
        let hash_of_id = hash(&key_id.0);
        let (place, is_new) = match self.place(hash_of_id, key_id) {
            Some(place) => (place, false),
            None => (self.new_place()?, true),
        };
        *self.line_mut(place) = line;
        if is_new {
            let (chunks, index) = (&self.chunks, &mut self.index);
            index.insert(hash_of_id, place, |place| hash(&line_of(chunks, place).key_id.0));
            self.revoked.remove(&key_id);
        }
        set(&mut self.newer, key_id, (!newer.is_empty()).then_some(newer));
        set(&mut self.aside, key_id, aside);
        Some((place, is_new))
    }

    /// Takes a key out of force, which is false when it was not, and remembers that it was revoked.
    pub(super) fn revoke(&mut self, key_id: KeyId) -> bool {
        self.revoked.insert(key_id);
        let hash = hash(&key_id.0);
        let Some(place) = self.place(hash, key_id) else { return false };
        self.index.remove(hash, place);
        *self.line_mut(place) = Line::free();
        self.free.push(place);
        self.newer.remove(&key_id);
        self.aside.remove(&key_id);
        true
    }

    /// Visits the keys in force.
    pub(super) fn visit(&self, visit: &mut impl FnMut(KeyId)) {
        let lines = (0..self.made).map(|place| self.line_at(place));
        lines.filter(|line| !line.is_free()).for_each(|line| visit(line.key_id));
    }

    /// Returns true for a key that was revoked.
    pub(super) fn is_revoked(&self, key_id: KeyId) -> bool {
        self.revoked.contains(&key_id)
    }

    /// Ends the epochs before this one; false when there are none.
    pub(super) fn advance(&mut self, key_id: KeyId, epoch: Epoch) -> bool {
        let Some(place) = self.place(hash(&key_id.0), key_id) else { return false };
        let Some(epochs) = self.newer.get_mut(&key_id) else { return false };
        let Some(at) = epochs.iter().position(|newer| newer.0 == epoch) else { return false };
        let (epoch, up) = epochs.drain(..=at).next_back().expect("it drains as far as the epoch");
        if epochs.is_empty() {
            self.newer.remove(&key_id);
        }
        let line = self.line_mut(place);
        (line.epoch, line.up) = (epoch, up);
        true
    }

    /// Bytes that it takes, without what lies aside.
    pub(super) fn bytes(&self) -> usize {
        let chunks =
            self.chunks.len() * CHUNK * size_of::<Line>() + self.chunks.capacity() * size_of::<usize>();
        chunks + self.index.bytes() + self.free.capacity() * size_of::<u32>()
    }

    fn aside(&self, key_id: KeyId) -> Speaker<'_> {
        match self.aside.get(&key_id).expect("it lies aside as long as the key is in force") {
            Aside::Vehicle(id) => {
                Speaker::Vehicle(VehicleId::new(id).expect("it was a vehicle id when it was put here"))
            }
            Aside::Gateway { name, prefix } => Speaker::Gateway { name, prefix },
        }
    }

    fn new_place(&mut self) -> Option<u32> {
        if let Some(place) = self.free.pop() {
            return Some(place);
        }
        if self.made as usize == self.chunks.len() * CHUNK {
            self.chunks.reserve_exact(if self.chunks.len() == self.chunks.capacity() {
                self.chunks.len() / 8 + 1
            } else {
                0
            });
            self.chunks.push(Box::new(std::array::from_fn(|_| Line::free())));
        }
        let place = self.made;
        (place < super::PLACES_PER_SHARD).then(|| self.made += 1)?;
        Some(place)
    }

    fn line_at(&self, place: u32) -> &Line {
        line_of(&self.chunks, place)
    }

    fn line_mut(&mut self, place: u32) -> &mut Line {
        let place = place as usize;
        &mut self.chunks[place / CHUNK][place % CHUNK]
    }
}

fn line_of(chunks: &[Box<[Line; CHUNK]>], place: u32) -> &Line {
    let place = place as usize;
    &chunks[place / CHUNK][place % CHUNK]
}

fn set<V>(map: &mut HashMap<KeyId, V>, key_id: KeyId, value: Option<V>) {
    match value {
        Some(value) => drop(map.insert(key_id, value)),
        None => drop(map.remove(&key_id)),
    }
}
