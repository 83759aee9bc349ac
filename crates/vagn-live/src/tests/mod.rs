//! Counts and tiles over a real fleet that is written, restarted and told of as the storages do it.

mod coarse;
mod counting;
mod harness;
mod movement;
mod served;
