//! Onlookers: whether somebody looks at the whole fleet through this node, which then needs the shards that it does not own, too.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use vagn_flow::clock::Clock;

/// Time for which a look counts. A page that is open looks each second.
const COUNTS_FOR: Duration = Duration::from_secs(30);

/// No look so far.
const NEVER: u64 = u64::MAX;

/// Remembers the last look at the whole fleet. Clones share it.
#[derive(Clone)]
pub struct Onlookers {
    clock: Arc<dyn Clock>,
    /// Monotonic, ms.
    last_ms: Arc<AtomicU64>,
}

impl Onlookers {
    /// Nobody has looked yet.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, last_ms: Arc::new(AtomicU64::new(NEVER)) }
    }

    /// Notes a look. Returns true if it is the first one for a while.
    pub fn note(&self) -> bool {
        let were_there = self.are_there();
        self.last_ms.store(self.now_ms(), Ordering::Relaxed);
        !were_there
    }

    /// True if somebody looked a moment ago.
    pub fn are_there(&self) -> bool {
        let last_ms = self.last_ms.load(Ordering::Relaxed);
        last_ms != NEVER && self.now_ms().saturating_sub(last_ms) < COUNTS_FOR.as_millis() as u64
    }

    fn now_ms(&self) -> u64 {
        self.clock.monotonic().as_millis() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vagn_flow::clock::ManualClock;

    #[test]
    fn a_look_counts_for_a_while() {
        let clock = Arc::new(ManualClock::at(0));
        let onlookers = Onlookers::new(clock.clone());
        assert!(!onlookers.are_there());
        assert!(onlookers.note());
        clock.advance(COUNTS_FOR - Duration::from_millis(1));
        assert!(onlookers.are_there() && !onlookers.note());
        clock.advance(COUNTS_FOR);
        assert!(!onlookers.are_there());
    }
}
