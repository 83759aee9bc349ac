//! Which incidents are owed a call, and whose turn it is.
//!
//! Pure: time and order are handed in. First attempts go before retries, and retries never take all lines to the target,
//! so that a target that hangs cannot hold up who calls for the first time. Every fourth turn is a retry's if one is due, so
//! that first attempts without end cannot hold up retries for ever. Among retries the oldest incident goes first.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use super::id::IncidentId;

/// First attempts that may go in a row while a retry is due and has a line.
const FIRST_IN_A_ROW: usize = 3;

/// Incidents that are owed a call.
#[derive(Debug)]
pub struct Calls {
    lines: usize,
    lines_for_retries: usize,
    phases: HashMap<IncidentId, Phase>,
    held: BTreeSet<(Duration, IncidentId)>,
    fresh: BTreeSet<IncidentId>,
    waiting: BTreeSet<(Duration, IncidentId)>,
    due: BTreeSet<IncidentId>,
    retries_under_way: usize,
    under_way: usize,
    /// First attempts that went before a retry since the last retry.
    went_before: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Not on disk yet: called when it is, or at this time whatever happens.
    Held(Duration),
    /// May be called for the first time.
    Fresh,
    /// Is to be called again, at this time.
    Waiting(Duration),
    /// Is to be called again, now.
    Due,
    /// Is being called, for the first time or again.
    UnderWay { retry: bool },
}

impl Calls {
    /// Nothing owed. At most `lines` attempts are under way at a time, a quarter of them kept for first attempts.
    pub fn new(lines: usize) -> Self {
        let lines = lines.max(1);
        Self {
            lines,
            lines_for_retries: lines - lines / 4,
            phases: HashMap::new(),
            held: BTreeSet::new(),
            fresh: BTreeSet::new(),
            waiting: BTreeSet::new(),
            due: BTreeSet::new(),
            retries_under_way: 0,
            under_way: 0,
            went_before: 0,
        }
    }

    /// A first call is owed as soon as it is recorded, at the latest at `until`.
    pub fn hold(&mut self, id: IncidentId, until: Duration) {
        self.enter(id, Phase::Held(until));
    }

    /// The incident is on disk: if it was held for that, it may be called.
    pub fn recorded(&mut self, id: IncidentId) {
        if matches!(self.phases.get(&id), Some(Phase::Held(_))) {
            self.enter(id, Phase::Fresh);
        }
    }

    /// There is no use in waiting for the disk: all that is held may be called.
    pub fn release(&mut self) {
        for (_, id) in std::mem::take(&mut self.held) {
            self.enter(id, Phase::Fresh);
        }
    }

    /// A call is owed from an earlier run: at once.
    pub fn resume(&mut self, id: IncidentId) {
        self.enter(id, Phase::Due);
    }

    /// Whoever made the calls is gone: what was under way must be tried again.
    pub fn hung_up(&mut self) {
        let cut = self.phases.iter().filter(|(_, phase)| matches!(phase, Phase::UnderWay { .. }));
        let cut: Vec<_> = cut.map(|(id, _)| *id).collect();
        cut.into_iter().for_each(|id| self.enter(id, Phase::Due));
    }

    /// The next incident to call at `now`, if one is due and a line is free. It is under way from here on.
    pub fn next(&mut self, now: Duration) -> Option<IncidentId> {
        self.move_on(now);
        if self.under_way >= self.lines {
            return None;
        }
        let retry_fits = self.retries_under_way < self.lines_for_retries;
        let due = self.due.first().filter(|_| retry_fits);
        let (id, retry) = match (self.fresh.first(), due) {
            (Some(_), Some(id)) if self.went_before >= FIRST_IN_A_ROW => (*id, true),
            (Some(id), _) => (*id, false),
            (None, Some(id)) => (*id, true),
            (None, None) => return None,
        };
        self.went_before = if due.is_some() && !retry { self.went_before + 1 } else { 0 };
        self.enter(id, Phase::UnderWay { retry });
        Some(id)
    }

    /// The attempt has failed; the next is at `due`.
    pub fn failed(&mut self, id: IncidentId, due: Duration) {
        self.enter(id, Phase::Waiting(due));
    }

    /// Nothing is owed to the incident any more.
    pub fn done(&mut self, id: IncidentId) {
        self.leave(id);
    }

    /// When [`Calls::next`] may have something although nothing else happens. A past time means now.
    pub fn wake_at(&self) -> Option<Duration> {
        if self.under_way >= self.lines {
            return None; // The end of an attempt will say.
        }
        let retry_fits = self.retries_under_way < self.lines_for_retries;
        let at_once = !self.fresh.is_empty() || (retry_fits && !self.due.is_empty());
        let held = self.held.first().map(|(until, _)| *until);
        let waiting = self.waiting.first().map(|(due, _)| *due).filter(|_| retry_fits);
        at_once.then_some(Duration::ZERO).into_iter().chain(held).chain(waiting).min()
    }

    /// Whether anything waits for its first attempt, recorded or not.
    pub fn has_fresh(&self) -> bool {
        !self.fresh.is_empty() || !self.held.is_empty()
    }

    /// Attempts under way.
    pub fn under_way(&self) -> usize {
        self.under_way
    }

    /// Whether the incident is being called right now.
    pub fn is_under_way(&self, id: IncidentId) -> bool {
        matches!(self.phases.get(&id), Some(Phase::UnderWay { .. }))
    }

