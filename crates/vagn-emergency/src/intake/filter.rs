//! The filter: finds the alarms in a batch and leaves them in the inbox.

use std::sync::Arc;
use std::time::Duration;

use vagn_flow::batch::Batch;
use vagn_flow::open::open;
use vagn_otp::{Offer, Subscriber};
use vagn_wire::{Report, StoredAck};

use crate::intake::ack::{AckRequest, PendingAck};
use crate::intake::alarm::Alarm;
use crate::intake::inbox::Inbox;
use crate::intake::places::BatchPlaces;

/// Subscriber to batches that fills an inbox. It runs on the thread of the publisher, and decodes only reports that
/// were seen to carry the flag, and those before a call without a place.
pub struct AlarmFilter(pub Arc<Inbox>);

impl AlarmFilter {
    /// Returns the alarm in one report, if the report is one.
    fn alarm(&self, batch: &Batch, index: u32, bytes: &[u8]) -> Option<Alarm> {
        let report = open(bytes).ok().filter(|report: &Report<'_>| report.emergency)?;
        let arrived = self.0.clock().monotonic();
        let mut alarm = Alarm::new(self.0.next_id(batch.time_ms()), &report, batch.time_ms(), arrived);
        let part = batch.answer_for_alarm(index).map(|part| PendingAck::new(part, arrived));
        let ack = part.or_else(|| self.datagram_ack(batch, index, &report, bytes.len(), arrived));
        alarm.acks.extend(ack);
        Some(alarm)
    }

    /// Returns the pending ack of a datagram that asks for one, if there is a seat left.
    fn datagram_ack(
        &self,
        batch: &Batch,
        index: u32,
        report: &Report<'_>,
        len: usize,
        since: Duration,
    ) -> Option<PendingAck> {
        let reply_to = batch.reply_to(index)?.clone();
        let StoredAck { vehicle_id, seq, .. } = StoredAck::asked_by(report)?;
        let seat = self.0.take_seat()?;
        let vehicle_id = vehicle_id.as_str().into();
        Some(PendingAck::datagram(AckRequest { reply_to, vehicle_id, seq, len, seat }, since))
    }
}

impl Subscriber<Arc<Batch>> for AlarmFilter {
    fn offer(&self, batch: &Arc<Batch>) -> Offer {
        let mut offer = Offer::Skipped;
        let mut places = BatchPlaces::new(batch.reports(), batch.time_ms());
        for (index, bytes) in batch.alarms() {
            let Some(mut alarm) = self.alarm(batch, index, bytes) else { continue };
            if alarm.fix.is_none() {
                alarm.before = places.before(index, &alarm.vehicle_id);
            }
            let put = self.0.put(alarm);
            // An alarm that found no room outweighs those that did: it must be counted.
            if offer != Offer::Full {
                offer = put;
            }
        }
        offer
    }

    fn depth(&self) -> (usize, usize) {
        self.0.depth()
    }
}
