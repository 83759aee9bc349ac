//! Circuit breaker of a target: after failures in a row it lets one notice at a time through, now and then, until the target
//! accepts a notice or refuses one for good. So a target that is down costs a few connections instead of one per incident, and gets everything as soon as it
//! is back.
//!
//! Pure: time is handed in. First notices about known vehicles are never held back; while the breaker is open they serve as probes.

use std::time::Duration;

/// Limits and pauses of a breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// Failures in a row that open the breaker.
    pub failures: u32,
    /// Pause before the first probe. It doubles with every probe that fails.
    pub first: Duration,
    /// Longest pause.
    pub longest: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { failures: 8, first: Duration::from_secs(1), longest: Duration::from_secs(15) }
    }
}

/// Circuit breaker of one target.
#[derive(Debug)]
pub(crate) struct Breaker {
    patience: Patience,
    failures: u32,
    /// Time of the next probe, while the breaker is open.
    probe_at: Option<Duration>,
    probes: u32,
}

impl Breaker {
    /// Returns a closed breaker.
    pub(crate) fn new(patience: Patience) -> Self {
        Self { patience, failures: 0, probe_at: None, probes: 0 }
    }

    /// Returns true while notices go out as they come.
    pub(crate) fn is_closed(&self) -> bool {
        self.probe_at.is_none()
    }

    /// Returns true when a notice may go at `now`: any while the breaker is closed, else a probe that is due.
    pub(crate) fn allows(&self, now: Duration) -> bool {
        self.probe_at.is_none_or(|at| at <= now)
    }

    /// Returns the time of the next probe, while the breaker is open.
    pub(crate) fn probe_at(&self) -> Option<Duration> {
        self.probe_at
    }

    /// Notes that a notice goes out at `now`. While the breaker is open, the next has to wait.
    pub(crate) fn sent(&mut self, now: Duration) {
        if self.probe_at.is_some_and(|at| at <= now) {
            self.probes = self.probes.saturating_add(1);
            self.probe_at = Some(now + self.pause());
        }
    }

    /// Notes an answer that settles a notice. Returns true if that closes the breaker.
    pub(crate) fn settled(&mut self) -> bool {
        self.failures = 0;
        self.probes = 0;
        self.probe_at.take().is_some()
    }

    /// Notes a failure at `now`.
    pub(crate) fn failed(&mut self, now: Duration) {
        self.failures = self.failures.saturating_add(1);
        if self.failures >= self.patience.failures && self.probe_at.is_none() {
            self.probe_at = Some(now + self.pause());
        }
    }

    fn pause(&self) -> Duration {
        // Far below the 32 bits of the shift, and above any longest pause.
        let doublings = self.probes.min(16);
        self.patience.first.saturating_mul(1 << doublings).min(self.patience.longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn open() -> Breaker {
        let mut breaker = Breaker::new(Patience { failures: 3, first: s(1), longest: s(15) });
        for _ in 0..3 {
            breaker.failed(s(100));
        }
        breaker
    }

    #[test]
    fn opens_after_failures_in_a_row_only() {
        let mut breaker = Breaker::new(Patience { failures: 3, ..Patience::default() });
        for _ in 0..10 {
            breaker.failed(s(1));
            breaker.failed(s(1));
            assert!(breaker.is_closed());
            breaker.settled();
        }
        assert!(!open().is_closed());
    }

    #[test]
    fn probes_ever_more_rarely_and_closes_at_the_first_answer() {
        let mut breaker = open();
        let mut now = s(100);
        for pause in [1, 2, 4, 8, 15, 15] {
            assert!(!breaker.allows(now + s(pause) - Duration::from_nanos(1)), "{pause}");
            now += s(pause);
            assert!(breaker.allows(now), "{pause}");
            breaker.sent(now);
            breaker.failed(now);
        }
        assert!(breaker.settled() && breaker.is_closed() && breaker.allows(now));
        assert!(!breaker.settled(), "it was closed before");
    }
}
