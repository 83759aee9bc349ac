//! Coarse places: the one function that makes a sighting coarse, and searches through what it gives.
//!
//! Everything here works on coarse places alone, its order too. An exact place is looked at only to find the vehicles whose
//! coarse place may be meant.

mod inside;
#[cfg(test)]
mod tests;

use std::ops::ControlFlow;

use vagn_wire::Position;

pub(crate) use inside::{inside, sort};

use crate::{BBox, Found, Nearby, Reader, Sighting};

/// Steps of the grid in a degree.
const STEPS: f64 = 1_000.0;
/// Row of a pole, counted from the equator.
const POLE: i32 = 90_000;
/// Column of the antimeridian, counted from Greenwich; by its western name it is the negative of this.
const ANTIMERIDIAN: i32 = 180_000;
/// Step of times, ms.
const TIME_STEP_MS: i64 = 10_000;
/// Most degrees from a coordinate to its coarse one: half a step, and far more than what rounding can add.
const REACH: f64 = 0.000_5 + 1e-9;
/// Most metres from a place to its coarse one: half the diagonal of a cell at the equator is 78.7 m.
pub(crate) const REACH_M: f64 = 80.0;

/// Returns the nearest place of the grid. The antimeridian is -180°, a pole has longitude 0, and zero has no sign: a place has
/// one name, so that names tell nothing.
#[inline]
pub(crate) fn place(position: Position) -> Position {
    let row = step(position.lat());
    let column = match step(position.lon()) {
        _ if row.abs() == POLE => 0,
        ANTIMERIDIAN => -ANTIMERIDIAN,
        column => column,
    };
    at(row, column)
}

/// Returns the number of the nearest step.
#[inline]
fn step(degrees: f64) -> i32 {
    (degrees * STEPS).round() as i32
}

/// Returns a place of the grid.
#[inline]
fn at(row: i32, column: i32) -> Position {
    Position::new(degrees(row), degrees(column)).expect("rows and columns are on the globe")
}

#[inline]
fn degrees(step: i32) -> f64 {
    f64::from(step) / STEPS
}

/// Returns what is left of a sighting: place and times, coarse.
#[inline]
pub(crate) fn sighting(exact: Sighting) -> Sighting {
    Sighting {
        position: place(exact.position),
        event_time_ms: time_ms(exact.event_time_ms),
        receive_time_ms: time_ms(exact.receive_time_ms),
        receive_seq: 0,
        seq: None,
        speed_mps: None,
        heading_deg: None,
        emergency: false,
        own_time: exact.own_time,
        unsure: false,
    }
}

/// Returns the last full step at or before a time.
fn time_ms(exact_ms: i64) -> i64 {
    exact_ms.saturating_sub(exact_ms.rem_euclid(TIME_STEP_MS))
}

/// Returns the first time that is coarsely at or after this one.
pub(crate) fn first_time_ms(coarse_ms: i64) -> i64 {
    coarse_ms.saturating_add((-coarse_ms.rem_euclid(TIME_STEP_MS)).rem_euclid(TIME_STEP_MS))
}

/// Returns the question with the times at which it is met coarsely.
pub(crate) fn nearby(nearby: &Nearby) -> Nearby {
    Nearby { newer_than_ms: nearby.newer_than_ms.map(first_time_ms), ..*nearby }
}

/// Returns boxes that together have all places whose coarse place is in `bbox`.
pub(crate) fn sources(bbox: &BBox) -> Vec<BBox> {
    let [_, south, _, north] = bbox.edges();
    let mut sources = vec![widened(bbox)];
    // What is next to a pole is at the pole, from whatever longitude.
    let cap = 90.0 - REACH;
    if north == 90.0 {
        sources.push(all_around(cap, 90.0));
    }
    if south == -90.0 {
        sources.push(all_around(-90.0, -cap));
    }
    sources
}

fn widened(bbox: &BBox) -> BBox {
    let [west, south, east, north] = bbox.edges();
    let (south, north) = ((south - REACH).max(-90.0), (north + REACH).min(90.0));
    let crosses = west > east;
    let width = if crosses { east - west + 360.0 } else { east - west };
    if width + 2.0 * REACH >= 360.0 {
        return all_around(south, north);
    }
    let (west, east) = (west - REACH, east + REACH);
    let west = if west < -180.0 { west + 360.0 } else { west };
    let east = if east > 180.0 { east - 360.0 } else { east };
    BBox::new(west, south, east, north).expect("its edges are on the globe, and in order")
}

fn all_around(south: f64, north: f64) -> BBox {
    BBox::new(-180.0, south, 180.0, north).expect("its edges are on the globe, and in order")
}

/// Visits the vehicles whose coarse place is in a box, with their coarse sightings; else as [`Reader::visit_box`].
pub(crate) fn visit_box(
    reader: &Reader,
    bbox: &BBox,
    visit: &mut impl FnMut(&Found<'_>) -> ControlFlow<()>,
) -> ControlFlow<()> {
    let sources = sources(bbox);
    for (number, source) in sources.iter().enumerate() {
        let before = &sources[..number];
        reader.visit_box(source, &mut |found| {
            let exact = found.sighting.position;
            if !bbox.contains(place(exact)) || before.iter().any(|source| source.contains(exact)) {
                return ControlFlow::Continue(());
            }
            visit(&Found { sighting: sighting(found.sighting), ..*found })
        })?;
    }
    ControlFlow::Continue(())
}
