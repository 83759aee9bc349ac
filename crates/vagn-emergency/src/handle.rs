//! The handle: what the rest of the service may ask of the emergency lane.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use vagn_otp::{Addr, CallError, Handle};
use vagn_seal::KeyId;

use crate::desk::{Request, RequestKind};
use crate::id::IncidentId;
use crate::incidents::{
    CarryOut, ForgetKeys, Incidents, ReplayAll, RequestOutcome, ResolveThese, ResolvedThese,
};
use crate::intake::filter::AlarmFilter;
use crate::lane::{Attend, Lane};
use crate::node::{DEED_IDS_MAX, DeedError, NodeWork};
use crate::raise::{Raise, Raised};
use crate::reader::{FindIncidents, GetIncident, ReadTrail, Reader};
use crate::record::incident::Incident;
use crate::record::store::StoreError;
use crate::search::IncidentQuery;
use crate::selection::{ResolvedMany, Selection};
use crate::show::feed::Feed;
use crate::show::targets::TargetReport;
use crate::show::view::{Detail, Filter, Page, TrailPage};
use crate::trail::Head;

/// Incidents visited while the desk is held: some 50 µs.
const VISITED_AT_ONCE: usize = 500;

/// Incidents that are resolved together: one save of some ten milliseconds, for which alarms may have to wait.
const RESOLVED_AT_ONCE: usize = 500;

/// Most incidents that one request resolves, so that its answer comes in time.
const RESOLVED_MAX: usize = 10_000;

/// Handle of the emergency lane. Cheap to clone; valid across restarts.
#[derive(Clone)]
pub struct EmergencyHandle {
    pub(crate) lane: Arc<Lane>,
    pub(crate) work: Work,
    pub(crate) reader: Addr<Reader>,
}

/// Who carries requests out.
#[derive(Clone)]
pub(crate) enum Work {
    /// The actor of one machine.
    Alone(Addr<Incidents>),
    /// The one desk of a cluster.
    Node(NodeWork),
}

