//! Rules of the lane: limits, times, and the order of the targets.

use std::time::Duration;

use crate::notify::breaker::Patience;
use crate::notify::schedule::Schedule;
use crate::notify::target::{TargetIndex, Targets, Turn};
use crate::record::incident::Incident;

/// Most real incidents of strangers from one source, unless it is set.
pub(crate) const PER_SOURCE_MAX: usize = 5_000;

/// Limits and times of the lane.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    /// Most real incidents that may be open at a time. Drills may be a tenth of that, incidents of strangers half of
    /// it.
    pub open_max: usize,
    /// Who is known is asked of other nodes: a vehicle is undecided while none answers, and there may be many.
    pub asks_owners: bool,
    /// Most real incidents of strangers from one source.
    pub per_source_max: usize,
    /// Time without a report after which an incident is marked as quiet.
    pub quiet_max: Duration,
    /// Time without a report after which an acknowledged incident is resolved.
    pub resolve_after: Duration,
    /// Longest that a first notice waits for its record.
    pub record_within: Duration,
    /// Longest that an alarm waits for the store to say what an earlier run has left, before it counts as a new one.
    pub recall_within: Duration,
    /// Longest that a sender waits for an ack.
    pub ack_within: Duration,
    /// Shortest time between two updates to one target.
    pub news_every: Duration,
    /// Longest that a target may ask to be left alone.
    pub retry_after_max: Duration,
    /// Times between retries.
    pub schedule: Schedule,
    /// Limits after which a target is only probed.
    pub patience: Patience,
    /// Turns for real incidents, in order.
    pub chain: Vec<Turn>,
    /// Turn for drills.
    pub drill: Option<Turn>,
}

/// Places for open incidents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Places {
    pub(crate) all: usize,
    /// Of these, those that strangers may take.
    pub(crate) strangers: usize,
    /// Of these, those that strangers and undecided vehicles may take together.
    pub(crate) undecided: usize,
    /// Of these, those that strangers from one source may take.
    pub(crate) source: usize,
}

impl Rules {
    /// Returns the rules of the service, for at most `open_max` open incidents and notices to `targets`.
    pub(crate) fn new(open_max: usize, targets: &Targets) -> Self {
        Self {
            open_max,
            asks_owners: false,
            per_source_max: PER_SOURCE_MAX,
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

    /// Returns the places for real incidents or for drills.
    pub(crate) fn places(&self, drill: bool) -> Places {
        let part = if drill { 10 } else { 1 };
        let all = (self.open_max / part).max(1);
        let strangers = (all / 2).max(1);
        // Half of what strangers leave.
        let undecided = if self.asks_owners { all - (all - strangers) / 2 } else { strangers };
        Places { all, strangers, undecided, source: (self.per_source_max / part).max(1) }
    }

    /// Returns the turns for a drill, or for a real incident. The two never mix.
    pub(crate) fn turns(&self, drill: bool) -> &[Turn] {
        if drill { self.drill.as_slice() } else { &self.chain }
    }

    /// Returns true when a target has refused a real incident for good. Targets that are no longer set do not count.
    pub(crate) fn has_dead_letter(&self, incident: &Incident) -> bool {
        let mut dead = incident.notices.deliveries.iter().filter(|delivery| delivery.dead.is_some());
        let is_open = !incident.drill && !incident.is_resolved();
        is_open && dead.any(|delivery| self.chain.iter().any(|turn| turn.target == delivery.target))
    }

    /// Returns all turns: the chain, then the one for drills.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Turn> {
        self.chain.iter().chain(&self.drill)
    }

    /// Returns the index of the target at this position of [`Rules::turns`].
    pub(crate) fn target_index(&self, drill: bool, position: usize) -> TargetIndex {
        TargetIndex(if drill { self.chain.len() } else { 0 } + position)
    }

    /// Returns the name of a target.
    pub(crate) fn target_name(&self, target: TargetIndex) -> Option<&str> {
        self.all().nth(target.0).map(|turn| &*turn.target)
    }
}
