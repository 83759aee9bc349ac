//! What the rest of the service may ask of the emergency lane.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use vagn_otp::{Addr, CallError};

use super::id::IncidentId;
use super::inbox::Intake;
use super::incidents::{Find, Get, Incidents};
use super::lane::Lane;
use super::view::{Filter, IncidentView, Page};

/// The emergency lane, to those outside. Cheap to clone; valid across restarts.
#[derive(Clone)]
pub struct EmergencyHandle {
    pub(super) lane: Arc<Lane>,
    pub(super) incidents: Addr<Incidents>,
}

/// How the emergency lane stands.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Status {
    /// There is somebody to call.
    pub target: bool,
    /// Real incidents that are not over.
    pub open: usize,
    /// Trials that are not over.
    pub open_tests: usize,
    /// Real incidents that no target has accepted.
    pub unaccepted: usize,
    /// How long the oldest of these has been open.
    pub oldest_unaccepted_age_s: Option<f64>,
    /// Changes that are not on disk.
    pub unrecorded: usize,
    /// What is wrong with the incident store, if something is.
    pub store_failure: Option<String>,
}

impl EmergencyHandle {
    /// What takes calls for help off a topic of batches.
    pub fn subscriber(&self) -> Intake {
        Intake(self.lane.inbox.clone())
    }

    /// Incidents that `filter` lets through, newest first, at most `limit` (and never more than 1 000), older than `after`.
    ///
    /// # Errors
    /// When there is no answer `within` that time.
    pub async fn list(
        &self,
        filter: Filter,
        limit: usize,
        after: Option<IncidentId>,
        within: Duration,
    ) -> Result<Page, CallError> {
        self.incidents.call(Find { filter, limit, after }, within).await
    }

    /// One incident, or `None` when there is none of that id.
    ///
    /// # Errors
    /// When there is no answer `within` that time.
    pub async fn get(&self, id: IncidentId, within: Duration) -> Result<Option<IncidentView>, CallError> {
        self.incidents.call(Get(id), within).await
    }

    /// How things stand. Never waits.
    pub fn status(&self) -> Status {
        let standing = self.lane.desk.lock().standing();
        let now_ms = self.lane.clock.now_ms();
        let age = |opened_ms: i64| now_ms.saturating_sub(opened_ms).max(0) as f64 / 1000.0;
        Status {
            target: self.lane.rules.lines.is_some(),
            open: standing.open,
            open_tests: standing.open_tests,
            unaccepted: standing.unaccepted,
            oldest_unaccepted_age_s: standing.oldest_unaccepted_ms.map(age),
            unrecorded: standing.unrecorded,
            store_failure: self.lane.shelf.failure(),
        }
    }
}
