//! Note of what a door's own calls about an alarm came to, for the desk of the leader.

use serde::{Deserialize, Serialize};

use crate::record::attempt::Attempt;
use crate::record::delivery::Told;

/// Longest note, as [`vagn_cluster::trail::NOTE_MAX`] has it.
const NOTE_MAX: usize = vagn_cluster::trail::NOTE_MAX;

/// A call of a door that a target has accepted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct DoorCall {
    /// The attempt.
    #[serde(flatten)]
    pub(crate) attempt: Attempt,
    /// What the target knows by it: the vehicle may have moved since. Of a door of an earlier version it is not known, and told again.
    #[serde(default)]
    pub(crate) told: Told,
}

/// Returns the note of the calls that targets have accepted. Those that find no room are left out: the leader makes them again, under
/// the same key.
pub(crate) fn note_of(accepted: &[DoorCall]) -> Vec<u8> {
    let mut told = accepted.len();
    loop {
        let note = serde_json::to_vec(&accepted[..told]).expect("numbers and texts can always be written");
        if note.len() <= NOTE_MAX {
            return note;
        }
        told -= 1;
    }
}

/// Returns the attempts of these calls, and what each told.
pub(crate) fn attempts_of(calls: Vec<DoorCall>) -> Vec<(Attempt, Told)> {
    calls.into_iter().map(|call| (call.attempt, call.told)).collect()
}

/// Reads a note. One that cannot be read tells nothing.
pub(crate) fn calls_of(note: &[u8]) -> Vec<DoorCall> {
    serde_json::from_slice(note).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fix::Fix;

    fn call(number: u32) -> DoorCall {
        let attempt = Attempt { number, ..Attempt::example(&format!("county {number}"), 3) };
        let told = Told { position: Some(Fix::at(59.0, 18.0, 3, true).into()), acknowledged: false };
        DoorCall { attempt, told }
    }

    #[test]
    fn a_note_is_read_as_it_was_written_as_far_as_there_is_room() {
        let all: Vec<_> = (1..=3).map(call).collect();
        assert_eq!(calls_of(&note_of(&all)), all);
        let many: Vec<_> = (1..=100).map(call).collect();
        let read = calls_of(&note_of(&many));
        assert!(read.len() > 5 && read == many[..read.len()], "{}", read.len());
        assert_eq!(calls_of(b"no note"), []);
    }

    #[test]
    fn versions_that_know_attempts_alone_read_it_and_are_read() {
        let (new, attempt) = (call(1), call(1).attempt);
        let read: Vec<Attempt> = serde_json::from_slice(&note_of(&[new])).unwrap();
        assert_eq!(read, std::slice::from_ref(&attempt));
        let old = serde_json::to_vec(&read).unwrap();
        assert_eq!(calls_of(&old), [DoorCall { attempt, told: Told::default() }]);
    }
}
