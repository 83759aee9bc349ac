//! Clusters: a point per cell of a grid of 8 × 8 in each tile, with the number of vehicles.

use std::ops::ControlFlow;

use vagn_store::{Fleet, NotReady, Reader, Sight};
use vagn_wire::Position;

use super::calls::Calls;
use super::mvt::Layer;
use crate::counts::Levels;
use crate::mercator::{Cell, EXTENT, Tile, TilePart, eastward, gather, grid};

/// Cells along the edge of a tile, as a power of two.
const GRID: u8 = 3;
/// Cells along the edge of a tile.
const SIDE: u32 = 1 << GRID;
/// Vehicles in a tile up to which clusters stand where the vehicles are, and not where their cells are.
pub(crate) const EXACT_MAX: u64 = 1_000;

/// Names of the properties.
const KEYS: [&str; 2] = ["n", "emergency"];

/// One cluster.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Cluster {
    /// Number of vehicles.
    n: u64,
    /// Number of vehicles with an open real incident.
    emergency: u32,
    /// Sums of the places of all vehicles, in units.
    sum: (f64, f64),
}

/// The clusters of a tile, in the order of the numbers of their cells.
#[derive(Debug, Clone)]
pub(crate) struct Clusters([Cluster; (SIDE * SIDE) as usize]);

impl Clusters {
    /// Returns clusters without vehicles.
    fn new() -> Self {
        Self([Cluster::default(); (SIDE * SIDE) as usize])
    }

    /// Returns the clusters of a tile of zoom 0 to 10, from counts alone.
    pub(crate) fn of_counts(levels: &Levels, calls: &Calls, tile: Tile) -> Self {
        let mut clusters = Self::new();
        let depth = Levels::level_of(tile) - tile.zoom();
        // Width of a cell that is counted.
        let unit = f64::from(EXTENT >> depth);
        levels.visit(tile, |cell, n| {
            let middle = |bits: u32| (f64::from(gather(bits)) + 0.5) * unit;
            let cluster = &mut clusters.0[(cell >> (2 * (depth - GRID))) as usize];
            cluster.add(u64::from(n), (middle(cell), middle(cell >> 1)));
        });
        clusters.call(calls, tile)
    }

    /// Returns the clusters of a tile of zoom 0 to 10 with few vehicles, from where they are; `None` when there are more
    /// than [`EXACT_MAX`] after all.
    pub(crate) fn of_few(
        fleet: &Fleet,
        calls: &Calls,
        tile: Tile,
        sight: Sight,
    ) -> Result<Option<Self>, NotReady> {
        let mut vehicles = Vec::new();
        for reader in fleet.readers()? {
            let flow = sight.visit_box(&reader, &tile.bbox(), &mut |found| {
                let cell = grid().cell(found.sighting.position);
                if tile.holds(cell) {
                    vehicles.push((cell, found.sighting.position));
                }
                if vehicles.len() as u64 > EXACT_MAX {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            });
            if flow.is_break() {
                return Ok(None);
            }
        }
        let mut clusters = Self::new();
        for (cell, position) in vehicles {
            clusters.0[part_of(tile, cell)].add(1, tile.place(position));
        }
        Ok(Some(clusters.call(calls, tile)))
    }

    /// Counts the vehicles that call, in a tile of zoom 0 to 10.
    fn call(mut self, calls: &Calls, tile: Tile) -> Self {
        for (cell, _) in calls.within(tile) {
            self.0[part_of(tile, *cell)].emergency += 1;
        }
        self
    }

    /// Returns the clusters of a tile with very many vehicles, from where they are: part after part, so that no writer has
    /// to wait for all of them.
    pub(crate) fn of_many(fleet: &Fleet, calls: &Calls, tile: Tile, sight: Sight) -> Result<Self, NotReady> {
        let mut clusters = Self::new();
        let readers = fleet.readers()?;
        for (number, cluster) in (0..).zip(&mut clusters.0) {
            let part = tile.part(gather(number), gather(number >> 1), SIDE);
            for reader in &readers {
                cluster.add_all(reader, tile, &part, sight);
            }
            let calling = calls.within(tile).iter().filter(|(_, position)| part.holds(*position));
            cluster.emergency = calling.count() as u32;
        }
        Ok(clusters)
    }

    /// Writes the tile; nothing where no vehicle is.
    pub(crate) fn write(&self) -> Vec<u8> {
        let mut layer = Layer::new(&KEYS);
        let mut is_empty = true;
        // Where the counts do not have a vehicle yet that calls, there is no point to tell it.
        for cluster in self.0.iter().filter(|cluster| cluster.n > 0) {
            let n = (0, layer.number(cluster.n));
            match cluster.emergency {
                0 => layer.point(None, cluster.place(), &[n]),
                some => {
                    let emergency = (1, layer.number(u64::from(some)));
                    layer.point(None, cluster.place(), &[n, emergency]);
                }
            }
            is_empty = false;
        }
        if is_empty { Vec::new() } else { layer.finish(EXTENT) }
    }
}

impl Cluster {
    /// Adds `n` vehicles at a place in the tile.
    fn add(&mut self, n: u64, (x, y): (f64, f64)) {
        self.n += n;
        self.sum.0 += x * n as f64;
        self.sum.1 += y * n as f64;
    }

    /// Adds the vehicles of a partition that are in a part of the tile.
    fn add_all(&mut self, reader: &Reader, tile: Tile, part: &TilePart, sight: Sight) {
        let mut n = 0_u64;
        let mut lat = 0.0;
        let mut lon = 0.0;
        let (ControlFlow::Continue(()) | ControlFlow::Break(())) =
            sight.visit_box(reader, &part.bbox(), &mut |found| {
                let position = found.sighting.position;
                if part.holds(position) && tile.holds(grid().cell(position)) {
                    n += 1;
                    lat += position.lat();
                    lon += eastward(position.lon());
                }
                ControlFlow::Continue(())
            });
        // A part is so small that the middle of its vehicles is the same on the globe and on the map.
        if let Ok(middle) = Position::new(lat / n as f64, lon / n as f64) {
            self.add(n, tile.place(middle));
        }
    }

    /// Returns the middle of its vehicles, in units.
    fn place(&self) -> (u32, u32) {
        let middle = |sum: f64| ((sum / self.n as f64) as u32).min(EXTENT - 1);
        (middle(self.sum.0), middle(self.sum.1))
    }
}

/// Returns the number of the cluster that a cell belongs to, in a tile of zoom 0 to 10.
fn part_of(tile: Tile, cell: Cell) -> usize {
    (cell.at(tile.zoom() + GRID) & (SIDE * SIDE - 1)) as usize
}
