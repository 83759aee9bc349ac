//! Door: alarms of this node's own reporters, from the inbox to the trail. It gives each its id, hands it to the driver, and lets the senders
//! know when the trail has it.
//!
//! It does not depend on the driver: what nobody takes it calls about by itself. An alarm grows while it waits: each repeat adds to it, in a
//! *sitting* that ends when the trail has all of it.

use std::time::Duration;

use parking_lot::Mutex;
use tracing::{error, warn};
use vagn_cluster::trail::{AlarmId, KeptAlarm};

use crate::id::IncidentId;
use crate::intake::inbox::TAKES_MAX;
use crate::intake::known::KnownVehicle;
use crate::office::alarm_form::AlarmForm;
use crate::office::arrivals::take_in;
use crate::office::asked::ASKED_WITHIN;
use crate::office::call_note::calls_of;
use crate::office::called::CALLED_MAX;
use crate::office::kept::Change;
use crate::office::losses::Loss;
use crate::office::room::Room;
use crate::office::sittings::{Sitting, Waiting};

/// Time after which the door calls by itself where no driver lives: as long as a driver waits for a leader.
const ALONE_AFTER: Duration = Duration::from_millis(250);

/// Time after which an alarm that waits is late: in order it is recorded within 100 ms.
const LATE_AFTER: Duration = Duration::from_secs(10);

/// Most alarms that are shown in one look; the others follow.
const SHOWN_AT_ONCE: usize = 1_000;

/// Time after which an alarm that was not kept is handed over and kept anew: perhaps neither driver nor disk has it.
const ANEW_AFTER: Duration = Duration::from_secs(60);

/// Alarms that are handed over anew, and calls that are tried anew, at one look: new alarms need the way to the driver as well.
const ANEW_MAX: usize = 64;

/// Alarms that wait for the trail.
pub(crate) struct Door {
    pub(super) waiting: Mutex<Waiting>,
}

impl Door {
    pub(crate) fn new(seed: u64) -> Self {
        Self { waiting: Mutex::new(Waiting::new(seed)) }
    }

    /// Counts the alarms that wait.
    pub(crate) fn count(&self) -> usize {
        let waiting = self.waiting.lock();
        waiting.alarms.len() + waiting.arrivals.len() + waiting.asked.count() + waiting.told.len()
    }

    /// Counts those for which the leader has no room, and the others that have waited for long.
    pub(crate) fn count_stuck(&self, now: Duration) -> (usize, usize) {
        let waiting = self.waiting.lock();
        let without_room = waiting.alarms.values().filter(|sitting| sitting.lacks_room).count();
        let is_late = |sitting: &&Sitting| !sitting.lacks_room && sitting.alarm.arrived + LATE_AFTER <= now;
        (without_room, waiting.alarms.values().filter(is_late).count())
    }

    /// Returns the vehicle of an alarm that waits.
    pub(crate) fn vehicle_of(&self, id: IncidentId) -> Option<Box<str>> {
        self.waiting.lock().alarms.get(&id).map(|sitting| sitting.alarm.vehicle_id.clone())
    }

    /// Takes in all that waits in the inbox, once it is known what an earlier run kept: a repeat of that must go on under its id. It waits no longer
    /// than a call may.
    pub(crate) fn attend(&self, room: &Room) {
        if room.lane.clock.monotonic() >= opens_at(room) {
            self.attend_now(room);
        }
    }

    /// Takes in all that waits in the inbox, whatever is known.
    pub(crate) fn attend_now(&self, room: &Room) {
        for _ in 0..TAKES_MAX {
            let newcomers: Vec<Box<str>> = {
                let mut waiting = self.waiting.lock();
                // Taken under the lock, so that an alarm is never in neither of the two.
                waiting.arrivals.extend(room.lane.inbox.take_known());
                room.lane.inbox.begin_turn();
                waiting.arrivals.extend(room.lane.inbox.take_others());
                waiting.arrivals.iter().map(|alarm| alarm.vehicle_id.clone()).collect()
            };
            if newcomers.is_empty() {
                break;
            }
            // Without the lock: a fleet that does not answer must not hold up what the trail says.
            let known = room.lane.lookup.known(newcomers);
            let mut refused = room.lane.inbox.take_refused();
            let ids = {
                let mut waiting = self.waiting.lock();
                let mut ids = Vec::new();
                while let Some(alarm) = waiting.arrivals.pop_front() {
                    let vehicle = known.get(&alarm.vehicle_id).copied().unwrap_or(KnownVehicle::UNDECIDED);
                    if room.asker.asks_about(&alarm, &vehicle) && !waiting.asked.is_full() {
                        waiting.asked.put(alarm, vehicle, room.lane.clock.monotonic());
                        room.asker.news.notify_one();
                        continue;
                    }
                    ids.extend(take_in(&mut waiting, alarm, vehicle, room, &mut refused));
                }
                ids
            };
            room.lane.gauges.refused(refused, &room.lane.desk);
            ids.into_iter().for_each(|id| self.hand(id, room));
        }
    }

