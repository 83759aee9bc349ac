//! An entry as a line of JSON: as it is stored, exported and served.

use std::borrow::Cow;

use jiff::Timestamp;
use serde::{Deserialize, Serialize, Serializer};

use super::EventKind;
use super::chain::Entry;
use super::head::{from_hex, hex};
use super::subject::{BadSubject, Meaning, Subject, SubjectId, read_hex};
use vagn_flow::rfc3339::rfc3339;

/// Fields of an entry. There are no others: a field that the hash does not cover must not look as if it did. It covers id
/// and salt by way of the subject, which is made of them.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EntryJson<'a> {
    seq: u64,
    #[serde(borrow)]
    time: Cow<'a, str>,
    /// Not in the store, nor after the id was erased.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    incident_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    subject: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    salt: Option<Cow<'a, str>>,
    action: EventKind,
    #[serde(borrow)]
    by: Cow<'a, str>,
    #[serde(borrow)]
    reason: Cow<'a, str>,
    #[serde(borrow)]
    hash: Cow<'a, str>,
}

/// The reason for which a line is not an entry.
#[derive(Debug, thiserror::Error)]
pub enum BadLine {
    /// Not JSON, or not with these fields.
    #[error("it is not the JSON of an entry: {0}")]
    Json(#[from] serde_json::Error),
    /// The time is not a time.
    #[error("its time is not a time: {0}")]
    Time(#[from] jiff::Error),
    /// The time is not put as it is written here, so that the hash does not cover what it says.
    #[error("its time is not RFC 3339 in UTC with milliseconds, or beyond the calendar")]
    TimeForm,
    /// The subject is not a subject.
    #[error("its subject is {0}")]
    Subject(#[from] BadSubject),
    /// The id cannot be compared with the subject.
    #[error("its incident id or its salt is missing or not readable")]
    Meaning,
    /// The hash is not a hash.
    #[error("its hash is not 64 hexadecimal digits")]
    Hash,
}

impl Serialize for Entry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.json(self.meaning.as_ref()).serialize(serializer)
    }
}

impl Entry {
    fn json(&self, meaning: Option<&Meaning>) -> EntryJson<'_> {
        EntryJson {
            seq: self.seq,
            time: rfc3339(self.at_ms).into(),
            incident_id: meaning.map(|meaning| meaning.id.text().into()),
            subject: self.subject.to_string().into(),
            salt: meaning.map(|meaning| meaning.salt_hex().into()),
            action: self.action,
            by: (&*self.by).into(),
            reason: (&*self.reason).into(),
            hash: hex(&self.hash).into(),
        }
    }

    /// Returns one line of JSON, without its end.
    pub fn to_line(&self) -> String {
        serde_json::to_string(self).expect("texts and numbers can be written")
    }

    /// Returns the line as it is stored: without the meaning of the subject, which has a table of its own.
    pub(super) fn to_stored_line(&self) -> String {
        serde_json::to_string(&self.json(None)).expect("texts and numbers can be written")
    }

    /// Reads the entry in a line. Neither its hash nor its meaning is checked.
    ///
    /// # Errors
    /// When it is not the JSON of an entry.
    pub fn from_line(line: &[u8]) -> Result<Self, BadLine> {
        let line: EntryJson<'_> = serde_json::from_slice(line)?;
        let at_ms = line.time.parse::<Timestamp>()?.as_millisecond();
        if rfc3339(at_ms) != line.time {
            return Err(BadLine::TimeForm);
        }
        let subject: Subject = line.subject.parse()?;
        let meaning = read_meaning(subject, line.incident_id.as_deref(), line.salt.as_deref())?;
        let hash = from_hex(&line.hash).ok_or(BadLine::Hash)?;
        Ok(Self {
            seq: line.seq,
            at_ms,
            subject,
            meaning,
            action: line.action,
            by: line.by.into(),
            reason: line.reason.into(),
            hash,
        })
    }
}

fn read_meaning(subject: Subject, id: Option<&str>, salt: Option<&str>) -> Result<Option<Meaning>, BadLine> {
    let (id, salt) = match (id, salt) {
        (None, None) => return Ok(None),
        (Some(id), Some(salt)) => (SubjectId::read(subject.kind, id), read_hex(salt)),
        _ => return Err(BadLine::Meaning),
    };
    id.zip(salt).map(|(id, salt)| Some(Meaning { id, salt })).ok_or(BadLine::Meaning)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::chain::Checker;
    use super::super::{Event, Head};
    use super::*;
    use crate::id::IncidentId;

    fn events() -> impl Strategy<Value = Event> {
        let actions = prop::sample::select(&EventKind::ALL[..]);
        (any::<i64>(), any::<u128>(), actions, ".{0,64}", ".{0,80}").prop_map(
            |(at_ms, incident, action, by, reason)| Event {
                at_ms,
                subject: SubjectId::Incident(IncidentId::from_u128(incident)),
                action,
                by: by.into(),
                reason: reason.into(),
            },
        )
    }

    proptest! {
        #[test]
        fn an_entry_is_read_as_it_was_written(seq in 0..u64::MAX, hash: [u8; 32], event in events(), salt: u128) {
            let entry = Entry::behind(Head { seq, hash }, &event, Meaning { id: event.subject, salt });
            let line = entry.to_line();
            prop_assert!(!line.contains('\n'));
            prop_assert_eq!(&Entry::from_line(line.as_bytes()).unwrap(), &entry);
            let stored = Entry::from_line(entry.to_stored_line().as_bytes()).unwrap();
            prop_assert_eq!(stored, Entry { meaning: None, ..entry });
        }

        #[test]
        fn a_flipped_byte_is_found_or_means_the_same(event in events(), salt: u128, at: prop::sample::Index, mask in 1_u8..) {
            let entry = Entry::behind(Head::EMPTY, &event, Meaning { id: event.subject, salt });
            let mut line = entry.to_line().into_bytes();
            let at = at.index(line.len());
            line[at] ^= mask;
            if let Ok(read) = Entry::from_line(&line) {
                let found = Checker::new(Head::EMPTY, &[]).unwrap().link(&read).is_err();
                prop_assert!(found || read == entry, "{}", String::from_utf8_lossy(&line));
            }
        }
    }
}
