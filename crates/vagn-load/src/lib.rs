//! Simulated and replayed traffic at a set rate, and what came of it.
//!
//! A [`Source`] says what is sent next and when: [`Fleet`] simulates moving vehicles, [`Replay`] plays a recorded trace.
//! [`udp`] and [`tcp`] carry a source to a server, [`balance`] asks the server afterwards what became of every report.
//! [`call`] sends one call for help over UDP until it is answered.
//! [`Demo`] is the odd one out: it does no I/O and is ticked by the service itself. Nothing here knows how the service
//! works inside; all that is shared with it is what a vehicle says, `vagn-wire`.

pub mod balance;
pub mod call;
pub mod city;
pub mod demo;
pub mod exposition;
pub mod fleet;
mod mmsg;
pub mod ops;
pub mod pace;
pub mod replay;
pub mod source;
mod sphere;
pub mod target;
pub mod tcp;
pub mod timeline;
pub mod trace;
pub mod trust;
pub mod udp;

pub use demo::Demo;
pub use fleet::Fleet;
pub use replay::Replay;
pub use source::Source;
