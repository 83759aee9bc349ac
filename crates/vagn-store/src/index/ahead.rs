//! Memory asked for before it is needed: what a group of updates, or an answer, is about to touch.
//!
//! Each step asks for what the lines of the step before name, for the whole group, so that the group waits once per
//! step and not once per vehicle. No answer depends on it.

use std::ops::Range;

use super::cell::Spot;
use super::{GROUP, Index};
use crate::Updates;
use crate::prefetch::prefetch;

impl Index {
    pub(super) fn prefetch_row(&self, slot: Option<u32>) {
        if let Some(slot) = slot {
            prefetch(&self.rows[slot]);
        }
    }

    /// Starts to load what [`Index::vehicle`] will read.
    pub(super) fn prefetch_vehicle(&self, slot: u32) {
        prefetch(&self.rows[slot]);
        self.ids.prefetch_key(slot);
    }

    /// Starts to load what the updates of a group will change for the vehicles in these slots, if any: the entries,
    /// and for those who move out of their leaf that leaf, and then what it names. Gives where they go.
    pub(super) fn prefetch_moves(
        &self,
        slots: impl Iterator<Item = u32>,
        updates: &Updates,
        group: Range<usize>,
    ) -> [Spot; GROUP] {
        let (mut spots, mut left, mut count) = ([Spot { x: 0, y: 0 }; GROUP], [0; GROUP], 0);
        let end = self.slots_end();
        for ((slot, at), spot) in slots.zip(group).zip(&mut spots) {
            *spot = Spot::of(updates.sighting(at).position);
            if slot < end
                && let Some(leaf) = self.prefetch_move(slot, *spot)
            {
                left[count] = leaf;
                count += 1;
            }
        }
        left[..count].iter().for_each(|&leaf| self.tree.prefetch_around(leaf));
        spots
    }

    /// Gives the leaf that the vehicle would leave.
    #[inline]
    fn prefetch_move(&self, slot: u32, spot: Spot) -> Option<u32> {
        let row = &self.rows[slot];
        if !row.is_in_leaf() {
            return None;
        }
        self.tree.blocks.prefetch(row.place);
        (!spot.shares(row.spot(), row.depth)).then(|| self.tree.prefetch_leaf(row.place))
    }
}
