//! Queue of one target: what it is owed, and what is sent to it next.
//!
//! First notices about known vehicles go first, then repeats of these, then the same for undecided ones, then for strangers, then
//! updates of what the target has accepted; in each the oldest first. A quarter of the slots is kept for first notices about known
//! vehicles, and another quarter for these and their repeats: so neither a target that hangs nor a flood of invented
//! vehicles can hold up a known vehicle. Every fourth notice is a repeat or an update, if one is due, so that first notices
//! without end cannot hold it up for ever.
//!
//! Pure: time and order are handed in. The queue is generic in the key (an incident) and in its rank (the standing of the
//! vehicle); a preferred rank is served as known vehicles are.

mod order;
mod phase;
mod slots;
#[cfg(test)]
mod tests;

use std::hash::Hash;
use std::time::Duration;

use crate::notify::breaker::{Breaker, Patience};
use order::Order;
use phase::{NoticeSort, Phase, Rank};
use slots::Slots;

/// First notices that may go in a row while something else is due. Without a limit, vehicles that raise alarms
/// faster than slots become free would keep all that failed from ever being sent again.
const FIRST_IN_A_ROW: usize = 3;

/// Queue of one target.
#[derive(Debug)]
pub(crate) struct NoticeQueue<K, R> {
    order: Order<K, R>,
    slots: Slots,
    breaker: Breaker,
    /// First notices that went out in a row before something else that was due.
    first_in_a_row: usize,
}

impl<K: Copy + Ord + Hash, R: Rank> NoticeQueue<K, R> {
    /// Returns an empty queue, of which at most `slots` notices are under way at a time.
    pub(crate) fn new(slots: usize, patience: Patience) -> Self {
        Self {
            order: Order::new(),
            slots: Slots::new(slots),
            breaker: Breaker::new(patience),
            first_in_a_row: 0,
        }
    }

    /// Queues a first notice for when its key is on disk, at the latest for `until`.
    pub(crate) fn hold(&mut self, key: K, rank: R, until: Duration) {
        self.enter(key, Phase::Held { rank, until });
    }

    /// Releases a first notice that was held until its key is on disk.
    pub(crate) fn recorded(&mut self, key: K) {
        if let Some(Phase::Held { rank, .. }) = self.order.phase(key) {
            self.enter(key, Phase::Fresh { rank });
        }
    }

    /// Releases everything that is held: there is no use in waiting for the disk.
    pub(crate) fn release(&mut self) {
        for key in self.order.held() {
            self.recorded(key);
        }
    }

    /// Queues a first notice for now: the turn has passed on to this target.
    pub(crate) fn begin(&mut self, key: K, rank: R) {
        self.enter(key, Phase::Fresh { rank });
    }

    /// Queues a repeat for `at`: the target has not accepted yet, or is to be reminded.
    pub(crate) fn repeat(&mut self, key: K, rank: R, at: Duration) {
        self.wait(key, NoticeSort::Repeat(rank), at);
    }

    /// Gives what is owed about the key another rank. A notice under way keeps its slot, and is counted under that rank.
    pub(crate) fn rank(&mut self, key: K, rank: R) {
        if let Some(phase) = self.order.phase(key) {
            self.enter(key, phase.of_rank(rank));
        }
    }

    /// Queues an update for `at`: there is news about what the target has accepted.
    pub(crate) fn update(&mut self, key: K, at: Duration) {
        self.wait(key, NoticeSort::Update, at);
    }

    fn wait(&mut self, key: K, sort: NoticeSort<R>, until: Duration) {
        // A notice under way is not disturbed: its end decides.
        if !self.is_under_way(key) {
            self.enter(key, Phase::Waiting { sort, until, firm: false });
        }
    }

    /// Returns true when the target is owed anything about the key, now or later.
    pub(crate) fn has(&self, key: K) -> bool {
        self.order.phase(key).is_some()
    }

    /// Makes all that was under way due again: the sender of the notices has crashed.
    pub(crate) fn hung_up(&mut self) {
        for (key, sort) in self.order.under_way() {
            self.enter(key, Phase::Due { sort: sort.retry() });
        }
    }

    /// Takes the key of the next notice at `now`, if one is due and has a slot. It is under way from here on.
    pub(crate) fn next(&mut self, now: Duration) -> Option<K> {
        self.move_on(now);
        let (sort, key) = self.choose(now)?;
        let passes_over = self.order.has_due() && matches!(sort, NoticeSort::First(_));
        self.first_in_a_row = if passes_over { self.first_in_a_row + 1 } else { 0 };
        self.breaker.sent(now);
        self.enter(key, Phase::UnderWay { sort });
        Some(key)
    }

    /// Releases what was held too long, and makes due what has waited long enough.
    fn move_on(&mut self, now: Duration) {
        while let Some((_, key)) = self.order.first_held().filter(|(until, _)| *until <= now) {
            self.recorded(key);
        }
        while let Some((_, sort, key)) = self.order.first_waiting().find(|(until, ..)| *until <= now) {
            self.enter(key, Phase::Due { sort });
        }
    }

