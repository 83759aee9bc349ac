//! What the rest of the service may ask of the emergency lane.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;
use vagn_otp::{Addr, CallError, Handle};

use crate::desk::Request;
use crate::id::IncidentId;
use crate::incidents::{Do, Incidents, Replay, Round};
use crate::intake::filter::AlarmFilter;
use crate::lane::Lane;
use crate::reader::{Find, Get, Reader, Trail};
use crate::record::progress::State;
use crate::show::feed::Feed;
use crate::show::view::{Detail, Filter, Page, TrailPage};

/// The emergency lane, to those outside. Cheap to clone; valid across restarts.
#[derive(Clone)]
pub struct EmergencyHandle {
    pub(crate) lane: Arc<Lane>,
    pub(crate) incidents: Addr<Incidents>,
    pub(crate) reader: Addr<Reader>,
}

/// How the emergency lane stands.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Status {
    /// There is somebody to call.
    pub target: bool,
    /// Real incidents that are not resolved.
    pub open: usize,
    /// Trials that are not resolved.
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

/// What came of a request.
#[derive(Debug, Clone, PartialEq)]
pub enum RequestOutcome {
    /// It is done, and this is how the incident stands now.
    Done(Box<Detail>),
    /// There is no such incident.
    NotFound,
    /// Somebody was first.
    Refused {
        /// How far it has come.
        state: State,
        /// Who was first.
        by: Box<str>,
        /// When.
        at: String,
        /// Why.
        note: Box<str>,
    },
}

impl EmergencyHandle {
    /// What takes calls for help off a topic of batches.
    pub fn subscriber(&self) -> AlarmFilter {
        AlarmFilter(self.lane.inbox.clone())
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
        self.read(Find { filter, limit, after }, within).await
    }

    /// One incident, or `None` when there is none of that id.
    ///
    /// # Errors
    /// When there is no answer `within` that time, or the store, which may have it, cannot be read.
    pub async fn get(&self, id: IncidentId, within: Duration) -> Result<Option<Detail>, CallError> {
        Ok(self.read(Get(id), within).await??)
    }

    /// Does what a person wants done about an incident. It is on disk when it is answered for; where that cannot be had,
    /// it counts all the same, and the incident says that it is not recorded.
    ///
    /// # Errors
    /// When there is no answer `within` that time, or the store, which may have it, cannot be read.
    pub async fn act(
        &self,
        id: IncidentId,
        request: Request,
        within: Duration,
    ) -> Result<RequestOutcome, CallError> {
        Ok(self.incidents.call(Do { id, request }, within).await??)
    }

    /// NoticeQueue again about every dead letter, as `by` wants; says how many there were.
    ///
    /// # Errors
    /// When there is no answer `within` that time.
    pub async fn replay(&self, by: Box<str>, within: Duration) -> Result<u64, CallError> {
        self.incidents.call(Replay { by }, within).await
    }

    /// Up to `limit` entries of the trail behind number `after`; `None` when the store cannot be read.
    ///
    /// # Errors
    /// When there is no answer `within` that time.
    pub async fn trail(
        &self,
        after: u64,
        limit: usize,
        within: Duration,
    ) -> Result<Option<TrailPage>, CallError> {
        self.read(Trail { after, limit }, within).await
    }

    /// Asks the reader, once all that has arrived is let in: the answer has it in it.
    async fn read<M>(&self, ask: M, within: Duration) -> Result<<Reader as Handle<M>>::Reply, CallError>
    where
        M: Send + 'static,
        Reader: Handle<M>,
    {
        let end = Instant::now() + within;
        self.incidents.call(Round, within).await?;
        self.reader.call(ask, end.saturating_duration_since(Instant::now())).await
    }

    /// What changes, for those who follow.
    pub fn feed(&self) -> Arc<Feed> {
        self.lane.feed.clone()
    }

    /// Whether this vehicle has a real incident that nobody has resolved.
    pub fn is_calling_for_help(&self, vehicle_id: &str) -> bool {
        self.lane.desk.lock().is_calling_for_help(vehicle_id)
    }

    /// How things stand. Never waits.
    pub fn status(&self) -> Status {
        let overview = self.lane.desk.lock().overview();
        let now_ms = self.lane.clock.now_ms();
        let age = |opened_ms: i64| now_ms.saturating_sub(opened_ms).max(0) as f64 / 1000.0;
        Status {
            target: !self.lane.rules.chain.is_empty(),
            open: overview.open,
            open_tests: overview.open_tests,
            unaccepted: overview.unaccepted,
            oldest_unaccepted_age_s: overview.oldest_unaccepted_ms.map(age),
            unrecorded: overview.unrecorded,
            store_failure: self.lane.shelf.failure(),
        }
    }
}
