//! Backing off: how long a door that takes in more than can be stored leaves the processor to storing.
//!
//! What such a door receives makes something older go, at the cost of the very processor that storing needs; what the
//! kernel drops meanwhile costs next to nothing. So it naps, just long enough that a good many batches find room before
//! the next one does not. Pure: what found room in, a nap out.

use std::time::Duration;

use vagn_flow::batch::BATCH_MAX;

/// Shortest nap; some seven batches are stored meanwhile where a core serves alone.
const NAP_MIN: Duration = Duration::from_millis(2);

/// Longest nap, where the processor is scarce. Short against what waits in the queue then, which is seconds old.
const NAP_MAX: Duration = Duration::from_millis(32);

/// Reports that should find room between two naps: of so many batches one is received in vain. A queue shorter than that
/// (`pools.shed_queue`) makes for the longest nap.
const ENOUGH: usize = 16 * BATCH_MAX;

/// The nap so far, and whether it was long enough.
#[derive(Debug)]
pub(super) struct Backoff {
    nap: Duration,
    /// Reports that found room since the last nap.
    fitted: usize,
}

impl Backoff {
    pub(super) fn new() -> Self {
        Self { nap: NAP_MIN, fitted: 0 }
    }

    /// Takes in that `fitted` reports found room, and whether something older had to go for others (`crowded`); then says
    /// how long to nap.
    pub(super) fn nap(&mut self, fitted: usize, crowded: bool) -> Option<Duration> {
        self.fitted += fitted;
        if !crowded {
            return None;
        }
        let fitted = std::mem::take(&mut self.fitted);
        if fitted < ENOUGH {
            self.nap = (self.nap * 2).min(NAP_MAX);
        } else if fitted > 2 * ENOUGH {
            self.nap = (self.nap / 2).max(NAP_MIN);
        }
        Some(self.nap)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The nap, in ms, that a door settles at whose batches find room at this rate, and the share received in vain.
    fn settled(stored_per_ms: usize) -> (u128, f64) {
        let mut backoff = Backoff::new();
        let mut nap = NAP_MIN;
        let mut vain = 1.0;
        for _ in 0..50 {
            let room = nap.as_millis() as usize * stored_per_ms / BATCH_MAX;
            (0..room).for_each(|_| assert_eq!(backoff.nap(BATCH_MAX, false), None));
            nap = backoff.nap(0, true).unwrap();
            vain = 1.0 / (room + 1) as f64;
        }
        (nap.as_millis(), vain)
    }

    #[test]
    fn naps_until_little_is_received_in_vain() {
        for stored_per_ms in [250, 500, 850, 1_700] {
            let (nap, vain) = settled(stored_per_ms);
            assert!(nap <= NAP_MAX.as_millis() && vain <= 0.065, "{stored_per_ms}: {nap} ms, {vain}");
        }
    }

    #[test]
    fn naps_neither_for_ever_nor_for_nothing() {
        assert_eq!(settled(0).0, NAP_MAX.as_millis());
        assert_eq!(settled(1_000_000).0, NAP_MIN.as_millis());
    }
}
