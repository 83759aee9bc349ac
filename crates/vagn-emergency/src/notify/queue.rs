//! Which incidents one target is owed a call about, and whose turn it is.
//!
//! Pure: time and order are handed in. First calls of vehicles that were known before go first, then what is owed to them
//! again, then strangers, then news about what is accepted; in each the oldest incident first. A quarter of the lines is
//! kept for first calls of known vehicles, and another for them and what is owed to them again: so neither a target that
//! hangs nor a flood of invented vehicles can hold up a known vehicle. Every fourth turn goes to what is due again, if
//! something is, so that first calls without end cannot hold it up for ever.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use crate::id::IncidentId;
use crate::notify::breaker::{Breaker, Patience};
use crate::record::standing::Standing;

/// First calls that may go in a row while something else is due and has a line.
const FIRST_IN_A_ROW: usize = 3;

/// Why a call is due that is not the first. Ordered by what goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Again {
    /// Nobody there has accepted it yet, or it is to be said again.
    Owed(Standing),
    /// It is accepted, and there is news about it.
    News,
}

/// The calls to one target.
#[derive(Debug)]
pub struct NoticeQueue {
    lines: usize,
    /// Lines for all that is not a first call of a known vehicle.
    lines_but_first: usize,
    /// Lines for strangers and news.
    lines_for_others: usize,
    phases: HashMap<IncidentId, Phase>,
    held: BTreeSet<(Duration, IncidentId)>,
    fresh: BTreeSet<(Standing, IncidentId)>,
    waiting: BTreeSet<(Duration, IncidentId)>,
    due: BTreeSet<(Again, IncidentId)>,
    others_under_way: usize,
    under_way_but_first: usize,
    under_way: usize,
    /// First calls that went before something else that was due.
    went_before: usize,
    breaker: Breaker,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Not on disk yet: called when it is, or at this time whatever happens.
    Held(Standing, Duration),
    /// May be called for the first time.
    Fresh(Standing),
    /// Is to be called again, at this time; not sooner when the target wants it so.
    Waiting(Again, Duration, Firm),
    /// Is to be called again, now.
    Due(Again),
    /// Is being called.
    UnderWay(Sort),
}

/// Whether a wait holds although the target is there again.
type Firm = bool;

/// What a call under sort is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sort {
    First(Standing),
    Again(Again),
}

impl Sort {
    const FIRST: Self = Self::First(Standing::Known);
    const OWED: Self = Self::Again(Again::Owed(Standing::Known));

    /// Of a stranger, or only news.
    fn is_other(self) -> bool {
        self != Self::FIRST && self != Self::OWED
    }

    /// What it is when it has to be made once more.
    fn again(self) -> Again {
        match self {
            Self::First(standing) => Again::Owed(standing),
            Self::Again(again) => again,
        }
    }
}

impl NoticeQueue {
    /// Nothing owed. At most `lines` calls are under sort at a time.
    pub fn new(lines: usize, patience: Patience) -> Self {
        let lines = lines.max(1);
        Self {
            lines,
            lines_but_first: lines - lines / 4,
            lines_for_others: lines - 2 * (lines / 4),
            phases: HashMap::new(),
            held: BTreeSet::new(),
            fresh: BTreeSet::new(),
            waiting: BTreeSet::new(),
            due: BTreeSet::new(),
            others_under_way: 0,
            under_way_but_first: 0,
            under_way: 0,
            went_before: 0,
            breaker: Breaker::new(patience),
        }
    }

    /// A first call is owed as soon as it is recorded, at the latest at `until`.
    pub fn hold(&mut self, id: IncidentId, standing: Standing, until: Duration) {
        self.enter(id, Phase::Held(standing, until));
    }

    /// The incident is on disk: if it was held for that, it may be called.
    pub fn recorded(&mut self, id: IncidentId) {
        if let Some(Phase::Held(standing, _)) = self.phases.get(&id) {
            self.enter(id, Phase::Fresh(*standing));
        }
    }