    /// Hands an alarm to the driver.
    pub(super) fn hand(&self, id: IncidentId, room: &Room) {
        let Some(trail) = room.trail() else { return };
        let Some(form) = self.waiting.lock().alarms.get(&id).map(|sitting| sitting.form(room.run)) else {
            return;
        };
        if trail.alarm(AlarmId(id.as_u128()), form.to_bytes()).is_ok() {
            if let Some(sitting) = self.waiting.lock().alarms.get_mut(&id) {
                // What came meanwhile is handed over by itself.
                sitting.is_handed = (sitting.number, sitting.alarm.reports) == (form.sitting, form.reports);
            }
        } else {
            // Nobody else calls about it. It is handed over at the next look.
            self.take_over(id, room);
        }
    }

    /// Does itself what the driver would: keeps an alarm, and calls about it.
    fn take_over(&self, id: IncidentId, room: &Room) {
        let (form, is_kept) = {
            let mut waiting = self.waiting.lock();
            let Some(sitting) = waiting.alarms.get_mut(&id).filter(|sitting| sitting.is_at_risk()) else {
                return;
            };
            let reports = std::mem::replace(&mut sitting.kept_reports, sitting.alarm.reports);
            sitting.is_called = true;
            (sitting.form(room.run), reports >= sitting.alarm.reports)
        };
        let keep = || Change::Keep { alarm: AlarmId(id.as_u128()), bytes: form.to_bytes() };
        if !is_kept && room.kept.push(keep()).is_err() {
            room.metrics.lose(Loss::Change);
            warn!(incident_id = %id, "too much waits for the disk: an alarm is called about and not kept");
            self.not_kept(id, room);
        }
        self.call(id, &form, room);
    }

    /// Calls about an alarm that waits. If it waits no more the trail has it, and there is nobody to let go of the call.
    fn call(&self, id: IncidentId, form: &AlarmForm, room: &Room) {
        let has_room = call_about(room, form, id);
        let waits = self.waiting.lock().alarms.get_mut(&id).map(|sitting| sitting.lacks_call = !has_room);
        if waits.is_none() {
            room.calls.let_go(id);
        }
    }

    /// There was no room for a call about an alarm: it is tried again.
    pub(crate) fn lacks_call(&self, id: IncidentId) {
        if let Some(sitting) = self.waiting.lock().alarms.get_mut(&id) {
            sitting.lacks_call = true;
        }
    }

    /// An alarm is not kept. After a while it is handed over and kept anew.
    pub(crate) fn not_kept(&self, id: IncidentId, room: &Room) {
        let anew_at = room.lane.clock.monotonic() + ANEW_AFTER;
        if let Some(sitting) = self.waiting.lock().alarms.get_mut(&id) {
            sitting.kept_reports = 0;
            sitting.anew_at.get_or_insert(anew_at);
        }
    }

    /// A driver begins: it hears of all that waits. What an earlier run kept it reads from the disk.
    pub(crate) fn hand_all(&self, room: &Room) {
        let ids: Vec<IncidentId> = {
            let waiting = self.waiting.lock();
            let here = waiting.alarms.iter().filter(|(_, sitting)| sitting.remembered_at.is_none());
            here.map(|(id, _)| *id).collect()
        };
        ids.into_iter().for_each(|id| self.hand(id, room));
    }

