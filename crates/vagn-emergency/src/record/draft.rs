//! A draft: everything that one save writes of an incident.

use crate::record::attempt::Attempt;
use crate::record::incident::Incident;
use crate::trail::Event;

/// An incident to be written, as it was at `version`, with what is new on its trail and in its ledger.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    /// The incident.
    pub incident: Incident,
    /// Grows with every change.
    pub version: u64,
    /// Events that are not in the trail yet.
    pub events: Vec<Event>,
    /// Number of the last of these.
    pub last_event: u64,
    /// Ended attempts that are not in the ledger yet.
    pub attempts: Vec<Attempt>,
}

#[cfg(test)]
impl From<Incident> for Draft {
    fn from(incident: Incident) -> Self {
        Self { incident, version: 1, events: Vec::new(), last_event: 0, attempts: Vec::new() }
    }
}
