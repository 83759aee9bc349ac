//! Gathering: makes alarms of the calls in a batch. Those of one envelope that are one alarm are gathered before they are
//! let in, and so are those in clear that come from one source.
//!
//! So what is bounded by senders is not taken by every call: an allowance is taken once for each alarm of a sender, and a seat
//! once by an envelope. One that is full of calls of one alarm is let in and answered as a whole.

use std::hash::RandomState;
use std::sync::Arc;

use hashbrown::HashMap;
use tokio::sync::OwnedSemaphorePermit;
use vagn_flow::allowance::Source;
use vagn_flow::batch::Batch;
use vagn_otp::Offer;
use vagn_wire::{Report, StoredAck};

use crate::intake::ack::{AckRequest, PendingAck};
use crate::intake::alarm::Alarm;
use crate::intake::inbox::Inbox;
use crate::intake::key::AlarmKeyRef;
use crate::intake::places::{BatchPlaces, Placed};
use crate::intake::replays::CallSeal;
use crate::record::standing::Standing;

/// A report that is an alarm.
pub(super) struct Call<'a> {
    pub(super) batch: &'a Batch,
    pub(super) index: u32,
    /// Length of the report, in bytes.
    pub(super) len: usize,
    pub(super) report: Report<'a>,
    pub(super) standing: Standing,
    pub(super) seal: Option<CallSeal>,
}

/// Alarms in the making, of one batch.
pub(super) struct Gathering<'a, I: Iterator<Item = Placed<'a>>> {
    inbox: &'a Inbox,
    places: BatchPlaces<'a, I>,
    alarms: Vec<Alarm>,
    /// Place of each among the alarms, by its key and what tells senders apart: their source, and the number of an envelope,
    /// as one that comes again is another sender.
    index: HashMap<(AlarmKeyRef<'a>, u64, Option<Source>), usize, RandomState>,
    /// Latest envelope that asked for a seat, and the seat if one was left.
    seat: Option<(CallSeal, Option<Arc<OwnedSemaphorePermit>>)>,
    /// A call was refused.
    is_refused: bool,
}

impl<'a, I: Iterator<Item = Placed<'a>>> Gathering<'a, I> {
    pub(super) fn new(inbox: &'a Inbox, places: BatchPlaces<'a, I>) -> Self {
        let (alarms, index) = (Vec::new(), HashMap::default());
        Self { inbox, places, alarms, index, seat: None, is_refused: false }
    }

    /// Adds a call, or refuses it. To be called in the order of the reports.
    pub(super) fn add(&mut self, call: &Call<'a>) {
        let number = call.seal.map_or(0, |seal| seal.number);
        let source = call.batch.source(call.index);
        let key = (AlarmKeyRef::of_report(&call.report, call.seal), number, source);
        if let Some(&at) = self.index.get(&key) {
            let repeat = self.alarm(call);
            self.alarms[at].merge(repeat).into_iter().for_each(PendingAck::refuse);
            return;
        }
        // Before anything is made of it: this is all that most of a flood costs.
        if let Some(reason) = self.inbox.forbids(call.standing, source) {
            self.inbox.refuse(reason, source, self.receipt(call));
            self.is_refused = true;
            return;
        }
        let alarm = self.alarm(call);
        self.index.insert(key, self.alarms.len());
        self.alarms.push(alarm);
    }

    /// Leaves the alarms in the inbox.
    pub(super) fn put(self) -> Offer {
        let offer = self.inbox.put_all(self.alarms);
        // An alarm that was refused outweighs those that were not: it must be counted.
        if self.is_refused { Offer::Full } else { offer }
    }

    fn alarm(&mut self, call: &Call<'a>) -> Alarm {
        let Call { batch, index, ref report, standing, seal, .. } = *call;
        let id = self.inbox.next_id(batch.time_ms());
        let mut alarm = Alarm::new(id, report, batch.time_ms(), self.inbox.now());
        alarm.standing = standing;
        alarm.seal = seal;
        alarm.source = batch.source(index);
        if alarm.fix.is_none() {
            alarm.before = self.places.before(index, seal, report.vehicle_id);
        }
        let ack = self.receipt(call).or_else(|| self.request(call));
        alarm.acks.extend(ack);
        alarm
    }

    /// Returns the pending ack of a call whose sender waits for a receipt.
    fn receipt(&self, call: &Call<'a>) -> Option<PendingAck> {
        let part = call.batch.answer_for_alarm(call.index)?;
        Some(PendingAck::new(part, self.inbox.now()))
    }

    /// Returns the pending ack of a datagram that asks for one, if there is a seat left.
    fn request(&mut self, call: &Call<'a>) -> Option<PendingAck> {
        let reply_to = call.batch.reply_to(call.index)?.clone();
        if let Some(seal) = call.seal.filter(|_| reply_to.is_sealed()) {
            let seat = self.seat_of(seal, call.standing)?;
            return Some(PendingAck::envelope(reply_to, seat, self.inbox.now()));
        }
        let seq = StoredAck::asked_by(&call.report)?.seq;
        let seat = self.inbox.take_seat(call.standing)?;
        let vehicle_id = call.report.vehicle_id.as_str().into();
        let request = AckRequest { reply_to, vehicle_id, seq, len: call.len, seat };
        Some(PendingAck::datagram(request, self.inbox.now()))
    }

    /// Returns the seat of an envelope, which the standing of its first call gives: with a seat for each call, an envelope
    /// that finds one too few would never be answered.
    fn seat_of(&mut self, seal: CallSeal, standing: Standing) -> Option<Arc<OwnedSemaphorePermit>> {
        match &self.seat {
            Some((of, seat)) if *of == seal => seat.clone(),
            _ => {
                let seat = self.inbox.take_seat(standing).map(Arc::new);
                self.seat = Some((seal, seat.clone()));
                seat
            }
        }
    }
}
