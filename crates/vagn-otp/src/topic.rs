//! A topic: every subscriber gets each item published, through its own bounded queue and by its own policy.
//!
//! The publisher itself hands each item on, without a hop through an actor or a queue of the topic's own. A full subscriber costs
//! the others nothing.

mod owner;
mod subscriber;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::task::Poll;
use std::time::Duration;

use crate::mailbox::BoxFuture;
use crate::park;
use crate::plant::{Plant, planted};
use crate::queue::Backlog;
use crate::sync::{Mutex, RwLock};
pub use owner::{Owner, OwnerChange};
pub use subscriber::{Offer, Policy, QueueSubscriber, RecipientSubscriber, Subscriber};

/// A topic. Cheap to clone; lives as long as any clone.
pub struct Topic<T> {
    core: Arc<TopicCore<T>>,
}

struct TopicCore<T> {
    name: String,
    /// Replaced as a whole at each change, so that a publisher holds no lock while it hands out.
    entries: RwLock<Arc<[Arc<Entry<T>>]>>,
    published: AtomicU64,
    /// Locked while the subscribers are told of a change, so that the last news is true.
    owners: Mutex<usize>,
}

struct Entry<T> {
    name: String,
    subscriber: Box<dyn Subscriber<T>>,
    counts: Counts,
}

#[derive(Default)]
struct Counts {
    taken: AtomicU64,
    skipped: AtomicU64,
    dropped: AtomicU64,
    full: AtomicU64,
    down: AtomicU64,
}

impl Counts {
    fn read(&self) -> Published {
        Published {
            taken: self.taken.load(Ordering::Relaxed),
            skipped: self.skipped.load(Ordering::Relaxed),
            dropped: self.dropped.load(Ordering::Relaxed),
            full: self.full.load(Ordering::Relaxed),
            down: self.down.load(Ordering::Relaxed),
        }
    }
}

/// The outcome of one item.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Published {
    /// Subscribers that took it.
    pub taken: u64,
    /// Subscribers that have no use for it.
    pub skipped: u64,
    /// Older items that were dropped for it.
    pub dropped: u64,
    /// Subscribers that had no room for it.
    pub full: u64,
    /// Subscribers that have ended.
    pub down: u64,
}

impl std::ops::Add for Published {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            taken: self.taken + other.taken,
            skipped: self.skipped + other.skipped,
            dropped: self.dropped + other.dropped,
            full: self.full + other.full,
            down: self.down + other.down,
        }
    }
}

impl Published {
    fn note(&mut self, offer: Offer) {
        match offer {
            Offer::Taken => self.taken += 1,
            Offer::Skipped => self.skipped += 1,
            Offer::Dropped(older) => {
                self.taken += 1;
                self.dropped += older;
            }
            Offer::Full => self.full += 1,
            Offer::Down => self.down += 1,
        }
    }
}

/// One subscriber of a topic, and its totals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscriptionInfo {
    /// The name it was subscribed under.
    pub name: String,
    /// Its totals, in items.
    pub counts: Published,
    /// Items waiting in its queue.
    pub depth: usize,
    /// The most items that may wait.
    pub capacity: usize,
    /// Age of the oldest item in its queue, as [`Backlog::oldest`].
    pub oldest: Duration,
    /// Time that items have waited without any being taken, as [`Backlog::stalled`].
    pub stalled: Duration,
}

