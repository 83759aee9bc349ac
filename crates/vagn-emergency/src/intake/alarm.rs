//! An alarm: what is kept of a report that carries the emergency flag, even if its position is not usable.

use std::time::Duration;

use vagn_flow::allowance::Source;
use vagn_store::{event_time, has_no_fix, is_a_year_back};
use vagn_wire::{Kind, Position, Report};

use crate::fix::{Fix, newer};
use crate::id::IncidentId;
use crate::intake::ack::{ACK_REQUESTS_PER_ALARM_MAX, PENDING_ACKS_MAX, PendingAck};
use crate::intake::replays::CallSeal;
use crate::record::facts::AlarmFacts;
use crate::record::standing::Standing;

/// One report that carries the flag, or several of one alarm that came together.
#[derive(Debug)]
pub struct Alarm {
    /// Id of the incident, if the alarm opens one.
    pub id: IncidentId,
    /// Vehicle id.
    pub vehicle_id: Box<str>,
    /// Standing of the vehicle, as far as it was known when the alarm came in.
    pub standing: Standing,
    /// Source of the first report, if its door told.
    pub source: Option<Source>,
    /// What set it off, if the vehicle said.
    pub kind: Option<Kind>,
    /// The vehicle's own id for the incident.
    pub vehicle_incident: Option<Box<str>>,
    /// Position of the vehicle, if the report had a usable one.
    pub fix: Option<Fix>,
    /// Position of exactly (0, 0), which trackers send without a fix. It counts only once [`Alarm::settle`] believes it.
    pub origin: Option<Fix>,
    /// Latest place of the vehicle in the reports of the batch before an alarm without `fix`. It counts as a last known one.
    pub before: Option<Fix>,
    /// Time at which it was raised, ms since 1970.
    pub event_time_ms: i64,
    /// Arrival of the first report, ms since 1970.
    pub received_ms: i64,
    /// Arrival of the last report, ms since 1970.
    pub last_received_ms: i64,
    /// Number of reports.
    pub reports: u64,
    /// Arrival of the first report, on the monotonic clock.
    pub arrived: Duration,
    /// Arrival of the last report, on the monotonic clock.
    pub last_arrived: Duration,
    /// Seal that it came under.
    pub seal: Option<CallSeal>,
    /// Person who raised it out of a call that could not be proved.
    pub raised_by: Option<Box<str>>,
    /// Senders that wait to hear that it is safe on disk.
    pub acks: Vec<PendingAck>,
}

impl Alarm {
    /// Returns the alarm in `report`, which arrived at `received_ms` since 1970, `arrived` on the monotonic clock.
    pub fn new(id: IncidentId, report: &Report<'_>, received_ms: i64, arrived: Duration) -> Self {
        let time = event_time(report, received_ms);
        // No report comes from later than it arrives.
        let event_time_ms = time.time_ms.min(received_ms);
        let fix = report.position.ok().map(|position| match time.unsure {
            true => Fix::unsure(position, received_ms),
            false => Fix::new(position, event_time_ms, true),
        });
        let (origin, fix) = if fix.is_some_and(is_origin) { (fix, None) } else { (None, fix) };
        Self {
            id,
            vehicle_id: report.vehicle_id.as_str().into(),
            standing: Standing::Undecided,
            source: None,
            kind: report.kind,
            vehicle_incident: report.incident.map(Into::into),
            fix,
            origin,
            before: None,
            event_time_ms,
            received_ms,
            last_received_ms: received_ms,
            reports: 1,
            arrived,
            last_arrived: arrived,
            seal: None,
            raised_by: None,
            acks: Vec::new(),
        }
    }

    /// Returns what the alarm says of the incident that it opens or belongs to.
    pub fn facts(&self) -> AlarmFacts {
        AlarmFacts {
            kind: self.kind,
            vehicle_incident: self.vehicle_incident.clone(),
            raised_ms: self.event_time_ms,
            opened_ms: self.received_ms,
            updated_ms: self.last_received_ms,
            reports: self.reports,
            fix: self.fix,
            track: self.fix.into_iter().collect(),
        }
    }

    /// Decides what only the last place of the vehicle tells, which is `last`, one that came just before the alarm, or one of the
    /// alarm itself: (0, 0) is believed near there only, and a time that steps back more than a year is not.
    pub fn settle(&mut self, last: Option<Fix>) {
        let arrived_ms = self.last_received_ms;
        let steps_back = |last: Option<Fix>, time_ms| {
            last.is_some_and(|last| is_a_year_back(last.time_ms, time_ms, arrived_ms))
        };
        let settled = |last, fix: Fix| {
            if steps_back(last, fix.time_ms) { Fix::unsure(fix.position, arrived_ms) } else { fix }
        };
        self.before = self.before.map(|fix| settled(last, fix));
        let last = newer(last, self.before);
        for fix in [&mut self.fix, &mut self.origin] {
            *fix = fix.map(|fix| settled(last, fix));
        }
        if steps_back(last, self.event_time_ms) {
            self.event_time_ms = self.received_ms;
        }
        let was_at = newer(last, self.fix).map(|fix| fix.position);
        let believed = self.origin.take().filter(|origin| !has_no_fix(was_at, origin.position));
        self.fix = newer(self.fix, believed);
        let own = self.fix.filter(|fix| fix.trusted);
        self.fix = own.or(newer(self.before, self.fix));
    }

