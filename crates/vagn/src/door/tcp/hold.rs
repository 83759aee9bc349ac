//! Hold of a connection on its place while all places of the door are taken.
//!
//! A vehicle waits for its answers, and may report its next position after minutes. But a report of a vehicle that nobody knows costs a
//! stranger nothing: it holds a place as long as it is young, as a request over HTTPS does.

use vagn_flow::batch::BatchBuilder;
use vagn_flow::descriptors::{Asked, Place};
use vagn_flow::open::open;

use crate::door::IsKnown;

/// Hold of one connection.
pub(super) struct Hold<'a> {
    place: &'a Place,
    is_known: &'a IsKnown,
    /// Keeps the place for good, once somebody has spoken who is no stranger.
    asked: Option<Asked>,
}

impl<'a> Hold<'a> {
    pub(super) fn new(place: &'a Place, is_known: &'a IsKnown) -> Self {
        Self { place, is_known, asked: None }
    }

    /// Notes that these reports came.
    pub(super) fn note(&mut self, reports: &BatchBuilder) {
        if self.asked.is_none() {
            let asked = self.place.ask();
            // Else it ends here, and the silence begins.
            self.asked = self.is_proved(reports).then_some(asked);
        }
    }

    /// Returns true for a report whose seal was proved, or whose vehicle is known. One of many is looked up, so that strangers cost little:
    /// who sends for many vehicles sends again.
    fn is_proved(&self, reports: &BatchBuilder) -> bool {
        let first = || reports.first().and_then(|bytes| open(bytes).ok());
        reports.has_seal() || first().is_some_and(|report| (self.is_known)(report.vehicle_id))
    }
}
