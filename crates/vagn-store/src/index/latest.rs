//! The last outcomes of the vehicles in a batch, while it is planned.

use super::planned::NONE;

/// For each slot that the batch changes, the last update to be stored there, and the last count: a table of the size of
/// the batch, so that it stays in the nearest cache.
#[derive(Debug, Default)]
pub(super) struct Latest {
    entries: Vec<LatestUpdate>,
    /// Entries of another batch count as empty, which saves clearing them.
    batch: u32,
}

#[derive(Debug, Default, Clone, Copy)]
pub(super) struct LatestUpdate {
    batch: u32,
    slot: u32,
    /// [`NONE`] while only the count was changed.
    pub(super) update: u32,
    /// Index in the counts of the plan, or [`NONE`].
    pub(super) count: u32,
}

impl Latest {
    pub(super) fn begin(&mut self, updates: usize) {
        let entries = (updates * 2).next_power_of_two();
        // Before the number of the batch would repeat, entries of old batches have to go.
        if self.entries.len() < entries || self.batch == u32::MAX {
            self.entries = vec![LatestUpdate::default(); entries];
            self.batch = 0;
        }
        self.batch += 1;
    }

    /// Returns true when the entry that [`Latest::find`] gave is taken.
    #[inline]
    pub(super) fn has(&self, at: usize) -> bool {
        self.entries[at].batch == self.batch
    }

    /// Returns the entry that [`Latest::find`] gave.
    #[inline]
    pub(super) fn get(&self, at: usize) -> LatestUpdate {
        let entry = self.entries[at];
        if entry.batch == self.batch { entry } else { LatestUpdate { update: NONE, count: NONE, ..entry } }
    }

    /// Fills the entry that [`Latest::find`] gave for the slot.
    #[inline]
    pub(super) fn set(&mut self, at: usize, slot: u32, update: u32, count: u32) {
        self.entries[at] = LatestUpdate { batch: self.batch, slot, update, count };
    }

    /// Returns the number of the slot's entry, or of the empty one where it would be. There is one: at most half of the
    /// entries are taken.
    #[inline]
    pub(super) fn find(&self, slot: u32) -> usize {
        let mask = self.entries.len() - 1;
        // Multiplication by 2^32 / golden ratio spreads neighbouring slots.
        let mut at = (slot.wrapping_mul(0x9e37_79b9) >> 7) as usize & mask;
        while self.entries[at].batch == self.batch && self.entries[at].slot != slot {
            at = (at + 1) & mask;
        }
        at
    }
}
