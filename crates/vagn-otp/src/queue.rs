//! A bounded queue between any number of givers and takers, from async code and from plain threads alike.
//!
//! One short lock per operation. A giver that waits leaves its item with the queue, and the take that makes room moves it in:
//! first come, first served, and no wake-up can get lost on the way. A taker that was woken in vain keeps its place.

mod backlog;
mod plants;
mod waits;

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use crate::park;
use crate::plant::{Plant, planted};
use crate::sync::Mutex;
use crate::sync::time::{self, Instant};
pub use backlog::Backlog;
pub use waits::{Pop, Push};

/// An item that was not accepted, given back with the reason.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
pub enum PushError<T> {
    /// No room, or none within the time given.
    #[error("the queue is full")]
    Full(T),
    /// The queue is closed.
    #[error("the queue is closed")]
    Closed(T),
}

/// Shows the reason without the item, so that items need not be `Debug`.
impl<T> std::fmt::Debug for PushError<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if matches!(self, PushError::Full(_)) { "Full(..)" } else { "Closed(..)" })
    }
}

impl<T> PushError<T> {
    /// Returns the item that was not accepted.
    pub fn into_inner(self) -> T {
        match self {
            PushError::Full(item) | PushError::Closed(item) => item,
        }
    }
}

/// The reason why nothing was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PopError {
    /// Nothing came within the time given.
    #[error("the queue is empty")]
    Empty,
    /// Nothing is left, and nothing will come.
    #[error("the queue is closed")]
    Closed,
}

/// Totals of a queue since it was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QueueCounts {
    /// Items accepted into the queue.
    pub pushed: u64,
    /// Items taken out.
    pub popped: u64,
    /// Items dropped for newer ones.
    pub evicted: u64,
    /// Items refused because there was no room.
    pub refused: u64,
}

/// A bounded queue. Clones share it; it lives as long as any of them.
pub struct Queue<T> {
    core: Arc<QueueCore<T>>,
}

struct QueueCore<T> {
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
    /// Waits for an item, by ticket.
    takers: VecDeque<(u64, Waker)>,
    /// Waits for room, by ticket. Empty unless the queue is full.
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
    /// Makes a queue for at most `capacity` items (at least one).
    pub fn new(capacity: usize) -> Self {
        let now = Instant::now();
        let state = State {
            // Grows as needed: a capacity is the most for a bad day, and most queues never see it.
            items: VecDeque::new(),
            clock: now,
            moved: now,
            closed: false,
            counts: QueueCounts::default(),
            next_ticket: 0,
            takers: VecDeque::new(),
            givers: VecDeque::new(),
        };
        Queue { core: Arc::new(QueueCore { capacity: capacity.max(1), state: Mutex::new(state) }) }
    }

    /// Adds an item at the end, or gives it back. Never waits.
    pub fn try_push(&self, item: T) -> Result<(), PushError<T>> {
        // Counted here and not in `accept`, for a push that goes on to wait is not refused.
        self.accept(item).inspect_err(|error| {
            if let PushError::Full(_) = error {
                self.core.state.lock().counts.refused += 1;
            }
        })
    }

    fn accept(&self, item: T) -> Result<(), PushError<T>> {
        let bound = self.bound();
        if self.is_believed_closed() {
            return Err(PushError::Closed(item));
        }
        let taker = self.core.state.lock().accept(item, bound)?;
        wake(taker);
        Ok(())
    }

    /// Adds an item at the end; without room, the oldest item goes, and is returned. Never waits. A closed queue gives the item
    /// back.
    pub fn push_evicting(&self, item: T) -> Result<Option<T>, PushError<T>> {
        let (oldest, taker) = self.core.state.lock().put_evicting(item, self.core.capacity)?;
        wake(taker);
        self.count_late(&oldest);
        Ok(oldest)
    }

