//! Restoring: what an earlier run, or this one before its store failed, has left in the store comes back.

use super::matching::{Among, Sought};
use super::{Desk, Live, Moment};
use crate::id::IncidentId;
use crate::record::incident::Incident;
use crate::trail::EventKind;

/// An incident that turned out to be the same as another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Merged {
    /// Incident that is no more.
    pub id: IncidentId,
    /// Incident that goes on.
    pub into: IncidentId,
}

impl Desk {
    /// Takes in what the store holds, all at once.
    #[cfg(test)]
    pub(crate) fn restore(&mut self, incidents: Vec<Incident>, now: Moment) -> Vec<Merged> {
        self.begin_restore(now);
        self.restore_part(incidents, now);
        self.end_restore(now)
    }

    /// Begins to take in what the store holds, part by part. What is owed is due at once, the oldest first, and a turn that
    /// should have ended by now ends now. What is at the desk already is newer, and written again. A new incident whose notices
    /// have not begun may turn out to be a repeat of a restored one: then it is merged into that.
    pub(crate) fn begin_restore(&mut self, now: Moment) {
        self.restored = now.at;
        let at_desk: Vec<_> = self.board.all().map(|live| live.incident.id).collect();
        for id in at_desk {
            self.board.update(id, Live::rewrite);
        }
    }

    /// Takes in some of what the store holds.
    pub(crate) fn restore_part(&mut self, incidents: impl IntoIterator<Item = Incident>, now: Moment) {
        for incident in incidents {
            if !self.board.contains(incident.id) {
                self.restore_one(incident, now);
            }
        }
    }

    /// Merges what was opened meanwhile into what it repeats, now that all is there.
    pub(crate) fn end_restore(&mut self, now: Moment) -> Vec<Merged> {
        let new: Vec<_> = self.board.indexes().new.iter().map(|(_, id)| *id).collect();
        new.into_iter().filter_map(|id| self.merge_into_restored(id, now)).collect()
    }

    /// Begins to take in what the journal holds while the store cannot be opened.
    pub(crate) fn begin_salvage(&mut self, incidents: &[Incident], now: Moment) {
        let ids = incidents.iter().map(|incident| incident.id);
        self.salvaged = ids.filter(|id| !self.board.contains(*id)).collect();
        self.begin_restore(now);
    }

    /// Returns the incidents that came from the journal alone, and that the store was not asked about.
    pub(crate) fn salvaged(&self) -> Vec<IncidentId> {
        self.salvaged.iter().copied().collect()
    }

    /// Learns what the store has of incidents that came from the journal, before they are written again: a journal that had
    /// failed is behind the store, and one that was copied may be of any age. A decision in the store was the first.
    pub(crate) fn learn(&mut self, recorded: Vec<Incident>, now: Moment) {
        self.salvaged.clear();
        for record in recorded {
            let id = record.id;
            self.board.update(id, |live| live.learn(&record));
            if let Some(decision) = record.progress.acknowledged {
                self.acknowledge(id, decision, now);
            }
            if let Some(decision) = record.progress.resolved {
                self.resolve(id, decision);
            }
        }
    }

    fn restore_one(&mut self, mut incident: Incident, now: Moment) {
        let id = incident.id;
        // The last run may have used message numbers that it did not record: at most one per millisecond. So go on above them.
        let open_ms = now.ms.saturating_sub(incident.alarm.opened_ms).max(0).unsigned_abs();
        incident.notices.follow_ups = match self.shared {
            None => incident.notices.follow_ups.saturating_add(1).max(open_ms),
            Some(_) => incident.notices.follow_ups.max(self.first_number()),
        };
        self.board.insert(self.restored(incident, now));
        self.resume(id, now);
    }

    /// Merges an incident that was opened before the store could say what it holds into the one it repeats, if there is
    /// one.
    fn merge_into_restored(&mut self, id: IncidentId, now: Moment) -> Option<Merged> {
        // Once an attempt has begun, the target may know the incident by this id.
        let live = self.board.get(id).filter(|live| live.arrived.is_some())?;
        let repeat = Sought::by_incident(&live.incident, live.last_report());
        let into = self.find(&repeat, Among::Recorded)?;
        let mut repeat = self.remove(id)?;
        self.board.update(into, |live| {
            let acks = repeat.take_acks();
            live.heard(repeat.last_report());
            live.change().alarm.merge(repeat.incident.alarm);
            live.wait(acks);
            live.wants_fix = true;
        });
        self.urgent = true;
        self.note(into, now.ms, EventKind::Joined, &format!("took in {id}, which was about the same alarm"));
        Some(Merged { id, into })
    }

    /// Goes on with an incident of an earlier run: what is owed is due at once, and the turn ends when it should have.
    fn resume(&mut self, id: IncidentId, now: Moment) {
        let has_begun = self.has_begun(id);
        self.owe(id, now);
        if has_begun {
            self.resume_turn(id, now);
        }
    }

    /// Brings back an incident that is over, so that it can be commented.
    pub(crate) fn bring_back(&mut self, incident: Incident, now: Moment) {
        if !self.board.contains(incident.id) {
            self.board.insert(self.restored(incident, now));
        }
    }
}
