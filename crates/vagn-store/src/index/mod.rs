//! The live index of one partition: the last sighting of each vehicle, found by id and by position.
//!
//! | file | holds |
//! |---|---|
//! | `row.rs` | the data of a vehicle, one cache line |
//! | `counts.rs` | the numbers seen of a vehicle, where it sends any |
//! | `departed.rs` | those of sealed vehicles that left |
//! | `plan.rs`, `rule.rs` | the outcome of a batch, worked out by a rule before anything is changed |
//! | `commit.rs` | a plan carried out |
//! | `planned.rs`, `latest.rs` | the outcome of one update, and the last ones of each vehicle in a batch |
//! | `teller.rs` | what a commit changes, told to those who follow |
//! | `ahead.rs` | memory that a group of updates will touch, asked for before it is touched |
//! | `cell.rs`, `node.rs`, `blocks.rs`, `pile.rs` | the parts of the tree |
//! | `tree.rs`, `load.rs` | how they change, and how they are built at once |
//! | `nearby.rs`, `within.rs`, `lanes.rs` | how they are searched |

mod ahead;
mod blocks;
mod cell;
mod commit;
mod counts;
mod departed;
mod lanes;
mod latest;
mod load;
mod nearby;
mod node;
mod pile;
mod plan;
mod planned;
mod row;
mod rule;
mod teller;
#[cfg(test)]
mod tests;
mod tree;
mod within;

use crate::chunked::Chunked;
use crate::geo::unit_vector;
use crate::ids::{Ids, Names};
use crate::judge::Count;
use crate::{Found, Gone, Key, KeyTag, Sighting, Vehicle, VehicleIdBuf};
use cell::GridPoint;
use node::coarse;
use tree::{TOP, Tree, narrow};

pub(crate) use counts::Counts;
pub use departed::DepartedAt;
pub(crate) use departed::{Departed, DepartedCount};
pub use nearby::Nearby;
pub use plan::Plan;
pub(crate) use planned::{Marks, Planned};
pub(crate) use row::Row;
pub(crate) use rule::{AsJudged, AsTheyCome, Outcome, Rule};
pub(crate) use teller::Teller;

pub(crate) type Rows = Chunked<Row>;

/// Updates whose memory is asked for together. More would push each other out of the nearest cache.
const GROUP: usize = 64;

/// No index takes more: even with a leaf and a block for each vehicle, all numbers then fit their types.
const VEHICLES_MAX: usize = 1 << 28;

/// Seed of the hash of ids where none is given, as in tests and benchmarks; the guards are counted with it.
const FIXED_SEED: u64 = 0;

/// The slot of a vehicle that has none.
pub(crate) const NO_SLOT: u32 = u32::MAX;

/// A vehicle in its slot, with all that decides the fate of its next report.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Held<'a> {
    pub(crate) slot: u32,
    pub(crate) key: Key<'a>,
    pub(crate) sighting: Sighting,
    pub(crate) count: Count,
}

/// The live index of one partition. One writer changes it; see [`Writer`](crate::Writer) and
/// [`Reader`](crate::Reader).
#[derive(Debug)]
pub struct Index {
    ids: Ids,
    rows: Rows,
    counts: Counts,
    departed: Departed,
    tree: Tree,
    /// Slots that may be vacant; `put_back` takes some without striking them off.
    vacant: Vec<u32>,
    max_vehicles: usize,
}

impl Index {
    /// Returns an empty index for up to `max_vehicles` vehicles. The hash of its ids is the same in every run, which is
    /// for tests and benchmarks: that of a [`Partition`](crate::Partition) has a seed, see
    /// [`Settings::hash_seed`](crate::Settings::hash_seed).
    pub fn new(max_vehicles: usize) -> Index {
        let mut index = Index {
            ids: Ids::new(FIXED_SEED),
            rows: Rows::new(),
            counts: Counts::default(),
            departed: Departed::new(FIXED_SEED),
            tree: Tree::new(),
            vacant: Vec::new(),
            max_vehicles: VEHICLES_MAX,
        };
        index.bound(max_vehicles);
        index
    }

