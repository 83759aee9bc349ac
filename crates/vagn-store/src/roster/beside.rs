//! What a roster keeps beside each row: its place in the order of receipt, and its hash.
//!
//! The order is a list through all rows, from the vehicle that was silent for longest to the one that was heard last. So the next
//! vehicles to be forgotten are known without a search, and are the same wherever they are kept.

use crate::Sighting;
use crate::chunked::Chunked;
use crate::judge::Count;
use crate::key::{finish, mix_words};
use crate::prefetch::prefetch;

/// No row: the end of the list.
const NONE: u32 = u32::MAX;

/// What is kept beside a row. 16 bytes.
#[derive(Debug, Clone, Copy)]
struct Side {
    /// Row whose last stored report was received right before.
    older: u32,
    /// Row whose last stored report was received right after.
    newer: u32,
    /// Hash of the row, 0 when no vehicle is in it.
    hash: u64,
}

/// What is kept beside all rows.
#[derive(Debug)]
pub(super) struct Beside {
    sides: Chunked<Side>,
    oldest: u32,
    newest: u32,
    /// Sum of all hashes: equal for equal rows in any order.
    sum: u64,
}

impl Beside {
    pub(super) const fn new() -> Self {
        Self { sides: Chunked::new(), oldest: NONE, newest: NONE, sum: 0 }
    }

    /// Makes room for rows below `end`.
    pub(super) fn reach(&mut self, end: u32) {
        while (self.sides.len() as u32) < end {
            self.sides.push(Side { older: NONE, newer: NONE, hash: 0 });
        }
    }

    /// Starts to load what the rows' changes will touch: first they themselves, then those before and after them.
    pub(super) fn prefetch(&self, slots: impl Iterator<Item = u32> + Clone) {
        for slot in slots.clone() {
            prefetch(&self.sides[slot]);
        }
        for slot in slots {
            let Side { older, newer, .. } = self.sides[slot];
            for other in [older, newer].into_iter().filter(|other| *other != NONE) {
                prefetch(&self.sides[other]);
            }
        }
    }

    /// Puts a row that is not in the list at its end: its vehicle was heard last.
    pub(super) fn admit(&mut self, slot: u32) {
        let older = std::mem::replace(&mut self.newest, slot);
        match older {
            NONE => self.oldest = slot,
            _ => self.sides[older].newer = slot,
        }
        let side = &mut self.sides[slot];
        (side.older, side.newer) = (older, NONE);
    }

    /// Moves a row to the end of the list.
    pub(super) fn hear(&mut self, slot: u32) {
        if self.newest != slot {
            self.unlink(slot);
            self.admit(slot);
        }
    }

    /// Takes out a row whose vehicle goes.
    pub(super) fn leave(&mut self, slot: u32) {
        self.unlink(slot);
        self.set_hash(slot, 0);
    }

    fn unlink(&mut self, slot: u32) {
        let Side { older, newer, .. } = self.sides[slot];
        match older {
            NONE => self.oldest = newer,
            _ => self.sides[older].newer = newer,
        }
        match newer {
            NONE => self.newest = older,
            _ => self.sides[newer].older = older,
        }
    }

    /// Sets the hash of a row.
    pub(super) fn set_hash(&mut self, slot: u32, hash: u64) {
        let before = std::mem::replace(&mut self.sides[slot].hash, hash);
        self.sum = self.sum.wrapping_sub(before).wrapping_add(hash);
    }

    /// Returns the sum of all hashes.
    pub(super) fn sum(&self) -> u64 {
        self.sum
    }

    /// Returns the rows with vehicles, from the one that was silent for longest.
    pub(super) fn in_order(&self) -> impl Iterator<Item = u32> {
        let first = Some(self.oldest).filter(|slot| *slot != NONE);
        std::iter::successors(first, |slot| Some(self.sides[*slot].newer).filter(|slot| *slot != NONE))
    }
}

/// Returns the hash of all that is kept of a vehicle, whose key has this hash.
pub(super) fn row_hash(key_hash: u64, sighting: &Sighting, count: &Count) -> u64 {
    let Sighting { position, event_time_ms, receive_time_ms, receive_seq, seq, .. } = *sighting;
    let Sighting { speed_mps, heading_deg, emergency, own_time, unsure, .. } = *sighting;
    let (highest, seen, key) = count.parts();
    let flags = [seq.is_some(), speed_mps.is_some(), heading_deg.is_some(), emergency, own_time, unsure];
    let flags = flags.into_iter().fold(u64::from(key), |flags, flag| flags << 1 | u64::from(flag));
    let speed = u64::from(speed_mps.unwrap_or_default().to_bits());
    let heading = u64::from(heading_deg.unwrap_or_default().to_bits());
    let pairs = [
        (position.lat().to_bits(), position.lon().to_bits()),
        (event_time_ms as u64, receive_time_ms as u64),
        (receive_seq, seq.unwrap_or_default()),
        (speed << 32 | heading, flags),
        (highest, seen),
    ];
    finish(pairs.into_iter().fold(key_hash, |hash, (one, other)| mix_words(hash, one, other)))
}
