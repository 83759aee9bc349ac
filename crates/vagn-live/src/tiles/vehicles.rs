//! Tiles of single vehicles.

use std::ops::ControlFlow;

use vagn_store::{Fleet, Found, Key, NotReady, Sight, Sighting, VehicleIdBuf};
use vagn_wire::Position;

use super::bin::{self, BinVehicle};
use super::calls::Calls;
use super::mvt::{Layer, ValueIndex};
use crate::fixes::{Fix, Fixes};
use crate::mercator::{EXTENT, Tile, grid};

/// Most vehicles in a tile.
pub(crate) const VEHICLES_MAX: usize = 10_000;

/// Names of the properties; a coarse tile has the first one alone.
const KEYS: [&str; 3] = ["id", "heading", "emergency"];

/// The vehicles in a tile.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    vehicles: Vec<SeenVehicle>,
    /// Their ids, one behind the other.
    ids: String,
}

#[derive(Debug, Clone, Copy)]
struct SeenVehicle {
    hash: u64,
    partition: u32,
    row: u32,
    /// Begin and length of its id.
    id: (u32, u32),
    sighting: Sighting,
    flags: u8,
}

impl Seen {
    /// Finds the vehicles in a tile, in an order of their own; `None` when there are more than [`VEHICLES_MAX`].
    pub(crate) fn find(
        fleet: &Fleet,
        calls: &Calls,
        tile: Tile,
        sight: Sight,
    ) -> Result<Option<Self>, NotReady> {
        let mut seen = Self::default();
        for (partition, reader) in (0..).zip(fleet.readers()?) {
            let flow = sight.visit_box(&reader, &tile.bbox(), &mut |found| {
                if !tile.holds(grid().cell(found.sighting.position)) {
                    return ControlFlow::Continue(());
                }
                if seen.vehicles.len() >= VEHICLES_MAX {
                    return ControlFlow::Break(());
                }
                seen.add(partition, found);
                ControlFlow::Continue(())
            });
            if flow.is_break() {
                return Ok(None);
            }
        }
        seen.sort();
        seen.call(calls);
        Ok(Some(seen))
    }

    /// Adds a vehicle. The writer of the partition waits meanwhile, so this does no more than it must.
    fn add(&mut self, partition: u32, found: &Found<'_>) {
        let begin = self.ids.len() as u32;
        match found.key {
            Key::Text(text) => self.ids.push_str(text),
            key @ Key::Uuid(_) => self.ids.push_str(&VehicleIdBuf::from(key)),
        }
        self.vehicles.push(SeenVehicle {
            hash: found.key.hash(),
            partition,
            row: found.row,
            id: (begin, self.ids.len() as u32 - begin),
            sighting: found.sighting,
            flags: 0,
        });
    }

    /// Sorts the vehicles: the index has no order that lasts, and without one the same vehicles would make other bytes.
    fn sort(&mut self) {
        let ids = &self.ids;
        self.vehicles.sort_unstable_by(|a, b| (a.hash, text(ids, a.id)).cmp(&(b.hash, text(ids, b.id))));
    }

    /// Marks the vehicles that call for help.
    fn call(&mut self, calls: &Calls) {
        for vehicle in &mut self.vehicles {
            vehicle.flags = calls.flags(text(&self.ids, vehicle.id), vehicle.hash);
        }
    }

    /// Returns true when there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.vehicles.is_empty()
    }

    /// Writes the vector tile.
    pub(crate) fn write_mvt(&self, tile: Tile, sight: Sight) -> Vec<u8> {
        let mut layer = Layer::new(match sight {
            Sight::Exact => &KEYS,
            Sight::Coarse => &KEYS[..1],
        });
        let mut headings = [None; 360];
        let mut truth = None;
        for vehicle in &self.vehicles {
            let id = layer.text(text(&self.ids, vehicle.id));
            let mut properties = [(0, id); KEYS.len()];
            let mut count = 1;
            let mut add = |property: (u32, ValueIndex)| {
                properties[count] = property;
                count += 1;
            };
            if let Some(heading) = vehicle.sighting.heading_deg {
                let degrees = heading.round() as usize % headings.len();
                add((1, *headings[degrees].get_or_insert_with(|| layer.number(degrees as u64))));
            }
            if vehicle.flags & bin::REAL != 0 {
                add((2, *truth.get_or_insert_with(|| layer.truth())));
            }
            let place = units(tile, vehicle.sighting.position);
            layer.point(Some(vehicle.hash as u32), place, &properties[..count]);
        }
        layer.finish(EXTENT)
    }

    /// Writes the binary tile. Without `fixes` no movement is told, only where the vehicles are.
    pub(crate) fn write_bin(&self, fixes: Option<&Fixes>, tick_ms: i64) -> Vec<u8> {
        let vehicles = self.vehicles.iter().map(|vehicle| {
            let seen = &vehicle.sighting;
            let key = vehicle.hash as u32;
            BinVehicle {
                last: Fix::new(seen.position, seen.event_time_ms),
                before: fixes.and_then(|fixes| fixes.before(vehicle.partition, vehicle.row, key, seen)),
                receive_time_ms: seen.receive_time_ms,
                key,
                heading_deg: seen.heading_deg,
                speed_mps: seen.speed_mps,
                flags: vehicle.flags | if seen.unsure { bin::UNSURE } else { 0 },
            }
        });
        bin::write(&vehicles.collect::<Vec<_>>(), tick_ms)
    }
}

fn text(ids: &str, (begin, len): (u32, u32)) -> &str {
    &ids[begin as usize..(begin + len) as usize]
}

fn units(tile: Tile, position: Position) -> (u32, u32) {
    let (x, y) = tile.place(position);
    (x as u32, y as u32)
}
