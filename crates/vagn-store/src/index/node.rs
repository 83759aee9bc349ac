//! The parts of the tree above its entries: inner nodes, leaves, and how they name each other.

use super::blocks::BLOCK;
use super::cell::Cell;
use super::lanes::Lanes;
use crate::prefetch::prefetch;

/// Vehicles in a leaf at most; one more splits it.
pub(super) const LEAF_MAX: u32 = 64;
/// Four quarters with no more than this between them become one leaf again. Far below [`LEAF_MAX`], so that a
/// vehicle going back and forth does not split and merge with every step.
pub(super) const MERGE_MAX: u32 = 24;

const BLOCKS_MAX: usize = (LEAF_MAX / BLOCK) as usize;

/// Content of a quarter of a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Child {
    Empty,
    Node(u32),
    Leaf(u32),
    Pile(u32),
}

/// Bits of the number in a packed child.
const NUMBER: u32 = (1 << 30) - 1;

impl Child {
    /// Packs it into four bytes, with the kind in the upper two bits.
    #[inline]
    pub(super) fn pack(self) -> u32 {
        match self {
            Child::Empty => 0,
            Child::Node(number) => 1 << 30 | number,
            Child::Leaf(number) => 2 << 30 | number,
            Child::Pile(number) => 3 << 30 | number,
        }
    }

    /// Returns the child that was packed.
    #[inline]
    pub(super) fn unpack(packed: u32) -> Child {
        let number = packed & NUMBER;
        match packed >> 30 {
            0 => Child::Empty,
            1 => Child::Node(number),
            2 => Child::Leaf(number),
            _ => Child::Pile(number),
        }
    }
}

/// A quarter of a node, on which a node, leaf or pile hangs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Branch {
    pub(super) node: u32,
    pub(super) quarter: usize,
}

/// An inner node: what a search needs of its four quarters, in two cache lines.
#[derive(Debug)]
#[repr(align(64))]
pub(super) struct Node {
    least: [[f32; 4]; 3],
    greatest: [[f32; 4]; 3],
    /// Packed, as the search pushes them.
    children: [u32; 4],
    /// Bound of the event times in each quarter: none is newer; see [`coarse`].
    newest: [u32; 4],
}

impl Node {
    pub(super) fn new(cell: Cell) -> Node {
        let mut node = Node {
            least: [[0.0; 4]; 3],
            greatest: [[0.0; 4]; 3],
            children: [Child::Empty.pack(); 4],
            newest: [0; 4],
        };
        // Worked out once: boxes belong to the cell and not to the vehicles in it, so that a move never changes one.
        for quarter in 0..4 {
            let [least, greatest] = cell.quarter(quarter).bounds();
            for axis in 0..3 {
                node.least[axis][quarter] = least[axis];
                node.greatest[axis][quarter] = greatest[axis];
            }
        }
        node
    }

    #[inline]
    pub(super) fn child(&self, quarter: usize) -> Child {
        Child::unpack(self.children[quarter])
    }

    pub(super) fn children(&self) -> [Child; 4] {
        self.children.map(Child::unpack)
    }

    /// Starts to load what changes to the tree read: all but the boxes.
    #[inline]
    pub(super) fn prefetch(&self) {
        prefetch(&self.children);
    }

    pub(super) fn set_child(&mut self, quarter: usize, child: Child) {
        self.children[quarter] = child.pack();
    }

    /// Notes an event time in a quarter. Returns false when one as new was noted before.
    #[inline]
    pub(super) fn raise(&mut self, quarter: usize, newest: u32) -> bool {
        let raised = self.newest[quarter] < newest;
        self.newest[quarter] = self.newest[quarter].max(newest);
        raised
    }

    pub(super) fn newest(&self) -> &[u32; 4] {
        &self.newest
    }

    /// Returns the quarters no farther from a point than the limit, both squared, that may have an event time of
    /// `oldest` or later; see [`coarse`]. Each with its distance, never more than to any entry in it, and its child,
    /// packed.
    #[inline]
    pub(super) fn within(
        &self,
        limit: f32,
        point: [f32; 3],
        oldest: u32,
    ) -> impl Iterator<Item = (f32, u32)> {
        let distances = self.distances(point);
        // With `&` and not `&&`: without branches the compiler compares all four at once.
        let matters = Lanes::that(|quarter| {
            (distances[quarter] <= limit) & (self.newest[quarter] >= oldest) & (self.children[quarter] != 0)
        });
        matters.map(move |quarter| (distances[quarter], self.children[quarter]))
    }

