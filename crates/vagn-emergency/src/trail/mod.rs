//! The trail: every change of every incident, with time, actor and reason, only ever added to.
//!
//! Each entry carries a hash of itself and of the one before it, so an entry that was changed, removed or moved is found;
//! an end that was cut off is found by whoever has a later [`Head`] than the one that is left: every call carries one, and
//! so does every export. The entries are written in the same transaction as the incidents that they tell of.

mod chain;
mod closed;
mod export;
mod line;
mod table;

use serde::{Deserialize, Serialize};

use crate::id::IncidentId;
pub use chain::{BadHead, Broken, Entry, Head, Verified};
pub use closed::{ClosedStore, OpenError};
pub use export::{ExportFault, verify_export};
pub use line::BadLine;
pub use table::{Ends, Fault, after, append, create, ends, head, of, verify};

/// One change of an incident, before it has its place in the trail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When, ms since 1970.
    pub at_ms: i64,
    /// Which incident.
    pub incident: IncidentId,
    /// What happened to it.
    pub action: EventKind,
    /// Who did it: a person's name, `vagn`, or a target's name.
    pub by: Box<str>,
    /// Why, in a few words; may be empty.
    pub reason: Box<str>,
}

/// What happened to an incident.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// Its first report came in.
    Opened,
    /// A report with a name of its own turned out to belong to it.
    Joined,
    /// A target has accepted it.
    Notified,
    /// It was called although it was not on disk.
    Unrecorded,
    /// Nobody acknowledged it in time, so the next target is called.
    Escalated,
    /// A target has refused a call for good.
    DeadLetter,
    /// A refused call is tried again because a person asked for it.
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
}

impl EventKind {
    /// Whether it is what a person has decided.
    pub fn is_decision(self) -> bool {
        matches!(self, Self::Acknowledged | Self::Commented | Self::Resolved | Self::Replayed)
    }

    /// Every action there is.
    pub const ALL: [Self; 12] = [
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
    ];

    /// The word for it, everywhere.
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
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_action_has_one_word() {
        for action in EventKind::ALL {
            assert_eq!(serde_json::to_value(action).unwrap(), action.as_str());
        }
    }
}
