//! How often a door publishes. A message costs brokers as much as some 600 reports in it, so when it would send many small ones, what
//! waits waits for more to go along; while there is little to do, nothing waits. The more a message carries, the longer the next one waits: where
//! much comes, it is much fuller for it.

/// Time that a message takes of a door's at least.
const EACH_MS: u64 = 5;

/// Changes in a message for which it takes another millisecond.
const CHANGES_PER_MS: usize = 20;

/// Time that a message takes for its changes at most.
const CHANGES_MS: u64 = 8;

/// Messages that may go at once behind a pause, in the time that they take.
const AT_ONCE_MS: u64 = 24 * EACH_MS;

/// The pace of a door, over all its shards.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// End of the time that all messages so far have taken.
    taken_ms: u64,
}

impl Pace {
    /// Returns the moment from which on a message may go that is not full.
    pub(crate) fn free_ms(&self) -> u64 {
        self.taken_ms.saturating_sub(AT_ONCE_MS)
    }

    /// A message with so many changes goes now, as one that is full may at any time.
    pub(crate) fn step(&mut self, now_ms: u64, changes: usize) {
        let takes_ms = EACH_MS + ((changes / CHANGES_PER_MS) as u64).min(CHANGES_MS);
        let taken_ms = self.taken_ms.max(now_ms) + takes_ms;
        // However many full ones go: behind them a message waits no longer than its turn.
        self.taken_ms = taken_ms.min(now_ms + AT_ONCE_MS + takes_ms);
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
            pace.step(now_ms, 1);
            went_ms.push(now_ms);
        }
        assert!(went_ms[..25].iter().all(|at_ms| *at_ms == 1_000), "{went_ms:?}");
        assert!(went_ms[24..].windows(2).all(|two| two[1] - two[0] == EACH_MS), "{went_ms:?}");
        // Behind a pause as at the beginning.
        now_ms += 1_000;
        assert!(pace.free_ms() <= now_ms);
        pace.step(now_ms, 1);
        assert!(pace.free_ms() <= now_ms);
    }

    #[test]
    fn behind_one_that_carries_much_the_next_waits_longer() {
        let after = |changes| {
            let mut pace = Pace::default();
            (0..100).for_each(|_| pace.step(500, changes));
            pace.free_ms() - 500
        };
        assert_eq!([1, 19, 20, 100, 160, 4_096].map(after), [5, 5, 6, 10, 13, 13]);
    }

    #[test]
    fn full_ones_hold_up_the_next_for_one_turn() {
        let mut pace = Pace::default();
        (0..1_000).for_each(|_| pace.step(500, 4_096));
        assert_eq!(pace.free_ms(), 500 + EACH_MS + CHANGES_MS);
    }
}
