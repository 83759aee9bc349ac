//! The circumstances of every section: the program to measure, the folder to work in, and the length of a run.

use std::path::PathBuf;

use vagn_load::Fleet;

use crate::load;
use crate::service::Plan;

/// The circumstances of a run.
#[derive(Debug)]
pub struct Bench {
    /// Program to measure.
    pub vagn: PathBuf,
    /// Folder for data directories.
    pub scratch: PathBuf,
    /// True for short runs over a small fleet.
    pub quick: bool,
}

impl Bench {
    /// Picks the value for full or for quick runs.
    pub fn pick<T>(&self, full: T, quick: T) -> T {
        if self.quick { quick } else { full }
    }

    /// Number of vehicles that a warm service knows.
    pub fn vehicles(&self) -> u32 {
        self.pick(1_000_000, 100_000)
    }

    /// Number of those vehicles, in words.
    pub fn fleet_size(&self) -> &'static str {
        self.pick("1 M", "100 k")
    }

    /// Makes a fleet of those vehicles.
    pub fn fleet(&self) -> Fleet {
        load::fleet(self.vehicles())
    }

    /// Number of repetitions of a measurement.
    pub fn repetitions(&self) -> u32 {
        self.pick(3, 1)
    }

    /// Plan of a service over a fresh data directory.
    pub fn fresh(&self) -> Plan {
        Plan::fresh(&self.vagn, &self.scratch, "data")
    }

    /// Reports progress on standard error.
    pub fn progress(&self, text: impl std::fmt::Display) {
        eprintln!("bench: {text}");
    }
}
