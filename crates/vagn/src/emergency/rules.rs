//! What the lane goes by: limits and times.

use std::time::Duration;

use super::retry::Schedule;
use super::target::Target;

/// Limits and times of the lane.
#[derive(Debug, Clone)]
pub struct Rules {
    /// Most real incidents that may be open at a time; trials may be a tenth of that.
    pub open_max: usize,
    /// A settled incident is over when no report has come for longer than this.
    pub quiet_max: Duration,
    /// Longest that a first call waits for its record.
    pub record_within: Duration,
    /// Longest that a call waits for the store to say what an earlier run has left, before it counts as a new one.
    pub recall_within: Duration,
    /// Longest that a sender waits to hear that its call is safe on disk.
    pub claim_within: Duration,
    /// When to call again.
    pub schedule: Schedule,
    /// Attempts under way at a time; `None`: there is nobody to call.
    pub lines: Option<usize>,
}

impl Rules {
    /// The rules of the service, for at most `open_max` open incidents and calls to `target`.
    pub fn new(open_max: usize, target: Option<&Target>) -> Self {
        Self {
            open_max,
            quiet_max: Duration::from_secs(300),
            record_within: Duration::from_millis(100),
            recall_within: Duration::from_secs(5),
            claim_within: Duration::from_secs(5),
            schedule: Schedule::default(),
            lines: target.map(|target| target.lines),
        }
    }
}
