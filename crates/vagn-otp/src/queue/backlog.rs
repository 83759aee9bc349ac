//! What waits in a queue, and for how long.
//!
//! To time each item would cost a look at the clock per item. Instead the queue keeps the time of its last look: it looks when
//! an item comes into the empty queue, when an item is taken and others stay, and when its backlog is asked for. An item is
//! stamped with that time. The age of the oldest item is therefore exact if it came into the empty queue; otherwise it is too
//! high by at most the time between two takes, and never too low.

use std::time::Duration;

use tokio::time::Instant;

use super::Queue;

/// What waits in a queue at one moment.
///
/// A queue that is busy has a growing `oldest` and a small `stalled`; behind a stuck process both grow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Items waiting.
    pub depth: usize,
    /// The most items that may wait.
    pub capacity: usize,
    /// Age of the oldest waiting item, too high by at most the time between two takes; zero when nothing waits.
    pub oldest: Duration,
    /// Time since the last item was taken while others waited, or since the queue was last empty; zero when nothing waits.
    pub stalled: Duration,
}

impl Backlog {
    /// The backlog of two queues that are served together.
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
    /// What waits now, and for how long.
    pub fn backlog(&self) -> Backlog {
        let now = Instant::now();
        let mut state = self.core.state.lock();
        // A look at the clock anyway: what is pushed from now on is stamped the more exactly.
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
