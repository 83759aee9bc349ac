//! Who gets what a topic publishes, and what happens when there is no room.

use std::time::Duration;

use super::Notice;
use crate::addr::TellError;
use crate::mailbox::BoxFuture;
use crate::queue::{Backlog, PushError, Queue};
use crate::recipient::Recipient;

/// What a subscriber did with an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offer {
    /// Took it.
    Taken,
    /// It does not concern this subscriber.
    Skipped,
    /// Took it, and this many older ones had to go.
    Dropped(u64),
    /// Did not take it: no room.
    Full,
    /// Did not take it: the subscriber has ended.
    Down,
}

/// A subscriber, as the publisher sees it. Runs on the publisher's task or thread, so it must be quick.
pub trait Subscriber<T>: Send + Sync {
    /// Takes an item, or does not. Never waits.
    fn offer(&self, item: &T) -> Offer;

    /// Takes an item, waiting for room at most this long. Only asked of one that [waits](Self::waits).
    fn offer_within<'a>(&'a self, item: &'a T, within: Duration) -> BoxFuture<'a, Offer> {
        let _ = within;
        Box::pin(std::future::ready(self.offer(item)))
    }

    /// True when a publisher that can wait should wait for this subscriber.
    fn waits(&self) -> bool {
        false
    }

    /// Hears of the topic's owner.
    fn notice(&self, notice: Notice) {
        let _ = notice;
    }

    /// Items waiting, and the most that may.
    fn depth(&self) -> (usize, usize) {
        (0, 0)
    }

    /// What waits, and for how long. Without a [`Queue`] behind it: the depth alone.
    fn backlog(&self) -> Backlog {
        let (depth, capacity) = self.depth();
        Backlog { depth, capacity, ..Backlog::default() }
    }
}

/// What to do when there is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// The oldest waiting item goes.
    DropOldest,
    /// The new item goes.
    DropNewest,
    /// The publisher waits, if it can; else the new item goes.
    Wait,
}

/// What a subscriber makes of an item; `None`: it does not concern it.
type Select<T, U> = Box<dyn Fn(&T) -> Option<U> + Send + Sync>;

/// Selects from what is published and puts it into a queue.
pub struct QueueSubscriber<T, U> {
    queue: Queue<U>,
    policy: Policy,
    select: Select<T, U>,
    on_drop: Box<dyn Fn(U) + Send + Sync>,
    on_notice: Box<dyn Fn(Notice) + Send + Sync>,
}

impl<T, U: Send + 'static> QueueSubscriber<T, U> {
    /// Puts what `select` makes of an item into the queue; `None` skips the item. It runs in the publisher.
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
            on_notice: Box::new(|_| ()),
        }
    }

    /// Hands over what had to go, old or new, instead of just dropping it.
    pub fn on_drop(mut self, on_drop: impl Fn(U) + Send + Sync + 'static) -> Self {
        self.on_drop = Box::new(on_drop);
        self
    }

    /// Hears of the topic's owner.
    pub fn on_notice(mut self, on_notice: impl Fn(Notice) + Send + Sync + 'static) -> Self {
        self.on_notice = Box::new(on_notice);
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
            None => Offer::Taken,
            Some(gone) => {
                (self.on_drop)(gone);
                if self.queue.is_closed() { Offer::Down } else { Offer::Dropped(1) }
            }
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

    fn notice(&self, notice: Notice) {
        (self.on_notice)(notice);
    }

    fn depth(&self) -> (usize, usize) {
        (self.queue.len(), self.queue.capacity())
    }

    fn backlog(&self) -> Backlog {
        self.queue.backlog()
    }
}

/// Selects from what is published and tells it to an actor. What does not fit into its mailbox goes, unless the publisher
/// waits.
pub struct RecipientSubscriber<T, M, R = ()> {
    recipient: Recipient<M, R>,
    select: Select<T, M>,
}

impl<T, M, R> RecipientSubscriber<T, M, R> {
    /// Tells the recipient what `select` makes of an item; `None` skips the item. It runs in the publisher.
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
