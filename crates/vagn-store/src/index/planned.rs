//! The outcome of one update.

use vagn_wire::Fate;

use super::NO_SLOT;
use crate::Sighting;
use crate::judge::at_arrival;

/// No update, or no count.
pub(super) const NONE: u32 = u32::MAX;

/// Outcome of a report as the log tells it beside its fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Marks {
    /// It was stale: the past sees it, the live index does not.
    pub(crate) late: bool,
    /// Its number begins its vehicle's count anew.
    pub(crate) restarts: bool,
    /// Not the first report of its vehicle in its envelope.
    pub(crate) continues: bool,
}

/// Outcome of one update.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Planned {
    /// Slot of the vehicle, [`NO_SLOT`] when it gets none. A vehicle keeps its slot until it is removed or forgotten;
    /// then another may get it.
    pub(crate) slot: u32,
    /// Index in the counts of its plan of the vehicle's count after it, or [`NONE`] when that is as before.
    pub(super) count: u32,
    /// `Stored`, `Stale`, `Duplicate`, `Invalid` for a position without fix, or `Shed` for a new vehicle beyond the greatest
    /// number kept.
    pub(crate) fate: Fate,
    /// Any of the constants below. One byte, so that one comparison tells most updates from the rest.
    pub(super) flags: u8,
}

/// The vehicle was not known before.
pub(super) const NEW_VEHICLE: u8 = 1;
/// The log is to have the update.
pub(super) const WRITTEN: u8 = 2;
/// The log is to have the count as well, since the report as it is written does not lead there.
pub(super) const TELLS_COUNT: u8 = 4;
/// The arrival is to stand in for the time of the sighting.
pub(super) const ARRIVAL_STANDS_IN: u8 = 8;
/// The number of the report begins its vehicle's count anew.
pub(super) const RESTARTS: u8 = 16;
/// Not the first report of its vehicle in its envelope.
pub(super) const CONTINUES: u8 = 32;

impl Planned {
    /// Returns the outcome of most updates: the position is stored, and that is all.
    #[inline]
    pub(super) fn plain(slot: u32) -> Self {
        Self { slot, count: NONE, fate: Fate::Stored, flags: WRITTEN }
    }

    pub(super) fn without_slot(fate: Fate) -> Self {
        Self { slot: NO_SLOT, count: NONE, fate, flags: 0 }
    }

    #[inline]
    pub(super) fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Returns true when the position is stored as it was sent, of a vehicle that was known, without a mark. A count may
    /// have changed.
    #[inline]
    pub(crate) fn is_plain(&self) -> bool {
        self.fate == Fate::Stored && self.flags == WRITTEN
    }

    /// Returns true when the vehicle in the slot is not as before: another position, or another count.
    #[inline]
    pub(crate) fn changes(&self) -> bool {
        self.fate == Fate::Stored || self.count != NONE
    }

    #[inline]
    pub(crate) fn is_new_vehicle(&self) -> bool {
        self.has(NEW_VEHICLE)
    }

    /// Returns true when the log is to have the update.
    #[inline]
    pub(crate) fn is_written(&self) -> bool {
        self.has(WRITTEN)
    }

    /// Returns true when the log is to have the count as well.
    #[inline]
    pub(crate) fn tells_count(&self) -> bool {
        self.has(TELLS_COUNT)
    }

    /// Returns the outcome as the log is to tell it.
    #[inline]
    pub(crate) fn marks(&self) -> Marks {
        Marks { late: self.fate == Fate::Stale, restarts: self.has(RESTARTS), continues: self.has(CONTINUES) }
    }

    /// Returns the sighting that is to be stored.
    #[inline]
    pub(crate) fn sighting(&self, sent: &Sighting) -> Sighting {
        if self.has(ARRIVAL_STANDS_IN) { at_arrival(sent) } else { *sent }
    }
}

#[inline]
pub(super) fn flag_if(set: bool, flag: u8) -> u8 {
    if set { flag } else { 0 }
}
