//! A hash table from ids to slots that holds neither: 32 bits of the hash stand for the id.
//!
//! One cache line answers most look-ups with a slot that is right but once in billions, so that what the slot
//! holds can be loaded while the id is still being compared. Many small parts grow one at a time and by a
//! quarter, which keeps the pause and the slack small; they are made of pages that all come from one arena,
//! which keeps them on huge pages of the system and wastes nothing when a part grows.

use crate::chunked::Arena;
use crate::prefetch::prefetch;

const PARTS: usize = 1 << PART_BITS;
const PART_BITS: u32 = 9;

/// A part grows when more than 4/5 of its buckets are taken; probing gets long beyond.
const FULL: (usize, usize) = (4, 5);

/// Buckets per page. A kibibyte: with all parts in use, a small fleet pays half a mebibyte.
const PAGE: usize = 128;

/// Tag in the upper half, slot + 1 in the lower, 0 for empty.
type Bucket = u64;

#[derive(Debug)]
pub(super) struct IdTable {
    parts: Vec<Part>,
    pages: Arena<Page>,
    len: usize,
}

/// A run of buckets with linear probing, the first behind the last.
#[derive(Debug, Default, Clone)]
struct Part {
    pages: Vec<u32>,
    used: usize,
}

#[derive(Debug, Clone)]
#[repr(align(64))]
struct Page([Bucket; PAGE]);

