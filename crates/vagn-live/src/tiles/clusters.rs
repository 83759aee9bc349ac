//! Clusters: a point per cell of a grid of 8 × 8 in each tile, with the number of vehicles.

use std::ops::ControlFlow;

use vagn_store::{Fleet, NotReady};
use vagn_wire::Position;

use super::calls::Calls;
use super::mvt::Layer;
use crate::counts::Levels;
use crate::mercator::{EXTENT, LEVEL_MAX, Tile, gather, grid};

/// Cells along the edge of a tile, as a power of two.
const GRID: u8 = 3;
/// Cells along the edge of a tile.
const SIDE: usize = 1 << GRID;
/// Vehicles in a tile up to which clusters stand where the vehicles are, and not where their cells are.
pub(crate) const EXACT_MAX: u64 = 1_000;

/// Names of the properties.
const KEYS: [&str; 2] = ["n", "emergency"];

/// One cluster.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Cluster {
    /// Number of vehicles.
    pub(crate) n: u64,
    /// Number of vehicles with an open real incident.
    pub(crate) emergency: u32,
    /// Sum of the places of all vehicles, in units.
    x: f64,
    y: f64,
}

/// The clusters of a tile.
#[derive(Debug, Clone)]
pub(crate) struct Clusters([Cluster; SIDE * SIDE]);

impl Clusters {
    /// No vehicle.
    pub(crate) fn new() -> Self {
        Self([Cluster::default(); SIDE * SIDE])
    }

    /// Returns the clusters of a tile of zoom 0 to 10, from counts alone.
    pub(crate) fn of_counts(levels: &Levels, calls: &Calls, tile: Tile) -> Self {
        let mut clusters = Self::new();
        let depth = Levels::level_of(tile) - tile.zoom();
        // Width of a cell that is counted.
        let unit = f64::from(EXTENT >> depth);
        levels.visit(tile, |cell, n| {
            let cluster = &mut clusters.0[(cell >> (2 * (depth - GRID))) as usize];
            let middle = |bits: u32| (f64::from(gather(bits)) + 0.5) * unit * f64::from(n);
            cluster.n += u64::from(n);
            cluster.x += middle(cell);
            cluster.y += middle(cell >> 1);
        });
        let (first, level) = (tile.number() << (2 * GRID), tile.zoom() + GRID);
        for (cell, cluster) in (first..).zip(&mut clusters.0).filter(|(_, cluster)| cluster.n > 0) {
            cluster.emergency = calls.count(cell, level);
        }
        clusters
    }

    /// Returns the clusters of a tile with few vehicles, from where they are; `None` when there are more than
    /// [`EXACT_MAX`] after all.
    pub(crate) fn of_few(fleet: &Fleet, calls: &Calls, tile: Tile) -> Result<Option<Self>, NotReady> {
        let mut clusters = Self::new();
        let mut left = EXACT_MAX;
        for reader in fleet.readers()? {
            let flow = reader.visit_box(&tile.bbox(), &mut |found| {
                let position = found.sighting.position;
                if !tile.holds(grid().cell(position)) {
                    return ControlFlow::Continue(());
                }
                if left == 0 {
                    return ControlFlow::Break(());
                }
                left -= 1;
                let hash = if calls.is_empty() { 0 } else { found.key.hash() };
                clusters.add(tile, position, calls.flags(found.key, hash));
                ControlFlow::Continue(())
            });
            if flow.is_break() {
                return Ok(None);
            }
        }
        Ok(Some(clusters))
    }

    /// Returns the clusters of a tile with very many vehicles, from where they are: cell after cell, so that no writer
    /// has to wait for all of them.
    pub(crate) fn of_many(fleet: &Fleet, calls: &Calls, tile: Tile) -> Result<Self, NotReady> {
        let mut clusters = Self::new();
        let readers = fleet.readers()?;
        for part in 0..(SIDE * SIDE) as u32 {
            let bbox = tile.part(gather(part), gather(part >> 1), SIDE as u32);
            for reader in &readers {
                let (ControlFlow::Continue(()) | ControlFlow::Break(())) =
                    reader.visit_box(&bbox, &mut |found| {
                        let position = found.sighting.position;
                        if tile.holds(grid().cell(position)) && part_of(tile.place(position)) == part as usize
                        {
                            let hash = if calls.is_empty() { 0 } else { found.key.hash() };
                            clusters.add(tile, position, calls.flags(found.key, hash));
                        }
                        ControlFlow::Continue(())
                    });
            }
        }
        Ok(clusters)
    }

    fn add(&mut self, tile: Tile, position: Position, flags: u8) {
        let (x, y) = tile.place(position);
        let cluster = &mut self.0[part_of((x, y))];
        cluster.n += 1;
        cluster.emergency += u32::from(flags & super::bin::REAL != 0);
        cluster.x += x;
        cluster.y += y;
    }

    /// Writes the tile; nothing where no vehicle is.
    pub(crate) fn write(&self) -> Vec<u8> {
        let mut layer = Layer::new(&KEYS);
        let mut is_empty = true;
        for cluster in self.0.iter().filter(|cluster| cluster.n > 0) {
            let middle = |sum: f64| ((sum / cluster.n as f64) as u32).min(EXTENT - 1);
            let n = (0, layer.number(cluster.n));
            let place = (middle(cluster.x), middle(cluster.y));
            match cluster.emergency {
                0 => layer.point(None, place, &[n]),
                some => {
                    let emergency = (1, layer.number(u64::from(some)));
                    layer.point(None, place, &[n, emergency]);
                }
            }
            is_empty = false;
        }
        if is_empty { Vec::new() } else { layer.finish(EXTENT) }
    }
}

/// Returns the cell of the grid that a place in a tile is in. The cells are in the order of their numbers.
fn part_of((x, y): (f64, f64)) -> usize {
    let unit = EXTENT >> GRID;
    let (column, row) = (x as u32 / unit, y as u32 / unit);
    let bit = |of: u32, at: u32| (of >> at & 1) as usize;
    (0..u32::from(GRID)).map(|at| bit(column, at) << (2 * at) | bit(row, at) << (2 * at + 1)).sum()
}

const _: () = assert!(LEVEL_MAX == 14);
