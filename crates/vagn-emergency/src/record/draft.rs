//! A draft: everything that one save writes of an incident, and the bytes in which it can be sent to another node.
//!
//! A node that has all drafts of an incident can go on with it: the incident says what is owed to which target, the events
//! and attempts go into the trail and the ledger.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::record::attempt::Attempt;
use crate::record::call_window::CallWindow;
use crate::record::incident::Incident;
use crate::record::stored::{self, StoredIncident};
use crate::trail::Event;

/// Number of the byte form. It stands in front, so that another version knows at once that it cannot read on.
const FORMAT: u16 = 1;

/// An incident to be written, as it was at `version`, with what is new on its trail and in its ledger.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    /// The incident as it is to be stored.
    pub incident: Incident,
    /// Grows with every change.
    pub version: u64,
    /// Events that are not in the trail yet.
    pub events: Vec<Event>,
    /// Number of the last of these.
    pub last_event: u64,
    /// Ended attempts that are not in the ledger yet.
    pub attempts: Vec<Attempt>,
    /// Windows of sealed calls of its vehicle that were taken since the last draft.
    pub calls: Vec<CallWindow>,
}

/// Bytes that are not a draft.
#[derive(Debug, thiserror::Error)]
pub enum BadDraft {
    /// They end before the number of the format does.
    #[error("draft is cut off")]
    CutOff,
    /// They come from another version of the service.
    #[error("draft has format {found}, and this version reads format {FORMAT} only")]
    Format {
        /// Number of the draft's format.
        found: u32,
    },
    /// The format is known, and the content is not as it should be.
    #[error("draft cannot be read: {0}")]
    Content(#[from] serde_json::Error),
}

/// Content behind the number of the format.
#[derive(Serialize, Deserialize)]
struct DraftJson<'a> {
    #[serde(borrow)]
    incident: StoredIncident<'a>,
    version: u64,
    events: Cow<'a, [Event]>,
    last_event: u64,
    attempts: Cow<'a, [Attempt]>,
    /// Left out by most: only sealed calls have any.
    #[serde(default, skip_serializing_if = "<[CallWindow]>::is_empty")]
    calls: Cow<'a, [CallWindow]>,
}

impl Draft {
    /// Returns a draft of an incident as a store has it, to which nothing is new.
    pub(crate) fn of_record(incident: Incident) -> Self {
        Self {
            incident,
            version: 1,
            events: Vec::new(),
            last_event: 0,
            attempts: Vec::new(),
            calls: Vec::new(),
        }
    }

    /// Returns the byte form: the number of the format (2 bytes, big-endian), then JSON.
    pub fn to_bytes(&self) -> Vec<u8> {
        let json = DraftJson {
            incident: StoredIncident::from(&self.incident),
            version: self.version,
            events: Cow::Borrowed(&self.events),
            last_event: self.last_event,
            attempts: Cow::Borrowed(&self.attempts),
            calls: Cow::Borrowed(&self.calls),
        };
        let mut bytes = FORMAT.to_be_bytes().to_vec();
        serde_json::to_writer(&mut bytes, &json).expect("numbers and texts can always be written");
        bytes
    }

    /// Returns the draft in its byte form.
    ///
    /// # Errors
    /// [`BadDraft`]. Nothing is guessed here: the sender still has the draft, so another node can ask again.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, BadDraft> {
        let (format, json) = bytes.split_first_chunk().ok_or(BadDraft::CutOff)?;
        let found = u16::from_be_bytes(*format);
        if found != FORMAT {
            return Err(BadDraft::Format { found: found.into() });
        }
        let json: DraftJson<'_> = serde_json::from_slice(json)?;
        if json.incident.format != stored::FORMAT {
            return Err(BadDraft::Format { found: json.incident.format });
        }
        Ok(Self {
            incident: json.incident.into(),
            version: json.version,
            events: json.events.into_owned(),
            last_event: json.last_event,
            attempts: json.attempts.into_owned(),
            calls: json.calls.into_owned(),
        })
    }
}

#[cfg(test)]
impl From<Incident> for Draft {
    fn from(incident: Incident) -> Self {
        Self::of_record(incident)
    }
}

#[cfg(test)]
mod tests {
    use proptest::option;
    use proptest::prelude::*;
    use proptest::sample::select;
    use vagn_wire::Kind;

    use super::*;
    use crate::fix::Fix;
    use crate::id::IncidentId;
    use crate::record::attempt::{Message, Outcome};
    use crate::record::delivery::{Delivery, FollowUp};
    use crate::record::facts::AlarmFacts;
    use crate::record::incident::Escalation;
    use crate::record::progress::{Decision, Progress, State};
    use crate::record::standing::Standing;
    use crate::trail::{EventKind, SubjectId};

    fn fixes() -> impl Strategy<Value = Fix> {
        (-90.0..=90.0, -180.0..=180.0, any::<i64>(), any::<bool>())
            .prop_map(|(lat, lon, time_ms, trusted)| Fix::at(lat, lon, time_ms, trusted))
    }

    fn facts() -> impl Strategy<Value = AlarmFacts> {
        let kind = option::of(select(&[Kind::Manual, Kind::Test][..]));
        let text = (kind, option::of(".{0,9}"), any::<u64>());
        let times = (any::<i64>(), any::<i64>(), any::<i64>());
        let fixes = (option::of(fixes()), prop::collection::vec(fixes(), 0..3));
        (text, times, fixes).prop_map(|((kind, own_id, reports), times, (fix, track))| AlarmFacts {
            kind,
            vehicle_incident: own_id.map(Into::into),
            raised_ms: times.0,
            opened_ms: times.1,
            updated_ms: times.2,
            reports,
            fix,
            track,
        })
    }

