//! An attempt to reach a target: its message, and what came of it. The attempts of an incident are its ledger.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::id::IncidentId;

/// Message of a notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Message {
    /// There is an incident.
    Opened,
    /// The vehicle has moved, or a person has acknowledged the incident.
    Updated,
    /// It was this target's turn before, and still no person has acknowledged the incident.
    Escalated,
}

impl Message {
    /// Word for it in the body of a notice.
    pub fn event_type(self) -> &'static str {
        match self {
            Self::Opened => "incident.opened",
            Self::Updated => "incident.updated",
            Self::Escalated => "incident.escalated",
        }
    }
}

/// Key by which a target knows a repeated message: the incident's id for the opening, with a number for each message after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessageKey {
    /// Id of the incident.
    pub incident: IncidentId,
    /// 0 for the opening.
    pub number: u64,
}

impl fmt::Display for MessageKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.number {
            0 => self.incident.fmt(f),
            number => write!(f, "{}-{number}", self.incident),
        }
    }
}

/// One attempt to reach a target, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Number within the incident, from 1.
    pub number: u32,
    /// Name of the target.
    pub target: Box<str>,
    /// Message of the notice.
    pub message: Message,
    /// Start, ms since 1970.
    pub at_ms: i64,
    /// Duration in ms.
    pub took_ms: u64,
    /// Answer of the target, or its absence.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// Time of the next attempt at this target, ms since 1970; it can be delayed if others are before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_ms: Option<i64>,
}

#[cfg(test)]
impl Attempt {
    /// A first attempt for an opening, which this target has accepted.
    pub(crate) fn example(target: &str, at_ms: i64) -> Self {
        Self {
            number: 1,
            target: target.into(),
            message: Message::Opened,
            at_ms,
            took_ms: 4,
            outcome: Outcome::Accepted { status: 200 },
            next_ms: None,
        }
    }
}

/// Outcome of an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub enum Outcome {
    /// A status of 2xx: the target has it now.
    Accepted {
        /// HTTP status of the answer.
        status: u16,
    },
    /// An answer with another status.
    Refused {
        /// HTTP status of the answer.
        status: u16,
        /// Seconds for which the target wants no notice about it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_after_s: Option<u64>,
    },
    /// No answer came.
    Failed {
        /// Reason in a few words.
        reason: String,
    },
}

impl Outcome {
    /// Returns true when the target has it now.
    pub fn accepted(&self) -> bool {
        matches!(self, Self::Accepted { .. })
    }

    /// Returns the status of a refusal for good: to say the same again would get the same answer. These are the 4xx, except
    /// those that ask for another try (408, 425, 429).
    pub fn dead(&self) -> Option<u16> {
        match self {
            Self::Refused { status, .. } => Some(*status)
                .filter(|status| matches!(status, 400..500) && !matches!(status, 408 | 425 | 429)),
            _ => None,
        }
    }

    /// Returns the time for which the target wants no notice about it.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after_s, .. } => retry_after_s.map(Duration::from_secs),
            _ => None,
        }
    }

    /// Word for it in metrics.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Accepted { .. } => "accepted",
            Self::Refused { .. } if self.dead().is_some() => "dead",
            Self::Refused { .. } => "refused",
            Self::Failed { .. } => "failed",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_refusals_for_good_from_those_that_ask_for_patience() {
        for (status, dead) in [(400, true), (404, true), (410, true), (422, true), (499, true)]
            .into_iter()
            .chain([(408, false), (425, false), (429, false), (307, false), (500, false), (503, false)])
        {
            let outcome = Outcome::Refused { status, retry_after_s: None };
            assert_eq!(outcome.dead().is_some(), dead, "{status}");
        }
    }

    #[test]
    fn the_opening_has_the_incidents_own_key_and_what_follows_a_number() {
        let incident = IncidentId::from_u128(1);
        assert_eq!(MessageKey { incident, number: 0 }.to_string(), incident.to_string());
        assert_eq!(MessageKey { incident, number: 7 }.to_string(), format!("{incident}-7"));
    }
}
