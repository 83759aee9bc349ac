//! A topic: what one publishes, every subscriber gets, each through its own bounded queue and by its own policy.
//!
//! The publisher itself hands each item on; there is no hop through an actor and no queue of the topic's own. A full
//! subscriber costs the others nothing.

mod owner;
mod subscriber;

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::task::Poll;
use std::time::Duration;

use parking_lot::RwLock;

use crate::mailbox::BoxFuture;
use crate::park;
use crate::queue::Backlog;
pub use owner::{Notice, Owner};
pub use subscriber::{Offer, Policy, QueueSubscriber, RecipientSubscriber, Subscriber};

/// A topic. Cheap to clone; lives as long as any clone.
pub struct Topic<T> {
    core: Arc<Core<T>>,
}

struct Core<T> {
    name: String,
    /// Replaced as a whole at each change, so that a publisher holds no lock while it hands out.
    entries: RwLock<Arc<[Arc<Entry<T>>]>>,
    published: AtomicU64,
    owners: AtomicUsize,
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

/// What became of one item.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Published {
    /// Subscribers that took it.
    pub taken: u64,
    /// Subscribers that it does not concern.
    pub skipped: u64,
    /// Older items that had to go for it.
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

/// One subscriber of a topic, and what it got so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscriptionInfo {
    /// The name it was subscribed under.
    pub name: String,
    /// Its totals, in items.
    pub counts: Published,
    /// Items in its queue now.
    pub depth: usize,
    /// The most that may be.
    pub capacity: usize,
    /// Age of the oldest item in its queue, as [`Backlog::oldest`].
    pub oldest: Duration,
    /// How long items have waited without any being taken, as [`Backlog::stalled`].
    pub stalled: Duration,
}

impl<T: Send + Sync + 'static> Topic<T> {
    /// A topic without subscribers.
    pub fn new(name: &str) -> Self {
        let core = Core {
            name: name.to_owned(),
            entries: RwLock::new(Arc::new([])),
            published: AtomicU64::new(0),
            owners: AtomicUsize::new(0),
        };
        Topic { core: Arc::new(core) }
    }

    /// The topic's name.
    pub fn name(&self) -> &str {
        &self.core.name
    }

    /// Items published so far.
    pub fn published(&self) -> u64 {
        self.core.published.load(Ordering::Relaxed)
    }

    /// Hands an item to every subscriber. Never waits; whoever has no room acts by its policy. From tasks and threads alike.
    pub fn publish(&self, item: &T) -> Published {
        self.core.published.fetch_add(1, Ordering::Relaxed);
        let mut published = Published::default();
        for entry in self.entries().iter() {
            published.note(entry.note(entry.subscriber.offer(item)));
        }
        published
    }

    /// Hands an item to every subscriber, waiting at most `within` for room with those whose policy is to wait. The others
    /// get it at once.
    pub async fn publish_wait(&self, item: &T, within: Duration) -> Published {
        let eager = self.publish_eager(item);
        eager + self.publish_patient(item, within).await
    }

    /// The first half of [`publish_wait`](Self::publish_wait): hands an item to those who are not waited for. For a
    /// publisher with several items, so that none of them stands behind the waits for those before it.
    pub fn publish_eager(&self, item: &T) -> Published {
        self.core.published.fetch_add(1, Ordering::Relaxed);
        let mut published = Published::default();
        for entry in self.entries().iter().filter(|entry| !entry.subscriber.waits()) {
            published.note(entry.note(entry.subscriber.offer(item)));
        }
        published
    }

    /// The second half: hands an item to those whose policy is to wait, and waits at most `within` for room. Without any
    /// time it does not wait at all, and whoever is full acts by its policy.
    pub async fn publish_patient(&self, item: &T, within: Duration) -> Published {
        let entries = self.entries();
        let patient = entries.iter().filter(|entry| entry.subscriber.waits());
        let mut published = Published::default();
        if within.is_zero() {
            patient.for_each(|entry| published.note(entry.note(entry.subscriber.offer(item))));
        } else {
            let wait = |entry| Wait::new(entry, item, within);
            all(patient.map(wait).collect(), &mut published).await;
        }
        published
    }

    /// [`publish_wait`](Self::publish_wait) from a plain thread, which sleeps meanwhile. Needs the runtime's clock: call it
    /// within a runtime's context, as every child thread is.
    pub fn publish_blocking(&self, item: &T, within: Duration) -> Published {
        let publish = std::pin::pin!(self.publish_wait(item, within));
        park::wait(publish, Duration::MAX).unwrap_or_default()
    }

    /// Adds a subscriber. It stays until [`Subscription::unsubscribe`], whatever becomes of the handle: a subscriber's restart
    /// does not end its subscription.
    pub fn subscribe(&self, name: &str, subscriber: impl Subscriber<T> + 'static) -> Subscription<T> {
        let entry = Arc::new(Entry {
            name: name.to_owned(),
            subscriber: Box::new(subscriber),
            counts: Counts::default(),
        });
        let mut entries = self.core.entries.write();
        *entries = entries.iter().cloned().chain([entry.clone()]).collect();
        Subscription { entry, topic: Arc::downgrade(&self.core) }
    }

    /// Every subscriber, in the order they are served.
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

/// Waits for all of them at once, so that none has to wait for another.
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
    /// Counts an offer.
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
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let counts = Published {
            taken: load(&self.counts.taken),
            skipped: load(&self.counts.skipped),
            dropped: load(&self.counts.dropped),
            full: load(&self.counts.full),
            down: load(&self.counts.down),
        };
        let Backlog { depth, capacity, oldest, stalled } = self.subscriber.backlog();
        SubscriptionInfo { name: self.name.clone(), counts, depth, capacity, oldest, stalled }
    }
}

/// A subscription, for looking at it and for ending it.
pub struct Subscription<T> {
    entry: Arc<Entry<T>>,
    topic: Weak<Core<T>>,
}

impl<T> Subscription<T> {
    /// What it got so far.
    pub fn info(&self) -> SubscriptionInfo {
        self.entry.info()
    }

    /// Ends it. A publisher in the midst of handing out may still serve it once.
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
