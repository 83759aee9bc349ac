//! The map's projection, and the cells that all tiles are made of.
//!
//! One function decides which cell of level 14 a position is in; the cell of every other level, and so the tile of every
//! zoom, follows from that one by leaving bits out. So a vehicle is in exactly one tile of a zoom. Web Mercator and its
//! tiles are as in OGC Two Dimensional Tile Matrix Set 2.0, `WebMercatorQuad`: y = (1 - asinh(tan lat) / π) / 2 of the
//! height, from the north. What is beyond its ±85.0511° is in the row at the edge; 180° is -180°.

use std::f64::consts::PI;
use std::sync::LazyLock;

use vagn_store::BBox;
use vagn_wire::Position;

/// Level of the smallest cells: the deepest zoom that has tiles.
pub(crate) const LEVEL_MAX: u8 = 14;
/// Columns, and rows, of that level.
const SIDE: u32 = 1 << LEVEL_MAX;
/// Units along the edge of a tile, in vector tiles.
pub(crate) const EXTENT: u32 = 4096;
/// Pieces of the latitude in each of which a straight line tells the row to within one.
const PIECES: usize = 2048;
/// Degrees by which the box of a tile is wider than the tile: far more than what rounding can move its edges.
const PADDING: f64 = 1e-9;

/// A cell of level 14. Its number has the bits of column and row in turn, so that the cells in a tile follow one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Cell(pub(crate) u32);

impl Cell {
    /// Returns the number of the cell of `level` that this one is in.
    #[inline]
    pub(crate) fn at(self, level: u8) -> u32 {
        self.0 >> (2 * (LEVEL_MAX - level))
    }
}

/// The edges between rows of cells.
pub(crate) struct Grid {
    /// Latitude of the northern edge of each row, and behind the last row that of its southern edge.
    edges: Box<[f64]>,
    /// For each piece of the latitude the row that it begins in, and the rows in it.
    pieces: Box<[(f32, f32)]>,
}

static GRID: LazyLock<Grid> = LazyLock::new(Grid::new);

/// Returns the grid.
pub(crate) fn grid() -> &'static Grid {
    &GRID
}

impl Grid {
    fn new() -> Self {
        let edges: Box<[f64]> = (0..=SIDE).map(|row| latitude(f64::from(row) / f64::from(SIDE))).collect();
        let begins: Vec<f32> = (0..=PIECES).map(|piece| row(lat_of_piece(&edges, piece)) as f32).collect();
        let pieces = begins.windows(2).map(|ends| (ends[0], ends[1] - ends[0])).collect();
        Self { edges, pieces }
    }

    /// Returns the cell that a position is in.
    #[inline]
    pub(crate) fn cell(&self, position: Position) -> Cell {
        Cell(spread(column(position.lon())) | spread(self.row(position.lat())) << 1)
    }

    /// Returns the cell of `to`, unless `from` is in it too. Costs half of what two cells cost, for the edges of the one
    /// row tell whether the other latitude is in it.
    #[inline]
    pub(crate) fn crossed(&self, from: Position, to: Position) -> Option<Cell> {
        let x = column(to.lon());
        let y = self.row(to.lat());
        let is_same = column(from.lon()) == x && self.is_in_row(from.lat(), y);
        (!is_same).then(|| Cell(spread(x) | spread(y) << 1))
    }

    #[inline]
    fn is_in_row(&self, lat: f64, row: u32) -> bool {
        let north = self.edges[row as usize];
        let south = self.edges[row as usize + 1];
        (row == 0 || lat <= north) && (row == SIDE - 1 || lat > south)
    }

    /// Returns the row of a latitude: a guess along a straight line, and a step where the guess is next to it.
    #[inline]
    fn row(&self, lat: f64) -> u32 {
        let limit = self.edges[0];
        let at = ((lat + limit) * (PIECES as f64 / (2.0 * limit))).clamp(0.0, PIECES as f64 - 1.0);
        let piece = at as usize;
        let (begin, rows) = self.pieces[piece];
        let guess = begin + rows * (at - piece as f64) as f32;
        let mut row = (guess as u32).min(SIDE - 1);
        while row > 0 && lat > self.edges[row as usize] {
            row -= 1;
        }
        while row < SIDE - 1 && lat <= self.edges[row as usize + 1] {
            row += 1;
        }
        row
    }
}

fn lat_of_piece(edges: &[f64], piece: usize) -> f64 {
    edges[0] * (2.0 * piece as f64 / PIECES as f64 - 1.0)
}

/// Returns the row of a latitude by the formula, with its fraction.
fn row(lat: f64) -> f64 {
    height(lat) * f64::from(SIDE)
}

/// Returns the column of a longitude.
#[inline]
fn column(lon: f64) -> u32 {
    ((eastward(lon) + 180.0) * (f64::from(SIDE) / 360.0)) as u32
}

/// Returns the place of a latitude on the map, 0 at its northern edge and 1 at the southern.
fn height(lat: f64) -> f64 {
    (1.0 - lat.to_radians().tan().asinh() / PI) / 2.0
}

