//! An index from all its vehicles at once, as recovery has them.
//!
//! Sorted along a curve that visits cell after cell, vehicles fall into leaves in one pass, each leaf built
//! when its turn comes: nothing is split on the way, and what belongs together is touched together.

use super::cell::{Cell, DEPTH_MAX};
use super::node::{Branch, Child, LEAF_MAX};
use super::row::Row;
use super::tree::{TOP, Tree};
use super::{GROUP, Index, Rows};
use crate::ids::Ids;
use crate::prefetch::prefetch;
use crate::{Key, Sighting};

/// Vehicles by the place of their spot on the curve.
type Sorted = [(u64, u32)];

impl Index {
    /// An index with these vehicles in these slots. Several times as fast as [`Index::insert_slot`] one by
    /// one, and the same where a slot or an id comes twice.
    pub fn load<'a>(
        max_vehicles: usize,
        vehicles: impl IntoIterator<Item = (u32, Key<'a>, &'a Sighting)>,
    ) -> Index {
        let mut index = Index::new(max_vehicles);
        let mut vehicles = vehicles.into_iter();
        let mut group = Vec::with_capacity(GROUP);
        let mut left_over = Vec::new();
        loop {
            group.clear();
            group.extend(
                vehicles
                    .by_ref()
                    .take(GROUP)
                    .map(|(slot, key, sighting)| (index.ids.hash(&key), slot, key, sighting)),
            );
            if group.is_empty() {
                break;
            }
            group.iter().for_each(|(hash, ..)| index.ids.prefetch(*hash));
            for (hash, slot, key, sighting) in group.drain(..) {
                if !index.register(hash, slot, &key, sighting) {
                    left_over.push((slot, key, sighting));
                }
            }
        }
        index.plant();
        for (slot, key, sighting) in left_over {
            index.insert_slot(slot, key, sighting);
        }
        index
    }

    /// Gives the vehicle its slot, but no place in the tree. False for what needs a closer look.
    fn register(&mut self, hash: u64, slot: u32, key: &Key<'_>, sighting: &Sighting) -> bool {
        let fits =
            slot >= self.slots_end() && slot != super::Applied::NO_SLOT && self.len() < self.max_vehicles;
        if !fits || self.ids.find(hash, key).is_some() {
            return false;
        }
        self.skip_to(slot);
        self.ids.insert(hash, slot, key);
        self.rows.push(Row::new(sighting));
        true
    }

    /// Builds the tree over the rows.
    fn plant(&mut self) {
        let taken = (0..self.slots_end()).filter(|&slot| self.rows[slot].is_taken());
        let mut sorted: Vec<(u64, u32)> =
            taken.map(|slot| (self.rows[slot].spot().on_curve(), slot)).collect();
        sorted.sort_unstable();
        self.tree.plant_below(TOP, Cell::ROOT, &sorted, &mut self.rows, &self.ids);
    }
}

impl Tree {
    fn plant_below(&mut self, node: u32, cell: Cell, mut sorted: &Sorted, rows: &mut Rows, ids: &Ids) {
        for quarter in 0..4 {
            let inner = cell.quarter(quarter);
            let count = sorted.partition_point(|(place, _)| *place <= inner.end_on_curve());
            let (here, rest) = sorted.split_at(count);
            self.plant(inner, Branch { node, quarter }, here, rows, ids);
            sorted = rest;
        }
    }

    fn plant(&mut self, cell: Cell, branch: Branch, sorted: &Sorted, rows: &mut Rows, ids: &Ids) {
        let Some(&(_, first)) = sorted.first() else { return };
        let slots = || sorted.iter().map(|(_, slot)| *slot);
        if sorted.len() <= LEAF_MAX as usize {
            slots().for_each(|slot| prefetch(&rows[slot]));
            let leaf = self.add_leaf(cell, branch);
            slots().for_each(|slot| self.add_entry(leaf, slot, rows));
        } else if cell.depth == DEPTH_MAX || slots().all(|slot| rows[slot].is_at(rows[first].position())) {
            let pile = self.add_pile(cell, branch);
            slots().for_each(|slot| self.add_to_pile(pile, slot, rows, ids));
        } else {
            let node = self.add_node(cell, branch);
            self.hang(branch, Child::Node(node));
            self.plant_below(node, cell, sorted, rows, ids);
        }
    }
}
