//! Many vehicles on one point: a depot, a ferry, a default coordinate.
//!
//! Dividing a cell does not part them, so a leaf full of them becomes a pile, ordered by position and id:
//! adding and removing one stays logarithmic, and as all are equally far from everywhere, a search needs only
//! the first few by id.

use std::collections::BTreeMap;

use vagn_wire::Position;

use super::cell::Cell;
use super::node::Branch;
use crate::Key;
use crate::geo::canonical;

/// Vehicles on one point, or, in one of the smallest cells, on several.
#[derive(Debug)]
pub(super) struct Pile {
    pub(super) cell: Cell,
    pub(super) branch: Branch,
    // By id, so that a search takes the first k and looks at no more.
    points: BTreeMap<Point, BTreeMap<OwnedKey, u32>>,
    count: u32,
}

/// The bits of a canonical position. Their order means nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Point {
    lat: u64,
    lon: u64,
}

impl Point {
    fn of(position: Position) -> Point {
        let position = canonical(position);
        Point { lat: position.lat().to_bits(), lon: position.lon().to_bits() }
    }

    fn position(self) -> Position {
        Position::new(f64::from_bits(self.lat), f64::from_bits(self.lon)).expect("the bits were a position's")
    }
}

/// A [`Key`] that owns its text, in the same order.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum OwnedKey {
    Uuid([u8; 16]),
    Text(Box<str>),
}

impl OwnedKey {
    pub(super) fn key(&self) -> Key<'_> {
        match self {
            OwnedKey::Uuid(bytes) => Key::Uuid(*bytes),
            OwnedKey::Text(text) => Key::Text(text),
        }
    }
}

impl From<Key<'_>> for OwnedKey {
    fn from(key: Key<'_>) -> OwnedKey {
        match key {
            Key::Uuid(bytes) => OwnedKey::Uuid(bytes),
            Key::Text(text) => OwnedKey::Text(text.into()),
        }
    }
}

impl Pile {
    pub(super) fn new(cell: Cell, branch: Branch) -> Pile {
        Pile { cell, branch, points: BTreeMap::new(), count: 0 }
    }

    /// Returns a pile that was emptied to be used again elsewhere.
    pub(super) fn spent() -> Pile {
        Pile::new(Cell::ROOT, Branch { node: 0, quarter: 0 })
    }

    pub(super) fn count(&self) -> u32 {
        self.count
    }

    /// Returns true when all its vehicles are on the point of `position`.
    pub(super) fn is_on(&self, position: Position) -> bool {
        self.points.len() == 1 && self.points.contains_key(&Point::of(position))
    }

    /// Returns the position of any of its vehicles.
    pub(super) fn position(&self) -> Option<Position> {
        self.points.keys().next().map(|point| point.position())
    }

    pub(super) fn add(&mut self, position: Position, key: Key<'_>, slot: u32) {
        self.points.entry(Point::of(position)).or_default().insert(key.into(), slot);
        self.count += 1;
    }

    pub(super) fn remove(&mut self, position: Position, key: Key<'_>) {
        let point = Point::of(position);
        let here = self.points.get_mut(&point).expect("a vehicle is under the position it was added with");
        here.remove(&key.into()).expect("a vehicle is in its pile until it is removed");
        // A point without vehicles would keep the pile from being on one point only.
        if here.is_empty() {
            self.points.remove(&point);
        }
        self.count -= 1;
    }

    /// Returns each point and the vehicles on it, by id.
    pub(super) fn points(&self) -> impl Iterator<Item = (Position, impl Iterator<Item = u32>)> {
        self.points.iter().map(|(point, slots)| (point.position(), slots.values().copied()))
    }

    pub(super) fn slots(&self) -> impl Iterator<Item = u32> {
        self.points.values().flat_map(|slots| slots.values().copied())
    }
}
