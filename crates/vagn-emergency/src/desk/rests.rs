//! The rest at a shared desk: what another store knew of an incident before a copy took its place, or a single machine before it became a node.

use std::time::Duration;

use super::matching::{Among, Sought};
use super::{Desk, Live, Moment};
use crate::id::IncidentId;
use crate::record::draft::Draft;
use crate::record::incident::Incident;
use crate::record::progress::Decision;
use crate::record::rest::RestPart;
use crate::trail::EventKind;

/// Reason on the trail of an incident of which another store knew more.
const REST: &str = "a store that a copy has replaced knew more of it";

/// What a part of a rest came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Learned {
    /// This desk knew all of it.
    Nothing,
    /// It is to be recorded, as part of this incident.
    More(IncidentId),
    /// The same; its vehicle has called anew meanwhile, and this is the incident of that.
    Joined(IncidentId),
}

impl Desk {
    /// Learns a part of a rest: what is more than this desk knows is recorded. `over` in it is the incident as the copy has it, if it is over there;
    /// `known` is what the trail has its id for: the incident that took it in, or itself.
    pub(crate) fn learn_rest(&mut self, part: RestPart, known: Option<IncidentId>, now: Moment) -> Learned {
        let RestPart { knew, over } = part;
        let id = knew.incident.id;
        if !self.board.contains(id) {
            match (over, known) {
                (Some(over), _) => self.bring_back(over, now),
                (None, Some(into)) if self.get(into).is_some_and(|incident| !incident.is_resolved()) => {
                    return self.learn_of_joined(into, knew, now);
                }
                // It is over by now, as the own store knows.
                (None, Some(_)) => return Learned::Nothing,
                (None, None) => {
                    return match self.same_emergency(&knew.incident, now) {
                        Some(into) => self.join(into, knew, now),
                        None => self.open_again(knew, now),
                    };
                }
            }
        }
        let Some(incident) = self.get(id) else { return Learned::Nothing };
        let mut merged = incident.clone();
        merged.learn(&knew.incident);
        let decided =
            |mine: &Option<Decision>, theirs: &Option<Decision>| theirs.clone().filter(|_| mine.is_none());
        let acknowledged = decided(&incident.progress.acknowledged, &knew.incident.progress.acknowledged);
        let resolved = decided(&incident.progress.resolved, &knew.incident.progress.resolved);
        let has_more = merged != *incident || acknowledged.is_some() || resolved.is_some();
        if !has_more && knew.events.is_empty() {
            return Learned::Nothing;
        }
        self.board.update(id, |live| {
            *live.change() = merged;
            live.note_all(knew.events);
        });
        if let Some(decision) = acknowledged {
            self.acknowledge(id, decision, now);
        }
        if let Some(decision) = resolved {
            self.resolve(id, decision);
        }
        self.note(id, now.ms, EventKind::Restored, REST);
        Learned::More(id)
    }

    /// Opens an incident that the trail does not have, under the id that it had, with what was accepted of it.
    fn open_again(&mut self, knew: Draft, now: Moment) -> Learned {
        let (id, mut incident) = (knew.incident.id, knew.incident);
        incident.notices.follow_ups = incident.notices.follow_ups.max(self.first_number());
        incident.notices.deliveries.iter_mut().for_each(|delivery| delivery.renumber());
        let mut live = Live::open(incident, now.at, now.at, Vec::new());
        live.arrived = None;
        live.note_all(knew.events);
        self.board.insert(live);
        self.note(id, now.ms, EventKind::Restored, REST);
        if !self.is_over(id) {
            self.owe(id, now);
            self.resume_turn(id, now);
        }
        Learned::More(id)
    }

    /// Returns the open incident that is about the same emergency as another one: the vehicle called for the later of them while the earlier went on,
    /// which would have taken the call in had both been at one desk.
    fn same_emergency(&self, knew: &Incident, now: Moment) -> Option<IncidentId> {
        let into = self.find(&Sought::by_incident(knew, now.at), Among::All)?;
        let here = self.get(into)?;
        let is_later = here.alarm.opened_ms >= knew.alarm.opened_ms;
        let (earlier, later) = if is_later { (knew, here) } else { (here, knew) };
        let quiet_ms = later.alarm.opened_ms.saturating_sub(earlier.alarm.updated_ms).max(0);
        let quiet = Duration::from_millis(quiet_ms.unsigned_abs());
        (!knew.is_resolved() && earlier.goes_on(quiet, self.rules.quiet_max)).then_some(into)
    }

    /// Takes an incident that comes late into the one that is there. Targets may know both; what they have accepted of the other they do not know
    /// by the id of this one, so all that is owed of this one stays owed.
    fn join(&mut self, into: IncidentId, knew: Draft, now: Moment) -> Learned {
        let taken_in = knew.incident.id;
        let why = format!(
            "took in {taken_in}, which is older and came out of another store: a target may know both"
        );
        self.note(into, now.ms, EventKind::Joined, &why);
        let reports = knew.incident.alarm.reports;
        self.learn_of_joined(into, knew, now);
        self.board.update(into, |live| live.change().alarm.reports += reports);
        Learned::Joined(into)
    }

    /// Learns more of an incident that was taken in: its trail, where its vehicle was, and whether a person has taken it on.
    fn learn_of_joined(&mut self, into: IncidentId, knew: Draft, now: Moment) -> Learned {
        let Draft { incident: mut knew, events, .. } = knew;
        let Some(incident) = self.get(into) else { return Learned::Nothing };
        let mut alarm = incident.alarm.clone();
        // Each part has them.
        knew.alarm.reports = 0;
        alarm.merge(knew.alarm);
        let is_acknowledged = incident.progress.acknowledged.is_some();
        let acknowledged = knew.progress.acknowledged.filter(|_| !is_acknowledged);
        if alarm == incident.alarm && acknowledged.is_none() && events.is_empty() {
            return Learned::Nothing;
        }
        self.board.update(into, |live| {
            live.change().alarm = alarm;
            live.note_all(events);
            live.wants_fix = true;
        });
        if let Some(decision) = acknowledged {
            self.acknowledge(into, decision, now);
        }
        self.stirred.insert(into);
        self.queue_owed(into, now.at);
        Learned::More(into)
    }
}
