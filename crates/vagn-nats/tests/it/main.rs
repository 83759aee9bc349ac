//! The driver over real brokers: three processes of a pinned server, with disks of their own that sync always.
//!
//! Read `nodes.rs` first, and `calls.rs` for calls for help. With `VAGN_LONG=1` each kind of death is tried many times.

#![expect(clippy::unwrap_used, reason = "in a test a missing value is a failure like any other")]

mod brokers;
mod calls;
mod chain;
mod copies;
mod death;
mod desk;
mod memory;
mod nodes;
mod office;
mod orders;
mod processes;
mod registry;
mod rig;
mod rights;
mod service;