    /// Looks after what waits: hands over what the driver did not take, calls where none lives, and refuses senders that have waited too long.
    pub(crate) fn look(&self, room: &Room) {
        let now = room.lane.clock.monotonic();
        let is_driven = room.is_driven();
        let oldest = now.saturating_sub(room.lane.rules.ack_within);
        self.wait_no_more(now.saturating_sub(ASKED_WITHIN), room);
        let (mut to_hand, mut to_take_over, mut to_call) = (Vec::new(), Vec::new(), Vec::new());
        let calls_left = CALLED_MAX.saturating_sub(room.calls.count()).min(ANEW_MAX);
        let mut anew = 0;
        {
            let mut waiting = self.waiting.lock();
            for (id, sitting) in &mut waiting.alarms {
                sitting.refuse_late(oldest);
                if anew < ANEW_MAX && sitting.anew_at.take_if(|at| *at <= now).is_some() {
                    sitting.is_handed = false;
                    anew += 1;
                }
                if !sitting.is_handed {
                    to_hand.push(*id);
                }
                if !is_driven && sitting.wants_taking_over() && sitting.alone_since() + ALONE_AFTER <= now {
                    to_take_over.push(*id);
                } else if sitting.lacks_call && to_call.len() < calls_left {
                    to_call.push((*id, sitting.form(room.run)));
                }
            }
        }
        to_hand.into_iter().for_each(|id| self.hand(id, room));
        to_take_over.into_iter().for_each(|id| self.take_over(id, room));
        to_call.into_iter().for_each(|(id, form)| self.call(id, &form, room));
    }

    /// Shows what waits for longer than a moment, and what it says more since. It is called about by this node, or by a leader that cannot record.
    pub(crate) fn show(&self, room: &Room) {
        let now = room.lane.clock.monotonic();
        let late: Vec<(IncidentId, u64)> = {
            let waiting = self.waiting.lock();
            let late =
                waiting.alarms.iter().filter(|(_, sitting)| sitting.alarm.arrived + ALONE_AFTER <= now);
            late.map(|(id, sitting)| (*id, sitting.alarm.reports)).collect()
        };
        if late.is_empty() {
            return;
        }
        for id in room.calls.unshown(&late).into_iter().take(SHOWN_AT_ONCE) {
            let form = self.waiting.lock().alarms.get(&id).map(|sitting| sitting.form(room.run));
            if let Some(form) = form {
                room.calls.follow(form.alarm(id, now), form.vehicle());
            }
        }
    }

    /// Goes on with an alarm that an earlier run kept as `bytes`: repeats of it belong to it, under its id. If targets have accepted calls of that, as
    /// the note says, nobody calls before it is repeated.
    pub(crate) fn remember(
        &self,
        id: IncidentId,
        (bytes, form): (&[u8], &AlarmForm),
        note: &[u8],
        room: &Room,
    ) {
        let now = room.lane.clock.monotonic();
        let accepted = calls_of(note);
        {
            let mut waiting = self.waiting.lock();
            if let Some(sitting) = waiting.alarms.get_mut(&id) {
                return put_kept_before(sitting, (bytes, form), room);
            }
            if waiting.is_full() {
                return;
            }
            waiting.insert_as(form.sitting, form.alarm(id, now), form.vehicle());
            if let Some(sitting) = waiting.alarms.get_mut(&id) {
                (sitting.is_handed, sitting.is_called) = (true, !accepted.is_empty());
                (sitting.remembered_at, sitting.kept_reports) = (Some(now), form.reports);
            }
        }
        if !accepted.is_empty() {
            room.calls.remember(form.alarm(id, now), form.vehicle(), accepted);
        }
    }

    /// The disk has an alarm, perhaps of an earlier run. If it waits here by now, the vehicle has repeated itself: the sitting that waits tells the
    /// trail what that one had as well, in its place, and both go together.
    pub(crate) fn find_kept(&self, kept: &mut KeptAlarm, room: &Room) {
        let id = IncidentId::from_u128(kept.alarm.0);
        let mut waiting = self.waiting.lock();
        let Some(sitting) = waiting.alarms.get_mut(&id) else { return };
        if let Ok(form) = AlarmForm::from_bytes(&kept.bytes) {
            put_kept_before(sitting, (&kept.bytes, &form), room);
            kept.bytes = sitting.form(room.run).to_bytes();
        }
    }

    /// Calls about all that waits, and keeps it: this node stops.
    pub(crate) fn call_all(&self, room: &Room) {
        self.wait_no_more(Duration::MAX, room);
        let ids: Vec<IncidentId> = self.waiting.lock().alarms.keys().copied().collect();
        ids.into_iter().for_each(|id| self.take_over(id, room));
    }

