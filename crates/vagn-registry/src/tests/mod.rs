//! Tests over several parts of the crate.

mod devices;
mod files;
mod forgetful;
mod fuzz;
mod model;
mod power_cuts;
mod races;
mod shared;
mod tokens;
mod watching;

use redb::backends::InMemoryBackend;

use crate::Registry;

/// A present time, ms since 1970.
const NOW: i64 = 1_795_860_000_000;

/// A registry in memory.
fn in_memory() -> Registry {
    Registry::open_on(InMemoryBackend::new(), None).unwrap()
}
