//! The desk: all incidents that are not over, in memory, and what is still to be done about each.
//!
//! It is what a table is to Erlang's processes: it belongs to no actor and outlives those that work at it. One of them
//! records, the other calls; when either crashes or hangs, the other goes on and the next incarnation finds its work.
//! Pure apart from that: no disk, no network, time handed in.
//!
//! Here is what there is and what is on disk; `admission` lets calls for help in, `delivery` decides whom to call next,
//! `persons` does what people decide, `upkeep` looks after what has been quiet.

mod admission;
mod delivery;
mod live;
mod persons;
mod roster;
#[cfg(test)]
mod tests;
mod upkeep;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use crate::id::IncidentId;
use crate::intake::alarm::Alarm;
use crate::notify::queue::NoticeQueue;
use crate::record::attempt::Attempt;
use crate::record::draft::Draft;
use crate::record::incident::Incident;
use crate::record::progress::MACHINE;
use crate::record::standing::Standing;
use crate::rules::Rules;
use crate::trail::{Event, EventKind};
pub use admission::{Admitted, Known, Merged};
use live::Live;
pub use persons::{Refusal, Request, RequestKind};
use roster::Roster;

/// Now, by both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// By the wall clock, ms since 1970.
    pub ms: i64,
    /// By the monotonic clock.
    pub at: Duration,
}

/// Everything about the incidents that are not over.
pub struct Desk {
    rules: Rules,
    rng: fastrand::Rng,
    /// Taken from the inbox and not let in yet.
    arrived: VecDeque<Alarm>,
    live: BTreeMap<IncidentId, Live>,
    roster: Roster,
    unaccepted: BTreeSet<IncidentId>,
    unacknowledged: BTreeSet<IncidentId>,
    /// Real ones with a target that has refused them for good.
    dead: BTreeSet<IncidentId>,
    /// Never written yet; they go first, and of them the vehicles that were known before.
    new: BTreeSet<(Standing, IncidentId)>,
    /// Written, and changed since.
    changed: BTreeSet<IncidentId>,
    /// With senders who wait to hear that it is on disk.
    awaited: BTreeSet<IncidentId>,
    unplaced: BTreeSet<IncidentId>,
    /// Whose place is looked for first the next time.
    place_next: IncidentId,
    /// Which incident is looked after first the next time.
    tidy_next: IncidentId,
    /// Something unrecorded should not wait for the next round.
    urgent: bool,
    store_up: bool,
    /// When the store was read, on the monotonic clock.
    restored: Duration,
    /// What each target is owed, in the order of the rules.
    queues: Vec<NoticeQueue<IncidentId, Standing>>,
    /// When a turn ends, and whose incident's.
    turn_ends: BTreeSet<(Duration, IncidentId)>,
    happened: Vec<Announcement>,
    /// Changed in a way that is worth showing, and no more.
    stirred: BTreeSet<IncidentId>,
}

/// Something that somebody who watches should see.
#[derive(Debug, Clone, PartialEq)]
pub struct Announcement {
    /// The incident as it was then; it may have left the desk since.
    pub incident: Incident,
    /// What happened to it.
    pub action: EventKind,
}

/// How things stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Overview {
    /// Real incidents that are not resolved.
    pub open: usize,
    /// Trials that are not resolved.
    pub open_tests: usize,
    /// Real incidents of vehicles that nobody knew before.
    pub open_of_strangers: usize,
    /// Real incidents that no target has accepted.
    pub unaccepted: usize,
    /// When the oldest of these was opened, ms since 1970.
    pub oldest_unaccepted_ms: Option<i64>,
    /// Real incidents that no person has acknowledged.
    pub unacknowledged: usize,
    /// When the oldest of these was opened, ms since 1970.
    pub oldest_unacknowledged_ms: Option<i64>,
    /// Incidents that are not on disk as they are.
    pub unrecorded: usize,
}