    /// Adds an item at the end, and waits at most `within` for room. Items that wait get in by order of arrival.
    pub async fn push(&self, item: T, within: Duration) -> Result<(), PushError<T>> {
        let mut push = Push::new(self, item);
        // The common case should not pay for a timer.
        if let Some(result) = push.at_once() {
            return result;
        }
        match time::timeout(within, &mut push).await {
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

    /// Takes the oldest item, if there is any.
    pub fn try_pop(&self) -> Option<T> {
        self.try_take(None)
    }

    /// As [`try_pop`](Self::try_pop), for a taker that has just looked at the clock.
    pub(crate) fn try_pop_at(&self, now: Instant) -> Option<T> {
        self.try_take(Some(now))
    }

    fn try_take(&self, now: Option<Instant>) -> Option<T> {
        let (item, giver) = self.core.state.lock().take(now)?;
        wake(giver);
        Some(item)
    }

    /// Takes the oldest item, and waits for one if need be. `None`: closed, and nothing is left. To drop the future loses nothing.
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

    /// Accepts nothing more; the items in it can still be taken. Items that wait for room go back to their givers.
    pub fn close(&self) {
        let woken = self.core.state.lock().close();
        wake_all(woken);
    }

    /// Accepts items again; those that still wait for room get it.
    pub(crate) fn reopen(&self) {
        let woken = self.core.state.lock().reopen(self.core.capacity);
        wake_all(woken);
    }

    /// Takes everything at once.
    pub(crate) fn drain(&self) -> Vec<T> {
        let now = Instant::now();
        std::iter::from_fn(|| self.try_pop_at(now)).collect()
    }

    /// Returns true once [`close`](Self::close) was called.
    pub fn is_closed(&self) -> bool {
        self.core.state.lock().closed
    }

    /// Returns the number of items waiting.
    pub fn len(&self) -> usize {
        self.core.state.lock().items.len()
    }

    /// Returns true if nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the most items that may wait.
    pub fn capacity(&self) -> usize {
        self.core.capacity
    }

    /// Returns the totals so far.
    pub fn counts(&self) -> QueueCounts {
        self.core.state.lock().counts
    }
}

impl<T> State<T> {
    /// Adds an item if there is room. Returns the taker to wake, if one waits.
    fn accept(&mut self, item: T, capacity: usize) -> Result<Option<Waker>, PushError<T>> {
        if self.closed && !planted(Plant::CloseRace) {
            Err(PushError::Closed(item))
        } else if self.items.len() >= capacity {
            Err(PushError::Full(item))
        } else {
            Ok(self.put(item))
        }
    }

    /// Adds an item for which there is room. Returns the taker to wake, if one waits.
    fn put(&mut self, item: T) -> Option<Waker> {
        if self.items.is_empty() {
            self.advance(Instant::now());
        }
        self.stamp(item);
        self.takers.pop_front().map(|(_, waker)| waker)
    }

    /// Adds an item even without room. Returns the item that had to go, and the taker to wake.
    fn put_evicting(&mut self, item: T, capacity: usize) -> Result<(Option<T>, Option<Waker>), PushError<T>> {
        if self.closed {
            return Err(PushError::Closed(item));
        }
        // First the push, for a queue that is full and stays full has not moved, not even one with room for a single item.
        let taker = self.put(item);
        if self.items.len() <= capacity {
            return Ok((None, taker));
        }
        self.counts.evicted += u64::from(!planted(Plant::DropWithoutCount));
        Ok((self.items.pop_front().map(|oldest| oldest.item), taker))
    }

    fn close(&mut self) -> Vec<Waker> {
        self.closed = true;
        let takers = std::mem::take(&mut self.takers).into_iter().map(|(_, waker)| waker);
        // Their items stay listed until each giver has fetched its own.
        takers.chain(self.givers.iter().map(|giver| giver.waker.clone())).collect()
    }

    fn reopen(&mut self, capacity: usize) -> Vec<Waker> {
        self.closed = false;
        let mut woken = Vec::new();
        while self.items.len() < capacity {
            let Some(giver) = self.givers.pop_front() else { break };
            woken.push(giver.waker);
            woken.extend(self.put(giver.item));
        }
        woken
    }

    /// Takes an item, and lets in the item of the giver that has waited longest. Returns that giver, to be woken.
    ///
    /// Without `now` it looks at the clock, but only if an item stays: an empty queue learns the time from the next push.
    fn take(&mut self, now: Option<Instant>) -> Option<(T, Option<Waker>)> {
        let taken = self.items.pop_front()?;
        self.counts.popped += 1;
        // The givers of a closed queue get their items back instead.
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

/// Wakes a task or thread. Call it without the lock, which the woken one needs at once.
fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// Wakes several, as [`wake`].
fn wake_all(wakers: Vec<Waker>) {
    for waker in wakers {
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
