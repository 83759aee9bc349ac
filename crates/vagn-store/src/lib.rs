//! The live fleet: an index of the whole globe over a durable log.
//!
//! A fleet is split into partitions by the hash of the vehicle id. Each partition has one writer, one live index in memory and
//! one log on disk; readers of all partitions together answer for the fleet. Everything here is synchronous, takes the time
//! from its caller and the disk through a trait, so that a test can run any failure again.

mod chunked;
mod fleet;
mod geo;
mod ids;
mod index;
mod key;
mod prefetch;
mod reader;
mod sighting;
mod updates;
mod uuid_text;
mod vehicle;

pub use fleet::{Fleet, NotReady};
pub use geo::{BBox, BBoxError, EARTH_RADIUS_M, distance_m};
pub use index::{Applied, Index, Nearby};
pub use key::{Key, partition};
pub use reader::{Reader, Writer};
pub use sighting::Sighting;
pub use updates::{Update, Updates};
pub use vagn_wire::Fate;
pub use vehicle::{Hit, Vehicle, VehicleIdBuf};