    /// Returns the squared distances in space from a point to the boxes of the quarters. Nothing here is NaN, so the
    /// greater of two is one instruction for all four.
    #[inline]
    fn distances(&self, point: [f32; 3]) -> [f32; 4] {
        let mut sums = [0.0; 4];
        for ((least, greatest), point) in self.least.iter().zip(&self.greatest).zip(point) {
            for (quarter, sum) in sums.iter_mut().enumerate() {
                let outside = greater(greater(least[quarter] - point, point - greatest[quarter]), 0.0);
                *sum += outside * outside;
            }
        }
        sums
    }
}

#[inline]
fn greater(a: f32, b: f32) -> f32 {
    // Not `f32::max`, which has to tell NaN apart.
    if a > b { a } else { b }
}

/// Returns an event time rounded down to units of 65 s, so that noting the newest of a leaf and of what is above it is
/// seldom needed. What is before 1970 counts as 1970, what is too late for the type as the latest; order is
/// kept.
#[inline]
pub(super) fn coarse(event_time_ms: i64) -> u32 {
    (event_time_ms >> 16).clamp(0, i64::from(u32::MAX)) as u32
}

/// Cell and branch of an inner node. Apart from the node, because only changes to the tree need them.
#[derive(Debug)]
pub(super) struct Stem {
    pub(super) cell: Cell,
    pub(super) branch: Branch,
}

/// A leaf: a list of entries in up to four blocks.
#[derive(Debug)]
pub(super) struct Leaf {
    pub(super) cell: Cell,
    pub(super) branch: Branch,
    count: u32,
    blocks: [u32; BLOCKS_MAX],
}

impl Leaf {
    pub(super) fn new(cell: Cell, branch: Branch) -> Leaf {
        Leaf { cell, branch, count: 0, blocks: [0; BLOCKS_MAX] }
    }

    pub(super) fn count(&self) -> u32 {
        self.count
    }

    /// The blocks that hold entries; all but the last are full.
    #[inline]
    pub(super) fn blocks(&self) -> &[u32] {
        &self.blocks[..self.count.div_ceil(BLOCK) as usize]
    }

    /// The entries of its entries.
    pub(super) fn entries(&self) -> impl Iterator<Item = u32> {
        (0..self.count).map(|index| self.entry(index))
    }

    /// Returns its last entry. There must be one.
    #[inline]
    pub(super) fn last(&self) -> u32 {
        self.entry(self.count - 1)
    }

    /// Returns true when the next entry needs a new block.
    pub(super) fn needs_block(&self) -> bool {
        self.count.is_multiple_of(BLOCK)
    }

    /// Makes room for an entry, in `block` if one was needed, and returns its number.
    pub(super) fn push(&mut self, block: Option<u32>) -> u32 {
        if let Some(block) = block {
            self.blocks[(self.count / BLOCK) as usize] = block;
        }
        self.count += 1;
        self.entry(self.count - 1)
    }

    /// Gives up the last entry: returns its number, and its block when that is empty now.
    pub(super) fn pop(&mut self) -> (u32, Option<u32>) {
        self.count -= 1;
        let entry = self.entry(self.count);
        (entry, self.needs_block().then_some(entry / BLOCK))
    }

    fn entry(&self, index: u32) -> u32 {
        self.blocks[(index / BLOCK) as usize] * BLOCK + index % BLOCK
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_survive_packing() {
        for child in [Child::Empty, Child::Node(0), Child::Leaf(NUMBER), Child::Pile(5)] {
            assert_eq!(Child::unpack(child.pack()), child);
        }
    }

    #[test]
    fn coarse_times_keep_their_order() {
        let times = [i64::MIN, -1, 0, 65_535, 65_536, 1_800_000_000_000, i64::MAX];
        assert!(times.map(coarse).is_sorted());
        assert_eq!((coarse(65_535), coarse(65_536)), (0, 1));
    }

    #[test]
    fn a_leaf_takes_and_gives_up_blocks_one_by_one() {
        let mut leaf = Leaf::new(Cell::ROOT, Branch { node: 0, quarter: 0 });
        let mut taken = Vec::new();
        for index in 0..LEAF_MAX {
            let block = leaf.needs_block().then_some(100 + index / BLOCK);
            taken.push(leaf.push(block));
            assert_eq!(Some(&leaf.last()), taken.last());
        }
        assert_eq!(leaf.blocks(), [100, 101, 102, 103]);
        assert!(leaf.entries().eq(taken.iter().copied()));
        for entry in taken.into_iter().rev() {
            assert_eq!(leaf.pop(), (entry, (entry % BLOCK == 0).then_some(entry / BLOCK)));
        }
    }
}
