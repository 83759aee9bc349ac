//! The outcome of a batch of updates, worked out before anything is changed.
//!
//! Between plan and commit stands the log: a batch that it cannot append is never shown. A plan knows the batch's own
//! effects too: the second report of a vehicle is compared with the first one of the same batch.

use hashbrown::HashTable;
use vagn_wire::Fate;

use super::cell::GridPoint;
use super::fate::fate;
use super::{GROUP, Index, NO_SLOT};
use crate::{Update, Updates};

/// Outcome of one update.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Planned {
    /// Slot of the vehicle, [`NO_SLOT`] when it is shed. A vehicle keeps its slot until it is removed or forgotten;
    /// then another may get it.
    pub(crate) slot: u32,
    /// `Stored`, `Stale`, `Duplicate`, or `Shed` for a new vehicle beyond the greatest number kept.
    pub(crate) fate: Fate,
    /// The vehicle was not known before.
    pub(crate) new_vehicle: bool,
}

/// Outcome of each update of a batch. Made once and refilled.
#[derive(Debug, Default)]
pub struct Plan {
    planned: Vec<Planned>,
    latest: Latest,
    /// Updates that bring new vehicles.
    new: HashTable<u32>,
    /// Vacant slots not yet given away.
    vacant: usize,
    /// Slots given away behind the last one.
    behind: u32,
}

impl Plan {
    /// Returns the fates in the order of the updates.
    pub fn fates(&self) -> impl Iterator<Item = Fate> {
        self.planned.iter().map(|planned| planned.fate)
    }

    /// Counts the updates that bring a vehicle not known before.
    pub fn new_vehicles(&self) -> usize {
        self.new.len()
    }

    /// Returns the updates that are to be stored, with their slots.
    pub(crate) fn stored<'a>(&'a self, updates: &'a Updates) -> impl Iterator<Item = (Update<'a>, Planned)> {
        updates.iter().zip(self.planned.iter().copied()).filter(|(_, planned)| planned.fate == Fate::Stored)
    }

    fn begin(&mut self, updates: usize, vacant: usize) {
        self.planned.clear();
        self.planned.reserve(updates);
        self.latest.begin(updates);
        self.new.clear();
        self.vacant = vacant;
        self.behind = 0;
    }
}

impl Index {
    /// Works out how [`Index::commit`] is to treat the updates. The index must not be changed in between.
    pub(crate) fn plan(&self, updates: &Updates, plan: &mut Plan) {
        plan.begin(updates.len(), self.vacant.len());
        for start in (0..updates.len()).step_by(GROUP) {
            self.plan_group(updates, start..updates.len().min(start + GROUP), plan);
        }
    }

    /// Asks for all memory that the group needs, one dependency at a time.
    fn plan_group(&self, updates: &Updates, group: std::ops::Range<usize>, plan: &mut Plan) {
        let mut hashes = [0; GROUP];
        let mut guesses = [None; GROUP];
        for (hash, at) in hashes.iter_mut().zip(group.clone()) {
            let update = updates.get(at).expect("the group lies within the updates");
            *hash = self.ids.hash(&update.key);
            self.ids.prefetch(*hash);
        }
        for (guess, hash) in guesses[..group.len()].iter_mut().zip(hashes) {
            // Step by step for the whole group: it waits for memory once per step and not once per vehicle.
            *guess = self.ids.guess(hash);
            self.prefetch_row(*guess);
        }
        for ((hash, guess), at) in hashes.into_iter().zip(guesses).zip(group) {
            let planned = self.plan_one(updates, at, hash, guess, plan);
            plan.planned.push(planned);
        }
    }

