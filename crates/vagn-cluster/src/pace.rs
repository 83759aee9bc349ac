//! How often a door publishes. A message costs brokers as much as some 600 reports in it, so when it would send many small ones, what
//! waits waits for more to go along; while there is little to do, nothing waits.

/// Time that a message earns: in the long run a door publishes one in each.
const EACH_MS: u64 = 5;

/// Messages that may go at once behind a pause, in the time that they earn.
const AT_ONCE_MS: u64 = 24 * EACH_MS;

/// The pace of a door, over all its shards.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// End of the time that all messages so far have earned.
    earned_ms: u64,
}

impl Pace {
    /// Returns the moment from which on a message may go that is not full.
    pub(crate) fn free_ms(&self) -> u64 {
        self.earned_ms.saturating_sub(AT_ONCE_MS)
    }

    /// A message goes now, as one that is full may at any time.
    pub(crate) fn step(&mut self, now_ms: u64) {
        let earned_ms = self.earned_ms.max(now_ms) + EACH_MS;
        // However many full ones go: behind them a message waits no longer than its turn.
        self.earned_ms = earned_ms.min(now_ms + AT_ONCE_MS + EACH_MS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_go_at_once_and_then_one_after_the_other() {
        let mut pace = Pace::default();
        let mut went_ms = Vec::new();
        let mut now_ms = 1_000;
        while went_ms.len() < 100 {
            now_ms = now_ms.max(pace.free_ms());
            pace.step(now_ms);
            went_ms.push(now_ms);
        }
        assert!(went_ms[..25].iter().all(|at_ms| *at_ms == 1_000), "{went_ms:?}");
        assert!(went_ms[24..].windows(2).all(|two| two[1] - two[0] == EACH_MS), "{went_ms:?}");
        // Behind a pause as at the beginning.
        now_ms += 1_000;
        assert!(pace.free_ms() <= now_ms);
        pace.step(now_ms);
        assert!(pace.free_ms() <= now_ms);
    }

    #[test]
    fn full_ones_hold_up_the_next_for_one_turn() {
        let mut pace = Pace::default();
        (0..1_000).for_each(|_| pace.step(500));
        assert_eq!(pace.free_ms(), 500 + EACH_MS);
    }
}
