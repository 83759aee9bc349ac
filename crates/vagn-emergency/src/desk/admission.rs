//! Admission: an alarm opens an incident or is merged into one.

use std::collections::HashMap;
use std::time::Duration;

use super::matching::{Among, Sought};
use super::{Desk, Live, Moment};
use crate::fix::{Fix, extend, newer};
use crate::id::IncidentId;
use crate::intake::ack::PendingAck;
use crate::intake::alarm::Alarm;
use crate::intake::known::KnownVehicle;
use crate::intake::no_room::{NoRoom, RefusedAlarms};
use crate::record::call_window::CallWindow;
use crate::record::incident::Incident;
use crate::record::standing::Standing;
use crate::rules::Places;
use crate::trail::EventKind;

/// Reason on the trail of an incident that a person has raised.
const RAISED: &str = "raised from a call for help that could not be proved";

/// What is known of vehicles apart from their alarms. A vehicle that is not in it is undecided.
pub(crate) type Known = HashMap<Box<str>, KnownVehicle>;

/// What became of alarms that were let in.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Admitted {
    /// New incidents.
    pub opened: Vec<IncidentId>,
    /// Number of alarms that were merged into an incident.
    pub updated: usize,
    /// Alarms that were refused, because too many incidents are open.
    pub refused: RefusedAlarms,
}

/// What became of one alarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admission {
    /// It has opened an incident.
    Opened(IncidentId),
    /// It was merged into one.
    Merged(IncidentId),
    /// It is a sealed call that came before.
    Replay,
    /// There is no room for it.
    Refused(NoRoom),
}

impl Desk {
    /// Takes alarms over from the inbox; [`Desk::admit`] lets them in.
    pub(crate) fn arrive(&mut self, alarms: Vec<Alarm>) {
        self.arrivals.extend(alarms);
    }

    /// Returns the arrival of the alarm that has waited longest to be let in.
    pub(crate) fn oldest_arrival(&self) -> Option<Duration> {
        self.arrivals.front().map(|alarm| alarm.arrived)
    }

    /// Returns the vehicles of alarms that arrived without an open incident: their standing is to be looked up. A stranger for whom
    /// there is no room is none of them: in a flood, each look-up may have to wait for the writer of the fleet.
    pub(crate) fn newcomers(&self) -> Vec<Box<str>> {
        let roster = &self.board.indexes().roster;
        let is_new = |alarm: &&Alarm| roster.of(&alarm.vehicle_id, alarm.is_drill()).is_empty();
        let has_room = |alarm: &&Alarm| {
            alarm.standing != Standing::Stranger || self.no_room(alarm, Standing::Stranger).is_none()
        };
        let new = self.arrivals.iter().filter(is_new).filter(has_room);
        new.map(|alarm| alarm.vehicle_id.clone()).collect()
    }

    /// Opens an incident, or merges into one, for each alarm that arrived.
    pub(crate) fn admit(&mut self, known: &Known) -> Admitted {
        let mut admitted = Admitted::default();
        while let Some(alarm) = self.arrivals.pop_front() {
            self.admit_one(alarm, known, &mut admitted);
        }
        admitted
    }

    fn admit_one(&mut self, alarm: Alarm, known: &Known, admitted: &mut Admitted) {
        let vehicle = known.get(&alarm.vehicle_id).copied().unwrap_or(KnownVehicle::UNDECIDED);
        let source = alarm.source;
        match self.admit_alarm(alarm, vehicle) {
            Admission::Opened(id) => admitted.opened.push(id),
            Admission::Merged(_) => admitted.updated += 1,
            Admission::Refused(reason) => admitted.refused.add(reason, source),
            Admission::Replay => {}
        }
    }

    /// Returns true for a sealed alarm that has come before.
    pub(crate) fn is_replay(&self, alarm: &Alarm) -> bool {
        alarm.seal.is_some_and(|seal| self.replays.has(&alarm.vehicle_id, &seal))
    }

