//! Calls that this node makes by itself: openings about alarms of its own door, until a target accepts them or the trail has them.
//!
//! They are those of a desk, with the same rules for turns and tries, from which nothing is recorded. They go out from an actor of their own:
//! a driver of the trail that hangs holds up no call. The desk that shows what this node has shows them too, until it has them from the trail.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tracing::info;

use crate::desk::{Desk, Moment};
use crate::id::IncidentId;
use crate::intake::alarm::Alarm;
use crate::intake::known::KnownVehicle;
use crate::intake::no_room::NoRoom;
use crate::lane::Lane;
use crate::metrics::EmergencyMetrics;
use crate::notify::notice::{EndedNotice, Notice};
use crate::office::call_note::{DoorCall, attempts_of, note_of};
use crate::office::called::{Called, LetGo};
use crate::record::alarms::KnownAlarms;
use crate::trail::EventKind;

/// Time for which an incident is shown whose alarm the trail is said to have, though this node applies the trail and does not find it there.
const SOUGHT_FOR: Duration = Duration::from_secs(60);

/// Calls of a door.
pub(crate) struct DoorCalls {
    called: Mutex<Called>,
    /// The lane, whose desk shows them.
    lane: Arc<Lane>,
    /// Alarms that this node has from the trail: their incidents are shown as the trail has them.
    known: Arc<Mutex<KnownAlarms>>,
    metrics: Arc<EmergencyMetrics>,
    woken: Notify,
}

impl DoorCalls {
    pub(crate) fn new(
        lane: Arc<Lane>,
        known: Arc<Mutex<KnownAlarms>>,
        metrics: Arc<EmergencyMetrics>,
        seed: u64,
    ) -> Self {
        let desk = Desk::new(lane.rules.clone(), seed).of_door();
        Self { called: Mutex::new(Called::new(desk)), lane, known, metrics, woken: Notify::new() }
    }

    /// Begins to call about an alarm, under its own id. Returns false where there is no room.
    pub(crate) fn call(&self, alarm: Alarm, vehicle: KnownVehicle) -> bool {
        let id = alarm.id;
        let mut called = self.called.lock();
        if called.accepted.contains_key(&id) {
            return true;
        }
        if called.is_silent(id) {
            // It begins now, with what the alarm says by now.
            called.forget(id);
        }
        if called.desk.get(id).is_none() && !self.make_room(&mut called, true) {
            return false;
        }
        called.desk.call(alarm, vehicle);
        self.show(&mut called);
        drop(called);
        self.woken.notify_one();
        true
    }

    /// Returns those of these alarms, of each the reports so far, of which not all is shown.
    pub(crate) fn unshown(&self, alarms: &[(IncidentId, u64)]) -> Vec<IncidentId> {
        let called = self.called.lock();
        let known = self.known.lock();
        let is_unshown = |(id, reports): &&(IncidentId, u64)| match called.desk.get(*id) {
            Some(incident) => incident.alarm.reports < *reports && !called.let_go.contains_key(id),
            None => known.get(*id).is_none() && !called.accepted.contains_key(id),
        };
        alarms.iter().filter(is_unshown).map(|(id, _)| *id).collect()
    }

    /// Shows an alarm that waits for the trail as it is now, whether this node calls about it or not.
    pub(crate) fn follow(&self, mut alarm: Alarm, vehicle: KnownVehicle) {
        let id = alarm.id;
        let mut called = self.called.lock();
        match called.desk.get(id).map(|incident| incident.alarm.reports) {
            Some(shown) if alarm.reports > shown => {
                alarm.reports -= shown;
                called.desk.add_to(id, alarm);
                if called.is_silent(id) {
                    called.desk.silence(id);
                }
            }
            None if !called.accepted.contains_key(&id) && self.make_room(&mut called, false) => {
                called.desk.hold(alarm, vehicle);
                called.held.insert(id);
            }
            _ => {}
        }
        self.show(&mut called);
    }

    /// Shows an alarm that an earlier run of this node has called about until targets accepted it, and calls no more.
    pub(crate) fn remember(&self, alarm: Alarm, vehicle: KnownVehicle, accepted: Vec<DoorCall>) {
        let (id, now) = (alarm.id, Moment::now(&*self.lane.clock));
        let mut called = self.called.lock();
        if called.desk.get(id).is_some() || called.accepted.contains_key(&id) {
            return;
        }
        called.accept(id, note_of(&accepted));
        let is_known = self.known.lock().get(id).is_some();
        if !is_known && self.make_room(&mut called, false) {
            called.desk.hold(alarm, vehicle);
            called.desk.called_by_door(id, attempts_of(accepted), now);
            called.desk.silence(id);
            called.settled.insert(id);
            called.desk.stir(id);
        }
        self.show(&mut called);
    }

