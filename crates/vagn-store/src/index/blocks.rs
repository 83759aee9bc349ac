//! The entries of leaves: the position of each vehicle in space, sixteen to a block.
//!
//! Four entries share a cache line, coordinate by coordinate: a move writes one line and a search compares
//! four at once.

use super::lanes::Lanes;
use crate::chunked::Arena;
use crate::prefetch::prefetch;

/// Entries in a block: four quads, one for each cache line.
pub(super) const BLOCK: u32 = 16;
const LANES: u32 = 4;

/// Four entries. A lane without vehicle has coordinates that compare with nothing.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
pub(super) struct Quad {
    axes: [[f32; LANES as usize]; 3],
    slots: [u32; LANES as usize],
}

const EMPTY: Quad = Quad { axes: [[f32::NAN; LANES as usize]; 3], slots: [u32::MAX; LANES as usize] };

impl Quad {
    /// Returns the squared distances in space of the four entries to a point.
    #[inline]
    fn distances(&self, point: [f32; 3]) -> [f32; LANES as usize] {
        let mut sums = [0.0; LANES as usize];
        for (axis, from) in self.axes.iter().zip(point) {
            // Axis by axis over the four, which the compiler makes vector instructions of.
            for (sum, coordinate) in sums.iter_mut().zip(axis) {
                *sum += (coordinate - from) * (coordinate - from);
            }
        }
        sums
    }

    /// Returns distance and slot of the entries no farther from a point than the limit, both squared.
    #[inline]
    pub(super) fn within(&self, limit: f32, point: [f32; 3]) -> impl Iterator<Item = (f32, u32)> {
        let distances = self.distances(point);
        Lanes::that(|lane| distances[lane] <= limit).map(move |lane| (distances[lane], self.slots[lane]))
    }
}

/// One block of entries.
#[derive(Debug)]
struct Block {
    quads: [Quad; (BLOCK / LANES) as usize],
}

/// All blocks of one tree. An entry is named by a number: that of its block times [`BLOCK`], plus its index in the
/// block.
#[derive(Debug)]
pub(super) struct Blocks {
    blocks: Arena<Block>,
    /// Beside the blocks and not in them, so that blocks fill whole cache lines.
    owners: Arena<u32>,
}

impl Blocks {
    pub(super) const fn new() -> Blocks {
        Blocks { blocks: Arena::new(), owners: Arena::new() }
    }

    /// An empty block for a leaf.
    pub(super) fn add(&mut self, leaf: u32) -> u32 {
        let number = self.blocks.add(Block { quads: [EMPTY; (BLOCK / LANES) as usize] });
        let beside = self.owners.add(leaf);
        debug_assert_eq!(number, beside, "both arenas are used in step");
        number
    }

    pub(super) fn free(&mut self, block: u32) {
        self.blocks.free(block);
        self.owners.free(block);
    }

    /// Returns the leaf that the entry belongs to.
    #[inline]
    pub(super) fn leaf_of(&self, entry: u32) -> u32 {
        self.owners[entry / BLOCK]
    }

    #[inline]
    pub(super) fn quads(&self, block: u32) -> &[Quad] {
        &self.blocks[block].quads
    }

    pub(super) fn slot(&self, entry: u32) -> u32 {
        self.quad(entry).slots[lane(entry)]
    }

    pub(super) fn put(&mut self, entry: u32, point: [f32; 3], slot: u32) {
        self.move_to(entry, point);
        self.quad_mut(entry).slots[lane(entry)] = slot;
    }

    /// The same vehicle, elsewhere in its cell.
    #[inline]
    pub(super) fn move_to(&mut self, entry: u32, point: [f32; 3]) {
        let quad = self.quad_mut(entry);
        for (axis, coordinate) in quad.axes.iter_mut().zip(point) {
            axis[lane(entry)] = coordinate;
        }
    }

    /// Moves an entry over another, and returns the slot that moved.
    pub(super) fn take(&mut self, from: u32, to: u32) -> u32 {
        let point = self.quad(from).axes.map(|axis| axis[lane(from)]);
        let slot = self.slot(from);
        // NaN compares with nothing, so a search needs no count of the entries that are taken.
        self.put(from, [f32::NAN; 3], u32::MAX);
        if from != to {
            self.put(to, point, slot);
        }
        slot
    }

    #[inline]
    pub(super) fn prefetch(&self, entry: u32) {
        prefetch(self.quad(entry));
    }

    /// Starts to load a whole block.
    #[inline]
    pub(super) fn prefetch_block(&self, block: u32) {
        for quad in &self.blocks[block].quads {
            prefetch(quad);
        }
    }

    #[inline]
    fn quad(&self, entry: u32) -> &Quad {
        &self.blocks[entry / BLOCK].quads[(entry % BLOCK / LANES) as usize]
    }

    #[inline]
    fn quad_mut(&mut self, entry: u32) -> &mut Quad {
        &mut self.blocks[entry / BLOCK].quads[(entry % BLOCK / LANES) as usize]
    }
}

#[inline]
fn lane(entry: u32) -> usize {
    (entry % LANES) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_lanes_are_near_nothing() {
        let mut blocks = Blocks::new();
        let block = blocks.add(3);
        blocks.put(block * BLOCK + 5, [0.5, 0.0, 0.0], 77);
        let near: Vec<_> =
            blocks.quads(block).iter().flat_map(|quad| quad.within(f32::INFINITY, [0.0; 3])).collect();
        assert_eq!(near, [(0.25, 77)]);
        assert_eq!(blocks.leaf_of(block * BLOCK + 5), 3);
    }

    #[test]
    fn taking_an_entry_fills_the_gap() {
        let mut blocks = Blocks::new();
        let first = blocks.add(0) * BLOCK;
        blocks.put(first, [1.0, 0.0, 0.0], 1);
        blocks.put(first + 1, [0.0, 1.0, 0.0], 2);
        assert_eq!(blocks.take(first + 1, first), 2);
        assert_eq!((blocks.slot(first), blocks.slot(first + 1)), (2, u32::MAX));
        assert_eq!(blocks.quads(first / BLOCK)[0].distances([0.0, 1.0, 0.0])[0], 0.0);
    }
}
