//! Recording: what is to be written, and what follows once it is.

use super::{Desk, Live};
use crate::id::IncidentId;
use crate::record::attempt::Attempt;
use crate::record::draft::Draft;
use crate::record::standing::Standing;
use crate::trail::Event;

impl Desk {
    /// Returns true when something waits that is to be recorded at once.
    pub(crate) fn is_urgent(&self) -> bool {
        self.urgent
    }

    /// Returns drafts of up to `max` incidents that are not on disk as they are: the new ones first, and of those the
    /// known vehicles.
    pub(crate) fn drafts(&mut self, max: usize) -> Vec<Draft> {
        let indexes = self.board.indexes();
        // What does not fit is to be written at once, and not in the next round.
        self.urgent = indexes.unrecorded() > max;
        let ids = indexes.new.iter().chain(&indexes.changed).take(max);
        ids.filter_map(|(_, id)| self.board.get(*id)).map(Live::draft).collect()
    }

    /// Returns drafts of up to `max` incidents of known vehicles that were never written.
    pub(crate) fn drafts_of_known(&self, max: usize) -> Vec<Draft> {
        let known = self.board.indexes().new.iter().take_while(|(standing, _)| *standing == Standing::Known);
        known.take(max).filter_map(|(_, id)| self.board.get(*id)).map(Live::draft).collect()
    }

    /// Returns a draft of one incident, if it is not on disk as it is.
    pub(crate) fn draft(&self, id: IncidentId) -> Option<Draft> {
        self.board.get(id).filter(|live| !live.is_recorded()).map(Live::draft)
    }

    /// Notes that these drafts are on disk: their senders hear it, their notices may go out, and incidents that are
    /// over leave the desk.
    pub(crate) fn recorded(&mut self, drafts: &[Draft]) {
        self.store_up = true;
        for draft in drafts {
            self.recorded_one(draft);
        }
    }

    fn recorded_one(&mut self, draft: &Draft) {
        let id = draft.incident.id;
        let Some(acks) = self.board.update(id, |live| live.recorded(draft)) else { return };
        for ack in acks {
            ack.grant(id);
        }
        self.queues.recorded(id);
        // In a cluster not before the own store has it.
        if self.shared.is_none() && self.may_leave(id) {
            self.remove(id);
        }
    }

    /// Returns true for an incident that is over and on disk as it is. A notice under way must still find its incident.
    pub(super) fn may_leave(&self, id: IncidentId) -> bool {
        let is_over =
            self.board.get(id).is_some_and(|live| live.is_recorded() && live.incident.is_resolved());
        is_over && !self.queues.is_under_way_anywhere(id)
    }

    /// Lets first notices go without a record: the store does not work.
    pub(crate) fn store_down(&mut self) {
        self.store_up = false;
        // Nothing is urgent for a store that does not work: the next round tries again.
        self.urgent = false;
        self.queues.release();
    }

    /// Returns true when the incident is on disk as it is.
    pub(crate) fn is_recorded(&self, id: IncidentId) -> bool {
        self.board.get(id).is_none_or(Live::is_recorded)
    }

    /// Returns the events and attempts of an incident that are not on disk yet.
    pub(crate) fn pending(&self, id: IncidentId) -> (Vec<Event>, Vec<Attempt>) {
        self.board.get(id).map(|live| (live.events(), live.ledger())).unwrap_or_default()
    }
}
