//! A draft: everything that one save writes of an incident.

use crate::record::attempt::Attempt;
use crate::record::incident::Incident;
use crate::trail::Event;

/// An incident to be written, as it was at `version`, with what is new on its trail and in its ledger.
#[derive(Debug, Clone)]
pub struct Draft {
    /// The incident.
    pub incident: Incident,
    /// Grows with every change.
    pub version: u64,
    /// Events that are not in the trail yet.
    pub notes: Vec<Event>,
    /// Number of the last of these.
    pub noted: u64,
    /// Ended attempts that are not in the ledger yet.
    pub ledger: Vec<Attempt>,
}
