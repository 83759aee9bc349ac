//! The feed: what changes about incidents, for those who follow along.
//!
//! Who publishes never waits: the last events are kept in a ring, and each follower reads them at its own pace. A follower
//! that has fallen out of the ring, or comes back after a restart, is told of the gap and is never shown less than happened
//! as if it were all.

use std::collections::VecDeque;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::watch;

use vagn_flow::clock::Clock;
use vagn_flow::rfc3339::rfc3339;

/// Most bytes of events that are kept, whatever their number.
const BYTES_MAX: usize = 32 << 20;

/// Names an event: the run of the service, and the how manieth it was in that. Written `<run>-<number>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventId {
    /// When the run began, ms since 1970.
    pub run: u64,
    /// From 1; 0 is before the first.
    pub number: u64,
}

/// The text is no id of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("event id is not <run>-<number>")]
pub struct BadEventId;

/// One change of an incident.
#[derive(Debug, PartialEq, Eq)]
pub struct FeedEvent {
    /// Its name.
    pub id: EventId,
    /// `{"change":…,"time":…,"incident":{…}}` in one line.
    pub data: Box<str>,
}

/// Why events are missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum GapReason {
    /// The event to go on from is not of this run: the service has been restarted, or never gave it out.
    UnknownEvent,
    /// More has happened since that event than is kept.
    MissedEvents,
}

/// What a follower gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FeedItem {
    /// The next event.
    Event(Arc<FeedEvent>),
    /// Events are missing here; what follows comes after `id`.
    Gap {
        /// The latest event that is passed over.
        id: EventId,
        /// Why.
        reason: GapReason,
    },
}

/// Takes changes in and hands them to all who follow.
pub struct Feed {
    clock: Arc<dyn Clock>,
    ring: Arc<Mutex<Ring>>,
    news: watch::Sender<()>,
}

/// One who follows, at its own pace.
pub struct Follower {
    ring: Arc<Mutex<Ring>>,
    news: watch::Receiver<()>,
    last: EventId,
}

/// The last events.
struct Ring {
    kept: usize,
    bytes: usize,
    latest: EventId,
    events: VecDeque<Arc<FeedEvent>>,
}

#[derive(Serialize)]
struct Change<'a, T> {
    change: &'static str,
    time: String,
    incident: &'a T,
}

impl Feed {
    /// An empty feed, whose run begins now, and which keeps the last `kept` events.
    pub fn new(clock: Arc<dyn Clock>, kept: usize) -> Self {
        let latest = EventId { run: clock.now_ms().max(0).unsigned_abs(), number: 0 };
        let ring = Ring { kept: kept.max(1), bytes: 0, latest, events: VecDeque::new() };
        Self { clock, ring: Arc::new(Mutex::new(ring)), news: watch::Sender::new(()) }
    }

    /// Tells everybody that `incident` has changed. Never waits for a follower; costs one serialization.
    ///
    /// Followers see events in the order of these calls.
    pub fn publish(&self, change: &'static str, incident: &impl Serialize) {
        let change = Change { change, time: rfc3339(self.clock.now_ms()), incident };
        let data = serde_json::to_string(&change).expect("incidents are made of strings, numbers and lists");
        self.ring.lock().push(data.into());
        self.news.send_replace(());
    }

    /// Follows from the event after `last` on; from now on without it.
    pub fn since(&self, last: Option<EventId>) -> Follower {
        let last = last.unwrap_or_else(|| self.ring.lock().latest);
        Follower { ring: self.ring.clone(), news: self.news.subscribe(), last }
    }
}

impl Follower {
    /// The latest event that this follower has, or passed over.
    pub fn last(&self) -> EventId {
        self.last
    }

