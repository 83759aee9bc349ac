//! Counts of vehicles by cell of the map, kept true by the changes of the fleet.
//!
//! [`Census`] remembers the cell of each vehicle by its row, so that a change can be told twice and out of step with a
//! look at the fleet, and the counts still come out right.

mod census;
mod levels;

pub(crate) use census::{Census, Taken};
pub(crate) use levels::Levels;
