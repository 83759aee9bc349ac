//! Standings: vehicles that could not be looked up when they called are looked up again, until it is known what they are.

use std::ops::Bound;

use super::Desk;
use super::positions::VehicleOf;
use crate::id::IncidentId;
use crate::record::incident::Incident;
use crate::record::standing::Standing;

impl Desk {
    /// Takes up to `max` incidents of undecided vehicles, to look these up: in each round those first that no target has accepted. Fewer
    /// end the round, and the next begins anew.
    pub(crate) fn take_undecided(&mut self, max: usize) -> Vec<VehicleOf> {
        let undecided = &self.board.indexes().undecided;
        let behind = self.decided_last.map_or(Bound::Unbounded, Bound::Excluded);
        let places: Vec<_> = undecided.range((behind, Bound::Unbounded)).take(max).copied().collect();
        self.decided_last = places.last().filter(|_| places.len() == max).copied();
        let vehicle_of = |id| self.get(id).map(|incident| (id, incident.vehicle_id.clone()));
        places.into_iter().filter_map(|(_, id)| vehicle_of(id)).collect()
    }

    /// Notes what the undecided vehicle of an open incident has turned out to be: in its record, in the queues of all targets, and in
    /// the counts of its source. What was decided before stays.
    pub(crate) fn decide(&mut self, id: IncidentId, standing: Standing) {
        let is_undecided =
            |incident: &Incident| incident.standing == Standing::Undecided && !incident.is_resolved();
        if standing == Standing::Undecided || !self.get(id).is_some_and(is_undecided) {
            return;
        }
        self.board.update(id, |live| live.change().standing = standing);
        self.queues.rank(id, standing);
        self.stirred.insert(id);
    }
}
