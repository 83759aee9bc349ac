//! The chain of hashes, and the search for its first broken link. No disk here.
//!
//! The hash of an entry is the SHA-256 of the previous hash and of six fields, each as its length (4 bytes, big-endian)
//! and its text: seq, time, subject, action, by, reason. They are the texts that an export shows.

use std::collections::BTreeSet;

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::broken::Broken;
use super::head::{Hash, Head};
use super::subject::{Meaning, Subject};
use super::{Event, EventKind};
use vagn_flow::rfc3339::{YEAR_0, rfc3339};

/// One link of the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Number, from 1 without a gap.
    pub seq: u64,
    /// Time of the event, ms since 1970.
    pub at_ms: i64,
    /// Subject of the event.
    pub subject: Subject,
    /// Id behind the subject. Not in the hash, so that it can be erased.
    pub meaning: Option<Meaning>,
    /// Kind of the event.
    pub action: EventKind,
    /// Name of the person, `vagn`, or name of the target.
    pub by: Box<str>,
    /// Reason in a few words; may be empty.
    pub reason: Box<str>,
    /// SHA-256 of the previous entry's hash and of the fields above without the meaning.
    pub hash: [u8; 32],
}

impl Entry {
    /// Returns the entry that comes behind `previous`. A time beyond the calendar is moved to its edge, where it can be
    /// written.
    pub(super) fn behind(previous: Head, event: &Event, meaning: Meaning) -> Self {
        let last = Timestamp::MAX.as_millisecond();
        let mut entry = Self {
            seq: previous.seq.saturating_add(1),
            at_ms: event.at_ms.clamp(YEAR_0, last),
            subject: meaning.subject(),
            meaning: Some(meaning),
            action: event.action,
            by: event.by.clone(),
            reason: event.reason.clone(),
            hash: [0; 32],
        };
        entry.hash = digest(&previous.hash, &entry);
        entry
    }

    /// Returns the head of a trail that ends with this entry.
    pub fn head(&self) -> Head {
        Head { seq: self.seq, hash: self.hash }
    }

    /// Checks that the subject is made of the id that is said to be behind it.
    pub(super) fn check_meaning(&self) -> Result<(), Broken> {
        match self.meaning {
            Some(meaning) if meaning.subject() != self.subject => {
                Err(Broken::Subject { seq: self.seq, subject: self.subject, id: meaning.id })
            }
            _ => Ok(()),
        }
    }
}

/// Returns the hash that `entry` should have behind one with the hash `previous`.
pub(super) fn digest(previous: &Hash, entry: &Entry) -> Hash {
    let seq = entry.seq.to_string();
    let time = rfc3339(entry.at_ms);
    let subject = entry.subject.to_string();
    let mut sum = Sha256::new_with_prefix(previous);
    for field in [&*seq, &time, &subject, entry.action.as_str(), &entry.by, &entry.reason] {
        // The lengths keep a text from moving from one field to the next unnoticed.
        let length = u32::try_from(field.len()).expect("an entry has a few hundred bytes");
        sum.update(length.to_be_bytes());
        sum.update(field);
    }
    sum.finalize().into()
}

/// A trail that is whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Head before the first entry that is kept.
    pub base: Head,
    /// Head at the end.
    pub head: Head,
    /// Number of entries between the two.
    pub entries: u64,
    /// Number of these that tell of something the store had lost and has again.
    pub restored: u64,
    /// Known heads from before the base: their entries are gone, as they should be, and they cannot be compared.
    pub too_old: Vec<Head>,
}

impl Verified {
    /// Checks that no more than the oldest entries are gone, of a whole trail whose latest `kept` are never let go of.
    pub(super) fn check_begin(&self, kept: u64) -> Result<(), Broken> {
        let Self { base, entries, .. } = *self;
        if base.seq > 0 && entries < kept {
            return Err(Broken::BeginCut { base, entries, kept });
        }
        Ok(())
    }
}

/// Follows a trail from its base, entry by entry.
pub(super) struct Checker {
    base: Head,
    at: Head,
    restored: u64,
    known: BTreeSet<Head>,
}

impl Checker {
    pub(super) fn new(base: Head, known: &[Head]) -> Result<Self, Broken> {
        let checker = Self { base, at: base, restored: 0, known: known.iter().copied().collect() };
        // The base is one of the heads that this trail once had.
        checker.compare()?;
        Ok(checker)
    }

