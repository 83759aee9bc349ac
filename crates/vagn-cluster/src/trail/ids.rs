//! Names of alarms, deeds, entries and terms.

use std::fmt;

use crate::ids::{Incarnation, NodeId};

/// An alarm, by the id of the incident that it opens. The door that first sees it draws the id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AlarmId(pub u128);

/// An alarm in one of its versions: a repeat has another content, and a call of its door a note.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AlarmVersion {
    /// The alarm.
    pub alarm: AlarmId,
    /// Hash of all that its door told of it; 0 where the leader has it from its store.
    pub hash: u64,
}

/// A deed of a person, as the driver names it: no two deeds of the service have one name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeedId(pub u128);

/// An entry: what is published again after a doubt has the same name, so that its writer knows it in the trail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryId {
    /// The writer.
    pub node: NodeId,
    /// Run of the writer, drawn by chance.
    pub run: u64,
    /// 1 for the first entry of a run, then one more each time.
    pub number: u64,
}

impl fmt::Display for EntryId {
    /// Writes the message id of the entry at the brokers, at most 56 bytes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "t{:x}-{:x}-{}", self.node.0, self.run, self.number)
    }
}

/// Bits of a key's number that are left to one term.
const TERM_SHIFT: u32 = 20;

/// Highest term whose keys have room in 63 bits: a time of the year 2248.
const TERM_MAX: u64 = (1 << (63 - TERM_SHIFT)) - 1;

/// Furthest clock that counts, in the year 2109: half of the terms stay for those who follow its claim.
const CLOCK_MAX_MS: i64 = 1 << (62 - TERM_SHIFT);

/// The leadership of one node from a claim to the next: the claimer's time in ms since 1970, or one above the term before, whichever
/// is more. So it rises along a trail, and two trails that grew apart do not have the same. A clock beyond 2109 does not count: it would leave no term for those who follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Term(pub u64);

impl Term {
    /// Returns the term of a claim that follows this one.
    pub(crate) fn next(self, wall_ms: i64) -> Self {
        let time = if wall_ms <= CLOCK_MAX_MS { wall_ms.max(0).unsigned_abs() } else { 0 };
        Self((self.0 + 1).max(time).min(TERM_MAX))
    }

    /// Returns the numbers that a leader of this term gives to messages of one incident behind the opening, which has 0.
    pub fn numbers(self) -> std::ops::RangeInclusive<u64> {
        self.0 << TERM_SHIFT..=(self.0 << TERM_SHIFT) | ((1 << TERM_SHIFT) - 1)
    }
}

/// A trail, by the epoch and the creation of its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrailId {
    /// Epoch: 1 at first.
    pub epoch: u32,
    /// Creation of the stream.
    pub incarnation: Incarnation,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_rise_and_share_no_number() {
        let first = Term::default().next(1_800_000_000_000);
        assert_eq!(first, Term(1_800_000_000_000));
        // A claimer whose clock is behind.
        let second = first.next(1_799_999_995_000);
        assert_eq!(second, Term(first.0 + 1));
        assert!(first.numbers().end() < second.numbers().start());
        assert!(*Term(TERM_MAX).numbers().end() <= i64::MAX as u64);
        assert_eq!(Term(TERM_MAX).next(0), Term(TERM_MAX));
    }

    #[test]
    fn a_clock_that_is_far_ahead_takes_no_terms_from_those_who_follow() {
        let now_ms = 1_800_000_000_000;
        let (first, far_ms) = (Term::default().next(now_ms), now_ms + 250 * 31_557_600_000);
        let second = first.next(far_ms);
        assert_eq!(second, Term(first.0 + 1));
        assert_eq!(
            second.next(now_ms + 9_000),
            Term(first.0 + 9_000),
            "clocks that are right go on as before"
        );
        // The furthest one that counts leaves as many terms as it skips.
        let third = second.next(CLOCK_MAX_MS);
        assert!(third.next(now_ms) > third && third.next(i64::MAX) > third && third.0 <= TERM_MAX / 2 + 1);
    }

    #[test]
    fn a_message_id_is_short_at_its_longest() {
        let id = EntryId { node: NodeId(u64::MAX), run: u64::MAX, number: u64::MAX };
        assert_eq!(id.to_string().len(), 1 + 16 + 1 + 16 + 1 + 20);
    }
}
