//! Progress of an incident: from open to resolved, and the decisions on the way.

use serde::{Deserialize, Serialize};

/// Name that stands for the service itself as the author of a decision.
pub const MACHINE: &str = "vagn";

/// State of an incident. Ordered: it never goes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// No target has accepted it.
    Open,
    /// A target has accepted it.
    Notified,
    /// A person has taken it on.
    Acknowledged,
    /// It is over.
    Resolved,
}

impl State {
    /// All states, in order.
    pub const ALL: [Self; 4] = [Self::Open, Self::Notified, Self::Acknowledged, Self::Resolved];

    /// Word for it in the API and in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Notified => "notified",
            Self::Acknowledged => "acknowledged",
            Self::Resolved => "resolved",
        }
    }
}

/// Decision of a person, or of the service itself, about an incident.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// Name of the person, or [`MACHINE`].
    pub by: Box<str>,
    /// Time of the decision, ms since 1970.
    pub at_ms: i64,
    /// Reason, or another remark.
    pub note: Box<str>,
}

/// Way of an incident from open to resolved.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    /// State, which never goes back.
    pub state: State,
    /// Time at which it was found to be quiet: no report has come for long. Ms since 1970.
    pub quiet_ms: Option<i64>,
    /// Time at which the first target accepted it, ms since 1970.
    pub accepted_ms: Option<i64>,
    /// Decision of a person to take it on.
    pub acknowledged: Option<Decision>,
    /// End of the incident. Reports after it open another one.
    pub resolved: Option<Decision>,
}

impl Default for Progress {
    fn default() -> Self {
        Self { state: State::Open, quiet_ms: None, accepted_ms: None, acknowledged: None, resolved: None }
    }
}
