//! Indexes: which incidents at the desk wait for what. They are derived from the incidents, and kept true in one place.

use std::collections::BTreeSet;

use super::filed::Filed;
use super::live::Live;
use super::roster::Roster;
use crate::id::IncidentId;
use crate::record::standing::Standing;
use crate::rules::Rules;

/// Incidents by what they wait for. In each set the oldest is first.
#[derive(Debug, Default)]
pub(super) struct Indexes {
    /// Incidents that are not resolved, by vehicle.
    pub(super) roster: Roster,
    pub(super) unaccepted: BTreeSet<IncidentId>,
    pub(super) unacknowledged: BTreeSet<IncidentId>,
    /// Real ones that a target has refused for good.
    pub(super) dead: BTreeSet<IncidentId>,
    /// Never written. They are written first, and of them the known vehicles.
    pub(super) new: BTreeSet<(Standing, IncidentId)>,
    /// Written before, and to be written again: those of known vehicles first.
    pub(super) changed: BTreeSet<(Standing, IncidentId)>,
    /// With senders that wait for an ack.
    pub(super) awaited: BTreeSet<IncidentId>,
    /// Without a position, which is to be looked up.
    pub(super) unlocated: BTreeSet<IncidentId>,
}

impl Filed {
    /// Returns the indexes that an incident belongs in.
    fn of(live: &Live, rules: &Rules) -> Self {
        let incident = &live.incident;
        Self {
            open: !incident.is_resolved(),
            unaccepted: incident.is_unaccepted(),
            unacknowledged: incident.is_unacknowledged(),
            dead: rules.has_dead_letter(incident),
            new: live.is_new(),
            changed: live.is_changed(),
            awaited: live.is_awaited(),
            unlocated: live.wants_fix && incident.alarm.fix.is_none(),
        }
    }
}

impl Indexes {
    /// Files an incident after every change of it.
    pub(super) fn file(&mut self, live: &mut Live, rules: &Rules) {
        let filed = Filed::of(live, rules);
        self.refile(live, filed);
    }

    /// Takes an incident out of all indexes.
    pub(super) fn take_out(&mut self, live: &mut Live) {
        self.refile(live, Filed::default());
    }

    /// Touches only the sets that change: most changes of an incident change none of them.
    fn refile(&mut self, live: &mut Live, to: Filed) {
        let from = std::mem::replace(&mut live.filed, to);
        let source = live.source;
        let incident = &live.incident;
        let id = incident.id;
        match (from.open, to.open) {
            (false, true) => self.roster.enter(incident, source),
            (true, false) => self.roster.leave(incident, source),
            _ => {}
        }
        keep(&mut self.unaccepted, id, from.unaccepted, to.unaccepted);
        keep(&mut self.unacknowledged, id, from.unacknowledged, to.unacknowledged);
        keep(&mut self.dead, id, from.dead, to.dead);
        let in_turn = (incident.standing.in_queue(), id);
        keep(&mut self.new, in_turn, from.new, to.new);
        keep(&mut self.changed, in_turn, from.changed, to.changed);
        keep(&mut self.awaited, id, from.awaited, to.awaited);
        keep(&mut self.unlocated, id, from.unlocated, to.unlocated);
    }

    /// Counts the incidents that are not on disk as they are.
    pub(super) fn unrecorded(&self) -> usize {
        self.new.len() + self.changed.len()
    }
}

fn keep<K: Ord>(set: &mut BTreeSet<K>, key: K, was_in: bool, is_in: bool) {
    if is_in && !was_in {
        set.insert(key);
    } else if was_in && !is_in {
        set.remove(&key);
    }
}

#[cfg(test)]
impl Indexes {
    /// Fails when an incident is in an index in which it does not belong, or the other way round.
    /// Returns which indexes are in use.
    pub(super) fn check<'a>(&self, all: impl Iterator<Item = &'a Live>, rules: &Rules) -> [bool; 8] {
        let mut members = 0;
        let mut used = [false; 8];
        for live in all {
            let expected = Filed::of(live, rules);
            assert_eq!(self.found(live), expected, "{:?}", live.incident);
            for (used, is_in) in used.iter_mut().zip(expected.flags()) {
                members += usize::from(is_in);
                *used |= is_in;
            }
        }
        assert_eq!(self.members(), members, "an incident that has left the desk is in an index");
        used
    }

    fn found(&self, live: &Live) -> Filed {
        let incident = &live.incident;
        let id = incident.id;
        Filed {
            open: self.roster.of(&incident.vehicle_id, incident.drill).contains(&id),
            unaccepted: self.unaccepted.contains(&id),
            unacknowledged: self.unacknowledged.contains(&id),
            dead: self.dead.contains(&id),
            new: self.new.contains(&(incident.standing.in_queue(), id)),
            changed: self.changed.contains(&(incident.standing.in_queue(), id)),
            awaited: self.awaited.contains(&id),
            unlocated: self.unlocated.contains(&id),
        }
    }

    fn members(&self) -> usize {
        let sets = [&self.unaccepted, &self.unacknowledged, &self.dead, &self.awaited, &self.unlocated];
        let in_sets: usize = sets.iter().map(|set| set.len()).sum();
        in_sets + self.unrecorded() + self.roster.open(false) + self.roster.open(true)
    }
}

#[cfg(test)]
impl Filed {
    fn flags(self) -> [bool; 8] {
        let Self { open, unaccepted, unacknowledged, dead, new, changed, awaited, unlocated } = self;
        [open, unaccepted, unacknowledged, dead, new, changed, awaited, unlocated]
    }
}
