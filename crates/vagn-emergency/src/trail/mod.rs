//! The trail: every change of every incident, with time, actor and reason, only ever added to.
//!
//! Each entry carries a hash of itself and of the one before it, so an entry that was changed, removed or moved is found;
//! an end that was cut off is found with a later [`Head`] than the one that is left: every notice carries one, and so does
//! every export. The entries are written in the same transaction as the incidents that they tell of.
//!
//! An entry has no id in it, but a number for which the id stands in a table: see `subject`.

mod apart;
mod broken;
mod chain;
mod closed;
mod export;
mod head;
mod line;
mod read;
mod salts;
mod subject;
mod table;
#[cfg(test)]
mod tests;
mod untouched;

use serde::{Deserialize, Serialize};

pub(crate) use apart::not_in;
pub use broken::Broken;
pub use chain::{Entry, Verified};
pub use closed::{ClosedStore, OpenError};
pub use export::{ExportFault, verify_export};
pub use head::{BadHead, Head};
pub use line::BadLine;
pub use read::{Ends, Fault, after, ends, of, verify};
pub use salts::Salts;
pub use subject::{BadSubject, Meaning, Subject, SubjectId, SubjectKind};
pub use table::{append, append_with, create, head};
pub(crate) use table::{copy, raw_tables};
pub(crate) use untouched::Untouched;

/// Latest entries that the trail of a service always keeps, some 250 MB of them. Only what is older is let go of.
pub const KEPT: u64 = 1_000_000;

/// One change, before it has its number in the trail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Time, ms since 1970.
    pub at_ms: i64,
    /// Id of the incident, or of another thing that has changed.
    pub subject: SubjectId,
    /// Kind of the event.
    pub action: EventKind,
    /// Name of the person, `vagn`, or name of the target.
    pub by: Box<str>,
    /// Reason in a few words; may be empty.
    pub reason: Box<str>,
}

/// Kind of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// Its first report came in.
    Opened,
    /// A report with a name of its own turned out to belong to it.
    Joined,
    /// A target has accepted it.
    Notified,
    /// A notice went out although it was not on disk.
    Unrecorded,
    /// No person acknowledged it in time, so the next target is notified.
    Escalated,
    /// A target has refused a notice for good.
    DeadLetter,
    /// A refused notice is sent again because a person asked for it.
    Replayed,
    /// The vehicle has gone quiet.
    Quiet,
    /// The vehicle is heard again.
    Heard,
    /// A person has taken it.
    Acknowledged,
    /// A person has said something about it.
    Commented,
    /// It is over.
    Resolved,
    /// The store had lost something of it, and has it again from the journal.
    Restored,
}

impl EventKind {
    /// Returns true for what a person has decided.
    pub fn is_decision(self) -> bool {
        matches!(self, Self::Acknowledged | Self::Commented | Self::Resolved | Self::Replayed)
    }

    /// All actions.
    pub const ALL: [Self; 13] = [
        Self::Opened,
        Self::Joined,
        Self::Notified,
        Self::Unrecorded,
        Self::Escalated,
        Self::DeadLetter,
        Self::Replayed,
        Self::Quiet,
        Self::Heard,
        Self::Acknowledged,
        Self::Commented,
        Self::Resolved,
        Self::Restored,
    ];

    /// Word for it in the store, in exports and in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Joined => "joined",
            Self::Notified => "notified",
            Self::Unrecorded => "unrecorded",
            Self::Escalated => "escalated",
            Self::DeadLetter => "dead_letter",
            Self::Replayed => "replayed",
            Self::Quiet => "quiet",
            Self::Heard => "heard",
            Self::Acknowledged => "acknowledged",
            Self::Commented => "commented",
            Self::Resolved => "resolved",
            Self::Restored => "restored",
        }
    }
}
