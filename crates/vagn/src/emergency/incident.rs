//! An incident: one vehicle's call for help, from the first report that carries the flag until it has been quiet.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use vagn_wire::{Kind, Position};

use super::candidate::Candidate;
use super::id::IncidentId;

/// Latest attempts that an incident keeps in full; the earlier ones are only counted.
const ATTEMPTS_KEPT: usize = 16;

/// How far an incident has come. A person's acknowledgement and resolution come behind these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Known to us alone.
    Open,
    /// Accepted by a target.
    Notified,
}

/// Where a vehicle in an emergency is, as far as is known.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Place {
    /// Degrees north.
    pub lat: f64,
    /// Degrees east.
    pub lon: f64,
    /// When it was there, ms since 1970.
    pub time_ms: i64,
    /// It came, usable, with the call for help itself. Otherwise it is the last that was known.
    pub trusted: bool,
}

impl Place {
    /// A place at a time.
    pub fn new(position: Position, time_ms: i64, trusted: bool) -> Self {
        Self { lat: position.lat(), lon: position.lon(), time_ms, trusted }
    }
}

/// The place that tells more: the later one, and of two from one moment the trusted one.
pub fn newer(one: Option<Place>, other: Option<Place>) -> Option<Place> {
    let rank = |place: &Place| (place.time_ms, place.trusted);
    one.into_iter().chain(other).max_by_key(rank)
}

/// One attempt to reach a target, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Which one it was, from 1.
    pub number: u32,
    /// When it began, ms since 1970.
    pub at_ms: i64,
    /// How long it took, in ms.
    pub took_ms: u64,
    /// What happened.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// What came of an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub enum Outcome {
    /// A status of 2xx: somebody has it now.
    Accepted {
        /// The HTTP status.
        status: u16,
    },
    /// Any other status.
    Refused {
        /// The HTTP status.
        status: u16,
    },
    /// No answer at all.
    Failed {
        /// Why, in a few words.
        reason: String,
    },
}

impl Outcome {
    /// Whether somebody has it now.
    pub fn accepted(&self) -> bool {
        matches!(self, Self::Accepted { .. })
    }
}

/// One vehicle's call for help. This is also how it is stored; fields that come later need a default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Incident {
    /// Its name.
    pub id: IncidentId,
    /// Whose call it is.
    pub vehicle_id: Box<str>,
    /// A trial: never called. A trial and a real call of one vehicle are two incidents.
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
    pub place: Option<Place>,
    /// How far it has come.
    #[serde(deserialize_with = "known_state")]
    pub state: State,
    /// When a target accepted it, ms since 1970.
    pub accepted_ms: Option<i64>,
    /// When it was found to be over: quiet, and nothing owed. Later reports open another one.
    pub ended_ms: Option<i64>,
    /// Called although it was not on disk, because the disk was slow or broken.
    pub called_unrecorded: bool,
    /// Attempts that have ended.
    pub attempts: u32,
    /// The latest of them.
    pub latest_attempts: Vec<Attempt>,
}

impl Incident {
    /// The incident that `first` opens.
    pub fn open(id: IncidentId, first: &Candidate) -> Self {
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
            state: State::Open,
            accepted_ms: None,
            ended_ms: None,
            called_unrecorded: false,
            attempts: 0,
            latest_attempts: Vec::new(),
        }
    }

    /// The incident in a record, or as much of it as is needed to call.
    ///
    /// # Errors
    /// When the record does not say even that.
    pub fn read(record: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(record)
            .or_else(|err| serde_json::from_slice::<Minimum>(record).map(Into::into).map_err(|_| err))
    }

    /// The record of it.
    pub fn to_record(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("numbers and texts can always be written")
    }

    /// Takes in further reports of the same call.
    pub fn update(&mut self, more: &Candidate) {
        self.kind = more.kind.or(self.kind);
        if self.vehicle_incident.is_none() {
            self.vehicle_incident.clone_from(&more.vehicle_incident);
        }
        self.updated_ms = self.updated_ms.max(more.last_received_ms);
        self.reports += more.reports;
        self.place = newer(self.place, more.place);
    }

    /// Takes in an incident that turned out to be the same call.
    pub fn take_in(&mut self, other: Self) {
        self.kind = other.kind.or(self.kind);
        self.vehicle_incident = self.vehicle_incident.take().or(other.vehicle_incident);
        self.updated_ms = self.updated_ms.max(other.updated_ms);
        self.reports += other.reports;
        self.place = newer(self.place, other.place);
    }

    /// Notes what came of an attempt.
    pub fn attempted(&mut self, attempt: Attempt) {
        if attempt.outcome.accepted() && self.accepted_ms.is_none() {
            self.state = State::Notified;
            self.accepted_ms = Some(attempt.at_ms.saturating_add_unsigned(attempt.took_ms));
        }
        self.attempts = self.attempts.max(attempt.number);
        if self.latest_attempts.len() == ATTEMPTS_KEPT {
            self.latest_attempts.remove(0);
        }
        self.latest_attempts.push(attempt);
    }

    /// Nobody waits for a call about it: it is accepted, or only a trial.
    pub fn is_settled(&self) -> bool {
        self.test || self.accepted_ms.is_some()
    }

    /// Whether the episode is over after it has been `quiet` for so long: settled, and quiet for longer than `quiet_max`.
    ///
    /// What is not accepted goes on however long it is quiet, because silence may be the emergency.
    pub fn is_over(&self, quiet: Duration, quiet_max: Duration) -> bool {
        self.ended_ms.is_some() || (self.is_settled() && quiet > quiet_max)
    }
}

