//! The filter: finds the alarms in a batch, tells strangers, and leaves what is let in in the inbox.

use std::sync::Arc;

use vagn_flow::batch::Batch;
use vagn_flow::open::open;
use vagn_otp::{Offer, Subscriber};
use vagn_wire::Report;

use crate::intake::gathering::{Call, Gathering};
use crate::intake::inbox::Inbox;
use crate::intake::places::BatchPlaces;
use crate::intake::replays::CallSeal;
use crate::record::standing::Standing;

/// Subscriber to batches that fills an inbox. It runs on the thread of the publisher, and decodes only reports that
/// were seen to carry the flag, and those before a call without a place.
pub struct AlarmFilter(pub Arc<Inbox>);

impl AlarmFilter {
    /// Returns the alarms in a batch. The standings of all vehicles are looked up together, which is much cheaper in a flood.
    fn calls<'a>(&self, batch: &'a Batch) -> Vec<Call<'a>> {
        let calls = batch.alarms().filter_map(|(index, bytes)| {
            let report = open(bytes).ok().filter(|report: &Report<'_>| report.emergency)?;
            let seal = batch.seal_of(index).map(CallSeal::from);
            let call = Call { batch, index, len: bytes.len(), report, standing: Standing::Undecided, seal };
            Some(call).filter(|call| !self.is_replay(call))
        });
        let mut calls: Vec<_> = calls.collect();
        if !calls.is_empty() {
            let vehicle_ids: Vec<_> = calls.iter().map(|call| call.report.vehicle_id).collect();
            let standings = self.0.standings(&vehicle_ids);
            calls.iter_mut().zip(standings).for_each(|(call, standing)| call.standing = standing);
        }
        calls
    }

    /// Returns true for a sealed call that came before. It is counted, and its sender hears nothing of it.
    fn is_replay(&self, Call { report, seal, .. }: &Call<'_>) -> bool {
        let Some(seal) = seal else { return false };
        let is_replay = self.0.replays.has(report.vehicle_id.as_str(), seal);
        if is_replay {
            self.0.replays.count(report.position.is_ok());
        }
        is_replay
    }
}

impl Subscriber<Arc<Batch>> for AlarmFilter {
    fn offer(&self, batch: &Arc<Batch>) -> Offer {
        let calls = self.calls(batch);
        if calls.is_empty() {
            return Offer::Skipped;
        }
        let reports =
            || batch.sealed_reports().map(|(at, seal, bytes)| (at, seal.map(CallSeal::from), bytes));
        let places = BatchPlaces::new([reports(), reports()], batch.time_ms());
        let mut gathering = Gathering::new(&self.0, places);
        calls.iter().for_each(|call| gathering.add(call));
        gathering.put()
    }

    fn depth(&self) -> (usize, usize) {
        self.0.depth()
    }
}
