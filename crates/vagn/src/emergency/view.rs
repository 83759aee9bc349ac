//! Incidents as the API shows them, and how they are found: what is at the desk is newer than what the store has.

use std::collections::BTreeMap;

use serde::Serialize;
use vagn_wire::Kind;

use super::desk::Desk;
use super::id::IncidentId;
use super::incident::{Attempt, Incident, Outcome, State};
use super::incidents::Find;
use super::lane::Lane;
use crate::rfc3339::rfc3339;

/// Most incidents in one answer.
pub const PAGE_MAX: usize = 1_000;

/// Records that one search looks at; it holds up recording for as long.
const LOOKED_AT_MAX: usize = 5_000;

/// Which incidents are wanted. Nothing set: all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Of this vehicle.
    pub vehicle_id: Option<String>,
    /// In this state.
    pub state: Option<State>,
    /// Only trials, or only real ones.
    pub test: Option<bool>,
    /// Only those that go on, or only those that are over.
    pub over: Option<bool>,
}

impl Filter {
    fn lets(&self, incident: &Incident) -> bool {
        self.vehicle_id.as_deref().is_none_or(|id| id == &*incident.vehicle_id)
            && self.state.is_none_or(|state| state == incident.state)
            && self.test.is_none_or(|test| test == incident.test)
            && self.over.is_none_or(|over| over == incident.ended_ms.is_some())
    }
}

/// Some incidents, newest first.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Page {
    /// The incidents.
    pub incidents: Vec<IncidentView>,
    /// Where the next page begins; there is none without it. A page may be short of its limit and yet not the last.
    pub next: Option<IncidentId>,
    /// False when the store cannot be read: then these are only the incidents that go on, as far as they are in memory.
    pub complete: bool,
}

/// One incident.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct IncidentView {
    /// Its name, and the key of its calls.
    pub id: IncidentId,
    /// Whose call for help it is.
    pub vehicle_id: Box<str>,
    /// `open` or `notified`.
    pub state: State,
    /// Over: quiet, and nothing owed.
    pub over: bool,
    /// A trial.
    pub test: bool,
    /// `auto`, `manual` or `test`, if the vehicle said.
    pub kind: Option<&'static str>,
    /// The vehicle's own id for it.
    pub vehicle_incident: Option<Box<str>>,
    /// When the vehicle raised it.
    pub raised_at: String,
    /// When its first report arrived.
    pub opened_at: String,
    /// When its latest report arrived.
    pub updated_at: String,
    /// When a target accepted it.
    pub accepted_at: Option<String>,
    /// When it was found to be over.
    pub ended_at: Option<String>,
    /// Reports that carried the flag.
    pub reports: u64,
    /// Where the vehicle is.
    pub position: Option<PlaceView>,
    /// What is done about it.
    pub call: CallView,
}

/// Where a vehicle is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PlaceView {
    /// Degrees north.
    pub lat: f64,
    /// Degrees east.
    pub lon: f64,
    /// When it was there.
    pub time: String,
    /// It came, usable, with the call for help itself.
    pub trusted: bool,
}

/// How far the calls about an incident have come.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CallView {
    /// How it stands.
    pub status: CallStatus,
    /// Attempts that have ended.
    pub attempts: u32,
    /// The first call went out before the incident was on disk.
    pub unrecorded: bool,
    /// The latest attempts, oldest first.
    pub latest: Vec<AttemptView>,
}

/// How a call stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CallStatus {
    /// A trial is not called.
    Test,
    /// There is no target to call.
    NoTarget,
    /// Waits for its first or next attempt.
    Pending,
    /// Is being called.
    Calling,
    /// A target has accepted it.
    Accepted,
}

/// One attempt.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AttemptView {
    /// Which one, from 1.
    pub number: u32,
    /// When it began.
    pub at: String,
    /// How long it took.
    pub took_ms: u64,
    /// What came of it.
    #[serde(flatten)]
    pub outcome: Outcome,
}

impl From<&Attempt> for AttemptView {
    fn from(attempt: &Attempt) -> Self {
        let Attempt { number, at_ms, took_ms, outcome } = attempt.clone();
        Self { number, at: rfc3339(at_ms), took_ms, outcome }
    }
}

