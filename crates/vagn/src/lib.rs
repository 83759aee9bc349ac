//! Vagn: a live-vehicle service. It takes positions, finds the nearest vehicles, and loses no call for help.
//!
//! The way of a datagram: a door collects datagrams in a batch and publishes it on the topic `traffic`. Ingest decodes the
//! batch and passes positions on to the storage of their partition. The emergency lane (`vagn-emergency`) takes the alarms.
//! Queries read the fleet, and the API (`vagn-api`) answers. Only [`app`] knows all of these parts.

pub mod app;
pub mod backup;
pub mod cluster;
pub mod commands;
pub mod config;
pub mod control;
mod demo;
pub mod dispatcher;
pub mod door;
pub mod ingest;
pub mod keys;
mod logging;
pub mod odd;
mod ops;
pub mod query;
pub mod storage;
pub mod sync;
pub mod teller;
mod visible;
pub mod write;