    fn plan_one(
        &self,
        updates: &Updates,
        at: usize,
        hash: u64,
        guess: Option<u32>,
        plan: &mut Plan,
    ) -> Planned {
        let update = updates.get(at).expect("the group lies within the updates");
        // The id is compared only now, when the lines it needs have come.
        let guessed = guess.filter(|&slot| self.rows[slot].is_taken() && self.ids.is(slot, &update.key));
        let known = guessed.or_else(|| self.ids.find(hash, &update.key));
        let Some(slot) = known.or_else(|| new_slot(updates, &update, hash, plan)) else {
            return self.plan_new(updates, at, hash, plan);
        };
        let entry = plan.latest.find(slot);
        let fate = match plan.latest.update(entry).and_then(|latest| updates.get(latest as usize)) {
            Some(latest) => fate(latest.sighting, update.sighting),
            None => fate(&self.rows[slot].sighting(), update.sighting),
        };
        if fate == Fate::Stored {
            plan.latest.set(entry, slot, at as u32);
        }
        Planned { slot, fate, new_vehicle: false }
    }

    fn plan_new(&self, updates: &Updates, at: usize, hash: u64, plan: &mut Plan) -> Planned {
        if self.len() + plan.new.len() >= self.max_vehicles {
            return Planned { slot: NO_SLOT, fate: Fate::Shed, new_vehicle: false };
        }
        plan.new.insert_unique(hash, at as u32, |&at| {
            updates.get(at as usize).map_or(0, |update| self.ids.hash(&update.key))
        });
        let slot = self.plan_slot(plan);
        plan.latest.set(plan.latest.find(slot), slot, at as u32);
        Planned { slot, fate: Fate::Stored, new_vehicle: true }
    }

    /// Returns the slot that [`Index::vacant_slot`] will give.
    fn plan_slot(&self, plan: &mut Plan) -> u32 {
        while plan.vacant > 0 {
            plan.vacant -= 1;
            let slot = self.vacant[plan.vacant];
            // A slot may be listed twice.
            if !self.rows[slot].is_taken() && plan.latest.update(plan.latest.find(slot)).is_none() {
                return slot;
            }
        }
        plan.behind += 1;
        self.slots_end() + plan.behind - 1
    }

    /// Carries out the plan for the updates in `range`. The ranges of a batch must follow each other.
    pub(crate) fn commit(&mut self, updates: &Updates, plan: &Plan, range: std::ops::Range<usize>) {
        for start in range.clone().step_by(GROUP) {
            let group = start..range.end.min(start + GROUP);
            // The plan has loaded ids and rows; the entries and leaves that a move changes are asked for here.
            let planned = &plan.planned[group.clone()];
            let grid_points =
                self.prefetch_moves(planned.iter().map(|planned| planned.slot), updates, group.clone());
            for ((at, planned), grid_point) in group.zip(planned).zip(grid_points) {
                self.commit_one(updates, at, *planned, grid_point);
            }
        }
    }

    fn commit_one(&mut self, updates: &Updates, at: usize, planned: Planned, grid_point: GridPoint) {
        if planned.fate != Fate::Stored {
            return;
        }
        if planned.new_vehicle {
            let update = updates.get(at).expect("the range lies within the updates");
            let slot = self.vacant_slot();
            debug_assert_eq!(slot, planned.slot, "nothing changed since the plan");
            self.fill(slot, self.ids.hash(&update.key), &update.key, update.sighting);
        } else {
            self.see(planned.slot, grid_point, updates.sighting(at));
        }
    }
}

/// Returns the slot of a vehicle that is new with an earlier update of the batch.
fn new_slot(updates: &Updates, update: &Update<'_>, hash: u64, plan: &Plan) -> Option<u32> {
    let found =
        plan.new.find(hash, |&at| updates.get(at as usize).is_some_and(|earlier| earlier.key == update.key));
    found.map(|&at| plan.planned[at as usize].slot)
}

/// For each slot that the batch changes, the last update to be stored there: a table of the size of the
/// batch, so that it stays in the nearest cache.
#[derive(Debug, Default)]
struct Latest {
    entries: Vec<LatestUpdate>,
    /// Entries of another batch count as empty, which saves clearing them.
    batch: u32,
}

#[derive(Debug, Default, Clone, Copy)]
struct LatestUpdate {
    batch: u32,
    slot: u32,
    update: u32,
}