impl IncidentView {
    fn new(incident: &Incident, status: CallStatus) -> Self {
        let place = incident.place.map(|place| PlaceView {
            lat: place.lat,
            lon: place.lon,
            time: rfc3339(place.time_ms),
            trusted: place.trusted,
        });
        Self {
            id: incident.id,
            vehicle_id: incident.vehicle_id.clone(),
            state: incident.state,
            over: incident.ended_ms.is_some(),
            test: incident.test,
            kind: incident.kind.map(Kind::as_str),
            vehicle_incident: incident.vehicle_incident.clone(),
            raised_at: rfc3339(incident.raised_ms),
            opened_at: rfc3339(incident.opened_ms),
            updated_at: rfc3339(incident.updated_ms),
            accepted_at: incident.accepted_ms.map(rfc3339),
            ended_at: incident.ended_ms.map(rfc3339),
            reports: incident.reports,
            position: place,
            call: CallView {
                status,
                attempts: incident.attempts,
                unrecorded: incident.called_unrecorded,
                latest: incident.latest_attempts.iter().map(Into::into).collect(),
            },
        }
    }
}

fn status(lane: &Lane, desk: &Desk, incident: &Incident) -> CallStatus {
    match incident {
        Incident { test: true, .. } => CallStatus::Test,
        Incident { accepted_ms: Some(_), .. } => CallStatus::Accepted,
        _ if lane.rules.lines.is_none() => CallStatus::NoTarget,
        _ if desk.is_calling(incident.id) => CallStatus::Calling,
        _ => CallStatus::Pending,
    }
}

/// The incident `id`, wherever it is.
pub(super) fn look_up(lane: &Lane, id: IncidentId) -> Option<IncidentView> {
    let at_desk =
        |desk: &Desk| desk.get(id).map(|incident| IncidentView::new(incident, status(lane, desk, incident)));
    if let Some(view) = at_desk(&lane.desk.lock()) {
        return Some(view);
    }
    let incident = lane.shelf.store()?.get(id).inspect_err(|err| lane.store_failed(err)).ok()??;
    Some(IncidentView::new(&incident, status(lane, &lane.desk.lock(), &incident)))
}

/// The incidents that are asked for, newest first.
pub(super) fn find(lane: &Lane, ask: &Find) -> Page {
    let limit = ask.limit.clamp(1, PAGE_MAX);
    let mut found = BTreeMap::new();
    let (floor, complete) = search_store(lane, ask, limit, &mut found);
    let desk = lane.desk.lock();
    let at_desk = desk.newest_first(ask.after).filter(|incident| ask.filter.lets(incident));
    found.extend(at_desk.take(limit + 1).map(|incident| (incident.id, incident.clone())));
    let mut incidents: Vec<_> =
        found.into_values().rev().filter(|incident| Some(incident.id) >= floor).collect();
    let more = incidents.len() > limit;
    incidents.truncate(limit);
    let next = if more { incidents.last().map(|last| last.id) } else { floor };
    let show = |incident: &Incident| IncidentView::new(incident, status(lane, &desk, incident));
    Page { incidents: incidents.iter().map(show).collect(), next, complete }
}

/// Adds what the store has. Gives how far it has looked, if there is more behind, and whether the store could be read.
fn search_store(
    lane: &Lane,
    ask: &Find,
    limit: usize,
    found: &mut BTreeMap<IncidentId, Incident>,
) -> (Option<IncidentId>, bool) {
    let Some(store) = lane.shelf.store() else { return (None, false) };
    let (mut looked_at, mut floor) = (0, None);
    let read = store.newest_first(ask.after, |incident| {
        looked_at += 1;
        let id = incident.id;
        if ask.filter.lets(&incident) && lane.desk.lock().get(id).is_none() {
            found.insert(id, incident);
        }
        let enough = looked_at >= LOOKED_AT_MAX;
        floor = enough.then_some(id);
        !enough && found.len() <= limit
    });
    if let Err(err) = &read {
        lane.store_failed(err);
    }
    (floor, read.is_ok())
}
