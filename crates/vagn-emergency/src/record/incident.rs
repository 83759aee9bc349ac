//! An incident: one vehicle's call for help, from the first report that carries the flag until a person has resolved it.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use vagn_wire::Kind;

use crate::fix::{Fix, extend, newer};
use crate::id::IncidentId;
use crate::intake::alarm::Alarm;
use crate::record::attempt::{Attempt, Message};
use crate::record::delivery::{Delivery, Told};
use crate::record::standing::Standing;

/// Latest attempts that an incident carries with it; the ledger in the store has more.
const ATTEMPTS_KEPT: usize = 4;

/// Who does what no person did.
pub const MACHINE: &str = "vagn";

/// How far an incident has come. Ordered: it never goes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Known to us alone.
    Open,
    /// Accepted by a target.
    Notified,
    /// A person sees to it.
    Acknowledged,
    /// It is over.
    Resolved,
}

impl State {
    /// As in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Notified => "notified",
            Self::Acknowledged => "acknowledged",
            Self::Resolved => "resolved",
        }
    }
}

/// What somebody has decided about an incident.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// Who.
    pub by: Box<str>,
    /// When, ms since 1970.
    pub at_ms: i64,
    /// Why, or what else there is to say.
    pub note: Box<str>,
}

/// Whose turn it is while nobody acknowledges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Escalation {
    /// Turns that have passed on: 0 while it is the first target's.
    pub level: u32,
    /// When the turn passes on, ms since 1970.
    pub next_ms: Option<i64>,
}

/// One vehicle's call for help. This is also how it is stored; fields that come later need a default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Incident {
    /// Its name.
    pub id: IncidentId,
    /// Whose call it is.
    pub vehicle_id: Box<str>,
    /// A trial: reaches no target but that for drills. A trial and a real call of one vehicle are two incidents.
    pub test: bool,
    /// Who set it off, if the vehicle said.
    #[serde(with = "kind_word")]
    pub kind: Option<Kind>,
    /// The vehicle's own id for it.
    pub vehicle_incident: Option<Box<str>>,
    /// When the vehicle raised it by its own clock if it has one, else when it arrived; ms since 1970.
    pub raised_ms: i64,
    /// When its first report arrived, ms since 1970.
    pub opened_ms: i64,
    /// When its latest report arrived, ms since 1970.
    pub updated_ms: i64,
    /// Reports that carried the flag.
    pub reports: u64,
    /// Where the vehicle is.
    pub place: Option<Fix>,
    /// Where it was of late, oldest first.
    #[serde(default)]
    pub track: Vec<Fix>,
    /// What was known of the vehicle before.
    pub standing: Standing,
    /// How far it has come.
    #[serde(deserialize_with = "known_state")]
    pub state: State,
    /// Since when no report has come, ms since 1970, once that is worth saying.
    #[serde(default)]
    pub quiet_ms: Option<i64>,
    /// When the first target accepted it, ms since 1970.
    pub accepted_ms: Option<i64>,
    /// Who sees to it.
    #[serde(default)]
    pub acknowledged: Option<Decision>,
    /// Who has closed it. Later reports open another one.
    #[serde(default)]
    pub resolved: Option<Decision>,
    /// Called although it was not on disk, because the disk was slow or broken.
    pub called_unrecorded: bool,
    /// Attempts that have ended.
    pub attempts: u32,
    /// The latest of them.
    pub latest_attempts: Vec<Attempt>,
    /// How far each target is that it has been the turn of.
    #[serde(default)]
    pub deliveries: Vec<Delivery>,
    /// Messages behind the opening so far.
    #[serde(default)]
    pub follow_ups: u64,
    /// Whose turn it is.
    #[serde(default)]
    pub escalation: Escalation,
    /// When it was over, in records from before there were persons in it.
    #[serde(default, skip_serializing)]
    pub(crate) ended_ms: Option<i64>,
}

