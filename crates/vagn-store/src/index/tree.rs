//! The adaptive bucket quadtree: vehicles by their positions.
//!
//! Cells divide where vehicles are dense, so a leaf holds a handful both in a city and on an ocean. The tree
//! names vehicles by slot and asks [`Rows`] where they are when it rearranges itself; the rows in turn know
//! the entry of their vehicle in the tree, so that most moves touch one entry and nothing else.

use super::Rows;
use super::blocks::Blocks;
use super::cell::{Cell, DEPTH_MAX, GridPoint};
use super::node::{Branch, Child, LEAF_MAX, Leaf, MERGE_MAX, Node, Stem, coarse};
use super::pile::Pile;
use crate::chunked::Arena;
use crate::geo::unit_vector;
use crate::ids::Ids;
use crate::prefetch::prefetch;

/// The top node; it covers the globe and is always there.
pub(super) const TOP: u32 = 0;

#[derive(Debug)]
pub(super) struct Tree {
    pub(super) nodes: Arena<Node>,
    /// In step with `nodes`.
    stems: Arena<Stem>,
    pub(super) leaves: Arena<Leaf>,
    pub(super) piles: Arena<Pile>,
    pub(super) blocks: Blocks,
}

impl Tree {
    pub(super) fn new() -> Tree {
        let mut tree = Tree {
            nodes: Arena::new(),
            stems: Arena::new(),
            leaves: Arena::new(),
            piles: Arena::new(),
            blocks: Blocks::new(),
        };
        tree.add_node(Cell::ROOT, Branch { node: TOP, quarter: 0 });
        tree
    }

    /// Adds the vehicle of a slot, at the position its row tells. Looks for it from `near` on: the top, or a
    /// node not far away, which is faster.
    pub(super) fn insert(&mut self, slot: u32, near: u32, rows: &mut Rows, ids: &Ids) {
        let mut node = near;
        // Upwards until the position is below: a step or two for most moves.
        while node != TOP && !self.stems[node].cell.contains(rows[slot].grid_point()) {
            node = self.stems[node].branch.node;
        }
        self.insert_below(node, slot, rows, ids);
    }

    /// Takes the vehicle of a slot out; its row must tell the position it was added with. Returns the lowest node that
    /// it was below and that is still there.
    pub(super) fn remove(&mut self, slot: u32, rows: &mut Rows, ids: &Ids) -> u32 {
        let row = &rows[slot];
        if row.is_piled() {
            let number = row.entry;
            self.piles[number].remove(row.position(), ids.key(slot));
            self.shrink_pile(number, rows)
        } else {
            let entry = row.entry;
            let leaf = self.blocks.leaf_of(entry);
            self.remove_entry(leaf, entry, rows);
            self.shrink_leaf(leaf, rows)
        }
    }

    /// Notes the event time of a slot's vehicle in the nodes above it.
    pub(super) fn raise(&mut self, slot: u32, rows: &Rows) {
        let row = &rows[slot];
        let branch = match row.is_piled() {
            true => self.piles[row.entry].branch,
            false => self.leaves[self.blocks.leaf_of(row.entry)].branch,
        };
        self.raise_from(branch, coarse(row.event_time_ms()));
    }

    /// Starts to load the leaf of an entry, and returns it.
    #[inline]
    pub(super) fn prefetch_leaf(&self, entry: u32) -> u32 {
        let leaf = self.blocks.leaf_of(entry);
        prefetch(&self.leaves[leaf]);
        leaf
    }

    /// Starts to load what [`Tree::remove`] of an entry of this leaf reads next: the last entry, which takes its place,
    /// and what the leaf hangs on.
    #[inline]
    pub(super) fn prefetch_around(&self, leaf: u32) {
        let leaf = &self.leaves[leaf];
        self.blocks.prefetch(leaf.last());
        self.nodes[leaf.branch.node].prefetch();
        prefetch(&self.stems[leaf.branch.node]);
    }

    fn raise_from(&mut self, mut branch: Branch, newest: u32) {
        while self.nodes[branch.node].raise(branch.quarter, newest) && branch.node != TOP {
            branch = self.stems[branch.node].branch;
        }
    }

