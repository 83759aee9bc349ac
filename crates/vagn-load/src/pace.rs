//! Keeping a rate without drift.
//!
//! The n-th report is due n / rate seconds after the start, whatever happened before it: after a late one the next ones
//! follow at once until the count is right again. The time comes from the caller.

use std::{str::FromStr, time::Duration};

use thiserror::Error;

/// Rate of sending.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rate {
    /// Reports per second, more than 0.
    PerSecond(f64),
    /// As fast as the machine allows.
    Max,
}

/// The text is not a rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a rate is a number of reports per second above 0, or max")]
pub struct NotARate;

impl FromStr for Rate {
    type Err = NotARate;

    fn from_str(text: &str) -> Result<Self, NotARate> {
        if text.eq_ignore_ascii_case("max") {
            return Ok(Rate::Max);
        }
        let per_second = text.replace('_', "").parse().map_err(|_| NotARate)?;
        if f64::is_finite(per_second) && per_second > 0.0 {
            Ok(Rate::PerSecond(per_second))
        } else {
            Err(NotARate)
        }
    }
}

/// Counts the reports sent, and knows the time of the next one.
#[derive(Debug, Clone)]
pub struct Pace {
    rate: Rate,
    sent: u64,
}

impl Pace {
    /// Starts with nothing sent.
    pub fn new(rate: Rate) -> Self {
        Self { rate, sent: 0 }
    }

    /// Takes one report if it is due at `elapsed` since the start; otherwise gives the time still to wait.
    ///
    /// # Errors
    /// The time until the next report is due.
    pub fn take(&mut self, elapsed: Duration) -> Result<(), Duration> {
        let wait = self.due().saturating_sub(elapsed);
        if !wait.is_zero() {
            return Err(wait);
        }
        self.sent += 1;
        Ok(())
    }

    /// Number of reports taken.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// Time of the next report, since the start.
    fn due(&self) -> Duration {
        match self.rate {
            Rate::Max => Duration::ZERO,
            Rate::PerSecond(rate) => {
                Duration::try_from_secs_f64(self.sent as f64 / rate).unwrap_or(Duration::MAX)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a pace over `steps` looks at a clock that moves by `step`, and gives what was sent.
    fn run(rate: f64, step: Duration, steps: u32) -> u64 {
        let mut pace = Pace::new(Rate::PerSecond(rate));
        for n in 0..steps {
            while pace.take(step * n).is_ok() {}
        }
        pace.sent()
    }

    #[test]
    fn sends_the_rate_however_the_clock_is_looked_at() {
        assert_eq!(run(1000.0, Duration::from_millis(1), 10_001), 10_001);
        assert_eq!(run(1000.0, Duration::from_millis(7), 1_001), 7_001);
        assert_eq!(run(333_333.3, Duration::from_micros(11), 1_000_001), 3_666_667);
        assert_eq!(run(0.5, Duration::from_secs(1), 11), 6);
    }

    #[test]
    fn waits_exactly_until_the_next_report() {
        let mut pace = Pace::new(Rate::PerSecond(4.0));
        assert_eq!(pace.take(Duration::ZERO), Ok(()));
        assert_eq!(pace.take(Duration::from_millis(100)), Err(Duration::from_millis(150)));
        assert_eq!(pace.take(Duration::from_millis(250)), Ok(()));
    }

    #[test]
    fn makes_up_for_a_stall() {
        let mut pace = Pace::new(Rate::PerSecond(100.0));
        pace.take(Duration::ZERO).unwrap();
        while pace.take(Duration::from_secs(3)).is_ok() {}
        assert_eq!(pace.sent(), 301);
    }

    #[test]
    fn never_waits_at_the_maximum() {
        let mut pace = Pace::new(Rate::Max);
        assert!((0..1000).all(|_| pace.take(Duration::ZERO).is_ok()));
    }

    #[test]
    fn reads_a_rate() {
        assert_eq!("5000".parse(), Ok(Rate::PerSecond(5000.0)));
        assert_eq!("1_000_000".parse(), Ok(Rate::PerSecond(1e6)));
        assert_eq!("0.2".parse(), Ok(Rate::PerSecond(0.2)));
        assert_eq!("max".parse(), Ok(Rate::Max));
        for wrong in ["0", "-1", "NaN", "inf", "fast", ""] {
            assert_eq!(wrong.parse::<Rate>(), Err(NotARate), "{wrong}");
        }
    }
}
