//! A shard of the fleet, as a node of a cluster holds it: its content in memory, which follows from the shard's entries alone, and the
//! files that keep entries and snapshots.
//!
//! [`vagn_cluster`] says what a content and a disk must be able to do, and decides when. The rule of judging and the live index are
//! those of [`vagn_store`], as on one machine.

mod content;
pub mod files;
#[cfg(test)]
mod fuzz;
mod outlet;
mod payload;
mod placing;
pub mod question;
mod settings;

pub use content::FleetShard;
pub use outlet::Outlet;
pub use payload::{Payload, SealOf};
pub use placing::shard_of;
pub use settings::ShardSettings;
