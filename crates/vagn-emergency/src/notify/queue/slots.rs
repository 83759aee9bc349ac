//! Slots of one target: how many notices may be under way at a time, and of what sorts.

use super::phase::{NoticeSort, Rank};

/// Slots of one target, and how many of them are in use.
#[derive(Debug)]
pub(super) struct Slots {
    slots: usize,
    /// Slots open to retries and to vehicles that are not known; the rest is kept for first notices of known vehicles.
    slots_shared: usize,
    /// Slots open to vehicles that are not known and to updates; the rest is kept for first notices and retries of known vehicles.
    slots_for_others: usize,
    in_use: usize,
    shared_in_use: usize,
    others_in_use: usize,
}

impl Slots {
    /// Returns `slots` free slots, at least one.
    pub(super) fn new(slots: usize) -> Self {
        let slots = slots.max(1);
        // With fewer than four slots none can be kept: everything must be able to go out.
        let quarter = slots / 4;
        Self {
            slots,
            slots_shared: slots - quarter,
            slots_for_others: slots - 2 * quarter,
            in_use: 0,
            shared_in_use: 0,
            others_in_use: 0,
        }
    }

    /// Returns true when a notice of this sort may go out.
    pub(super) fn has_free<R: Rank>(&self, sort: NoticeSort<R>) -> bool {
        self.in_use < self.slots
            && (sort.is_preferred_first() || self.shared_in_use < self.slots_shared)
            && (sort.is_preferred() || self.others_in_use < self.slots_for_others)
    }

    /// Returns true when no notice may go out, of whatever sort.
    pub(super) fn are_full(&self) -> bool {
        self.in_use >= self.slots
    }

    pub(super) fn take<R: Rank>(&mut self, sort: NoticeSort<R>) {
        self.in_use += 1;
        self.shared_in_use += usize::from(!sort.is_preferred_first());
        self.others_in_use += usize::from(!sort.is_preferred());
    }

    pub(super) fn free<R: Rank>(&mut self, sort: NoticeSort<R>) {
        self.in_use -= 1;
        self.shared_in_use -= usize::from(!sort.is_preferred_first());
        self.others_in_use -= usize::from(!sort.is_preferred());
    }
}
