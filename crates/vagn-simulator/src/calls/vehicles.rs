//! Vehicles that call for help, again and again.

use super::side::Side;
use super::world::{Due, World};
use crate::agenda::{MILLI, SECOND};

/// Most reports of a vehicle.
const REPORTS_MAX: u64 = 12;

/// A vehicle that calls for help.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Vehicle {
    pub(crate) reports: u64,
    /// Reports that it sends although it heard `stored`.
    updates: u64,
    pub(crate) stored: bool,
    /// It calls once, and never again.
    once: bool,
}

impl<S: Side> World<S> {
    /// A new vehicle calls, until the blows end.
    pub(crate) fn new_vehicle(&mut self) {
        if !self.calm {
            let machine = self.chance.below(self.machines.len() as u64) as usize;
            self.call(machine);
            let gap = self.chance.within(MILLI..=2 * self.plan.gap);
            self.agenda.after(gap, Due::Vehicle);
        }
    }

    /// A new vehicle calls at this machine, if it is there.
    pub(crate) fn call(&mut self, machine: usize) {
        let number = self.vehicles.len() as u64;
        let once = self.chance.often(5_000);
        let updates = if self.chance.often(4_000) { self.chance.within(1..=5) } else { 0 };
        self.vehicles.insert(number, Vehicle { reports: 0, updates, stored: false, once });
        S::report(self, number, machine);
        if !once || updates > 0 {
            self.agenda.after(self.plan.gap, Due::Repeat(number));
        }
    }

    /// A vehicle calls again: until it hears `stored`, or with its later positions.
    pub(crate) fn repeat(&mut self, number: u64) {
        let Some(vehicle) = self.vehicles.get_mut(&number).filter(|_| !self.calm) else { return };
        if vehicle.stored && vehicle.updates == 0 || vehicle.reports >= REPORTS_MAX {
            return;
        }
        if vehicle.stored || vehicle.once {
            vehicle.updates = vehicle.updates.saturating_sub(1);
        }
        let machine = self.chance.below(self.machines.len() as u64) as usize;
        S::report(self, number, machine);
        let pause = self.chance.within(SECOND / 2..=4 * SECOND);
        self.agenda.after(pause, Due::Repeat(number));
    }
}