    /// Returns true when its report had a position that was judged beside it.
    pub(crate) fn has_position(&self) -> bool {
        self.fix.is_some() || self.origin.is_some()
    }

    /// True for a drill.
    pub fn is_drill(&self) -> bool {
        self.kind == Some(Kind::Test)
    }

    /// Merges a repeat of the same alarm. The repeat's id is dropped. Returns the senders that are too many to wait; their
    /// reports count.
    #[must_use = "senders that are too many are to hear it"]
    pub fn merge(&mut self, repeat: Self) -> Vec<PendingAck> {
        self.standing = self.standing.min(repeat.standing);
        self.kind = repeat.kind.or(self.kind);
        self.fix = newer(self.fix, repeat.fix);
        self.origin = newer(self.origin, repeat.origin);
        self.before = newer(self.before, repeat.before);
        self.event_time_ms = self.event_time_ms.min(repeat.event_time_ms);
        self.last_received_ms = self.last_received_ms.max(repeat.last_received_ms);
        self.last_arrived = self.last_arrived.max(repeat.last_arrived);
        self.reports += repeat.reports;
        repeat.acks.into_iter().filter_map(|ack| self.keep(ack).err()).collect()
    }

    /// Keeps a sender waiting.
    ///
    /// # Errors
    /// Too many wait: it is given back.
    fn keep(&mut self, mut ack: PendingAck) -> Result<(), PendingAck> {
        if let Some(last) = self.acks.last_mut() {
            // Reports of one sender come one behind the other.
            match last.join(ack) {
                Ok(()) => return Ok(()),
                Err(of_another) => ack = of_another,
            }
        }
        let max = if ack.is_datagram() { ACK_REQUESTS_PER_ALARM_MAX } else { PENDING_ACKS_MAX };
        if self.acks.len() >= max {
            return Err(ack);
        }
        self.acks.push(ack);
        Ok(())
    }

    /// An alarm of `vehicle_id` at a fixed time and position, with a new id that is higher than all before it.
    #[cfg(test)]
    pub fn example(vehicle_id: &str) -> Self {
        use std::sync::atomic::{AtomicU64, Ordering};
        static IDS: AtomicU64 = AtomicU64::new(1);
        let id = IncidentId::from_u128(IDS.fetch_add(1, Ordering::Relaxed).into());
        let position = vagn_wire::Position::new(59.33, 18.06).expect("Stockholm is on Earth");
        let mut report = Report::new(vagn_wire::VehicleId::new(vehicle_id).expect("a valid id"), position);
        report.emergency = true;
        Self::new(id, &report, 1_700_000_000_000, Duration::from_secs(1))
    }
}

/// Returns true for exactly (0, 0): it has no fix unless something tells otherwise.
fn is_origin(fix: Fix) -> bool {
    has_no_fix(None::<Position>, fix.position)
}

#[cfg(test)]
mod tests {
    use super::*;
    use vagn_wire::{Oddities, Oddity, Reject, VehicleId};

    const NOW_MS: i64 = 1_700_000_000_000;