    /// Returns an empty index without a bound, whose ids are found by a hash with this seed.
    pub(crate) fn with_seed(hash_seed: u64) -> Index {
        Index::of_parts(VEHICLES_MAX, hash_seed, Rows::new(), Names::new(), Counts::default(), || {})
    }

    /// Counts the vehicles.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Returns true when there is no vehicle.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns one more than the highest slot ever used.
    pub(crate) fn slots_end(&self) -> u32 {
        self.rows.len() as u32
    }

    /// Returns a slot to use next: one given back, or the one behind the last.
    fn vacant_slot(&mut self) -> u32 {
        // `put_back` may have filled some without taking them off the list.
        while let Some(slot) = self.vacant.pop() {
            if !self.rows[slot].is_taken() {
                return slot;
            }
        }
        self.slots_end()
    }

    /// Puts a vehicle into a slot without vehicle.
    fn fill(&mut self, slot: u32, hash: u64, key: &Key<'_>, sighting: &Sighting) {
        self.ids.insert(hash, slot, key);
        // Before the tree, which reads the position from the row and the id for a pile.
        self.rows.set(slot, Row::new(sighting));
        self.tree.insert(slot, TOP, &mut self.rows, &self.ids);
    }

    /// Stores a newer sighting. The cheap cases come first: a vehicle that stays in its cell changes its own entry
    /// only.
    fn see(&mut self, slot: u32, grid_point: GridPoint, sighting: &Sighting) {
        let row = &mut self.rows[slot];
        // Two fields of the row tell; it is not unpacked into a sighting for that.
        if !row.stays_at(sighting.position, grid_point) {
            return self.relocate(slot, sighting);
        }
        // A vehicle that stands still, or stays in its pile, has no coordinates to write.
        let moves = row.is_in_leaf() && sighting.position != row.position();
        // In units of 65 s: most reports raise nothing, and the nodes above stay out of the cache.
        let raises = coarse(sighting.event_time_ms) > coarse(row.event_time_ms());
        row.see(sighting);
        if moves {
            self.tree.blocks.move_to(row.entry, narrow(unit_vector(sighting.position)));
        }
        if raises {
            self.tree.raise(slot, &self.rows);
        }
    }

    fn relocate(&mut self, slot: u32, sighting: &Sighting) {
        // Most vehicles move to a neighbouring cell: the search for the new leaf begins at the old one.
        let near = self.tree.remove(slot, &mut self.rows, &self.ids);
        self.rows[slot].see(sighting);
        self.tree.insert(slot, near, &mut self.rows, &self.ids);
    }

    /// Puts a vehicle back into the slot it had, as log and snapshot tell. Whatever vehicle is in the slot leaves it, and
    /// the vehicle leaves any other slot. Returns false beyond the greatest number of vehicles.
    pub(crate) fn put_back(&mut self, slot: u32, key: Key<'_>, sighting: &Sighting, count: Count) -> bool {
        let hash = self.ids.hash(&key);
        self.vacate(slot);
        if let Some(other) = self.ids.find(hash, &key) {
            self.vacate(other);
        }
        // After both slots are vacated: the vehicle may take the room of the one whose slot it gets.
        if self.len() >= self.max_vehicles || slot == NO_SLOT {
            return false;
        }
        self.skip_to(slot);
        self.fill(slot, hash, &key, sighting);
        self.counts.set(slot, count);
        true
    }

    /// Adds vacant slots up to this one.
    fn skip_to(&mut self, slot: u32) {
        while self.slots_end() < slot {
            self.vacant.push(self.slots_end());
            self.rows.push(Row::vacant());
            self.ids.push_vacant();
        }
    }

    /// Forgets a vehicle, but not the count that it has under a key. Returns false when there is none of that id.
    pub fn remove(&mut self, key: Key<'_>) -> bool {
        self.slot_of(key).is_some_and(|slot| self.remove_slot(slot))
    }

