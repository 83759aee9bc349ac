//! The vehicles in a box of longitude and latitude.

use std::ops::ControlFlow;

use super::Index;
use super::cell::{Cell, GridPoint, x_of, y_of};
use super::node::Child;
use super::tree::TOP;
use crate::{BBox, Vehicle};

impl Index {
    /// Adds up to `limit` vehicles that are in the box to `vehicles`, in no particular order. When it adds
    /// `limit`, there may be more.
    pub fn bbox(&self, bbox: &BBox, limit: usize, vehicles: &mut Vec<Vehicle>) {
        let end = vehicles.len().saturating_add(limit);
        let add = |index: &Index, slot| {
            if vehicles.len() >= end {
                return ControlFlow::Break(());
            }
            vehicles.push(index.vehicle(slot));
            ControlFlow::Continue(())
        };
        // Broken off or not, they are in the list.
        let (ControlFlow::Continue(()) | ControlFlow::Break(())) = self.visit_box(bbox, &mut { add });
    }

    /// Visits the slots of the vehicles in a box, in no particular order, until `visit` breaks off.
    pub(crate) fn visit_box(
        &self,
        bbox: &BBox,
        visit: &mut impl FnMut(&Index, u32) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let areas = Areas::of(bbox);
        let mut frontier = vec![(Child::Node(TOP), Cell::ROOT)];
        while let Some((child, cell)) = frontier.pop() {
            // On whole numbers, as cells are: no rounding can lose a vehicle on the edge of the box.
            if !areas.touch(cell) {
                continue;
            }
            match child {
                Child::Empty => {}
                Child::Node(node) => {
                    let children = self.tree.nodes[node].children().into_iter().enumerate();
                    frontier.extend(children.map(|(quarter, child)| (child, cell.quarter(quarter))));
                }
                Child::Leaf(leaf) => {
                    let entries = self.tree.leaves[leaf].entries();
                    let slots = entries.map(|entry| self.tree.blocks.slot(entry));
                    self.visit_within(bbox, slots, visit)?;
                }
                Child::Pile(pile) => self.visit_within(bbox, self.tree.piles[pile].slots(), visit)?,
            }
        }
        ControlFlow::Continue(())
    }

    fn visit_within(
        &self,
        bbox: &BBox,
        slots: impl Iterator<Item = u32>,
        visit: &mut impl FnMut(&Index, u32) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        for slot in slots.filter(|&slot| bbox.contains(self.rows[slot].position())) {
            visit(self, slot)?;
        }
        ControlFlow::Continue(())
    }
}

/// The smallest cells that a box can have vehicles in, as rectangles. A vehicle's cell is that of its
/// canonical position, so a pole and the antimeridian have a rectangle of their own.
struct Areas([Option<(GridPoint, GridPoint)>; 5]);

impl Areas {
    fn of(bbox: &BBox) -> Areas {
        let first = GridPoint { x: x_of(bbox.west), y: y_of(bbox.south) };
        let last = GridPoint { x: x_of(bbox.east), y: y_of(bbox.north) };
        let crosses = bbox.west > bbox.east;
        // Its vehicles are in the cells of -180, by whichever name it stands in the box.
        let at_antimeridian = crosses || bbox.east == 180.0 || bbox.west == -180.0;
        Areas([
            Some((first, if crosses { GridPoint { x: u32::MAX, ..last } } else { last })),
            crosses.then_some((GridPoint { x: 0, ..first }, last)),
            at_antimeridian.then_some((GridPoint { x: 0, ..first }, GridPoint { x: 0, ..last })),
            (bbox.north == 90.0).then(|| at_pole(u32::MAX)),
            (bbox.south == -90.0).then(|| at_pole(0)),
        ])
    }

    fn touch(&self, cell: Cell) -> bool {
        let (first, last) = cell.corners();
        self.0.iter().flatten().any(|(least, greatest)| {
            first.x <= greatest.x && least.x <= last.x && first.y <= greatest.y && least.y <= last.y
        })
    }
}

/// Returns the one smallest cell of a pole, whose canonical longitude is 0.
fn at_pole(y: u32) -> (GridPoint, GridPoint) {
    let pole = GridPoint { x: x_of(0.0), y };
    (pole, pole)
}
