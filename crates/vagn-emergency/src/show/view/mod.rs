//! Incidents as the API shows them.

use serde::Serialize;
use vagn_wire::Kind;

use crate::desk::{Desk, Moment};
use crate::fix::Fix;
use crate::id::IncidentId;
use crate::record::attempt::{Attempt, Message, Outcome};
use crate::record::delivery::Delivery;
use crate::record::incident::Incident;
use crate::record::progress::{Decision, State};
use crate::rules::Rules;
use crate::trail::{Entry, Event};
use vagn_flow::rfc3339::rfc3339;

/// Most incidents in one answer.
pub const PAGE_MAX: usize = 1_000;

/// Which incidents are wanted. Nothing set: all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Of this vehicle.
    pub vehicle_id: Option<String>,
    /// In this state.
    pub state: Option<State>,
    /// Only trials, or only real ones.
    pub test: Option<bool>,
    /// Only those that have been quiet, or only the others.
    pub quiet: Option<bool>,
    /// Only those with a call that a target refused for good, or only the others.
    pub dead_letter: Option<bool>,
}

impl Filter {
    /// Whether it is one of those that are wanted.
    pub fn lets(&self, incident: &Incident) -> bool {
        self.vehicle_id.as_deref().is_none_or(|id| id == &*incident.vehicle_id)
            && self.state.is_none_or(|state| state == incident.progress.state)
            && self.test.is_none_or(|test| test == incident.drill)
            && self.quiet.is_none_or(|quiet| quiet == incident.progress.quiet_ms.is_some())
            && self.dead_letter.is_none_or(|dead| dead == (incident.dead_letters() > 0))
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
    /// How far it has come.
    pub state: State,
    /// Its vehicle has not been heard for a while.
    pub quiet: bool,
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
    /// Who acknowledged it, if anybody has.
    pub acknowledged: Option<DeedView>,
    /// Who resolved it, if anybody has.
    pub resolved: Option<DeedView>,
    /// Reports that carried the flag.
    pub reports: u64,
    /// Where the vehicle is.
    pub position: Option<PlaceView>,
    /// Where it was before, oldest first.
    pub recent_positions: Vec<TrackView>,
    /// All that is shown here is on disk.
    pub recorded: bool,
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
    /// How it stands with each target, in the order in which they are called.
    pub targets: Vec<TargetView>,
    /// How far it has been escalated.
    pub escalation: EscalationView,
}

/// How it stands with one target.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TargetView {
    /// Its name.
    pub name: Box<str>,
    /// `pending`, `calling`, `accepted` or `dead_letter`.
    pub status: CallStatus,
    /// When it accepted.
    pub accepted_at: Option<String>,
    /// When it is called next.
    pub next_at: Option<String>,
}

/// How far an incident has been escalated.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EscalationView {
    /// How many times; 0 is the first target alone.
    pub level: u32,
    /// When the next target is called, unless a person acknowledges it before.
    pub next_at: Option<String>,
}

/// What a person did.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DeedView {
    /// Who.
    pub by: Box<str>,
    /// When.
    pub at: String,
    /// Why, or empty.
    pub note: Box<str>,
}

/// Where a vehicle was.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TrackView {
    /// Degrees north.
    pub lat: f64,
    /// Degrees east.
    pub lon: f64,
    /// When it was there.
    pub time: String,
}

/// One attempt to deliver a call, as the ledger has it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LedgerView {
    /// Which attempt of the incident, from 1.
    pub number: u32,
    /// Whom.
    pub target: Box<str>,
    /// `opened`, `updated` or `escalated`.
    pub kind: &'static str,
    /// When it began.
    pub at: String,
    /// How long it took.
    pub took_ms: u64,
    /// What came of it.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// When it is tried again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_at: Option<String>,
}

/// One entry of the trail.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TrailView {
    /// Its place, from 1; 0 while it is not on disk.
    pub seq: u64,
    /// When.
    pub time: String,
    /// What about.
    pub incident_id: IncidentId,
    /// What happened.
    pub action: &'static str,
    /// Who did it.
    pub by: Box<str>,
    /// Why.
    pub reason: Box<str>,
    /// SHA-256 over it and all before it, in hex; `None` while it is not on disk.
    pub hash: Option<String>,
}

/// Some of the trail, oldest first.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TrailPage {
    /// What came before the first entry, `<seq>:<hex>`, when the entries begin where the trail now does.
    pub base: Option<String>,
    /// How far the whole trail goes, `<seq>:<hex>`.
    pub head: String,
    /// The entries.
    pub entries: Vec<TrailView>,
}

/// One incident with all that happened to it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Detail {
    /// How it stands.
    #[serde(flatten)]
    pub incident: IncidentView,
    /// Every attempt to deliver its calls, oldest first.
    pub ledger: Vec<LedgerView>,
    /// Every change, oldest first.
    pub trail: Vec<TrailView>,
}

/// How a call stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CallStatus {
    /// There is no target to call.
    NoTarget,
    /// Waits for its first or next attempt.
    Pending,
    /// Is being called.
    Calling,
    /// A target has accepted it.
    Accepted,
    /// A target has refused it for good.
    DeadLetter,
}

/// One attempt.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AttemptView {
    /// Which one, from 1.
    pub number: u32,
    /// Whom it was to reach.
    pub target: Box<str>,
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
        let Attempt { number, target, at_ms, took_ms, outcome, .. } = attempt.clone();
        Self { number, target, at: rfc3339(at_ms), took_ms, outcome }
    }
}

