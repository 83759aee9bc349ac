//! The cells of the quadtree: rectangles of longitude and latitude, each a quarter of the one above.
//!
//! A cell is found without trigonometry. What is special about the globe, that meridians meet at the poles
//! and that the ends of the map touch, does not matter here: a search asks for a cell's box in space, where
//! neighbours are near.

use vagn_wire::Position;

use crate::geo::canonical_lon;

/// The depth of the smallest cells, about a centimetre wide.
pub(super) const DEPTH_MAX: u8 = 32;

/// Unit vectors are worked out to 2e-11 and rounded to f32 by up to 2^-25, which moves them by less than 3e-8
/// along an axis; boxes must hold them still, and their own edges are rounded too.
const BOX_MARGIN: f64 = 1.5e-7;

/// A smallest cell: x counts eastwards from -180°, y northwards from the south pole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct GridPoint {
    pub(super) x: u32,
    pub(super) y: u32,
}

impl GridPoint {
    /// Returns the smallest cell of a position, by whichever name the position goes. The cast takes care of 90° N,
    /// which would be one too far.
    #[inline]
    pub(super) fn of(position: Position) -> GridPoint {
        GridPoint { x: x_of(canonical_lon(position)), y: y_of(position.lat()) }
    }

    /// Returns true when both are in the same cell of this depth.
    #[inline]
    pub(super) fn shares(self, other: GridPoint, depth: u8) -> bool {
        let differs = u64::from((self.x ^ other.x) | (self.y ^ other.y));
        differs >> (DEPTH_MAX - depth) == 0
    }

    /// Returns its index on the curve that visits the quarters of each cell one after another.
    pub(super) fn on_curve(self) -> u64 {
        spread(self.x) | spread(self.y) << 1
    }

    /// Returns its quarter in its cell of this depth: 1 for the east plus 2 for the north.
    #[inline]
    pub(super) fn quarter(self, depth: u8) -> usize {
        let bit = DEPTH_MAX - 1 - depth;
        ((self.x >> bit & 1) | (self.y >> bit & 1) << 1) as usize
    }
}

/// Returns the bits of a number with a gap after each.
fn spread(bits: u32) -> u64 {
    let mut spread = u64::from(bits);
    spread = (spread | spread << 16) & 0x0000_ffff_0000_ffff;
    spread = (spread | spread << 8) & 0x00ff_00ff_00ff_00ff;
    spread = (spread | spread << 4) & 0x0f0f_0f0f_0f0f_0f0f;
    spread = (spread | spread << 2) & 0x3333_3333_3333_3333;
    (spread | spread << 1) & 0x5555_5555_5555_5555
}

const X_PER_DEGREE: f64 = (1_u64 << 32) as f64 / 360.0;
const Y_PER_DEGREE: f64 = (1_u64 << 32) as f64 / 180.0;

/// Returns the column of smallest cells that a longitude falls into, as it is written.
#[inline]
pub(super) fn x_of(lon: f64) -> u32 {
    ((lon + 180.0) * X_PER_DEGREE) as u32
}

/// Returns the row of smallest cells that a latitude falls into.
#[inline]
pub(super) fn y_of(lat: f64) -> u32 {
    ((lat + 90.0) * Y_PER_DEGREE) as u32
}

/// A cell of any depth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cell {
    /// South-western corner of the cell.
    corner: GridPoint,
    pub(super) depth: u8,
}

impl Cell {
    /// The cell that covers the whole globe.
    pub(super) const ROOT: Cell = Cell { corner: GridPoint { x: 0, y: 0 }, depth: 0 };

    /// Returns the cell of this depth around the smallest one.
    pub(super) fn around(grid_point: GridPoint, depth: u8) -> Cell {
        // In 64 bits, as the shift by 32 for the whole globe would be none in 32.
        let within = ((1_u64 << (DEPTH_MAX - depth)) - 1) as u32;
        Cell { corner: GridPoint { x: grid_point.x & !within, y: grid_point.y & !within }, depth }
    }

    #[inline]
    pub(super) fn contains(self, grid_point: GridPoint) -> bool {
        self.corner.shares(grid_point, self.depth)
    }

    pub(super) fn quarter(self, quarter: usize) -> Cell {
        let bit = DEPTH_MAX - 1 - self.depth;
        let east = (quarter & 1) as u32;
        let north = (quarter >> 1) as u32;
        let corner = GridPoint { x: self.corner.x | east << bit, y: self.corner.y | north << bit };
        Cell { corner, depth: self.depth + 1 }
    }

    /// Returns the corners: the first and the last of its smallest cells.
    pub(super) fn corners(self) -> (GridPoint, GridPoint) {
        let size = ((1_u64 << (DEPTH_MAX - self.depth)) - 1) as u32;
        let GridPoint { x, y } = self.corner;
        (self.corner, GridPoint { x: x | size, y: y | size })
    }

    /// Returns the last index on the curve that is in the cell.
    pub(super) fn end_on_curve(self) -> u64 {
        self.corners().1.on_curve()
    }