impl Incident {
    /// The incident that `first` opens.
    pub fn open(id: IncidentId, first: &Alarm) -> Self {
        Self {
            id,
            vehicle_id: first.vehicle_id.clone(),
            test: first.is_test(),
            kind: first.kind,
            vehicle_incident: first.vehicle_incident.clone(),
            raised_ms: first.event_time_ms,
            opened_ms: first.received_ms,
            updated_ms: first.last_received_ms,
            reports: first.reports,
            place: first.place,
            track: first.place.into_iter().collect(),
            standing: Standing::Known,
            state: State::Open,
            quiet_ms: None,
            accepted_ms: None,
            acknowledged: None,
            resolved: None,
            called_unrecorded: false,
            attempts: 0,
            latest_attempts: Vec::new(),
            deliveries: Vec::new(),
            follow_ups: 0,
            escalation: Escalation::default(),
            ended_ms: None,
        }
    }

    /// The incident in a record, or as much of it as is needed to call.
    ///
    /// # Errors
    /// When the record does not say even that.
    pub fn read(record: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(record)
            .or_else(|err| serde_json::from_slice::<Minimum>(record).map(Into::into).map_err(|_| err))
            .map(Self::up_to_date)
    }

    /// A record of an earlier version says in other words that it was accepted and that it is over.
    fn up_to_date(mut self) -> Self {
        if let Some(at_ms) = self.ended_ms.take().filter(|_| self.resolved.is_none()) {
            self.resolve(Decision { by: MACHINE.into(), at_ms, note: "quiet".into() });
        }
        if self.deliveries.is_empty()
            && let Some(at_ms) = self.accepted_ms
        {
            let told = self.to_tell();
            self.delivery(PRIMARY, at_ms).accepted(Message::Opened, told, at_ms);
        }
        self
    }

    /// The record of it.
    pub fn to_record(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("numbers and texts can always be written")
    }

    /// Takes in further reports of the same call.
    pub fn update(&mut self, more: &Alarm) {
        self.kind = more.kind.or(self.kind);
        if self.vehicle_incident.is_none() {
            self.vehicle_incident.clone_from(&more.vehicle_incident);
        }
        self.updated_ms = self.updated_ms.max(more.last_received_ms);
        self.reports += more.reports;
        self.seen(more.place);
    }

    /// Takes in an incident that turned out to be the same call.
    pub fn take_in(&mut self, other: Self) {
        self.kind = other.kind.or(self.kind);
        self.vehicle_incident = self.vehicle_incident.take().or(other.vehicle_incident);
        self.updated_ms = self.updated_ms.max(other.updated_ms);
        self.reports += other.reports;
        other.track.into_iter().chain(other.place).for_each(|place| self.seen(Some(place)));
    }

    /// The vehicle was there.
    pub fn seen(&mut self, place: Option<Fix>) {
        self.place = newer(self.place, place);
        if let Some(place) = place {
            extend(&mut self.track, place);
        }
    }

    /// What there is to tell a target now, apart from what never changes.
    pub fn to_tell(&self) -> Told {
        Told { spot: self.place.map(Into::into), acknowledged: self.acknowledged.is_some() }
    }

    /// The delivery to `target`, which begins now if it has not yet.
    pub fn delivery(&mut self, target: &str, now_ms: i64) -> &mut Delivery {
        let at = self.deliveries.iter().position(|delivery| &*delivery.target == target);
        let at = at.unwrap_or_else(|| {
            self.deliveries.push(Delivery::new(target, now_ms));
            self.deliveries.len() - 1
        });
        &mut self.deliveries[at]
    }

    /// Notes what came of an attempt.
    pub fn attempted(&mut self, attempt: Attempt) {
        if attempt.outcome.accepted() && self.accepted_ms.is_none() {
            self.state = self.state.max(State::Notified);
            self.accepted_ms = Some(attempt.at_ms.saturating_add_unsigned(attempt.took_ms));
        }
        self.attempts = self.attempts.max(attempt.number);
        if self.latest_attempts.len() == ATTEMPTS_KEPT {
            self.latest_attempts.remove(0);
        }
        self.latest_attempts.push(attempt);
    }

    /// A person sees to it.
    pub fn acknowledge(&mut self, decision: Decision) {
        self.state = self.state.max(State::Acknowledged);
        self.escalation.next_ms = None;
        self.acknowledged = Some(decision);
    }

