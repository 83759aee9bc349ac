//! An entry as a line of JSON: how it is stored, exported and served.

use std::borrow::Cow;

use jiff::Timestamp;
use serde::{Deserialize, Serialize, Serializer};

use super::chain::{Entry, from_hex, hex};
use super::{Event, EventKind, IncidentId};
use vagn_flow::rfc3339::rfc3339;

/// The fields of an entry. There are no others: what the hash does not cover must not look as if it did.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EntryJson<'a> {
    seq: u64,
    #[serde(borrow)]
    time: Cow<'a, str>,
    incident_id: IncidentId,
    action: EventKind,
    #[serde(borrow)]
    by: Cow<'a, str>,
    #[serde(borrow)]
    reason: Cow<'a, str>,
    #[serde(borrow)]
    hash: Cow<'a, str>,
}

/// Why a line is no entry.
#[derive(Debug, thiserror::Error)]
pub enum BadLine {
    /// Not JSON, or not with these fields.
    #[error("it is not the JSON of an entry: {0}")]
    Json(#[from] serde_json::Error),
    /// The time is none.
    #[error("its time is not a time: {0}")]
    Time(#[from] jiff::Error),
    /// The time is not put as it is written here, so that the hash does not cover what it says.
    #[error("its time is not RFC 3339 in UTC with milliseconds, or beyond the calendar")]
    TimeForm,
    /// The hash is none.
    #[error("its hash is not 64 hexadecimal digits")]
    Hash,
}

impl Serialize for Entry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let line = EntryJson {
            seq: self.seq,
            time: rfc3339(self.note.at_ms).into(),
            incident_id: self.note.incident,
            action: self.note.action,
            by: (&*self.note.by).into(),
            reason: (&*self.note.reason).into(),
            hash: hex(&self.hash).into(),
        };
        line.serialize(serializer)
    }
}

impl Entry {
    /// One line of JSON, without its end.
    pub fn to_line(&self) -> String {
        serde_json::to_string(self).expect("texts and numbers can be written")
    }

    /// The entry in a line. Says nothing about its hash being right.
    ///
    /// # Errors
    /// When it is not the JSON of an entry.
    pub fn from_line(line: &[u8]) -> Result<Self, BadLine> {
        let line: EntryJson<'_> = serde_json::from_slice(line)?;
        let at_ms = line.time.parse::<Timestamp>()?.as_millisecond();
        if rfc3339(at_ms) != line.time {
            return Err(BadLine::TimeForm);
        }
        let note = Event {
            at_ms,
            incident: line.incident_id,
            action: line.action,
            by: line.by.into(),
            reason: line.reason.into(),
        };
        Ok(Self { seq: line.seq, note, hash: from_hex(&line.hash).ok_or(BadLine::Hash)? })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Head;
    use super::super::chain::Checker;
    use super::*;

    fn notes() -> impl Strategy<Value = Event> {
        let actions = prop::sample::select(&EventKind::ALL[..]);
        (any::<i64>(), any::<u128>(), actions, ".{0,64}", ".{0,80}").prop_map(
            |(at_ms, incident, action, by, reason)| Event {
                at_ms,
                incident: IncidentId::from_u128(incident),
                action,
                by: by.into(),
                reason: reason.into(),
            },
        )
    }

    proptest! {
        #[test]
        fn an_entry_is_read_as_it_was_written(seq in 0..u64::MAX, hash: [u8; 32], note in notes()) {
            let entry = Entry::behind(Head { seq, hash }, note);
            let line = entry.to_line();
            prop_assert!(!line.contains('\n'));
            prop_assert_eq!(Entry::from_line(line.as_bytes()).unwrap(), entry);
        }

        #[test]
        fn a_flipped_byte_is_found_or_means_the_same(note in notes(), at: prop::sample::Index, mask in 1_u8..) {
            let entry = Entry::behind(Head::EMPTY, note);
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
