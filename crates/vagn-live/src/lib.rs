//! The live map: the changes in the fleet, as tiles and streams for clients that look at it.
//!
//! Everything here follows the topic `positions` and reads the fleet. It holds nothing that a restart could lose.

mod counts;
mod fixes;
mod keeper;
mod mercator;
mod metrics;
pub mod stream;
#[cfg(test)]
mod tests;
mod tiles;

use std::sync::Arc;

use vagn_otp::Topic;
use vagn_store::Changes;

pub use mercator::Tile;
pub use metrics::TileMetrics;
pub use tiles::{
    Content, Format, Job, OpenIncidents, OpenVehicles, TileKey, TileParts, Tiles, VEHICLES_FROM,
};

/// The topic on which every storage publishes what it has stored, after readers of the fleet can see it.
pub type Positions = Topic<Arc<Changes>>;
