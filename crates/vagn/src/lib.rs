//! Vagn: a live-vehicle service. Positions in, nearest vehicles out, and no call for help lost.
//!
//! A datagram's way, top to bottom: a door seals what arrived into a batch and publishes it on the topic `traffic`;
//! ingest decodes it and passes positions on to the storage of their partition; the emergency lane takes what carries
//! the flag; queries read the fleet; the web answers. [`app`] alone knows all of them.

pub mod app;
pub mod commands;
pub mod config;
pub mod demo;
pub mod dispatcher;
pub mod door;
pub mod ingest;
pub mod logging;
pub mod ops;
pub mod query;
pub mod storage;
pub mod sync;
pub mod write;
