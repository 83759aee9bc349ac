//! The counts of the vehicles that send numbers, beside their rows.
//!
//! Most fleets send none: then nothing is allocated here, and a look costs one comparison.

use crate::judge::Count;
use crate::prefetch::prefetch;

/// Slots whose counts are allocated together, as soon as one of their vehicles sends a number.
const CHUNK: usize = 128;

/// Counts by slot. A vehicle without one has [`Count::NONE`].
#[derive(Debug, Default)]
pub(crate) struct Counts {
    chunks: Vec<Option<Box<[Count; CHUNK]>>>,
}

impl Counts {
    /// Returns the count of the vehicle in a slot.
    #[inline]
    pub(crate) fn get(&self, slot: u32) -> Count {
        match self.chunks.get(chunk_of(slot)) {
            Some(Some(chunk)) => chunk[place_of(slot)],
            _ => Count::NONE,
        }
    }

    /// Returns true when the vehicle in a slot has one.
    #[inline]
    pub(crate) fn has(&self, slot: u32) -> bool {
        matches!(self.chunks.get(chunk_of(slot)), Some(Some(chunk)) if !chunk[place_of(slot)].is_none())
    }

    /// Sets the count of the vehicle in a slot.
    pub(crate) fn set(&mut self, slot: u32, count: Count) {
        if count.is_none() {
            return self.remove(slot);
        }
        let at = chunk_of(slot);
        if at >= self.chunks.len() {
            self.chunks.resize_with(at + 1, || None);
        }
        let chunk = self.chunks[at].get_or_insert_with(|| Box::new([Count::NONE; CHUNK]));
        chunk[place_of(slot)] = count;
    }

    /// Removes the count of a vehicle that goes; the memory too, once its neighbours have none either.
    #[inline]
    pub(crate) fn remove(&mut self, slot: u32) {
        if let Some(chunk) = self.chunks.get_mut(chunk_of(slot))
            && let Some(counts) = chunk
            && !counts[place_of(slot)].is_none()
        {
            counts[place_of(slot)] = Count::NONE;
            if counts.iter().all(Count::is_none) {
                *chunk = None;
            }
        }
    }

    /// Starts to load the count of a slot, if there is one.
    #[inline]
    pub(super) fn prefetch(&self, slot: u32) {
        if let Some(Some(chunk)) = self.chunks.get(chunk_of(slot)) {
            prefetch(&chunk[place_of(slot)]);
        }
    }
}

#[inline]
fn chunk_of(slot: u32) -> usize {
    slot as usize / CHUNK
}

#[inline]
fn place_of(slot: u32) -> usize {
    slot as usize % CHUNK
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(number: u64) -> Count {
        let mut count = Count::NONE;
        count.note(number);
        count
    }

    #[test]
    fn takes_memory_only_where_numbers_are_sent() {
        let mut counts = Counts::default();
        counts.set(7, Count::NONE);
        assert!(counts.chunks.is_empty() && counts.get(7).is_none());
        for slot in [300, 301] {
            counts.set(slot, counted(u64::from(slot)));
        }
        assert_eq!((counts.get(300), counts.get(301)), (counted(300), counted(301)));
        assert!([0, 299, 302, 999].iter().all(|slot| counts.get(*slot).is_none()));
        assert_eq!(counts.chunks.iter().flatten().count(), 1);
        counts.remove(300);
        assert_eq!((counts.get(300), counts.get(301)), (Count::NONE, counted(301)));
        counts.set(301, Count::NONE);
        assert_eq!(counts.chunks.iter().flatten().count(), 0);
    }
}