    /// Lets an alarm wait under its id, as one of an incident that is known.
    #[cfg(test)]
    pub(super) fn put(&self, alarm: crate::intake::alarm::Alarm) {
        self.waiting.lock().insert(alarm, KnownVehicle::UNDECIDED);
    }

    /// Returns what there is to hand over.
    #[cfg(test)]
    pub(super) fn form(&self, id: IncidentId, room: &Room) -> Option<AlarmForm> {
        self.waiting.lock().alarms.get(&id).map(|sitting| sitting.form(room.run))
    }
}

/// Takes what an earlier run kept of an alarm into the sitting that waits, unless it is the same one.
fn put_kept_before(sitting: &mut Sitting, (bytes, form): (&[u8], &AlarmForm), room: &Room) {
    if form.sitting == sitting.number || sitting.kept_before.as_deref() == Some(bytes) {
        return;
    }
    let id = sitting.alarm.id;
    let known = room.known.lock().get(id).map_or(0, |state| state.known(form.sitting));
    if form.reports > known {
        let mut earlier = form.alarm(id, sitting.alarm.arrived);
        earlier.reports -= known;
        sitting.put_before(earlier);
    }
    sitting.kept_before = Some(bytes.to_vec());
}

/// Returns the time from which on a door takes alarms in.
pub(crate) fn opens_at(room: &Room) -> Duration {
    if room.kept.is_read() { Duration::ZERO } else { room.began + room.lane.rules.recall_within }
}

/// Calls about an alarm from this node. Returns false where there is no room.
pub(crate) fn call_about(room: &Room, form: &AlarmForm, id: IncidentId) -> bool {
    let alarm = form.alarm(id, room.lane.clock.monotonic());
    let source = alarm.source;
    let has_room = room.calls.call(alarm, form.vehicle());
    if !has_room {
        error!(incident_id = %id, "there is no room for another call of this door");
        room.uncalled(source);
    }
    has_room
}

#[cfg(test)]
mod tests {
    use vagn_flow::receipt::{Answer, Receipt};
    use vagn_seal::KeyId;
    use vagn_wire::Fate;

    use super::*;
    use crate::intake::ack::PendingAck;
    use crate::intake::alarm::Alarm;
    use crate::intake::no_room::RefusedAlarms;
    use crate::intake::replays::CallSeal;
    use crate::office::sittings::WAITING_MAX;
    use crate::office::tests::bench::Bench;
    use crate::record::standing::Standing;

    fn example(room: &Room, vehicle_id: &str) -> Alarm {
        let now = room.lane.clock.monotonic();
        Alarm { arrived: now, last_arrived: now, ..Alarm::example(vehicle_id) }
    }

    fn take(room: &Room, alarm: Alarm) -> Option<IncidentId> {
        let mut waiting = room.door.waiting.lock();
        take_in(&mut waiting, alarm, KnownVehicle::UNDECIDED, room, &mut RefusedAlarms::default())
    }

    fn is_handed(room: &Room, id: IncidentId) -> Option<bool> {
        room.door.waiting.lock().alarms.get(&id).map(|sitting| sitting.is_handed)
    }

    #[test]
    fn a_newer_version_of_an_alarm_is_handed_over_again_where_the_trail_had_an_older_one() {
        let bench = Bench::new();
        let room = &bench.room;
        let id = take(room, example(room, "bus 7")).unwrap();
        let form = |id: &IncidentId| room.door.waiting.lock().alarms[id].form(room.run);
        let older = form(&id);
        assert_eq!(take(room, example(room, "bus 7")), Some(id));
        let newer = form(&id);
        // Two hand it over at once, and the driver hears of the newer version first.
        room.door.waiting.lock().alarms.get_mut(&id).unwrap().is_handed = true;
        room.door.let_go(id, &older, room);
        assert_eq!(is_handed(room, id), Some(false));
        room.door.let_go(id, &newer, room);
        assert_eq!(is_handed(room, id), None);
    }

    #[test]
    fn nobody_calls_about_an_alarm_that_the_trail_took_while_its_door_was_about_to() {
        let bench = Bench::new();
        let room = &bench.room;
        let id = take(room, example(room, "bus 7")).unwrap();
        let form = room.door.waiting.lock().alarms[&id].form(room.run);
        room.door.let_go(id, &form, room);
        room.door.call(id, &form, room);
        assert_eq!(room.calls.count(), 0);
        // So with one that got another id.
        let id = take(room, example(room, "bus 7")).unwrap();
        room.door.reopen(id, IncidentId::from_u128(id.as_u128() + 1), room).unwrap();
        room.door.call(id, &form, room);
        assert_eq!(room.calls.count(), 0);
    }

