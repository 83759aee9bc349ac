//! Cells of a coarse grid over the globe, and the area that a box takes in it.
//!
//! A cell is 1/65536 of the globe wide and high. It says where a change was, as far as it is needed to find the streams that may
//! have to be told of it; the box itself decides.

use vagn_store::BBox;
use vagn_wire::Position;

/// Cells along one side of the grid.
const SIDE: f64 = 65_536.0;
/// Bits of a coordinate that a block of cells leaves out: there are 256 × 256 blocks.
const BLOCK_SHIFT: u16 = 8;
/// Blocks of the grid.
pub(super) const BLOCKS: usize = 1 << 16;
/// Greatest shift: one square covers the globe.
pub(super) const SHIFT_MAX: u8 = 16;

/// A cell of the grid: x counts eastwards from -180°, y northwards from the south pole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct GridCell {
    x: u16,
    y: u16,
}

/// A square of cells whose side is a power of two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Square {
    /// Power of two of its side.
    pub(super) shift: u8,
    x: u16,
    y: u16,
}

impl GridCell {
    /// Returns the cell of a position, by whichever name the position goes.
    #[inline]
    pub(super) fn of(position: Position) -> Self {
        let at_pole = position.lat().abs() == 90.0;
        Self { x: x_of(if at_pole { 0.0 } else { position.lon() }), y: y_of(position.lat()) }
    }

    /// Returns the number of the block of cells that it is in.
    #[inline]
    pub(super) fn block(self) -> u16 {
        self.x >> BLOCK_SHIFT << BLOCK_SHIFT | self.y >> BLOCK_SHIFT
    }

    /// Returns the square of this size that it is in.
    #[inline]
    pub(super) fn square(self, shift: u8) -> Square {
        Square { shift, x: shifted(self.x, shift), y: shifted(self.y, shift) }
    }
}

/// Shifts in 32 bits, as a shift by 16 would be none in 16.
#[inline]
fn shifted(coordinate: u16, shift: u8) -> u16 {
    (u32::from(coordinate) >> shift) as u16
}

#[inline]
fn x_of(lon: f64) -> u16 {
    // The two names of the antimeridian are one meridian.
    let lon = if lon == 180.0 { -180.0 } else { lon };
    ((lon + 180.0) / 360.0 * SIDE) as u16
}

#[inline]
fn y_of(lat: f64) -> u16 {
    // The cast takes care of the north pole, which would be one too far.
    ((lat + 90.0) / 180.0 * SIDE) as u16
}

/// Cells from the first to the last in both directions.
#[derive(Debug, Clone, Copy)]
struct CellRange {
    first: GridCell,
    last: GridCell,
}

/// All cells that a box can have positions in.
#[derive(Debug, Clone)]
pub(super) struct Area {
    ranges: Vec<CellRange>,
}

impl Area {
    /// Returns the area of several boxes.
    pub(super) fn of_all(boxes: &[BBox]) -> Self {
        Self { ranges: boxes.iter().flat_map(|bbox| Self::of(bbox).ranges).collect() }
    }

    /// Returns the area of a box. The poles and the antimeridian have cells of their own, as positions have.
    pub(super) fn of(bbox: &BBox) -> Self {
        let [west, south, east, north] = bbox.edges();
        let rows = [y_of(south), y_of(north)];
        let crosses = west > east;
        let mut ranges = Vec::new();
        // 180 as a western edge is -180 already; as an eastern one it is beside the last column.
        if !crosses {
            let first = if west == 180.0 { u16::MAX } else { x_of(west) };
            let last = if east == 180.0 { u16::MAX } else { x_of(east) };
            ranges.push(CellRange::of([first, last], rows));
        } else {
            let first = if west == 180.0 { u16::MAX } else { x_of(west) };
            ranges.push(CellRange::of([first, u16::MAX], rows));
            ranges.push(CellRange::of([0, x_of(east)], rows));
        }
        if crosses || east == 180.0 || west == -180.0 {
            ranges.push(CellRange::of([0, 0], rows));
        }
        ranges.extend([-90.0, 90.0].into_iter().filter(|pole| [south, north].contains(pole)).map(at_pole));
        Self { ranges }
    }

    /// Returns true when the cell is one of the area.
    #[inline]
    pub(super) fn has(&self, cell: GridCell) -> bool {
        self.ranges.iter().any(|CellRange { first, last }| {
            (first.x..=last.x).contains(&cell.x) && (first.y..=last.y).contains(&cell.y)
        })
    }

