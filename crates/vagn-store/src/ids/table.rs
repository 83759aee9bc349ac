//! A hash table from ids to slots that holds neither: 32 bits of the hash stand for the id.
//!
//! One cache line answers most look-ups with a slot that is right but once in billions, so that what the slot
//! holds can be loaded while the id is still being compared. Many small parts grow one at a time and by a
//! quarter, which keeps the pause and the slack small.

use crate::prefetch::prefetch;

const PARTS: usize = 1 << PART_BITS;
const PART_BITS: u32 = 9;

/// A part grows when more than 4/5 of its cells are taken; probing gets long beyond.
const FULL: (usize, usize) = (4, 5);

#[derive(Debug)]
pub(super) struct Table {
    parts: Vec<Part>,
    len: usize,
}

#[derive(Debug, Default, Clone)]
struct Part {
    /// Linear probing: tag in the upper half, slot + 1 in the lower, 0 for empty.
    cells: Box<[u64]>,
    used: usize,
}

impl Table {
    pub(super) fn new() -> Table {
        Table { parts: vec![Part::default(); PARTS], len: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(super) fn prefetch(&self, hash: u64) {
        let part = self.part(hash);
        if let Some(cell) = part.cells.get(part.home(tag(hash))) {
            prefetch(cell);
        }
    }

    /// The first slot under this hash that `is_it` accepts.
    #[inline]
    pub(super) fn find(&self, hash: u64, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        let part = self.part(hash);
        let at = part.probe(hash, |cell| cell == 0 || (tag_of(cell) == tag(hash) && is_it(slot_of(cell))))?;
        let cell = part.cells[at];
        (cell != 0).then(|| slot_of(cell))
    }

    /// Adds a slot; its id must not be in the table.
    pub(super) fn insert(&mut self, hash: u64, slot: u32) {
        let part = &mut self.parts[part_of(hash)];
        if (part.used + 1) * FULL.1 > part.cells.len() * FULL.0 {
            part.grow();
        }
        part.put(u64::from(tag(hash)) << 32 | (u64::from(slot) + 1));
        self.len += 1;
    }

    /// Removes a slot that is in the table under this hash.
    pub(super) fn remove(&mut self, hash: u64, slot: u32) {
        let part = &mut self.parts[part_of(hash)];
        let at = part.probe(hash, |cell| cell == 0 || slot_of(cell) == slot);
        if let Some(at) = at.filter(|&at| part.cells[at] != 0) {
            part.close(at);
            self.len -= 1;
        }
    }

    #[inline]
    fn part(&self, hash: u64) -> &Part {
        &self.parts[part_of(hash)]
    }
}

impl Part {
    /// Where the search for a tag begins.
    #[inline]
    fn home(&self, tag: u32) -> usize {
        ((u64::from(tag) * self.cells.len() as u64) >> 32) as usize
    }

    /// The first cell from the home of `hash` on that `stops`. There is always an empty one, unless there are
    /// none at all.
    #[inline]
    fn probe(&self, hash: u64, mut stops: impl FnMut(u64) -> bool) -> Option<usize> {
        if self.cells.is_empty() {
            return None;
        }
        let mut at = self.home(tag(hash));
        while !stops(self.cells[at]) {
            at = self.next(at);
        }
        Some(at)
    }

    #[inline]
    fn next(&self, at: usize) -> usize {
        if at + 1 == self.cells.len() { 0 } else { at + 1 }
    }

    fn put(&mut self, cell: u64) {
        let mut at = self.home(tag_of(cell));
        while self.cells[at] != 0 {
            at = self.next(at);
        }
        self.cells[at] = cell;
        self.used += 1;
    }

    fn grow(&mut self) {
        let len = (self.cells.len() + self.cells.len() / 4).max(8);
        let cells = std::mem::replace(&mut self.cells, vec![0; len].into_boxed_slice());
        self.used = 0;
        for cell in cells.into_iter().filter(|&cell| cell != 0) {
            self.put(cell);
        }
    }

    /// Empties a cell and moves back what was probed past it.
    fn close(&mut self, mut gap: usize) {
        let mut at = gap;
        loop {
            at = self.next(at);
            let cell = self.cells[at];
            if cell == 0 {
                break;
            }
            let home = self.home(tag_of(cell));
            if self.distance(home, at) >= self.distance(gap, at) {
                self.cells[gap] = cell;
                gap = at;
            }
        }
        self.cells[gap] = 0;
        self.used -= 1;
    }

    /// Steps forward from one cell to another.
    fn distance(&self, from: usize, to: usize) -> usize {
        if to >= from { to - from } else { to + self.cells.len() - from }
    }
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
fn tag_of(cell: u64) -> u32 {
    (cell >> 32) as u32
}

#[inline]
fn slot_of(cell: u64) -> u32 {
    cell as u32 - 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    /// Hashes from so few values that parts, homes and whole tags collide all the time.
    fn crowded(random: &mut fastrand::Rng) -> u64 {
        (random.u64(..2) << 63) | random.u64(..3) << 30 | random.u64(..40)
    }

    #[test]
    fn finds_what_was_put_in_and_not_taken_out() {
        let mut random = fastrand::Rng::with_seed(1);
        let mut table = Table::new();
        let mut model: HashMap<u32, u64> = HashMap::new();
        for _ in 0..20_000 {
            let slot = random.u32(..300);
            match model.remove(&slot) {
                Some(hash) => table.remove(hash, slot),
                None => {
                    let hash = crowded(&mut random);
                    table.insert(hash, slot);
                    model.insert(slot, hash);
                }
            }
            assert_eq!(table.len(), model.len());
            let probe = random.u32(..300);
            let hash = model.get(&probe).copied().unwrap_or_else(|| crowded(&mut random));
            assert_eq!(table.find(hash, |slot| slot == probe), model.contains_key(&probe).then_some(probe));
        }
    }

    #[test]
    fn removing_what_is_not_there_changes_nothing() {
        let mut table = Table::new();
        table.remove(5, 5);
        table.insert(5, 1);
        table.remove(5, 2);
        assert_eq!((table.len(), table.find(5, |_| true)), (1, Some(1)));
    }
}
