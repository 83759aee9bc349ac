//! Look-ups of vehicles that raise alarms, always without the desk's lock, and never for long.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use vagn_flow::clock::Clock;
use vagn_wire::VehicleId;

use crate::desk::{Desk, Known, VehicleOf};
use crate::id::IncidentId;
use crate::intake::known::{KnownVehicle, KnownVehicles};
use crate::record::standing::Standing;

/// Longest wait for one vehicle. The fleet's writers let readers in after some 50 µs.
const VEHICLE_WITHIN: Duration = Duration::from_millis(5);

/// Longest wait for all vehicles of one round, so that alarms go on; the rest is looked up in the next round.
const ROUND_WITHIN: Duration = Duration::from_millis(20);

/// Most vehicles that are followed in one round.
const FOLLOWED_AT_ONCE: usize = 1_000;

/// Most undecided vehicles that are looked up together, and decided under the desk's lock: about a millisecond.
const DECIDED_AT_ONCE: usize = 256;

/// Looks vehicles up for the desk.
pub(crate) struct Lookup {
    vehicles: Arc<dyn KnownVehicles>,
    clock: Arc<dyn Clock>,
}

impl Lookup {
    pub(super) fn new(vehicles: Arc<dyn KnownVehicles>, clock: Arc<dyn Clock>) -> Self {
        Self { vehicles, clock }
    }

    pub(super) fn mark(&self) {
        self.vehicles.mark();
    }

    /// Returns what is known of these vehicles, as far as that is quick.
    pub(crate) fn known(&self, vehicles: Vec<Box<str>>) -> Known {
        let end = self.clock.monotonic() + ROUND_WITHIN;
        let mut known = Known::new();
        for vehicle_id in vehicles {
            if self.clock.monotonic() >= end {
                break;
            }
            let vehicle = self.look_up(&vehicle_id);
            known.insert(vehicle_id, vehicle);
        }
        known
    }

    /// Gives incidents without a position the last known one of their vehicles, as far as that is quick.
    pub(super) fn locate(&self, desk: &Mutex<Desk>) {
        let unlocated = desk.lock().take_unlocated();
        let end = self.clock.monotonic() + ROUND_WITHIN;
        let mut out_of_time = false;
        for (id, vehicle_id) in unlocated {
            if !out_of_time && self.clock.monotonic() >= end {
                out_of_time = true;
                desk.lock().locate_next(id);
            }
            let vehicle = if out_of_time { KnownVehicle::UNDECIDED } else { self.look_up(&vehicle_id) };
            let now = self.clock.monotonic();
            match vehicle.last_fix {
                Some(fix) => desk.lock().located(id, fix, now),
                None if vehicle.is_undecided() => desk.lock().unlocated(id),
                None => {}
            }
        }
    }

    /// Looks where the vehicles of accepted incidents are now, as far as that is quick.
    pub(super) fn follow(&self, desk: &Mutex<Desk>) {
        let now = self.clock.monotonic();
        let followed = desk.lock().take_to_follow(FOLLOWED_AT_ONCE, now);
        for (id, vehicle_id) in followed {
            if self.clock.monotonic() >= now + ROUND_WITHIN {
                return; // The rest is followed again in its turn.
            }
            if let Some(fix) = self.look_up(&vehicle_id).last_fix {
                desk.lock().located(id, fix, now);
            }
        }
    }

    /// Looks undecided vehicles up again, as far as that is quick. Passes on what they are, some at a time, and returns those that still are undecided.
    pub(crate) fn decide(
        &self,
        desk: &Mutex<Desk>,
        mut decided: impl FnMut(Vec<(IncidentId, Standing)>),
    ) -> Vec<VehicleOf> {
        let end = self.clock.monotonic() + ROUND_WITHIN;
        let mut rest = Vec::new();
        loop {
            let undecided = desk.lock().take_undecided(DECIDED_AT_ONCE);
            let is_last = undecided.len() < DECIDED_AT_ONCE;
            let standings = self.standings(&undecided, end.saturating_sub(self.clock.monotonic()));
            let found: HashSet<IncidentId> = standings.iter().map(|(id, _)| *id).collect();
            rest.extend(undecided.into_iter().filter(|(id, _)| !found.contains(id)));
            decided(standings);
            if is_last || self.clock.monotonic() >= end {
                return rest;
            }
        }
    }

    /// Returns those of these incidents whose vehicles can be looked up `within` this time, with what these are.
    fn standings(&self, undecided: &[VehicleOf], within: Duration) -> Vec<(IncidentId, Standing)> {
        let valid =
            undecided.iter().filter_map(|(id, vehicle_id)| Some((*id, VehicleId::new(vehicle_id).ok()?)));
        let (ids, vehicle_ids): (Vec<_>, Vec<_>) = valid.unzip();
        let standings = self.vehicles.standings(&vehicle_ids, within);
        let found = ids.into_iter().zip(standings);
        found.filter(|(_, standing)| *standing != Standing::Undecided).collect()
    }

    pub(crate) fn look_up(&self, vehicle_id: &str) -> KnownVehicle {
        self.vehicles.look_up(vehicle_id, VEHICLE_WITHIN)
    }
}