impl<T: Send + Sync + 'static> Topic<T> {
    /// Makes a topic without subscribers.
    pub fn new(name: &str) -> Self {
        let core = TopicCore {
            name: name.to_owned(),
            entries: RwLock::new(Arc::new([])),
            published: AtomicU64::new(0),
            owners: Mutex::new(0),
        };
        Topic { core: Arc::new(core) }
    }

    /// Returns the topic's name.
    pub fn name(&self) -> &str {
        &self.core.name
    }

    /// Returns the number of items published so far.
    pub fn published(&self) -> u64 {
        self.core.published.load(Ordering::Relaxed)
    }

    /// Returns true when there is a subscriber: else an item need not be made.
    pub fn is_followed(&self) -> bool {
        !self.core.entries.read().is_empty()
    }

    /// Hands an item to every subscriber, from a task or a thread. Never waits: a subscriber without room acts by its policy.
    pub fn publish(&self, item: &T) -> Published {
        self.core.published.fetch_add(1, Ordering::Relaxed);
        let mut published = Published::default();
        for entry in self.entries().iter() {
            published.note(entry.note(entry.subscriber.offer(item)));
        }
        published
    }

    /// Hands an item to every subscriber. Those with the policy to wait are given at most `within` to have room; the others get
    /// it at once.
    pub async fn publish_wait(&self, item: &T, within: Duration) -> Published {
        let eager = self.publish_eager(item);
        eager + self.publish_patient(item, within).await
    }

    /// Hands an item to the subscribers that are not waited for: the first half of [`publish_wait`](Self::publish_wait). For a
    /// publisher with several items, so that none of them has to wait because of those before it.
    pub fn publish_eager(&self, item: &T) -> Published {
        self.core.published.fetch_add(1, Ordering::Relaxed);
        let mut published = Published::default();
        for entry in self.entries().iter().filter(|entry| !entry.subscriber.waits()) {
            published.note(entry.note(entry.subscriber.offer(item)));
        }
        published
    }

    /// Hands an item to the subscribers with the policy to wait, and waits at most `within` for room: the second half. Without
    /// any time it does not wait, and a subscriber without room acts by its policy.
    pub async fn publish_patient(&self, item: &T, within: Duration) -> Published {
        let entries = self.entries();
        let patient = entries.iter().filter(|entry| entry.subscriber.waits());
        let mut published = Published::default();
        if within.is_zero() {
            // Not a wait of no time, which makes a timer all the same.
            for entry in patient {
                published.note(entry.note(entry.subscriber.offer(item)));
            }
        } else {
            let waits = patient.map(|entry| Wait::new(entry, item, within)).collect();
            all(waits, &mut published).await;
        }
        published
    }

    /// [`publish_wait`](Self::publish_wait) from a plain thread, which sleeps meanwhile. Needs the runtime's clock: call it
    /// within a runtime's context, as every child thread is.
    pub fn publish_blocking(&self, item: &T, within: Duration) -> Published {
        let publish = std::pin::pin!(self.publish_wait(item, within));
        // `within` ends it, so that no second limit is needed.
        park::wait(publish, Duration::MAX).unwrap_or_default()
    }

    /// Adds a subscriber. It stays until [`Subscription::unsubscribe`], even if the handle is dropped: the restart of a subscriber
    /// does not end its subscription.
    pub fn subscribe(&self, name: &str, subscriber: impl Subscriber<T> + 'static) -> Subscription<T> {
        let entry = Arc::new(Entry {
            name: name.to_owned(),
            subscriber: Box::new(subscriber),
            counts: Counts::default(),
        });
        // A copy: a publish that is under way goes on with the old list.
        let seen_before = planted(Plant::LostSubscriber).then(|| self.entries());
        let mut entries = self.core.entries.write();
        let old = seen_before.unwrap_or_else(|| entries.clone());
        *entries = old.iter().cloned().chain([entry.clone()]).collect();
        Subscription { entry, topic: Arc::downgrade(&self.core) }
    }

    /// Lists every subscriber, in the order they are served.
    pub fn list(&self) -> Vec<SubscriptionInfo> {
        self.entries().iter().map(|entry| entry.info()).collect()
    }

    fn entries(&self) -> Arc<[Arc<Entry<T>>]> {
        self.core.entries.read().clone()
    }
}

/// An offer under way.
struct Wait<'a, T> {
    entry: &'a Entry<T>,
    offer: BoxFuture<'a, Offer>,
}

impl<'a, T> Wait<'a, T> {
    fn new(entry: &'a Arc<Entry<T>>, item: &'a T, within: Duration) -> Self {
        Wait { entry, offer: entry.subscriber.offer_within(item, within) }
    }
}

/// Waits for all offers at once, so that none has to wait for another.
async fn all<T>(mut waits: Vec<Wait<'_, T>>, published: &mut Published) {
    std::future::poll_fn(|cx| {
        waits.retain_mut(|wait| match wait.offer.as_mut().poll(cx) {
            Poll::Pending => true,
            Poll::Ready(offer) => {
                published.note(wait.entry.note(offer));
                false
            }
        });
        if waits.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

impl<T> Entry<T> {
    /// Counts an offer, and passes it on.
    fn note(&self, offer: Offer) -> Offer {
        let counts = &self.counts;
        let (count, n) = match offer {
            Offer::Taken => (&counts.taken, 1),
            Offer::Skipped => (&counts.skipped, 1),
            Offer::Dropped(older) => {
                counts.taken.fetch_add(1, Ordering::Relaxed);
                (&counts.dropped, older)
            }
            Offer::Full => (&counts.full, 1),
            Offer::Down => (&counts.down, 1),
        };
        count.fetch_add(n, Ordering::Relaxed);
        offer
    }

    fn info(&self) -> SubscriptionInfo {
        let counts = self.counts.read();
        let Backlog { depth, capacity, oldest, stalled } = self.subscriber.backlog();
        SubscriptionInfo { name: self.name.clone(), counts, depth, capacity, oldest, stalled }
    }
}

/// Handle of a subscription, to look at it and to end it.
pub struct Subscription<T> {
    entry: Arc<Entry<T>>,
    topic: Weak<TopicCore<T>>,
}

impl<T> Subscription<T> {
    /// Returns the subscriber's totals and its backlog.
    pub fn info(&self) -> SubscriptionInfo {
        self.entry.info()
    }

    /// Ends the subscription. A publish that is under way may still serve it once.
    pub fn unsubscribe(self) {
        if let Some(core) = self.topic.upgrade() {
            let mut entries = core.entries.write();
            *entries = entries.iter().filter(|entry| !Arc::ptr_eq(entry, &self.entry)).cloned().collect();
        }
    }
}

impl<T> Clone for Topic<T> {
    fn clone(&self) -> Self {
        Topic { core: self.core.clone() }
    }
}

impl<T> std::fmt::Debug for Topic<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Topic").field(&self.core.name).finish()
    }
}