    /// There is no use in waiting for the disk: all that is held may be called.
    pub fn release(&mut self) {
        for (_, id) in std::mem::take(&mut self.held) {
            self.recorded(id);
        }
    }

    /// A first call is owed at once: its turn has passed on to this target.
    pub fn begin(&mut self, id: IncidentId, standing: Standing) {
        self.enter(id, Phase::Fresh(standing));
    }

    /// A call is owed again at `at`. One that is under sort is not disturbed: how it ends decides.
    pub fn again(&mut self, id: IncidentId, again: Again, at: Duration) {
        if !self.is_under_way(id) {
            self.enter(id, Phase::Waiting(again, at, false));
        }
    }

    /// Whether anything is to be called about the incident, now or later.
    pub fn has(&self, id: IncidentId) -> bool {
        self.phases.contains_key(&id)
    }

    /// Whoever made the calls is gone: what was under sort must be tried again.
    pub fn hung_up(&mut self) {
        let cut = self.phases.iter().filter_map(|(id, phase)| match phase {
            Phase::UnderWay(sort) => Some((*id, sort.again())),
            _ => None,
        });
        let cut: Vec<_> = cut.collect();
        cut.into_iter().for_each(|(id, again)| self.enter(id, Phase::Due(again)));
    }

    /// The next incident to call about at `now`, if one is due and a line is free. It is under sort from here on.
    pub fn next(&mut self, now: Duration) -> Option<IncidentId> {
        self.move_on(now);
        let (sort, id) = self.choose(now)?;
        let skipped = !self.due.is_empty() && matches!(sort, Sort::First(_));
        self.went_before = if skipped { self.went_before + 1 } else { 0 };
        self.breaker.called(now);
        self.enter(id, Phase::UnderWay(sort));
        Some(id)
    }

    fn choose(&self, now: Duration) -> Option<(Sort, IncidentId)> {
        let fits = |(sort, _): &(Sort, IncidentId)| self.fits(*sort, now);
        let fresh = self.fresh.first().map(|(standing, id)| (Sort::First(*standing), *id)).filter(fits);
        let due = self.due.first().map(|(again, id)| (Sort::Again(*again), *id)).filter(fits);
        let due_first = match (&fresh, &due) {
            (Some((Sort::First(Standing::Stranger), _)), Some((Sort::OWED, _))) => true,
            _ => self.went_before >= FIRST_IN_A_ROW,
        };
        if due_first { due.or(fresh) } else { fresh.or(due) }
    }

    /// Whether a call of this sort has a line, and the target is to be called now.
    fn fits(&self, sort: Sort, now: Duration) -> bool {
        self.has_line(sort) && (sort == Sort::FIRST || self.breaker.lets(now))
    }

    fn has_line(&self, sort: Sort) -> bool {
        self.under_way < self.lines
            && (sort == Sort::FIRST || self.under_way_but_first < self.lines_but_first)
            && (!sort.is_other() || self.others_under_way < self.lines_for_others)
    }

    /// The call came to nothing; the next is at `due`, and not sooner if the target asked for that.
    pub fn failed(&mut self, id: IncidentId, now: Duration, due: Duration, asked: bool) {
        self.breaker.failed(now);
        if let Some(Phase::UnderWay(sort)) = self.phases.get(&id) {
            self.enter(id, Phase::Waiting(sort.again(), due, asked));
        }
    }

    /// The target has answered, so nothing is owed to it any more; and if it has not for a while, all that waits for its
    /// next try is due now, the oldest first.
    pub fn answered(&mut self, id: IncidentId) {
        self.leave(id);
        if !self.breaker.answered() {
            return;
        }
        let waiting = self.waiting.iter().filter_map(|(_, id)| match self.phases[id] {
            Phase::Waiting(again @ Again::Owed(_), _, false) => Some((*id, again)),
            _ => None,
        });
        let waiting: Vec<_> = waiting.collect();
        waiting.into_iter().for_each(|(id, again)| self.enter(id, Phase::Due(again)));
    }

    /// Nothing is to be said to the target about the incident any more.
    pub fn done(&mut self, id: IncidentId) {
        self.leave(id);
    }

