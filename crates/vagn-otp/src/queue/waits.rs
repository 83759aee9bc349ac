//! The two futures of a queue: one waits for room, the other for an item.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use super::{Giver, PushError, Queue, State, wake};
use crate::plant::{Plant, planted};

/// Waits for room. Meanwhile its item lies with the queue.
pub struct Push<'a, T> {
    queue: &'a Queue<T>,
    stage: PushStage<T>,
}

enum PushStage<T> {
    /// Not offered to the queue yet.
    Holding(T),
    /// Left with the queue, under this ticket.
    Waiting(u64),
    Done,
}

// The item is only ever moved, never pinned.
impl<T> Unpin for Push<'_, T> {}

impl<'a, T> Push<'a, T> {
    pub(super) fn new(queue: &'a Queue<T>, item: T) -> Self {
        Push { queue, stage: PushStage::Holding(item) }
    }

    /// Ends the wait: `Ok` if the item has got in after all, else the item.
    pub(super) fn give_up(&mut self) -> Result<(), PushError<T>> {
        match std::mem::replace(&mut self.stage, PushStage::Done) {
            PushStage::Holding(item) => Err(PushError::Full(item)),
            PushStage::Waiting(ticket) => {
                self.withdraw(ticket).map_or(Ok(()), |item| Err(PushError::Full(item)))
            }
            PushStage::Done => Ok(()),
        }
    }

    /// Offers the item once. `None`: there is no room, and the future must be polled.
    pub(super) fn at_once(&mut self) -> Option<Result<(), PushError<T>>> {
        let PushStage::Holding(item) = std::mem::replace(&mut self.stage, PushStage::Done) else {
            return Some(Ok(()));
        };
        match self.queue.accept(item) {
            Err(PushError::Full(item)) => {
                self.stage = PushStage::Holding(item);
                None
            }
            result => Some(result),
        }
    }

    fn withdraw(&self, ticket: u64) -> Option<T> {
        let mut state = self.queue.core.state.lock();
        let item = state.withdraw(ticket)?;
        state.counts.refused += 1;
        Some(item)
    }

    fn offer(&mut self, item: T, cx: &mut Context<'_>) -> Poll<Result<(), PushError<T>>> {
        let queue = &self.queue.core;
        let offered = queue.state.lock().offer(item, queue.capacity, cx);
        match offered {
            Ok(Offered::Accepted(taker)) => {
                wake(taker);
                Poll::Ready(Ok(()))
            }
            Ok(Offered::Waiting(ticket)) => {
                self.stage = PushStage::Waiting(ticket);
                Poll::Pending
            }
            Err(closed) => Poll::Ready(Err(closed)),
        }
    }

    fn check(&mut self, ticket: u64, cx: &mut Context<'_>) -> Poll<Result<(), PushError<T>>> {
        let mut state = self.queue.core.state.lock();
        if state.closed {
            return Poll::Ready(state.withdraw(ticket).map_or(Ok(()), |item| Err(PushError::Closed(item))));
        }
        match state.givers.iter_mut().find(|giver| giver.ticket == ticket) {
            // No longer listed: a take has moved the item in.
            None => Poll::Ready(Ok(())),
            Some(giver) => {
                giver.waker.clone_from(cx.waker());
                self.stage = PushStage::Waiting(ticket);
                Poll::Pending
            }
        }
    }
}

/// The outcome of an offer to an open queue.
enum Offered {
    /// The item is in; this taker is to be woken.
    Accepted(Option<Waker>),
    /// The item waits for room, under this ticket.
    Waiting(u64),
}

impl<T> State<T> {
    /// Adds an item, or lets it wait for room.
    fn offer(&mut self, item: T, capacity: usize, cx: &Context<'_>) -> Result<Offered, PushError<T>> {
        match self.accept(item, capacity) {
            Ok(taker) => Ok(Offered::Accepted(taker)),
            Err(PushError::Full(item)) => {
                let ticket = self.ticket();
                self.givers.push_back(Giver { ticket, item, waker: cx.waker().clone() });
                Ok(Offered::Waiting(ticket))
            }
            Err(closed) => Err(closed),
        }
    }

    fn withdraw(&mut self, ticket: u64) -> Option<T> {
        let at = self.givers.iter().position(|giver| giver.ticket == ticket)?;
        self.givers.remove(at).map(|giver| giver.item)
    }
}

impl<T> Future for Push<'_, T> {
    type Output = Result<(), PushError<T>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match std::mem::replace(&mut self.stage, PushStage::Done) {
            PushStage::Holding(item) => self.offer(item, cx),
            PushStage::Waiting(ticket) => self.check(ticket, cx),
            PushStage::Done => Poll::Ready(Ok(())),
        }
    }
}

impl<T> Drop for Push<'_, T> {
    fn drop(&mut self) {
        // The item, if it comes back, goes with the future.
        self.give_up().ok();
    }
}

/// Waits for an item.
pub struct Pop<'a, T> {
    queue: &'a Queue<T>,
    ticket: Option<u64>,
}

impl<'a, T> Pop<'a, T> {
    pub(super) fn new(queue: &'a Queue<T>) -> Self {
        Pop { queue, ticket: None }
    }
}

impl<T> Future for Pop<'_, T> {
    type Output = Option<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let queue = self.queue;
        let taken = queue.core.state.lock().poll_take(&mut self.ticket, cx);
        taken.map(|taken| {
            let (item, giver) = taken?;
            wake(giver);
            Some(item)
        })
    }
}

impl<T> State<T> {
    /// Takes an item and leaves the list of takers, or enters it. Ready with `None`: closed, and nothing is left.
    fn poll_take(&mut self, ticket: &mut Option<u64>, cx: &Context<'_>) -> Poll<Option<(T, Option<Waker>)>> {
        if let Some(taken) = self.take(None) {
            if let Some(ticket) = ticket.take() {
                self.leave(ticket);
            }
            return Poll::Ready(Some(taken));
        }
        if self.closed {
            return Poll::Ready(None);
        }
        let ticket = *ticket.get_or_insert_with(|| self.ticket());
        self.enter(ticket, cx);
        Poll::Pending
    }

    /// Lists a taker by its ticket, so that one woken in vain is back at its old place.
    fn enter(&mut self, ticket: u64, cx: &Context<'_>) {
        let at = self.takers.partition_point(|(other, _)| *other < ticket);
        match self.takers.get_mut(at) {
            Some((other, waker)) if *other == ticket => waker.clone_from(cx.waker()),
            _ => self.takers.insert(at, (ticket, cx.waker().clone())),
        }
    }

    /// Takes a taker off the list. Returns false if it was woken before.
    fn leave(&mut self, ticket: u64) -> bool {
        let at = self.takers.iter().position(|(other, _)| *other == ticket);
        at.is_some_and(|at| self.takers.remove(at).is_some())
    }

    /// Takes a taker that has given up off the list. Returns the one to wake in its place.
    fn give_up(&mut self, ticket: u64) -> Option<Waker> {
        // Woken, but not going to take: the wake-up belongs to the next one.
        let woken_in_vain = !self.leave(ticket) && !self.items.is_empty() && !planted(Plant::LostWakeUp);
        if woken_in_vain { self.takers.pop_front().map(|(_, waker)| waker) } else { None }
    }
}

impl<T> Drop for Pop<'_, T> {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket.take() else { return };
        let next = self.queue.core.state.lock().give_up(ticket);
        wake(next);
    }
}