    fn choose(&self, now: Duration) -> Option<(NoticeSort<R>, K)> {
        let fresh = self.order.first_fresh().filter(|(sort, _)| self.may_go(*sort, now));
        let due = self.order.first_due().filter(|(sort, _)| self.may_go(*sort, now));
        // A retry about a known vehicle must not wait behind strangers, however many there are.
        let rank_of = |next: &Option<(NoticeSort<R>, K)>| next.and_then(|(sort, _)| sort.rank());
        let due_ranks_higher = match (rank_of(&fresh), rank_of(&due)) {
            (Some(fresh), Some(due)) => due < fresh,
            _ => false,
        };
        if due_ranks_higher || self.first_in_a_row >= FIRST_IN_A_ROW { due.or(fresh) } else { fresh.or(due) }
    }

    /// Returns true when a notice of this sort has a slot, and the target may be tried now.
    fn may_go(&self, sort: NoticeSort<R>, now: Duration) -> bool {
        // The breaker holds no new alarm of a vehicle back that may be known: once the target is back, the next probe may be 15 s away.
        self.slots.has_free(sort) && (sort.is_never_held_back() || self.breaker.allows(now))
    }

    /// Queues a notice that failed for its next try at `due`. If the target `asked` for that wait, it is kept.
    pub(crate) fn failed(&mut self, key: K, now: Duration, due: Duration, asked: bool) {
        self.breaker.failed(now);
        if let Some(Phase::UnderWay { sort }) = self.order.phase(key) {
            self.enter(key, Phase::Waiting { sort: sort.retry(), until: due, firm: asked });
        }
    }

    /// Ends a notice that the target accepted or refused for good. If the target was down before, all retries that wait are due
    /// now.
    pub(crate) fn settled(&mut self, key: K) {
        self.leave(key);
        // The waits were made for a target that was down.
        if !self.breaker.settled() {
            return;
        }
        for (key, sort) in self.order.waiting_retries() {
            self.enter(key, Phase::Due { sort });
        }
    }

    /// Forgets what the target is owed about the key.
    pub(crate) fn done(&mut self, key: K) {
        self.leave(key);
    }

    /// Forgets what the target is owed about the key, but keeps a notice under way: it has a slot until it ends.
    pub(crate) fn cancel(&mut self, key: K) {
        if !self.is_under_way(key) {
            self.leave(key);
        }
    }

    /// Returns the time when [`NoticeQueue::next`] may have something although nothing else happens. A past time means now.
    pub(crate) fn wake_at(&self) -> Option<Duration> {
        if self.slots.are_full() {
            return None; // The end of a notice rings.
        }
        let held = self.order.first_held().map(|(until, _)| until);
        let fresh = self.order.first_fresh().and_then(|(sort, _)| self.may_go_at(sort));
        let due = self.order.first_due().and_then(|(sort, _)| self.may_go_at(sort));
        let waiting = self.order.first_waiting();
        let waiting = waiting.filter_map(|(until, sort, _)| self.may_go_at(sort).map(|free| free.max(until)));
        [held, fresh, due].into_iter().flatten().chain(waiting).min()
    }

    /// Returns the time when a notice of this sort may go, if it has a slot.
    fn may_go_at(&self, sort: NoticeSort<R>) -> Option<Duration> {
        let probe_at = self.breaker.probe_at().filter(|_| !sort.is_never_held_back()).unwrap_or_default();
        self.slots.has_free(sort).then_some(probe_at)
    }

    /// Returns true when anything waits for its first notice, recorded or not.
    pub(crate) fn has_fresh(&self) -> bool {
        self.order.has_first()
    }

    /// Returns true when notices go out as they come, and not only as probes.
    pub(crate) fn is_up(&self) -> bool {
        // A target that is owed nothing is not known to be down.
        self.breaker.is_closed() || self.order.is_empty()
    }

    pub(crate) fn is_under_way(&self, key: K) -> bool {
        matches!(self.order.phase(key), Some(Phase::UnderWay { .. }))
    }

    /// Returns the time of the next notice about the key, if it has to wait; it may have to wait for a slot as well.
    pub(crate) fn due_at(&self, key: K) -> Option<Duration> {
        match self.order.phase(key)? {
            Phase::Held { until, .. } | Phase::Waiting { until, .. } => Some(until),
            Phase::Fresh { .. } | Phase::Due { .. } => Some(Duration::ZERO),
            Phase::UnderWay { .. } => None,
        }
    }

    fn enter(&mut self, key: K, phase: Phase<R>) {
        self.leave(key);
        if let Phase::UnderWay { sort } = phase {
            self.slots.take(sort);
        }
        self.order.insert(key, phase);
    }

    fn leave(&mut self, key: K) {
        if let Some(Phase::UnderWay { sort }) = self.order.remove(key) {
            self.slots.free(sort);
        }
    }
}
