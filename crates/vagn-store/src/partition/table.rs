//! The slots of a partition while it is being recovered: a flat table over which snapshot and log are laid.
//!
//! The index comes last and takes every vehicle once. That is faster than moving vehicles through it again, and in between
//! one id may stand in two slots, which an index could not bear: a fuzzy snapshot shows slots at different moments.

use crate::log::record::Record;
use crate::log::seen::Seen;
use crate::{Key, Sighting};
use std::collections::HashMap;

/// What is known of each slot so far.
pub(crate) struct Table {
    slots: Vec<Slot>,
    seen: Seen,
    /// Positions of vehicles that nobody knows, by slot.
    orphans: HashMap<u32, u64>,
}

#[derive(Default, Clone)]
struct Slot {
    id: Option<Id>,
    hash: u64,
    sighting: Option<Sighting>,
}

#[derive(Clone)]
enum Id {
    Uuid([u8; 16]),
    Text(Box<str>),
}

impl Id {
    fn of(key: Key<'_>) -> Id {
        match key {
            Key::Uuid(id) => Id::Uuid(id),
            Key::Text(text) => Id::Text(text.into()),
        }
    }

    fn key(&self) -> Key<'_> {
        match self {
            Id::Uuid(id) => Key::Uuid(*id),
            Id::Text(text) => Key::Text(text),
        }
    }
}

impl Default for Table {
    fn default() -> Table {
        Table { slots: Vec::new(), seen: Seen::NOTHING, orphans: HashMap::new() }
    }
}

impl Table {
    /// Makes room for the slots below `slot_end`.
    pub(crate) fn reserve(&mut self, slot_end: u32) {
        self.slots.reserve(slot_end as usize);
    }

    /// A vehicle as a snapshot has it.
    pub(crate) fn place(&mut self, slot: u32, key: Key<'_>, sighting: Sighting) {
        *self.slot(slot) = Slot { id: Some(Id::of(key)), hash: key.hash(), sighting: Some(sighting) };
    }

    /// What a record of the log changes.
    pub(crate) fn apply(&mut self, record: Record<'_>) {
        match record {
            Record::Position { slot, hash, sighting } => self.see(slot, hash, sighting),
            Record::Define { slot, key } => {
                self.change_owner(slot, Slot { id: Some(Id::of(key)), hash: key.hash(), sighting: None });
            }
            Record::Remove { slot, .. } => self.change_owner(slot, Slot::default()),
            Record::Synced { .. } | Record::Void => {}
        }
    }

    /// Positions that did not fit the slot before were of an earlier vehicle there.
    fn change_owner(&mut self, at: u32, slot: Slot) {
        *self.slot(at) = slot;
        self.orphans.remove(&at);
    }

    /// A position of a vehicle that is not the one in the slot is of an earlier one there, if a snapshot ran ahead of the log, or
    /// of one whose definition `repair` could not save.
    fn see(&mut self, at: u32, hash: u64, sighting: Sighting) {
        self.seen.note(Seen::of(&sighting));
        let slot = self.slot(at);
        if slot.id.is_some() && slot.hash == hash {
            slot.sighting = Some(sighting);
        } else {
            *self.orphans.entry(at).or_default() += 1;
        }
    }

    fn slot(&mut self, slot: u32) -> &mut Slot {
        let at = slot as usize;
        if at >= self.slots.len() {
            self.slots.resize(at + 1, Slot::default());
        }
        &mut self.slots[at]
    }

    pub(crate) fn note(&mut self, seen: Seen) {
        self.seen.note(seen);
    }

    pub(crate) fn seen(&self) -> Seen {
        self.seen
    }

    /// Positions left out because the record that named their vehicle is lost.
    pub(crate) fn orphans(&self) -> u64 {
        self.orphans.values().sum()
    }

    /// The vehicles, in the order of their slots. A vehicle that was named and never seen is none.
    pub(crate) fn vehicles(&self) -> impl Iterator<Item = (u32, Key<'_>, u64, &Sighting)> {
        (0..).zip(&self.slots).filter_map(|(at, slot)| {
            let (id, sighting) = slot.id.as_ref().zip(slot.sighting.as_ref())?;
            Some((at, id.key(), slot.hash, sighting))
        })
    }
}
