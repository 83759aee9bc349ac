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
    /// Open ones of vehicles that could not be looked up yet: those first that no target has accepted.
    pub(super) undecided: BTreeSet<(bool, IncidentId)>,
}

impl Filed {
    /// Returns the indexes that an incident belongs in.
    fn of(live: &Live, rules: &Rules) -> Self {
        let incident = &live.incident;
        let standing = incident.standing;
        let is_open = !incident.is_resolved();
        let is_undecided = is_open && standing == Standing::Undecided;
        Self {
            open: is_open.then_some(standing),
            unaccepted: incident.is_unaccepted(),
            unacknowledged: incident.is_unacknowledged(),
            dead: rules.has_dead_letter(incident),
            new: live.is_new().then_some(standing),
            changed: live.is_changed().then_some(standing),
            awaited: live.is_awaited(),
            unlocated: live.wants_fix && incident.alarm.fix.is_none(),
            undecided: is_undecided.then(|| incident.progress.accepted_ms.is_some()),
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
        if from.open != to.open {
            from.open.into_iter().for_each(|standing| self.roster.leave(incident, standing, source));
            to.open.into_iter().for_each(|standing| self.roster.enter(incident, standing, source));
        }
        keep(&mut self.unaccepted, id, from.unaccepted, to.unaccepted);
        keep(&mut self.unacknowledged, id, from.unacknowledged, to.unacknowledged);
        keep(&mut self.dead, id, from.dead, to.dead);
        keep_by(&mut self.new, id, from.new, to.new);
        keep_by(&mut self.changed, id, from.changed, to.changed);
        keep(&mut self.awaited, id, from.awaited, to.awaited);
        keep(&mut self.unlocated, id, from.unlocated, to.unlocated);
        keep_by(&mut self.undecided, id, from.undecided, to.undecided);
    }

    /// Counts the incidents that are not on disk as they are.
    pub(super) fn unrecorded(&self) -> usize {
        self.new.len() + self.changed.len()
    }
}

fn keep(set: &mut BTreeSet<IncidentId>, id: IncidentId, was_in: bool, is_in: bool) {
    if is_in && !was_in {
        set.insert(id);
    } else if was_in && !is_in {
        set.remove(&id);
    }
}

/// Keeps an incident in a set that is ordered by something else first, which may change.
fn keep_by<O: Ord>(
    set: &mut BTreeSet<(O, IncidentId)>,
    id: IncidentId,
    was_under: Option<O>,
    is_under: Option<O>,
) {
    if was_under == is_under {
        return;
    }
    if let Some(order) = was_under {
        set.remove(&(order, id));
    }
    if let Some(order) = is_under {
        set.insert((order, id));
    }
}

#[cfg(test)]
impl Indexes {
    /// Fails when an incident is in an index in which it does not belong, or the other way round.
    /// Returns which indexes are in use.
    pub(super) fn check<'a>(&self, all: impl Iterator<Item = &'a Live>, rules: &Rules) -> [bool; 9] {
        let (mut members, mut strangers) = (0, 0);
        let mut used = [false; 9];
        for live in all {
            let expected = Filed::of(live, rules);
            assert_eq!(self.found(live), expected, "{:?}", live.incident);
            strangers += usize::from(expected.open.is_some_and(|standing| standing != Standing::Known));
            for (used, is_in) in used.iter_mut().zip(expected.flags()) {
                members += usize::from(is_in);
                *used |= is_in;
            }
        }
        assert_eq!(self.members(), members, "an incident that has left the desk is in an index");
        let counted = [false, true].map(|drill| self.roster.of_sort(drill).strangers());
        assert_eq!(counted.iter().sum::<usize>(), strangers, "each is counted under its standing");
        used
    }

    fn found(&self, live: &Live) -> Filed {
        let incident = &live.incident;
        let (id, standing) = (incident.id, incident.standing);
        let under = |set: &BTreeSet<_>| set.contains(&(standing, id)).then_some(standing);
        Filed {
            open: self.roster.of(&incident.vehicle_id, incident.drill).contains(&id).then_some(standing),
            unaccepted: self.unaccepted.contains(&id),
            unacknowledged: self.unacknowledged.contains(&id),
            dead: self.dead.contains(&id),
            new: under(&self.new),
            changed: under(&self.changed),
            awaited: self.awaited.contains(&id),
            unlocated: self.unlocated.contains(&id),
            undecided: [false, true].into_iter().find(|accepted| self.undecided.contains(&(*accepted, id))),
        }
    }

    fn members(&self) -> usize {
        let sets = [&self.unaccepted, &self.unacknowledged, &self.dead, &self.awaited, &self.unlocated];
        let in_sets: usize = sets.iter().map(|set| set.len()).sum();
        in_sets + self.undecided.len() + self.unrecorded() + self.roster.open(false) + self.roster.open(true)
    }
}

#[cfg(test)]
impl Filed {
    fn flags(self) -> [bool; 9] {
        let Self { open, unaccepted, unacknowledged, dead, new, changed, awaited, unlocated, undecided } =
            self;
        let ordered = [open.is_some(), new.is_some(), changed.is_some(), undecided.is_some()];
        let [open, new, changed, undecided] = ordered;
        [open, unaccepted, unacknowledged, dead, new, changed, awaited, unlocated, undecided]
    }
}
