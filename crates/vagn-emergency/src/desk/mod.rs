//! The desk: all incidents that are not over, in memory, and what is still to be done about each.
//!
//! It belongs to no actor and outlives those that work at it, as a table outlives Erlang's processes. One actor
//! records, the other notifies; when either crashes or hangs, the other goes on, and the next incarnation finds its
//! work here. Apart from that it is pure: no disk, no network, time and chance handed in.
//!
//! `admission` lets alarms in, `matching` finds the incident that an alarm belongs to, `restore` brings back what the
//! store holds, `recording` tells what is to be written; `delivery` decides what is sent to a target, `escalation`
//! whose turn it is; `requests` does what people decide, `positions`, `standings` and `upkeep` what time brings. All
//! incidents stand on the `board`, which keeps the indexes true. `shared` is what the desk of a cluster does otherwise, `rests` what it learns of stores that
//! were replaced; `applied` and `called` are for the desk that shows what a node has.

mod admission;
mod applied;
mod board;
mod called;
mod delivery;
mod escalation;
mod filed;
mod indexes;
mod live;
mod matching;
mod positions;
mod queues;
mod recording;
mod requests;
mod restore;
mod rests;
mod roster;
mod shared;
mod standings;
#[cfg(test)]
mod tests;
mod turns;
mod upkeep;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use vagn_flow::clock::Clock;

use crate::id::IncidentId;
use crate::intake::alarm::Alarm;
use crate::intake::replays::Replays;
use crate::record::incident::Incident;
use crate::record::progress::MACHINE;
use crate::rules::Rules;
use crate::trail::EventKind;
#[cfg(test)]
use admission::Admitted;
pub(crate) use admission::{Admission, Known};
use board::Board;
use called::Called;
use live::Live;
pub(crate) use positions::VehicleOf;
use queues::TargetQueues;
pub(crate) use requests::Refusal;
pub use requests::{Request, RequestKind};
pub(crate) use restore::Merged;
pub(crate) use rests::Learned;
pub(crate) use shared::Scope;
use shared::Shared;
use turns::TurnEnds;

/// The present, by both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment {
    /// By the wall clock, ms since 1970.
    pub ms: i64,
    /// By the monotonic clock.
    pub at: Duration,
    /// The wall clock is believed: incidents may end by age.
    pub is_sure: bool,
    /// Time since which it has been believed, ms since 1970: what was stamped before counts as heard then.
    pub since_ms: i64,
}

impl Moment {
    /// Reads both clocks, for what may be shown but ends nothing.
    pub(crate) fn now(clock: &dyn Clock) -> Self {
        Self { ms: clock.now_ms(), at: clock.monotonic(), is_sure: false, since_ms: i64::MIN }
    }

    /// Returns the wall clock's time `after` this moment, ms since 1970.
    fn ms_after(self, after: Duration) -> i64 {
        self.ms.saturating_add_unsigned(after.as_millis() as u64)
    }
}

/// All incidents that are not over, and what is to be done about them.
pub(crate) struct Desk {
    rules: Arc<Rules>,
    rng: fastrand::Rng,
    /// Alarms taken from the inbox and not let in yet.
    arrivals: VecDeque<Alarm>,
    board: Board,
    queues: TargetQueues,
    turns: TurnEnds,
    happened: Vec<Announcement>,
    /// Incidents that have moved or reported, and to which nothing else happened.
    stirred: BTreeSet<IncidentId>,
    /// First incident that is located in the next round.
    locate_next: IncidentId,
    /// First incident that is looked after in the next round.
    tidy_next: IncidentId,
    /// Place among those of undecided vehicles behind which the round goes on that looks these up again.
    decided_last: Option<(bool, IncidentId)>,
    /// Something unrecorded is not to wait for the next round.
    urgent: bool,
    store_up: bool,
    /// Time when the store was read, on the monotonic clock.
    restored: Duration,
    /// Incidents that came from the journal alone, until the store can tell what it has of them.
    salvaged: BTreeSet<IncidentId>,
    /// Sealed calls that were let in.
    replays: Arc<Replays>,
    /// What is decided here is recorded in the trail of a cluster, and acted upon only then.
    shared: Option<Shared>,
    /// Which targets answer, as another desk knows that sends the notices of this one.
    told_up: Option<Vec<bool>>,
    /// Incidents that only the door of this node knows.
    called: Called,
}

/// A change of an incident that is to be announced.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Announcement {
    /// The incident as it was then; it may have left the desk since.
    pub incident: Incident,
    /// What happened to it.
    pub action: EventKind,
}

