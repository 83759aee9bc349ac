//! View of one incident.

use std::ops::Not;

use serde::Serialize;
use vagn_wire::Kind;

use super::notices::NoticesView;
use crate::desk::{Desk, Moment};
use crate::fix::Fix;
use crate::id::IncidentId;
use crate::record::incident::Incident;
use crate::record::progress::{Decision, State};
use crate::rules::Rules;
use vagn_flow::rfc3339::rfc3339;

/// An incident as it is now.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct IncidentView {
    /// Id of the incident, and the key of its first notice.
    pub id: IncidentId,
    /// Id of the vehicle.
    pub vehicle_id: Box<str>,
    /// State of the incident.
    pub state: State,
    /// True when its vehicle has not reported for a while.
    pub quiet: bool,
    /// True for a drill.
    #[serde(rename = "test")]
    pub drill: bool,
    /// `auto`, `manual` or `test`, if the vehicle said so.
    pub kind: Option<&'static str>,
    /// The vehicle's own id of the incident.
    pub vehicle_incident: Option<Box<str>>,
    /// Time of the alarm by the vehicle's clock.
    pub raised_at: String,
    /// Arrival of the first report.
    pub opened_at: String,
    /// Arrival of the latest report.
    pub updated_at: String,
    /// Time at which a target first accepted it.
    pub accepted_at: Option<String>,
    /// Decision of the person that acknowledged it.
    pub acknowledged: Option<DecisionView>,
    /// Decision that resolved it.
    pub resolved: Option<DecisionView>,
    /// Number of reports with the flag.
    pub reports: u64,
    /// Latest position of the vehicle.
    pub position: Option<PositionView>,
    /// Track of the vehicle, oldest position first.
    pub recent_positions: Vec<TrackView>,
    /// True when all that is shown here is on disk.
    pub recorded: bool,
    /// Notices about the incident.
    #[serde(rename = "call")]
    pub notices: NoticesView,
}

/// A position of a vehicle, and whether it can be relied on.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PositionView {
    /// Degrees north.
    pub lat: f64,
    /// Degrees east.
    pub lon: f64,
    /// Time at which the vehicle was there.
    pub time: String,
    /// True when the alarm itself carried the position.
    pub trusted: bool,
    /// True when its time cannot be, so that this is the arrival.
    #[serde(skip_serializing_if = "Not::not")]
    pub unsure: bool,
}

/// A position on a track.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TrackView {
    /// Degrees north.
    pub lat: f64,
    /// Degrees east.
    pub lon: f64,
    /// Time at which the vehicle was there.
    pub time: String,
}

/// A decision of a person.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DecisionView {
    /// Name of the person.
    pub by: Box<str>,
    /// Time of the decision.
    pub at: String,
    /// Reason, or empty.
    pub note: Box<str>,
}

impl IncidentView {
    /// Returns the view of `incident` at `now`, whether it is at the desk or only in the store.
    pub(crate) fn new(incident: &Incident, desk: &Desk, rules: &Rules, now: Moment) -> Self {
        let alarm = &incident.alarm;
        let progress = &incident.progress;
        Self {
            id: incident.id,
            vehicle_id: incident.vehicle_id.clone(),
            state: progress.state,
            quiet: progress.quiet_ms.is_some(),
            drill: incident.drill,
            kind: alarm.kind.map(Kind::as_str),
            vehicle_incident: alarm.vehicle_incident.clone(),
            raised_at: rfc3339(alarm.raised_ms),
            opened_at: rfc3339(alarm.opened_ms),
            updated_at: rfc3339(alarm.updated_ms),
            accepted_at: progress.accepted_ms.map(rfc3339),
            acknowledged: progress.acknowledged.as_ref().map(Into::into),
            resolved: progress.resolved.as_ref().map(Into::into),
            reports: alarm.reports,
            position: alarm.fix.as_ref().map(Into::into),
            recent_positions: alarm.track.iter().map(Into::into).collect(),
            recorded: desk.is_recorded(incident.id),
            notices: NoticesView::new(incident, desk, rules, now),
        }
    }
}

impl From<&Fix> for PositionView {
    fn from(fix: &Fix) -> Self {
        Self {
            lat: fix.position.lat(),
            lon: fix.position.lon(),
            time: rfc3339(fix.time_ms),
            trusted: fix.trusted,
            unsure: fix.unsure,
        }
    }
}

impl From<&Fix> for TrackView {
    fn from(fix: &Fix) -> Self {
        Self { lat: fix.position.lat(), lon: fix.position.lon(), time: rfc3339(fix.time_ms) }
    }
}

impl From<&Decision> for DecisionView {
    fn from(decision: &Decision) -> Self {
        Self { by: decision.by.clone(), at: rfc3339(decision.at_ms), note: decision.note.clone() }
    }
}