    #[test]
    fn alarms_that_were_not_kept_are_handed_over_anew_after_a_minute_some_at_a_time() {
        let bench = Bench::new();
        let room = &bench.room;
        let count = ANEW_MAX * 2 + 1;
        let ids: Vec<_> =
            (0..count).map(|number| take(room, example(room, &format!("bus {number}"))).unwrap()).collect();
        for id in &ids {
            room.door.waiting.lock().alarms.get_mut(id).unwrap().is_handed = true;
            room.not_kept(AlarmId(id.as_u128()), Vec::new());
        }
        let to_hand = || {
            room.door.look(room);
            ids.iter().filter(|id| is_handed(room, **id) == Some(false)).count()
        };
        bench.clock.advance(ANEW_AFTER - Duration::from_millis(1));
        assert_eq!(to_hand(), 0);
        bench.clock.advance(Duration::from_millis(1));
        assert_eq!([to_hand(), to_hand(), to_hand()], [ANEW_MAX, 2 * ANEW_MAX, count]);
    }

    #[test]
    fn a_call_that_found_no_room_is_made_when_there_is_some() {
        let bench = Bench::new();
        let room = &bench.room;
        let known = KnownVehicle { standing: Standing::Known, last_fix: None };
        for number in 0..CALLED_MAX {
            let alarm = example(room, &format!("bus {number}"));
            assert!(room.calls.call(alarm, known));
        }
        let first = room.calls.next_notice().unwrap().key.incident;
        let late = take(room, example(room, "tram 1")).unwrap();
        bench.clock.advance(ALONE_AFTER);
        (0..3).for_each(|_| room.door.look(room));
        assert_eq!(room.calls.count(), CALLED_MAX);
        room.calls.let_go(first);
        assert_eq!(room.calls.count(), CALLED_MAX - 1);
        room.door.look(room);
        assert_eq!(room.calls.count(), CALLED_MAX);
        room.calls.let_go(late);
        assert_eq!(room.calls.count(), CALLED_MAX - 1, "it was that one");
    }

    fn sealed(room: &Room, sequence: u64) -> (Alarm, Answer) {
        let (receipt, answer) = Receipt::new(1);
        receipt.answer_for_reports(1).settle([(0, Fate::Stored)]);
        let mut alarm = example(room, "bus 7");
        alarm.seal = Some(CallSeal { key_id: KeyId([7; 8]), sequence, number: sequence });
        alarm.acks.push(PendingAck::new(receipt.answer_for_alarm(0), alarm.arrived));
        (alarm, answer)
    }

    #[test]
    fn no_sender_waits_longer_because_its_call_waits_behind_another() {
        let bench = Bench::new();
        let room = &bench.room;
        let (calls, answers): (Vec<_>, Vec<_>) = (1..=3).map(|sequence| sealed(room, sequence)).unzip();
        for alarm in calls {
            take(room, alarm);
        }
        bench.clock.advance(room.lane.rules.ack_within + Duration::from_millis(1));
        room.door.look(room);
        for answer in answers {
            let mut answer = answer;
            assert_eq!(answer.try_recv().expect("it was refused")[0].fate, Fate::Failed);
        }
    }

    #[test]
    fn a_vehicle_that_finds_the_door_full_is_called_about_under_one_id_however_often_it_repeats_itself() {
        let bench = Bench::new();
        let room = &bench.room;
        {
            let mut waiting = room.door.waiting.lock();
            for number in 0..WAITING_MAX {
                waiting.insert(example(room, &format!("bus {number}")), KnownVehicle::UNDECIDED);
            }
        }
        for _ in 0..3 {
            assert_eq!(take(room, example(room, "tram 1")), None);
        }
        assert_eq!(room.calls.count(), 1);
        let called = room.calls.next_notice().unwrap().key.incident;
        // There is room again.
        room.door.waiting.lock().alarms.pop_first();
        assert_eq!(take(room, example(room, "tram 1")), Some(called));
        // Another emergency, long after.
        room.door.waiting.lock().remove(called);
        bench.clock.advance(room.lane.rules.quiet_max + Duration::from_secs(1));
        assert_ne!(take(room, example(room, "tram 1")), Some(called));
    }
}
