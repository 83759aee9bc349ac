//! The roster: which incidents are open, by vehicle, with real calls and trials apart.

use std::collections::HashMap;

use crate::id::IncidentId;
use crate::record::incident::Incident;
use crate::record::standing::Standing;

/// The open incidents of all vehicles.
#[derive(Debug, Default)]
pub(super) struct Roster {
    real: Sort,
    trials: Sort,
    strangers: usize,
}

#[derive(Debug, Default)]
struct Sort {
    by_vehicle: HashMap<Box<str>, Vec<IncidentId>>,
    open: usize,
}

impl Roster {
    /// The incident is open.
    pub(super) fn enter(&mut self, incident: &Incident) {
        self.strangers += usize::from(is_of_stranger(incident));
        let sort = self.sort_mut(incident.drill);
        sort.open += 1;
        let ids = sort.by_vehicle.entry(incident.vehicle_id.clone()).or_default();
        // An older one may come later, from the store.
        ids.insert(ids.partition_point(|id| *id < incident.id), incident.id);
    }

    /// The incident is open no longer.
    pub(super) fn leave(&mut self, incident: &Incident) {
        let sort = self.sort_mut(incident.drill);
        let Some(ids) = sort.by_vehicle.get_mut(&incident.vehicle_id) else { return };
        let left = ids.extract_if(.., |id| *id == incident.id).count();
        sort.open -= left;
        if ids.is_empty() {
            sort.by_vehicle.remove(&incident.vehicle_id);
        }
        self.strangers -= if is_of_stranger(incident) { left } else { 0 };
    }

    /// How many of the real ones are of vehicles of which it is not for sure that they were known before.
    pub(super) fn strangers(&self) -> usize {
        self.strangers
    }

    /// The open incidents of one vehicle, oldest first.
    pub(super) fn of(&self, vehicle_id: &str, test: bool) -> &[IncidentId] {
        self.sort(test).by_vehicle.get(vehicle_id).map_or(&[], Vec::as_slice)
    }

    /// How many are open.
    pub(super) fn open(&self, test: bool) -> usize {
        self.sort(test).open
    }

    fn sort(&self, test: bool) -> &Sort {
        if test { &self.trials } else { &self.real }
    }

    fn sort_mut(&mut self, test: bool) -> &mut Sort {
        if test { &mut self.trials } else { &mut self.real }
    }
}

fn is_of_stranger(incident: &Incident) -> bool {
    !incident.drill && incident.standing != Standing::Known
}