    /// It is over.
    pub fn resolve(&mut self, decision: Decision) {
        self.state = State::Resolved;
        self.escalation.next_ms = None;
        self.resolved = Some(decision);
    }

    /// Whether it is over.
    pub fn is_resolved(&self) -> bool {
        self.resolved.is_some()
    }

    /// Whether a real one has not been accepted by any target.
    pub fn is_unaccepted(&self) -> bool {
        !self.test && self.accepted_ms.is_none() && !self.is_resolved()
    }

    /// Whether a real one waits for a person.
    pub fn is_unacknowledged(&self) -> bool {
        !self.test && self.acknowledged.is_none() && !self.is_resolved()
    }

    /// Targets that have refused it for good.
    pub fn dead_letters(&self) -> usize {
        if self.is_resolved() { 0 } else { self.deliveries.iter().filter(|one| one.dead.is_some()).count() }
    }

    /// Whether a further report of the vehicle that does not say otherwise belongs to it after it has been `quiet` for so
    /// long. What no person has acknowledged goes on however long it is quiet, because silence may be the emergency.
    pub fn goes_on(&self, quiet: Duration, quiet_max: Duration) -> bool {
        let seen_to = self.acknowledged.is_some() || (self.test && self.accepted_ms.is_some());
        !self.is_resolved() && (!seen_to || quiet <= quiet_max)
    }
}

/// The name of the target that is set in one line; the only one that there was before there were several.
pub const PRIMARY: &str = "primary";

/// A kind as its word on the wire.
mod kind_word {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(kind: &Option<Kind>, serializer: S) -> Result<S::Ok, S::Error> {
        kind.map(Kind::as_str).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Kind>, D::Error> {
        let word = Option::<String>::deserialize(deserializer)?;
        Ok(word.and_then(|word| word.parse().ok()))
    }
}

/// A state that a later version may have made up is open: better one call too many than one too few.
fn known_state<'de, D: Deserializer<'de>>(deserializer: D) -> Result<State, D::Error> {
    let word = String::deserialize(deserializer)?;
    let known = [State::Notified, State::Acknowledged, State::Resolved];
    Ok(known.into_iter().find(|state| state.as_str() == word).unwrap_or(State::Open))
}

/// What a record must say so that its call can be made, should the rest of it be strange.
#[derive(Deserialize)]
struct Minimum {
    id: IncidentId,
    vehicle_id: Box<str>,
    opened_ms: i64,
    #[serde(default)]
    test: bool,
    #[serde(default)]
    accepted_ms: Option<i64>,
    #[serde(default)]
    resolved: Option<serde::de::IgnoredAny>,
    #[serde(default)]
    acknowledged: Option<serde::de::IgnoredAny>,
    #[serde(default)]
    ended_ms: Option<i64>,
    #[serde(default)]
    attempts: u32,
}

impl From<Minimum> for Incident {
    fn from(record: Minimum) -> Self {
        let mut incident = Self::open(record.id, &Alarm::unplaced(record.vehicle_id, record.opened_ms));
        incident.test = record.test;
        incident.attempts = record.attempts;
        incident.accepted_ms = record.accepted_ms;
        incident.ended_ms = record.ended_ms;
        if record.accepted_ms.is_some() {
            incident.state = State::Notified;
        }
        let unknown = || Decision { by: UNREADABLE.into(), at_ms: record.opened_ms, note: "".into() };
        if record.acknowledged.is_some() {
            incident.acknowledge(unknown());
        }
        if record.resolved.is_some() {
            incident.resolve(unknown());
        }
        incident
    }
}

/// Who has decided, in a record that cannot be read in full.
const UNREADABLE: &str = "(unreadable)";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::attempt::Outcome;

    fn incident() -> Incident {
        Incident::open(IncidentId::from_u128(7), &Alarm::example("bus 7"))
    }

    fn attempt(number: u32, outcome: Outcome) -> Attempt {
        let target = PRIMARY.into();
        Attempt { number, target, message: Message::Opened, at_ms: 3, took_ms: 4, outcome, next_ms: None }
    }

