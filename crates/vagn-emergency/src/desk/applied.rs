//! A desk that shows what a node of a cluster has applied: all incidents that are not over, as its store has them. It owes nothing to
//! anybody. From the same drafts every node has the same; beside that it shows what its door [calls](super::called) about by itself.

use std::collections::BTreeSet;

use super::called::untold;
use super::{Announcement, Desk, Moment};
use crate::record::draft::Draft;
use crate::record::incident::Incident;

impl Desk {
    /// Begins to show what the store holds, and nothing else, part by part.
    pub(crate) fn begin_show(&mut self, incidents: &[Incident]) {
        let held: BTreeSet<_> = incidents.iter().map(|incident| incident.id).collect();
        let shown = self.board.all().map(|live| live.incident.id);
        let is_over = |id: &_| !held.contains(id) && !self.called.has(*id);
        let over: Vec<_> = shown.filter(is_over).collect();
        for id in over {
            self.remove(id);
        }
    }

    /// Shows some of what the store holds.
    pub(crate) fn show_part(&mut self, incidents: impl IntoIterator<Item = Incident>, now: Moment) {
        incidents.into_iter().for_each(|incident| self.show_one(incident, now));
    }

    /// Takes in a draft that the store has now.
    pub(crate) fn apply(&mut self, draft: &Draft, now: Moment) {
        let incident = &draft.incident;
        let told = self.take_called(incident.id);
        if incident.is_resolved() {
            self.remove(incident.id);
        } else {
            self.show_one(incident.clone(), now);
        }
        let announcement = |action| Announcement { incident: incident.clone(), action };
        let news = untold(&draft.events, told);
        if news.is_empty() && !incident.is_resolved() {
            self.stirred.insert(incident.id);
        }
        self.happened.extend(news.into_iter().map(announcement));
    }

    fn show_one(&mut self, incident: Incident, now: Moment) {
        let id = incident.id;
        self.take_called(id);
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

    /// Returns all incidents that the trail has, the oldest first.
    pub(crate) fn all_shown(&self) -> Vec<Incident> {
        let recorded = self.board.all().filter(|live| !self.called.has(live.incident.id));
        recorded.map(|live| live.incident.clone()).collect()
    }

    /// Notes which targets answer, as the desk knows that sends the notices.
    pub(crate) fn note_up(&mut self, up: Option<Vec<bool>>) {
        self.told_up = up;
    }
}