/// A kind as its word on the wire.
mod kind_word {
    use super::*;

    pub(super) fn serialize<S: Serializer>(kind: &Option<Kind>, serializer: S) -> Result<S::Ok, S::Error> {
        kind.map(Kind::as_str).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Kind>, D::Error> {
        let word = Option::<String>::deserialize(deserializer)?;
        Ok(word.and_then(|word| word.parse().ok()))
    }
}

/// A state that a later version may have made up is open: better one call too many than one too few.
fn known_state<'de, D: Deserializer<'de>>(deserializer: D) -> Result<State, D::Error> {
    let word = String::deserialize(deserializer)?;
    Ok(if word == "notified" { State::Notified } else { State::Open })
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
    ended_ms: Option<i64>,
    #[serde(default)]
    attempts: u32,
}

impl From<Minimum> for Incident {
    fn from(record: Minimum) -> Self {
        let Minimum { id, vehicle_id, opened_ms, test, accepted_ms, ended_ms, attempts } = record;
        Self {
            id,
            vehicle_id,
            test,
            kind: None,
            vehicle_incident: None,
            raised_ms: opened_ms,
            opened_ms,
            updated_ms: opened_ms,
            reports: 1,
            place: None,
            state: if accepted_ms.is_some() { State::Notified } else { State::Open },
            accepted_ms,
            ended_ms,
            called_unrecorded: false,
            attempts,
            latest_attempts: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_later_place_tells_more_and_of_two_at_once_the_trusted_one() {
        let place = |lat, time_ms, trusted| Some(Place { lat, lon: 0.0, time_ms, trusted });
        let check = |one, other, expected| {
            assert_eq!(newer(one, other), expected);
            assert_eq!(newer(other, one), expected);
        };
        check(place(1.0, 5, true), place(2.0, 6, false), place(2.0, 6, false));
        check(place(1.0, 5, false), place(2.0, 5, true), place(2.0, 5, true));
        check(place(1.0, 5, false), None, place(1.0, 5, false));
        check(None, None, None);
    }

    #[test]
    fn is_over_only_when_settled_and_quiet() {
        let mut incident = Incident::open(IncidentId::from_u128(1), &Candidate::example("bus 7"));
        let limit = Duration::from_secs(300);
        let late = limit + Duration::from_nanos(1);
        assert!(!incident.is_over(late, limit), "nobody has accepted it");
        let outcome = Outcome::Accepted { status: 200 };
        incident.attempted(Attempt { number: 1, at_ms: 0, took_ms: 4, outcome });
        assert!(!incident.is_over(limit, limit) && incident.is_over(late, limit));
    }

    #[test]
    fn counts_all_attempts_and_keeps_the_latest() {
        let mut incident = Incident::open(IncidentId::from_u128(1), &Candidate::example("bus 7"));
        for number in 1..=40 {
            let outcome = Outcome::Refused { status: 503 };
            incident.attempted(Attempt { number, at_ms: 0, took_ms: 4, outcome });
        }
        assert_eq!((incident.attempts, incident.latest_attempts.len()), (40, ATTEMPTS_KEPT));
        assert_eq!(incident.latest_attempts.last().unwrap().number, 40);
        assert_eq!(incident.state, State::Open);
    }

    #[test]
    fn is_read_back_as_it_was_written() {
        let mut incident = Incident::open(IncidentId::from_u128(7), &Candidate::example("bus 7"));
        incident.kind = Some(Kind::Manual);
        let outcome = Outcome::Failed { reason: "timeout".into() };
        incident.attempted(Attempt { number: 1, at_ms: 3, took_ms: 4, outcome });
        assert_eq!(Incident::read(&incident.to_record()).unwrap(), incident);
    }

    #[test]
    fn a_record_with_strange_words_is_still_owed_its_call() {
        let check = |field: &str, value: serde_json::Value, expected: Option<bool>| {
            let incident = Incident::open(IncidentId::from_u128(7), &Candidate::example("bus 7"));
            let mut record = serde_json::to_value(incident).unwrap();
            record[field] = value;
            let read = Incident::read(record.to_string().as_bytes()).ok();
            assert_eq!(read.map(|incident| incident.is_settled()), expected, "{field}");
        };
        check("state", "acknowledged".into(), Some(false));
        check("state", 7.into(), Some(false));
        check("kind", "remote".into(), Some(false));
        check("place", "Stockholm".into(), Some(false));
        check("latest_attempts", serde_json::json!([{ "outcome": "busy" }]), Some(false));
        check("accepted_ms", 5.into(), Some(true));
        check("test", true.into(), Some(true));
        check("vehicle_id", 7.into(), None);
    }
}
