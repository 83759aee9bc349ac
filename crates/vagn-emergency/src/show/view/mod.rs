//! Views: incidents and the trail as the API shows them. Fields and their order are part of the API.

mod incident;
mod notices;
#[cfg(test)]
mod tests;
mod trail;

use serde::Serialize;

use crate::id::IncidentId;
use crate::record::incident::Incident;
use crate::record::progress::State;

pub use incident::{DecisionView, IncidentView, PositionView, TrackView};
pub use notices::{AttemptView, EscalationView, LedgerView, NoticeStatus, NoticesView, TargetView};
pub use trail::{TrailPage, TrailView};

/// Most incidents in one answer.
pub const PAGE_MAX: usize = 1_000;

/// Conditions on incidents. An empty filter lets all through.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Id of the vehicle.
    pub vehicle_id: Option<String>,
    /// State of the incident.
    pub state: Option<State>,
    /// Drills only, or real incidents only.
    pub drill: Option<bool>,
    /// Quiet incidents only, or the others only.
    pub quiet: Option<bool>,
    /// Incidents with a notice that a target refused for good only, or the others only.
    pub dead_letter: Option<bool>,
}

impl Filter {
    /// Returns true when the incident meets all conditions.
    pub(crate) fn matches(&self, incident: &Incident) -> bool {
        self.vehicle_id.as_deref().is_none_or(|id| id == &*incident.vehicle_id)
            && self.state.is_none_or(|state| state == incident.progress.state)
            && self.drill.is_none_or(|drill| drill == incident.drill)
            && self.quiet.is_none_or(|quiet| quiet == incident.progress.quiet_ms.is_some())
            && self.dead_letter.is_none_or(|dead| dead == (incident.dead_letters() > 0))
    }
}

/// A page of incidents, newest first.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Page {
    /// Incidents of the page.
    pub incidents: Vec<IncidentView>,
    /// Start of the next page, if there is one. A page may hold fewer incidents than asked for and yet not be the last.
    pub next: Option<IncidentId>,
    /// False when the store cannot be read: then the page holds only incidents that are in memory.
    pub complete: bool,
}

/// An incident with all that happened to it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Detail {
    /// The incident as it is now.
    #[serde(flatten)]
    pub incident: IncidentView,
    /// Id that was asked for, where this incident took that one in. Left out where it is the incident's own, as it always is on one machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub joined_id: Option<IncidentId>,
    /// Attempts to deliver its notices, oldest first.
    pub ledger: Vec<LedgerView>,
    /// Changes of the incident, oldest first.
    pub trail: Vec<TrailView>,
}
