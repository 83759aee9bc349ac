//! Finder: the channels whose area a change may touch.
//!
//! One bit per block of cells is looked at first, so that changes where no client looks cost almost nothing however many they are.
//! A channel is then listed under a few squares about as large as its area.

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::cell::{Area, BLOCKS, GridCell, SHIFT_MAX, Square};

/// Bits of a word of the map of blocks.
const WORD_BITS: usize = u64::BITS as usize;

/// Areas by the number of their channel.
pub(super) struct Finder {
    /// Areas that touch each block.
    areas: Vec<u16>,
    /// Blocks that an area touches.
    watched: Vec<u64>,
    listed: HashMap<Square, Vec<usize>, FixedState>,
    /// Lists of each size of squares.
    sizes: [usize; SHIFT_MAX as usize + 1],
}

impl Finder {
    pub(super) fn new() -> Self {
        Self {
            areas: vec![0; BLOCKS],
            watched: vec![0; BLOCKS / WORD_BITS],
            listed: HashMap::default(),
            sizes: [0; SHIFT_MAX as usize + 1],
        }
    }

    /// Lists the channel in this slot.
    pub(super) fn add(&mut self, slot: usize, area: &Area) {
        for block in area.blocks().into_iter().map(usize::from) {
            self.areas[block] += 1;
            self.watched[block / WORD_BITS] |= 1 << (block % WORD_BITS);
        }
        for square in area.squares() {
            self.listed.entry(square).or_default().push(slot);
            self.sizes[usize::from(square.shift)] += 1;
        }
    }

    /// Takes the channel out, with the area that it was listed with.
    pub(super) fn remove(&mut self, slot: usize, area: &Area) {
        for block in area.blocks().into_iter().map(usize::from) {
            self.areas[block] -= 1;
            if self.areas[block] == 0 {
                self.watched[block / WORD_BITS] &= !(1 << (block % WORD_BITS));
            }
        }
        for square in area.squares() {
            self.sizes[usize::from(square.shift)] -= 1;
            if let Some(slots) = self.listed.get_mut(&square) {
                slots.retain(|other| *other != slot);
                if slots.is_empty() {
                    self.listed.remove(&square);
                }
            }
        }
    }

    /// Returns true when an area may have the cell.
    #[inline]
    pub(super) fn is_watched(&self, cell: GridCell) -> bool {
        let block = usize::from(cell.block());
        self.watched[block / WORD_BITS] & 1 << (block % WORD_BITS) != 0
    }

    /// Visits the channels whose area may have the cell, some perhaps twice.
    #[inline]
    pub(super) fn visit(&self, cell: GridCell, mut visit: impl FnMut(usize)) {
        for shift in 0..=SHIFT_MAX {
            if self.sizes[usize::from(shift)] > 0
                && let Some(slots) = self.listed.get(&cell.square(shift))
            {
                slots.iter().copied().for_each(&mut visit);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vagn_store::BBox;
    use vagn_wire::Position;

    fn found(finder: &Finder, lat: f64, lon: f64) -> Vec<usize> {
        let cell = GridCell::of(Position::new(lat, lon).unwrap());
        let mut found = Vec::new();
        if finder.is_watched(cell) {
            finder.visit(cell, |slot| found.push(slot));
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    #[test]
    fn finds_channels_by_place_until_they_are_taken_out() {
        let boxes = [[-180.0, -90.0, 180.0, 90.0], [18.0, 59.3, 18.1, 59.4], [177.0, -20.0, -178.0, -12.5]];
        let areas =
            boxes.map(|[west, south, east, north]| Area::of(&BBox::new(west, south, east, north).unwrap()));
        let mut finder = Finder::new();
        areas.iter().enumerate().for_each(|(slot, area)| finder.add(slot, area));
        assert_eq!(found(&finder, 59.35, 18.05), [0, 1]);
        assert_eq!(found(&finder, -15.0, 180.0), [0, 2]);
        assert_eq!(found(&finder, -15.0, 0.0), [0]);
        finder.remove(0, &areas[0]);
        assert_eq!(found(&finder, 59.35, 18.05), [1]);
        assert_eq!(found(&finder, -15.0, -179.0), [2]);
        assert_eq!(found(&finder, -15.0, 0.0), [0; 0]);
        finder.remove(1, &areas[1]);
        finder.remove(2, &areas[2]);
        assert!(finder.listed.is_empty() && finder.watched.iter().all(|word| *word == 0));
    }
}
