//! The whole lane against targets, disks and clocks that a test commands.

mod datagrams;
mod scenarios;
pub(crate) mod setup;