    fn report(position: Result<Position, Reject>, event_time_ms: Option<i64>) -> Report<'static> {
        let mut report = Report::new(VehicleId::new("bus 7").unwrap(), Position::new(1.0, 2.0).unwrap());
        report.position = position;
        report.emergency = true;
        report.event_time_ms = event_time_ms;
        report
    }

    fn alarm(id: u128, report: &Report<'_>, after_ms: u64) -> Alarm {
        let received_ms = NOW_MS.saturating_add_unsigned(after_ms);
        Alarm::new(IncidentId::from_u128(id), report, received_ms, Duration::from_millis(after_ms))
    }

    fn check(position: Result<Position, Reject>, own_time_ms: Option<i64>, expected: Option<(i64, bool)>) {
        let alarm = alarm(1, &report(position, own_time_ms), 0);
        assert_eq!(alarm.fix.map(|fix| (fix.time_ms, fix.trusted)), expected);
    }

    #[test]
    fn keeps_the_position_with_its_time_and_whether_to_trust_it() {
        let here = Position::new(59.0, 18.0);
        check(here, None, Some((NOW_MS, true)));
        check(here, Some(NOW_MS - 86_400_000), Some((NOW_MS - 86_400_000, true)));
        check(here, Some(NOW_MS + 5_000), Some((NOW_MS, true)));
        check(here, Some(NOW_MS + 5_001), Some((NOW_MS, false)));
        check(here, Some(NOW_MS + 50 * 60_000), Some((NOW_MS, false)));
        check(here, Some(i64::MAX), Some((NOW_MS, false)));
        check(here, Some(999_999_999), Some((NOW_MS, false)));
        check(here, Some(-2_208_988_800_001), Some((NOW_MS, false)));
        check(here, Some(NOW_MS - 619_315_200_000), Some((NOW_MS, true)));
        check(Err(Reject::Latitude), None, None);
        check(Position::new(0.0, -0.0), None, None);
        let mut unreadable = report(here, None);
        unreadable.odd = Oddities::of(Oddity::TimeUnreadable);
        assert_eq!(alarm(1, &unreadable, 0).fix, Some(Fix::unsure(here.unwrap(), NOW_MS)));
    }

    #[test]
    fn zero_degrees_are_believed_of_a_vehicle_that_was_last_near_there() {
        let settled = |own: &[(f64, f64)], last: Option<Fix>| {
            let mut all = own.iter().map(|(lat, lon)| alarm(1, &report(Position::new(*lat, *lon), None), 0));
            let mut first = all.next().unwrap();
            all.for_each(|repeat| assert!(first.merge(repeat).is_empty()));
            first.settle(last);
            first.fix.map(|fix| (fix.position.lat(), fix.trusted))
        };
        let last = |lat| Some(Fix::at(lat, 0.0, NOW_MS - 9, false));
        assert_eq!(settled(&[(0.0, 0.0)], None), None);
        assert_eq!(settled(&[(0.0, 0.0)], last(30.27)), None);
        assert_eq!(settled(&[(0.0, 0.0)], last(0.89)), Some((0.0, true)));
        assert_eq!(settled(&[(0.0, 0.0)], last(0.91)), None);
        assert_eq!(settled(&[(0.5, 0.0), (0.0, 0.0)], None), Some((0.0, true)));
        assert_eq!(settled(&[(59.0, 0.0), (0.0, 0.0)], last(0.5)), Some((59.0, true)));
    }

    #[test]
    fn a_place_that_came_just_before_counts_as_a_last_known_one() {
        let settled = |own: (f64, f64), before: Fix, last: Option<Fix>| {
            let mut alarm = alarm(1, &report(Position::new(own.0, own.1), None), 0);
            alarm.before = Some(before);
            alarm.settle(last);
            alarm.fix.map(|fix| (fix.position.lat(), fix.time_ms, fix.trusted))
        };
        let at = |lat, before_ms| Fix::at(lat, 0.0, NOW_MS - before_ms, false);
        assert_eq!(settled((99.0, 0.0), at(10.0, 5), Some(at(50.0, 9))), Some((10.0, NOW_MS - 5, false)));
        assert_eq!(settled((0.0, 0.0), at(10.0, 5), None), Some((10.0, NOW_MS - 5, false)));
        assert_eq!(settled((0.0, 0.0), at(0.1, 5), None), Some((0.0, NOW_MS, true)));
        assert_eq!(settled((0.0, 0.0), at(10.0, 5), Some(at(0.1, 9))), Some((10.0, NOW_MS - 5, false)));
        assert_eq!(settled((59.0, 0.0), at(10.0, 0), None), Some((59.0, NOW_MS, true)), "the own one counts");
        let long_ago = at(10.0, 400 * 86_400_000);
        assert_eq!(settled((99.0, 0.0), long_ago, Some(at(50.0, 9))), Some((10.0, NOW_MS, false)));
    }

    #[test]
    fn a_time_that_steps_back_a_year_is_not_believed_but_an_old_recording_is() {
        let old_ms = NOW_MS - 400 * 86_400_000;
        let settled = |last_ms| {
            let mut alarm = alarm(1, &report(Position::new(1.0, 2.0), Some(old_ms)), 0);
            alarm.settle(Some(Fix::at(3.0, 4.0, last_ms, false)));
            let fix = alarm.fix.unwrap();
            (fix.time_ms, fix.trusted, alarm.event_time_ms)
        };
        assert_eq!(settled(NOW_MS - 9), (NOW_MS, false, NOW_MS));
        assert_eq!(settled(old_ms - 9), (old_ms, true, old_ms));
    }

    #[test]
    fn a_repeat_adds_what_it_knows_better_and_leaves_the_id() {
        let mut first = alarm(1, &report(Err(Reject::Latitude), Some(NOW_MS - 5)), 0);
        let mut repeat = report(Position::new(59.0, 18.0), Some(NOW_MS));
        repeat.kind = Some(Kind::Manual);
        assert!(first.merge(alarm(2, &repeat, 7)).is_empty());
        assert_eq!((first.id, first.reports, first.kind), (IncidentId::from_u128(1), 2, Some(Kind::Manual)));
        assert_eq!(
            (first.event_time_ms, first.received_ms, first.last_received_ms),
            (NOW_MS - 5, NOW_MS, NOW_MS + 7)
        );
        assert_eq!(first.fix.unwrap().time_ms, NOW_MS);
        assert_eq!((first.arrived, first.last_arrived), (Duration::ZERO, Duration::from_millis(7)));
    }
}