/// Returns the latitude of a place on the map, as the inverse of [`height`].
fn latitude(height: f64) -> f64 {
    (PI * (1.0 - 2.0 * height)).sinh().atan().to_degrees()
}

/// Returns the bits of a number below 2^16 with a gap after each.
#[inline]
fn spread(bits: u32) -> u32 {
    let mut spread = bits;
    spread = (spread | spread << 8) & 0x00ff_00ff;
    spread = (spread | spread << 4) & 0x0f0f_0f0f;
    spread = (spread | spread << 2) & 0x3333_3333;
    (spread | spread << 1) & 0x5555_5555
}

/// Returns every second bit of a number, as the inverse of [`spread`].
#[inline]
pub(crate) fn gather(spread: u32) -> u32 {
    let mut bits = spread & 0x5555_5555;
    bits = (bits | bits >> 1) & 0x3333_3333;
    bits = (bits | bits >> 2) & 0x0f0f_0f0f;
    bits = (bits | bits >> 4) & 0x00ff_00ff;
    (bits | bits >> 8) & 0x0000_ffff
}

/// A tile of the map.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tile {
    z: u8,
    x: u32,
    y: u32,
}

impl Tile {
    /// Deepest zoom that has tiles.
    pub const ZOOM_MAX: u8 = LEVEL_MAX;

    /// Returns the tile in column `x` from the west and row `y` from the north of zoom `z`; `None` where there is none.
    pub fn new(z: u8, x: u32, y: u32) -> Option<Tile> {
        (z <= Tile::ZOOM_MAX && x < 1 << z && y < 1 << z).then_some(Tile { z, x, y })
    }

    /// Returns the zoom.
    pub fn zoom(self) -> u8 {
        self.z
    }

    /// Returns the number of the cell that the tile is, at the level of its zoom.
    pub(crate) fn number(self) -> u32 {
        spread(self.x) | spread(self.y) << 1
    }

    /// Returns true when the cell is in the tile.
    pub(crate) fn holds(self, cell: Cell) -> bool {
        cell.at(self.z) == self.number()
    }

    /// Returns a box with all vehicles of the tile in it, and perhaps some of its neighbours.
    pub(crate) fn bbox(self) -> BBox {
        self.part(0, 0, 1).bbox()
    }

    /// Returns one part of the tile, which is cut into `parts` times `parts`.
    pub(crate) fn part(self, column: u32, row: u32, parts: u32) -> TilePart {
        let side = f64::from(1_u32 << self.z) * f64::from(parts);
        let lon = |column: u32| f64::from(self.x * parts + column) / side * 360.0 - 180.0;
        let lat = |row: u32| latitude(f64::from(self.y * parts + row) / side);
        TilePart {
            edges: [lon(column), lat(row + 1), lon(column + 1), lat(row)],
            is_outer: [column == 0, row + 1 == parts, column + 1 == parts, row == 0],
            is_polar: [self.y + 1 == 1 << self.z && row + 1 == parts, self.y == 0 && row == 0],
        }
    }

    /// Returns the place of a position in the tile, in units from its north-western corner. One beyond the edge, such as
    /// at a pole, is on the edge.
    pub(crate) fn place(self, position: Position) -> (f64, f64) {
        let lon = eastward(position.lon());
        let side = f64::from(1_u32 << self.z);
        let within = |of_map: f64, tile: u32| (of_map * side - f64::from(tile)) * f64::from(EXTENT);
        let x = within((lon + 180.0) / 360.0, self.x);
        let y = within(height(position.lat()), self.y);
        (x.clamp(0.0, LAST_UNIT), y.clamp(0.0, LAST_UNIT))
    }
}

/// A part of a tile. The parts of a tile have no vehicle in common.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TilePart {
    /// West, south, east and north, in degrees.
    edges: [f64; 4],
    /// By edge: it is one of the tile, whose cells decide there.
    is_outer: [bool; 4],
    /// It ends at the edge of the map, south and north.
    is_polar: [bool; 2],
}

impl TilePart {
    /// Returns a box with all vehicles of the part in it, and perhaps some of its neighbours.
    pub(crate) fn bbox(&self) -> BBox {
        let [west, south, east, north] = self.edges;
        let [is_southmost, is_northmost] = self.is_polar;
        let south = if is_southmost { -90.0 } else { south - PADDING };
        let north = if is_northmost { 90.0 } else { north + PADDING };
        let west = (west - PADDING).max(-180.0);
        let east = (east + PADDING).min(180.0);
        BBox::new(west, south, east, north).expect("its edges are within the globe, and in order")
    }

    /// Returns true when a position that is in the tile is in this part.
    #[inline]
    pub(crate) fn holds(&self, position: Position) -> bool {
        let [west, south, east, north] = self.edges;
        let outer = self.is_outer;
        let lat = position.lat();
        let lon = eastward(position.lon());
        (outer[0] || lon >= west)
            && (outer[1] || lat > south)
            && (outer[2] || lon < east)
            && (outer[3] || lat <= north)
    }
}