    fn decisions() -> impl Strategy<Value = Decision> {
        (".{0,9}", any::<i64>(), ".{0,9}").prop_map(|(by, at_ms, note)| Decision {
            by: by.into(),
            at_ms,
            note: note.into(),
        })
    }

    fn progress() -> impl Strategy<Value = Progress> {
        let times = (option::of(any::<i64>()), option::of(any::<i64>()));
        let persons = (option::of(decisions()), option::of(decisions()));
        (select(&State::ALL[..]), times, persons).prop_map(|(state, times, (acknowledged, resolved))| {
            Progress { state, quiet_ms: times.0, accepted_ms: times.1, acknowledged, resolved }
        })
    }

    fn outcomes() -> impl Strategy<Value = Outcome> {
        prop_oneof![
            any::<u16>().prop_map(|status| Outcome::Accepted { status }),
            (any::<u16>(), option::of(any::<u64>()))
                .prop_map(|(status, retry_after_s)| Outcome::Refused { status, retry_after_s }),
            ".{0,9}".prop_map(|reason| Outcome::Failed { reason }),
        ]
    }

    fn attempts() -> impl Strategy<Value = Vec<Attempt>> {
        let message = select(&[Message::Opened, Message::Updated, Message::Escalated][..]);
        let attempt = (any::<u32>(), ".{0,9}", message, any::<i64>(), any::<u64>(), outcomes()).prop_map(
            |(number, target, message, at_ms, took_ms, outcome)| Attempt {
                number,
                target: target.into(),
                message,
                at_ms,
                took_ms,
                outcome,
                next_ms: Some(at_ms),
            },
        );
        prop::collection::vec(attempt, 0..3)
    }

    fn events() -> impl Strategy<Value = Vec<Event>> {
        let action = select(&EventKind::ALL[..]);
        let event = (any::<i64>(), any::<u128>(), action, ".{0,9}", ".{0,9}").prop_map(
            |(at_ms, incident, action, by, reason)| Event {
                at_ms,
                subject: SubjectId::Incident(IncidentId::from_u128(incident)),
                action,
                by: by.into(),
                reason: reason.into(),
            },
        );
        prop::collection::vec(event, 0..3)
    }

    /// A delivery that has come as far as it can: refused, accepted, reminded, with a message under way.
    fn delivery(incident: &Incident, number: u64) -> Delivery {
        let told = incident.to_tell();
        let mut delivery = Delivery::new("county", 3);
        delivery.died(404);
        delivery.accepted(Message::Opened, told, 5);
        delivery.engage_again();
        delivery.follow_up = Some(FollowUp { message: Message::Escalated, told, number });
        delivery
    }

    fn incidents() -> impl Strategy<Value = Incident> {
        let standing = select(&[Standing::Known, Standing::Undecided, Standing::Stranger][..]);
        let vehicle = (any::<u128>(), ".{0,9}", any::<bool>(), standing);
        let turn = (any::<u32>(), option::of(any::<i64>()));
        let notices = (any::<bool>(), any::<u32>(), any::<u64>(), attempts());
        (vehicle, facts(), progress(), turn, notices).prop_map(
            |((id, vehicle_id, drill, standing), facts, progress, (level, next_ms), sent)| {
                let id = IncidentId::from_u128(id);
                let mut incident = Incident::open(id, vehicle_id.into(), drill, facts);
                incident.standing = standing;
                incident.progress = progress;
                incident.escalation = Escalation { level, next_ms };
                incident.notices.unrecorded = sent.0;
                incident.notices.attempts = sent.1;
                incident.notices.follow_ups = sent.2;
                incident.notices.latest_attempts = sent.3;
                let delivery = delivery(&incident, sent.2);
                incident.notices.deliveries.push(delivery);
                incident
            },
        )
    }

    proptest! {
        #[test]
        fn a_draft_is_read_as_it_was_written(
            incident in incidents(),
            version: u64,
            events in events(),
            last_event: u64,
            attempts in attempts(),
            calls in prop::collection::vec((any::<[u8; 8]>(), any::<u64>()), 0..3),
        ) {
            let window = |(key_id, sequence)| CallWindow::first(vagn_seal::KeyId(key_id), sequence);
            let calls = calls.into_iter().map(window).collect();
            let draft = Draft { incident, version, events, last_event, attempts, calls };
            prop_assert_eq!(Draft::from_bytes(&draft.to_bytes()).unwrap(), draft);
        }

        #[test]
        fn a_draft_that_was_cut_off_is_refused(incident in incidents(), at: prop::sample::Index) {
            let bytes = Draft::from(incident).to_bytes();
            prop_assert!(Draft::from_bytes(&bytes[..at.index(bytes.len())]).is_err());
        }
    }

    #[test]
    fn a_format_that_is_not_known_is_refused_by_its_number() {
        let mut bytes = Draft::from(Incident::example(IncidentId::from_u128(7), "bus 7")).to_bytes();
        let json = String::from_utf8(bytes[2..].to_vec()).unwrap().replace("\"format\":1", "\"format\":8");
        bytes[..2].copy_from_slice(&9_u16.to_be_bytes());
        let newer_draft = Draft::from_bytes(&bytes).unwrap_err().to_string();
        assert_eq!(newer_draft, "draft has format 9, and this version reads format 1 only");
        let newer_incident = Draft::from_bytes(&[&[0, 1], json.as_bytes()].concat()).unwrap_err().to_string();
        assert!(newer_incident.contains("format 8"), "{newer_incident}");
    }
}