impl IdTable {
    pub(super) fn new() -> IdTable {
        IdTable { parts: vec![Part::default(); PARTS], pages: Arena::new(), len: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(super) fn prefetch(&self, hash: u64) {
        let part = &self.parts[part_of(hash)];
        if !part.pages.is_empty() {
            prefetch(self.bucket(part, part.home(tag(hash))));
        }
    }

    /// Returns the first slot under this hash that `is_it` accepts.
    #[inline]
    pub(super) fn find(&self, hash: u64, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        let (_, bucket) = self.probe(&self.parts[part_of(hash)], tag(hash), |bucket| {
            bucket == 0 || (tag_of(bucket) == tag(hash) && is_it(slot_of(bucket)))
        })?;
        (bucket != 0).then(|| slot_of(bucket))
    }

    /// Makes room in an empty table for ids with these hashes: as much as they would take one by one, but
    /// nothing is moved as they come. Grown to, each would be put in five times.
    pub(super) fn reserve(&mut self, hashes: impl Iterator<Item = u64>) {
        debug_assert!(self.len == 0, "what is there would be lost");
        let mut counts = vec![0; PARTS];
        for hash in hashes {
            counts[part_of(hash)] += 1;
        }
        for (part, count) in self.parts.iter_mut().zip(counts) {
            while is_too_small(part.pages.len(), count) {
                // In the steps in which it would have grown, so that it ends up exactly as large.
                let more = grown(part.pages.len()) - part.pages.len();
                part.pages.extend((0..more).map(|_| self.pages.add(Page([0; PAGE]))));
            }
        }
    }

    /// Adds a slot; its id must not be in the table.
    pub(super) fn insert(&mut self, hash: u64, slot: u32) {
        self.insert_new(hash, slot, |_| false);
    }

    /// Adds a slot unless there is one under this hash that `is_it` accepts. Returns true when it was added.
    #[inline]
    pub(super) fn insert_new(&mut self, hash: u64, slot: u32, mut is_it: impl FnMut(u32) -> bool) -> bool {
        let number = part_of(hash);
        let part = &self.parts[number];
        if is_too_small(part.pages.len(), part.used + 1) {
            self.grow(number);
        }
        let found = self.probe(&self.parts[number], tag(hash), |bucket| {
            bucket == 0 || (tag_of(bucket) == tag(hash) && is_it(slot_of(bucket)))
        });
        let (at, bucket) = found.expect("a part grows before it is full");
        if bucket != 0 {
            return false;
        }
        self.set(number, at, u64::from(tag(hash)) << 32 | (u64::from(slot) + 1));
        self.parts[number].used += 1;
        self.len += 1;
        true
    }

    /// Removes a slot that is in the table under this hash.
    pub(super) fn remove(&mut self, hash: u64, slot: u32) {
        let number = part_of(hash);
        let found =
            self.probe(&self.parts[number], tag(hash), |bucket| bucket == 0 || slot_of(bucket) == slot);
        if let Some((at, bucket)) = found
            && bucket != 0
        {
            self.close(number, at);
            self.parts[number].used -= 1;
            self.len -= 1;
        }
    }

    /// Returns the first bucket from the home of `tag` on that `stops`, with its number. There is always an empty one,
    /// unless there are none at all.
    #[inline]
    fn probe(&self, part: &Part, tag: u32, mut stops: impl FnMut(Bucket) -> bool) -> Option<(usize, Bucket)> {
        if part.pages.is_empty() {
            return None;
        }
        let mut at = part.home(tag);
        loop {
            let bucket = *self.bucket(part, at);
            if stops(bucket) {
                return Some((at, bucket));
            }
            at = part.next(at);
        }
    }

    #[inline]
    fn bucket(&self, part: &Part, at: usize) -> &Bucket {
        &self.pages[part.pages[at / PAGE]].0[at % PAGE]
    }

    fn set(&mut self, number: usize, at: usize, bucket: Bucket) {
        let page = self.parts[number].pages[at / PAGE];
        self.pages[page].0[at % PAGE] = bucket;
    }

    fn put(&mut self, number: usize, bucket: Bucket) {
        let found = self.probe(&self.parts[number], tag_of(bucket), |bucket| bucket == 0);
        let (at, _) = found.expect("a part grows before it is full");
        self.set(number, at, bucket);
    }

    fn grow(&mut self, number: usize) {
        let old = std::mem::take(&mut self.parts[number].pages);
        self.parts[number].pages = (0..grown(old.len())).map(|_| self.pages.add(Page([0; PAGE]))).collect();
        for page in old {
            for index in 0..PAGE {
                let bucket = self.pages[page].0[index];
                if bucket != 0 {
                    self.put(number, bucket);
                }
            }
            // To the arena and not to the system: the next part that grows takes it, still on a huge page.
            self.pages.free(page);
        }
    }

    /// Empties a bucket and moves back the ones that were probed past it.
    fn close(&mut self, number: usize, mut gap: usize) {
        let mut at = gap;
        loop {
            let part = &self.parts[number];
            at = part.next(at);
            let bucket = *self.bucket(part, at);
            if bucket == 0 {
                break;
            }
            // Moved back instead of marked as deleted: marks would pile up in a fleet whose vehicles come and go.
            if part.distance(part.home(tag_of(bucket)), at) >= part.distance(gap, at) {
                self.set(number, gap, bucket);
                gap = at;
            }
        }
        self.set(number, gap, 0);
    }
}

impl Part {
    fn len(&self) -> usize {
        self.pages.len() * PAGE
    }

    /// Returns the bucket at which the search for a tag begins.
    #[inline]
    fn home(&self, tag: u32) -> usize {
        ((u64::from(tag) * self.len() as u64) >> 32) as usize
    }

    #[inline]
    fn next(&self, at: usize) -> usize {
        if at + 1 == self.len() { 0 } else { at + 1 }
    }

    /// Counts the steps forward from one bucket to another.
    fn distance(&self, from: usize, to: usize) -> usize {
        if to >= from { to - from } else { to + self.len() - from }
    }
}

/// Returns true when a part of that many pages must grow to hold that many buckets.
#[inline]
fn is_too_small(pages: usize, buckets: usize) -> bool {
    buckets * FULL.1 > pages * PAGE * FULL.0
}

/// Returns the pages of the next larger part.
fn grown(pages: usize) -> usize {
    pages + (pages / 4).max(1)
}

#[inline]
fn part_of(hash: u64) -> usize {
    (hash >> (64 - PART_BITS)) as usize
}

#[inline]
fn tag(hash: u64) -> u32 {
    hash as u32
}

#[inline]
fn tag_of(bucket: Bucket) -> u32 {
    (bucket >> 32) as u32
}

#[inline]
fn slot_of(bucket: Bucket) -> u32 {
    bucket as u32 - 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    /// Enough for parts of several pages, as all go to two parts.
    const SLOTS: u32 = 1_500;

    /// Hashes from so few values that parts, homes and whole tags collide all the time.
    fn crowded(random: &mut fastrand::Rng) -> u64 {
        (random.u64(..2) << 63) | random.u64(..4) << 30 | random.u64(..100)
    }

    #[test]
    fn finds_what_was_put_in_and_not_taken_out() {
        let mut random = fastrand::Rng::with_seed(1);
        let mut table = IdTable::new();
        let mut model: HashMap<u32, u64> = HashMap::new();
        for _ in 0..20_000 {
            let slot = random.u32(..SLOTS);
            match model.remove(&slot) {
                Some(hash) => table.remove(hash, slot),
                None => {
                    let hash = crowded(&mut random);
                    table.insert(hash, slot);
                    model.insert(slot, hash);
                }
            }
            assert_eq!(table.len(), model.len());
            let probe = random.u32(..SLOTS);
            let hash = model.get(&probe).copied().unwrap_or_else(|| crowded(&mut random));
            assert_eq!(table.find(hash, |slot| slot == probe), model.contains_key(&probe).then_some(probe));
        }
    }

    #[test]
    fn adds_what_is_new_and_leaves_what_is_there() {
        let mut random = fastrand::Rng::with_seed(2);
        let mut table = IdTable::new();
        let mut model: HashMap<(u64, u32), u32> = HashMap::new();
        // Slots that leave the same rest when divided by seven are of one id.
        for slot in 0..SLOTS {
            let (hash, id) = (crowded(&mut random), slot % 7);
            let is_new = !model.contains_key(&(hash, id));
            assert_eq!(table.insert_new(hash, slot, |other| other % 7 == id), is_new);
            model.entry((hash, id)).or_insert(slot);
        }
        assert_eq!(table.len(), model.len());
        for ((hash, id), slot) in model {
            assert_eq!(table.find(hash, |other| other % 7 == id), Some(slot));
        }
    }

    #[test]
    fn room_made_at_once_is_as_much_as_would_be_grown_to() {
        let mut random = fastrand::Rng::with_seed(3);
        let pages = |table: &IdTable| -> Vec<_> { table.parts.iter().map(|part| part.pages.len()).collect() };
        for count in [0, 1, 102, 103, 1_000, 5_000] {
            let hashes: Vec<_> = (0..count).map(|_| crowded(&mut random)).collect();
            let (mut grown, mut reserved) = (IdTable::new(), IdTable::new());
            reserved.reserve(hashes.iter().copied());
            let at_once = pages(&reserved);
            for (hash, slot) in hashes.iter().zip(0..) {
                grown.insert(*hash, slot);
                reserved.insert(*hash, slot);
            }
            assert_eq!((&at_once, &pages(&reserved)), (&pages(&grown), &at_once), "{count} ids");
            assert!(
                hashes
                    .iter()
                    .zip(0..)
                    .all(|(hash, slot)| reserved.find(*hash, |it| it == slot) == Some(slot))
            );
        }
    }

    #[test]
    fn removing_what_is_not_there_changes_nothing() {
        let mut table = IdTable::new();
        table.remove(5, 5);
        table.insert(5, 1);
        table.remove(5, 2);
        assert_eq!((table.len(), table.find(5, |_| true)), (1, Some(1)));
    }
}
