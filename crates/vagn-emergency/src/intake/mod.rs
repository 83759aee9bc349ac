//! The intake: alarms on their way from a batch to the desk.

pub mod alarm;
pub mod inbox;
pub mod known;
