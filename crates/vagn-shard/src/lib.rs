//! A shard of the fleet, as a node of a cluster holds it: its content in memory, which follows from the shard's entries alone, and the
//! files that keep entries and snapshots.
//!
//! [`vagn_cluster`] says what a content and a disk must be able to do, and decides when. The rule of judging and the live index are
//! those of [`vagn_store`], as on one machine.

pub mod files;