impl From<&Attempt> for LedgerView {
    fn from(attempt: &Attempt) -> Self {
        let Attempt { number, target, message, at_ms, took_ms, outcome, next_ms } = attempt.clone();
        let kind = match message {
            Message::Opened => "opened",
            Message::Updated => "updated",
            Message::Escalated => "escalated",
        };
        let (at, next_at) = (rfc3339(at_ms), next_ms.map(rfc3339));
        Self { number, target, kind, at, took_ms, outcome, next_at }
    }
}

impl From<&Entry> for TrailView {
    fn from(entry: &Entry) -> Self {
        let (seq, hash) = (entry.seq, Some(entry.head().hash_hex()));
        Self { seq, hash, ..Self::pending(&entry.note) }
    }
}

impl TrailView {
    /// Whether it is the same change, written or not.
    pub(crate) fn tells_the_same(&self, other: &Self) -> bool {
        (&self.time, self.action, &self.by, &self.reason)
            == (&other.time, other.action, &other.by, &other.reason)
    }

    /// A change that waits to be written.
    pub(crate) fn pending(note: &Event) -> Self {
        Self {
            seq: 0,
            time: rfc3339(note.at_ms),
            incident_id: note.incident,
            action: note.action.as_str(),
            by: note.by.clone(),
            reason: note.reason.clone(),
            hash: None,
        }
    }
}

impl From<&Fix> for PlaceView {
    fn from(place: &Fix) -> Self {
        Self { lat: place.lat, lon: place.lon, time: rfc3339(place.time_ms), trusted: place.trusted }
    }
}

impl From<&Fix> for TrackView {
    fn from(place: &Fix) -> Self {
        Self { lat: place.lat, lon: place.lon, time: rfc3339(place.time_ms) }
    }
}

impl From<&Decision> for DeedView {
    fn from(decision: &Decision) -> Self {
        Self { by: decision.by.clone(), at: rfc3339(decision.at_ms), note: decision.note.clone() }
    }
}

impl IncidentView {
    /// `incident` as it is at `now`, whether it is at the desk or only in the store.
    pub(crate) fn new(incident: &Incident, desk: &Desk, rules: &Rules, now: Moment) -> Self {
        let targets = targets(incident, desk, rules, now);
        let escalation = EscalationView {
            level: incident.escalation.level,
            next_at: incident.escalation.next_ms.map(rfc3339),
        };
        Self {
            id: incident.id,
            vehicle_id: incident.vehicle_id.clone(),
            state: incident.progress.state,
            quiet: incident.progress.quiet_ms.is_some(),
            test: incident.drill,
            kind: incident.alarm.kind.map(Kind::as_str),
            vehicle_incident: incident.alarm.vehicle_incident.clone(),
            raised_at: rfc3339(incident.alarm.raised_ms),
            opened_at: rfc3339(incident.alarm.opened_ms),
            updated_at: rfc3339(incident.alarm.updated_ms),
            accepted_at: incident.progress.accepted_ms.map(rfc3339),
            acknowledged: incident.progress.acknowledged.as_ref().map(Into::into),
            resolved: incident.progress.resolved.as_ref().map(Into::into),
            reports: incident.alarm.reports,
            position: incident.alarm.fix.as_ref().map(Into::into),
            recent_positions: incident.alarm.track.iter().map(Into::into).collect(),
            recorded: desk.is_recorded(incident.id),
            call: CallView {
                status: status(incident, &targets),
                attempts: incident.notices.attempts,
                unrecorded: incident.notices.unrecorded,
                latest: incident.notices.latest_attempts.iter().map(Into::into).collect(),
                targets,
                escalation,
            },
        }
    }
}

/// How it stands with each target that it has been the turn of, in the order of the rules.
fn targets(incident: &Incident, desk: &Desk, rules: &Rules, now: Moment) -> Vec<TargetView> {
    let turns = rules.turns(incident.drill).iter().enumerate();
    let view = |(at, delivery): (usize, &Delivery)| TargetView {
        name: delivery.target.clone(),
        status: match delivery {
            _ if desk.is_calling(incident.id, rules.target_index(incident.drill, at)) => CallStatus::Calling,
            Delivery { dead: Some(_), .. } => CallStatus::DeadLetter,
            Delivery { accepted_ms: Some(_), .. } => CallStatus::Accepted,
            Delivery { .. } => CallStatus::Pending,
        },
        accepted_at: delivery.accepted_ms.map(rfc3339),
        next_at: desk.next_call_at(incident.id, rules.target_index(incident.drill, at)).map(|due| {
            let wait = due.saturating_sub(now.at);
            rfc3339(now.ms.saturating_add_unsigned(wait.as_millis() as u64))
        }),
    };
    let known = |name: &str| incident.notices.deliveries.iter().find(|one| &*one.target == name);
    turns.filter_map(|(at, turn)| Some(view((at, known(&turn.target)?)))).collect()
}

/// The best that can be said of all targets together.
fn status(incident: &Incident, targets: &[TargetView]) -> CallStatus {
    let any = |status| targets.iter().any(|target| target.status == status);
    match () {
        () if incident.progress.accepted_ms.is_some() => CallStatus::Accepted,
        () if targets.is_empty() => CallStatus::NoTarget,
        () if any(CallStatus::Calling) => CallStatus::Calling,
        () if any(CallStatus::Pending) => CallStatus::Pending,
        () => CallStatus::DeadLetter,
    }
}
