//! Notices: requests to the targets, and the times at which they are due.

pub mod breaker;
pub(crate) mod client;
mod connector;
pub(crate) mod in_use;
mod metered;
pub mod notice;
pub(crate) mod payload;
pub(crate) mod queue;
pub mod schedule;
pub mod signature;
pub mod target;