    /// Makes room for one more incident. Returns false where there is none.
    fn make_room(&self, called: &mut Called, for_call: bool) -> bool {
        if !called.is_full() {
            return true;
        }
        let Some(least) = called.least(for_call) else { return false };
        called.forget(least);
        self.lane.desk.lock().drop_called(least);
        self.metrics.emergency_calls_unshown.inc();
        true
    }

    /// Shows what has changed, unless this node has it from the trail.
    fn show(&self, called: &mut Called) {
        let stirred = called.desk.take_stirred(usize::MAX);
        if stirred.is_empty() {
            return;
        }
        let now = Moment::now(&*self.lane.clock);
        let mut desk = self.lane.desk.lock();
        let known = self.known.lock();
        let unknown = stirred.into_iter().filter(|id| known.get(*id).is_none());
        unknown.filter_map(|id| called.desk.draft(id)).for_each(|draft| desk.show_called(draft, now));
    }

    /// Calls no more about an alarm: the trail has it. It is shown until this node has it from there.
    pub(crate) fn let_go(&self, alarm: IncidentId) {
        let since = self.lane.clock.monotonic();
        let mut called = self.called.lock();
        called.accepted.remove(&alarm);
        if called.desk.get(alarm).is_none() {
            return;
        }
        if self.known.lock().get(alarm).is_some() {
            return called.forget(alarm);
        }
        called.desk.silence(alarm);
        called.held.remove(&alarm);
        called.settled.insert(alarm);
        called.let_go.insert(alarm, LetGo { since, applied: None });
    }

    /// Calls no more about an alarm for which the leader has no room, and says so where it is shown.
    pub(crate) fn end(&self, alarm: IncidentId, limit: NoRoom) {
        let now = Moment::now(&*self.lane.clock);
        let mut called = self.called.lock();
        called.accepted.remove(&alarm);
        called.forget(alarm);
        let why = format!("there was no room to record it: {}", limit.word());
        self.lane.desk.lock().end_called(alarm, (EventKind::Resolved, &why), now);
    }

    /// Forgets those of these alarms that were let go: this node has them from the trail, and shows them so.
    pub(crate) fn applied(&self, alarms: impl IntoIterator<Item = IncidentId>) {
        let mut called = self.called.lock();
        for alarm in alarms {
            if called.let_go.contains_key(&alarm) {
                called.forget(alarm);
            }
        }
    }

    /// Shows anew what only the door knows, where the content of the store is another one.
    pub(crate) fn applied_anew(&self) {
        let mut called = self.called.lock();
        let now = Moment::now(&*self.lane.clock);
        let mut desk = self.lane.desk.lock();
        let known = self.known.lock();
        for id in desk.called() {
            if let Some(state) = known.get(id) {
                desk.settle_called(id, state.incident, now);
            }
        }
        let is_known = |id: &IncidentId| known.get(*id).is_some();
        let over: Vec<_> = called.let_go.keys().copied().filter(is_known).collect();
        over.into_iter().for_each(|id| called.forget(id));
    }

    /// Shows those no more whose alarms the trail was said to have long ago, and does not name. `applied` is the last entry of the trail that
    /// this node has applied: where it does not rise, there is more to come.
    pub(crate) fn tidy(&self, applied: u64) {
        let now = Moment::now(&*self.lane.clock);
        let mut called = self.called.lock();
        let mut late = Vec::new();
        for (id, let_go) in &mut called.let_go {
            let behind = *let_go.applied.get_or_insert(applied);
            if let_go.since + SOUGHT_FOR <= now.at && applied > behind {
                late.push(*id);
            }
        }
        for id in late {
            called.forget(id);
            let end = (EventKind::Joined, "it is recorded elsewhere in the trail");
            self.lane.desk.lock().end_called(id, end, now);
        }
    }

    /// Returns true for an alarm about which this node calls, or has called until a target accepted.
    pub(crate) fn has(&self, alarm: IncidentId) -> bool {
        let called = self.called.lock();
        let is_called = called.desk.get(alarm).is_some() && !called.is_silent(alarm);
        is_called || called.accepted.contains_key(&alarm)
    }

    /// Returns the note of the calls about an alarm; an empty one while no target has accepted any.
    pub(crate) fn note(&self, alarm: IncidentId) -> Vec<u8> {
        self.called.lock().accepted.get(&alarm).cloned().unwrap_or_default()
    }

    /// Counts the alarms about which this node calls.
    pub(crate) fn count(&self) -> usize {
        self.called.lock().count()
    }