    /// As [`NoticeQueue::done`], but for a call under sort, which keeps its line until it has ended.
    pub fn cancel(&mut self, id: IncidentId) {
        if !self.is_under_way(id) {
            self.leave(id);
        }
    }

    /// When [`NoticeQueue::next`] may have something although nothing else happens. A past time means now.
    pub fn wake_at(&self) -> Option<Duration> {
        if self.under_way >= self.lines {
            return None; // The end of a call will say.
        }
        let held = self.held.first().map(|(until, _)| *until);
        let fresh = self.fresh.first().and_then(|(standing, _)| self.at(Sort::First(*standing)));
        let due = self.due.first().and_then(|(again, _)| self.at(Sort::Again(*again)));
        let waiting = self.waiting.first().and_then(|(at, id)| match self.phases[id] {
            Phase::Waiting(again, ..) => self.at(Sort::Again(again)).map(|free| free.max(*at)),
            _ => None,
        });
        [held, fresh, due, waiting].into_iter().flatten().min()
    }

    /// When a call of this sort may go, if it has a line.
    fn at(&self, sort: Sort) -> Option<Duration> {
        let probe_at = self.breaker.probe_at().filter(|_| sort != Sort::FIRST).unwrap_or_default();
        self.has_line(sort).then_some(probe_at)
    }

    /// Whether anything waits for its first call, recorded or not.
    pub fn has_fresh(&self) -> bool {
        !self.fresh.is_empty() || !self.held.is_empty()
    }

    /// Whether the target is called as calls come, and not only probed. One that nothing is owed to is not known to be down.
    pub fn is_up(&self) -> bool {
        self.breaker.is_closed() || self.phases.is_empty()
    }

    /// Whether the incident is being called about right now.
    pub fn is_under_way(&self, id: IncidentId) -> bool {
        matches!(self.phases.get(&id), Some(Phase::UnderWay { .. }))
    }

    /// When the incident is called about next, if it has to wait; it may have to wait for a line as well.
    pub fn due_at(&self, id: IncidentId) -> Option<Duration> {
        match self.phases.get(&id)? {
            Phase::Held(_, at) | Phase::Waiting(_, at, _) => Some(*at),
            Phase::Fresh(_) | Phase::Due(_) => Some(Duration::ZERO),
            Phase::UnderWay(_) => None,
        }
    }

    /// What was held too long may be called, and what waited long enough is due.
    fn move_on(&mut self, now: Duration) {
        while let Some(&(_, id)) = self.held.first().filter(|(until, _)| *until <= now) {
            self.recorded(id);
        }
        while let Some(&(_, id)) = self.waiting.first().filter(|(due, _)| *due <= now) {
            let Phase::Waiting(again, ..) = self.phases[&id] else {
                unreachable!("it is among those that wait")
            };
            self.enter(id, Phase::Due(again));
        }
    }

    fn enter(&mut self, id: IncidentId, phase: Phase) {
        self.leave(id);
        match phase {
            Phase::Held(_, until) => drop(self.held.insert((until, id))),
            Phase::Fresh(standing) => drop(self.fresh.insert((standing, id))),
            Phase::Waiting(_, due, _) => drop(self.waiting.insert((due, id))),
            Phase::Due(again) => drop(self.due.insert((again, id))),
            Phase::UnderWay(sort) => {
                self.under_way += 1;
                self.under_way_but_first += usize::from(sort != Sort::FIRST);
                self.others_under_way += usize::from(sort.is_other());
            }
        }
        self.phases.insert(id, phase);
    }

