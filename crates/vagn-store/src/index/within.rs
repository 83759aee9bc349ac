//! The vehicles in a box of longitude and latitude.

use super::Index;
use super::cell::{Cell, Spot, x_of, y_of};
use super::node::Child;
use super::tree::TOP;
use crate::{BBox, Vehicle};

impl Index {
    /// Adds up to `limit` vehicles that are in the box to `vehicles`, in no particular order. When it adds
    /// `limit`, there may be more.
    pub fn bbox(&self, bbox: &BBox, limit: usize, vehicles: &mut Vec<Vehicle>) {
        let areas = Areas::of(bbox);
        let end = vehicles.len().saturating_add(limit);
        let mut frontier = vec![(Child::Node(TOP), Cell::ROOT)];
        while let Some((child, cell)) = frontier.pop() {
            if vehicles.len() >= end {
                return;
            }
            if !areas.touch(cell) {
                continue;
            }
            let room = end - vehicles.len();
            match child {
                Child::Empty => {}
                Child::Node(node) => {
                    let children = self.tree.nodes[node].children().into_iter().enumerate();
                    frontier.extend(children.map(|(quarter, child)| (child, cell.quarter(quarter))));
                }
                Child::Leaf(leaf) => {
                    let places = self.tree.leaves[leaf].places();
                    let slots = places.map(|place| self.tree.blocks.slot(place));
                    self.add_within(bbox, slots, room, vehicles);
                }
                Child::Pile(pile) => self.add_within(bbox, self.tree.piles[pile].slots(), room, vehicles),
            }
        }
    }

    fn add_within(
        &self,
        bbox: &BBox,
        slots: impl Iterator<Item = u32>,
        room: usize,
        vehicles: &mut Vec<Vehicle>,
    ) {
        let within = slots.filter(|&slot| bbox.contains(self.rows[slot].position()));
        vehicles.extend(within.take(room).map(|slot| self.vehicle(slot)));
    }
}

/// The smallest cells that a box can have vehicles in, as rectangles. A vehicle's cell is that of its
/// canonical position, so a pole and the antimeridian have a rectangle of their own.
struct Areas([Option<(Spot, Spot)>; 5]);

impl Areas {
    fn of(bbox: &BBox) -> Areas {
        let (south, north) = (y_of(bbox.south), y_of(bbox.north));
        let area = |west: u32, east: u32| Some((Spot { x: west, y: south }, Spot { x: east, y: north }));
        let (west, east) = (x_of(bbox.west), x_of(bbox.east));
        let crosses = bbox.west > bbox.east;
        let at_antimeridian = crosses || bbox.east == 180.0 || bbox.west == -180.0;
        let pole = |y: u32| (Spot { x: x_of(0.0), y }, Spot { x: x_of(0.0), y });
        Areas([
            if crosses { area(west, u32::MAX) } else { area(west, east) },
            crosses.then(|| area(0, east)).flatten(),
            at_antimeridian.then(|| area(0, 0)).flatten(),
            (bbox.north == 90.0).then(|| pole(u32::MAX)),
            (bbox.south == -90.0).then(|| pole(0)),
        ])
    }

    fn touch(&self, cell: Cell) -> bool {
        let (first, last) = cell.corners();
        let touches = |(least, greatest): &(Spot, Spot)| {
            first.x <= greatest.x && least.x <= last.x && first.y <= greatest.y && least.y <= last.y
        };
        self.0.iter().flatten().any(touches)
    }
}
