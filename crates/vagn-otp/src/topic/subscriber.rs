//! The subscribers of a topic, and their policies when there is no room.

use std::time::Duration;

use super::OwnerChange;
use crate::addr::TellError;
use crate::mailbox::BoxFuture;
use crate::queue::{Backlog, PushError, Queue};
use crate::recipient::Recipient;

/// The answer of a subscriber to an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offer {
    /// It took the item.
    Taken,
    /// It has no use for the item.
    Skipped,
    /// It took the item, and dropped this many older ones.
    Dropped(u64),
    /// It had no room for the item.
    Full,
    /// It has ended, and did not take the item.
    Down,
}

/// A subscriber as the publisher sees it. It runs on the task or thread of the publisher, and must therefore be quick.
pub trait Subscriber<T>: Send + Sync {
    /// Takes an item, or declines. Never waits.
    fn offer(&self, item: &T) -> Offer;

    /// Takes an item, and waits at most this long for room. Called only for one that [waits](Self::waits).
    fn offer_within<'a>(&'a self, item: &'a T, within: Duration) -> BoxFuture<'a, Offer> {
        let _ = within;
        Box::pin(std::future::ready(self.offer(item)))
    }

    /// Returns true if a publisher that can wait should wait for this subscriber.
    fn waits(&self) -> bool {
        false
    }

    /// Receives news of the topic's owner.
    fn owner_changed(&self, change: OwnerChange) {
        let _ = change;
    }

    /// Returns the number of items waiting, and the most that may wait.
    fn depth(&self) -> (usize, usize) {
        (0, 0)
    }

    /// Returns the number of items waiting, and their age. For a subscriber without a [`Queue`]: the number alone.
    fn backlog(&self) -> Backlog {
        let (depth, capacity) = self.depth();
        Backlog { depth, capacity, ..Backlog::default() }
    }
}

/// The item that goes when there is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// The oldest waiting item.
    DropOldest,
    /// The new item.
    DropNewest,
    /// None, if the publisher can wait; otherwise the new item.
    Wait,
}

/// Turns a published item into one for the subscriber; `None` skips it.
type Select<T, U> = Box<dyn Fn(&T) -> Option<U> + Send + Sync>;

/// Selects from the published items, and puts the selected ones into a queue.
pub struct QueueSubscriber<T, U> {
    queue: Queue<U>,
    policy: Policy,
    select: Select<T, U>,
    on_drop: Box<dyn Fn(U) + Send + Sync>,
    on_owner_change: Box<dyn Fn(OwnerChange) + Send + Sync>,
}

impl<T, U: Send + 'static> QueueSubscriber<T, U> {
    /// Puts each item into the queue as `select` returns it; `None` skips the item. `select` runs in the publisher.
    pub fn new(
        queue: &Queue<U>,
        policy: Policy,
        select: impl Fn(&T) -> Option<U> + Send + Sync + 'static,
    ) -> Self {
        QueueSubscriber {
            queue: queue.clone(),
            policy,
            select: Box::new(select),
            on_drop: Box::new(drop),
            on_owner_change: Box::new(|_| ()),
        }
    }

    /// Hands each item that had to go, old or new, to `on_drop`.
    pub fn on_drop(mut self, on_drop: impl Fn(U) + Send + Sync + 'static) -> Self {
        self.on_drop = Box::new(on_drop);
        self
    }

    /// Hands news of the topic's owner to `on_owner_change`.
    pub fn on_owner_change(mut self, on_owner_change: impl Fn(OwnerChange) + Send + Sync + 'static) -> Self {
        self.on_owner_change = Box::new(on_owner_change);
        self
    }

    fn settle(&self, result: Result<(), PushError<U>>) -> Offer {
        match result {
            Ok(()) => Offer::Taken,
            Err(PushError::Full(item)) => {
                (self.on_drop)(item);
                Offer::Full
            }
            Err(PushError::Closed(item)) => {
                (self.on_drop)(item);
                Offer::Down
            }
        }
    }

    fn evicting(&self, item: U) -> Offer {
        match self.queue.push_evicting(item) {
            Ok(None) => Offer::Taken,
            Ok(Some(oldest)) => {
                (self.on_drop)(oldest);
                Offer::Dropped(1)
            }
            Err(closed) => self.settle(Err(closed)),
        }
    }
}

impl<T: Sync, U: Send + 'static> Subscriber<T> for QueueSubscriber<T, U> {
    fn offer(&self, item: &T) -> Offer {
        match (self.select)(item) {
            None => Offer::Skipped,
            Some(item) if self.policy == Policy::DropOldest => self.evicting(item),
            Some(item) => self.settle(self.queue.try_push(item)),
        }
    }

    fn offer_within<'a>(&'a self, item: &'a T, within: Duration) -> BoxFuture<'a, Offer> {
        Box::pin(async move {
            match (self.select)(item) {
                None => Offer::Skipped,
                Some(item) => self.settle(self.queue.push(item, within).await),
            }
        })
    }

    fn waits(&self) -> bool {
        self.policy == Policy::Wait
    }

    fn owner_changed(&self, change: OwnerChange) {
        (self.on_owner_change)(change);
    }

    fn depth(&self) -> (usize, usize) {
        (self.queue.len(), self.queue.capacity())
    }

    fn backlog(&self) -> Backlog {
        self.queue.backlog()
    }
}

/// Selects from the published items, and tells the selected ones to an actor. A new item that finds no room in the mailbox is
/// dropped, unless the publisher waits.
pub struct RecipientSubscriber<T, M, R = ()> {
    recipient: Recipient<M, R>,
    select: Select<T, M>,
}

impl<T, M, R> RecipientSubscriber<T, M, R> {
    /// Tells each item to the recipient as `select` returns it; `None` skips the item. `select` runs in the publisher.
    pub fn new(recipient: Recipient<M, R>, select: impl Fn(&T) -> Option<M> + Send + Sync + 'static) -> Self {
        RecipientSubscriber { recipient, select: Box::new(select) }
    }
}

fn told<M>(result: Result<(), TellError<M>>) -> Offer {
    match result {
        Ok(()) => Offer::Taken,
        Err(TellError::Full(_)) => Offer::Full,
        Err(TellError::Down(_)) => Offer::Down,
    }
}

impl<T: Sync, M: Send + 'static, R: Send + 'static> Subscriber<T> for RecipientSubscriber<T, M, R> {
    fn offer(&self, item: &T) -> Offer {
        (self.select)(item).map_or(Offer::Skipped, |message| told(self.recipient.try_tell(message)))
    }

    fn offer_within<'a>(&'a self, item: &'a T, within: Duration) -> BoxFuture<'a, Offer> {
        Box::pin(async move {
            match (self.select)(item) {
                None => Offer::Skipped,
                Some(message) => told(self.recipient.tell(message, within).await),
            }
        })
    }

    fn waits(&self) -> bool {
        true
    }

    fn depth(&self) -> (usize, usize) {
        let stats = self.recipient.stats();
        (stats.depth(), stats.capacity())
    }

    fn backlog(&self) -> Backlog {
        self.recipient.stats().backlog()
    }
}
