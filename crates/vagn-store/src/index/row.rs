//! The data of a vehicle beside its id: one cache line.

use vagn_wire::Position;

use super::cell::GridPoint;
use crate::Sighting;
use crate::geo::canonical;

/// The last sighting of the vehicle in a slot, and its entry in the tree.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
pub(crate) struct Row {
    position: Position,
    event_time_ms: i64,
    receive_time_ms: i64,
    receive_seq: u64,
    seq: u64,
    speed_mps: f32,
    heading_deg: f32,
    /// Entry in the tree's blocks, or the number of the pile when [`PILED`] is set.
    pub(super) entry: u32,
    /// Depth of the cell of its leaf; of no meaning in a pile.
    pub(super) depth: u8,
    flags: u16,
}

const _: () = assert!(size_of::<Row>() == 64, "a row is one cache line");

const TAKEN: u16 = 1;
const PILED: u16 = 2;
const HAS_SEQ: u16 = 4;
const HAS_SPEED: u16 = 8;
const HAS_HEADING: u16 = 16;
const EMERGENCY: u16 = 32;
const OWN_TIME: u16 = 64;
const UNSURE: u16 = 128;

impl Row {
    pub(crate) fn new(sighting: &Sighting) -> Row {
        Row {
            position: sighting.position,
            event_time_ms: sighting.event_time_ms,
            receive_time_ms: sighting.receive_time_ms,
            receive_seq: sighting.receive_seq,
            seq: sighting.seq.unwrap_or_default(),
            speed_mps: sighting.speed_mps.unwrap_or_default(),
            heading_deg: sighting.heading_deg.unwrap_or_default(),
            entry: 0,
            depth: 0,
            flags: TAKEN
                | flag_if(sighting.seq.is_some(), HAS_SEQ)
                | flag_if(sighting.speed_mps.is_some(), HAS_SPEED)
                | flag_if(sighting.heading_deg.is_some(), HAS_HEADING)
                | flag_if(sighting.emergency, EMERGENCY)
                | flag_if(sighting.own_time, OWN_TIME)
                | flag_if(sighting.unsure, UNSURE),
        }
    }

    /// Returns the row of a slot without vehicle.
    pub(crate) fn vacant() -> Row {
        let position = Position::new(0.0, 0.0).expect("the origin is on the globe");
        Row {
            position,
            event_time_ms: 0,
            receive_time_ms: 0,
            receive_seq: 0,
            seq: 0,
            speed_mps: 0.0,
            heading_deg: 0.0,
            entry: 0,
            depth: 0,
            flags: 0,
        }
    }

    pub(crate) fn sighting(&self) -> Sighting {
        Sighting {
            position: self.position,
            event_time_ms: self.event_time_ms,
            receive_time_ms: self.receive_time_ms,
            receive_seq: self.receive_seq,
            seq: self.has(HAS_SEQ).then_some(self.seq),
            speed_mps: self.has(HAS_SPEED).then_some(self.speed_mps),
            heading_deg: self.has(HAS_HEADING).then_some(self.heading_deg),
            emergency: self.has(EMERGENCY),
            own_time: self.has(OWN_TIME),
            unsure: self.has(UNSURE),
        }
    }

    /// Takes the newer sighting and stays where it is in the tree.
    pub(super) fn see(&mut self, sighting: &Sighting) {
        // The tree still has the vehicle there; only the sighting is new.
        let piled = self.flags & PILED;
        *self = Row { entry: self.entry, depth: self.depth, ..Row::new(sighting) };
        self.flags |= piled;
    }

    pub(super) fn put_in_leaf(&mut self, entry: u32, depth: u8) {
        self.flags &= !PILED;
        self.entry = entry;
        self.depth = depth;
    }

    pub(super) fn put_in_pile(&mut self, pile: u32) {
        self.flags |= PILED;
        self.entry = pile;
        self.depth = 0;
    }

    pub(crate) fn is_taken(&self) -> bool {
        self.has(TAKEN)
    }

    pub(super) fn is_piled(&self) -> bool {
        self.has(PILED)
    }

    /// Returns true when `entry` is an entry of a leaf.
    pub(super) fn is_in_leaf(&self) -> bool {
        self.flags & (TAKEN | PILED) == TAKEN
    }

    pub(super) fn position(&self) -> Position {
        self.position
    }

    pub(super) fn event_time_ms(&self) -> i64 {
        self.event_time_ms
    }

    pub(super) fn grid_point(&self) -> GridPoint {
        GridPoint::of(self.position)
    }

    pub(super) fn is_at(&self, position: Position) -> bool {
        canonical(self.position) == canonical(position)
    }

    /// Returns true when the vehicle stays in its leaf or pile if it moves to the position, whose smallest cell is
    /// `grid_point`.
    #[inline]
    pub(super) fn stays_at(&self, position: Position, grid_point: GridPoint) -> bool {
        match self.is_piled() {
            true => self.is_at(position),
            false => grid_point.shares(self.grid_point(), self.depth),
        }
    }

    fn has(&self, flag: u16) -> bool {
        self.flags & flag != 0
    }
}

#[inline]
fn flag_if(set: bool, flag: u16) -> u16 {
    if set { flag } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_back_every_field_as_it_was() {
        let full = Sighting {
            position: Position::new(-0.0, -180.0).unwrap(),
            event_time_ms: -5,
            receive_time_ms: i64::MAX,
            receive_seq: u64::MAX,
            seq: Some(0),
            speed_mps: Some(0.0),
            heading_deg: Some(359.9),
            emergency: true,
            own_time: true,
            unsure: false,
        };
        let bare = Sighting {
            seq: None,
            speed_mps: None,
            heading_deg: None,
            emergency: false,
            own_time: false,
            unsure: false,
            ..full
        };
        for (first, second) in [(full, bare), (bare, full)] {
            let mut row = Row::new(&first);
            assert_eq!(row.sighting(), first);
            row.put_in_pile(7);
            row.see(&second);
            assert_eq!((row.sighting(), row.entry, row.is_piled(), row.is_taken()), (second, 7, true, true));
        }
    }
}
