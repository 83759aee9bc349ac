//! The durable side of the store: what is written is there again, whatever happened in between.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod basics;
mod bounds;
mod changes;
mod compaction;
mod crash;
mod damage;
mod data_dir;
mod manifest;
mod model;
mod space;
mod support;
mod syncs;
mod torn;
mod trouble;
