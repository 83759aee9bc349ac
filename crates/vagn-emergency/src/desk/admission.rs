//! Who is let in: a call for help opens an incident or joins one, and what an earlier run has left comes back.

use std::collections::HashMap;
use std::time::Duration;

use super::{Desk, Live, Moment};
use crate::fix::{Fix, extend};
use crate::id::IncidentId;
use crate::intake::ack::PendingAck;
use crate::intake::alarm::Alarm;
use crate::intake::known::KnownVehicle;
use crate::notify::target::TargetIndex;
use crate::record::incident::{Escalation, Incident};
use crate::record::standing::Standing;
use crate::trail::EventKind;

/// Incidents of one vehicle that may be live at a time, each under an id of the vehicle's own. Beyond, what it reports
/// goes to the latest of them.
const PER_VEHICLE_MAX: usize = 8;

/// What is known of vehicles apart from their calls. Who is not in it may or may not be known, and is treated as if.
pub type Known = HashMap<Box<str>, KnownVehicle>;

/// What became of calls that were let in.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Admitted {
    /// New incidents.
    pub opened: Vec<IncidentId>,
    /// NoticeQueue that joined an incident.
    pub updated: usize,
    /// Vehicles that were turned away, because too many incidents are open.
    pub refused: Vec<Box<str>>,
}

/// An incident that was one with another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Merged {
    /// The one that is no more.
    pub id: IncidentId,
    /// The one that goes on.
    pub into: IncidentId,
}

/// The incident that a report belongs to.
struct Sought<'a> {
    vehicle_id: &'a str,
    test: bool,
    /// The vehicle's own id for it.
    named: Option<&'a str>,
    /// It goes on at this time.
    at: Duration,
}

impl<'a> Sought<'a> {
    fn of(call: &'a Alarm) -> Self {
        let named = call.vehicle_incident.as_deref();
        Self { vehicle_id: &call.vehicle_id, test: call.is_drill(), named, at: call.arrived }
    }

    fn by(incident: &'a Incident, at: Duration) -> Self {
        let named = incident.alarm.vehicle_incident.as_deref();
        Self { vehicle_id: &incident.vehicle_id, test: incident.drill, named, at }
    }
}

impl Desk {
    /// Takes in what the store holds: left behind by an earlier run, or from before it failed. What is owed is called at
    /// once, the oldest first, and a turn that should have ended by now ends now. What is at the desk already is newer, and
    /// written again; only what nobody has been called about yet may turn out to be a repeat of a call that was restored.
    pub fn restore(&mut self, incidents: Vec<Incident>, now: Moment) -> Vec<Merged> {
        self.restored = now.at;
        let known = self.live.values().map(|live| (live.incident.standing.in_queue(), live.incident.id));
        self.changed.extend(known.filter(|new| !self.new.contains(new)).map(|(_, id)| id));
        for incident in incidents {
            if !self.live.contains_key(&incident.id) {
                self.restore_one(incident, now);
            }
        }
        let new = self.new.iter().map(|(_, id)| *id);
        let uncalled: Vec<_> = new.filter(|id| self.live[id].arrived.is_some()).collect();
        uncalled.into_iter().filter_map(|id| self.fold(id, now)).collect()
    }

    fn restore_one(&mut self, mut incident: Incident, now: Moment) {
        let id = incident.id;
        // Numbers may have been used that were not recorded any more: fewer than there were milliseconds.
        let open_ms = now.ms.saturating_sub(incident.alarm.opened_ms).max(0).unsigned_abs();
        incident.notices.follow_ups = incident.notices.follow_ups.saturating_add(1).max(open_ms);
        self.enlist(Live::restore(incident, now));
        self.resume(id, now);
    }

    /// Lets an incident that was opened before the store could say what it holds go on as the one it belongs to.
    fn fold(&mut self, id: IncidentId, now: Moment) -> Option<Merged> {
        let live = &self.live[&id];
        let repeat = Sought::by(&live.incident, live.last_report());
        let into = self.find(&repeat, |live| live.recorded > 0)?;
        let repeat = self.remove(id)?;
        let last_report = repeat.last_report();
        let live = self.change(into, |incident| incident.alarm.merge(repeat.incident.alarm))?;
        live.heard(last_report);
        repeat.acks.into_iter().for_each(|(_, ack)| live.wait(ack));
        self.awaited.insert(into);
        self.urgent = true;
        self.note_place(into);
        self.note(into, now.ms, EventKind::Joined, &format!("took in {id}, which was the same call"));
        Some(Merged { id, into })
    }

