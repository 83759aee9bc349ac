//! The roster: open incidents by vehicle, real ones and drills apart.

use std::collections::HashMap;

use crate::id::IncidentId;
use crate::record::incident::Incident;
use crate::record::standing::Standing;

/// The open incidents of all vehicles.
#[derive(Debug, Default)]
pub(super) struct Roster {
    real: OpenIncidents,
    drills: OpenIncidents,
    /// Real ones of vehicles that are not known for sure.
    strangers: usize,
}

#[derive(Debug, Default)]
struct OpenIncidents {
    by_vehicle: HashMap<Box<str>, Vec<IncidentId>>,
    count: usize,
}

impl Roster {
    /// Enters an incident that is open.
    pub(super) fn enter(&mut self, incident: &Incident) {
        self.strangers += usize::from(is_of_stranger(incident));
        let open = self.of_sort_mut(incident.drill);
        open.count += 1;
        let ids = open.by_vehicle.entry(incident.vehicle_id.clone()).or_default();
        // An older one may come later, from the store.
        ids.insert(ids.partition_point(|id| *id < incident.id), incident.id);
    }

    /// Removes an incident that is open no longer.
    pub(super) fn leave(&mut self, incident: &Incident) {
        let open = self.of_sort_mut(incident.drill);
        let Some(ids) = open.by_vehicle.get_mut(&incident.vehicle_id) else { return };
        let left = ids.extract_if(.., |id| *id == incident.id).count();
        open.count -= left;
        if ids.is_empty() {
            open.by_vehicle.remove(&incident.vehicle_id);
        }
        self.strangers -= if is_of_stranger(incident) { left } else { 0 };
    }

    /// Counts the real ones of vehicles that are not known for sure.
    pub(super) fn strangers(&self) -> usize {
        self.strangers
    }

    /// Returns the open incidents of one vehicle, the oldest first.
    pub(super) fn of(&self, vehicle_id: &str, drill: bool) -> &[IncidentId] {
        self.of_sort(drill).by_vehicle.get(vehicle_id).map_or(&[], Vec::as_slice)
    }

    /// Counts the open ones.
    pub(super) fn open(&self, drill: bool) -> usize {
        self.of_sort(drill).count
    }

    fn of_sort(&self, drill: bool) -> &OpenIncidents {
        if drill { &self.drills } else { &self.real }
    }

    fn of_sort_mut(&mut self, drill: bool) -> &mut OpenIncidents {
        if drill { &mut self.drills } else { &mut self.real }
    }
}

fn is_of_stranger(incident: &Incident) -> bool {
    !incident.drill && incident.standing != Standing::Known
}
