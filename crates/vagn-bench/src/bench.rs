//! What every section is given: the program to measure, where to work, and for how long.

use std::path::PathBuf;

use vagn_load::Fleet;

use crate::load;
use crate::service::Plan;

/// The circumstances of a run.
#[derive(Debug)]
pub struct Bench {
    /// The program.
    pub vagn: PathBuf,
    /// Where data directories are made.
    pub scratch: PathBuf,
    /// Short runs over a small fleet.
    pub quick: bool,
}

impl Bench {
    /// One or the other.
    pub fn pick<T>(&self, full: T, quick: T) -> T {
        if self.quick { quick } else { full }
    }

    /// Vehicles that a warm service knows.
    pub fn vehicles(&self) -> u32 {
        self.pick(1_000_000, 100_000)
    }

    /// The same in words.
    pub fn fleet_size(&self) -> &'static str {
        self.pick("1 M", "100 k")
    }

    /// All those vehicles.
    pub fn fleet(&self) -> Fleet {
        load::fleet(self.vehicles())
    }

    /// How often a measurement is repeated.
    pub fn repetitions(&self) -> u32 {
        self.pick(3, 1)
    }

    /// How to start a service over a fresh data directory.
    pub fn fresh(&self) -> Plan {
        Plan::fresh(&self.vagn, &self.scratch, "data")
    }

    /// Says on standard error what is going on.
    pub fn progress(&self, text: impl std::fmt::Display) {
        eprintln!("bench: {text}");
    }
}
