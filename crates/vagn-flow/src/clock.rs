//! Time, handed in: everything in the service that needs the hour asks a [`Clock`], so that a test can set it.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A source of time, handed to each part of the service.
pub trait Clock: Send + Sync + 'static {
    /// Returns the wall time in milliseconds since 1970, UTC. May jump, as wall clocks do.
    fn now_ms(&self) -> i64;
    /// Returns the time since the clock was made; never runs backwards.
    fn monotonic(&self) -> Duration;
}

/// A time that is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Believed {
    /// The time, ms since 1970.
    pub now_ms: i64,
    /// Time since which the clock has been believed without a break, ms since 1970, over restarts.
    pub since_ms: i64,
}

impl Believed {
    /// Returns the time before which things are at least so old, ms since 1970; `None` when nothing can be: the clock has not been
    /// believed for so long, and what was stamped before may be younger than its stamp says.
    pub fn before(self, age_ms: i64) -> Option<i64> {
        let before_ms = self.now_ms.saturating_sub(age_ms);
        (before_ms >= self.since_ms).then_some(before_ms)
    }
}

/// The machine's own clock.
#[derive(Debug)]
pub struct SystemClock {
    made: Instant,
}

impl SystemClock {
    /// Starts its monotonic side now.
    pub fn new() -> Self {
        Self { made: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now_ms(&self) -> i64 {
        #[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's wall clock")]
        let now = SystemTime::now();
        now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
    }

    fn monotonic(&self) -> Duration {
        self.made.elapsed()
    }
}

/// A clock that moves when a test moves it. Its monotonic side follows the wall side while that grows.
#[derive(Debug)]
pub struct ManualClock {
    start_ms: i64,
    now_ms: AtomicI64,
    /// Part of the wall side that the monotonic one does not follow.
    jumped_ms: AtomicI64,
}

impl ManualClock {
    /// Returns a clock that stands at `now_ms` milliseconds since 1970.
    pub fn at(now_ms: i64) -> Self {
        Self { start_ms: now_ms, now_ms: AtomicI64::new(now_ms), jumped_ms: AtomicI64::new(0) }
    }

    /// Moves the clock on.
    pub fn advance(&self, by: Duration) {
        self.now_ms.fetch_add(by.as_millis() as i64, Ordering::Relaxed);
    }

    /// Sets the wall clock, also backwards.
    pub fn set_ms(&self, now_ms: i64) {
        self.now_ms.store(now_ms, Ordering::Relaxed);
        self.jumped_ms.store(0, Ordering::Relaxed);
    }

    /// Lets the wall clock jump, while the monotonic side goes on as before.
    pub fn jump_ms(&self, by_ms: i64) {
        self.jumped_ms.fetch_add(by_ms, Ordering::Relaxed);
    }
}

impl Clock for ManualClock {
    fn now_ms(&self) -> i64 {
        self.now_ms.load(Ordering::Relaxed).saturating_add(self.jumped_ms.load(Ordering::Relaxed))
    }

    fn monotonic(&self) -> Duration {
        let now_ms = self.now_ms.load(Ordering::Relaxed);
        Duration::from_millis(now_ms.saturating_sub(self.start_ms).max(0) as u64)
    }
}
