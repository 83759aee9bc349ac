//! Forgetting: vehicles that sent nothing for too long leave, on a command that brings the time with it.
//!
//! A partition never decides by itself that time has passed: what it holds follows from its entries alone, and its caller
//! knows whether the clock is to be believed.

use super::Partition;
use crate::error::StoreError;
use crate::log::record::Record;
use crate::{Gone, SKEW_MAX_MS};

/// Command to forget vehicles that were last heard of before a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forget {
    /// Vehicles whose last report arrived before this time are forgotten, ms since 1970.
    pub before_ms: i64,
    /// The time now, ms since 1970; it must be one that is believed.
    pub now_ms: i64,
}

/// Result of a call of [`Partition::forget`].
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Forgotten {
    /// Vehicles that were forgotten.
    pub vehicles: Vec<Gone>,
    /// The round is not at its end: the command is to be given again.
    pub more: bool,
}

/// Forgetting of a partition, as far as it is under way.
#[derive(Debug, Default)]
pub(super) struct Forgetter {
    /// The next slot to look at.
    next_slot: u32,
    /// A moment at which the time was believed.
    moment: Option<Moment>,
}

/// A moment, by the clock and by the doors' running number.
#[derive(Debug, Clone, Copy)]
struct Moment {
    time_ms: i64,
    /// Highest receive sequence at that time: all reports up to it had arrived.
    receive_seq: u64,
}

impl Forgetter {
    /// Begins a round when none is under way.
    ///
    /// A row whose report was received in the future was stamped by a clock that was wrong. It tells no time, but its
    /// running number does: it had arrived at the remembered moment if that had a higher one. So such a row counts as
    /// received at the first round that meets it, and stays for as long as any other from then on.
    fn begin(&mut self, command: Forget, receive_seq: u64) {
        if self.next_slot > 0 {
            return;
        }
        let is_ahead = |moment: &Moment| moment.time_ms > command.now_ms.saturating_add(SKEW_MAX_MS);
        if self.moment.is_none_or(|moment| is_ahead(&moment)) {
            self.moment = Some(Moment { time_ms: command.now_ms, receive_seq });
        }
    }

    /// Returns the highest receive sequence of reports from the future that arrived long enough ago.
    fn future_upto(&self, command: Forget) -> Option<u64> {
        self.moment.filter(|moment| moment.time_ms < command.before_ms).map(|moment| moment.receive_seq)
    }

    /// Ends a slice. Returns true when slots are left.
    fn advance(&mut self, command: Forget, next_slot: u32, slots_end: u32) -> bool {
        let more = next_slot < slots_end;
        self.next_slot = if more { next_slot } else { 0 };
        if !more && self.future_upto(command).is_some() {
            // All that it was remembered for is gone; the next round remembers another.
            self.moment = None;
        }
        more
    }
}

/// Carries a command out for the next slots.
pub(super) fn forget(partition: &mut Partition, command: Forget) -> Result<Forgotten, StoreError> {
    let receive_seq = partition.log.stamps().receive_seq;
    partition.forgetter.begin(command, receive_seq);
    let from = partition.forgetter.next_slot;
    let slice = partition.settings.slice.max(1);
    let silent = silent_vehicles(partition, from, slice, command);
    for gone in &silent {
        let order = partition.log.next_order();
        partition.log.push(&Record::Remove { order, slot: gone.row, key: gone.id.key() });
    }
    // Log before index here too: a vehicle that is forgotten only in the index would be back after a restart.
    partition.commit()?;
    let slots_end = partition.index.change(|index| {
        for gone in &silent {
            index.remove_slot(gone.row);
        }
        index.slots_end()
    });
    // By slots and not by vehicles forgotten, so that the work of each call is bounded.
    let more = partition.forgetter.advance(command, from.saturating_add(slice), slots_end);
    Ok(Forgotten { vehicles: silent, more })
}

fn silent_vehicles(partition: &Partition, from: u32, slice: u32, command: Forget) -> Vec<Gone> {
    let future_upto = partition.forgetter.future_upto(command);
    partition.index.look(|index| {
        let slots = index.slots(from, slice);
        // By the time of receipt: a vehicle whose own clock is wrong is not forgotten for it.
        let silent = slots.filter(|held| {
            let received_ms = held.sighting.receive_time_ms;
            if received_ms > command.now_ms.saturating_add(SKEW_MAX_MS) {
                future_upto.is_some_and(|upto| held.sighting.receive_seq <= upto)
            } else {
                received_ms < command.before_ms
            }
        });
        silent.map(|held| index.gone(held.slot)).collect()
    })
}
