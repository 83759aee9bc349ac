//! The live index of one partition: the last sighting of each vehicle, found by id and by place.
//!
//! | file | holds |
//! |---|---|
//! | `row.rs` | what is kept of a vehicle, one cache line |
//! | `fate.rs` | the rules of order and repeats |
//! | `ahead.rs` | what a group of updates will touch, asked for before it is touched |
//! | `cell.rs`, `node.rs`, `blocks.rs`, `pile.rs` | the parts of the tree |
//! | `tree.rs`, `load.rs` | how they change, and how they are built at once |
//! | `nearby.rs`, `within.rs`, `lanes.rs` | how they are searched |

mod ahead;
mod blocks;
mod cell;
mod fate;
mod lanes;
mod load;
mod nearby;
mod node;
mod pile;
mod plan;
mod row;
mod tree;
mod within;

use vagn_wire::Fate;

use crate::chunked::Chunked;
use crate::geo::unit_vector;
use crate::ids::Ids;
use crate::{Key, Sighting, Update, Updates, Vehicle, VehicleIdBuf};
use cell::Spot;
use node::coarse;
use tree::{TOP, Tree, narrow};

pub use nearby::Nearby;
pub(crate) use plan::Plan;
pub(crate) use row::Row;

pub(crate) type Rows = Chunked<Row>;

/// Updates whose memory is asked for together. More would push each other out of the nearest cache.
const GROUP: usize = 64;

/// No index takes more: even with a leaf and a block for each vehicle, all numbers then fit their types.
const VEHICLES_MAX: usize = 1 << 28;

/// The live index of one partition. One writer changes it; see [`Writer`](crate::Writer) and
/// [`Reader`](crate::Reader).
#[derive(Debug)]
pub struct Index {
    ids: Ids,
    rows: Rows,
    tree: Tree,
    /// Slots that may be vacant; `insert_slot` takes some without striking them off.
    vacant: Vec<u32>,
    max_vehicles: usize,
    /// The slot that [`Index::forget_before`] looks at next.
    forget_next: u32,
}

/// What became of one update.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Applied {
    /// The slot of the vehicle, [`Applied::NO_SLOT`] when it was shed. A vehicle keeps its slot until it is
    /// removed or forgotten; then another may get it.
    pub slot: u32,
    /// `Stored`, `Stale`, `Duplicate`, or `Shed` for a new vehicle beyond the greatest number kept.
    pub fate: Fate,
    /// The vehicle was not known before.
    pub new_vehicle: bool,
}

impl Applied {
    /// The slot of a vehicle that has none.
    pub const NO_SLOT: u32 = u32::MAX;
}

impl Index {
    /// An empty index that takes up to `max_vehicles` vehicles.
    pub fn new(max_vehicles: usize) -> Index {
        Index {
            ids: Ids::new(),
            rows: Rows::new(),
            tree: Tree::new(),
            vacant: Vec::new(),
            max_vehicles: max_vehicles.min(VEHICLES_MAX),
            forget_next: 0,
        }
    }

    /// How many vehicles it holds.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether it holds no vehicle.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One more than the highest slot ever used.
    pub fn slots_end(&self) -> u32 {
        self.rows.len() as u32
    }

    /// Applies updates in order and adds what became of each to `applied`.
    pub fn apply(&mut self, updates: &Updates, applied: &mut Vec<Applied>) {
        applied.reserve(updates.len());
        self.apply_range(updates, 0..updates.len(), applied);
    }

    /// Applies a part of the updates.
    pub(crate) fn apply_range(
        &mut self,
        updates: &Updates,
        range: std::ops::Range<usize>,
        applied: &mut Vec<Applied>,
    ) {
        for start in range.clone().step_by(GROUP) {
            let group = start..range.end.min(start + GROUP);
            self.apply_group(updates, group, applied);
        }
    }

