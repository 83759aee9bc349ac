//! Feed: the changes of incidents, for clients that follow them.
//!
//! The publisher never waits. The latest events are kept in a ring, and each follower reads them at its own pace. A follower
//! that has fallen out of the ring, or comes back after a restart, gets a gap: it never takes a part of the events for all.

mod event;
mod ring;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::watch;

pub use event::{BadEventId, EventId, FeedEvent, FeedItem, GapReason};
use ring::Ring;
use vagn_flow::clock::Clock;
use vagn_flow::rfc3339::rfc3339;

/// Feed of all incidents.
pub struct Feed {
    clock: Arc<dyn Clock>,
    ring: Arc<Mutex<Ring>>,
    /// Wakes the followers that wait.
    news: watch::Sender<()>,
}

/// A follower of the feed.
pub struct Follower {
    ring: Arc<Mutex<Ring>>,
    news: watch::Receiver<()>,
    /// Latest event that the follower has, or passed over.
    last: EventId,
}

#[derive(Serialize)]
struct FeedData<'a, T> {
    change: &'static str,
    time: String,
    incident: &'a T,
}

impl Feed {
    /// Returns an empty feed that keeps the latest `events_max` events. Its run begins now.
    pub fn new(clock: Arc<dyn Clock>, events_max: usize) -> Self {
        let run = clock.now_ms().max(0).unsigned_abs();
        Self { clock, ring: Arc::new(Mutex::new(Ring::new(run, events_max))), news: watch::Sender::new(()) }
    }

    /// Publishes a change of `incident`. Costs one serialization, and never waits for a follower.
    ///
    /// Followers see events in the order in which this is called.
    pub fn publish(&self, change: &'static str, incident: &impl Serialize) {
        let data = FeedData { change, time: rfc3339(self.clock.now_ms()), incident };
        let data = serde_json::to_string(&data).expect("incidents are made of strings, numbers and lists");
        self.ring.lock().push(data.into());
        self.news.send_replace(());
    }

    /// Follows from the event after `last` on, or from now on without it.
    pub fn since(&self, last: Option<EventId>) -> Follower {
        let last = last.unwrap_or_else(|| self.ring.lock().latest);
        Follower { ring: self.ring.clone(), news: self.news.subscribe(), last }
    }
}

impl Follower {
    /// Returns the latest event that the follower has, or passed over.
    pub fn last(&self) -> EventId {
        self.last
    }

    /// Waits for the next event or gap; `None` when the feed is gone. Nothing is lost if this is dropped before it is done.
    pub async fn next(&mut self) -> Option<FeedItem> {
        loop {
            // An event that is published after this look at the ring wakes the follower again.
            self.news.mark_unchanged();
            if let Some(item) = self.ready() {
                return Some(item);
            }
            self.news.changed().await.ok()?;
        }
    }

    fn ready(&mut self) -> Option<FeedItem> {
        let item = self.ring.lock().after(self.last)?;
        self.last = match &item {
            FeedItem::Event(event) => event.id,
            FeedItem::Gap { id, .. } => *id,
        };
        Some(item)
    }
}
