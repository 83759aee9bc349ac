//! Changes of the live fleet, told to parts that follow it: positions that were stored, and vehicles that left.

use vagn_wire::Position;

use crate::{OrderNumber, Update, Updates, VehicleIdBuf};

/// The changes of one commit of a partition, in their order.
#[derive(Debug)]
pub struct Changes {
    /// Partition of the vehicles.
    pub partition: u32,
    /// First order number of the partition's writer. Where it differs from that of the changes before, the rows of all
    /// vehicles may have changed.
    pub begun: OrderNumber,
    /// Order number behind the last of the changes.
    pub end: OrderNumber,
    /// False when changes of this commit, or of earlier ones, are not told: the fleet itself has them.
    pub is_whole: bool,
    updates: Updates,
    moves: Vec<Move>,
    gone: Vec<Gone>,
}

/// A position that was stored, of an update of its batch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Move {
    /// Index of the update.
    pub(crate) update: u32,
    /// See [`Moved::row`].
    pub(crate) row: u32,
    /// See [`Moved::event_time_ms`].
    pub(crate) event_time_ms: i64,
    /// See [`Moved::before`].
    pub(crate) before: Option<FixBefore>,
}

/// The position of a vehicle before it was replaced.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FixBefore {
    /// Position of the vehicle.
    pub position: Position,
    /// Its time, ms since 1970: the vehicle's own, or that of its arrival.
    pub event_time_ms: i64,
}

/// A vehicle with the position that was stored, and the one before.
#[derive(Debug, Clone, Copy)]
pub struct Moved<'a> {
    /// Row of the vehicle in its partition: a number for tables in this process, which it keeps until it is gone or the
    /// partition gets another writer. Then another vehicle may have it.
    pub row: u32,
    /// The vehicle and its report as it was sent.
    pub update: Update<'a>,
    /// Time of the position as it is stored, ms since 1970: that of the report, or the arrival where the rule of judging
    /// put it in its place.
    pub event_time_ms: i64,
    /// Position before; `None` for a vehicle that was not known.
    pub before: Option<FixBefore>,
}

/// A vehicle that was deleted or forgotten.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Gone {
    /// Row that it had; see [`Moved::row`].
    pub row: u32,
    /// Its id.
    pub id: VehicleIdBuf,
    /// Its last position.
    pub last: Position,
}

impl Changes {
    /// Changes of a commit that told nothing, as at the begin of a writer.
    pub fn untold(partition: u32, begun: OrderNumber, end: OrderNumber) -> Changes {
        let updates = Updates::new();
        Changes { partition, begun, end, is_whole: false, updates, moves: Vec::new(), gone: Vec::new() }
    }

    /// Adds the positions that a write has stored.
    pub fn with_moves(self, updates: Updates, moves: Vec<Move>) -> Changes {
        Changes { updates, moves, is_whole: true, ..self }
    }

    /// Adds vehicles that left.
    pub fn with_gone(self, gone: Vec<Gone>) -> Changes {
        Changes { gone, is_whole: true, ..self }
    }

    /// Returns the positions that were stored, in order. A vehicle may have several.
    pub fn moved(&self) -> impl ExactSizeIterator<Item = Moved<'_>> {
        self.moves.iter().map(|of| Moved {
            row: of.row,
            event_time_ms: of.event_time_ms,
            update: self.updates.get(of.update as usize).expect("a move names an update of its batch"),
            before: of.before,
        })
    }

    /// Returns the vehicles that left.
    pub fn gone(&self) -> &[Gone] {
        &self.gone
    }

    /// Counts the changes.
    pub fn len(&self) -> usize {
        self.moves.len() + self.gone.len()
    }

    /// Returns true when nothing is told.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