    /// Checks the next entry.
    pub(super) fn link(&mut self, entry: &Entry) -> Result<(), Broken> {
        let seq = self.at.seq.saturating_add(1);
        if entry.seq != seq {
            return Err(Broken::Missing { seq, found: entry.seq });
        }
        if entry.hash != digest(&self.at.hash, entry) {
            let is_first = self.at == self.base && self.base.seq > 0;
            return Err(if is_first { Broken::Base { base: self.base } } else { Broken::Changed { seq } });
        }
        entry.check_meaning()?;
        self.at = entry.head();
        self.restored += u64::from(entry.action == EventKind::Restored);
        self.compare()
    }

    /// Adds a head that the trail will have, if it does not have it now.
    pub(super) fn expect(&mut self, head: Head) -> Result<(), Broken> {
        if head.seq < self.at.seq {
            return self.ends_with(head);
        }
        self.known.insert(head);
        self.compare()
    }

    /// Returns the head of the last entry that was checked.
    pub(super) fn at(&self) -> Head {
        self.at
    }

    /// Returns true when a known head vouches for the last entry that was checked.
    pub(super) fn is_known(&self) -> bool {
        self.known.contains(&self.at)
    }

    /// Checks that the trail ends with `head`, as it says itself.
    pub(super) fn ends_with(&self, head: Head) -> Result<(), Broken> {
        if head == self.at {
            return Ok(());
        }
        Err(match head.seq.cmp(&self.at.seq) {
            std::cmp::Ordering::Less => Broken::BehindHead { seq: self.at.seq, head },
            std::cmp::Ordering::Equal => Broken::Rewritten { known: head },
            std::cmp::Ordering::Greater => Broken::CutOff { end: self.at.seq, known: head },
        })
    }

    /// Ends the check: there are no more entries.
    pub(super) fn finish(self) -> Result<Verified, Broken> {
        let Self { base, at: head, restored, known } = self;
        if let Some(known) = known.last().copied().filter(|known| known.seq > head.seq) {
            return Err(Broken::CutOff { end: head.seq, known });
        }
        let too_old = known.into_iter().filter(|known| known.seq < base.seq).collect();
        Ok(Verified { base, head, entries: head.seq - base.seq, restored, too_old })
    }