    /// Returns the numbers of the blocks that it touches, each once.
    pub(super) fn blocks(&self) -> Vec<u16> {
        let mut blocks = Vec::new();
        for CellRange { first, last } in &self.ranges {
            for x in first.x >> BLOCK_SHIFT..=last.x >> BLOCK_SHIFT {
                let row = first.y >> BLOCK_SHIFT..=last.y >> BLOCK_SHIFT;
                blocks.extend(row.map(|y| x << BLOCK_SHIFT | y));
            }
        }
        blocks.sort_unstable();
        blocks.dedup();
        blocks
    }

    /// Returns a few squares that cover it, each once.
    pub(super) fn squares(&self) -> Vec<Square> {
        let mut squares: Vec<_> = self.ranges.iter().flat_map(CellRange::squares).collect();
        squares.sort_unstable();
        squares.dedup();
        squares
    }
}

impl CellRange {
    fn of(columns: [u16; 2], rows: [u16; 2]) -> Self {
        Self { first: GridCell { x: columns[0], y: rows[0] }, last: GridCell { x: columns[1], y: rows[1] } }
    }

    /// Returns true when four squares of this size cover it.
    fn is_in_four(&self, shift: u8) -> bool {
        let first = self.first.square(shift);
        let last = self.last.square(shift);
        last.x - first.x <= 1 && last.y - first.y <= 1
    }

    /// Returns at most four squares, the smallest ones that are so few.
    fn squares(&self) -> Vec<Square> {
        let shift = (0..=SHIFT_MAX).find(|shift| self.is_in_four(*shift)).unwrap_or(SHIFT_MAX);
        let first = self.first.square(shift);
        let last = self.last.square(shift);
        let columns = first.x..=last.x;
        columns.flat_map(|x| (first.y..=last.y).map(move |y| Square { shift, x, y })).collect()
    }
}

fn at_pole(lat: f64) -> CellRange {
    let pole = GridCell { x: x_of(0.0), y: y_of(lat) };
    CellRange { first: pole, last: pole }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    /// Degrees that are likely to be special.
    fn degrees(random: &mut fastrand::Rng, most: f64) -> f64 {
        match random.u8(..8) {
            0 => most,
            1 => -most,
            2 => 0.0,
            3 => random.i32(-18..=18) as f64 / 18.0 * most,
            _ => (random.f64() * 2.0 - 1.0) * most,
        }
    }

    #[test]
    fn an_area_has_the_cell_of_every_position_in_its_box() {
        let mut random = fastrand::Rng::with_seed(11);
        let mut inside = 0;
        for _ in 0..2_000 {
            let lats = [degrees(&mut random, 90.0), degrees(&mut random, 90.0)];
            let (south, north) = (lats[0].min(lats[1]), lats[0].max(lats[1]));
            let (west, east) = (degrees(&mut random, 180.0), degrees(&mut random, 180.0));
            let bbox = BBox::new(west, south, east, north).unwrap();
            let area = Area::of(&bbox);
            let (blocks, squares): (HashSet<_>, Vec<_>) =
                (area.blocks().into_iter().collect(), area.squares());
            assert!(squares.len() <= 20, "{bbox:?} {squares:?}");
            for _ in 0..20 {
                let any = (degrees(&mut random, 90.0), degrees(&mut random, 180.0));
                let lat = random.choice([south, north, any.0]).unwrap();
                let lon = random.choice([west, east, any.1]).unwrap();
                let position = Position::new(lat, lon).unwrap();
                let cell = GridCell::of(position);
                if bbox.contains(position) {
                    inside += 1;
                    assert!(area.has(cell), "{bbox:?} {position:?}");
                }
                if area.has(cell) {
                    assert!(blocks.contains(&cell.block()), "{bbox:?} {position:?}");
                    assert!(squares.iter().any(|of| *of == cell.square(of.shift)), "{bbox:?} {position:?}");
                }
            }
        }
        assert!(inside > 2_000, "{inside}");
    }

    #[test]
    fn a_small_box_has_a_small_area() {
        let area = Area::of(&BBox::new(18.0, 59.3, 18.1, 59.4).unwrap());
        assert!(area.has(GridCell::of(Position::new(59.35, 18.05).unwrap())));
        assert!(!area.has(GridCell::of(Position::new(59.35, 18.2).unwrap())));
        assert!(area.blocks().len() <= 4 && area.squares().iter().all(|square| square.shift <= 6));
    }
}