    pub(crate) fn hung_up(&self) {
        self.called.lock().desk.hung_up();
    }

    pub(crate) fn has_fresh(&self) -> bool {
        self.called.lock().desk.has_fresh()
    }

    pub(crate) fn wake_at(&self) -> Option<Duration> {
        self.called.lock().desk.wake_at()
    }

    pub(crate) async fn woken(&self) {
        self.woken.notified().await;
    }

    pub(crate) fn next_notice(&self) -> Option<Notice> {
        let now = Moment::now(&*self.lane.clock);
        let mut called = self.called.lock();
        let notice = called.desk.next_notice(now);
        // Turns may have ended as well.
        self.show(&mut called);
        drop(called);
        let notice = notice?;
        observe_first(&self.metrics, &notice, now);
        Some(notice)
    }

    /// Notes what came of a call. Returns the note of it if a target has accepted it: then there is nothing more to call.
    pub(crate) fn attempted(&self, ended: EndedNotice) -> Option<(IncidentId, Vec<u8>)> {
        let (id, call) = (ended.id, DoorCall { attempt: ended.attempt.clone(), told: ended.told });
        let now = Moment::now(&*self.lane.clock);
        let mut called = self.called.lock();
        let is_here = called.desk.get(id).is_some();
        called.desk.attempted(ended, now);
        let is_settled = is_here && call.attempt.outcome.accepted() && !called.settled.contains(&id);
        let note = is_settled.then(|| note_of(std::slice::from_ref(&call)));
        if let Some(note) = &note {
            called.accept(id, note.clone());
            called.held.remove(&id);
            called.settled.insert(id);
        }
        if called.settled.contains(&id) {
            called.desk.silence(id);
        }
        if is_here {
            called.desk.stir(id);
        }
        self.show(&mut called);
        drop(called);
        if is_settled {
            info!(incident_id = %id, target = %call.attempt.target, "a call of this door is accepted");
        }
        note.map(|note| (id, note))
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
    use std::collections::BTreeSet;

    use super::*;
    use crate::notify::target::TargetIndex;
    use crate::office::call_note::calls_of;
    use crate::office::called::{ACCEPTED_MAX, CALLED_MAX};
    use crate::office::tests::bench::Bench;
    use crate::record::attempt::Outcome;
    use vagn_flow::clock::Clock;

    fn ended(notice: &Notice, outcome: Outcome) -> EndedNotice {
        notice.end(1_700_000_000_000, Duration::ZERO, outcome)
    }

    fn call(bench: &Bench, alarm: Alarm) -> bool {
        let now = bench.room.lane.clock.monotonic();
        let alarm = Alarm { arrived: now, last_arrived: now, ..alarm };
        bench.room.calls.call(alarm, KnownVehicle::UNDECIDED)
    }

    #[test]
    fn calls_under_the_alarms_own_id_again_and_again_and_further_on_until_a_target_accepts() {
        let bench = Bench::new();
        let (calls, clock) = (&bench.room.calls, &bench.clock);
        let alarm = Alarm::example("bus 7");
        let id = alarm.id;
        assert!(call(&bench, alarm));
        let first = calls.next_notice().unwrap();
        assert_eq!((&*first.target, first.key.to_string()), ("county", id.to_string()));
        assert!(calls.next_notice().is_none(), "it is under way");
        let refused = Outcome::Failed { reason: "no answer".into() };
        assert_eq!(calls.attempted(ended(&first, refused.clone())), None);
        clock.advance(Duration::from_secs(30));
        let again = calls.next_notice().unwrap();
        assert_eq!((again.key, again.number), (first.key, 2));
        calls.attempted(ended(&again, refused.clone()));
        // Its turn ends, and nobody has accepted.
        clock.advance(Duration::from_secs(31));
        let notices: Vec<_> = std::iter::from_fn(|| calls.next_notice()).collect();
        let of = |target: &str| notices.iter().find(|notice| &*notice.target == target).unwrap();
        assert_eq!(of("state").key, first.key);
        let accepted = calls.attempted(ended(of("state"), Outcome::Accepted { status: 200 })).unwrap();
        let calls_told = calls_of(&accepted.1);
        assert_eq!(calls_told.len(), 1);
        assert_eq!((accepted.0, &*calls_told[0].attempt.target, calls.count()), (id, "state", 0));
        // One that was under way fails, and is not tried again.
        calls.attempted(ended(of("county"), refused));
        let mut repeat = Alarm::example("bus 7");
        repeat.id = id;
        assert!(call(&bench, repeat));
        for _ in 0..300 {
            clock.advance(Duration::from_secs(1));
            assert!(calls.next_notice().is_none(), "it was accepted");
        }
        assert_eq!(calls.wake_at(), None);
    }

    #[test]
    fn two_alarms_of_one_vehicle_are_two_calls_and_what_is_let_go_is_called_no_more() {
        let bench = Bench::new();
        let (calls, clock) = (&bench.room.calls, &bench.clock);
        let alarms = [Alarm::example("bus 7"), Alarm::example("bus 7")];
        let ids = [alarms[0].id, alarms[1].id];
        for alarm in alarms {
            call(&bench, alarm);
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
        let bench = Bench::new();
        let calls = &bench.room.calls;
        let before = (0..ACCEPTED_MAX as u128).map(|id| (IncidentId::from_u128(id), Vec::new()));
        calls.called.lock().accepted.extend(before);
        let alarm = Alarm { id: IncidentId::from_u128(u128::MAX), ..Alarm::example("bus 7") };
        let id = alarm.id;
        call(&bench, alarm);
        let notice = calls.next_notice().unwrap();
        calls.attempted(ended(&notice, Outcome::Accepted { status: 200 })).unwrap();
        let called = calls.called.lock();
        assert_eq!((called.accepted.len(), called.accepted.keys().last()), (ACCEPTED_MAX, Some(&id)));
    }

    #[test]
    fn what_is_only_shown_makes_room_for_calls_and_is_counted_and_a_call_without_room_is_refused() {
        let bench = Bench::new();
        let (calls, shown) = (&bench.room.calls, || bench.room.lane.desk.lock().overview().open);
        let alarm = |number: u128| Alarm {
            id: IncidentId::from_u128(number),
            ..Alarm::example(&format!("bus {number}"))
        };
        for number in 1..=CALLED_MAX as u128 {
            assert!(call(&bench, alarm(number)));
        }
        assert!(!call(&bench, alarm(1 << 100)), "all of them are calls");
        assert!(call(&bench, alarm(7)), "it is called about");
        assert_eq!((calls.count(), shown()), (CALLED_MAX, CALLED_MAX));
        let accepted = calls.next_notice().unwrap();
        calls.attempted(ended(&accepted, Outcome::Accepted { status: 200 })).unwrap();
        assert_eq!((calls.count(), shown()), (CALLED_MAX - 1, CALLED_MAX), "it stays shown");
        assert!(call(&bench, alarm(1 << 100)));
        assert_eq!((calls.count(), shown()), (CALLED_MAX, CALLED_MAX));
        assert!(bench.room.lane.desk.lock().get(accepted.incident.id).is_none(), "it has made room");
        assert_eq!(bench.room.metrics.emergency_calls_unshown.get(), 1);
        // It is not shown again, and not called about.
        assert_eq!(calls.unshown(&[(accepted.incident.id, 2)]), []);
    }

    #[test]
    fn an_alarm_about_which_nothing_is_sent_from_here_is_shown_and_called_about_later_as_a_new_one() {
        let bench = Bench::new();
        let (calls, clock) = (&bench.room.calls, &bench.clock);
        let now = clock.monotonic();
        let alarm = |reports| Alarm { id: IncidentId::from_u128(7), reports, ..Alarm::example("bus 7") };
        let seen = || {
            let desk = bench.room.lane.desk.lock();
            desk.get(IncidentId::from_u128(7))
                .map(|incident| (incident.alarm.reports, incident.notices.attempts))
        };
        assert_eq!(calls.unshown(&[(IncidentId::from_u128(7), 1)]), [IncidentId::from_u128(7)]);
        calls.follow(Alarm { arrived: now, ..alarm(1) }, KnownVehicle::UNDECIDED);
        assert_eq!((calls.count(), seen()), (0, Some((1, 0))));
        // Its turn would have ended.
        clock.advance(Duration::from_secs(61));
        assert!(calls.next_notice().is_none() && calls.wake_at().is_none() && !calls.has_fresh());
        assert_eq!(calls.unshown(&[(IncidentId::from_u128(7), 1)]), []);
        calls.follow(alarm(4), KnownVehicle::UNDECIDED);
        assert_eq!(seen(), Some((4, 0)));
        assert!(calls.next_notice().is_none());
        assert!(call(&bench, alarm(4)));
        let notice = calls.next_notice().unwrap();
        assert_eq!((notice.target_index, notice.arrived), (TargetIndex(0), Some(clock.monotonic())));
        calls.attempted(ended(&notice, Outcome::Failed { reason: "no answer".into() }));
        assert_eq!((calls.count(), seen()), (1, Some((4, 1))));
        calls.follow(alarm(5), KnownVehicle::UNDECIDED);
        assert_eq!(seen(), Some((5, 1)));
    }
}
