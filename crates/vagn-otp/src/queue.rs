//! A bounded queue between any number of givers and takers, from async code and from plain threads alike.
//!
//! One short lock per operation. A giver that waits leaves its item with the queue, and whoever makes room moves it in:
//! first come, first served, and no wake-up can get lost on the way. A taker that was woken in vain keeps its place.

mod backlog;
mod waits;

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::park;
pub use backlog::Backlog;
pub use waits::{Pop, Push};

/// Why an item was not accepted; it comes back inside.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
pub enum PushError<T> {
    /// No room, or none within the time given.
    #[error("the queue is full")]
    Full(T),
    /// Nobody takes from this queue any more.
    #[error("the queue is closed")]
    Closed(T),
}

/// Shows what went wrong and not the item, so that items need not be `Debug`.
impl<T> std::fmt::Debug for PushError<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if matches!(self, PushError::Full(_)) { "Full(..)" } else { "Closed(..)" })
    }
}

impl<T> PushError<T> {
    /// The item that was not accepted.
    pub fn into_inner(self) -> T {
        match self {
            PushError::Full(item) | PushError::Closed(item) => item,
        }
    }
}

/// Why nothing was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PopError {
    /// Nothing came within the time given.
    #[error("the queue is empty")]
    Empty,
    /// Nothing is left and nothing will come.
    #[error("the queue is closed")]
    Closed,
}

/// What went through a queue since it was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QueueCounts {
    /// Items accepted.
    pub pushed: u64,
    /// Items taken.
    pub popped: u64,
    /// Items pushed out by newer ones.
    pub evicted: u64,
    /// Items refused because there was no room.
    pub refused: u64,
}

/// A bounded queue. Clones share it; it lives as long as any of them.
pub struct Queue<T> {
    core: Arc<Core<T>>,
}

struct Core<T> {
    capacity: usize,
    state: Mutex<State<T>>,
}

struct State<T> {
    items: VecDeque<Waiting<T>>,
    /// The time of the last look at the clock; stamps the items pushed.
    clock: Instant,
    /// The time of the last take that left others waiting, or of the last push into the empty queue.
    moved: Instant,
    closed: bool,
    counts: QueueCounts,
    next_ticket: u64,
    /// Those who wait for an item, by ticket.
    takers: VecDeque<(u64, Waker)>,
    /// Those who wait for room, by ticket. Not empty only while the queue is full.
    givers: VecDeque<Giver<T>>,
}

struct Waiting<T> {
    since: Instant,
    item: T,
}

struct Giver<T> {
    ticket: u64,
    item: T,
    waker: Waker,
}

impl<T> Queue<T> {
    /// A queue for at most `capacity` items (at least one).
    pub fn new(capacity: usize) -> Self {
        let now = Instant::now();
        let state = State {
            items: VecDeque::new(),
            clock: now,
            moved: now,
            closed: false,
            counts: QueueCounts::default(),
            next_ticket: 0,
            takers: VecDeque::new(),
            givers: VecDeque::new(),
        };
        Queue { core: Arc::new(Core { capacity: capacity.max(1), state: Mutex::new(state) }) }
    }

    /// Adds an item at the end, or hands it back. Never waits.
    pub fn try_push(&self, item: T) -> Result<(), PushError<T>> {
        self.accept(item).inspect_err(|error| {
            if let PushError::Full(_) = error {
                self.core.state.lock().counts.refused += 1;
            }
        })
    }

    fn accept(&self, item: T) -> Result<(), PushError<T>> {
        let mut state = self.core.state.lock();
        let taker = state.accept(item, self.core.capacity)?;
        drop(state);
        wake(taker);
        Ok(())
    }

    /// Adds an item at the end; when there is no room, the oldest goes. Never waits. Gives back what had to go: the oldest
    /// item, or `item` itself when the queue is closed.
    pub fn push_evicting(&self, item: T) -> Option<T> {
        let mut state = self.core.state.lock();
        if state.closed {
            return Some(item);
        }
        // In this order, for a queue that is full and stays full has not moved, not even one with room for a single item.
        let taker = state.put(item);
        let evicted = if state.items.len() > self.core.capacity { state.items.pop_front() } else { None };
        state.counts.evicted += u64::from(evicted.is_some());
        drop(state);
        wake(taker);
        evicted.map(|oldest| oldest.item)
    }

    /// Adds an item at the end, waiting at most `within` for room. Those who wait get in by order of arrival.
    pub async fn push(&self, item: T, within: Duration) -> Result<(), PushError<T>> {
        let mut push = Push::new(self, item);
        // The common case makes no timer.
        if let Some(result) = push.at_once() {
            return result;
        }
        match tokio::time::timeout(within, &mut push).await {
            Ok(result) => result,
            Err(_) => push.give_up(),
        }
    }

    /// [`push`](Self::push) from a plain thread, which sleeps meanwhile.
    pub fn push_blocking(&self, item: T, within: Duration) -> Result<(), PushError<T>> {
        let mut push = Push::new(self, item);
        if let Some(result) = push.at_once() {
            return result;
        }
        match park::wait(std::pin::Pin::new(&mut push), within) {
            Some(result) => result,
            None => push.give_up(),
        }
    }

