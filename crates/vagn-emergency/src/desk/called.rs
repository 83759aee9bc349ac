//! Calls that the door of a node makes by itself, until the trail has them. They stand at two desks: at that of the door, which sends openings
//! and records nothing, and at the one that shows what this node has, beside what the trail has.

use std::collections::BTreeSet;

use super::{Announcement, Desk, Live, Moment};
use crate::id::IncidentId;
use crate::intake::alarm::Alarm;
use crate::intake::known::KnownVehicle;
use crate::record::draft::Draft;
use crate::record::incident::Incident;
use crate::record::progress::{Decision, MACHINE};
use crate::trail::{Event, EventKind};

/// Incidents at a desk that only the door of this node knows.
#[derive(Debug, Default)]
pub(super) struct Called {
    ids: BTreeSet<IncidentId>,
    /// Numbers of those by sort.
    real: usize,
    drills: usize,
}

impl Called {
    pub(super) fn has(&self, id: IncidentId) -> bool {
        self.ids.contains(&id)
    }

    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    /// Counts those of one sort.
    pub(super) fn count(&self, drill: bool) -> usize {
        if drill { self.drills } else { self.real }
    }

    fn count_mut(&mut self, drill: bool) -> &mut usize {
        if drill { &mut self.drills } else { &mut self.real }
    }

    fn enter(&mut self, incident: &Incident) {
        self.ids.insert(incident.id);
        *self.count_mut(incident.drill) += 1;
    }

    pub(super) fn leave(&mut self, incident: &Incident) {
        if self.ids.remove(&incident.id) {
            *self.count_mut(incident.drill) -= 1;
        }
    }
}

/// The desk of a door.
impl Desk {
    /// Opens an incident under the id of an alarm, and sends nothing about it: somebody else may have called.
    pub(crate) fn hold(&mut self, mut alarm: Alarm, vehicle: KnownVehicle) {
        let id = alarm.id;
        alarm.settle(vehicle.last_fix);
        self.open(alarm, vehicle.standing, vehicle.last_fix);
        self.board.update(id, |live| live.incident.escalation.next_ms = None);
        self.silence(id);
    }

    /// Sends nothing more about an incident. What is under way ends as it ends.
    pub(crate) fn silence(&mut self, id: IncidentId) {
        self.board.update(id, |live| live.is_released = false);
        self.turns.clear(id);
        self.queues.cancel(id);
    }

    /// Notes that an incident is to be shown anew.
    pub(crate) fn stir(&mut self, id: IncidentId) {
        self.stirred.insert(id);
    }
}

/// The desk that shows what a node has.
impl Desk {
    /// Shows an incident as the desk of the door has it, unless the trail has it.
    pub(crate) fn show_called(&mut self, draft: Draft, now: Moment) {
        let id = draft.incident.id;
        if self.board.contains(id) && !self.called.has(id) {
            return;
        }
        let told = self.board.get(id).map_or(0, |live| live.events().len());
        let news: Vec<_> = draft.events.iter().skip(told).map(|event| event.action).collect();
        self.remove(id);
        self.called.enter(&draft.incident);
        if news.is_empty() {
            self.stirred.insert(id);
        }
        let announcement = |action| Announcement { incident: draft.incident.clone(), action };
        self.happened.extend(news.into_iter().map(announcement));
        self.board.insert(Live::unrecorded(draft, now.at));
    }

    /// Ends an incident that only the door knew: the trail has its alarm in the incident `into`.
    pub(crate) fn settle_called(&mut self, id: IncidentId, into: IncidentId, now: Moment) {
        let why =
            if id == into { "it is over".into() } else { format!("it is about the same alarm as {into}") };
        self.end_called(id, (EventKind::Joined, &why), now);
    }

    /// Ends an incident that only the door knew, and tells followers that it is over under this id.
    pub(crate) fn end_called(&mut self, id: IncidentId, (action, why): (EventKind, &str), now: Moment) {
        if !self.called.has(id) {
            return;
        }
        if let Some(Live { mut incident, .. }) = self.remove(id) {
            incident.resolve(Decision { by: MACHINE.into(), at_ms: now.ms, note: why.into() });
            self.happened.push(Announcement { incident, action });
        }
    }

    /// Shows an incident no more that only the door knew: there is no room for it.
    pub(crate) fn drop_called(&mut self, id: IncidentId) {
        if self.called.has(id) {
            self.remove(id);
        }
    }

    /// Returns true for an incident that only the door knows.
    pub(crate) fn is_called(&self, id: IncidentId) -> bool {
        self.called.has(id)
    }

    /// Returns the incidents that only the door knows.
    pub(crate) fn called(&self) -> Vec<IncidentId> {
        self.called.ids.iter().copied().collect()
    }

    /// Takes out what is shown of a call, as the trail has it now. Returns the events that followers have heard of.
    pub(super) fn take_called(&mut self, id: IncidentId) -> Vec<Event> {
        if !self.called.has(id) {
            return Vec::new();
        }
        self.remove(id).map(|live| live.events()).unwrap_or_default()
    }
}

/// Returns the actions that followers have not heard of, where the trail tells of a call once more.
pub(super) fn untold(events: &[Event], mut told: Vec<Event>) -> Vec<EventKind> {
    let is_twice = |kind| matches!(kind, EventKind::Opened | EventKind::Unrecorded | EventKind::Notified);
    let mut untold = Vec::new();
    for event in events {
        let same = |one: &Event| one.action == event.action && one.by == event.by;
        match told.iter().position(same).filter(|_| is_twice(event.action)) {
            Some(place) => drop(told.swap_remove(place)),
            None => untold.push(event.action),
        }
    }
    untold
}