/// Overview of the desk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Overview {
    /// Real incidents that are not resolved.
    pub open: usize,
    /// Real incidents of vehicles that are not known for certain: strangers and undecided ones.
    pub open_of_strangers: usize,
    /// Of these, those from the source that has most.
    pub fullest_source: usize,
    /// Real incidents that no target has accepted.
    pub unaccepted: usize,
    /// Opening of the oldest of these, ms since 1970.
    pub oldest_unaccepted_ms: Option<i64>,
    /// Real incidents that no person has acknowledged.
    pub unacknowledged: usize,
    /// Opening of the oldest of these, ms since 1970.
    pub oldest_unacknowledged_ms: Option<i64>,
    /// Real incidents that a target has refused for good.
    pub dead_letters: usize,
    /// Incidents that are not on disk as they are, apart from those that only the door of this node knows: their alarms are kept.
    pub unrecorded: usize,
}

impl Desk {
    /// Returns an empty desk. `seed` decides the jitter between attempts.
    pub(crate) fn new(rules: impl Into<Arc<Rules>>, seed: u64) -> Self {
        let rules = rules.into();
        Self {
            rng: fastrand::Rng::with_seed(seed),
            arrivals: VecDeque::new(),
            board: Board::new(rules.clone()),
            queues: TargetQueues::new(&rules),
            turns: TurnEnds::default(),
            happened: Vec::new(),
            stirred: BTreeSet::new(),
            locate_next: IncidentId::from_u128(0),
            tidy_next: IncidentId::from_u128(0),
            decided_last: None,
            urgent: false,
            store_up: true,
            restored: Duration::ZERO,
            salvaged: BTreeSet::new(),
            replays: Arc::new(Replays::new(Counter::default())),
            shared: None,
            told_up: None,
            called: Called::default(),
            rules,
        }
    }

    /// Lets it note sealed calls in this table.
    pub(crate) fn with_replays(self, replays: Arc<Replays>) -> Self {
        Self { replays, ..self }
    }

    fn remove(&mut self, id: IncidentId) -> Option<Live> {
        self.turns.clear(id);
        self.stirred.remove(&id);
        let live = self.board.remove(id)?;
        self.queues.done_everywhere(id);
        self.called.leave(&live.incident);
        Some(live)
    }

    /// Adds an event by the service itself to an incident's trail, and announces it.
    fn note(&mut self, id: IncidentId, at_ms: i64, action: EventKind, reason: &str) {
        self.note_by(MACHINE, id, at_ms, action, reason);
    }

    /// Adds an event to an incident's trail, and announces it.
    fn note_by(&mut self, by: &str, id: IncidentId, at_ms: i64, action: EventKind, reason: &str) {
        self.board.update(id, |live| {
            live.touch();
            live.note(by, at_ms, action, reason);
        });
        self.announce(id, action);
    }

    fn announce(&mut self, id: IncidentId, action: EventKind) {
        if let Some(shared) = &self.shared {
            if shared.is_of_door {
                self.stir(id); // It is announced where it is shown.
            }
            return; // It is announced when it is applied.
        }
        let incident = self.get(id).cloned();
        self.happened.extend(incident.map(|incident| Announcement { incident, action }));
    }

    /// Returns true when there is something to announce.
    pub(crate) fn has_happened(&self) -> bool {
        !self.happened.is_empty()
    }

    /// Takes what has happened since the last time.
    pub(crate) fn take_happened(&mut self) -> Vec<Announcement> {
        std::mem::take(&mut self.happened)
    }

    /// Takes up to `max` incidents that have moved or reported since the last time.
    pub(crate) fn take_stirred(&mut self, max: usize) -> Vec<IncidentId> {
        std::iter::from_fn(|| self.stirred.pop_first()).take(max).collect()
    }

    /// Returns an incident, if it is at the desk.
    pub(crate) fn get(&self, id: IncidentId) -> Option<&Incident> {
        self.board.get(id).map(|live| &live.incident)
    }

    /// Returns true when the vehicle has a real incident that is not resolved.
    pub(crate) fn is_calling_for_help(&self, vehicle_id: &str) -> bool {
        !self.board.indexes().roster.of(vehicle_id, false).is_empty()
    }

    /// Returns the incidents that are older than `before`, the newest first.
    pub(crate) fn newest_first(&self, before: Option<IncidentId>) -> impl Iterator<Item = &Incident> {
        let end = before.unwrap_or(IncidentId::from_u128(u128::MAX));
        self.board.before(end).map(|live| &live.incident)
    }

    /// Returns an overview.
    pub(crate) fn overview(&self) -> Overview {
        let indexes = self.board.indexes();
        Overview {
            open: indexes.roster.open(false),
            open_of_strangers: indexes.roster.of_sort(false).strangers(),
            fullest_source: indexes.roster.of_sort(false).fullest_source(),
            unaccepted: indexes.unaccepted.len(),
            oldest_unaccepted_ms: self.opened_ms(indexes.unaccepted.first()),
            unacknowledged: indexes.unacknowledged.len(),
            oldest_unacknowledged_ms: self.opened_ms(indexes.unacknowledged.first()),
            dead_letters: indexes.dead.len(),
            unrecorded: indexes.unrecorded() - self.called.len(),
        }
    }

    fn opened_ms(&self, id: Option<&IncidentId>) -> Option<i64> {
        self.get(*id?).map(|incident| incident.alarm.opened_ms)
    }
}