impl Latest {
    fn begin(&mut self, updates: usize) {
        let entries = (updates * 2).next_power_of_two();
        // Before the number of the batch would repeat, entries of old batches have to go.
        if self.entries.len() < entries || self.batch == u32::MAX {
            self.entries = vec![LatestUpdate::default(); entries];
            self.batch = 0;
        }
        self.batch += 1;
    }

    /// Returns the update in an entry that [`Latest::find`] gave.
    fn update(&self, at: usize) -> Option<u32> {
        let entry = self.entries[at];
        (entry.batch == self.batch).then_some(entry.update)
    }

    /// Fills the entry that [`Latest::find`] gave for the slot.
    fn set(&mut self, at: usize, slot: u32, update: u32) {
        self.entries[at] = LatestUpdate { batch: self.batch, slot, update };
    }

    /// Returns the number of the slot's entry, or of the empty one where it would be. There is one: at most half of the
    /// entries are taken.
    fn find(&self, slot: u32) -> usize {
        let mask = self.entries.len() - 1;
        // Multiplication by 2^32 / golden ratio spreads neighbouring slots.
        let mut at = (slot.wrapping_mul(0x9e37_79b9) >> 7) as usize & mask;
        while self.entries[at].batch == self.batch && self.entries[at].slot != slot {
            at = (at + 1) & mask;
        }
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Key, Sighting};
    use proptest::prelude::*;
    use vagn_wire::Position;

    const MAX_VEHICLES: usize = 6;

    fn sighting(time: i64, receive_seq: u64) -> Sighting {
        Sighting {
            position: Position::new(time as f64, receive_seq as f64).unwrap(),
            event_time_ms: time,
            receive_time_ms: time,
            receive_seq,
            seq: None,
            speed_mps: None,
            heading_deg: None,
            emergency: false,
            own_time: true,
            unsure: false,
        }
    }

    fn content(index: &Index) -> Vec<(u32, String, Sighting)> {
        let slots = index.slots(0, u32::MAX);
        slots.map(|(slot, key, sighting)| (slot, key.to_string(), sighting)).collect()
    }

    fn write(index: &mut Index, plan: &mut Plan, updates: &Updates) -> Vec<Planned> {
        index.plan(updates, plan);
        let half = updates.len() / 2;
        index.commit(updates, plan, 0..half);
        index.commit(updates, plan, half..updates.len());
        plan.planned.clone()
    }

    /// A batch of one update knows no earlier one of the same batch.
    fn write_singly(index: &mut Index, plan: &mut Plan, updates: &Updates) -> Vec<Planned> {
        let mut single = Updates::new();
        let singly = updates.iter().flat_map(|update| {
            single.clear();
            single.push(update.key, update.hash, *update.sighting);
            write(index, plan, &single)
        });
        singly.collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]
        /// Whatever vehicles a batch repeats, brings or leaves out.
        #[test]
        fn a_batch_does_what_its_updates_do_one_by_one(
            batches in prop::collection::vec(prop::collection::vec((0..9_u8, 0..6_i64, 0..4_u64), 0..150), 1..8),
            removals in prop::collection::vec((0..9_u8, 0..9_u8), 8),
        ) {
            let (mut at_once, mut one_by_one) = (Index::new(MAX_VEHICLES), Index::new(MAX_VEHICLES));
            let mut plan = Plan::default();
            for (batch, removed) in batches.iter().zip(removals) {
                let mut updates = Updates::new();
                for (vehicle, time, seq) in batch {
                    let name = format!("bus {vehicle}");
                    updates.push(Key::Text(&name), Key::Text(&name).hash(), sighting(*time, *seq));
                }
                let singly = write_singly(&mut one_by_one, &mut plan, &updates);
                prop_assert_eq!(write(&mut at_once, &mut plan, &updates), singly);
                prop_assert_eq!(content(&at_once), content(&one_by_one));
                for vehicle in [removed.0, removed.1] {
                    let name = format!("bus {vehicle}");
                    prop_assert_eq!(at_once.remove(Key::Text(&name)), one_by_one.remove(Key::Text(&name)));
                }
            }
        }
    }
}
