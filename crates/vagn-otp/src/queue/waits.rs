//! The two futures of a queue: one waits for room, one waits for an item.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::{Giver, PushError, Queue, State, wake};

/// Waits for room. While it waits, its item lies with the queue.
pub struct Push<'a, T> {
    queue: &'a Queue<T>,
    stage: Stage<T>,
}

enum Stage<T> {
    /// Not offered yet.
    Holding(T),
    /// With the queue, under this ticket.
    Waiting(u64),
    Done,
}

// The item is only ever moved, never pinned.
impl<T> Unpin for Push<'_, T> {}

impl<'a, T> Push<'a, T> {
    pub(super) fn new(queue: &'a Queue<T>, item: T) -> Self {
        Push { queue, stage: Stage::Holding(item) }
    }

    /// Ends the wait: `Ok` when the item had got in after all, else the item.
    pub(super) fn give_up(&mut self) -> Result<(), PushError<T>> {
        match std::mem::replace(&mut self.stage, Stage::Done) {
            Stage::Holding(item) => Err(PushError::Full(item)),
            Stage::Waiting(ticket) => self.withdraw(ticket).map_or(Ok(()), |item| Err(PushError::Full(item))),
            Stage::Done => Ok(()),
        }
    }

    /// Offers the item, for the case that nothing has to be waited for.
    pub(super) fn at_once(&mut self) -> Option<Result<(), PushError<T>>> {
        let Stage::Holding(item) = std::mem::replace(&mut self.stage, Stage::Done) else {
            return Some(Ok(()));
        };
        match self.queue.accept(item) {
            Err(PushError::Full(item)) => {
                self.stage = Stage::Holding(item);
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
        let mut state = self.queue.core.state.lock();
        let item = match state.accept(item, self.queue.core.capacity) {
            Ok(taker) => {
                drop(state);
                wake(taker);
                return Poll::Ready(Ok(()));
            }
            Err(PushError::Full(item)) => item,
            Err(closed) => return Poll::Ready(Err(closed)),
        };
        let ticket = state.ticket();
        state.givers.push_back(Giver { ticket, item, waker: cx.waker().clone() });
        self.stage = Stage::Waiting(ticket);
        Poll::Pending
    }

    fn check(&mut self, ticket: u64, cx: &mut Context<'_>) -> Poll<Result<(), PushError<T>>> {
        let mut state = self.queue.core.state.lock();
        if state.closed {
            return Poll::Ready(state.withdraw(ticket).map_or(Ok(()), |item| Err(PushError::Closed(item))));
        }
        match state.givers.iter_mut().find(|giver| giver.ticket == ticket) {
            None => Poll::Ready(Ok(())),
            Some(giver) => {
                giver.waker.clone_from(cx.waker());
                self.stage = Stage::Waiting(ticket);
                Poll::Pending
            }
        }
    }
}

impl<T> State<T> {
    fn withdraw(&mut self, ticket: u64) -> Option<T> {
        let at = self.givers.iter().position(|giver| giver.ticket == ticket)?;
        self.givers.remove(at).map(|giver| giver.item)
    }
}

impl<T> Future for Push<'_, T> {
    type Output = Result<(), PushError<T>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match std::mem::replace(&mut self.stage, Stage::Done) {
            Stage::Holding(item) => self.offer(item, cx),
            Stage::Waiting(ticket) => self.check(ticket, cx),
            Stage::Done => Poll::Ready(Ok(())),
        }
    }
}

impl<T> Drop for Push<'_, T> {
    fn drop(&mut self) {
        drop(self.give_up());
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
        let mut state = queue.core.state.lock();
        if let Some((item, giver)) = state.take(None) {
            if let Some(ticket) = self.ticket.take() {
                state.leave(ticket);
            }
            drop(state);
            wake(giver);
            return Poll::Ready(Some(item));
        }
        if state.closed {
            return Poll::Ready(None);
        }
        let ticket = *self.ticket.get_or_insert_with(|| state.ticket());
        state.enter(ticket, cx);
        Poll::Pending
    }
}

impl<T> State<T> {
    /// Lists a taker by its ticket, so that one woken in vain is back at its old place.
    fn enter(&mut self, ticket: u64, cx: &Context<'_>) {
        let at = self.takers.partition_point(|(other, _)| *other < ticket);
        match self.takers.get_mut(at) {
            Some((other, waker)) if *other == ticket => waker.clone_from(cx.waker()),
            _ => self.takers.insert(at, (ticket, cx.waker().clone())),
        }
    }

    /// False when the taker had been woken already.
    fn leave(&mut self, ticket: u64) -> bool {
        let at = self.takers.iter().position(|(other, _)| *other == ticket);
        at.is_some_and(|at| self.takers.remove(at).is_some())
    }
}

impl<T> Drop for Pop<'_, T> {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket.take() else { return };
        let mut state = self.queue.core.state.lock();
        // Woken, but not going to take: the wake-up belongs to the next one.
        let next =
            if !state.leave(ticket) && !state.items.is_empty() { state.takers.pop_front() } else { None };
        drop(state);
        wake(next.map(|(_, waker)| waker));
    }
}
