//! Tells what a commit changes, to those who follow the fleet.

use super::row::Row;
use crate::{FixBefore, Move, Sighting};

/// Hears of each position of a commit before it is shown. Without a list it hears nothing.
///
/// One type for both, as a second copy of the hot functions would cost the plain one what the compiler inlines into it.
#[derive(Debug, Default)]
pub(crate) struct Teller<'a>(pub(crate) Option<&'a mut Vec<Move>>);

impl Teller<'_> {
    /// The update at `at` moves the vehicle in the slot, whose row is still as it was, to this sighting.
    #[inline]
    pub(super) fn moves(&mut self, at: usize, slot: u32, row: &Row, to: &Sighting) {
        if let Some(moves) = &mut self.0 {
            let before = FixBefore { position: row.position(), event_time_ms: row.event_time_ms() };
            let (update, event_time_ms) = (at as u32, to.event_time_ms);
            moves.push(Move { update, row: slot, event_time_ms, before: Some(before) });
        }
    }

    /// The update at `at` brings a new vehicle into the slot.
    #[inline]
    pub(super) fn appears(&mut self, at: usize, slot: u32, to: &Sighting) {
        if let Some(moves) = &mut self.0 {
            moves.push(Move { update: at as u32, row: slot, event_time_ms: to.event_time_ms, before: None });
        }
    }
}
