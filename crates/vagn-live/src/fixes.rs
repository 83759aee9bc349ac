//! The fix before the last of each vehicle, where a client looks: the movement between two fixes is drawn from both.
//!
//! Kept only for the cells of level 11 that were asked for in the last half minute, for the fleet itself keeps one fix per
//! vehicle. A vehicle is known by partition and row, and by its key, for another may have the row later.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::time::Duration;

use foldhash::fast::RandomState;
use prometheus_client::metrics::counter::Counter;
use vagn_store::{Changes, Moved, Sighting};
use vagn_wire::Position;

use crate::mercator::{Cell, Grid, Tile, grid};

/// Level of the cells that are watched.
const LEVEL: u8 = 11;
/// Time since it was last asked for after which a cell is watched no longer.
const WATCHED_FOR: Duration = Duration::from_secs(30);
/// Most vehicles whose fixes are kept: some 40 MB. As many as fill 50 tiles.
const VEHICLES_MAX: usize = 500_000;
/// Most cells that are watched at a time.
const CELLS_MAX: usize = 10_000;

/// A fix: a place in 1e-7 degrees, and its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fix {
    /// Degrees east, times 1e7.
    pub(crate) lon: i32,
    /// Degrees north, times 1e7.
    pub(crate) lat: i32,
    /// Time of the position, ms since 1970.
    pub(crate) time_ms: i64,
}

impl Fix {
    pub(crate) fn new(position: Position, time_ms: i64) -> Self {
        // 180° in this unit is less than 2^31.
        let unit = |degrees: f64| (degrees * 1e7).round() as i32;
        Self { lon: unit(position.lon()), lat: unit(position.lat()), time_ms }
    }
}

/// The last two fixes of a vehicle, as its changes told them.
#[derive(Debug, Clone, Copy)]
struct Pair {
    key: u32,
    before: Fix,
    last: Fix,
}

/// Fixes before, and the cells that they are kept for.
pub(crate) struct Fixes {
    grid: &'static Grid,
    /// Time of the last question by cell, on the monotonic clock.
    watched: HashMap<u32, Duration, RandomState>,
    /// A bit per cell: most changes are of vehicles that no client looks at, and are passed over with one look.
    bits: Vec<u64>,
    pairs: HashMap<(u32, u32), Pair, RandomState>,
    refused: Counter,
}

impl Fixes {
    pub(crate) fn new(refused: Counter) -> Self {
        Self {
            grid: grid(),
            watched: HashMap::default(),
            bits: Vec::new(),
            pairs: HashMap::default(),
            refused,
        }
    }

    /// Keeps the fixes of vehicles around this tile from now on.
    pub(crate) fn watch(&mut self, tile: Tile, now: Duration) {
        let Some(above) = tile.zoom().checked_sub(LEVEL) else { return };
        let cell = tile.number() >> (2 * above);
        let is_full = self.watched.len() >= CELLS_MAX;
        match self.watched.entry(cell) {
            Entry::Occupied(mut entry) => *entry.get_mut() = now,
            Entry::Vacant(_) if is_full => {}
            Entry::Vacant(entry) => {
                entry.insert(now);
                self.bits.resize(1 << (2 * LEVEL - 6), 0);
                self.bits[cell as usize / 64] |= 1 << (cell % 64);
            }
        }
    }

    #[inline]
    fn is_watched(&self, cell: Cell) -> bool {
        let cell = cell.at(LEVEL);
        self.bits[cell as usize / 64] & 1 << (cell % 64) != 0
    }

    /// Takes over the changes of a partition; `anew`: its rows may have other vehicles.
    pub(crate) fn take(&mut self, changes: &Changes, anew: bool) {
        if anew {
            self.pairs.retain(|(partition, _), _| *partition != changes.partition);
        }
        if self.watched.is_empty() {
            return;
        }
        for moved in changes.moved() {
            self.take_one(changes.partition, &moved);
        }
        for gone in changes.gone() {
            self.pairs.remove(&(changes.partition, gone.row));
        }
    }

    #[inline]
    fn take_one(&mut self, partition: u32, moved: &Moved<'_>) {
        let position = moved.update.sighting.position;
        let is_watched = self.is_watched(self.grid.cell(position));
        let row = (partition, moved.row);
        match moved.before {
            Some(before) if is_watched => {
                let pair = Pair {
                    key: moved.update.hash as u32,
                    before: Fix::new(before.position, before.event_time_ms),
                    last: Fix::new(position, moved.event_time_ms),
                };
                if self.pairs.len() < VEHICLES_MAX || self.pairs.contains_key(&row) {
                    self.pairs.insert(row, pair);
                } else {
                    self.refused.inc();
                }
            }
            // Gone from where a client looks, or another vehicle in the row.
            Some(before) if self.is_watched(self.grid.cell(before.position)) => {
                self.pairs.remove(&row);
            }
            Some(_) => {}
            None => {
                self.pairs.remove(&row);
            }
        }
    }

    /// Returns the fix before the one that the fleet has of a vehicle, if it is known. The changes may be some behind the
    /// fleet: then what they have as the last fix is the one before, or an earlier one.
    pub(crate) fn before(&self, partition: u32, row: u32, key: u32, seen: &Sighting) -> Option<Fix> {
        let pair = self.pairs.get(&(partition, row)).filter(|pair| pair.key == key)?;
        let now = Fix::new(seen.position, seen.event_time_ms);
        if pair.last == now {
            return Some(pair.before);
        }
        (pair.last.time_ms < now.time_ms).then_some(pair.last)
    }

    /// Forgets the cells that were not asked for lately, and the fixes in them.
    pub(crate) fn tidy(&mut self, now: Duration) {
        let before = self.watched.len();
        self.watched.retain(|_, asked| now.saturating_sub(*asked) < WATCHED_FOR);
        if self.watched.len() == before {
            return;
        }
        self.bits.fill(0);
        for cell in self.watched.keys() {
            self.bits[*cell as usize / 64] |= 1 << (cell % 64);
        }
        let grid = self.grid;
        let bits = &self.bits;
        self.pairs.retain(|_, pair| {
            let lat = f64::from(pair.last.lat) / 1e7;
            let lon = f64::from(pair.last.lon) / 1e7;
            let cell = Position::new(lat, lon).map(|position| grid.cell(position).at(LEVEL));
            cell.is_ok_and(|cell| bits[cell as usize / 64] & 1 << (cell % 64) != 0)
        });
        self.pairs.shrink_to_fit();
    }

    /// Counts the vehicles whose fixes are kept.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.watched = HashMap::default();
        self.bits = Vec::new();
        self.pairs = HashMap::default();
    }
}
