//! The roster: open incidents by vehicle and by source, real ones and drills apart.

use std::collections::{BTreeMap, HashMap};

use vagn_flow::allowance::Source;

use crate::id::IncidentId;
use crate::record::incident::Incident;
use crate::record::standing::Standing;

/// The open incidents of all vehicles.
#[derive(Debug, Default)]
pub(super) struct Roster {
    real: OpenIncidents,
    drills: OpenIncidents,
}

/// Open incidents of one sort.
#[derive(Debug, Default)]
pub(super) struct OpenIncidents {
    by_vehicle: HashMap<Box<str>, Vec<IncidentId>>,
    count: usize,
    /// Those of vehicles that are not known for sure.
    strangers: usize,
    /// Of these, those whose source is known. The source is not kept over a restart.
    by_source: HashMap<Source, usize>,
    /// Number of sources by how many each has.
    sources: BTreeMap<usize, usize>,
}

impl Roster {
    /// Enters an incident that is open, of a vehicle of this standing.
    pub(super) fn enter(&mut self, incident: &Incident, standing: Standing, source: Option<Source>) {
        let open = self.of_sort_mut(incident.drill);
        open.count += 1;
        let ids = open.by_vehicle.entry(incident.vehicle_id.clone()).or_default();
        // An older one may come later, from the store.
        ids.insert(ids.partition_point(|id| *id < incident.id), incident.id);
        if standing != Standing::Known {
            open.strangers += 1;
            if let Some(source) = source {
                open.change_source(source, |count| count + 1);
            }
        }
    }

    /// Removes an incident that is open no longer, or no longer of a vehicle of this standing.
    pub(super) fn leave(&mut self, incident: &Incident, standing: Standing, source: Option<Source>) {
        let open = self.of_sort_mut(incident.drill);
        let Some(ids) = open.by_vehicle.get_mut(&incident.vehicle_id) else { return };
        if ids.extract_if(.., |id| *id == incident.id).count() == 0 {
            return;
        }
        if ids.is_empty() {
            open.by_vehicle.remove(&incident.vehicle_id);
        }
        open.count -= 1;
        if standing != Standing::Known {
            open.strangers -= 1;
            source.into_iter().for_each(|source| open.change_source(source, |count| count.saturating_sub(1)));
        }
    }

    /// Returns the open incidents of one vehicle, the oldest first.
    pub(super) fn of(&self, vehicle_id: &str, drill: bool) -> &[IncidentId] {
        self.of_sort(drill).by_vehicle.get(vehicle_id).map_or(&[], Vec::as_slice)
    }

    /// Counts the open ones.
    pub(super) fn open(&self, drill: bool) -> usize {
        self.of_sort(drill).count
    }

    /// Returns the open ones of one sort.
    pub(super) fn of_sort(&self, drill: bool) -> &OpenIncidents {
        if drill { &self.drills } else { &self.real }
    }

    fn of_sort_mut(&mut self, drill: bool) -> &mut OpenIncidents {
        if drill { &mut self.drills } else { &mut self.real }
    }
}

impl OpenIncidents {
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Counts those of vehicles that are not known for sure.
    pub(super) fn strangers(&self) -> usize {
        self.strangers
    }

    /// Counts those of strangers from one source.
    pub(super) fn from(&self, source: Option<Source>) -> usize {
        source.and_then(|source| self.by_source.get(&source).copied()).unwrap_or(0)
    }

    /// Returns how many the source has that has most.
    pub(super) fn fullest_source(&self) -> usize {
        self.sources.last_key_value().map_or(0, |(count, _)| *count)
    }

    fn change_source(&mut self, source: Source, change: impl Fn(usize) -> usize) {
        let before = self.by_source.remove(&source).unwrap_or(0);
        let after = change(before);
        if let Some(sources) = self.sources.get_mut(&before) {
            *sources -= 1;
            if *sources == 0 {
                self.sources.remove(&before);
            }
        }
        if after > 0 {
            self.by_source.insert(source, after);
            *self.sources.entry(after).or_default() += 1;
        }
    }
}
