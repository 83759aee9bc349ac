//! The chain of hashes, and how a broken link is found. No disk here.
//!
//! The hash of an entry is the SHA-256 of the previous hash and of six fields, each as its length (4 bytes, big-endian)
//! and its text: seq, time, incident id, action, by, reason. They are the texts that an export shows.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::Event;
use vagn_flow::rfc3339::rfc3339;

/// A SHA-256.
pub(super) type Hash = [u8; 32];

/// How far the trail goes: the last entry's number and hash, written `<seq>:<hex>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Head {
    /// Number of the last entry; 0 when there is none.
    pub seq: u64,
    /// Its hash; zeros when there is none.
    pub hash: [u8; 32],
}

impl Head {
    /// The head of a trail that nothing has been added to.
    pub const EMPTY: Self = Self { seq: 0, hash: [0; 32] };
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.seq, hex(&self.hash))
    }
}

impl Head {
    /// The hash in hex.
    pub fn hash_hex(&self) -> String {
        hex(&self.hash)
    }
}

/// The text is no head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a head of the trail: a number, a colon and 64 hexadecimal digits")]
pub struct BadHead;

impl FromStr for Head {
    type Err = BadHead;

    fn from_str(text: &str) -> Result<Self, BadHead> {
        let (seq, hash) = text.trim().split_once(':').ok_or(BadHead)?;
        let hash = from_hex(&hash.to_ascii_lowercase()).ok_or(BadHead)?;
        Ok(Self { seq: seq.parse().map_err(|_| BadHead)?, hash })
    }
}

/// One link of the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its number, from 1 without a gap.
    pub seq: u64,
    /// What it says.
    pub note: Event,
    /// SHA-256 of the previous entry's hash, the number and the note.
    pub hash: [u8; 32],
}

impl Entry {
    /// The entry that comes behind `previous`. A time beyond the calendar is moved to its edge, where it can be written.
    pub fn behind(previous: Head, mut note: Event) -> Self {
        note.at_ms = note.at_ms.clamp(Timestamp::MIN.as_millisecond(), Timestamp::MAX.as_millisecond());
        let seq = previous.seq.saturating_add(1);
        let hash = digest(&previous.hash, seq, &note);
        Self { seq, note, hash }
    }

    /// The head of a trail that ends with this entry.
    pub fn head(&self) -> Head {
        Head { seq: self.seq, hash: self.hash }
    }
}

/// The hash of entry `seq`, which says `note`, behind one with the hash `previous`.
pub(super) fn digest(previous: &Hash, seq: u64, note: &Event) -> Hash {
    let (seq, time, incident) = (seq.to_string(), rfc3339(note.at_ms), note.incident.to_string());
    let fields = [&*seq, &time, &incident, note.action.as_str(), &note.by, &note.reason];
    let mut sum = Sha256::new_with_prefix(previous);
    for field in fields {
        let length = u32::try_from(field.len()).expect("a note is a few hundred bytes");
        sum.update(length.to_be_bytes());
        sum.update(field);
    }
    sum.finalize().into()
}

/// A trail that is whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// What came before the first entry that is kept.
    pub base: Head,
    /// Where it ends.
    pub head: Head,
    /// How many entries there are between the two.
    pub entries: u64,
    /// Known heads from before the base: their entries are gone, as they should be, and nothing can be said of them.
    pub too_old: Vec<Head>,
}

/// The first thing that is wrong with a trail.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// What stands where an entry should be cannot be read.
    #[error("entry {seq} cannot be read: {why}")]
    Unreadable {
        /// Where it stands.
        seq: u64,
        /// What is wrong with it.
        why: String,
    },
    /// Entries are not there.
    #[error(
        "entry {seq} is missing: entry {found} stands in its place; it was removed, or entries were moved"
    )]
    Missing {
        /// The first that is missing.
        seq: u64,
        /// What stands there.
        found: u64,
    },
    /// An entry does not follow from the one before.
    #[error(
        "entry {seq} is not what was written: its hash does not follow from its content and entry {}; one of the two \
         was changed",
        seq - 1
    )]
    Changed {
        /// Which one.
        seq: u64,
    },
    /// The first entry that is kept does not follow from the base.
    #[error(
        "entry {} does not follow from the base {base}: the base is wrong, or the entry was changed, or one that has \
         left the trail since",
        base.seq.saturating_add(1)
    )]
    Base {
        /// What the trail says came before.
        base: Head,
    },
    /// A head that somebody knows is another one here.
    #[error("entry {} is another than it was when its head {known} was noted: the trail was written anew", known.seq)]
    Rewritten {
        /// The head from outside.
        known: Head,
    },
    /// The trail ends before a head that somebody knows.
    #[error("the trail ends with entry {end}, but went on to {known} once: its end was cut off")]
    CutOff {
        /// The last entry that is there.
        end: u64,
        /// The head from outside, or the one that the trail itself has noted.
        known: Head,
    },
    /// Nothing says where the trail ends.
    #[error(
        "the last line with the head is missing, so entries behind {end} may have been cut off; a head that you know \
         (--head) decides it"
    )]
    NoHead {
        /// The last entry that is there.
        end: u64,
    },
    /// Something stands behind the end.
    #[error("entry {seq} stands behind the end of the trail, which is {head}")]
    BehindHead {
        /// The last entry that is there.
        seq: u64,
        /// Where the trail should end.
        head: Head,
    },
    /// The list of an incident's entries does not name an entry of it.
    #[error("entry {seq} is not listed under its incident {incident}, so nobody sees it there")]
    Unlisted {
        /// Which one.
        seq: u64,
        /// Whose entry it is.
        incident: super::IncidentId,
    },
    /// The lists name entries that are not there.
    #[error("more entries are listed under incidents than are in the trail, by {surplus}")]
    Surplus {
        /// How many.
        surplus: u64,
    },
}

