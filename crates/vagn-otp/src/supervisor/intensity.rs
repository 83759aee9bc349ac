//! The limit of restarts within a time.

use std::collections::VecDeque;
use std::time::Duration;

use crate::sync::time::Instant;

/// Counts restarts in a window that slides with time.
#[derive(Debug)]
pub(super) struct Intensity {
    restarts: usize,
    period: Duration,
    recent: VecDeque<Instant>,
}

impl Intensity {
    pub(super) fn new(restarts: usize, period: Duration) -> Self {
        Intensity { restarts, period, recent: VecDeque::new() }
    }

    /// Notes a restart. Returns false if it is one too many.
    pub(super) fn allow(&mut self, now: Instant) -> bool {
        self.recent.push_back(now);
        while self.recent.front().is_some_and(|at| now.duration_since(*at) > self.period) {
            self.recent.pop_front();
        }
        self.recent.len() <= self.restarts
    }

    /// Forgets all restarts, for a new incarnation of the supervisor.
    pub(super) fn clear(&mut self) {
        self.recent.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_restarts_within_the_period_count() {
        let start = Instant::now();
        let mut intensity = Intensity::new(2, Duration::from_secs(5));
        let second = Duration::from_secs(1);
        assert!(intensity.allow(start));
        assert!(intensity.allow(start + 3 * second));
        assert!(intensity.allow(start + 6 * second), "the first is 6 s old");
        assert!(!intensity.allow(start + 7 * second), "third within 5 s");
    }

    #[test]
    fn an_intensity_of_none_allows_none() {
        assert!(!Intensity::new(0, Duration::from_secs(5)).allow(Instant::now()));
    }
}
