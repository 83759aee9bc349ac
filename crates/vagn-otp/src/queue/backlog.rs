//! The backlog of a queue: the items waiting, and their age.
//!
//! To time each item would cost a look at the clock per item. Instead the queue keeps the time of its last look: it looks when
//! an item comes into the empty queue, when an item is taken and others stay, and when its backlog is asked for. An item is
//! stamped with that time. The age of the oldest item is therefore exact if it came into the empty queue; otherwise it is too
//! high by at most the time between two takes, and never too low.

use std::time::Duration;

use super::Queue;
use crate::sync::time::Instant;

/// The items that wait in a queue at one moment, and their age.
///
/// In the queue of a busy process `oldest` may grow, but `stalled` stays small; in that of a stuck process both grow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Number of items waiting.
    pub depth: usize,
    /// The most items that may wait.
    pub capacity: usize,
    /// Age of the oldest waiting item, too high by at most the time between two takes; zero when nothing waits.
    pub oldest: Duration,
    /// Time since the last item was taken while others waited, or since the queue was last empty; zero when nothing waits.
    pub stalled: Duration,
}

impl Backlog {
    /// Returns the backlog of two queues that are served together.
    pub(crate) fn merge(self, other: Backlog) -> Backlog {
        Backlog {
            depth: self.depth + other.depth,
            capacity: self.capacity + other.capacity,
            oldest: self.oldest.max(other.oldest),
            stalled: self.stalled.max(other.stalled),
        }
    }
}

impl<T> Queue<T> {
    /// Returns the number of items waiting, and their age.
    pub fn backlog(&self) -> Backlog {
        let now = Instant::now();
        let mut state = self.core.state.lock();
        // The clock was read anyway, and makes the stamps of the next items more exact.
        state.clock = state.clock.max(now);
        let empty = Backlog { capacity: self.core.capacity, ..Backlog::default() };
        state.items.front().map_or(empty, |oldest| Backlog {
            depth: state.items.len(),
            oldest: now.saturating_duration_since(oldest.since),
            stalled: now.saturating_duration_since(state.moved),
            ..empty
        })
    }
}
