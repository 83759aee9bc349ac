//! The filter: finds the alarms in a batch, tells strangers, and leaves what is let in in the inbox.

use std::sync::Arc;

use vagn_flow::batch::Batch;
use vagn_flow::open::open;
use vagn_otp::{Offer, Subscriber};
use vagn_wire::{Report, StoredAck};

use crate::fix::Fix;
use crate::intake::ack::{AckRequest, PendingAck};
use crate::intake::alarm::Alarm;
use crate::intake::inbox::Inbox;
use crate::intake::places::BatchPlaces;
use crate::intake::replays::CallSeal;
use crate::record::standing::Standing;

/// Subscriber to batches that fills an inbox. It runs on the thread of the publisher, and decodes only reports that
/// were seen to carry the flag, and those before a call without a place.
pub struct AlarmFilter(pub Arc<Inbox>);

/// A report that is an alarm.
struct Call<'a> {
    batch: &'a Batch,
    index: u32,
    len: usize,
    report: Report<'a>,
    standing: Standing,
    seal: Option<CallSeal>,
}

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

    fn take<'a>(
        &self,
        call: &Call<'_>,
        places: &mut BatchPlaces<'a, impl Iterator<Item = (u32, u64, &'a [u8])>>,
    ) -> Offer {
        let Call { batch, index, standing, .. } = *call;
        let source = batch.source(index);
        // Before anything is made of it: this is all that most of a flood costs.
        if let Some(reason) = self.0.forbids(standing, source) {
            let part = batch.answer_for_alarm(index).map(|part| PendingAck::new(part, self.0.now()));
            return self.0.refuse(reason, source, part);
        }
        let mut alarm = self.alarm(call);
        alarm.source = source;
        if alarm.fix.is_none() {
            alarm.before = match call.seal {
                None => places.before(index, &alarm.vehicle_id),
                Some(seal) => place_in_envelope(batch, seal, index, &alarm.vehicle_id),
            };
        }
        self.0.put(alarm)
    }

    fn alarm(&self, call: &Call<'_>) -> Alarm {
        let Call { batch, index, ref report, standing, seal, .. } = *call;
        let arrived = self.0.now();
        let mut alarm = Alarm::new(self.0.next_id(batch.time_ms()), report, batch.time_ms(), arrived);
        alarm.standing = standing;
        alarm.seal = seal;
        let part = batch.answer_for_alarm(index).map(|part| PendingAck::new(part, arrived));
        let request = || self.ack_request(call).map(|request| PendingAck::datagram(request, arrived));
        alarm.acks.extend(part.or_else(request));
        alarm
    }

    /// Returns the request of a datagram that asks for an ack, if there is a seat left.
    fn ack_request(&self, call: &Call<'_>) -> Option<AckRequest> {
        let reply_to = call.batch.reply_to(call.index)?.clone();
        let asked = StoredAck::asked_by(&call.report);
        let seq = asked.map(|asked| asked.seq).or_else(|| reply_to.is_sealed().then_some(0))?;
        let seat = self.0.take_seat(call.standing)?;
        let vehicle_id = call.report.vehicle_id.as_str().into();
        Some(AckRequest { reply_to, vehicle_id, seq, len: call.len, seat })
    }
}

/// Returns the latest place of a vehicle in the reports before the one at `index`, of the same envelope: another one may have
/// come again, which only the store can tell.
fn place_in_envelope(batch: &Batch, seal: CallSeal, index: u32, vehicle_id: &str) -> Option<Fix> {
    let is_inside = |at: u32| batch.seal_of(at).is_some_and(|other| CallSeal::from(other) == seal);
    let reports = batch.reports().filter(|(at, ..)| is_inside(*at));
    BatchPlaces::new(reports, batch.time_ms()).before(index, vehicle_id)
}

impl Subscriber<Arc<Batch>> for AlarmFilter {
    fn offer(&self, batch: &Arc<Batch>) -> Offer {
        let mut offer = Offer::Skipped;
        let calls = self.calls(batch);
        if calls.is_empty() {
            return offer;
        }
        let open_reports = batch.reports().filter(|(at, ..)| batch.seal_of(*at).is_none());
        let mut places = BatchPlaces::new(open_reports, batch.time_ms());
        for call in &calls {
            let taken = self.take(call, &mut places);
            // An alarm that found no room outweighs those that did: it must be counted.
            if offer != Offer::Full {
                offer = taken;
            }
        }
        offer
    }

    fn depth(&self) -> (usize, usize) {
        self.0.depth()
    }
}
