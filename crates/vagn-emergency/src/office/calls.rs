//! Calls that this node makes by itself: openings about alarms of its own door, until a target accepts them or the trail has them.
//!
//! They are those of a desk, with the same rules for turns and tries, from which nothing is recorded. They go out from an actor of their own:
//! a driver of the trail that hangs holds up no call.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tracing::info;
use vagn_flow::clock::Clock;

use crate::desk::{Desk, Moment};
use crate::id::IncidentId;
use crate::intake::alarm::Alarm;
use crate::intake::known::KnownVehicle;
use crate::metrics::EmergencyMetrics;
use crate::notify::notice::{EndedNotice, Notice};
use crate::record::attempt::Attempt;
use crate::rules::Rules;

/// Most alarms about which a node calls at a time.
pub(crate) const CALLED_MAX: usize = 65_536;

/// Most alarms that are known to be accepted. Of one that is forgotten and comes again a target hears once more, under the same key.
const ACCEPTED_MAX: usize = 2 * CALLED_MAX;

/// Calls of a door.
pub(crate) struct DoorCalls {
    desk: Mutex<Desk>,
    /// Alarms that a target has accepted, until the trail has them: they are not called about again.
    accepted: Mutex<BTreeSet<IncidentId>>,
    metrics: Arc<EmergencyMetrics>,
    clock: Arc<dyn Clock>,
    woken: Notify,
}

impl DoorCalls {
    pub(crate) fn new(
        rules: Arc<Rules>,
        seed: u64,
        metrics: Arc<EmergencyMetrics>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            desk: Mutex::new(Desk::new(rules, seed).of_door()),
            accepted: Mutex::default(),
            metrics,
            clock,
            woken: Notify::new(),
        }
    }

    /// Begins to call about an alarm, under its own id. Returns false where there is no room.
    pub(crate) fn call(&self, alarm: Alarm, vehicle: KnownVehicle) -> bool {
        if self.accepted.lock().contains(&alarm.id) {
            return true;
        }
        {
            let mut desk = self.desk.lock();
            if desk.count() >= CALLED_MAX && desk.get(alarm.id).is_none() {
                return false;
            }
            desk.call(alarm, vehicle);
        }
        self.woken.notify_one();
        true
    }

    /// Calls no more about an alarm: the trail has it.
    pub(crate) fn let_go(&self, alarm: IncidentId) {
        self.desk.lock().forget(alarm);
        self.accepted.lock().remove(&alarm);
    }

    /// Returns true for an alarm about which this node calls, or has called until a target accepted.
    pub(crate) fn has(&self, alarm: IncidentId) -> bool {
        self.desk.lock().get(alarm).is_some() || self.accepted.lock().contains(&alarm)
    }

    /// Counts the alarms about which this node calls.
    pub(crate) fn count(&self) -> usize {
        self.desk.lock().count()
    }

    pub(crate) fn hung_up(&self) {
        self.desk.lock().hung_up();
    }

    pub(crate) fn has_fresh(&self) -> bool {
        self.desk.lock().has_fresh()
    }

    pub(crate) fn wake_at(&self) -> Option<Duration> {
        self.desk.lock().wake_at()
    }

    pub(crate) async fn woken(&self) {
        self.woken.notified().await;
    }

    pub(crate) fn next_notice(&self) -> Option<Notice> {
        let now = Moment::now(&*self.clock);
        let notice = self.desk.lock().next_notice(now)?;
        observe_first(&self.metrics, &notice, now);
        Some(notice)
    }

    /// Notes what came of a call. Returns the attempt if a target has accepted it: then there is nothing more to call.
    pub(crate) fn attempted(&self, ended: EndedNotice) -> Option<(IncidentId, Attempt)> {
        let (id, attempt) = (ended.id, ended.attempt.clone());
        let is_accepted = attempt.outcome.accepted();
        let mut desk = self.desk.lock();
        let is_here = desk.get(id).is_some();
        desk.attempted(ended, Moment::now(&*self.clock));
        if is_accepted && is_here {
            let mut accepted = self.accepted.lock();
            accepted.insert(id);
            // Nobody lets go of an alarm for which there was no room.
            if accepted.len() > ACCEPTED_MAX {
                accepted.pop_first();
            }
            desk.forget(id);
            info!(incident_id = %id, target = %attempt.target, "a call of this door is accepted");
        }
        (is_accepted && is_here).then_some((id, attempt))
    }
}