    /// Forgets the vehicle in a slot, but not the count that it has under a key. Returns false when there is none.
    pub(crate) fn remove_slot(&mut self, slot: u32) -> bool {
        if self.is_taken(slot) && self.counts.has(slot) {
            let (sighting, count) = self.state(slot);
            let (key_hash, receive_seq) = (self.ids.key(slot).hash(), sighting.receive_seq);
            self.departed.add(DepartedCount { key_hash, receive_seq, count });
        }
        self.vacate(slot)
    }

    fn vacate(&mut self, slot: u32) -> bool {
        if !self.is_taken(slot) {
            return false;
        }
        self.tree.remove(slot, &mut self.rows, &self.ids);
        // After the tree, which finds the vehicle in a pile by its id.
        self.ids.remove(slot);
        self.rows[slot] = Row::vacant();
        self.counts.remove(slot);
        self.vacant.push(slot);
        true
    }

    /// Returns a vehicle by its id.
    pub fn get(&self, key: Key<'_>) -> Option<Vehicle> {
        self.slot_of(key).map(|slot| self.vehicle(slot))
    }

    /// Returns the slot of a vehicle.
    pub(crate) fn slot_of(&self, key: Key<'_>) -> Option<u32> {
        self.ids.find(self.ids.hash(&key), &key)
    }

    /// Returns the vehicles in slots `from..from + count`, for a snapshot.
    pub(crate) fn slots(&self, from: u32, count: u32) -> impl Iterator<Item = Held<'_>> {
        let end = from.saturating_add(count).min(self.slots_end());
        let taken = (from..end).filter(|&slot| self.rows[slot].is_taken());
        taken.map(|slot| Held {
            slot,
            key: self.ids.key(slot),
            sighting: self.rows[slot].sighting(),
            count: self.counts.get(slot),
        })
    }

    /// Returns what is kept of the vehicle in a slot that is taken, beside its key.
    #[inline]
    pub(crate) fn state(&self, slot: u32) -> (Sighting, Count) {
        (self.rows[slot].sighting(), self.counts.get(slot))
    }

    /// Returns the key of the vehicle in a slot that is taken.
    pub(crate) fn key(&self, slot: u32) -> Key<'_> {
        self.ids.key(slot)
    }

    /// Sets the greatest number of vehicles, and that of counts of vehicles that left. Vehicles that are known stay.
    pub(crate) fn bound(&mut self, max_vehicles: usize) {
        self.max_vehicles = max_vehicles.min(VEHICLES_MAX);
        self.departed.bound(self.max_vehicles);
    }

    /// Returns the counts of sealed vehicles that left.
    pub(crate) fn departed(&self) -> &Departed {
        &self.departed
    }

    /// Forgets counts of vehicles that left, see [`Departed::forget`].
    pub(crate) fn forget_departed(
        &mut self,
        behind: Option<DepartedAt>,
        most: usize,
        is_over: impl Fn(KeyTag) -> bool,
    ) -> Option<DepartedAt> {
        self.departed.forget(behind, most, is_over)
    }

    /// Adds counts of vehicles that left before.
    pub(crate) fn add_departed(&mut self, counts: impl IntoIterator<Item = DepartedCount>) {
        counts.into_iter().for_each(|departed| self.departed.add(departed));
    }

    /// Returns the vehicle in a slot as one that leaves.
    pub(crate) fn gone(&self, slot: u32) -> Gone {
        Gone { row: slot, id: VehicleIdBuf::of(self.ids.key(slot)), last: self.rows[slot].position() }
    }

    /// Returns the vehicle in a slot that is taken.
    pub(crate) fn found(&self, slot: u32) -> Found<'_> {
        Found { row: slot, key: self.ids.key(slot), sighting: self.rows[slot].sighting() }
    }

    fn is_taken(&self, slot: u32) -> bool {
        slot < self.slots_end() && self.rows[slot].is_taken()
    }

    fn vehicle(&self, slot: u32) -> Vehicle {
        Vehicle { id: VehicleIdBuf::of(self.ids.key(slot)), sighting: self.rows[slot].sighting() }
    }
}
