//! The whole lane against targets, disks and clocks that a test commands, from a published batch to what the target heard.

mod alarms;
mod crashes;
mod datagrams;
mod delivery;
mod disks;
mod drills;
mod envelopes;
mod escalation;
mod floods;
pub(crate) mod gated;
mod many;
mod persons;
mod restarts;
mod rollbacks;
mod sealed;
pub(crate) mod setup;
pub(crate) mod target;
