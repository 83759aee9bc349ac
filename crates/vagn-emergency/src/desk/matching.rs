//! Matching: which incident an alarm belongs to.
//!
//! An alarm belongs to an incident of its vehicle that goes on: to the one with the vehicle's own id for it, if the
//! alarm has one, else to the latest. It belongs to none if there is none, or if it has an id that is not known.

use std::time::Duration;

use super::{Desk, Live};
use crate::id::IncidentId;
use crate::intake::alarm::Alarm;
use crate::record::incident::Incident;

/// Incidents of one vehicle that may be live at a time, each under an id of the vehicle's own. Further alarms belong to
/// the latest of them.
const PER_VEHICLE_MAX: usize = 8;

/// What the incident in question has to match.
pub(super) struct Sought<'a> {
    vehicle_id: &'a str,
    drill: bool,
    /// The vehicle's own id for the incident.
    own_id: Option<&'a str>,
    /// Time at which the incident must go on.
    at: Duration,
}

/// Incidents that come into question.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Among {
    All,
    /// Only those that have been written.
    Recorded,
}

impl<'a> Sought<'a> {
    pub(super) fn by_alarm(alarm: &'a Alarm) -> Self {
        let own_id = alarm.vehicle_incident.as_deref();
        Self { vehicle_id: &alarm.vehicle_id, drill: alarm.is_drill(), own_id, at: alarm.arrived }
    }

    pub(super) fn by_incident(incident: &'a Incident, at: Duration) -> Self {
        let own_id = incident.alarm.vehicle_incident.as_deref();
        Self { vehicle_id: &incident.vehicle_id, drill: incident.drill, own_id, at }
    }
}

impl Desk {
    /// Returns the incident that matches.
    pub(super) fn find(&self, sought: &Sought<'_>, among: Among) -> Option<IncidentId> {
        let mut latest = None;
        let mut nameless = None;
        let mut going_on = 0;
        for live in self.latest_first(sought) {
            if !self.is_candidate(live, sought, among) {
                continue;
            }
            let id = live.incident.id;
            let Some(own_id) = sought.own_id else { return Some(id) };
            going_on += 1;
            latest = latest.or(Some(id));
            match live.incident.alarm.vehicle_incident.as_deref() {
                Some(known) if known == own_id => return Some(id),
                Some(_) => {}
                None => nameless = nameless.or(Some(id)),
            }
        }
        // An incident without an own id takes the first that comes.
        nameless.or(latest.filter(|_| going_on >= PER_VEHICLE_MAX))
    }

    fn latest_first<'a>(&'a self, sought: &Sought<'_>) -> impl Iterator<Item = &'a Live> + use<'a> {
        let ids = self.board.indexes().roster.of(sought.vehicle_id, sought.drill);
        ids.iter().rev().filter_map(|id| self.board.get(*id))
    }

    fn is_candidate(&self, live: &Live, sought: &Sought<'_>, among: Among) -> bool {
        let is_recorded = !live.is_new();
        // What only the door knows has its alarm there.
        let is_among = is_recorded || (among == Among::All && !self.called.has(live.incident.id));
        is_among && live.goes_on(sought.at, self.rules.quiet_max)
    }
}