    /// Opens an incident for an alarm, or merges it into one.
    pub(crate) fn admit_alarm(&mut self, mut alarm: Alarm, vehicle: KnownVehicle) -> Admission {
        if self.is_replay(&alarm) {
            // It came before the store had told what an earlier run took.
            self.replays.count(alarm.has_position());
            alarm.acks.into_iter().for_each(PendingAck::repeat);
            return Admission::Replay;
        }
        if let Some(id) = self.find(&Sought::by_alarm(&alarm), Among::All) {
            self.add_to(id, alarm);
            return Admission::Merged(id);
        }
        let standing = self.standing(&alarm, &vehicle);
        if let Some(reason) = self.no_room(&alarm, standing) {
            refuse(alarm.acks);
            return Admission::Refused(reason);
        }
        alarm.settle(vehicle.last_fix);
        Admission::Opened(self.open(alarm, standing, vehicle.last_fix))
    }

    /// Merges an alarm into an incident at the desk.
    pub(crate) fn add_to(&mut self, id: IncidentId, mut alarm: Alarm) {
        alarm.settle(self.get(id).and_then(|incident| incident.alarm.fix));
        self.merge(id, alarm);
    }

    /// Returns the incident at the desk that an alarm belongs to, if it opens none.
    pub(crate) fn incident_of(&self, alarm: &Alarm) -> Option<IncidentId> {
        self.find(&Sought::by_alarm(alarm), Among::All)
    }

    /// Returns the reason why an alarm that belongs to no incident would be refused.
    pub(crate) fn refuses(&self, alarm: &Alarm, vehicle: &KnownVehicle) -> Option<NoRoom> {
        self.no_room(alarm, self.standing(alarm, vehicle))
    }

    /// Returns the standing of the vehicle of an alarm. It keeps the one of its first alarm as long as one of its incidents is
    /// open, unless it turns out to be known.
    fn standing(&self, alarm: &Alarm, vehicle: &KnownVehicle) -> Standing {
        let now = match (alarm.standing, vehicle.standing) {
            // What was found out when the alarm came in counts, where the later look-up had no time, and for good.
            (Standing::Known, _) => Standing::Known,
            (at_door, Standing::Undecided) => at_door,
            (_, found) => found,
        };
        match self.first_standing(alarm) {
            Some(first) if now != Standing::Known && first != Standing::Undecided => first,
            _ => now,
        }
    }

    /// Returns the standing of the vehicle's first open incident, if it has one.
    fn first_standing(&self, alarm: &Alarm) -> Option<Standing> {
        let first = self.board.indexes().roster.of(&alarm.vehicle_id, alarm.is_drill()).first()?;
        self.get(*first).map(|incident| incident.standing)
    }

    /// Returns the reason why there is no room for another incident, if there is none. Strangers may take half of it at most,
    /// and those from one source a part of that, so that invented vehicles cannot displace known ones. An undecided vehicle may be
    /// a known one, and its source that of a flood: what its source has does not count. On one machine it is held to the half; in a cluster,
    /// where no owner may be there who knows it, to half of the rest as well, and the other half of that stays for known ones.
    fn no_room(&self, alarm: &Alarm, standing: Standing) -> Option<NoRoom> {
        let drill = alarm.is_drill();
        let open = self.board.indexes().roster.of_sort(drill);
        // A door must not refuse a known vehicle for calls that it makes by itself. Strangers have their share of these as well.
        let called = self.called.count(drill);
        let Places { all, strangers, undecided, source } = self.rules.places(drill);
        let reason = |reason| Some(if drill { NoRoom::Drills } else { reason });
        match () {
            () if open.count() - called >= all => reason(NoRoom::Places),
            () if standing == Standing::Stranger && open.from(alarm.source) >= source => Some(NoRoom::Source),
            () if standing == Standing::Stranger && open.strangers() >= strangers => {
                reason(NoRoom::Strangers)
            }
            () if standing == Standing::Undecided && open.strangers() >= undecided => {
                reason(NoRoom::Strangers)
            }
            () => None,
        }
    }

