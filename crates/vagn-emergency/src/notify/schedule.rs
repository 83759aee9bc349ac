//! Schedule of retries: 0.5 s after the first failure, doubling, never more than 15 s apart, for ever.
//!
//! Pure: chance is handed in, so that a schedule can be replayed from its seed.

use std::time::Duration;

use fastrand::Rng;

/// Waits between the attempts of one notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    /// Wait after the first failed attempt.
    pub first: Duration,
    /// Longest wait.
    pub longest: Duration,
}

impl Default for Schedule {
    fn default() -> Self {
        Self { first: Duration::from_millis(500), longest: Duration::from_secs(15) }
    }
}

impl Schedule {
    /// Returns the wait after `failed` attempts (1 or more): between half of the doubled wait and all of it.
    ///
    /// Half is left to chance, so that notices that failed together do not come back together. The first wait is never
    /// longer or shorter: a person waits for help.
    pub fn wait(&self, failed: u32, rng: &mut Rng) -> Duration {
        let doublings = failed.saturating_sub(1).min(31);
        let full = self.first.saturating_mul(1 << doublings).min(self.longest);
        if doublings == 0 { full } else { full.mul_f64(0.5 + rng.f64() / 2.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{prop_assert, proptest};

    #[test]
    fn doubles_from_half_a_second_to_fifteen() {
        let mut rng = Rng::with_seed(7);
        let waits: Vec<_> = (1..=8).map(|failed| Schedule::default().wait(failed, &mut rng)).collect();
        assert_eq!(waits[0], Duration::from_millis(500));
        for (at, full_ms) in [(1, 1000), (2, 2000), (3, 4000), (4, 8000), (5, 15_000), (7, 15_000)] {
            let full = Duration::from_millis(full_ms);
            assert!(waits[at] >= full / 2 && waits[at] <= full, "wait {at} is {:?}", waits[at]);
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_schedule() {
        let waits = |seed| {
            let mut rng = Rng::with_seed(seed);
            (1..20).map(|failed| Schedule::default().wait(failed, &mut rng)).collect::<Vec<_>>()
        };
        assert_eq!(waits(1), waits(1));
        assert_ne!(waits(1), waits(2));
    }

    proptest! {
        #[test]
        fn never_waits_longer_than_the_longest_nor_not_at_all(failed: u32, seed: u64) {
            let wait = Schedule::default().wait(failed, &mut Rng::with_seed(seed));
            prop_assert!(wait <= Duration::from_secs(15));
            prop_assert!(wait >= Duration::from_millis(500));
        }
    }
}