    fn leave(&mut self, id: IncidentId) {
        match self.phases.remove(&id) {
            Some(Phase::Held(_, until)) => drop(self.held.remove(&(until, id))),
            Some(Phase::Fresh(standing)) => drop(self.fresh.remove(&(standing, id))),
            Some(Phase::Waiting(_, due, _)) => drop(self.waiting.remove(&(due, id))),
            Some(Phase::Due(again)) => drop(self.due.remove(&(again, id))),
            Some(Phase::UnderWay(sort)) => {
                self.under_way -= 1;
                self.under_way_but_first -= usize::from(sort != Sort::FIRST);
                self.others_under_way -= usize::from(sort.is_other());
            }
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Standing::{Known, Stranger};

    const OWED: Again = Again::Owed(Known);

    fn calls(lines: usize) -> NoticeQueue {
        NoticeQueue::new(lines, Patience { failures: 3, ..Patience::default() })
    }

    fn id(number: u128) -> IncidentId {
        IncidentId::from_u128(number)
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn all(calls: &mut NoticeQueue, now: Duration) -> Vec<u128> {
        std::iter::from_fn(|| calls.next(now)).map(IncidentId::as_u128).collect()
    }

    fn resume(calls: &mut NoticeQueue, numbers: impl IntoIterator<Item = u128>) {
        numbers.into_iter().for_each(|number| calls.again(id(number), OWED, ms(0)));
    }

    #[test]
    fn waits_for_the_record_but_not_for_long() {
        let mut calls = calls(8);
        calls.hold(id(1), Known, ms(100));
        calls.hold(id(2), Known, ms(120));
        assert_eq!((calls.wake_at(), all(&mut calls, ms(99))), (Some(ms(100)), vec![]));
        calls.recorded(id(2));
        assert_eq!(calls.wake_at(), Some(Duration::ZERO));
        assert_eq!(all(&mut calls, ms(99)), [2]);
        assert_eq!(all(&mut calls, ms(100)), [1]);
        calls.recorded(id(1));
        assert_eq!(all(&mut calls, ms(500)), [0; 0], "it is under sort already");
    }

    #[test]
    fn does_not_wait_for_a_broken_disk() {
        let mut calls = calls(8);
        calls.hold(id(1), Known, ms(100));
        calls.release();
        assert_eq!(all(&mut calls, ms(0)), [1]);
    }

    #[test]
    fn the_oldest_incident_is_called_again_first_and_news_last() {
        let mut calls = calls(8);
        for (number, due) in [(3, 10), (1, 30), (2, 20)] {
            calls.again(id(number), OWED, ms(due));
        }
        calls.again(id(0), Again::News, ms(5));
        assert_eq!(calls.wake_at(), Some(ms(5)));
        assert_eq!(all(&mut calls, ms(20)), [2, 3, 0]);
        assert_eq!(calls.wake_at(), Some(ms(30)));
        assert_eq!(all(&mut calls, ms(30)), [1]);
    }

    #[test]
    fn only_first_calls_of_known_vehicles_take_every_line() {
        let mut calls = calls(4);
        resume(&mut calls, 1..=9);
        assert_eq!(all(&mut calls, ms(0)), [1, 2, 3]);
        assert_eq!(calls.wake_at(), None, "no line for a retry");
        (20..30).for_each(|number| calls.begin(id(number), Stranger));
        assert_eq!((calls.wake_at(), all(&mut calls, ms(0))), (None, vec![]), "nor for a stranger");
        calls.hold(id(10), Known, ms(0));
        calls.hold(id(11), Known, ms(0));
        assert_eq!(all(&mut calls, ms(0)), [10]);
        calls.done(id(2));
        assert_eq!(all(&mut calls, ms(0)), [11], "first calls go before others");
    }

    #[test]
    fn a_flood_of_strangers_delays_no_first_call_of_a_known_vehicle() {
        let mut calls = calls(8);
        (100..10_000).for_each(|number| calls.begin(id(number), Stranger));
        assert_eq!(all(&mut calls, ms(0)).len(), 4);
        resume(&mut calls, 1..=9);
        assert_eq!(all(&mut calls, ms(0)), [1, 2], "nor a further one");
        calls.hold(id(99_999), Known, ms(0));
        assert_eq!(calls.next(ms(0)), Some(id(99_999)));
        (0..6).for_each(|_| assert_eq!(calls.wake_at().is_some(), calls.next(ms(0)).is_some()));
    }

    #[test]
    fn what_is_owed_to_a_known_vehicle_goes_before_strangers() {
        let mut calls = calls(1);
        calls.begin(id(5), Stranger);
        resume(&mut calls, [9]);
        assert_eq!(calls.next(ms(0)), Some(id(9)));
    }

    #[test]
    fn a_target_that_asked_for_patience_is_left_alone_although_it_is_back() {
        let mut calls = calls(8);
        resume(&mut calls, 1..=3);
        for number in all(&mut calls, ms(0)) {
            calls.failed(id(number), ms(0), ms(120_000), number == 1);
        }
        calls.hold(id(9), Known, ms(0));
        assert_eq!(all(&mut calls, ms(1)), [9]);
        calls.answered(id(9));
        assert_eq!(all(&mut calls, ms(2)), [2, 3]);
        assert_eq!(calls.wake_at(), Some(ms(120_000)));
    }

    #[test]
    fn a_target_that_is_owed_nothing_is_not_known_to_be_down() {
        let mut calls = calls(8);
        resume(&mut calls, 1..=3);
        for number in all(&mut calls, ms(0)) {
            calls.failed(id(number), ms(0), ms(1), false);
        }
        assert!(!calls.is_up());
        (1..=3).for_each(|number| calls.cancel(id(number)));
        assert!(calls.is_up());
    }

    #[test]
    fn a_call_under_way_keeps_its_line_until_it_has_ended() {
        let mut calls = calls(1);
        calls.begin(id(1), Known);
        assert_eq!(calls.next(ms(0)), Some(id(1)));
        calls.begin(id(2), Known);
        calls.cancel(id(1));
        assert_eq!(calls.next(ms(0)), None);
        calls.answered(id(1));
        assert_eq!(calls.next(ms(0)), Some(id(2)));
    }

    #[test]
    fn first_calls_without_end_hold_up_nothing_that_is_due_again() {
        for lines in [1, 2, 4, 64] {
            let mut calls = calls(lines);
            resume(&mut calls, [1]);
            let mut called = Vec::new();
            for number in 10..20 {
                calls.hold(id(number), Known, ms(0));
                calls.hold(id(number + 100), Known, ms(0));
                let next = calls.next(ms(0)).unwrap();
                calls.done(next);
                called.push(next.as_u128());
            }
            assert_eq!(called.iter().position(|number| *number == 1), Some(3), "{lines} lines: {called:?}");
        }
    }

    #[test]
    fn a_single_line_serves_all() {
        let mut calls = calls(1);
        resume(&mut calls, [1]);
        assert_eq!(all(&mut calls, ms(0)), [1]);
    }

    #[test]
    fn what_was_cut_off_is_tried_again() {
        let mut calls = calls(8);
        calls.hold(id(1), Known, ms(0));
        assert_eq!(all(&mut calls, ms(0)), [1]);
        calls.again(id(1), Again::News, ms(0));
        assert_eq!(all(&mut calls, ms(9)), [0; 0], "one call at a time about one incident");
        calls.hung_up();
        assert_eq!(all(&mut calls, ms(0)), [1]);
        calls.answered(id(1));
        assert_eq!((calls.wake_at(), calls.has(id(1))), (None, false));
    }

    #[test]
    fn a_target_that_is_down_is_only_probed_until_it_is_back_and_then_hears_all_oldest_first() {
        let mut calls = calls(64);
        resume(&mut calls, 1..=40);
        for number in all(&mut calls, ms(0)) {
            calls.failed(id(number), ms(0), ms(500), false);
        }
        assert!(!calls.is_up());
        let mut made = 0;
        for second in 1..600 {
            for number in all(&mut calls, ms(second * 1000)) {
                made += 1;
                calls.failed(id(number), ms(second * 1000), ms(second * 1000 + 500), false);
            }
        }
        assert!((30..60).contains(&made), "{made} probes in ten minutes");
        calls.hold(id(50), Known, ms(0));
        assert_eq!(calls.next(ms(600_000)), Some(id(50)), "a first call is never held back");
        calls.answered(id(50));
        assert!(calls.is_up());
        assert_eq!(all(&mut calls, ms(600_000)), (1..=40).collect::<Vec<_>>());
    }
}
