//! Agenda: virtual time, and what is due when. Time moves on only when something is taken.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

/// A second of virtual time. All moments and spans of the simulator are in microseconds.
pub(crate) const SECOND: u64 = 1_000_000;

/// A millisecond of virtual time.
pub(crate) const MILLI: u64 = 1_000;

/// What is due, in the order of its time. What is due at the same time comes in the order in which it was entered.
#[derive(Debug)]
pub(crate) struct Agenda<T> {
    now: u64,
    entered: u64,
    heap: BinaryHeap<Reverse<Item<T>>>,
}

#[derive(Debug)]
struct Item<T> {
    at: u64,
    number: u64,
    what: T,
}

impl<T> Agenda<T> {
    pub(crate) fn new() -> Self {
        Self { now: 0, entered: 0, heap: BinaryHeap::new() }
    }

    pub(crate) fn now(&self) -> u64 {
        self.now
    }

    /// Enters something. What would be due before now is due now.
    pub(crate) fn at(&mut self, at: u64, what: T) {
        self.entered += 1;
        self.heap.push(Reverse(Item { at: at.max(self.now), number: self.entered, what }));
    }

    pub(crate) fn after(&mut self, delay: u64, what: T) {
        self.at(self.now + delay, what);
    }

    /// Takes what is due next, if it is due before `end`, and moves time on to it.
    pub(crate) fn take(&mut self, end: u64) -> Option<T> {
        if self.heap.peek()?.0.at >= end {
            self.now = end;
            return None;
        }
        let Reverse(item) = self.heap.pop()?;
        self.now = item.at;
        Some(item.what)
    }
}

impl<T> Item<T> {
    fn key(&self) -> (u64, u64) {
        (self.at, self.number)
    }
}

impl<T> PartialEq for Item<T> {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl<T> Eq for Item<T> {}

impl<T> PartialOrd for Item<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Item<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comes_by_time_and_then_by_entry() {
        let mut agenda = Agenda::new();
        agenda.after(20, 'c');
        agenda.after(10, 'a');
        agenda.after(10, 'b');
        assert_eq!((agenda.take(100), agenda.take(100), agenda.now()), (Some('a'), Some('b'), 10));
        agenda.at(5, 'x');
        assert_eq!((agenda.take(100), agenda.now()), (Some('x'), 10));
        assert_eq!((agenda.take(20), agenda.now()), (None, 20));
        assert_eq!((agenda.take(21), agenda.now()), (Some('c'), 20));
    }
}
