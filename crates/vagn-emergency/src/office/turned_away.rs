//! Turned away: alarms that found the door full, and were called about at once.

use std::collections::HashMap;
use std::time::Duration;

use crate::id::IncidentId;
use crate::intake::alarm::Alarm;

/// Alarms after which those that came before the last so many are forgotten.
const TURNED_AWAY_MAX: usize = 16_384;

/// Alarms that found the door full, with the ids under which it has called about them: a repeat is about the same, and has the same key.
#[derive(Default)]
pub(super) struct TurnedAway {
    latest: HashMap<CallName, (IncidentId, Duration)>,
    /// Those before, from when the others had filled their room.
    before: HashMap<CallName, (IncidentId, Duration)>,
}

/// What tells the calls of vehicles apart: vehicle, whether it is a drill, and the vehicle's own id for it.
type CallName = (Box<str>, bool, Option<Box<str>>);

impl TurnedAway {
    fn name(alarm: &Alarm) -> CallName {
        (alarm.vehicle_id.clone(), alarm.is_drill(), alarm.vehicle_incident.clone())
    }

    /// Returns the id of an alarm that was turned away, and came again `within` this time.
    pub(super) fn id_of(&self, alarm: &Alarm, within: Duration) -> Option<IncidentId> {
        if self.latest.is_empty() && self.before.is_empty() {
            return None;
        }
        let name = Self::name(alarm);
        let found = self.latest.get(&name).or_else(|| self.before.get(&name));
        found.filter(|(_, at)| *at + within >= alarm.arrived).map(|(id, _)| *id)
    }

    /// Notes the id under which an alarm was called about.
    pub(super) fn note(&mut self, alarm: &Alarm) {
        if self.latest.len() >= TURNED_AWAY_MAX {
            self.before = std::mem::take(&mut self.latest);
        }
        self.latest.insert(Self::name(alarm), (alarm.id, alarm.last_arrived));
    }
}