/// The reason that the incident store was not copied.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// It is not open.
    #[error("the incident store is not open: {0}")]
    NotOpen(String),
    /// It cannot be read, or the copy not be written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl EmergencyHandle {
    /// Returns the subscriber that takes alarms off a topic of batches.
    pub fn subscriber(&self) -> AlarmFilter {
        AlarmFilter(self.lane.inbox.clone())
    }

    /// Lists incidents that `filter` lets through, newest first, older than `after`, at most `limit` and never more
    /// than 1 000.
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
        self.read(FindIncidents(IncidentQuery { filter, limit, after }), within).await
    }

    /// Returns one incident, or `None` when there is none of that id.
    ///
    /// # Errors
    /// When there is no answer `within` that time, or the store, which may have it, cannot be read.
    pub async fn get(&self, id: IncidentId, within: Duration) -> Result<Option<Detail>, CallError> {
        Ok(self.read(GetIncident(id), within).await??)
    }

    /// Does what a person requests about an incident. It is on disk before the answer; while the store does not work,
    /// it counts all the same, and the incident says that it is not recorded.
    ///
    /// # Errors
    /// When there is no answer `within` that time, or the store, which may have it, cannot be read. In a cluster also when no leader records it.
    pub async fn act(
        &self,
        id: IncidentId,
        request: Request,
        within: Duration,
    ) -> Result<RequestOutcome, DeedError> {
        match &self.work {
            Work::Alone(incidents) => {
                let done = incidents.call(CarryOut { id, request }, within).await?;
                Ok(done.map_err(CallError::from)?)
            }
            Work::Node(node) => node.act(&self.reader, id, request, within).await,
        }
    }

    /// Makes a real incident of a call that could not be proved, as a person requests. It is on disk before the answer.
    ///
    /// # Errors
    /// As [`act`](Self::act).
    pub async fn raise(&self, raise: Raise, within: Duration) -> Result<Raised, DeedError> {
        match &self.work {
            Work::Alone(incidents) => Ok(incidents.call(raise, within).await?.map_err(CallError::from)?),
            Work::Node(node) => node.raise(&self.reader, raise, within).await,
        }
    }

    /// Forgets which sealed calls were taken under keys that were revoked. Costs a commit, however many they are, for which
    /// alarms may have to wait.
    ///
    /// # Errors
    /// When there is no answer `within` that time.
    pub async fn forget_keys(&self, key_ids: Box<[KeyId]>, within: Duration) -> Result<(), CallError> {
        match &self.work {
            Work::Alone(incidents) => incidents.call(ForgetKeys(key_ids), within).await,
            Work::Node(node) => node.forget_keys(key_ids, within).await,
        }
    }

    /// Returns the keys under which sealed calls were taken, in this run or an earlier one; `None` until the incident store has
    /// told those of earlier ones.
    pub fn keys_with_calls(&self) -> Option<impl Iterator<Item = KeyId>> {
        self.lane.replays.keys()
    }

    /// Sends every dead letter again, as `by` requests. Returns how many there were.
    ///
    /// # Errors
    /// When there is no answer `within` that time, or no leader records it.
    pub async fn replay(&self, by: Box<str>, within: Duration) -> Result<u64, DeedError> {
        match &self.work {
            Work::Alone(incidents) => Ok(incidents.call(ReplayAll { by }, within).await?),
            Work::Node(node) => node.replay(by, within).await,
        }
    }

    /// Counts the open incidents that `selection` chooses.
    pub fn count(&self, selection: &Selection) -> u64 {
        self.select(selection).len() as u64
    }

    /// Resolves the open incidents that `selection` chooses, the oldest first, as `by` requests: at most 10 000, and those that
    /// are on disk `within` that time. Alarms go on meanwhile.
    ///
    /// # Errors
    /// When none was resolved in that time.
    pub async fn resolve_many(
        &self,
        selection: Selection,
        by: Box<str>,
        note: Box<str>,
        within: Duration,
    ) -> Result<ResolvedMany, DeedError> {
        let end = Instant::now() + within;
        self.attend(within).await?;
        let ids = self.select(&selection);
        let mut done = ResolvedMany { matched: ids.len() as u64, resolved: 0, recorded: true };
        let choice = Arc::new((selection, Request { action: RequestKind::Resolve, by, note }));
        for some in ids.chunks(self.resolved_at_once()).take(RESOLVED_MAX / self.resolved_at_once()) {
            let left = end.saturating_duration_since(Instant::now());
            match self.resolve_these(some, &choice, left).await {
                Ok(these) => {
                    done.resolved += these.resolved;
                    done.recorded &= these.recorded;
                }
                // The caller hears what is done; the next request goes on.
                Err(_) if done.resolved > 0 => break,
                Err(err) => return Err(err),
            }
        }
        Ok(done)
    }

    fn resolved_at_once(&self) -> usize {
        match self.work {
            Work::Alone(_) => RESOLVED_AT_ONCE,
            Work::Node(_) => DEED_IDS_MAX,
        }
    }

    async fn resolve_these(
        &self,
        ids: &[IncidentId],
        choice: &Arc<(Selection, Request)>,
        within: Duration,
    ) -> Result<ResolvedThese, DeedError> {
        match &self.work {
            Work::Alone(incidents) => {
                let resolve = ResolveThese { ids: ids.into(), choice: choice.clone() };
                Ok(incidents.call(resolve, within).await?)
            }
            Work::Node(node) => {
                let (selection, request) = &**choice;
                let resolved = node.resolve_these(ids, selection, request, within).await?;
                Ok(ResolvedThese { resolved, recorded: true })
            }
        }
    }

    /// Lets in all that has arrived.
    async fn attend(&self, within: Duration) -> Result<(), CallError> {
        match &self.work {
            Work::Alone(incidents) => incidents.call(Attend, within).await,
            Work::Node(node) => node.attend(within).await,
        }
    }

    /// Returns the open incidents that `selection` chooses, the oldest first.
    fn select(&self, selection: &Selection) -> Vec<IncidentId> {
        let mut chosen = Vec::new();
        self.visit(|incident| {
            if selection.chooses(incident) {
                chosen.push(incident.id);
            }
        });
        chosen.reverse();
        chosen
    }

    /// Returns up to `limit` entries of the trail behind number `after`; `None` when the store cannot be read.
    ///
    /// # Errors
    /// When there is no answer `within` that time.
    pub async fn trail(
        &self,
        after: u64,
        limit: usize,
        within: Duration,
    ) -> Result<Option<TrailPage>, CallError> {
        self.read(ReadTrail { after, limit }, within).await
    }

    /// Asks the reader after all that has arrived is let in, so that the answer has it in it.
    async fn read<M>(&self, ask: M, within: Duration) -> Result<<Reader as Handle<M>>::Reply, CallError>
    where
        M: Send + 'static,
        Reader: Handle<M>,
    {
        let end = Instant::now() + within;
        self.attend(within).await?;
        self.reader.call(ask, end.saturating_duration_since(Instant::now())).await
    }

    /// Returns the feed of changes.
    pub fn feed(&self) -> Arc<Feed> {
        self.lane.announcer.feed()
    }

    /// Copies the incident store, with the trail, to the directory `to`, which has none, beside the one who writes it. Returns the
    /// head of the trail in the copy. Blocks on the disk; `is_wanted` is asked now and then.
    ///
    /// # Errors
    /// When the store is not open, or either cannot be read or written.
    pub fn copy_store(&self, to: &Path, is_wanted: &dyn Fn() -> bool) -> Result<Head, CopyError> {
        let shelf = &self.lane.shelf;
        let not_open = || CopyError::NotOpen(shelf.failure().unwrap_or_else(|| "it is not open yet".into()));
        Ok(shelf.store().ok_or_else(not_open)?.copy_to(to, is_wanted)?)
    }

    /// Returns the state of the targets, from memory.
    pub fn targets(&self) -> TargetReport {
        self.lane.gauges.targets.report()
    }

    /// Visits the vehicles of all open incidents: their ids, and true for a drill. A vehicle with several comes several
    /// times. The desk is free again after every few, so that no alarm waits for this.
    pub fn visit_open(&self, mut visit: impl FnMut(&str, bool)) {
        self.visit(|incident| {
            if !incident.is_resolved() {
                visit(&incident.vehicle_id, incident.drill);
            }
        });
    }

    /// Visits all incidents at the desk, the newest first.
    fn visit(&self, mut visit: impl FnMut(&Incident)) {
        let mut before = None;
        loop {
            let desk = self.lane.desk.lock();
            let mut last = None;
            for incident in desk.newest_first(before).take(VISITED_AT_ONCE) {
                visit(incident);
                last = Some(incident.id);
            }
            drop(desk);
            match last {
                Some(id) => before = Some(id),
                None => return,
            }
        }
    }

    /// Returns true when this vehicle has a real incident that is not resolved.
    pub fn is_calling_for_help(&self, vehicle_id: &str) -> bool {
        self.lane.desk.lock().is_calling_for_help(vehicle_id)
    }
}