/// Follows a trail from its base, entry by entry.
pub(super) struct Checker {
    base: Head,
    at: Head,
    known: BTreeSet<Head>,
}

impl Checker {
    pub(super) fn new(base: Head, known: &[Head]) -> Result<Self, Broken> {
        let checker = Self { base, at: base, known: known.iter().copied().collect() };
        // The base is one of the heads that this trail once had.
        checker.compare()?;
        Ok(checker)
    }

    /// Takes the next entry.
    pub(super) fn link(&mut self, entry: &Entry) -> Result<(), Broken> {
        let seq = self.at.seq.saturating_add(1);
        if entry.seq != seq {
            return Err(Broken::Missing { seq, found: entry.seq });
        }
        if entry.hash != digest(&self.at.hash, seq, &entry.note) {
            let is_first = self.at == self.base && self.base.seq > 0;
            return Err(if is_first { Broken::Base { base: self.base } } else { Broken::Changed { seq } });
        }
        self.at = entry.head();
        self.compare()
    }

    /// Another head that the trail will have, if it does not have it now.
    pub(super) fn expect(&mut self, head: Head) -> Result<(), Broken> {
        if head.seq < self.at.seq {
            return self.ends_with(head);
        }
        self.known.insert(head);
        self.compare()
    }

    /// How far it has come.
    pub(super) fn at(&self) -> Head {
        self.at
    }

    /// Whether a known head vouches for the entry that it has come to.
    pub(super) fn is_known(&self) -> bool {
        self.known.contains(&self.at)
    }

    /// The trail itself says that it ends with `head`.
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

    /// There are no more entries.
    pub(super) fn finish(self) -> Result<Verified, Broken> {
        let Self { base, at: head, known } = self;
        if let Some(known) = known.last().copied().filter(|known| known.seq > head.seq) {
            return Err(Broken::CutOff { end: head.seq, known });
        }
        let too_old = known.into_iter().filter(|known| known.seq < base.seq).collect();
        Ok(Verified { base, head, entries: head.seq - base.seq, too_old })
    }

    /// Compares where it is with what is known from outside.
    fn compare(&self) -> Result<(), Broken> {
        let here = Head { hash: [0; 32], ..self.at }..=Head { hash: [255; 32], ..self.at };
        match self.known.range(here).find(|known| **known != self.at) {
            Some(known) => Err(Broken::Rewritten { known: *known }),
            None => Ok(()),
        }
    }
}

/// Lower-case hexadecimal digits.
pub(super) fn hex(hash: &Hash) -> String {
    use fmt::Write as _;
    hash.iter().fold(String::with_capacity(64), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes everything");
        text
    })
}

/// A hash from 64 lower-case hexadecimal digits.
pub(super) fn from_hex(text: &str) -> Option<Hash> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut hash = [0; 32];
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if pairs.len() != hash.len() || !rest.is_empty() {
        return None;
    }
    for (byte, [high, low]) in hash.iter_mut().zip(pairs) {
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(hash)
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::{EventKind, IncidentId};
    use super::*;

    /// A trail of `count` notes from the beginning.
    pub(in crate::trail) fn trail(count: u64) -> Vec<Entry> {
        let mut at = Head::EMPTY;
        let entries = (0..count).map(|number| {
            let entry = Entry::behind(at, note(number));
            at = entry.head();
            entry
        });
        entries.collect()
    }

    /// One note of many that differ.
    pub(in crate::trail) fn note(number: u64) -> Event {
        Event {
            at_ms: 1_790_000_000_120 + number as i64,
            incident: IncidentId::from_u128(u128::from(number % 3)),
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
        let note = Event {
            at_ms: 1_790_000_000_120,
            incident: IncidentId::from_u128(7),
            action: EventKind::DeadLetter,
            by: "Åsa".into(),
            reason: "status 410".into(),
        };
        let entry = Entry::behind(Head::EMPTY, note);
        // Worked out with Python's hashlib.
        let want = "1:406fdd57d2b41c4a82ec26f470f2cc20b8af63834c9a17453bb98d1403f7f75a";
        assert_eq!(entry.head().to_string(), want);
    }

    #[test]
    fn a_head_is_read_as_it_is_written() {
        for head in [Head::EMPTY, trail(3)[2].head(), Head { seq: u64::MAX, hash: [255; 32] }] {
            assert_eq!(head.to_string().parse(), Ok(head));
            assert_eq!(head.to_string().to_uppercase().parse(), Ok(head));
        }
        for wrong in ["", "3", "3:", "3:ab", ":00", "-1:00", &format!("1:{}", "0é".repeat(22))] {
            assert_eq!(wrong.parse::<Head>(), Err(BadHead), "{wrong}");
        }
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
        changed[4].note.by = "nobody".into();
        assert_eq!(check(Head::EMPTY, &changed, &[]), Err(Broken::Changed { seq: 5 }));
        changed[4].hash = digest(&changed[3].hash, 5, &changed[4].note);
        assert_eq!(check(Head::EMPTY, &changed, &[]), Err(Broken::Changed { seq: 6 }));
    }

    #[test]
    fn what_moves_from_one_field_to_the_next_changes_the_hash() {
        let note = |by: &str, reason: &str| Event { by: by.into(), reason: reason.into(), ..note(0) };
        let hash = |by, reason| Entry::behind(Head::EMPTY, note(by, reason)).hash;
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
        let mut other = Head::EMPTY;
        let forged: Vec<_> = (10..20)
            .map(|number| {
                let entry = Entry::behind(other, note(number));
                other = entry.head();
                entry
            })
            .collect();
        assert!(check(Head::EMPTY, &forged, &[]).is_ok(), "only somebody who knows a head can tell");
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
}
