//! The intake: alarms on their way from a batch to the desk.

pub(crate) mod ack;
pub(crate) mod alarm;
pub(crate) mod filter;
mod gathering;
mod ids;
pub(crate) mod inbox;
mod key;
pub(crate) mod known;
pub(crate) mod no_room;
mod places;
pub(crate) mod replays;
#[cfg(test)]
mod tests;
mod waiting;