    /// Returns the box in space that holds the unit vectors of all positions in the cell: least and greatest x, y, z.
    pub(super) fn bounds(self) -> [[f32; 3]; 2] {
        let (first, last) = self.corners();
        let west = f64::from(first.x) / X_PER_DEGREE - 180.0;
        // To the far edge of the last smallest cell.
        let east = (f64::from(last.x) + 1.0) / X_PER_DEGREE - 180.0;
        let south = f64::from(first.y) / Y_PER_DEGREE - 90.0;
        let north = (f64::from(last.y) + 1.0) / Y_PER_DEGREE - 90.0;
        let radius = cosines(south, north);
        let x = product(radius, cosines(west, east));
        let y = product(radius, cosines(west - 90.0, east - 90.0));
        let z = [south.to_radians().sin(), north.to_radians().sin()];
        [
            [x[0], y[0], z[0]].map(|edge| (edge - BOX_MARGIN) as f32),
            [x[1], y[1], z[1]].map(|edge| (edge + BOX_MARGIN) as f32),
        ]
    }
}

/// Returns least and greatest cosine between two angles in degrees, from <= to, within -270..=180.
fn cosines(from: f64, to: f64) -> [f64; 2] {
    let ends = [from.to_radians().cos(), to.to_radians().cos()];
    let between = from..=to;
    let least =
        if between.contains(&-180.0) || between.contains(&180.0) { -1.0 } else { ends[0].min(ends[1]) };
    let greatest = if between.contains(&0.0) { 1.0 } else { ends[0].max(ends[1]) };
    [least, greatest]
}

/// Returns least and greatest product of a number from each range.
fn product(a: [f64; 2], b: [f64; 2]) -> [f64; 2] {
    let products = [a[0] * b[0], a[0] * b[1], a[1] * b[0], a[1] * b[1]];
    [
        products.into_iter().fold(f64::INFINITY, f64::min),
        products.into_iter().fold(f64::NEG_INFINITY, f64::max),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geo::unit_vector;

    fn at(lat: f64, lon: f64) -> Position {
        Position::new(lat, lon).unwrap()
    }

    /// The cells around a position, from the whole globe to the smallest.
    fn cells_of(grid_point: GridPoint) -> impl Iterator<Item = Cell> {
        (0..=DEPTH_MAX).map(move |depth| Cell::around(grid_point, depth))
    }

    fn check_bounds(position: Position) {
        let point = unit_vector(position).map(|axis| axis as f32);
        for cell in cells_of(GridPoint::of(position)) {
            let [least, greatest] = cell.bounds();
            let inside = (0..3).all(|axis| least[axis] <= point[axis] && point[axis] <= greatest[axis]);
            assert!(inside, "{position:?} is not in the box of {cell:?}");
        }
    }

    #[test]
    fn the_box_of_a_cell_holds_its_positions() {
        let edges: [f64; 10] = [-180.0, -90.0, -1e-9, -0.0, 0.0, 45.0, 90.0, 135.0, 179.999_999_999, 180.0];
        for lon in edges {
            for lat in edges.into_iter().filter(|lat| lat.abs() <= 90.0) {
                check_bounds(at(lat, lon));
            }
        }
        let mut random = fastrand::Rng::with_seed(3);
        for _ in 0..5_000 {
            check_bounds(at(random.f64() * 180.0 - 90.0, random.f64() * 360.0 - 180.0));
        }
    }

    #[test]
    fn boxes_shrink_with_their_cells() {
        let spread = |cell: Cell| {
            let [least, greatest] = cell.bounds();
            (0..3).map(|axis| greatest[axis] - least[axis]).fold(0.0, f32::max)
        };
        for cell in cells_of(GridPoint::of(at(30.27, -97.74))).skip(2) {
            let widest = 2.0 * std::f32::consts::PI / (1_u64 << cell.depth) as f32;
            assert!(spread(cell) <= widest + 1e-6, "{cell:?}");
        }
    }

    #[test]
    fn one_position_under_two_names_is_one_smallest_cell() {
        assert_eq!(GridPoint::of(at(5.0, 180.0)), GridPoint::of(at(5.0, -180.0)));
        assert_eq!(GridPoint::of(at(90.0, 12.0)), GridPoint::of(at(90.0, -77.0)));
        assert_eq!(GridPoint::of(at(-0.0, 0.0)), GridPoint::of(at(0.0, -0.0)));
        assert_eq!(GridPoint::of(at(90.0, 0.0)).y, u32::MAX);
    }

    #[test]
    fn quarters_cover_their_cell_without_overlap() {
        let cell = Cell::ROOT.quarter(1).quarter(2);
        let grid_points = (0..4).map(|quarter| cell.quarter(quarter).corners());
        for (quarter, (first, last)) in grid_points.enumerate() {
            assert_eq!((first.quarter(2), last.quarter(2)), (quarter, quarter));
            assert_eq!((Cell::around(first, 2), Cell::around(last, 3)), (cell, cell.quarter(quarter)));
        }
    }
}
