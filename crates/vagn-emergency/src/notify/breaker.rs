//! The circuit breaker of a target: after failures in a row only one call at a time is let through, now and then, until
//! one gets an answer. So a target that is down costs a few connections, not one per incident, and hears of everything as
//! soon as it is back.
//!
//! Pure: time is handed in. First calls from vehicles that were known before are never held back; they probe as well.

use std::time::Duration;

/// When to stop and when to look again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// Failures in a row that open the breaker.
    pub failures: u32,
    /// Pause before the first probe; doubles with every probe that fails.
    pub first: Duration,
    /// Longest pause.
    pub longest: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { failures: 8, first: Duration::from_secs(1), longest: Duration::from_secs(15) }
    }
}

/// Whether a target is to be called.
#[derive(Debug)]
pub struct Breaker {
    patience: Patience,
    failures: u32,
    /// When the next probe may go, while it is open.
    probe_at: Option<Duration>,
    probes: u32,
}

impl Breaker {
    /// Closed: calls go through.
    pub fn new(patience: Patience) -> Self {
        Self { patience, failures: 0, probe_at: None, probes: 0 }
    }

    /// Whether calls go through as they come.
    pub fn is_closed(&self) -> bool {
        self.probe_at.is_none()
    }

    /// Whether a call may go at `now`: any while it is closed, and a probe when that is due.
    pub fn lets(&self, now: Duration) -> bool {
        self.probe_at.is_none_or(|at| at <= now)
    }

    /// When a probe is due, while it is open.
    pub fn probe_at(&self) -> Option<Duration> {
        self.probe_at
    }

    /// A call goes out at `now`. While it is open, the next has to wait.
    pub fn called(&mut self, now: Duration) {
        if self.probe_at.is_some_and(|at| at <= now) {
            self.probes = self.probes.saturating_add(1);
            self.probe_at = Some(now + self.pause());
        }
    }

    /// The target has answered in earnest. Returns whether that closes the breaker.
    pub fn answered(&mut self) -> bool {
        self.failures = 0;
        self.probes = 0;
        self.probe_at.take().is_some()
    }

    /// A call came to nothing at `now`.
    pub fn failed(&mut self, now: Duration) {
        self.failures = self.failures.saturating_add(1);
        if self.failures >= self.patience.failures && self.probe_at.is_none() {
            self.probe_at = Some(now + self.pause());
        }
    }

    fn pause(&self) -> Duration {
        self.patience.first.saturating_mul(1 << self.probes.min(16)).min(self.patience.longest)
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
        (0..3).for_each(|_| breaker.failed(s(100)));
        breaker
    }

    #[test]
    fn opens_after_failures_in_a_row_only() {
        let mut breaker = Breaker::new(Patience { failures: 3, ..Patience::default() });
        for _ in 0..10 {
            breaker.failed(s(1));
            breaker.failed(s(1));
            assert!(breaker.is_closed());
            breaker.answered();
        }
        assert!(!open().is_closed());
    }

    #[test]
    fn probes_ever_more_rarely_and_closes_at_the_first_answer() {
        let mut breaker = open();
        let mut now = s(100);
        for pause in [1, 2, 4, 8, 15, 15] {
            assert!(!breaker.lets(now + s(pause) - Duration::from_nanos(1)), "{pause}");
            now += s(pause);
            assert!(breaker.lets(now), "{pause}");
            breaker.called(now);
            breaker.failed(now);
        }
        assert!(breaker.answered() && breaker.is_closed() && breaker.lets(now));
        assert!(!breaker.answered(), "it was closed before");
    }
}
