//! A candidate: what is kept of a report that carries the flag, whatever became of its position.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use vagn_wire::{Kind, Report, StoredAck, VehicleId};

use crate::fix::{Fix, newer};
use crate::id::IncidentId;
use crate::record::facts::AlarmFacts;
use vagn_flow::fate::Receipt;
use vagn_flow::reply::ReplyTo;

/// Furthest that a vehicle's clock may be ahead before its time is not believed, in ms.
const AHEAD_MAX_MS: i64 = 3_600_000;

/// Senders that may wait to hear of one call at a time; the rest are told that it failed, over UDP nothing, and repeat.
pub const PENDING_ACKS_MAX: usize = 1_024;

/// One report that calls for help, or several of the same call that came together.
#[derive(Debug)]
pub struct Alarm {
    /// Who calls.
    pub vehicle_id: Box<str>,
    /// Who set it off, if the vehicle said.
    pub kind: Option<Kind>,
    /// The vehicle's own id for the incident.
    pub vehicle_incident: Option<Box<str>>,
    /// Where it is, if the report had a usable position.
    pub place: Option<Fix>,
    /// When it was raised, ms since 1970.
    pub event_time_ms: i64,
    /// When the first of the reports arrived, ms since 1970.
    pub received_ms: i64,
    /// When the last of them arrived, ms since 1970.
    pub last_received_ms: i64,
    /// How many reports these are.
    pub reports: u64,
    /// When the first of them arrived, on the monotonic clock.
    pub arrived: Duration,
    /// When the last of them arrived, on the monotonic clock.
    pub last_arrived: Duration,
    /// Senders who wait to hear that it is safe on disk.
    pub acks: Vec<PendingAck>,
}

impl Alarm {
    /// What is kept of `report`, which arrived at `received_ms` since 1970, `arrived` on the monotonic clock.
    pub fn new(report: &Report<'_>, received_ms: i64, arrived: Duration) -> Self {
        let own_time_ms =
            report.event_time_ms.filter(|time_ms| *time_ms <= received_ms.saturating_add(AHEAD_MAX_MS));
        let event_time_ms = own_time_ms.unwrap_or(received_ms);
        // A clock from the far future spoils the trust in the place, but it is still the best that is known.
        let trusted = own_time_ms == report.event_time_ms;
        Self {
            vehicle_id: report.vehicle_id.as_str().into(),
            kind: report.kind,
            vehicle_incident: report.incident.map(Into::into),
            place: report.position.ok().map(|position| Fix::new(position, event_time_ms, trusted)),
            event_time_ms,
            received_ms,
            last_received_ms: received_ms,
            reports: 1,
            arrived,
            last_arrived: arrived,
            acks: Vec::new(),
        }
    }

    /// What the alarm says of the incident that it opens or belongs to.
    pub fn facts(&self) -> AlarmFacts {
        AlarmFacts {
            kind: self.kind,
            vehicle_incident: self.vehicle_incident.clone(),
            raised_ms: self.event_time_ms,
            opened_ms: self.received_ms,
            updated_ms: self.last_received_ms,
            reports: self.reports,
            fix: self.place,
            track: self.place.into_iter().collect(),
        }
    }

    /// A trial?
    pub fn is_test(&self) -> bool {
        self.kind == Some(Kind::Test)
    }

    /// Takes in a repeat of the same call.
    pub fn absorb(&mut self, repeat: Self) {
        self.kind = repeat.kind.or(self.kind);
        self.place = newer(self.place, repeat.place);
        self.event_time_ms = self.event_time_ms.min(repeat.event_time_ms);
        self.last_received_ms = self.last_received_ms.max(repeat.last_received_ms);
        self.last_arrived = self.last_arrived.max(repeat.last_arrived);
        self.reports += repeat.reports;
        self.acks.extend(repeat.acks);
    }

    /// A call from `vehicle_id` at a fixed time and place.
    #[cfg(test)]
    pub fn example(vehicle_id: &str) -> Self {
        let position = vagn_wire::Position::new(59.33, 18.06).expect("Stockholm is on Earth");
        let mut report = Report::new(vagn_wire::VehicleId::new(vehicle_id).expect("a fine name"), position);
        report.emergency = true;
        Self::new(&report, 1_700_000_000_000, Duration::from_secs(1))
    }
}

/// A sender who waits to hear of one report.
#[derive(Debug)]
pub struct PendingAck {
    way: ReplyPath,
    /// Since when it waits, on the monotonic clock.
    pub since: Duration,
}