    /// Takes the oldest item, if there is one.
    pub fn try_pop(&self) -> Option<T> {
        self.try_take(None)
    }

    /// As [`try_pop`](Self::try_pop), for a taker that has just looked at the clock.
    pub(crate) fn try_pop_at(&self, now: Instant) -> Option<T> {
        self.try_take(Some(now))
    }

    fn try_take(&self, now: Option<Instant>) -> Option<T> {
        let mut state = self.core.state.lock();
        let (item, giver) = state.take(now)?;
        drop(state);
        wake(giver);
        Some(item)
    }

    /// Takes the oldest item, waiting for one. `None`: closed, and nothing is left. Dropping the future loses nothing.
    pub fn pop(&self) -> Pop<'_, T> {
        Pop::new(self)
    }

    /// [`pop`](Self::pop) from a plain thread, which sleeps for at most `within`.
    pub fn pop_blocking(&self, within: Duration) -> Result<T, PopError> {
        match park::wait(std::pin::pin!(self.pop()), within) {
            Some(item) => item.ok_or(PopError::Closed),
            None => Err(PopError::Empty),
        }
    }

    /// Accepts nothing more; what is in it can still be taken. Those who wait for room get their items back.
    pub fn close(&self) {
        let mut state = self.core.state.lock();
        state.closed = true;
        let takers = std::mem::take(&mut state.takers);
        // Their items stay listed until each giver has fetched its own.
        let givers: Vec<Waker> = state.givers.iter().map(|giver| giver.waker.clone()).collect();
        drop(state);
        takers.into_iter().for_each(|(_, waker)| waker.wake());
        givers.into_iter().for_each(Waker::wake);
    }

    /// Accepts items again; those who still wait for room get it.
    pub(crate) fn reopen(&self) {
        let mut state = self.core.state.lock();
        state.closed = false;
        let mut woken = Vec::new();
        while state.items.len() < self.core.capacity {
            let Some(giver) = state.givers.pop_front() else { break };
            woken.push(giver.waker);
            woken.extend(state.put(giver.item));
        }
        drop(state);
        woken.into_iter().for_each(Waker::wake);
    }

    /// Takes everything at once.
    pub(crate) fn drain(&self) -> Vec<T> {
        let now = Instant::now();
        std::iter::from_fn(|| self.try_pop_at(now)).collect()
    }

    /// True once [`close`](Self::close) was called.
    pub fn is_closed(&self) -> bool {
        self.core.state.lock().closed
    }

    /// Items waiting now.
    pub fn len(&self) -> usize {
        self.core.state.lock().items.len()
    }

    /// True when nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The most items that may wait.
    pub fn capacity(&self) -> usize {
        self.core.capacity
    }

    /// What went through so far.
    pub fn counts(&self) -> QueueCounts {
        self.core.state.lock().counts
    }
}

impl<T> State<T> {
    /// Adds an item if there is room; the taker to wake, if one waits.
    fn accept(&mut self, item: T, capacity: usize) -> Result<Option<Waker>, PushError<T>> {
        if self.closed {
            Err(PushError::Closed(item))
        } else if self.items.len() >= capacity {
            Err(PushError::Full(item))
        } else {
            Ok(self.put(item))
        }
    }

    /// Adds an item for which there is room; the taker to wake, if one waits.
    fn put(&mut self, item: T) -> Option<Waker> {
        if self.items.is_empty() {
            self.advance(Instant::now());
        }
        self.stamp(item);
        self.takers.pop_front().map(|(_, waker)| waker)
    }

    /// Takes an item and lets the longest-waiting giver's one in; the giver to wake, if there was one.
    ///
    /// Without `now` the clock is looked at, but only if something stays: the empty queue learns the time from the next push.
    fn take(&mut self, now: Option<Instant>) -> Option<(T, Option<Waker>)> {
        let taken = self.items.pop_front()?;
        self.counts.popped += 1;
        let giver = if self.closed { None } else { self.givers.pop_front() };
        if giver.is_some() || !self.items.is_empty() {
            self.advance(now.unwrap_or_else(Instant::now));
        }
        let waker = giver.map(|giver| {
            self.stamp(giver.item);
            giver.waker
        });
        Some((taken.item, waker))
    }

    fn stamp(&mut self, item: T) {
        self.items.push_back(Waiting { since: self.clock, item });
        self.counts.pushed += 1;
    }

    /// Notes that the queue has moved. A taker's time may be older than the last look.
    fn advance(&mut self, now: Instant) {
        self.clock = self.clock.max(now);
        self.moved = self.clock;
    }

    fn ticket(&mut self) -> u64 {
        self.next_ticket += 1;
        self.next_ticket
    }
}

/// Wakes outside the lock, so that the woken does not run into it.
fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

impl<T> Clone for Queue<T> {
    fn clone(&self) -> Self {
        Queue { core: self.core.clone() }
    }
}

impl<T> std::fmt::Debug for Queue<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queue").field("len", &self.len()).field("capacity", &self.capacity()).finish()
    }
}
