//! Pending acks: senders of alarms that wait to hear that the alarm is safe on disk.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use vagn_flow::receipt::AlarmPart;
use vagn_flow::reply::ReplyTo;
use vagn_wire::{StoredAck, VehicleId};

use crate::id::IncidentId;

/// Most senders that may wait for one alarm at a time; further ones hear that it failed, or over UDP nothing, and
/// repeat. Reports of one batch whose sender waits for its receipt, and calls of one envelope, are of one sender.
pub(crate) const PENDING_ACKS_MAX: usize = 1_024;

/// The same for datagrams, so that a vehicle that repeats it all the time, or a forger, takes no ack from another
/// vehicle.
pub(crate) const ACK_REQUESTS_PER_ALARM_MAX: usize = 16;

/// A sender that waits to hear of its reports of an alarm.
#[derive(Debug)]
pub struct PendingAck {
    path: ReplyPath,
    /// Begin of the wait, on the monotonic clock.
    pub since: Duration,
}

/// Path by which the sender hears.
#[derive(Debug)]
enum ReplyPath {
    Receipt(AlarmPart),
    Request(Box<AckRequest>),
    Envelope(Box<EnvelopeRequest>),
}

/// Request of a datagram for an ack of its own.
#[derive(Debug)]
pub struct AckRequest {
    /// Address and socket for the ack.
    pub reply_to: ReplyTo,
    /// Vehicle id.
    pub vehicle_id: Box<str>,
    /// `Seq` of the report.
    pub seq: u64,
    /// Length of the report in bytes. The ack is not longer, so that a forged address gains nothing.
    pub len: usize,
    /// One of the seats for requests, free again when the request is gone.
    pub seat: OwnedSemaphorePermit,
}

/// Request of the sender of an envelope for the answer that follows when all calls in it are on disk.
#[derive(Debug)]
struct EnvelopeRequest {
    reply_to: ReplyTo,
    /// Calls of the envelope for which it stands.
    calls: usize,
    /// The seat of the envelope, however many alarms its calls are.
    _seat: Arc<OwnedSemaphorePermit>,
}

impl AckRequest {
    fn answer(&self, id: IncidentId) {
        let vehicle_id = VehicleId::new(&self.vehicle_id).expect("it came in as the id of a vehicle");
        let incident = id.to_string();
        let ack = StoredAck { vehicle_id, seq: self.seq, incident: Some(&incident) };
        let mut bytes = Vec::new();
        ack.encode(self.len, &mut bytes);
        self.reply_to.answer(&bytes);
    }
}

impl PendingAck {
    /// Returns the pending ack of a report whose sender waits for the receipt of its batch.
    pub fn new(part: AlarmPart, since: Duration) -> Self {
        Self { path: ReplyPath::Receipt(part), since }
    }

    /// Returns the pending ack of a datagram.
    pub fn datagram(request: AckRequest, since: Duration) -> Self {
        Self { path: ReplyPath::Request(Box::new(request)), since }
    }

    /// Returns the pending ack of a call in an envelope that came as a datagram.
    pub fn envelope(reply_to: ReplyTo, seat: Arc<OwnedSemaphorePermit>, since: Duration) -> Self {
        let request = EnvelopeRequest { reply_to, calls: 1, _seat: seat };
        Self { path: ReplyPath::Envelope(Box::new(request)), since }
    }

    /// True if the report came as a datagram.
    pub fn is_datagram(&self) -> bool {
        matches!(self.path, ReplyPath::Request(_) | ReplyPath::Envelope(_))
    }

    /// Takes over the ack of further reports of the same sender, which hears of all of them together.
    ///
    /// # Errors
    /// It is of another sender: it is given back.
    pub fn join(&mut self, other: Self) -> Result<(), Self> {
        let Self { path, since } = other;
        let refused = match (&mut self.path, path) {
            (ReplyPath::Receipt(one), ReplyPath::Receipt(more)) => {
                one.join(more).err().map(ReplyPath::Receipt)
            }
            (ReplyPath::Envelope(one), ReplyPath::Envelope(more))
                if one.reply_to.is_same_envelope(&more.reply_to) =>
            {
                one.calls += more.calls;
                None
            }
            (_, path) => Some(path),
        };
        match refused {
            Some(path) => Err(Self { path, since }),
            None => {
                self.since = self.since.min(since);
                Ok(())
            }
        }
    }

    /// Tells the sender that the alarm is safe on disk, as part of this incident.
    pub fn grant(self, id: IncidentId) {
        match self.path {
            ReplyPath::Receipt(part) => part.record(id.to_string()),
            ReplyPath::Request(request) => request.answer(id),
            ReplyPath::Envelope(request) => request.reply_to.grant(request.calls),
        }
    }

    /// Tells the sender nothing of an alarm that was made before: the fate of its position does.
    pub fn repeat(self) {
        match self.path {
            ReplyPath::Receipt(part) => part.repeat(),
            ReplyPath::Request(_) | ReplyPath::Envelope(_) => {}
        }
    }

    /// Tells the sender that the alarm is not safe on disk. A datagram is not answered: its sender repeats.
    pub fn refuse(self) {
        match self.path {
            ReplyPath::Receipt(part) => part.fail(),
            ReplyPath::Request(_) | ReplyPath::Envelope(_) => {}
        }
    }
}