    /// What was held too long may be called, and what waited long enough is due.
    fn move_on(&mut self, now: Duration) {
        while let Some(&(_, id)) = self.held.first().filter(|(until, _)| *until <= now) {
            self.enter(id, Phase::Fresh);
        }
        while let Some(&(_, id)) = self.waiting.first().filter(|(due, _)| *due <= now) {
            self.enter(id, Phase::Due);
        }
    }

    fn enter(&mut self, id: IncidentId, phase: Phase) {
        self.leave(id);
        match phase {
            Phase::Held(until) => drop(self.held.insert((until, id))),
            Phase::Fresh => drop(self.fresh.insert(id)),
            Phase::Waiting(due) => drop(self.waiting.insert((due, id))),
            Phase::Due => drop(self.due.insert(id)),
            Phase::UnderWay { retry } => {
                self.under_way += 1;
                self.retries_under_way += usize::from(retry);
            }
        }
        self.phases.insert(id, phase);
    }

    fn leave(&mut self, id: IncidentId) {
        match self.phases.remove(&id) {
            Some(Phase::Held(until)) => drop(self.held.remove(&(until, id))),
            Some(Phase::Fresh) => drop(self.fresh.remove(&id)),
            Some(Phase::Waiting(due)) => drop(self.waiting.remove(&(due, id))),
            Some(Phase::Due) => drop(self.due.remove(&id)),
            Some(Phase::UnderWay { retry }) => {
                self.under_way -= 1;
                self.retries_under_way -= usize::from(retry);
            }
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u128) -> IncidentId {
        IncidentId::from_u128(number)
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn all(calls: &mut Calls, now: Duration) -> Vec<u128> {
        std::iter::from_fn(|| calls.next(now)).map(IncidentId::as_u128).collect()
    }

    #[test]
    fn waits_for_the_record_but_not_for_long() {
        let mut calls = Calls::new(8);
        calls.hold(id(1), ms(100));
        calls.hold(id(2), ms(120));
        assert_eq!((calls.wake_at(), all(&mut calls, ms(99))), (Some(ms(100)), vec![]));
        calls.recorded(id(2));
        assert_eq!(calls.wake_at(), Some(Duration::ZERO));
        assert_eq!(all(&mut calls, ms(99)), [2]);
        assert_eq!(all(&mut calls, ms(100)), [1]);
        calls.recorded(id(1));
        assert_eq!(all(&mut calls, ms(500)), [0; 0], "it is under way already");
    }

    #[test]
    fn does_not_wait_for_a_broken_disk() {
        let mut calls = Calls::new(8);
        calls.hold(id(1), ms(100));
        calls.release();
        assert_eq!(all(&mut calls, ms(0)), [1]);
    }

    #[test]
    fn the_oldest_incident_is_called_again_first() {
        let mut calls = Calls::new(8);
        for (number, due) in [(3, 10), (1, 30), (2, 20)] {
            calls.failed(id(number), ms(due));
        }
        assert_eq!(calls.wake_at(), Some(ms(10)));
        assert_eq!(all(&mut calls, ms(20)), [2, 3]);
        assert_eq!(calls.wake_at(), Some(ms(30)));
        assert_eq!(all(&mut calls, ms(30)), [1]);
    }

    #[test]
    fn retries_never_take_every_line() {
        let mut calls = Calls::new(4);
        (1..=9).for_each(|number| calls.resume(id(number)));
        assert_eq!(all(&mut calls, ms(0)), [1, 2, 3]);
        assert_eq!(calls.wake_at(), None, "no line for a retry");
        calls.hold(id(10), ms(0));
        calls.hold(id(11), ms(0));
        assert_eq!(all(&mut calls, ms(0)), [10]);
        calls.done(id(2));
        assert_eq!(all(&mut calls, ms(0)), [11], "first attempts go before retries");
        calls.failed(id(10), ms(1000));
        assert_eq!(all(&mut calls, ms(0)), [4]);
        assert_eq!(calls.under_way(), 4);
    }

    #[test]
    fn first_attempts_without_end_hold_up_no_retry() {
        for lines in [1, 2, 4, 64] {
            let mut calls = Calls::new(lines);
            calls.resume(id(1));
            let mut called = Vec::new();
            for number in 10..20 {
                calls.hold(id(number), ms(0));
                calls.hold(id(number + 100), ms(0));
                let next = calls.next(ms(0)).unwrap();
                calls.done(next);
                called.push(next.as_u128());
            }
            assert_eq!(called.iter().position(|number| *number == 1), Some(3), "{lines} lines: {called:?}");
        }
    }

    #[test]
    fn a_single_line_serves_retries_too() {
        let mut calls = Calls::new(1);
        calls.resume(id(1));
        assert_eq!(all(&mut calls, ms(0)), [1]);
    }

    #[test]
    fn what_was_cut_off_is_tried_again() {
        let mut calls = Calls::new(8);
        calls.hold(id(1), ms(0));
        assert_eq!(all(&mut calls, ms(0)), [1]);
        calls.hung_up();
        assert_eq!((calls.under_way(), all(&mut calls, ms(0))), (0, vec![1]));
        calls.done(id(1));
        assert_eq!((calls.wake_at(), calls.under_way()), (None, 0));
    }
}
