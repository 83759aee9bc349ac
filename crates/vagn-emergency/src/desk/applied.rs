//! A desk that shows what a node of a cluster has applied: all incidents that are not over, as its store has them. It owes nothing to
//! anybody. From the same drafts every node has the same.

use std::collections::BTreeSet;

use super::{Announcement, Desk, Moment};
use crate::record::draft::Draft;
use crate::record::incident::Incident;

impl Desk {
    /// Shows what the store holds, and nothing else.
    pub(crate) fn show_all(&mut self, incidents: Vec<Incident>, now: Moment) {
        let held: BTreeSet<_> = incidents.iter().map(|incident| incident.id).collect();
        let shown: Vec<_> = self.board.all().map(|live| live.incident.id).collect();
        for id in shown.into_iter().filter(|id| !held.contains(id)) {
            self.remove(id);
        }
        for incident in incidents {
            self.show_one(incident, now);
        }
    }

    /// Takes in a draft that the store has now.
    pub(crate) fn apply(&mut self, draft: &Draft, now: Moment) {
        let incident = &draft.incident;
        if incident.is_resolved() {
            self.remove(incident.id);
        } else {
            self.show_one(incident.clone(), now);
        }
        let announcement = |action| Announcement { incident: incident.clone(), action };
        self.happened.extend(draft.events.iter().map(|event| announcement(event.action)));
        if draft.events.is_empty() && !incident.is_resolved() {
            self.stirred.insert(incident.id);
        }
    }

    fn show_one(&mut self, incident: Incident, now: Moment) {
        let id = incident.id;
        if !self.board.contains(id) {
            self.board.insert(super::Live::restore(incident, now));
            return;
        }
        self.board.update(id, |live| {
            if incident.alarm.updated_ms > live.incident.alarm.updated_ms {
                live.heard(now.at);
            }
            live.incident = incident;
        });
    }

    /// Returns all incidents, the oldest first.
    pub(crate) fn all_shown(&self) -> Vec<Incident> {
        self.board.all().map(|live| live.incident.clone()).collect()
    }

    /// Notes which targets answer, as the desk knows that sends the notices.
    pub(crate) fn note_up(&mut self, up: Option<Vec<bool>>) {
        self.told_up = up;
    }
}
