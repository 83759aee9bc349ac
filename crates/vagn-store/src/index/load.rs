//! An index from all its vehicles at once, as recovery has them.
//!
//! Sorted along a curve that visits cell after cell, vehicles fall into leaves in one pass, each leaf built
//! when its turn comes: nothing is split on the way, and what belongs together is touched together.

use super::cell::{Cell, DEPTH_MAX};
use super::node::{Branch, Child, LEAF_MAX};
use super::pile::OwnedKey;
use super::row::Row;
use super::tree::{TOP, Tree};
use super::{Counts, FIXED_SEED, GROUP, Index, Rows};
use crate::ids::{Ids, Names};
use crate::judge::Count;
use crate::prefetch::prefetch;
use crate::{Key, Sighting};

/// Slots of vehicles, each with the index of its smallest cell on the curve.
type Sorted = [(u64, u32)];

/// A vehicle whose id stands in an earlier slot as well.
struct LeftOver {
    slot: u32,
    id: OwnedKey,
    sighting: Sighting,
    count: Count,
}

impl Index {
    /// Returns an index of these vehicles, whose slots follow each other. Of an id that comes twice the later
    /// vehicle stays in a slot of its own.
    pub fn load<'a>(
        max_vehicles: usize,
        vehicles: impl IntoIterator<Item = (Key<'a>, &'a Sighting)>,
    ) -> Index {
        let mut rows = Rows::new();
        let mut names = Names::new();
        for (slot, (key, sighting)) in (0..).zip(vehicles) {
            rows.push(Row::new(sighting));
            names.set(slot, &key);
        }
        Index::of_parts(max_vehicles, FIXED_SEED, rows, names, Counts::default(), || {})
    }

    /// Returns an index of the vehicles in these rows, each named by its slot in `names`, which is as long as `rows`; a
    /// name without a row that is taken is no vehicle. The same as [`Index::put_back`] of one after the other, but
    /// nothing is copied. Calls `each` for every vehicle.
    pub(crate) fn of_parts(
        max_vehicles: usize,
        hash_seed: u64,
        rows: Rows,
        names: Names,
        counts: Counts,
        each: impl FnMut(),
    ) -> Index {
        let mut index = Index { ids: Ids::of(names, hash_seed), rows, counts, ..Index::new(max_vehicles) };
        index.departed.seed(hash_seed);
        let mut sorted = index.take_stock();
        let left_over = index.register(&sorted, each);
        // Most often there are none, and the list of all vehicles is left as it is.
        if !left_over.is_empty() {
            sorted.retain(|(_, slot)| index.rows[*slot].is_taken());
        }
        index.trim();
        // Along the curve every cell is one run: leaves are built in one pass, and nothing is split on the way.
        sorted.sort_unstable();
        index.tree.plant_below(TOP, Cell::ROOT, &sorted, &mut index.rows, &index.ids);
        for LeftOver { slot, id, sighting, count } in left_over {
            // Last, because the rules for a second slot or a full index need the others in the tree.
            index.put_back(slot, id.key(), &sighting, count);
        }
        index
    }

    /// Notes the slots that are vacant, and returns the vehicles in the others, in the order of their slots.
    fn take_stock(&mut self) -> Vec<(u64, u32)> {
        // Memory is taken as it is filled, so that vacant slots cost none.
        let mut vehicles = Vec::with_capacity(self.rows.len());
        for slot in 0..self.slots_end() {
            let row = &self.rows[slot];
            if row.is_taken() {
                vehicles.push((row.grid_point().on_curve(), slot));
            } else {
                self.ids.clear(slot);
                // A late report can have been counted for a name that has no position.
                self.counts.remove(slot);
                self.vacant.push(slot);
            }
        }
        vehicles
    }

    /// Makes the vehicles known by their ids. Takes out of their slots, and returns, those that need a closer look once
    /// the others are in the tree.
    fn register(&mut self, vehicles: &Sorted, mut each: impl FnMut()) -> Vec<LeftOver> {
        // Every id is hashed once more for that, in the order of memory; growing would move each four times.
        self.ids.reserve(vehicles.iter().map(|(_, slot)| *slot));
        let mut left_over = Vec::new();
        let mut hashes = [0; GROUP];
        for group in vehicles.chunks(GROUP) {
            for (hash, (_, slot)) in hashes.iter_mut().zip(group) {
                *hash = self.ids.hash(&self.ids.key(*slot));
                self.ids.prefetch(*hash);
            }
            for (hash, &(_, slot)) in hashes.into_iter().zip(group) {
                if self.len() >= self.max_vehicles || !self.ids.register(hash, slot) {
                    left_over.push(self.take_out(slot));
                }
                each();
            }
        }
        // The highest are used first.
        self.vacant.sort_unstable();
        left_over
    }

    /// Empties a slot whose vehicle is neither known by its id nor in the tree.
    fn take_out(&mut self, slot: u32) -> LeftOver {
        let id = self.ids.key(slot).into();
        self.ids.clear(slot);
        self.vacant.push(slot);
        let row = std::mem::replace(&mut self.rows[slot], Row::vacant());
        let count = self.counts.get(slot);
        self.counts.remove(slot);
        LeftOver { slot, id, sighting: row.sighting(), count }
    }

    /// Removes the vacant slots at the end.
    fn trim(&mut self) {
        while self.vacant.pop_if(|slot| *slot as usize + 1 == self.rows.len()).is_some() {
            self.rows.pop();
            self.ids.pop_vacant();
        }
    }
}

impl Tree {
    fn plant_below(&mut self, node: u32, cell: Cell, mut sorted: &Sorted, rows: &mut Rows, ids: &Ids) {
        for quarter in 0..4 {
            let inner = cell.quarter(quarter);
            let count = sorted.partition_point(|(on_curve, _)| *on_curve <= inner.end_on_curve());
            let (here, rest) = sorted.split_at(count);
            self.plant(inner, Branch { node, quarter }, here, rows, ids);
            sorted = rest;
        }
    }

    fn plant(&mut self, cell: Cell, branch: Branch, sorted: &Sorted, rows: &mut Rows, ids: &Ids) {
        let Some(&(_, first)) = sorted.first() else { return };
        let slots = sorted.iter().map(|(_, slot)| *slot);
        let first = rows[first].position();
        if sorted.len() <= LEAF_MAX as usize {
            for slot in slots.clone() {
                prefetch(&rows[slot]);
            }
            let leaf = self.add_leaf(cell, branch);
            for slot in slots {
                self.add_entry(leaf, slot, rows);
            }
        } else if cell.depth == DEPTH_MAX || slots.clone().all(|slot| rows[slot].is_at(first)) {
            let pile = self.add_pile(cell, branch);
            for slot in slots {
                self.add_to_pile(pile, slot, rows, ids);
            }
        } else {
            let node = self.add_node(cell, branch);
            self.hang(branch, Child::Node(node));
            self.plant_below(node, cell, sorted, rows, ids);
        }
    }
}
