//! The steps of a queue that a planted fault takes too early or too late. In the product each is what it seems, at no cost.

use super::Queue;
use crate::plant::{Plant, planted};

impl<T> Queue<T> {
    /// Returns the most items that may wait.
    #[inline]
    pub(super) fn bound(&self) -> usize {
        if planted(Plant::MissedBound) && self.len() < self.core.capacity {
            return usize::MAX;
        }
        self.core.capacity
    }

    /// Returns true if a fault has looked before the lock, and seen the queue closed.
    #[inline]
    pub(super) fn is_believed_closed(&self) -> bool {
        planted(Plant::CloseRace) && self.is_closed()
    }

    /// Counts an item that a fault has not counted when it went.
    #[inline]
    pub(super) fn count_late(&self, gone: &Option<T>) {
        if planted(Plant::DropWithoutCount) && gone.is_some() {
            let evicted = self.counts().evicted;
            self.core.state.lock().counts.evicted = evicted + 1;
        }
    }
}