impl Desk {
    /// An empty desk. `seed` decides the jitter between attempts.
    pub fn new(rules: Rules, seed: u64) -> Self {
        let queues = rules.all().map(|turn| NoticeQueue::new(turn.slots, rules.patience)).collect();
        Self {
            rules,
            rng: fastrand::Rng::with_seed(seed),
            arrived: VecDeque::new(),
            live: BTreeMap::new(),
            roster: Roster::default(),
            unaccepted: BTreeSet::new(),
            unacknowledged: BTreeSet::new(),
            dead: BTreeSet::new(),
            new: BTreeSet::new(),
            changed: BTreeSet::new(),
            awaited: BTreeSet::new(),
            unplaced: BTreeSet::new(),
            place_next: IncidentId::from_u128(0),
            tidy_next: IncidentId::from_u128(0),
            urgent: false,
            store_up: true,
            restored: Duration::ZERO,
            queues,
            turn_ends: BTreeSet::new(),
            happened: Vec::new(),
            stirred: BTreeSet::new(),
        }
    }

    fn enlist(&mut self, live: Live) {
        let id = live.incident.id;
        if !live.incident.is_resolved() {
            self.roster.enter(&live.incident);
        }
        self.live.insert(id, live);
        self.sort(id);
        self.note_place(id);
    }

    fn remove(&mut self, id: IncidentId) -> Option<Live> {
        self.end_turn_at(id, None);
        let live = self.live.remove(&id)?;
        self.roster.leave(&live.incident);
        self.queues.iter_mut().for_each(|calls| calls.done(id));
        self.new.remove(&(live.incident.standing.in_queue(), id));
        let waits = [&mut self.unaccepted, &mut self.unacknowledged, &mut self.dead, &mut self.awaited];
        for ids in waits.into_iter().chain([&mut self.changed, &mut self.unplaced, &mut self.stirred]) {
            ids.remove(&id);
        }
        Some(live)
    }

    fn change(&mut self, id: IncidentId, change: impl FnOnce(&mut Incident)) -> Option<&mut Live> {
        let live = self.live.get_mut(&id)?;
        change(&mut live.incident);
        live.version += 1;
        if live.recorded > 0 {
            self.changed.insert(id);
        }
        self.sort(id);
        self.live.get_mut(&id)
    }

    /// Keeps the lists true that say what an incident waits for.
    fn sort(&mut self, id: IncidentId) {
        let incident = &self.live[&id].incident;
        let waits = [
            (incident.is_unaccepted(), &mut self.unaccepted),
            (incident.is_unacknowledged(), &mut self.unacknowledged),
            (self.rules.has_dead_letter(incident), &mut self.dead),
        ];
        for (waits, ids) in waits {
            if waits {
                ids.insert(id);
            } else {
                ids.remove(&id);
            }
        }
    }

    /// Puts a change of ours on the trail of an incident, and lets those who watch know.
    fn note(&mut self, id: IncidentId, at_ms: i64, action: EventKind, reason: &str) {
        self.note_by(MACHINE, id, at_ms, action, reason);
    }

    /// Puts somebody's change on the trail of an incident, and lets those who watch know.
    fn note_by(&mut self, by: &str, id: IncidentId, at_ms: i64, action: EventKind, reason: &str) {
        if let Some(live) = self.change(id, |_| ()) {
            live.note(by, at_ms, action, reason);
        }
        self.happens(id, action);
    }

    /// Lets those who watch know.
    fn happens(&mut self, id: IncidentId, action: EventKind) {
        let incident = self.get(id).cloned();
        self.happened.extend(incident.map(|incident| Announcement { incident, action }));
    }

    fn note_place(&mut self, id: IncidentId) {
        if self.live[&id].incident.alarm.fix.is_none() {
            self.unplaced.insert(id);
        } else {
            self.unplaced.remove(&id);
        }
    }

    /// Whether anything has happened that nobody has asked for.
    pub fn has_happened(&self) -> bool {
        !self.happened.is_empty()
    }

    /// What has happened since this was last asked.
    pub fn take_happened(&mut self) -> Vec<Announcement> {
        std::mem::take(&mut self.happened)
    }

    /// Up to `max` incidents that have moved or reported since this was last asked.
    pub fn take_stirred(&mut self, max: usize) -> Vec<IncidentId> {
        std::iter::from_fn(|| self.stirred.pop_first()).take(max).collect()
    }

    /// Whether something new is waiting to be recorded.
    pub fn is_urgent(&self) -> bool {
        self.urgent
    }