/// Returns a longitude by the name under which it is the western edge of the map.
#[inline]
pub(crate) fn eastward(lon: f64) -> f64 {
    if lon == 180.0 { -180.0 } else { lon }
}

/// Greatest place in a tile that is rounded down to its last unit.
const LAST_UNIT: f64 = EXTENT as f64 - 0.5;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(lat: f64, lon: f64) -> Position {
        Position::new(lat, lon).unwrap()
    }

    fn cell(lat: f64, lon: f64) -> (u32, u32) {
        let Cell(number) = grid().cell(at(lat, lon));
        (gather(number), gather(number >> 1))
    }

    #[test]
    fn the_corners_of_the_world_are_in_the_cells_at_its_edge() {
        for (lat, lon, expected) in [
            (0.0, 0.0, (8192, 8192)),
            (-0.0, -0.0, (8192, 8192)),
            (f64::MIN_POSITIVE, -f64::MIN_POSITIVE, (8192, 8191)),
            (90.0, -180.0, (0, 0)),
            (90.0, 180.0, (0, 0)),
            (-90.0, 179.999_999_999, (16_383, 16_383)),
            (85.06, 0.0, (8192, 0)),
            (-85.06, 180.0, (0, 16_383)),
        ] {
            assert_eq!(cell(lat, lon), expected, "{lat} {lon}");
        }
    }

    #[test]
    fn every_edge_belongs_to_the_row_south_of_it() {
        let grid = grid();
        for row in 1..SIDE {
            let edge = grid.edges[row as usize];
            assert_eq!((grid.row(edge), grid.row(edge.next_up())), (row, row - 1));
        }
    }

    #[test]
    fn there_is_no_tile_beyond_the_map_or_the_deepest_zoom() {
        assert!(Tile::new(0, 0, 0).is_some() && Tile::new(14, 16_383, 16_383).is_some());
        for (z, x, y) in [(0, 1, 0), (0, 0, 1), (15, 0, 0), (255, 0, 0), (3, 8, 7), (14, 0, 1 << 14)] {
            assert_eq!(Tile::new(z, x, y), None);
        }
    }

    fn place() -> impl Strategy<Value = Position> {
        let edges = prop_oneof![Just(-180.0), Just(180.0), Just(0.0), Just(90.0), Just(-90.0)];
        let lon = prop_oneof![8 => -180.0..=180.0, 1 => edges.clone()];
        let lat = prop_oneof![8 => -90.0..=90.0, 2 => 84.9..85.2, 1 => edges.prop_map(|at: f64| at.clamp(-90.0, 90.0))];
        (lat, lon).prop_map(|(lat, lon)| at(lat, lon))
    }

    proptest! {
        #[test]
        fn a_row_is_the_one_between_its_edges(lat in -90.0..=90.0) {
            let grid = grid();
            let expected = grid.edges.partition_point(|edge| *edge >= lat).clamp(1, SIDE as usize) - 1;
            prop_assert_eq!(grid.row(lat) as usize, expected);
        }

        #[test]
        fn a_cell_agrees_with_the_formula(position in place()) {
            let (x, y) = cell(position.lat(), position.lon());
            let exact = row(position.lat()).clamp(0.0, f64::from(SIDE) - 1.0);
            prop_assert!((exact - (f64::from(y) + 0.5)).abs() < 0.5 + 1e-6, "{} {}", exact, y);
            let lon = if position.lon() == 180.0 { -180.0 } else { position.lon() };
            prop_assert!(((lon + 180.0) / 360.0 * f64::from(SIDE) - f64::from(x) - 0.5).abs() <= 0.5);
        }

        #[test]
        fn a_cell_is_crossed_into_where_the_cells_differ(from in place(), to in place()) {
            let (grid, near) = (grid(), at(from.lat(), to.lon()));
            for (from, to) in [(from, to), (from, near), (near, to), (from, from)] {
                let cells = (grid.cell(from), grid.cell(to));
                prop_assert_eq!(grid.crossed(from, to), (cells.0 != cells.1).then_some(cells.1));
            }
        }

        #[test]
        fn a_position_is_in_one_tile_of_each_zoom_and_in_its_box(position in place()) {
            let cell = grid().cell(position);
            for z in 0..=LEVEL_MAX {
                let number = cell.at(z);
                let tile = Tile::new(z, gather(number), gather(number >> 1)).unwrap();
                prop_assert!(tile.holds(cell) && tile.bbox().contains(position), "{:?}", tile);
                let (x, y) = tile.place(position);
                prop_assert!(x < f64::from(EXTENT) && y < f64::from(EXTENT));
                let parts = (0..64).map(|part| tile.part(part % 8, part / 8, 8));
                let mut holding = parts.filter(|part| part.holds(position));
                prop_assert!(holding.next().is_some_and(|part| part.bbox().contains(position)));
                prop_assert!(holding.next().is_none());
            }
        }
    }
}
