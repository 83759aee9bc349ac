//! The first vehicles in a box, in the order of coarse place and id.
//!
//! An index has an order of its own, which follows exact places, and so would any choice that it makes where there are more
//! vehicles than are wanted. Here a box with too many of them is halved along the grid until each half has few enough, or is one
//! place of the grid. So the index is asked for no more at a time than for an exact box.

use std::collections::{BinaryHeap, HashSet};
use std::ops::ControlFlow;

use super::{ANTIMERIDIAN, POLE, STEPS, degrees, visit_box};
use crate::{BBox, Reader, Vehicle, VehicleIdBuf};

/// Returns up to `limit` vehicles whose coarse place is in the box: the first by region of the box, place and id.
pub(crate) fn inside(readers: &[Reader], bbox: &BBox, limit: usize) -> Vec<Vehicle> {
    let mut vehicles = Vec::new();
    // One that moves between two looks may be found by both.
    let mut seen: HashSet<VehicleIdBuf> = HashSet::new();
    for region in regions(bbox) {
        let mut found = Vec::new();
        for reader in readers {
            let most = limit - vehicles.len();
            Search { reader, bbox, found: &mut found }.first(region, most);
        }
        found.sort_by_key(order);
        found.retain(|vehicle| seen.insert(vehicle.id));
        found.truncate(limit - vehicles.len());
        vehicles.append(&mut found);
    }
    vehicles
}

/// Brings vehicles in a box, which several searches found, into the order in which one search gives them.
pub(crate) fn sort(bbox: &BBox, vehicles: &mut [Vehicle]) {
    let regions = regions(bbox);
    vehicles.sort_by_cached_key(|vehicle| {
        let (row, column, id) = order(vehicle);
        let region = regions.iter().position(|region| region.has(row, column));
        (region.unwrap_or(regions.len()), row, column, id)
    });
}

/// Returns the place in the order: from south to north, then from west to east, then by id.
fn order(vehicle: &Vehicle) -> (i32, i32, VehicleIdBuf) {
    let position = vehicle.sighting.position;
    (super::step(position.lat()), super::step(position.lon()), vehicle.id)
}

/// Rows and columns of the grid, from the first to the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Region {
    south: i32,
    north: i32,
    west: i32,
    east: i32,
}

impl Region {
    fn has(self, row: i32, column: i32) -> bool {
        (self.south..=self.north).contains(&row) && (self.west..=self.east).contains(&column)
    }

    fn bbox(self) -> BBox {
        let [west, south, east, north] = [self.west, self.south, self.east, self.north].map(degrees);
        BBox::new(west, south, east, north).expect("regions are on the globe")
    }

    /// Returns its two halves, in the order of places; `None` for one place.
    fn halves(self) -> Option<[Self; 2]> {
        if self.south < self.north {
            let middle = self.south + (self.north - self.south) / 2;
            return Some([Self { north: middle, ..self }, Self { south: middle + 1, ..self }]);
        }
        let middle = self.west + (self.east - self.west) / 2;
        (self.west < self.east).then_some([Self { east: middle, ..self }, Self { west: middle + 1, ..self }])
    }
}

/// Returns regions that together have every place in a box, and no place twice.
fn regions(bbox: &BBox) -> Vec<Region> {
    let [west, south, east, north] = bbox.edges().map(|edge| edge * STEPS);
    let (south, north) = (south.floor() as i32, north.ceil() as i32);
    let mut regions = Vec::new();
    // A pole is one place, and in each box that reaches it.
    if south == -POLE {
        regions.push(Region { south, north: south, west: 0, east: 0 });
    }
    let (bottom, top) = (south.max(1 - POLE), north.min(POLE - 1));
    if bottom <= top {
        let columns = columns(west.floor() as i32, east.ceil() as i32, west > east);
        regions.extend(columns.into_iter().map(|(west, east)| Region {
            south: bottom,
            north: top,
            west,
            east,
        }));
    }
    if north == POLE {
        regions.push(Region { south: north, north, west: 0, east: 0 });
    }
    regions
}

/// Returns ranges of columns from west to east, without the eastern name of the antimeridian.
fn columns(west: i32, east: i32, crosses: bool) -> Vec<(i32, i32)> {
    let mut ranges = match crosses {
        // Its edges may be in one column; that column is told once.
        true if west <= east => vec![(-ANTIMERIDIAN, ANTIMERIDIAN)],
        true => vec![(-ANTIMERIDIAN, east), (west, ANTIMERIDIAN)],
        false => vec![(west, east)],
    };
    let is_at_antimeridian = ranges.iter().any(|(_, east)| *east == ANTIMERIDIAN);
    if is_at_antimeridian && ranges[0].0 != -ANTIMERIDIAN {
        ranges.insert(0, (-ANTIMERIDIAN, -ANTIMERIDIAN));
    }
    let named_once = ranges.into_iter().map(|(west, east)| (west, east.min(ANTIMERIDIAN - 1)));
    named_once.filter(|(west, east)| west <= east).collect()
}

/// A search through one partition.
struct Search<'a> {
    reader: &'a Reader,
    bbox: &'a BBox,
    found: &'a mut Vec<Vehicle>,
}

impl Search<'_> {
    /// Adds the first vehicles of a region, at most so many.
    fn first(&mut self, region: Region, most: usize) {
        if most == 0 {
            return;
        }
        let before = self.found.len();
        if self.all(region, most).is_continue() {
            return;
        }
        self.found.truncate(before);
        match region.halves() {
            Some(halves) => {
                for half in halves {
                    let added = self.found.len() - before;
                    self.first(half, most - added);
                }
            }
            None => self.first_of_place(region, most),
        }
    }

    /// Adds the vehicles of a region; breaks off when there are more than `most`.
    fn all(&mut self, region: Region, most: usize) -> ControlFlow<()> {
        let Self { reader, bbox, found } = self;
        let end = found.len() + most;
        visit_box(reader, &region.bbox(), &mut |vehicle| {
            if !bbox.contains(vehicle.sighting.position) {
                return ControlFlow::Continue(());
            }
            if found.len() == end {
                return ControlFlow::Break(());
            }
            found.push(Vehicle { id: vehicle.key.into(), sighting: vehicle.sighting });
            ControlFlow::Continue(())
        })
    }

    /// Adds the first vehicles at one place by their ids, however many are there.
    fn first_of_place(&mut self, region: Region, most: usize) {
        let Self { reader, bbox, found } = self;
        let mut first = BinaryHeap::new();
        let (ControlFlow::Continue(()) | ControlFlow::Break(())) =
            visit_box(reader, &region.bbox(), &mut |vehicle| {
                let id = VehicleIdBuf::from(vehicle.key);
                let is_first = first.len() < most || first.peek().is_some_and(|last: &ById| id < last.0.id);
                if bbox.contains(vehicle.sighting.position) && is_first {
                    first.push(ById(Vehicle { id, sighting: vehicle.sighting }));
                    if first.len() > most {
                        first.pop();
                    }
                }
                ControlFlow::Continue(())
            });
        found.extend(first.into_iter().map(|ById(vehicle)| vehicle));
    }
}

/// A vehicle in the order of ids.
struct ById(Vehicle);

impl PartialEq for ById {
    fn eq(&self, other: &Self) -> bool {
        self.0.id == other.0.id
    }
}

impl Eq for ById {}

impl PartialOrd for ById {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ById {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.id.cmp(&other.0.id)
    }
}
