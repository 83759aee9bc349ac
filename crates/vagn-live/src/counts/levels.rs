//! The number of vehicles in each cell, at every second level from 4 to 14.
//!
//! A tile of zoom z is cut into 16 × 16 cells of level z + 4, or 32 × 32 where only the level below is kept. The cells of a
//! tile follow one another, so that a tile is a slice of a dense level.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use foldhash::fast::RandomState;

use crate::mercator::{Cell, LEVEL_MAX, Tile};

/// Levels with a place for every cell of the globe: 5.6 MB in all.
const DENSE: [u8; 4] = [4, 6, 8, 10];
/// Levels of which only the cells with vehicles have a place.
const SPARSE: [u8; 2] = [12, 14];

/// Counts of cells by level.
#[derive(Debug)]
pub(crate) struct Levels {
    dense: [Vec<u32>; DENSE.len()],
    sparse: [HashMap<u32, u32, RandomState>; SPARSE.len()],
}

impl Levels {
    /// Returns levels that count nothing.
    pub(crate) fn new() -> Self {
        Self {
            dense: DENSE.map(|level| vec![0; 1 << (2 * level)]),
            sparse: SPARSE.map(|_| HashMap::default()),
        }
    }

    /// Takes a vehicle out of one cell and puts it into another; `None` is nowhere.
    pub(crate) fn shift(&mut self, from: Option<Cell>, to: Option<Cell>) {
        for (level, cells) in SPARSE.into_iter().zip(&mut self.sparse).rev() {
            let from = from.map(|cell| cell.at(level));
            let to = to.map(|cell| cell.at(level));
            if from == to {
                return;
            }
            if let Some(from) = from {
                take(cells, from);
            }
            if let Some(to) = to {
                *cells.entry(to).or_insert(0) += 1;
            }
        }
        for (level, cells) in DENSE.into_iter().zip(&mut self.dense).rev() {
            let from = from.map(|cell| cell.at(level));
            let to = to.map(|cell| cell.at(level));
            if from == to {
                return;
            }
            if let Some(from) = from {
                cells[from as usize] -= 1;
            }
            if let Some(to) = to {
                cells[to as usize] += 1;
            }
        }
    }

    /// Returns the level of the cells that a tile is cut into.
    pub(crate) fn level_of(tile: Tile) -> u8 {
        (tile.zoom() + 4).next_multiple_of(2).min(LEVEL_MAX)
    }

    /// Visits the cells in a tile that have vehicles: their numbers within the tile, and their counts.
    pub(crate) fn visit(&self, tile: Tile, mut visit: impl FnMut(u32, u32)) {
        let level = Levels::level_of(tile);
        let cells = 1 << (2 * (level - tile.zoom()));
        let first = tile.number() * cells;
        if let Some(at) = DENSE.iter().position(|dense| *dense == level) {
            let counts = &self.dense[at][first as usize..(first + cells) as usize];
            for (cell, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
                visit(cell as u32, *count);
            }
        } else if let Some(at) = SPARSE.iter().position(|sparse| *sparse == level) {
            for cell in 0..cells {
                if let Some(count) = self.sparse[at].get(&(first + cell)) {
                    visit(cell, *count);
                }
            }
        }
    }

    /// Counts the vehicles in a tile of zoom 0 to 10.
    pub(crate) fn count(&self, tile: Tile) -> u64 {
        let mut sum = 0;
        self.visit(tile, |_, count| sum += u64::from(count));
        sum
    }

    /// Counts the cells of each kept level that have vehicles.
    #[cfg(test)]
    pub(crate) fn all(&self) -> std::collections::BTreeMap<(u8, u32), u32> {
        let dense = DENSE.iter().zip(&self.dense).flat_map(|(level, cells)| {
            (0..).zip(cells).filter(|(_, count)| **count > 0).map(|(cell, count)| ((*level, cell), *count))
        });
        let sparse = SPARSE.iter().zip(&self.sparse);
        let sparse =
            sparse.flat_map(|(level, cells)| cells.iter().map(|(cell, count)| ((*level, *cell), *count)));
        dense.chain(sparse).collect()
    }
}

/// Takes one away, and the cell with its last.
fn take(cells: &mut HashMap<u32, u32, RandomState>, cell: u32) {
    let Entry::Occupied(mut entry) = cells.entry(cell) else { return };
    *entry.get_mut() -= 1;
    if *entry.get() == 0 {
        entry.remove();
    }
}
