//! Note of what a door's own calls about an alarm came to, for the desk of the leader.

use crate::record::attempt::Attempt;

/// Longest note, as [`vagn_cluster::trail::NOTE_MAX`] has it.
const NOTE_MAX: usize = vagn_cluster::trail::NOTE_MAX;

/// Returns the note of the attempts that targets have accepted. Those that find no room are left out: the leader makes them again, under
/// the same key.
pub(crate) fn note_of(accepted: &[Attempt]) -> Vec<u8> {
    let mut told = accepted.len();
    loop {
        let note = serde_json::to_vec(&accepted[..told]).expect("numbers and texts can always be written");
        if note.len() <= NOTE_MAX {
            return note;
        }
        told -= 1;
    }
}

/// Reads a note. One that cannot be read tells nothing.
pub(crate) fn calls_of(note: &[u8]) -> Vec<Attempt> {
    serde_json::from_slice(note).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::attempt::{Message, Outcome};

    #[test]
    fn a_note_is_read_as_it_was_written_as_far_as_there_is_room() {
        let attempt = |number| Attempt {
            number,
            target: format!("county {number}").into(),
            message: Message::Opened,
            at_ms: 3,
            took_ms: 4,
            outcome: Outcome::Accepted { status: 200 },
            next_ms: None,
        };
        let all: Vec<_> = (1..=3).map(attempt).collect();
        assert_eq!(calls_of(&note_of(&all)), all);
        let many: Vec<_> = (1..=100).map(attempt).collect();
        let read = calls_of(&note_of(&many));
        assert!(read.len() > 10 && read == many[..read.len()], "{}", read.len());
        assert_eq!(calls_of(b"no note"), []);
    }
}
