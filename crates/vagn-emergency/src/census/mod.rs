//! The census: who of the fleet has been there for long, learned by looking, and kept over restarts.
//!
//! ```text
//! rows of the fleet ──▶ live_fleet ──▶ rows           (each row is looked at once a round; two bytes for each)
//!        │                  ▲            │
//!        └──▶ keeper ───────┘            │            (begins the census of a partition from its file, and writes it down)
//!               ▲  └────────────▶ file ◀─┘
//!               └─────────────────  └── vehicle_hash  (a vehicle's place in the file, without its id)
//! ```
//! The lane asks the [`LiveFleet`] for the standing of a vehicle, and has it look at the next rows each second. Whatever waits for the
//! disk does so on the thread of the keeper: a vehicle is undecided until the keeper has begun the census of its partition.

mod before;
mod file;
#[cfg(test)]
mod fuzz;
mod keeper;
mod live_fleet;
mod read;
mod rows;
#[cfg(test)]
mod tests;
mod vehicle_hash;

pub use file::{CENSUS_DIR, census_files};
pub use keeper::{CensusParts, census_child};
pub use live_fleet::LiveFleet;
