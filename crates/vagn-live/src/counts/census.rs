//! The cell of every vehicle by its row, and the counts that follow from them.

use vagn_store::{Changes, OrderNumber, Sight};
use vagn_wire::Position;

use super::Levels;
use crate::mercator::{Cell, Grid, grid};

/// Row without vehicle.
const NOWHERE: u32 = u32::MAX;

/// Cells of all vehicles, and their counts. 4 B per vehicle beside the counts.
pub(crate) struct Census {
    grid: &'static Grid,
    /// Form of the places that are counted.
    sight: Sight,
    levels: Levels,
    partitions: Vec<Rows>,
}

/// The vehicles of one partition.
#[derive(Debug, Default)]
struct Rows {
    /// First order number of the writer that has given the rows their vehicles, once it is known.
    begun: Option<OrderNumber>,
    /// Number of the cell by row.
    cells: Vec<u32>,
}

/// The use of changes for the census.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    /// They are in.
    Whole,
    /// Some were not told: the partition is to be looked at again.
    Partly,
    /// The partition has another writer, so that its rows are unknown until it has been looked at.
    Anew,
}

impl Census {
    /// Returns a census without vehicles.
    pub(crate) fn new(partitions: usize, sight: Sight) -> Self {
        let partitions = (0..partitions).map(|_| Rows::default()).collect();
        Self { grid: grid(), sight, levels: Levels::new(), partitions }
    }

    /// Returns the counts.
    pub(crate) fn levels(&self) -> &Levels {
        &self.levels
    }

    /// Takes over the changes of a partition.
    pub(crate) fn take(&mut self, changes: &Changes) -> Taken {
        let partition = changes.partition as usize;
        let Some(rows) = self.partitions.get_mut(partition) else { return Taken::Whole };
        let known = rows.begun.replace(changes.begun);
        let is_anew = known != Some(changes.begun) && (known.is_some() || !changes.is_whole);
        if is_anew {
            self.end(partition, 0);
        }
        // One loop for each form, so that the exact one asks for none.
        match self.sight {
            Sight::Exact => self.take_moves(changes, |position| position),
            Sight::Coarse => self.take_moves(changes, |position| Sight::Coarse.place(position)),
        }
        for gone in changes.gone() {
            self.put(partition, gone.row, None);
        }
        match (is_anew, changes.is_whole) {
            (true, _) => Taken::Anew,
            (false, true) => Taken::Whole,
            (false, false) => Taken::Partly,
        }
    }

    #[inline]
    fn take_moves(&mut self, changes: &Changes, place: impl Fn(Position) -> Position) {
        for moved in changes.moved() {
            let to = place(moved.update.sighting.position);
            let cell = match moved.before {
                Some(before) => self.grid.crossed(place(before.position), to),
                None => Some(self.grid.cell(to)),
            };
            // Else the row has this cell already. Most changes end here, without a look at a table that is in no cache.
            if cell.is_some() {
                self.put(changes.partition as usize, moved.row, cell);
            }
        }
    }

    /// Notes the cell that the vehicle in a row is in; `None` for a row without vehicle.
    pub(crate) fn put(&mut self, partition: usize, row: u32, cell: Option<Cell>) {
        let cells = &mut self.partitions[partition].cells;
        let row = row as usize;
        if row >= cells.len() {
            if cell.is_none() {
                return;
            }
            cells.resize(row + 1, NOWHERE);
        }
        let before = std::mem::replace(&mut cells[row], cell.map_or(NOWHERE, |cell| cell.0));
        let before = (before != NOWHERE).then_some(Cell(before));
        self.levels.shift(before, cell);
    }

    /// Notes that there are no vehicles in rows `from..`.
    pub(crate) fn end(&mut self, partition: usize, from: u32) {
        for row in from..self.partitions[partition].cells.len() as u32 {
            self.put(partition, row, None);
        }
        self.partitions[partition].cells.truncate(from as usize);
    }
}