    fn insert_below(&mut self, mut node: u32, slot: u32, rows: &mut Rows, ids: &Ids) {
        let position = rows[slot].position();
        let grid_point = rows[slot].grid_point();
        let mut depth = self.stems[node].cell.depth;
        loop {
            let branch = Branch { node, quarter: grid_point.quarter(depth) };
            match self.nodes[node].child(branch.quarter) {
                Child::Node(below) => (node, depth) = (below, depth + 1),
                Child::Empty => {
                    let leaf = self.add_leaf(Cell::around(grid_point, depth + 1), branch);
                    return self.add_entry(leaf, slot, rows);
                }
                Child::Leaf(leaf) if self.leaves[leaf].count() < LEAF_MAX => {
                    return self.add_entry(leaf, slot, rows);
                }
                Child::Leaf(leaf) => self.split(leaf, rows, ids),
                Child::Pile(pile) if self.takes(pile, position) => {
                    return self.add_to_pile(pile, slot, rows, ids);
                }
                Child::Pile(pile) => self.push_down(pile),
            }
        }
    }

    /// Returns true when dividing would not part the position from the pile.
    fn takes(&self, pile: u32, position: vagn_wire::Position) -> bool {
        self.piles[pile].cell.depth == DEPTH_MAX || self.piles[pile].is_on(position)
    }

    pub(super) fn add_node(&mut self, cell: Cell, branch: Branch) -> u32 {
        let number = self.nodes.add(Node::new(cell));
        let beside = self.stems.add(Stem { cell, branch });
        debug_assert_eq!(number, beside, "both arenas are used in step");
        number
    }

    pub(super) fn hang(&mut self, branch: Branch, child: Child) {
        self.nodes[branch.node].set_child(branch.quarter, child);
    }

    pub(super) fn add_leaf(&mut self, cell: Cell, branch: Branch) -> u32 {
        let leaf = self.leaves.add(Leaf::new(cell, branch));
        self.hang(branch, Child::Leaf(leaf));
        leaf
    }

    pub(super) fn add_pile(&mut self, cell: Cell, branch: Branch) -> u32 {
        let pile = self.piles.add(Pile::new(cell, branch));
        self.hang(branch, Child::Pile(pile));
        pile
    }

    pub(super) fn add_entry(&mut self, leaf: u32, slot: u32, rows: &mut Rows) {
        let block = self.leaves[leaf].needs_block().then(|| self.blocks.add(leaf));
        let entry = self.leaves[leaf].push(block);
        let row = &mut rows[slot];
        self.blocks.put(entry, narrow(unit_vector(row.position())), slot);
        row.put_in_leaf(entry, self.leaves[leaf].cell.depth);
        let newest = coarse(row.event_time_ms());
        self.raise_from(self.leaves[leaf].branch, newest);
    }

    /// The last entry of the leaf takes the place of the one that goes.
    fn remove_entry(&mut self, leaf: u32, entry: u32, rows: &mut Rows) {
        // Entries stay without gaps, so that a search reads only blocks that are full but for the last.
        let (last, emptied) = self.leaves[leaf].pop();
        let moved = self.blocks.take(last, entry);
        if last != entry {
            // The only row that a removal touches besides its own.
            rows[moved].entry = entry;
        }
        if let Some(block) = emptied {
            self.blocks.free(block);
        }
    }

    pub(super) fn add_to_pile(&mut self, pile: u32, slot: u32, rows: &mut Rows, ids: &Ids) {
        let row = &mut rows[slot];
        self.piles[pile].add(row.position(), ids.key(slot), slot);
        row.put_in_pile(pile);
        let newest = coarse(row.event_time_ms());
        self.raise_from(self.piles[pile].branch, newest);
    }

    /// Makes room where a full leaf is: a pile if its vehicles cannot be parted, else a node over up to four
    /// leaves.
    fn split(&mut self, leaf: u32, rows: &mut Rows, ids: &Ids) {
        let Leaf { cell, branch, .. } = self.leaves[leaf];
        let slots = self.dissolve(leaf);
        for &slot in &slots {
            prefetch(&rows[slot]);
        }
        let first = rows[slots[0]].position();
        // Vehicles on one point fall into one quarter at every depth; dividing would go on to the smallest cell for
        // nothing.
        if cell.depth == DEPTH_MAX || slots.iter().all(|&slot| rows[slot].is_at(first)) {
            let pile = self.add_pile(cell, branch);
            for slot in slots {
                self.add_to_pile(pile, slot, rows, ids);
            }
        } else {
            let node = self.add_node(cell, branch);
            self.hang(branch, Child::Node(node));
            for slot in slots {
                self.insert_below(node, slot, rows, ids);
            }
        }
    }