    /// Takes calls for help over; [`Desk::admit`] lets them in.
    pub fn arrive(&mut self, calls: Vec<Alarm>) {
        self.arrived.extend(calls);
    }

    /// When the call that has waited longest to be let in arrived.
    pub fn oldest_arrival(&self) -> Option<Duration> {
        self.arrived.front().map(|call| call.arrived)
    }

    /// The vehicles of calls that arrived and have no incident that goes on: it matters what is known of them.
    pub fn newcomers(&self) -> Vec<Box<str>> {
        let new =
            self.arrived.iter().filter(|call| self.roster.of(&call.vehicle_id, call.is_drill()).is_empty());
        new.map(|call| call.vehicle_id.clone()).collect()
    }

    /// Opens or updates an incident for each call that arrived.
    ///
    /// A call joins the incident of its vehicle: the one with its own incident id if it names one, else the latest. It
    /// opens another when there is none, when that one is over, or when it names an id that is not known.
    pub fn admit(&mut self, known: &Known) -> Admitted {
        let mut admitted = Admitted::default();
        while let Some(call) = self.arrived.pop_front() {
            self.admit_one(call, known, &mut admitted);
        }
        admitted
    }

    fn admit_one(&mut self, call: Alarm, known: &Known, admitted: &mut Admitted) {
        if let Some(id) = self.find(&Sought::of(&call), |_| true) {
            self.join(id, call);
            admitted.updated += 1;
            return;
        }
        let vehicle = known.get(&call.vehicle_id).copied().unwrap_or(KnownVehicle::UNDECIDED);
        let standing = self.standing_of(&call, vehicle);
        if self.is_full(call.is_drill(), standing) {
            call.acks.into_iter().for_each(PendingAck::refuse);
            admitted.refused.push(call.vehicle_id);
            return;
        }
        admitted.opened.push(self.open(call, standing, vehicle.last_fix));
    }

    /// What the vehicle of a call is to us: what it was when it first called, if that goes on, else what is known of it.
    fn standing_of(&self, call: &Alarm, vehicle: KnownVehicle) -> Standing {
        let first = self.roster.of(&call.vehicle_id, call.is_drill()).first();
        if let Some(first) = first.and_then(|id| self.get(*id)) {
            return first.standing;
        }
        vehicle.standing
    }

    fn find(&self, sought: &Sought<'_>, among: impl Fn(&Live) -> bool + Copy) -> Option<IncidentId> {
        let own = |id: &IncidentId| self.live[id].incident.alarm.vehicle_incident.as_deref();
        let ids = self.roster.of(sought.vehicle_id, sought.test);
        let goes_on = |id: &&IncidentId| {
            let live = &self.live[*id];
            among(live) && live.goes_on(sought.at, self.rules.quiet_max)
        };
        let mut latest_first = ids.iter().rev().filter(goes_on);
        let Some(named) = sought.named else { return latest_first.next().copied() };
        let known = latest_first.clone().find(|id| own(id) == Some(named));
        let nameless = latest_first.clone().find(|id| own(id).is_none());
        let too_many = latest_first.clone().count() >= PER_VEHICLE_MAX;
        known.or(nameless).or_else(|| latest_first.next().filter(|_| too_many)).copied()
    }

    /// Whether there is no room for another incident. Those of strangers may take half of it at most, so that invented
    /// vehicles cannot displace known ones.
    fn is_full(&self, test: bool, standing: Standing) -> bool {
        let max = self.rules.open_max;
        if test {
            return self.roster.open(true) >= (max / 10).max(1);
        }
        let strangers_fill = standing != Standing::Known && self.roster.strangers() >= (max / 2).max(1);
        strangers_fill || self.roster.open(false) >= max
    }

    fn open(&mut self, mut call: Alarm, standing: Standing, last_fix: Option<Fix>) -> IncidentId {
        let id = call.id;
        let mut incident = Incident::open(id, call.vehicle_id.clone(), call.is_drill(), call.facts());
        incident.standing = standing;
        if let Some(fix) = last_fix {
            extend(&mut incident.alarm.track, fix);
            incident.alarm.fix = incident.alarm.fix.or(Some(fix));
        }
        let acks = std::mem::take(&mut call.acks).into_iter().map(|ack| (1, ack)).collect();
        let now = Moment { ms: call.received_ms, at: call.arrived };
        let how = incident.alarm.kind.map_or("the flag", vagn_wire::Kind::as_str);
        let mut live = Live::open(incident, &call, acks);
        live.note(&call.vehicle_id, now.ms, EventKind::Opened, how);
        let standing = live.incident.standing.in_queue();
        if !live.acks.is_empty() {
            self.awaited.insert(id);
        }
        self.enlist(live);
        self.new.insert((standing, id));
        self.happens(id, EventKind::Opened);
        self.urgent = true;
        self.begin(id, now);
        id
    }

