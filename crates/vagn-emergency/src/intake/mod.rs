//! The intake: alarms on their way from a batch to the desk.

pub mod ack;
pub mod alarm;
pub mod filter;
mod ids;
pub mod inbox;
mod key;
pub mod known;
#[cfg(test)]
mod tests;