    /// Puts a node over a pile, which then has a quarter of the cell to itself.
    fn push_down(&mut self, pile: u32) {
        let Pile { cell, branch, .. } = self.piles[pile];
        let grid_point = GridPoint::of(self.piles[pile].position().expect("a pile is never empty"));
        let node = self.add_node(cell, branch);
        self.hang(branch, Child::Node(node));
        let newest = self.nodes[branch.node].newest()[branch.quarter];
        let below = Branch { node, quarter: grid_point.quarter(cell.depth) };
        (self.piles[pile].cell, self.piles[pile].branch) = (cell.quarter(below.quarter), below);
        self.hang(below, Child::Pile(pile));
        // The new node knows of no event time yet; the one above has the bound for all that is below.
        self.nodes[node].raise(below.quarter, newest);
    }

    /// Frees a leaf and returns the slots that were in it.
    fn dissolve(&mut self, leaf: u32) -> Vec<u32> {
        let slots = self.leaves[leaf].entries().map(|entry| self.blocks.slot(entry)).collect();
        for &block in self.leaves[leaf].blocks() {
            self.blocks.free(block);
        }
        self.leaves.free(leaf);
        slots
    }

    /// Turns a pile that has become small into a leaf.
    fn shrink_pile(&mut self, pile: u32, rows: &mut Rows) -> u32 {
        let Pile { cell, branch, .. } = self.piles[pile];
        if self.piles[pile].count() > MERGE_MAX {
            return branch.node;
        }
        let slots: Vec<_> = self.piles[pile].slots().collect();
        self.piles[pile] = Pile::spent();
        self.piles.free(pile);
        let leaf = self.add_leaf(cell, branch);
        for slot in slots {
            self.add_entry(leaf, slot, rows);
        }
        self.shrink_leaf(leaf, rows)
    }

    /// Removes an empty leaf, and merges a small one with its neighbours if they are small too.
    fn shrink_leaf(&mut self, leaf: u32, rows: &mut Rows) -> u32 {
        let Leaf { branch, .. } = self.leaves[leaf];
        let count = self.leaves[leaf].count();
        if count == 0 {
            self.leaves.free(leaf);
            self.hang(branch, Child::Empty);
        }
        let mut node = branch.node;
        // Above a node that has become a leaf, its neighbours may be small enough too.
        while count <= MERGE_MAX && node != TOP && self.merge(node, rows) {
            node = self.stems[node].branch.node;
        }
        node
    }

    /// Replaces a node over few vehicles by a leaf, or by nothing. Returns false when it has to stay.
    fn merge(&mut self, node: u32, rows: &mut Rows) -> bool {
        let children = self.nodes[node].children();
        let mut count = 0;
        for child in children {
            count += match child {
                Child::Empty => 0,
                Child::Leaf(leaf) => self.leaves[leaf].count(),
                Child::Node(_) | Child::Pile(_) => return false,
            };
        }
        if count > MERGE_MAX {
            return false;
        }
        let Stem { cell, branch } = self.stems[node];
        let slots: Vec<_> = children.into_iter().flat_map(|child| self.take_leaf(child)).collect();
        self.nodes.free(node);
        self.stems.free(node);
        self.hang(branch, Child::Empty);
        if !slots.is_empty() {
            let leaf = self.add_leaf(cell, branch);
            for slot in slots {
                self.add_entry(leaf, slot, rows);
            }
        }
        true
    }

    fn take_leaf(&mut self, child: Child) -> Vec<u32> {
        match child {
            Child::Leaf(leaf) => self.dissolve(leaf),
            _ => Vec::new(),
        }
    }
}

/// Returns a unit vector as the entries keep it.
#[inline]
pub(super) fn narrow(point: [f64; 3]) -> [f32; 3] {
    point.map(|axis| axis as f32)
}
