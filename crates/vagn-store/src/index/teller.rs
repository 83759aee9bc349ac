//! Tells what a commit changes, to those who follow the fleet.

use super::row::Row;
use crate::{FixBefore, Move, Sighting};

/// Hears of each position of a commit before it is shown. `()` hears nothing, and costs nothing.
pub(crate) trait Teller {
    /// The update at `at` moves the vehicle in the slot, whose row is still as it was, to this sighting.
    fn moves(&mut self, at: usize, slot: u32, row: &Row, to: &Sighting);
    /// The update at `at` brings a new vehicle into the slot.
    fn appears(&mut self, at: usize, slot: u32, to: &Sighting);
}

impl Teller for () {
    #[inline(always)]
    fn moves(&mut self, _: usize, _: u32, _: &Row, _: &Sighting) {}

    #[inline(always)]
    fn appears(&mut self, _: usize, _: u32, _: &Sighting) {}
}

impl Teller for Vec<Move> {
    #[inline]
    fn moves(&mut self, at: usize, slot: u32, row: &Row, to: &Sighting) {
        let before = FixBefore { position: row.position(), event_time_ms: row.event_time_ms() };
        let (update, event_time_ms) = (at as u32, to.event_time_ms);
        self.push(Move { update, row: slot, event_time_ms, before: Some(before) });
    }

    #[inline]
    fn appears(&mut self, at: usize, slot: u32, to: &Sighting) {
        self.push(Move { update: at as u32, row: slot, event_time_ms: to.event_time_ms, before: None });
    }
}
