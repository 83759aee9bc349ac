//! Notices: requests to the targets, and when each of them is due.

pub mod breaker;
pub mod client;
pub mod notice;
pub mod payload;
pub mod queue;
pub mod schedule;
pub mod signature;
pub mod target;
