//! The entries of leaves: where each vehicle is in space, sixteen to a block.
//!
//! Four entries share a cache line, coordinate by coordinate: a move writes one line and a search compares
//! four at once.

use super::lanes::Lanes;
use crate::chunked::Arena;
use crate::prefetch::prefetch;

/// Entries per block.
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
    /// Squared distances in space of the four entries to a point.
    #[inline]
    fn distances(&self, point: [f32; 3]) -> [f32; LANES as usize] {
        let mut sums = [0.0; LANES as usize];
        for (axis, from) in self.axes.iter().zip(point) {
            for (sum, coordinate) in sums.iter_mut().zip(axis) {
                *sum += (coordinate - from) * (coordinate - from);
            }
        }
        sums
    }

    /// The entries no farther from a point than the limit, both squared: their distances and slots.
    #[inline]
    pub(super) fn within(&self, limit: f32, point: [f32; 3]) -> impl Iterator<Item = (f32, u32)> {
        let distances = self.distances(point);
        Lanes::that(|lane| distances[lane] <= limit).map(move |lane| (distances[lane], self.slots[lane]))
    }
}

/// One block and the leaf it belongs to.
#[derive(Debug)]
struct Block {
    quads: [Quad; (BLOCK / LANES) as usize],
}

/// All blocks of one tree. An entry is named by its place: block number times [`BLOCK`], plus its index in
/// the block.
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

    /// The leaf that the entry belongs to.
    #[inline]
    pub(super) fn leaf_of(&self, place: u32) -> u32 {
        self.owners[place / BLOCK]
    }

    #[inline]
    pub(super) fn quads(&self, block: u32) -> &[Quad] {
        &self.blocks[block].quads
    }

    pub(super) fn slot(&self, place: u32) -> u32 {
        self.quad(place).slots[lane(place)]
    }

    pub(super) fn put(&mut self, place: u32, point: [f32; 3], slot: u32) {
        self.move_to(place, point);
        self.quad_mut(place).slots[lane(place)] = slot;
    }

    /// The same vehicle, elsewhere in its cell.
    #[inline]
    pub(super) fn move_to(&mut self, place: u32, point: [f32; 3]) {
        let quad = self.quad_mut(place);
        for (axis, coordinate) in quad.axes.iter_mut().zip(point) {
            axis[lane(place)] = coordinate;
        }
    }

    /// Copies an entry over another and empties its own place. Gives the slot that moved.
    pub(super) fn take(&mut self, from: u32, to: u32) -> u32 {
        let point = self.quad(from).axes.map(|axis| axis[lane(from)]);
        let slot = self.slot(from);
        self.put(from, [f32::NAN; 3], u32::MAX);
        if from != to {
            self.put(to, point, slot);
        }
        slot
    }

    #[inline]
    pub(super) fn prefetch(&self, place: u32) {
        prefetch(self.quad(place));
    }

    /// Starts to load a whole block.
    #[inline]
    pub(super) fn prefetch_block(&self, block: u32) {
        self.blocks[block].quads.iter().for_each(prefetch);
    }

    #[inline]
    fn quad(&self, place: u32) -> &Quad {
        &self.blocks[place / BLOCK].quads[(place % BLOCK / LANES) as usize]
    }

    #[inline]
    fn quad_mut(&mut self, place: u32) -> &mut Quad {
        &mut self.blocks[place / BLOCK].quads[(place % BLOCK / LANES) as usize]
    }
}

#[inline]
fn lane(place: u32) -> usize {
    (place % LANES) as usize
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
