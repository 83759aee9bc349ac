//! Stored form of an incident: one JSON object, with the number of its format.
//!
//! It is read forgivingly, because one notice too many is better than one too few: a state that is not known counts as
//! open, and a record that cannot be read in full, or that has another format, still gives what is needed to notify.

#[cfg(test)]
mod fuzz;

use std::borrow::Cow;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};

use crate::fix::Fix;
use crate::id::IncidentId;
use crate::record::attempt::Attempt;
use crate::record::delivery::Delivery;
use crate::record::facts::AlarmFacts;
use crate::record::incident::{Escalation, Incident};
use crate::record::notices::Notices;
use crate::record::progress::{Decision, Progress, State};
use crate::record::standing::Standing;

/// Number of this format. Another number means other fields or another meaning of them.
pub(crate) const FORMAT: u32 = 1;

/// Author of a decision in a record that cannot be read in full.
const UNREADABLE: &str = "(unreadable)";

/// All of an incident.
#[derive(Serialize, Deserialize)]
pub(crate) struct StoredIncident<'a> {
    pub(crate) format: u32,
    id: IncidentId,
    #[serde(borrow)]
    vehicle_id: Cow<'a, str>,
    drill: bool,
    standing: Standing,
    /// Word of the wire; a word that is not known counts as none.
    kind: Option<Cow<'a, str>>,
    vehicle_incident: Option<Cow<'a, str>>,
    raised_ms: i64,
    opened_ms: i64,
    updated_ms: i64,
    reports: u64,
    fix: Option<Fix>,
    track: Cow<'a, [Fix]>,
    #[serde(borrow)]
    state: Cow<'a, str>,
    quiet_ms: Option<i64>,
    accepted_ms: Option<i64>,
    acknowledged: Option<Cow<'a, Decision>>,
    resolved: Option<Cow<'a, Decision>>,
    escalation: Escalation,
    unrecorded: bool,
    attempts: u32,
    latest_attempts: Cow<'a, [Attempt]>,
    deliveries: Cow<'a, [Delivery]>,
    follow_ups: u64,
}

impl<'a> From<&'a Incident> for StoredIncident<'a> {
    fn from(incident: &'a Incident) -> Self {
        let Incident { id, vehicle_id, drill, standing, alarm, progress, escalation, notices } = incident;
        Self {
            format: FORMAT,
            id: *id,
            vehicle_id: Cow::Borrowed(vehicle_id),
            drill: *drill,
            standing: *standing,
            kind: alarm.kind.map(|kind| kind.as_str().into()),
            vehicle_incident: alarm.vehicle_incident.as_deref().map(Into::into),
            raised_ms: alarm.raised_ms,
            opened_ms: alarm.opened_ms,
            updated_ms: alarm.updated_ms,
            reports: alarm.reports,
            fix: alarm.fix,
            track: Cow::Borrowed(&alarm.track),
            state: progress.state.as_str().into(),
            quiet_ms: progress.quiet_ms,
            accepted_ms: progress.accepted_ms,
            acknowledged: progress.acknowledged.as_ref().map(Cow::Borrowed),
            resolved: progress.resolved.as_ref().map(Cow::Borrowed),
            escalation: *escalation,
            unrecorded: notices.unrecorded,
            attempts: notices.attempts,
            latest_attempts: Cow::Borrowed(&notices.latest_attempts),
            deliveries: Cow::Borrowed(&notices.deliveries),
            follow_ups: notices.follow_ups,
        }
    }
}

impl From<StoredIncident<'_>> for Incident {
    fn from(stored: StoredIncident<'_>) -> Self {
        let alarm = AlarmFacts {
            kind: stored.kind.and_then(|word| word.parse().ok()),
            vehicle_incident: stored.vehicle_incident.map(Into::into),
            raised_ms: stored.raised_ms,
            opened_ms: stored.opened_ms,
            updated_ms: stored.updated_ms,
            reports: stored.reports,
            fix: stored.fix,
            track: stored.track.into_owned(),
        };
        let progress = Progress {
            state: known_state(&stored.state),
            quiet_ms: stored.quiet_ms,
            accepted_ms: stored.accepted_ms,
            acknowledged: stored.acknowledged.map(Cow::into_owned),
            resolved: stored.resolved.map(Cow::into_owned),
        };
        let notices = Notices {
            unrecorded: stored.unrecorded,
            attempts: stored.attempts,
            latest_attempts: stored.latest_attempts.into_owned(),
            deliveries: stored.deliveries.into_owned(),
            follow_ups: stored.follow_ups,
        };
        Self {
            id: stored.id,
            vehicle_id: stored.vehicle_id.into(),
            drill: stored.drill,
            standing: stored.standing,
            alarm,
            progress,
            escalation: stored.escalation,
            notices,
        }
    }
}

fn known_state(word: &str) -> State {
    State::ALL.into_iter().find(|state| state.as_str() == word).unwrap_or(State::Open)
}

