//! The slots of a partition while it is being recovered: a flat table over which snapshot and log are laid.
//!
//! The index comes last and takes every vehicle once. That is faster than moving vehicles through it again,
//! and in between one id may stand in two slots, which an index could not bear: a fuzzy snapshot shows slots
//! at different moments.

use crate::chunked::Chunked;
use crate::log::record::Record;
use crate::log::seen::Seen;
use crate::prefetch::prefetch;
use crate::{Key, Sighting};
use std::collections::HashMap;

/// Positions put off at once. More would push each other out of the nearest cache.
const PENDING: usize = 32;

/// What is known of each slot so far.
pub(crate) struct Table {
    slots: Chunked<Slot>,
    /// Positions read whose slots are on their way from memory: a log names them in no order a cache could
    /// foresee.
    pending: Vec<(u32, u64, Sighting)>,
    seen: Seen,
    /// Positions of vehicles that nobody knows, by slot.
    orphans: HashMap<u32, u64>,
}

#[derive(Default)]
struct Slot {
    id: Option<Id>,
    hash: u64,
    sighting: Option<Sighting>,
}

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
        Table {
            slots: Chunked::new(),
            pending: Vec::with_capacity(PENDING),
            seen: Seen::NOTHING,
            orphans: HashMap::new(),
        }
    }
}

impl Table {
    /// A vehicle as a snapshot has it.
    pub(crate) fn place(&mut self, slot: u32, key: Key<'_>, sighting: Sighting) {
        *self.slot(slot) = Slot { id: Some(Id::of(key)), hash: key.hash(), sighting: Some(sighting) };
    }

    /// What a record of the log changes, once [`Table::settle`] is called.
    pub(crate) fn apply(&mut self, record: Record<'_>) {
        match record {
            Record::Position { slot, hash, sighting } => self.see_soon(slot, hash, sighting),
            Record::Define { slot, key } => {
                self.change_owner(slot, Slot { id: Some(Id::of(key)), hash: key.hash(), sighting: None });
            }
            Record::Remove { slot, .. } => self.change_owner(slot, Slot::default()),
            Record::Synced { .. } | Record::Void => {}
        }
    }

    /// Positions that did not fit the slot before were of an earlier vehicle there.
    fn change_owner(&mut self, at: u32, slot: Slot) {
        self.settle();
        *self.slot(at) = slot;
        self.orphans.remove(&at);
    }

    fn see_soon(&mut self, at: u32, hash: u64, sighting: Sighting) {
        let slot: &Slot = self.slot(at);
        prefetch(&slot.hash);
        prefetch(&slot.sighting);
        self.pending.push((at, hash, sighting));
        if self.pending.len() == PENDING {
            self.settle();
        }
    }

    /// Makes good what [`Table::apply`] has put off.
    pub(crate) fn settle(&mut self) {
        let mut pending = std::mem::take(&mut self.pending);
        pending.drain(..).for_each(|(at, hash, sighting)| self.see(at, hash, sighting));
        self.pending = pending;
    }

    /// A position of a vehicle that is not the one in the slot is of an earlier one there, if a snapshot ran
    /// ahead of the log, or of one whose definition `repair` could not save.
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
        while self.slots.len() <= slot as usize {
            self.slots.push(Slot::default());
        }
        &mut self.slots[slot]
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
        debug_assert!(self.pending.is_empty(), "settled before it is looked at");
        (0..self.slots.len() as u32).filter_map(|at| {
            let slot = &self.slots[at];
            let (id, sighting) = slot.id.as_ref().zip(slot.sighting.as_ref())?;
            Some((at, id.key(), slot.hash, sighting))
        })
    }
}
