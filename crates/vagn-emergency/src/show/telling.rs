//! What those who follow hear of incidents, and the log: what has happened to them, and that they have moved.

use tracing::info;

use crate::desk::Announcement;
use crate::lane::Lane;
use crate::record::incident::Incident;
use crate::show::view::IncidentView;
use crate::trail::EventKind;

/// Incidents that have moved or reported and are told of in one second; the others follow.
const STIRRED_AT_ONCE: usize = 1_000;

impl Lane {
    /// Tells the log and all who follow of what has happened.
    pub(crate) fn tell(&self) {
        // One at a time, so that they hear of it in order; who tells already looks again when it is done. Never under the
        // desk's lock: a log that stands still must hold up no call.
        while self.desk.lock().has_happened()
            && let Some(_telling) = self.telling.try_lock()
        {
            let happened = self.desk.lock().take_happened();
            for Announcement { incident, action } in happened {
                self.announce(&incident, action);
            }
        }
    }

    fn announce(&self, incident: &Incident, action: EventKind) {
        let (id, vehicle_id, test) = (incident.id, &incident.vehicle_id, incident.drill);
        match action {
            EventKind::Opened => info!(incident_id = %id, %vehicle_id, test, "a vehicle calls for help"),
            EventKind::Notified => {} // Said with the attempt.
            action => info!(incident_id = %id, %vehicle_id, change = action.as_str(), "an incident changes"),
        }
        let view = IncidentView::new(incident, &self.desk.lock(), &self.rules, self.moment());
        self.feed.publish(action.as_str(), &view);
    }

    /// Tells all who follow what has moved or reported since the last time.
    pub(crate) fn tell_stirred(&self) {
        let _telling = self.telling.lock();
        let stirred = self.desk.lock().take_stirred(STIRRED_AT_ONCE);
        for id in stirred {
            let view = {
                let (desk, now) = (self.desk.lock(), self.moment());
                desk.get(id).map(|incident| IncidentView::new(incident, &desk, &self.rules, now))
            };
            view.into_iter().for_each(|view| self.feed.publish("updated", &view));
        }
    }
}
