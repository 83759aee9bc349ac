//! Simulated and replayed traffic at a set rate, and the balance of its fates.
//!
//! A [`Source`] gives the next report and its time: [`Fleet`] simulates moving vehicles, [`Replay`] plays a recorded trace.
//! [`udp`] and [`tcp`] carry a source to a server, and [`balance`] then asks the server for the fate of every report.
//! With a key file ([`keys`]) a source is [`sealed`]: each report goes out in an envelope of its vehicle's key.
//! [`alarm`] sends one alarm over UDP until it is answered.
//! [`Demo`] is different: it does no I/O, and the service itself ticks it. Nothing here knows how the service works inside;
//! it shares only the formats on the wire with it, `vagn-wire` and `vagn-seal`.

pub mod alarm;
pub mod balance;
pub mod city;
pub mod demo;
pub mod exposition;
pub mod fleet;
pub mod keys;
mod mmsg;
pub mod ops;
pub mod pace;
pub mod replay;
pub mod sealed;
pub mod sequences;
pub mod source;
mod sphere;
pub mod target;
pub mod tcp;
pub mod timeline;
pub mod trace;
pub mod trust;
pub mod udp;
pub mod wrapping;

pub use demo::Demo;
pub use fleet::Fleet;
pub use replay::Replay;
pub use source::Source;
