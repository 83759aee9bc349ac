//! What is known of a vehicle apart from its alarm: its last position, and whether it has been there for long.

use std::time::Duration;

use vagn_wire::VehicleId;

use crate::fix::Fix;
use crate::record::standing::Standing;

/// What is known of a vehicle.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct KnownVehicle {
    /// Standing of the vehicle.
    pub standing: Standing,
    /// Last position of the vehicle, if it has one.
    pub last_fix: Option<Fix>,
}

impl KnownVehicle {
    /// The vehicle could not be looked up in time; it may be looked up again.
    pub const UNDECIDED: Self = Self { standing: Standing::Undecided, last_fix: None };

    /// The vehicle has never reported.
    pub const STRANGER: Self = Self { standing: Standing::Stranger, last_fix: None };

    /// A vehicle that has been there for long, last at this position.
    pub fn known(last_fix: Fix) -> Self {
        Self { standing: Standing::Known, last_fix: Some(last_fix) }
    }

    /// Returns true when a later look-up may find more.
    pub(crate) fn is_undecided(&self) -> bool {
        self.standing == Standing::Undecided && self.last_fix.is_none()
    }
}

/// Source of what is known of vehicles apart from their alarms.
pub trait KnownVehicles: Send + Sync {
    /// Returns what is known of the vehicle: undecided, if it cannot be looked up `within` this time.
    fn look_up(&self, vehicle_id: &str, within: Duration) -> KnownVehicle;

    /// Returns the standings of these vehicles, each undecided if it cannot be looked up `within` this time.
    fn standings(&self, vehicle_ids: &[VehicleId<'_>], within: Duration) -> Vec<Standing> {
        vehicle_ids.iter().map(|vehicle_id| self.look_up(vehicle_id.as_str(), within).standing).collect()
    }

    /// Call every second: learns who has been there for long.
    fn mark(&self) {}
}

impl<F: Fn(&str) -> KnownVehicle + Send + Sync> KnownVehicles for F {
    fn look_up(&self, vehicle_id: &str, _: Duration) -> KnownVehicle {
        self(vehicle_id)
    }
}