    /// The first turn begins.
    fn begin(&mut self, id: IncidentId, now: Moment) {
        let Some((target, standing)) = self.engage_first(id, now) else { return };
        let patience = if self.store_up { self.rules.record_within } else { Duration::ZERO };
        // What had to wait until the store was read has not had its time to be recorded yet.
        self.queues[target.0].hold(id, standing, now.at.max(self.restored) + patience);
    }

    /// Goes on with an incident of an earlier run: calls what is owed at once, and lets the turn end when it should have.
    fn resume(&mut self, id: IncidentId, now: Moment) {
        if self.owe(id, now) {
            self.resume_turn(id, now);
        }
    }

    /// Sees to it that every target is called that is owed a call. False when the first turn begins only now.
    pub(super) fn owe(&mut self, id: IncidentId, now: Moment) -> bool {
        let incident = &self.live[&id].incident;
        let begun = |target: &str| incident.notices.deliveries.iter().any(|one| *one.target == *target);
        let mut turns = self.rules.turns(incident.drill).iter();
        if !incident.is_resolved() && !turns.any(|turn| begun(&turn.target)) {
            if let Some((target, standing)) = self.engage_first(id, now) {
                self.queues[target.0].repeat(id, standing, now.at);
            }
            return false;
        }
        self.spread(id, now.at);
        true
    }

    /// Makes it the first target's turn.
    fn engage_first(&mut self, id: IncidentId, now: Moment) -> Option<(TargetIndex, Standing)> {
        let incident = &self.live[&id].incident;
        let (test, standing) = (incident.drill, incident.standing.in_queue());
        let turn = self.rules.turns(test).first()?.clone();
        let clocked = incident.is_unacknowledged();
        let next_ms = clocked.then(|| now.ms.saturating_add_unsigned(turn.lasts.as_millis() as u64));
        let live = self.live.get_mut(&id)?;
        live.incident.notices.delivery(&turn.target, now.ms);
        live.incident.escalation = Escalation { level: 0, next_ms };
        self.end_turn_at(id, clocked.then(|| now.at.saturating_add(turn.lasts)));
        Some((self.rules.target_index(test, 0), standing))
    }

    fn join(&mut self, id: IncidentId, mut call: Alarm) {
        let acks = std::mem::take(&mut call.acks);
        self.urgent |= !acks.is_empty();
        let heard_again = self.live[&id].incident.progress.quiet_ms.is_some();
        let live =
            self.change(id, |incident| incident.alarm.merge(call.facts())).expect("matched among the live");
        live.heard(call.last_arrived);
        let awaited = !acks.is_empty();
        for ack in acks {
            live.wait(ack);
        }
        if awaited {
            self.awaited.insert(id);
        }
        if heard_again {
            self.change(id, |incident| incident.progress.quiet_ms = None);
            self.note_by(&call.vehicle_id, id, call.received_ms, EventKind::Heard, "it reports again");
        }
        self.note_place(id);
        self.stirred.insert(id);
        self.spread(id, call.arrived);
    }

    /// Takes out the incidents of which no place is known, with their vehicles, to ask where they were seen last.
    pub fn take_unplaced(&mut self) -> Vec<(IncidentId, Box<str>)> {
        let mut ids = std::mem::take(&mut self.unplaced);
        let next = ids.split_off(&self.place_next);
        next.into_iter()
            .chain(ids)
            .filter_map(|id| Some((id, self.live.get(&id)?.incident.vehicle_id.clone())))
            .collect()
    }

    /// Nobody can say yet where that vehicle was seen last; it is to be asked again.
    pub fn unplaced(&mut self, id: IncidentId) {
        if self.get(id).is_some_and(|incident| incident.alarm.fix.is_none()) {
            self.unplaced.insert(id);
        }
    }

    /// There was no time left to look for this one; it goes first the next time.
    pub fn place_next(&mut self, id: IncidentId) {
        self.place_next = id;
    }

    /// The vehicle was seen there at `now`, by what is known apart from its call.
    pub fn place(&mut self, id: IncidentId, last_known: Fix, now: Duration) {
        let news = self.get(id).is_some_and(|incident| {
            incident.alarm.fix.is_none_or(|place| place.time_ms < last_known.time_ms)
        });
        if news {
            self.change(id, |incident| incident.alarm.add_fix(last_known));
            self.stirred.insert(id);
            self.spread(id, now);
        }
    }
}
