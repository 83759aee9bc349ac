//! The teller of a storage: publishes what the live fleet shows after each write, for those who follow it.
//!
//! Without followers it costs nothing. No follower can slow the writer: a full one loses its oldest changes and is told so.

use std::sync::Arc;

use vagn_live::Positions;
use vagn_store::{Changes, Gone, Move, OrderNumber, Partition, StoreError, Updates, Written};
use vagn_wire::Fate;

/// Publishes the changes of one partition.
pub struct Teller {
    partition: u32,
    /// First order number of the writer.
    begun: OrderNumber,
    topic: Positions,
    /// Positions of the write under way, while there are followers.
    moves: Option<Vec<Move>>,
}

impl Teller {
    /// A teller of the partition `partition`, whose writer has not begun.
    pub fn new(partition: u32, topic: Positions) -> Self {
        Self { partition, begun: OrderNumber::default(), topic, moves: None }
    }

    /// Tells that a writer begins, whose first order number is `begun`.
    pub fn begin(&mut self, begun: OrderNumber) {
        self.begun = begun;
        self.publish(Changes::untold(self.partition, begun, begun));
    }

    /// Writes, and keeps what is stored for [`Teller::tell_moves`] if there are followers.
    ///
    /// # Errors
    /// As [`Partition::write`].
    pub fn write(
        &mut self,
        partition: &mut Partition,
        updates: &Updates,
        fates: &mut Vec<Fate>,
    ) -> Result<Written, StoreError> {
        self.moves = self.topic.is_followed().then(Vec::new);
        match &mut self.moves {
            Some(moves) => partition.write_and_tell(updates, fates, moves),
            None => partition.write(updates, fates),
        }
    }

    /// Tells what the last write stored; `updates` are those that were written.
    pub fn tell_moves(&mut self, end: OrderNumber, updates: Updates) {
        let changes = Changes::untold(self.partition, self.begun, end);
        match self.moves.take() {
            Some(moves) if moves.is_empty() => {}
            Some(moves) => self.publish(changes.with_moves(updates, moves)),
            // A follower that came meanwhile may have looked at the fleet before this write was shown.
            None => self.publish(changes),
        }
    }

    /// Tells of vehicles that were deleted or forgotten.
    pub fn tell_gone(&self, end: OrderNumber, gone: Vec<Gone>) {
        if !gone.is_empty() {
            self.publish(Changes::untold(self.partition, self.begun, end).with_gone(gone));
        }
    }

    fn publish(&self, changes: Changes) {
        if self.topic.is_followed() {
            self.topic.publish(&Arc::new(changes));
        }
    }
}