    /// Compares the head that it has come to with those that are known from elsewhere.
    fn compare(&self) -> Result<(), Broken> {
        let here = Head { hash: [0; 32], ..self.at }..=Head { hash: [255; 32], ..self.at };
        match self.known.range(here).find(|known| **known != self.at) {
            Some(known) => Err(Broken::Rewritten { known: *known }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::subject::SubjectId;
    use super::*;
    use crate::id::IncidentId;

    /// A trail of `count` events from the beginning.
    pub(in crate::trail) fn trail(count: u64) -> Vec<Entry> {
        entries(0..count)
    }

    fn entries(numbers: impl IntoIterator<Item = u64>) -> Vec<Entry> {
        let mut entries: Vec<Entry> = Vec::new();
        for number in numbers {
            let at = entries.last().map_or(Head::EMPTY, Entry::head);
            entries.push(behind(at, &event(number)));
        }
        entries
    }

    pub(in crate::trail) fn behind(at: Head, event: &Event) -> Entry {
        Entry::behind(at, event, Meaning { id: event.subject, salt: salt(event.subject) })
    }

    /// A salt that is the same in each test.
    pub(in crate::trail) fn salt(id: SubjectId) -> u128 {
        id.incident().map_or(0, IncidentId::as_u128) + 1000
    }

    /// One event of many that differ.
    pub(in crate::trail) fn event(number: u64) -> Event {
        Event {
            at_ms: 1_790_000_000_120 + number as i64,
            subject: SubjectId::Incident(IncidentId::from_u128(u128::from(number % 3))),
            action: EventKind::ALL[number as usize % EventKind::ALL.len()],
            by: "vagn".into(),
            reason: format!("reason {number}").into(),
        }
    }

    fn check(base: Head, entries: &[Entry], known: &[Head]) -> Result<Verified, Broken> {
        let mut checker = Checker::new(base, known)?;
        entries.iter().try_for_each(|entry| checker.link(entry))?;
        checker.finish()
    }

    #[test]
    fn the_hash_is_the_documented_one() {
        let event = Event {
            at_ms: 1_790_000_000_120,
            subject: SubjectId::Incident(IncidentId::from_u128(7)),
            action: EventKind::DeadLetter,
            by: "Åsa".into(),
            reason: "status 410".into(),
        };
        let entry = Entry::behind(Head::EMPTY, &event, Meaning { id: event.subject, salt: 9 });
        // Worked out with Python's hashlib.
        let want = "1:b39650f0b60611218e5a83b4c73fd286ecf5ca396f5f156d72543dc9eb5a11ba";
        assert_eq!(entry.head().to_string(), want);
    }

    #[test]
    fn a_whole_trail_is_whole_from_any_base() {
        let entries = trail(5);
        let heads: Vec<Head> = std::iter::once(Head::EMPTY).chain(entries.iter().map(Entry::head)).collect();
        for (kept, base) in heads.iter().enumerate() {
            let found = check(*base, &entries[kept..], &heads).unwrap();
            assert_eq!((found.base, found.head), (*base, heads[5]));
            assert_eq!((found.entries, found.too_old), (5 - kept as u64, heads[..kept].to_vec()));
        }
    }

    #[test]
    fn finds_what_was_removed_moved_or_changed() {
        let whole = trail(6);
        let mut removed = whole.clone();
        removed.remove(2);
        assert_eq!(check(Head::EMPTY, &removed, &[]), Err(Broken::Missing { seq: 3, found: 4 }));
        let mut moved = whole.clone();
        moved.swap(2, 3);
        assert_eq!(check(Head::EMPTY, &moved, &[]), Err(Broken::Missing { seq: 3, found: 4 }));
        let renumbered: Vec<_> =
            (1..).zip(&removed).map(|(seq, entry)| Entry { seq, ..entry.clone() }).collect();
        assert_eq!(check(Head::EMPTY, &renumbered, &[]), Err(Broken::Changed { seq: 3 }));
        let mut changed = whole.clone();
        changed[4].by = "another".into();
        assert_eq!(check(Head::EMPTY, &changed, &[]), Err(Broken::Changed { seq: 5 }));
        changed[4].hash = digest(&changed[3].hash, &changed[4]);
        assert_eq!(check(Head::EMPTY, &changed, &[]), Err(Broken::Changed { seq: 6 }));
    }

    #[test]
    fn what_moves_from_one_field_to_the_next_changes_the_hash() {
        let hash = |by: &str, reason: &str| {
            behind(Head::EMPTY, &Event { by: by.into(), reason: reason.into(), ..event(0) }).hash
        };
        assert_ne!(hash("ab", "c"), hash("a", "bc"));
    }

    #[test]
    fn finds_an_end_that_was_cut_off_and_a_trail_that_was_written_anew() {
        let whole = trail(6);
        let known = whole[5].head();
        for end in 0..6 {
            let found = check(Head::EMPTY, &whole[..end as usize], &[whole[0].head(), known]);
            assert_eq!(found, Err(Broken::CutOff { end, known }));
        }
        let forged = entries(10..20);
        assert!(check(Head::EMPTY, &forged, &[]).is_ok(), "only a known head can tell");
        assert_eq!(check(Head::EMPTY, &forged, &[known]), Err(Broken::Rewritten { known }));
    }

    #[test]
    fn finds_a_wrong_base() {
        let whole = trail(6);
        let base = Head { hash: [7; 32], ..whole[2].head() };
        assert_eq!(check(base, &whole[3..], &[]), Err(Broken::Base { base }));
        let known = whole[2].head();
        assert_eq!(
            check(base, &[], &[known]),
            Err(Broken::Rewritten { known }),
            "nothing but a base is left"
        );
        let early = Head { seq: 1, ..whole[2].head() };
        assert_eq!(check(early, &whole[3..], &[]), Err(Broken::Missing { seq: 2, found: 4 }));
    }

    #[test]
    fn finds_another_id_behind_a_subject_and_misses_none_that_was_erased() {
        let mut entries = trail(4);
        entries[2].meaning = None;
        assert!(check(Head::EMPTY, &entries, &[]).is_ok());
        let other = entries[0].meaning;
        entries[1].meaning = other;
        let (subject, id) = (entries[1].subject, other.unwrap().id);
        assert_eq!(check(Head::EMPTY, &entries, &[]), Err(Broken::Subject { seq: 2, subject, id }));
    }
}