    /// The next event or gap, as soon as there is one; `None` when the feed is gone. Nothing is lost when this is dropped
    /// before it is done.
    pub async fn next(&mut self) -> Option<FeedItem> {
        loop {
            // What is published after this look at the ring rings again.
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

impl Ring {
    fn push(&mut self, data: Box<str>) {
        self.latest.number += 1;
        self.bytes += data.len();
        self.events.push_back(Arc::new(FeedEvent { id: self.latest, data }));
        while self.events.len() > self.kept || self.bytes > BYTES_MAX {
            self.bytes -= self.events.pop_front().map_or(0, |event| event.data.len());
        }
    }

    fn after(&self, last: EventId) -> Option<FeedItem> {
        let gap = |reason| Some(FeedItem::Gap { id: self.latest, reason });
        if last.run != self.latest.run || last.number > self.latest.number {
            return gap(GapReason::UnknownEvent);
        }
        let newer = (self.latest.number - last.number) as usize;
        if newer == 0 {
            return None;
        }
        let at = self.events.len().checked_sub(newer);
        at.map_or_else(|| gap(GapReason::MissedEvents), |at| Some(FeedItem::Event(self.events[at].clone())))
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.run, self.number)
    }
}

impl FromStr for EventId {
    type Err = BadEventId;

    fn from_str(text: &str) -> Result<Self, BadEventId> {
        let (run, number) = text.split_once('-').ok_or(BadEventId)?;
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(run) || !digits(number) {
            return Err(BadEventId);
        }
        Ok(Self {
            run: run.parse().map_err(|_| BadEventId)?,
            number: number.parse().map_err(|_| BadEventId)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use vagn_flow::clock::ManualClock;

    const RUN: u64 = 1_790_000_000_000;

    fn feed(kept: usize) -> Feed {
        Feed::new(Arc::new(ManualClock::at(RUN as i64)), kept)
    }

    fn publish(feed: &Feed, numbers: std::ops::RangeInclusive<u64>) {
        numbers.for_each(|number| feed.publish("updated", &number));
    }

    fn id(number: u64) -> EventId {
        EventId { run: RUN, number }
    }

    /// What is there for the follower now: `3` for the third event, `gap(3, GapReason)` for a gap up to it.
    fn there(follower: &mut Follower) -> Vec<String> {
        let mut found = Vec::new();
        while let Some(Some(item)) = follower.next().now_or_never() {
            found.push(match item {
                FeedItem::Event(event) => event.id.number.to_string(),
                FeedItem::Gap { id, reason } => format!("gap({}, {reason:?})", id.number),
            });
        }
        found
    }

    #[test]
    fn an_event_says_what_changed_and_when() {
        let feed = feed(10);
        let mut follower = feed.since(None);
        feed.publish("opened", &["an incident"]);
        let data = r#"{"change":"opened","time":"2026-09-21T14:13:20.000Z","incident":["an incident"]}"#;
        let event = Arc::new(FeedEvent { id: id(1), data: data.into() });
        assert_eq!(follower.next().now_or_never(), Some(Some(FeedItem::Event(event))));
    }

    #[test]
    fn followers_go_on_after_the_event_they_name_or_hear_of_a_gap() {
        let feed = feed(3);
        publish(&feed, 1..=5);
        for (last, expected) in [
            (None, vec![]),
            (Some(id(5)), vec![]),
            (Some(id(4)), vec!["5"]),
            (Some(id(2)), vec!["3", "4", "5"]),
            (Some(id(1)), vec!["gap(5, MissedEvents)"]),
            (Some(id(0)), vec!["gap(5, MissedEvents)"]),
            (Some(id(6)), vec!["gap(5, UnknownEvent)"]),
            (Some(EventId { run: RUN - 1, number: 4 }), vec!["gap(5, UnknownEvent)"]),
        ] {
            assert_eq!(there(&mut feed.since(last)), expected, "{last:?}");
        }
    }

    #[test]
    fn a_slow_follower_hears_of_a_gap_and_then_of_what_comes_after_it() {
        let feed = feed(3);
        let mut follower = feed.since(None);
        publish(&feed, 1..=3);
        assert_eq!(there(&mut follower), ["1", "2", "3"]);
        publish(&feed, 4..=7);
        assert_eq!(there(&mut follower), ["gap(7, MissedEvents)"]);
        publish(&feed, 8..=9);
        assert_eq!(there(&mut follower), ["8", "9"]);
    }

    #[test]
    fn keeps_no_more_bytes_than_it_may() {
        let feed = feed(1_000);
        let large = "x".repeat(BYTES_MAX / 4);
        (0..10).for_each(|_| feed.publish("updated", &large));
        let ring = feed.ring.lock();
        assert_eq!((ring.events.len(), ring.latest.number), (3, 10));
        assert_eq!(ring.bytes, ring.events.iter().map(|event| event.data.len()).sum::<usize>());
    }

    #[tokio::test]
    async fn who_waits_is_woken_by_the_next_event_and_by_the_end() {
        let feed = feed(3);
        let mut follower = feed.since(None);
        let mut next = Box::pin(follower.next());
        assert_eq!((&mut next).now_or_never(), None);
        publish(&feed, 1..=1);
        assert!(matches!(next.await, Some(FeedItem::Event(event)) if event.id == id(1)));
        drop(feed);
        assert_eq!(follower.next().await, None);
    }

    #[test]
    fn an_id_is_read_as_it_is_written() {
        assert_eq!("1790000000000-7".parse(), Ok(id(7)));
        assert_eq!(id(7).to_string(), "1790000000000-7");
        for text in ["", "-", "7", "1-", "-1", "1-2-3", "+1-2", "1-x", "99999999999999999999-1"] {
            assert_eq!(text.parse::<EventId>(), Err(BadEventId), "{text}");
        }
    }
}