    /// Up to `max` incidents that are not on disk as they are: the new ones first, and of those the vehicles that were
    /// known before.
    pub fn drafts(&mut self, max: usize) -> Vec<Draft> {
        self.urgent = self.unrecorded() > max;
        let ids = self.new.iter().map(|(_, id)| id).chain(&self.changed).take(max);
        ids.filter_map(|id| self.live.get(id)).map(Live::draft).collect()
    }

    /// One incident, if it is not on disk as it is.
    pub fn draft(&self, id: IncidentId) -> Option<Draft> {
        self.live.get(&id).filter(|live| live.recorded < live.version).map(Live::draft)
    }

    /// These are on disk: their senders hear it, they may be called, and those that are over are let go.
    pub fn recorded(&mut self, drafts: &[Draft]) {
        self.store_up = true;
        for draft in drafts {
            self.recorded_one(draft);
        }
    }

    fn recorded_one(&mut self, draft: &Draft) {
        let id = draft.incident.id;
        let Some(live) = self.live.get_mut(&id) else { return };
        live.recorded(draft);
        let safe = |(since, _): &mut (u64, crate::intake::ack::PendingAck)| *since <= draft.version;
        live.acks.extract_if(.., safe).for_each(|(_, ack)| ack.grant(id));
        let done = live.recorded >= live.version;
        if live.acks.is_empty() {
            self.awaited.remove(&id);
        }
        // What is under way must still find its incident.
        let over = live.incident.is_resolved() && !self.queues.iter().any(|calls| calls.is_under_way(id));
        self.queues.iter_mut().for_each(|calls| calls.recorded(id));
        self.new.remove(&(draft.incident.standing.in_queue(), id));
        match (done, over) {
            (false, _) => drop(self.changed.insert(id)),
            (true, false) => drop(self.changed.remove(&id)),
            (true, true) => drop(self.remove(id)),
        }
    }

    fn unrecorded(&self) -> usize {
        self.new.len() + self.changed.len()
    }

    /// The store does not work: first calls do not wait for it.
    pub fn store_down(&mut self) {
        self.store_up = false;
        self.urgent = false;
        self.queues.iter_mut().for_each(NoticeQueue::release);
    }

    /// The incident, if it is still at the desk.
    pub fn get(&self, id: IncidentId) -> Option<&Incident> {
        self.live.get(&id).map(|live| &live.incident)
    }

    /// Whether the incident is on disk as it is.
    pub fn is_recorded(&self, id: IncidentId) -> bool {
        self.live.get(&id).is_none_or(|live| live.recorded >= live.version)
    }

    /// What is not on the trail and the ledger of the incident yet.
    pub fn pending(&self, id: IncidentId) -> (Vec<Event>, Vec<Attempt>) {
        let live = self.live.get(&id);
        live.map(|live| (live.notes().cloned().collect(), live.ledger.clone())).unwrap_or_default()
    }

    /// Whether the vehicle calls for help in earnest, and nobody has resolved it.
    pub fn is_calling_for_help(&self, vehicle_id: &str) -> bool {
        !self.roster.of(vehicle_id, false).is_empty()
    }

    /// The incidents at the desk that are older than `before`, newest first.
    pub fn newest_first(&self, before: Option<IncidentId>) -> impl Iterator<Item = &Incident> {
        let older = self.live.range(..before.unwrap_or(IncidentId::from_u128(u128::MAX)));
        older.rev().map(|(_, live)| &live.incident)
    }

    /// How things stand.
    pub fn overview(&self) -> Overview {
        let opened = |ids: &BTreeSet<IncidentId>| {
            ids.first().and_then(|id| self.get(*id)).map(|incident| incident.alarm.opened_ms)
        };
        Overview {
            open: self.roster.open(false),
            open_tests: self.roster.open(true),
            open_of_strangers: self.roster.strangers(),
            unaccepted: self.unaccepted.len(),
            oldest_unaccepted_ms: opened(&self.unaccepted),
            unacknowledged: self.unacknowledged.len(),
            oldest_unacknowledged_ms: opened(&self.unacknowledged),
            unrecorded: self.unrecorded(),
        }
    }
}