    pub(super) fn open(&mut self, mut alarm: Alarm, standing: Standing, last_fix: Option<Fix>) -> IncidentId {
        let id = alarm.id;
        let now = Moment { ms: alarm.received_ms, at: alarm.arrived, is_sure: false, since_ms: i64::MIN };
        let acks = std::mem::take(&mut alarm.acks);
        let mut incident = incident_of(&alarm, standing, last_fix);
        incident.notices.follow_ups = self.first_number();
        let cause = incident.alarm.kind.map_or("the flag", vagn_wire::Kind::as_str);
        let mut live = Live::open(incident, alarm.arrived, alarm.last_arrived, acks);
        live.source = alarm.source;
        match &alarm.raised_by {
            Some(by) => live.note(by, now.ms, EventKind::Opened, RAISED),
            None => live.note(&alarm.vehicle_id, now.ms, EventKind::Opened, cause),
        }
        live.called(self.window_of(&alarm));
        self.board.insert(live);
        self.urgent = true;
        self.begin_first_turn(id, now);
        // With its first target: one of which nobody is told yet must not look like one that nobody will be told of.
        self.announce(id, EventKind::Opened);
        id
    }

    fn merge(&mut self, id: IncidentId, mut alarm: Alarm) {
        let acks = std::mem::take(&mut alarm.acks);
        let window = self.window_of(&alarm);
        // At its door it was looked up later than when its incident was opened.
        self.decide(id, alarm.standing);
        // A repeat for which no sender waits is written in the next round.
        self.urgent |= !acks.is_empty();
        let was_quiet = self.board.update(id, |live| {
            live.change().alarm.merge(alarm.facts());
            live.called(window);
            live.heard(alarm.last_arrived);
            live.wait(acks);
            live.wants_fix = true;
            live.incident.progress.quiet_ms.take().is_some()
        });
        if was_quiet == Some(true) {
            self.note_by(&alarm.vehicle_id, id, alarm.received_ms, EventKind::Heard, "it reports again");
        }
        self.stirred.insert(id);
        self.queue_owed(id, alarm.arrived);
    }
}

impl Desk {
    /// Notes the seal of an alarm that is let in. Returns what is to be written of it with its incident.
    fn window_of(&self, alarm: &Alarm) -> Option<CallWindow> {
        alarm.seal.map(|seal| self.replays.take(&alarm.vehicle_id, &seal))
    }

    /// Lets in an alarm that a person has raised. Limits for strangers do not hold for it: a person vouches.
    ///
    /// # Errors
    /// All places for incidents are taken.
    pub(crate) fn raise(&mut self, mut alarm: Alarm, last_fix: Option<Fix>) -> Result<IncidentId, NoRoom> {
        if let Some(id) = self.find(&Sought::by_alarm(&alarm), Among::All) {
            let (by, at_ms) = (alarm.raised_by.clone().unwrap_or_default(), alarm.received_ms);
            let known = self.get(id).and_then(|incident| incident.alarm.fix);
            alarm.settle(known);
            if known.is_some_and(|fix| fix.trusted) {
                // What a call has proved stays: the place of one without proof may be forged, to send help elsewhere.
                alarm.fix = None;
            }
            self.merge(id, alarm);
            self.note_by(&by, id, at_ms, EventKind::Heard, RAISED);
            return Ok(id);
        }
        if let Some(reason) = self.no_room(&alarm, Standing::Known) {
            return Err(reason);
        }
        alarm.settle(last_fix);
        Ok(self.open(alarm, Standing::Known, last_fix))
    }
}

fn incident_of(alarm: &Alarm, standing: Standing, last_fix: Option<Fix>) -> Incident {
    let mut incident = Incident::open(alarm.id, alarm.vehicle_id.clone(), alarm.is_drill(), alarm.facts());
    incident.standing = standing;
    if let Some(fix) = last_fix {
        extend(&mut incident.alarm.track, fix);
        // The alarm's own position counts, even if the last known one is newer by the vehicle's clock.
        let own = incident.alarm.fix.filter(|fix| fix.trusted);
        incident.alarm.fix = own.or(newer(Some(fix), incident.alarm.fix));
    }
    incident
}

fn refuse(acks: Vec<PendingAck>) {
    for ack in acks {
        ack.refuse();
    }
}
