//! The record: incidents as they are kept, and the store that keeps them.

pub(crate) mod alarms;
pub mod attempt;
pub mod call_window;
pub mod delivery;
pub mod draft;
pub mod facts;
pub(crate) mod group;
pub mod incident;
pub mod journal;
pub mod notices;
pub mod progress;
pub(crate) mod rest;
pub mod shelf;
pub mod standing;
pub mod store;
mod stored;