/// How the sender hears.
#[derive(Debug)]
enum ReplyPath {
    Receipt { receipt: Arc<Receipt>, index: u32 },
    Request(Box<AckRequest>),
}

/// A call for help that came as a datagram and asks for an answer.
#[derive(Debug)]
pub struct AckRequest {
    /// The way back.
    pub reply_to: ReplyTo,
    /// Who called.
    pub vehicle_id: Box<str>,
    /// The call's `Seq`.
    pub seq: u64,
    /// The call's length in bytes; the answer is not longer.
    pub len: usize,
    /// Its place among those that may wait, given back when it is answered or not.
    pub seat: OwnedSemaphorePermit,
}

impl AckRequest {
    fn answer(&self, id: IncidentId) {
        let vehicle_id = VehicleId::new(&self.vehicle_id).expect("it was a vehicle's id when it came in");
        let incident = id.to_string();
        let ack = StoredAck { vehicle_id, seq: self.seq, incident: Some(&incident) };
        let mut bytes = Vec::new();
        ack.encode(self.len, &mut bytes);
        self.reply_to.answer(&bytes);
    }
}

impl PendingAck {
    /// The report at `index` of the batch that `receipt` answers for.
    pub fn new(receipt: Arc<Receipt>, index: u32, since: Duration) -> Self {
        Self { way: ReplyPath::Receipt { receipt, index }, since }
    }

    /// A datagram whose sender is answered by another.
    pub fn datagram(datagram: AckRequest, since: Duration) -> Self {
        Self { way: ReplyPath::Request(Box::new(datagram)), since }
    }

    /// Whether it came by datagram.
    pub fn is_datagram(&self) -> bool {
        matches!(self.way, ReplyPath::Request(_))
    }

    /// The call is safe on disk.
    pub fn grant(self, id: IncidentId) {
        match self.way {
            ReplyPath::Receipt { receipt, index } => receipt.set_incident(index, id.to_string()),
            ReplyPath::Request(datagram) => datagram.answer(id),
        }
    }

    /// The call is not safe on disk, so the sender must not hear that anything was stored. Over UDP it hears nothing,
    /// and repeats.
    pub fn refuse(self) {
        match self.way {
            ReplyPath::Receipt { receipt, index } => receipt.fail_incident(index),
            ReplyPath::Request(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vagn_wire::{Position, Reject, VehicleId};

    const NOW_MS: i64 = 1_700_000_000_000;

    fn report(position: Result<Position, Reject>, event_time_ms: Option<i64>) -> Report<'static> {
        let mut report = Report::new(VehicleId::new("bus 7").unwrap(), Position::new(1.0, 2.0).unwrap());
        report.position = position;
        report.emergency = true;
        report.event_time_ms = event_time_ms;
        report
    }

    fn check(position: Result<Position, Reject>, own_time_ms: Option<i64>, expected: Option<(i64, bool)>) {
        let candidate = Alarm::new(&report(position, own_time_ms), NOW_MS, Duration::ZERO);
        assert_eq!(candidate.place.map(|place| (place.time_ms, place.trusted)), expected);
    }

    #[test]
    fn keeps_the_place_with_its_time_and_how_far_to_trust_it() {
        let here = || Position::new(59.0, 18.0);
        check(here(), None, Some((NOW_MS, true)));
        check(here(), Some(NOW_MS - 86_400_000), Some((NOW_MS - 86_400_000, true)));
        check(here(), Some(NOW_MS + 3_600_000), Some((NOW_MS + 3_600_000, true)));
        check(here(), Some(NOW_MS + 3_600_001), Some((NOW_MS, false)));
        check(here(), Some(i64::MAX), Some((NOW_MS, false)));
        check(Err(Reject::Latitude), None, None);
    }

    #[test]
    fn a_repeat_adds_what_it_knows_better() {
        let mut first = Alarm::new(&report(Err(Reject::Latitude), Some(NOW_MS - 5)), NOW_MS, Duration::ZERO);
        let mut repeat = report(Position::new(59.0, 18.0), Some(NOW_MS));
        repeat.kind = Some(Kind::Manual);
        first.absorb(Alarm::new(&repeat, NOW_MS + 7, Duration::from_millis(7)));
        assert_eq!((first.reports, first.kind), (2, Some(Kind::Manual)));
        assert_eq!(
            (first.event_time_ms, first.received_ms, first.last_received_ms),
            (NOW_MS - 5, NOW_MS, NOW_MS + 7)
        );
        assert_eq!(first.place.unwrap().time_ms, NOW_MS);
        assert_eq!((first.arrived, first.last_arrived), (Duration::ZERO, Duration::from_millis(7)));
    }
}
