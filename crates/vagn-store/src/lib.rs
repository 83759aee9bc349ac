//! The live fleet: an index of the whole globe over a durable log.
//!
//! A fleet is split into partitions by the hash of the vehicle id. Each partition has one writer, one live index in memory and
//! one log on disk; readers of all partitions together answer for the fleet. Everything here is synchronous, takes the time
//! from its caller and the disk through a trait, so that a test can run any failure again.

mod key;
mod sighting;
mod updates;

pub use key::Key;
pub use sighting::Sighting;
pub use updates::{Update, Updates};
pub use vagn_wire::Fate;
