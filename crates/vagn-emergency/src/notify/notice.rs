//! Notices: requests that tell a target of an incident.

use std::time::Duration;

use crate::id::IncidentId;
use crate::notify::target::TargetIndex;
use crate::record::attempt::{Attempt, Message, MessageKey, Outcome};
use crate::record::delivery::Told;
use crate::record::incident::Incident;

/// A notice to be sent now.
#[derive(Debug, Clone)]
pub struct Notice {
    /// Incident as the target is to see it.
    pub incident: Incident,
    /// Target of the notice.
    pub target_index: TargetIndex,
    /// Name of that target.
    pub target: Box<str>,
    /// Kind of the message.
    pub message: Message,
    /// Key that tells the target whether it has this message already.
    pub key: MessageKey,
    /// Facts that the target learns from the message.
    pub told: Told,
    /// Number of this attempt within its incident, from 1.
    pub number: u32,
    /// Arrival of the report, if this is the first attempt of its incident.
    pub arrived: Option<Duration>,
}

impl Notice {
    /// Returns the end of this notice, which was sent at `at_ms` since 1970 and took so long.
    pub(crate) fn end(&self, at_ms: i64, took: Duration, outcome: Outcome) -> EndedNotice {
        let attempt = Attempt {
            number: self.number,
            target: self.target.clone(),
            message: self.message,
            at_ms,
            took_ms: took.as_millis() as u64,
            outcome,
            next_ms: None,
        };
        EndedNotice { id: self.incident.id, target_index: self.target_index, told: self.told, attempt }
    }
}

/// A notice that is no longer under way.
#[derive(Debug)]
pub struct EndedNotice {
    /// Incident of the notice.
    pub id: IncidentId,
    /// Target of the notice.
    pub target_index: TargetIndex,
    /// Facts that the target knows if it accepted.
    pub told: Told,
    /// Result of the attempt.
    pub attempt: Attempt,
}