    /// Asks for all memory that the group needs, one dependency at a time, then applies it.
    fn apply_group(&mut self, updates: &Updates, group: std::ops::Range<usize>, applied: &mut Vec<Applied>) {
        let update = |index: usize| updates.get(index).expect("the group lies within the updates");
        let mut hashes = [0; GROUP];
        let mut guesses = [None; GROUP];
        let count = group.len();
        for (hash, index) in hashes.iter_mut().zip(group.clone()) {
            *hash = self.ids.hash(&update(index).key);
            self.ids.prefetch(*hash);
        }
        for (guess, hash) in guesses[..count].iter_mut().zip(hashes) {
            *guess = self.ids.guess(hash);
            self.prefetch_row(*guess);
        }
        let slots = guesses[..count].iter().map(|guess| guess.unwrap_or(Applied::NO_SLOT));
        let spots = self.prefetch_moves(slots, updates, group.clone());
        for (((hash, guess), spot), index) in hashes.into_iter().zip(guesses).zip(spots).zip(group) {
            applied.push(self.apply_one(&update(index), spot, hash, guess));
        }
    }

    fn apply_one(&mut self, update: &Update<'_>, spot: Spot, hash: u64, guess: Option<u32>) -> Applied {
        let guessed = guess.filter(|&slot| self.rows[slot].is_taken() && self.ids.is(slot, &update.key));
        let Some(slot) = guessed.or_else(|| self.ids.find(hash, &update.key)) else {
            return self.add(update, hash);
        };
        Applied { slot, fate: self.update_taken(slot, spot, update.sighting), new_vehicle: false }
    }

    fn add(&mut self, update: &Update<'_>, hash: u64) -> Applied {
        if self.len() >= self.max_vehicles {
            return Applied { slot: Applied::NO_SLOT, fate: Fate::Shed, new_vehicle: false };
        }
        let slot = self.vacant_slot();
        self.fill(slot, hash, &update.key, update.sighting);
        Applied { slot, fate: Fate::Stored, new_vehicle: true }
    }

    /// A slot to use next: one given back, or the one behind the last.
    fn vacant_slot(&mut self) -> u32 {
        while let Some(slot) = self.vacant.pop() {
            if !self.rows[slot].is_taken() {
                return slot;
            }
        }
        self.slots_end()
    }

    fn fill(&mut self, slot: u32, hash: u64, key: &Key<'_>, sighting: &Sighting) {
        self.ids.insert(hash, slot, key);
        self.rows.set(slot, Row::new(sighting));
        self.tree.insert(slot, TOP, &mut self.rows, &self.ids);
    }

    /// Gives the vehicle in `slot` a further sighting, by the same rules as [`Index::apply`]. A slot without
    /// vehicle gives `Failed`.
    pub fn update_slot(&mut self, slot: u32, sighting: &Sighting) -> Fate {
        if !self.is_taken(slot) {
            return Fate::Failed;
        }
        self.update_taken(slot, Spot::of(sighting.position), sighting)
    }

    fn update_taken(&mut self, slot: u32, spot: Spot, sighting: &Sighting) -> Fate {
        let fate = fate::fate(&self.rows[slot].sighting(), sighting);
        if fate == Fate::Stored {
            self.see(slot, spot, sighting);
        }
        fate
    }

    /// The cheap cases first: a vehicle that stays in its cell changes its own entry only.
    fn see(&mut self, slot: u32, spot: Spot, sighting: &Sighting) {
        let row = &mut self.rows[slot];
        if !row.stays_at(sighting.position, spot) {
            return self.relocate(slot, sighting);
        }
        let moves = row.is_in_leaf() && sighting.position != row.position();
        let raises = coarse(sighting.event_time_ms) > coarse(row.event_time_ms());
        row.see(sighting);
        if moves {
            self.tree.blocks.move_to(row.place, narrow(unit_vector(sighting.position)));
        }
        if raises {
            self.tree.raise(slot, &self.rows);
        }
    }

