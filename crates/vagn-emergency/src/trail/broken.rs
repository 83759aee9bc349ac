//! Faults of a trail.

use super::head::Head;
use super::subject::{Subject, SubjectId};

/// The first thing that is wrong with a trail.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// An entry cannot be read.
    #[error("entry {seq} cannot be read: {why}")]
    Unreadable {
        /// Number under which it stands.
        seq: u64,
        /// Reason.
        why: String,
    },
    /// Entries are not there.
    #[error(
        "entry {seq} is missing: entry {found} stands in its place; it was removed, or entries were moved"
    )]
    Missing {
        /// Number of the first missing one.
        seq: u64,
        /// Number of the entry in its place.
        found: u64,
    },
    /// An entry does not follow from the one before.
    #[error(
        "entry {seq} is not what was written: its hash does not follow from its content and entry {}; one of the two \
         was changed",
        seq - 1
    )]
    Changed {
        /// Number of the entry.
        seq: u64,
    },
    /// The first entry that is kept does not follow from the base.
    #[error(
        "entry {} does not follow from the base {base}: the base is wrong, or the entry was changed, or one that has \
         left the trail since",
        base.seq.saturating_add(1)
    )]
    Base {
        /// Base as the trail has it.
        base: Head,
    },
    /// Fewer entries are kept than are ever let go of.
    #[error(
        "the trail begins behind {base} and keeps {entries} entries, but the latest {kept} are never let go of: its oldest \
         entries were cut off"
    )]
    BeginCut {
        /// Base as the trail has it.
        base: Head,
        /// Entries that are there.
        entries: u64,
        /// Entries that are always kept.
        kept: u64,
    },
    /// A head that is known from elsewhere is another one here.
    #[error("entry {} is another than it was when its head {known} was noted: the trail was written anew", known.seq)]
    Rewritten {
        /// Head from elsewhere.
        known: Head,
    },
    /// The trail ends before a head that is known from elsewhere.
    #[error("the trail ends with entry {end}, but went on to {known} once: its end was cut off")]
    CutOff {
        /// Number of the last entry.
        end: u64,
        /// Head from elsewhere, or the one that the trail itself has noted.
        known: Head,
    },
    /// The end of the trail is not noted.
    #[error(
        "the last line with the head is missing, so entries behind {end} may have been cut off; a head that you know \
         (--head) decides it"
    )]
    NoHead {
        /// Number of the last entry.
        end: u64,
    },
    /// An entry stands behind the end.
    #[error("entry {seq} stands behind the end of the trail, which is {head}")]
    BehindHead {
        /// Number of the last entry.
        seq: u64,
        /// Noted end of the trail.
        head: Head,
    },
    /// The id behind the subject of an entry was exchanged.
    #[error("entry {seq} is about another subject: {subject} does not stand for {id}")]
    Subject {
        /// Number of the entry.
        seq: u64,
        /// Subject of the entry.
        subject: Subject,
        /// Id that should be behind the subject.
        id: SubjectId,
    },
    /// An entry is not in the list of its subject.
    #[error("entry {seq} is not listed under its subject {subject}, so it is not seen there")]
    Unlisted {
        /// Number of the entry.
        seq: u64,
        /// Subject of the entry.
        subject: Subject,
    },
    /// The lists name entries that are not there.
    #[error("more entries are listed under subjects than are in the trail, by {surplus}")]
    Surplus {
        /// Number of them.
        surplus: u64,
    },
}
