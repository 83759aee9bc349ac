//! Memory asked for before it is needed: what a group of updates, or an answer, is about to touch.
//!
//! Each step asks for what the lines of the step before name, for the whole group, so that the group waits once per
//! step and not once per vehicle. No answer depends on it.

use std::ops::Range;

use super::cell::GridPoint;
use super::{GROUP, Index};
use crate::Updates;
use crate::prefetch::prefetch;

impl Index {
    pub(super) fn prefetch_row(&self, slot: Option<u32>) {
        if let Some(slot) = slot {
            prefetch(&self.rows[slot]);
            self.counts.prefetch(slot);
        }
    }

    /// Starts to load what [`Index::vehicle`] will read.
    pub(super) fn prefetch_vehicle(&self, slot: u32) {
        prefetch(&self.rows[slot]);
        self.ids.prefetch_key(slot);
    }

    /// Starts to load what the updates of a group will change for the vehicles in these slots, if any: the entries,
    /// and for vehicles that leave their leaf that leaf, and then what it names. Returns the positions they go to.
    pub(super) fn prefetch_moves(
        &self,
        slots: impl Iterator<Item = u32>,
        updates: &Updates,
        group: Range<usize>,
    ) -> [GridPoint; GROUP] {
        let mut grid_points = [GridPoint { x: 0, y: 0 }; GROUP];
        // Arrays, because the group is small and this runs for every one: nothing is allocated.
        let mut left = [0; GROUP];
        let mut count = 0;
        let end = self.slots_end();
        for ((slot, at), grid_point) in slots.zip(group).zip(&mut grid_points) {
            *grid_point = GridPoint::of(updates.sighting(at).position);
            if slot < end
                && let Some(leaf) = self.prefetch_move(slot, *grid_point)
            {
                left[count] = leaf;
                count += 1;
            }
        }
        for &leaf in &left[..count] {
            self.tree.prefetch_around(leaf);
        }
        grid_points
    }

    /// Returns the leaf that the vehicle would leave, if it would.
    #[inline]
    fn prefetch_move(&self, slot: u32, grid_point: GridPoint) -> Option<u32> {
        let row = &self.rows[slot];
        if !row.is_in_leaf() {
            return None;
        }
        self.tree.blocks.prefetch(row.entry);
        (!grid_point.shares(row.grid_point(), row.depth)).then(|| self.tree.prefetch_leaf(row.entry))
    }
}