    fn relocate(&mut self, slot: u32, sighting: &Sighting) {
        let near = self.tree.remove(slot, &mut self.rows, &self.ids);
        self.rows[slot].see(sighting);
        self.tree.insert(slot, near, &mut self.rows, &self.ids);
    }

    /// Puts a vehicle back into the slot it had, as a log or snapshot tells. Whoever else was in the slot
    /// leaves it, and the vehicle leaves any other slot. `Shed` beyond the greatest number of vehicles; else
    /// the fate as by [`Index::apply`].
    pub fn insert_slot(&mut self, slot: u32, key: Key<'_>, sighting: &Sighting) -> Fate {
        let hash = self.ids.hash(&key);
        if self.is_taken(slot) && self.ids.is(slot, &key) {
            return self.update_slot(slot, sighting);
        }
        self.vacate(slot);
        if let Some(other) = self.ids.find(hash, &key) {
            self.vacate(other);
        }
        if self.len() >= self.max_vehicles || slot == Applied::NO_SLOT {
            return Fate::Shed;
        }
        self.skip_to(slot);
        self.fill(slot, hash, &key, sighting);
        Fate::Stored
    }

    /// Adds vacant slots up to this one.
    fn skip_to(&mut self, slot: u32) {
        while self.slots_end() < slot {
            self.vacant.push(self.slots_end());
            self.rows.push(Row::vacant());
            self.ids.push_vacant();
        }
    }

    /// Forgets a vehicle. Gives the slot it had.
    pub fn remove(&mut self, key: Key<'_>) -> Option<u32> {
        let slot = self.ids.find(self.ids.hash(&key), &key)?;
        self.vacate(slot);
        Some(slot)
    }

    /// Forgets the vehicle in a slot. False when there is none.
    pub fn remove_slot(&mut self, slot: u32) -> bool {
        self.vacate(slot)
    }

    fn vacate(&mut self, slot: u32) -> bool {
        if !self.is_taken(slot) {
            return false;
        }
        self.tree.remove(slot, &mut self.rows, &self.ids);
        self.ids.remove(slot);
        self.rows[slot] = Row::vacant();
        self.vacant.push(slot);
        true
    }

    /// Forgets vehicles whose last report arrived before `receive_time_ms`, and adds their slots to
    /// `forgotten`. Looks at the next `slots` slots only, going round from call to call, so that the work per
    /// call is bounded.
    pub fn forget_before(&mut self, receive_time_ms: i64, slots: u32, forgotten: &mut Vec<u32>) {
        for _ in 0..slots.min(self.slots_end()) {
            let slot = self.forget_next % self.slots_end();
            self.forget_next = slot + 1;
            if self.rows[slot].receive_time_ms() < receive_time_ms && self.vacate(slot) {
                forgotten.push(slot);
            }
        }
    }

    /// A vehicle by its id.
    pub fn get(&self, key: Key<'_>) -> Option<Vehicle> {
        self.slot_of(key).map(|slot| self.vehicle(slot))
    }

    /// The slot of a vehicle.
    pub fn slot_of(&self, key: Key<'_>) -> Option<u32> {
        self.ids.find(self.ids.hash(&key), &key)
    }

    /// The vehicles in slots `from..from + count`, for a snapshot.
    pub fn slots(&self, from: u32, count: u32) -> impl Iterator<Item = (u32, Key<'_>, Sighting)> {
        let end = from.saturating_add(count).min(self.slots_end());
        (from..end)
            .filter(|&slot| self.rows[slot].is_taken())
            .map(|slot| (slot, self.ids.key(slot), self.rows[slot].sighting()))
    }

    fn is_taken(&self, slot: u32) -> bool {
        slot < self.slots_end() && self.rows[slot].is_taken()
    }

    fn vehicle(&self, slot: u32) -> Vehicle {
        Vehicle { id: VehicleIdBuf::of(self.ids.key(slot)), sighting: self.rows[slot].sighting() }
    }
}