/// Fields that a record must have so that its notice can go out, should the rest of it be strange.
#[derive(Deserialize)]
struct Minimum {
    id: IncidentId,
    vehicle_id: Box<str>,
    opened_ms: i64,
    #[serde(default, deserialize_with = "if_known")]
    drill: bool,
    #[serde(default, deserialize_with = "if_known")]
    accepted_ms: Option<i64>,
    #[serde(default)]
    resolved: Option<serde::de::IgnoredAny>,
    #[serde(default)]
    acknowledged: Option<serde::de::IgnoredAny>,
    #[serde(default, deserialize_with = "if_known")]
    attempts: u32,
}

/// Reads a field, and one with a strange value as if it were not there.
fn if_known<'de, D: Deserializer<'de>, T: DeserializeOwned + Default>(field: D) -> Result<T, D::Error> {
    let value = serde_json::Value::deserialize(field)?;
    Ok(serde_json::from_value(value).unwrap_or_default())
}

impl From<Minimum> for Incident {
    fn from(record: Minimum) -> Self {
        let facts = AlarmFacts::bare(record.opened_ms);
        let mut incident = Self::open(record.id, record.vehicle_id, record.drill, facts);
        incident.notices.attempts = record.attempts;
        incident.progress.accepted_ms = record.accepted_ms;
        if record.accepted_ms.is_some() {
            incident.progress.state = State::Notified;
        }
        if record.acknowledged.is_some() {
            incident.acknowledge(unreadable(record.opened_ms));
        }
        if record.resolved.is_some() {
            incident.resolve(unreadable(record.opened_ms));
        }
        incident
    }
}

fn unreadable(at_ms: i64) -> Decision {
    Decision { by: UNREADABLE.into(), at_ms, note: "".into() }
}

/// Returns the record of an incident.
pub(crate) fn to_bytes(incident: &Incident) -> Vec<u8> {
    serde_json::to_vec(&StoredIncident::from(incident)).expect("numbers and texts can always be written")
}

/// Returns the incident in a record, or as much of it as is needed to notify.
///
/// # Errors
/// Not even that can be read.
pub(crate) fn from_bytes(record: &[u8]) -> Result<Incident, serde_json::Error> {
    match serde_json::from_slice::<StoredIncident<'_>>(record) {
        Ok(stored) if stored.format == FORMAT => Ok(stored.into()),
        Ok(_) => serde_json::from_slice::<Minimum>(record).map(Into::into),
        // The first error says more than the second: it names the field that is strange.
        Err(err) => serde_json::from_slice::<Minimum>(record).map(Into::into).map_err(|_| err),
    }
}

#[cfg(test)]
mod tests {
    use vagn_wire::Kind;

    use super::*;
    use crate::record::attempt::{Message, Outcome};
    use crate::record::incident::PRIMARY;

    fn incident() -> Incident {
        Incident::example(IncidentId::from_u128(7), "bus 7")
    }

    #[test]
    fn an_incident_is_read_as_it_was_written() {
        let mut incident = incident();
        incident.alarm.kind = Some(Kind::Manual);
        incident.attempted(Attempt {
            number: 1,
            target: PRIMARY.into(),
            message: Message::Opened,
            at_ms: 3,
            took_ms: 4,
            outcome: Outcome::Failed { reason: "timeout".into() },
            next_ms: None,
        });
        let told = incident.to_tell();
        incident.notices.delivery(PRIMARY, 3).accepted(Message::Opened, told, 9);
        incident.acknowledge(Decision { by: "Anna \"A\"".into(), at_ms: 5, note: "sent car 4".into() });
        assert_eq!(from_bytes(&to_bytes(&incident)).unwrap(), incident);
    }

    #[test]
    fn a_record_with_strange_words_is_still_owed_its_notice() {
        let check = |field: &str, value: serde_json::Value, expected: Option<(bool, bool)>| {
            let mut record: serde_json::Value = serde_json::from_slice(&to_bytes(&incident())).unwrap();
            record[field] = value;
            let read = from_bytes(record.to_string().as_bytes()).ok();
            let waits = read.map(|one| (one.is_unaccepted(), one.is_unacknowledged()));
            assert_eq!(waits, expected, "{field}");
        };
        let owed = Some((true, true));
        check("format", 2.into(), owed);
        check("state", "dispatched".into(), owed);
        check("state", 7.into(), owed);
        check("kind", "remote".into(), owed);
        check("fix", "Stockholm".into(), owed);
        check("standing", "famous".into(), owed);
        check("latest_attempts", serde_json::json!([{ "outcome": "busy" }]), owed);
        check("accepted_ms", "today".into(), owed);
        check("attempts", (-1).into(), owed);
        check("drill", "perhaps".into(), owed);
        check("accepted_ms", 5.into(), Some((false, true)));
        check("drill", true.into(), Some((false, false)));
        check("acknowledged", "Anna".into(), Some((true, false)));
        check("vehicle_id", 7.into(), None);
    }
}
