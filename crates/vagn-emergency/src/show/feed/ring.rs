//! Ring of the latest events.

use std::collections::VecDeque;
use std::sync::Arc;

use super::event::{EventId, FeedEvent, FeedItem, GapReason};

/// Most bytes of events that are kept, whatever their number.
pub(super) const BYTES_MAX: usize = 32 << 20;

/// Latest events, oldest first.
pub(super) struct Ring {
    events_max: usize,
    pub(super) bytes: usize,
    /// Id of the latest event of this run.
    pub(super) latest: EventId,
    pub(super) events: VecDeque<Arc<FeedEvent>>,
}

impl Ring {
    /// Returns an empty ring for at most `events_max` events of this run, at least one.
    pub(super) fn new(run: u64, events_max: usize) -> Self {
        let latest = EventId { run, number: 0 };
        Self { events_max: events_max.max(1), bytes: 0, latest, events: VecDeque::new() }
    }

    pub(super) fn push(&mut self, data: Box<str>) {
        self.latest.number += 1;
        self.bytes += data.len();
        self.events.push_back(Arc::new(FeedEvent { id: self.latest, data }));
        while self.events.len() > self.events_max || self.bytes > BYTES_MAX {
            self.bytes -= self.events.pop_front().map_or(0, |event| event.data.len());
        }
    }

    /// Returns what comes after the event `last`, if there is anything.
    pub(super) fn after(&self, last: EventId) -> Option<FeedItem> {
        if last.run != self.latest.run || last.number > self.latest.number {
            return Some(self.gap(GapReason::UnknownEvent));
        }
        let newer = (self.latest.number - last.number) as usize;
        if newer == 0 {
            return None;
        }
        match self.events.len().checked_sub(newer) {
            Some(next) => Some(FeedItem::Event(self.events[next].clone())),
            None => Some(self.gap(GapReason::MissedEvents)),
        }
    }

    fn gap(&self, reason: GapReason) -> FeedItem {
        FeedItem::Gap { id: self.latest, reason }
    }
}
