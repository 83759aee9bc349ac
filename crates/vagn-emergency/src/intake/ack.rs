//! Pending acks: senders of alarms that wait to hear that the alarm is safe on disk.

use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use vagn_flow::receipt::AlarmPart;
use vagn_flow::reply::ReplyTo;
use vagn_wire::{StoredAck, VehicleId};

use crate::id::IncidentId;

/// Most senders that may wait for one alarm at a time; further ones hear that it failed, or over UDP nothing, and
/// repeat.
pub(crate) const PENDING_ACKS_MAX: usize = 1_024;

/// The same for datagrams, so that a vehicle that repeats it all the time, or a forger, takes no ack from another
/// vehicle.
pub(crate) const ACK_REQUESTS_PER_ALARM_MAX: usize = 16;

/// A sender that waits to hear of one report.
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
}

/// Request of a datagram for an ack of its own.
#[derive(Debug)]
pub struct AckRequest {
    /// Address and socket for the ack.
    pub reply_to: ReplyTo,
    /// Vehicle id.
    pub vehicle_id: Box<str>,
    /// `Seq` of the report; that of an envelope has its answer ready.
    pub seq: u64,
    /// Length of the report in bytes. The ack is not longer, so that a forged address gains nothing.
    pub len: usize,
    /// One of the seats for requests, free again when the request is gone.
    pub seat: OwnedSemaphorePermit,
}

impl AckRequest {
    fn answer(&self, id: IncidentId) {
        if self.reply_to.is_sealed() {
            return self.reply_to.grant();
        }
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

    /// True if the report came as a datagram.
    pub fn is_datagram(&self) -> bool {
        matches!(self.path, ReplyPath::Request(_))
    }

    /// Tells the sender that the alarm is safe on disk, as part of this incident.
    pub fn grant(self, id: IncidentId) {
        match self.path {
            ReplyPath::Receipt(part) => part.record(id.to_string()),
            ReplyPath::Request(request) => request.answer(id),
        }
    }

    /// Tells the sender nothing of an alarm that was made before: the fate of its position does.
    pub fn repeat(self) {
        match self.path {
            ReplyPath::Receipt(part) => part.repeat(),
            ReplyPath::Request(_) => {}
        }
    }

    /// Tells the sender that the alarm is not safe on disk. A datagram is not answered: its sender repeats.
    pub fn refuse(self) {
        match self.path {
            ReplyPath::Receipt(part) => part.fail(),
            ReplyPath::Request(_) => {}
        }
    }
}