/// Notes how long a first attempt has taken to begin.
pub(crate) fn observe_first(metrics: &EmergencyMetrics, notice: &Notice, now: Moment) {
    if let Some(arrived) = notice.arrived.filter(|_| !notice.incident.drill) {
        metrics.emergency_first_attempt.observe(now.at.saturating_sub(arrived).as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::target::Turn;
    use crate::record::attempt::Outcome;
    use crate::{Targets, intake::known::KnownVehicle};
    use vagn_flow::clock::ManualClock;
    use vagn_flow::metrics::MetricRegistry;

    fn calls() -> (DoorCalls, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::at(1_700_000_000_000));
        let turn = |name: &str| Turn { target: name.into(), slots: 4, lasts: Duration::from_secs(60) };
        let rules =
            Rules { chain: vec![turn("county"), turn("state")], ..Rules::new(9, &Targets::default()) };
        let metrics = EmergencyMetrics::new(&MetricRegistry::new());
        (DoorCalls::new(Arc::new(rules), 7, metrics, clock.clone()), clock)
    }

    fn ended(notice: &Notice, outcome: Outcome) -> EndedNotice {
        notice.end(1_700_000_000_000, Duration::ZERO, outcome)
    }

    #[test]
    fn calls_under_the_alarms_own_id_again_and_again_and_further_on_until_a_target_accepts() {
        let (calls, clock) = calls();
        let alarm = Alarm::example("bus 7");
        let id = alarm.id;
        assert!(calls.call(alarm, KnownVehicle::UNDECIDED));
        let first = calls.next_notice().unwrap();
        assert_eq!((&*first.target, first.key.to_string()), ("county", id.to_string()));
        assert!(calls.next_notice().is_none(), "it is under way");
        let refused = Outcome::Failed { reason: "no answer".into() };
        assert_eq!(calls.attempted(ended(&first, refused.clone())), None);
        clock.advance(Duration::from_secs(30));
        let again = calls.next_notice().unwrap();
        assert_eq!((again.key, again.number), (first.key, 2));
        calls.attempted(ended(&again, refused));
        // Its turn ends, and nobody has accepted.
        clock.advance(Duration::from_secs(31));
        let notices: Vec<_> = std::iter::from_fn(|| calls.next_notice()).collect();
        let other = notices.iter().find(|notice| &*notice.target == "state").unwrap();
        assert_eq!(other.key, first.key);
        let accepted = calls.attempted(ended(other, Outcome::Accepted { status: 200 })).unwrap();
        assert_eq!((accepted.0, &*accepted.1.target, calls.count()), (id, "state", 0));
        let mut repeat = Alarm::example("bus 7");
        repeat.id = id;
        assert!(calls.call(repeat, KnownVehicle::UNDECIDED));
        clock.advance(Duration::from_secs(300));
        assert!(calls.next_notice().is_none(), "it was accepted");
    }

    #[test]
    fn two_alarms_of_one_vehicle_are_two_calls_and_what_is_let_go_is_called_no_more() {
        let (calls, clock) = calls();
        let alarms = [Alarm::example("bus 7"), Alarm::example("bus 7")];
        let ids = [alarms[0].id, alarms[1].id];
        for alarm in alarms {
            calls.call(alarm, KnownVehicle::UNDECIDED);
        }
        let keys: BTreeSet<_> =
            std::iter::from_fn(|| calls.next_notice()).map(|it| it.key.incident).collect();
        assert_eq!(keys, BTreeSet::from(ids));
        ids.into_iter().for_each(|id| calls.let_go(id));
        clock.advance(Duration::from_secs(600));
        assert!(calls.next_notice().is_none() && calls.count() == 0);
    }

    #[test]
    fn remembers_the_latest_alarms_that_were_accepted_and_no_more_of_them_than_there_is_room_for() {
        let (calls, _) = calls();
        calls.accepted.lock().extend((0..ACCEPTED_MAX as u128).map(IncidentId::from_u128));
        let alarm = Alarm { id: IncidentId::from_u128(u128::MAX), ..Alarm::example("bus 7") };
        let id = alarm.id;
        calls.call(alarm, KnownVehicle::UNDECIDED);
        let notice = calls.next_notice().unwrap();
        calls.attempted(ended(&notice, Outcome::Accepted { status: 200 })).unwrap();
        let accepted = calls.accepted.lock();
        assert_eq!((accepted.len(), accepted.last()), (ACCEPTED_MAX, Some(&id)));
    }
}
