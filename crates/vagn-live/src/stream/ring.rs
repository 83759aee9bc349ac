//! Ring of the latest changes in the areas of all channels, for clients that come back.
//!
//! It names vehicles by their rows and keeps no positions: a client that comes back is told how things stand now.

use std::collections::VecDeque;
use std::time::Duration;

use vagn_store::{Gone, OrderNumber, Sight};

use super::cell::{Area, GridCell};
use super::row::FleetRow;

/// Changes that a vehicle which left counts for: its id takes as much memory.
const GONE_WEIGHT: usize = 8;

/// A position that was stored.
#[derive(Debug, Clone, Copy)]
pub(super) struct RingMove {
    pub(super) row: u32,
    /// Cell before, or again that after for a vehicle that was not known.
    pub(super) before: GridCell,
    pub(super) after: GridCell,
}

/// The changes of one commit.
#[derive(Debug)]
pub(super) struct RingBatch {
    pub(super) partition: u32,
    pub(super) end: OrderNumber,
    /// Time at which it was told.
    pub(super) at: Duration,
    pub(super) moves: Vec<RingMove>,
    /// Moves within one coarse place, as far as they are told apart.
    pub(super) within: Vec<RingMove>,
    pub(super) gone: Vec<Gone>,
}

/// The latest changes, oldest first.
pub(super) struct Ring {
    changes_max: usize,
    changes: usize,
    batches: VecDeque<RingBatch>,
    /// Order numbers behind the changes that are not kept any more, by partition.
    dropped: Box<[OrderNumber]>,
}

/// Changes of an area.
#[derive(Debug, Default)]
pub(super) struct Missed {
    /// Rows that changed, sorted, each once.
    pub(super) rows: Vec<FleetRow>,
    /// Vehicles that were deleted or forgotten, in the area or after they had changed there.
    pub(super) gone: Vec<Gone>,
    /// Changes that were looked through.
    pub(super) searched: usize,
}

impl RingBatch {
    fn weight(&self) -> usize {
        self.moves.len() + self.within.len() + self.gone.len() * GONE_WEIGHT
    }
}

impl Ring {
    /// Returns an empty ring for at most `changes_max` changes of so many partitions.
    pub(super) fn new(changes_max: usize, partitions: usize) -> Self {
        let dropped = vec![OrderNumber::default(); partitions].into();
        Self { changes_max, changes: 0, batches: VecDeque::new(), dropped }
    }

    pub(super) fn push(&mut self, batch: RingBatch) {
        self.changes += batch.weight();
        self.batches.push_back(batch);
        while self.changes > self.changes_max {
            self.drop_oldest();
        }
    }

    /// Drops what was told before this time.
    pub(super) fn drop_before(&mut self, time: Duration) {
        while self.batches.front().is_some_and(|batch| batch.at < time) {
            self.drop_oldest();
        }
    }

    /// Drops everything: what follows belongs to another run.
    pub(super) fn clear(&mut self) {
        self.batches.clear();
        self.changes = 0;
        self.dropped.fill(OrderNumber::default());
    }

    fn drop_oldest(&mut self) {
        if let Some(batch) = self.batches.pop_front() {
            self.changes -= batch.weight();
            self.dropped[batch.partition as usize] = batch.end;
        }
    }

    fn newer(&self, ends: &[OrderNumber]) -> impl Iterator<Item = &RingBatch> {
        self.batches.iter().filter(|batch| batch.end > ends[batch.partition as usize])
    }

    /// Returns what is seen to have changed in the area after these order numbers, one per partition; `None` when not all of it
    /// is kept.
    pub(super) fn after(&self, ends: &[OrderNumber], area: &Area, sight: Sight) -> Option<Missed> {
        if self.dropped.iter().zip(ends).any(|(dropped, end)| dropped > end) {
            return None;
        }
        let mut missed = Missed::default();
        for batch in self.newer(ends) {
            missed.searched += batch.weight();
            let within = if sight == Sight::Exact { &batch.within[..] } else { &[] };
            let moves = batch.moves.iter().chain(within);
            let touching = moves.filter(|of| area.has(of.after) || area.has(of.before));
            missed.rows.extend(touching.map(|of| FleetRow { partition: batch.partition, row: of.row }));
        }
        missed.rows.sort_unstable();
        missed.rows.dedup();
        for batch in self.newer(ends) {
            missed.gone.extend(batch.gone.iter().filter(|gone| {
                let row = FleetRow { partition: batch.partition, row: gone.row };
                area.has(GridCell::of(gone.last)) || missed.rows.binary_search(&row).is_ok()
            }));
        }
        Some(missed)
    }
}
