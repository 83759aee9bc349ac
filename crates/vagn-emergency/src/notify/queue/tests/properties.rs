//! Properties that hold in whatever order things happen, with keys and ranks that have nothing to do with incidents.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::super::*;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum TestRank {
    Preferred,
    Other,
}

impl Rank for TestRank {
    fn is_preferred(self) -> bool {
        self == Self::Preferred
    }

    fn is_never_held_back(self) -> bool {
        self == Self::Preferred
    }
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Hold(u8, TestRank),
    Begin(u8, TestRank),
    Repeat(u8, TestRank),
    Update(u8),
    Recorded(u8),
    Release,
    Next,
    Fail(u8, bool),
    Answer(u8),
    Cancel(u8),
    HangUp,
    Pass(u16),
}

fn step() -> impl Strategy<Value = Step> {
    let key = 0..12_u8;
    let rank = prop_oneof![Just(TestRank::Preferred), Just(TestRank::Other)];
    prop_oneof![
        1 => (key.clone(), rank.clone()).prop_map(|(key, rank)| Step::Hold(key, rank)),
        1 => (key.clone(), rank.clone()).prop_map(|(key, rank)| Step::Begin(key, rank)),
        1 => (key.clone(), rank).prop_map(|(key, rank)| Step::Repeat(key, rank)),
        1 => key.clone().prop_map(Step::Update),
        1 => key.clone().prop_map(Step::Recorded),
        1 => Just(Step::Release),
        4 => Just(Step::Next),
        1 => (key.clone(), any::<bool>()).prop_map(|(key, asked)| Step::Fail(key, asked)),
        1 => key.clone().prop_map(Step::Answer),
        1 => key.prop_map(Step::Cancel),
        1 => Just(Step::HangUp),
        1 => (0..2_000_u16).prop_map(Step::Pass),
    ]
}

/// A queue, and what must hold of it.
struct Checked {
    queue: NoticeQueue<u8, TestRank>,
    slots: usize,
    now: Duration,
    owed: BTreeSet<u8>,
    under_way: BTreeSet<u8>,
}

impl Checked {
    fn new(slots: usize) -> Self {
        let patience = Patience { failures: 3, ..Patience::default() };
        let queue = NoticeQueue::new(slots, patience);
        Self { queue, slots, now: Duration::ZERO, owed: BTreeSet::new(), under_way: BTreeSet::new() }
    }

    fn take(&mut self, step: Step) {
        match step {
            // The desk holds and begins only what is in no queue yet.
            Step::Hold(key, rank) if self.owed.insert(key) => {
                self.queue.hold(key, rank, self.now + Duration::from_millis(100));
            }
            Step::Begin(key, rank) if self.owed.insert(key) => self.queue.begin(key, rank),
            Step::Hold(..) | Step::Begin(..) => {}
            Step::Repeat(key, rank) => {
                self.owed.insert(key);
                self.queue.repeat(key, rank, self.now);
            }
            Step::Update(key) => {
                self.owed.insert(key);
                self.queue.update(key, self.now);
            }
            Step::Recorded(key) => self.queue.recorded(key),
            Step::Release => self.queue.release(),
            Step::Next => self.next(),
            Step::Fail(key, asked) => self.fail(key, asked),
            Step::Answer(key) => self.answer(key),
            Step::Cancel(key) => self.cancel(key),
            Step::HangUp => {
                self.queue.hung_up();
                self.under_way.clear();
            }
            Step::Pass(ms) => self.now += Duration::from_millis(ms.into()),
        }
    }

    fn next(&mut self) {
        if let Some(key) = self.queue.next(self.now) {
            assert!(self.owed.contains(&key) && self.under_way.insert(key), "{key} was not due");
        }
    }

    fn fail(&mut self, key: u8, asked: bool) {
        if self.under_way.remove(&key) {
            self.queue.failed(key, self.now, self.now + Duration::from_millis(500), asked);
        }
    }

    fn answer(&mut self, key: u8) {
        if self.under_way.remove(&key) {
            self.queue.settled(key);
            self.owed.remove(&key);
        }
    }

    fn cancel(&mut self, key: u8) {
        self.queue.cancel(key);
        if !self.under_way.contains(&key) {
            self.owed.remove(&key);
        }
    }

    fn check(&self) {
        assert!(self.under_way.len() <= self.slots);
        for key in 0..12 {
            assert_eq!(self.queue.has(key), self.owed.contains(&key), "{key}");
            assert_eq!(self.queue.is_under_way(key), self.under_way.contains(&key), "{key}");
        }
    }
}

proptest! {
    #[test]
    fn nothing_that_is_owed_is_lost_and_no_slot_is_used_twice(
        slots in 1..9_usize,
        steps in prop::collection::vec(step(), 0..200),
    ) {
        let mut checked = Checked::new(slots);
        for step in steps {
            checked.take(step);
            checked.check();
        }
        drain(checked);
    }
}

/// Accepts all that is owed: a target that answers gets everything in the end.
fn drain(mut checked: Checked) {
    checked.queue.hung_up();
    for _ in 0..100 {
        checked.now += Duration::from_secs(15);
        while let Some(key) = checked.queue.next(checked.now) {
            checked.queue.settled(key);
            checked.owed.remove(&key);
        }
    }
    assert_eq!(checked.owed, BTreeSet::new());
}