    fn decision() -> Decision {
        Decision { by: "Anna".into(), at_ms: 5, note: "sent car 4".into() }
    }

    #[test]
    fn only_what_a_person_sees_to_is_over_by_being_quiet() {
        let limit = Duration::from_secs(300);
        let late = limit + Duration::from_nanos(1);
        let mut incident = incident();
        incident.attempted(attempt(1, Outcome::Accepted { status: 200 }));
        assert!(incident.state == State::Notified && incident.goes_on(late, limit), "no person has seen it");
        incident.acknowledge(decision());
        assert!(incident.goes_on(limit, limit) && !incident.goes_on(late, limit));
        incident.resolve(decision());
        assert!(incident.state == State::Resolved && !incident.goes_on(Duration::ZERO, limit));
    }

    #[test]
    fn never_goes_back() {
        let mut incident = incident();
        incident.acknowledge(decision());
        incident.attempted(attempt(1, Outcome::Accepted { status: 200 }));
        assert_eq!((incident.state, incident.accepted_ms), (State::Acknowledged, Some(7)));
    }

    #[test]
    fn counts_all_attempts_and_carries_the_latest() {
        let mut incident = incident();
        for number in 1..=40 {
            incident.attempted(attempt(number, Outcome::Refused { status: 503, retry_after_s: None }));
        }
        assert_eq!((incident.attempts, incident.latest_attempts.len()), (40, ATTEMPTS_KEPT));
        assert_eq!(incident.latest_attempts.last().unwrap().number, 40);
        assert_eq!(incident.state, State::Open);
    }

    #[test]
    fn is_read_back_as_it_was_written() {
        let mut incident = incident();
        incident.kind = Some(Kind::Manual);
        incident.attempted(attempt(1, Outcome::Failed { reason: "timeout".into() }));
        let told = incident.to_tell();
        incident.delivery(PRIMARY, 3).accepted(Message::Opened, told, 9);
        incident.acknowledge(decision());
        assert_eq!(Incident::read(&incident.to_record()).unwrap(), incident);
    }

    #[test]
    fn reads_what_was_written_before_there_were_persons_and_several_targets() {
        let record = br#"{"id":"01900000-0000-7000-8000-000000000001","vehicle_id":"bus 7","test":false,"kind":null,
            "vehicle_incident":null,"raised_ms":1,"opened_ms":1,"updated_ms":1,"reports":1,"place":null,"standing":"known","state":"notified",
            "accepted_ms":4,"ended_ms":9,"called_unrecorded":false,"attempts":1,
            "latest_attempts":[{"number":1,"at_ms":1,"took_ms":3,"outcome":"refused","status":503}]}"#;
        let incident = Incident::read(record).unwrap();
        let resolved = incident.resolved.as_ref().unwrap();
        assert_eq!((incident.state, &*resolved.by, resolved.at_ms), (State::Resolved, MACHINE, 9));
        assert_eq!(incident.deliveries[0].accepted_ms, Some(4));
        assert_eq!(incident.deliveries[0].owed(incident.to_tell()), None);
    }

    #[test]
    fn a_record_with_strange_words_is_still_owed_its_call() {
        let check = |field: &str, value: serde_json::Value, expected: Option<(bool, bool)>| {
            let mut record = serde_json::to_value(incident()).unwrap();
            record[field] = value;
            let read = Incident::read(record.to_string().as_bytes()).ok();
            let waits = |one: Incident| (one.is_unaccepted(), one.is_unacknowledged());
            assert_eq!(read.map(waits), expected, "{field}");
        };
        let (owed, seen_to) = (Some((true, true)), Some((true, false)));
        check("state", "dispatched".into(), owed);
        check("state", 7.into(), owed);
        check("kind", "remote".into(), owed);
        check("place", "Stockholm".into(), owed);
        check("latest_attempts", serde_json::json!([{ "outcome": "busy" }]), owed);
        check("accepted_ms", 5.into(), Some((false, true)));
        check("test", true.into(), Some((false, false)));
        check("acknowledged", "Anna".into(), seen_to);
        check("vehicle_id", 7.into(), None);
    }
}
