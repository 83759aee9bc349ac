//! What the lane goes by: limits, times, and whose turn comes when.

use std::time::Duration;

use crate::notify::breaker::Patience;
use crate::notify::schedule::Schedule;
use crate::notify::target::{TargetIndex, Targets, Turn};
use crate::record::incident::Incident;

/// Limits and times of the lane.
#[derive(Debug, Clone)]
pub struct Rules {
    /// Most real incidents that may be open at a time; trials may be a tenth of that, and those of vehicles that nobody
    /// knew before half of it.
    pub open_max: usize,
    /// An incident is marked as quiet when no report has come for longer than this.
    pub quiet_max: Duration,
    /// One that a person has acknowledged is resolved when it has been quiet for longer than this.
    pub resolve_after: Duration,
    /// Longest that a first call waits for its record.
    pub record_within: Duration,
    /// Longest that a call waits for the store to say what an earlier run has left, before it counts as a new one.
    pub recall_within: Duration,
    /// Longest that a sender waits to hear that its call is safe on disk.
    pub ack_within: Duration,
    /// Shortest time between two messages to one target that only bring news.
    pub news_every: Duration,
    /// Longest that a target may ask to be left alone.
    pub retry_after_max: Duration,
    /// When to call again.
    pub schedule: Schedule,
    /// When to call only now and then.
    pub patience: Patience,
    /// Whom to call about real incidents, in order.
    pub chain: Vec<Turn>,
    /// Whom to call about trials.
    pub drill: Option<Turn>,
}

impl Rules {
    /// The rules of the service, for at most `open_max` open incidents and calls to `targets`.
    pub fn new(open_max: usize, targets: &Targets) -> Self {
        Self {
            open_max,
            quiet_max: Duration::from_secs(300),
            resolve_after: Duration::from_secs(24 * 3600),
            record_within: Duration::from_millis(100),
            recall_within: Duration::from_secs(5),
            ack_within: Duration::from_secs(5),
            news_every: Duration::from_secs(10),
            retry_after_max: Duration::from_secs(300),
            schedule: Schedule::default(),
            patience: Patience::default(),
            chain: targets.chain.iter().map(|target| target.turn()).collect(),
            drill: targets.drill.as_ref().map(|target| target.turn()),
        }
    }

    /// Whose turns there are, for a trial or in earnest. Never one of the others.
    pub fn turns(&self, test: bool) -> &[Turn] {
        if test { self.drill.as_slice() } else { &self.chain }
    }

    /// Whether one of today's targets has refused a real incident for good.
    pub fn has_dead_letter(&self, incident: &Incident) -> bool {
        let dead = |turn: &Turn| {
            incident.notices.deliveries.iter().any(|one| one.target == turn.target && one.dead.is_some())
        };
        !incident.drill && !incident.is_resolved() && self.chain.iter().any(dead)
    }

    /// All targets: the chain, then the one for drills.
    pub fn all(&self) -> impl Iterator<Item = &Turn> {
        self.chain.iter().chain(&self.drill)
    }

    /// Returns the index of the target at this position of [`Rules::turns`].
    pub fn target_index(&self, test: bool, position: usize) -> TargetIndex {
        TargetIndex(if test { self.chain.len() } else { 0 } + position)
    }

    /// Returns the name of a target.
    pub fn target_name(&self, target: TargetIndex) -> Option<&str> {
        self.all().nth(target.0).map(|turn| &*turn.target)
    }
}
