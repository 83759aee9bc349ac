//! The time at which a recorded row is due, and the time that it is stamped with.
//!
//! A trace has its own time. It is played from the start of the replay, faster by a factor, and long silences (a night, a
//! week between two recorded days) are cut short.

use std::{str::FromStr, time::Duration};

use thiserror::Error;

/// Speed of a replay, against the recording.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Speed {
    /// By this factor, more than 0.
    Times(f64),
    /// Every row at once, as fast as it can be sent.
    Max,
}

/// The text is not a speed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a speed is a factor above 0 such as 60x, or max")]
pub struct NotASpeed;

impl FromStr for Speed {
    type Err = NotASpeed;

    fn from_str(text: &str) -> Result<Self, NotASpeed> {
        if text.eq_ignore_ascii_case("max") {
            return Ok(Speed::Max);
        }
        let factor = text.strip_suffix(['x', 'X']).unwrap_or(text).parse().map_err(|_| NotASpeed)?;
        if f64::is_finite(factor) && factor > 0.0 { Ok(Speed::Times(factor)) } else { Err(NotASpeed) }
    }
}

/// The time that rows are stamped with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stamps {
    /// Their recorded time.
    Original,
    /// The time at which they are due, when the replay starts at `start_ms`. At [`Speed::Max`] nothing is due later than
    /// anything else; then the trace is moved as a whole so that its last row, at `last_ms` of its own time, is at the
    /// start: as if a backlog came in.
    Now {
        /// Start of the replay in ms since 1970.
        start_ms: i64,
        /// Time of the trace's last row in ms since 1970.
        last_ms: i64,
    },
}

/// Place of a row in the replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Time at which it is due, since the start of the replay.
    pub due: Duration,
    /// Event time to send, in ms since 1970.
    pub stamp_ms: i64,
}

/// Follows the time of a trace.
#[derive(Debug)]
pub struct Timeline {
    speed: Speed,
    stamps: Stamps,
    gap_max_ms: i64,
    latest_ms: Option<i64>,
    played_ms: i64,
}

impl Timeline {
    /// Starts a timeline. Silences longer than `gap_max` in the trace's time are cut down to it.
    pub fn new(speed: Speed, stamps: Stamps, gap_max: Duration) -> Self {
        let gap_max_ms = i64::try_from(gap_max.as_millis()).unwrap_or(i64::MAX);
        Self { speed, stamps, gap_max_ms, latest_ms: None, played_ms: 0 }
    }

    /// Places the next row by its own time. A row that is older than one before it is due at once, and its stamp is older by
    /// the same distance.
    pub fn place(&mut self, time_ms: i64) -> Place {
        let latest_ms = *self.latest_ms.get_or_insert(time_ms);
        let behind_ms = latest_ms.saturating_sub(time_ms);
        if behind_ms < 0 {
            self.latest_ms = Some(time_ms);
            self.played_ms += behind_ms.saturating_neg().min(self.gap_max_ms);
        }
        let late_ms = behind_ms.max(0) as f64;
        let (due_ms, row_ms) = match self.speed {
            Speed::Max => (0.0, 0.0),
            Speed::Times(factor) => {
                (self.played_ms as f64 / factor, (self.played_ms as f64 - late_ms) / factor)
            }
        };
        let due = Duration::try_from_secs_f64(due_ms / 1e3).unwrap_or(Duration::MAX);
        Place { due, stamp_ms: self.stamp_ms(time_ms, row_ms) }
    }

    fn stamp_ms(&self, time_ms: i64, row_ms: f64) -> i64 {
        match (self.stamps, self.speed) {
            (Stamps::Original, _) => time_ms,
            (Stamps::Now { start_ms, last_ms }, Speed::Max) => {
                start_ms.saturating_sub(last_ms.saturating_sub(time_ms))
            }
            (Stamps::Now { start_ms, .. }, Speed::Times(_)) => start_ms.saturating_add(row_ms as i64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Stamps = Stamps::Now { start_ms: 1_000_000, last_ms: 9_000 };

    fn check(speed: Speed, stamps: Stamps, rows: &[(i64, u64, i64)]) {
        let mut timeline = Timeline::new(speed, stamps, Duration::from_secs(60));
        for &(time_ms, due_ms, stamp_ms) in rows {
            let want = Place { due: Duration::from_millis(due_ms), stamp_ms };
            assert_eq!(timeline.place(time_ms), want, "row at {time_ms}");
        }
    }

    #[test]
    fn plays_faster_and_stamps_with_the_time_it_is_due() {
        let rows = [
            (5_000, 0, 1_000_000),
            (5_000, 0, 1_000_000),
            (11_000, 100, 1_000_100),
            (65_000, 1_000, 1_001_000),
        ];
        check(Speed::Times(60.0), NOW, &rows);
    }

    #[test]
    fn keeps_the_recorded_times_when_told() {
        check(Speed::Times(2.0), Stamps::Original, &[(5_000, 0, 5_000), (7_000, 1_000, 7_000)]);
        check(Speed::Max, Stamps::Original, &[(-5_000, 0, -5_000), (7_000, 0, 7_000)]);
    }

    #[test]
    fn sends_a_backlog_that_ends_now() {
        check(Speed::Max, NOW, &[(1_000, 0, 992_000), (1_000, 0, 992_000), (9_000, 0, 1_000_000)]);
    }

    #[test]
    fn cuts_long_silences_short() {
        let rows = [(0, 0, 1_000_000), (86_400_000, 60_000, 1_060_000), (86_401_000, 61_000, 1_061_000)];
        check(Speed::Times(1.0), NOW, &rows);
    }

    #[test]
    fn a_row_out_of_order_stays_older() {
        let rows = [(10_000, 0, 1_000_000), (20_000, 10_000, 1_010_000), (15_000, 10_000, 1_005_000)];
        check(Speed::Times(1.0), NOW, &rows);
    }

    #[test]
    fn accepts_times_at_the_ends_of_the_range() {
        let mut timeline = Timeline::new(Speed::Times(1.0), Stamps::Original, Duration::MAX);
        for time_ms in [i64::MIN, i64::MAX, i64::MIN] {
            assert_eq!(timeline.place(time_ms).stamp_ms, time_ms);
        }
    }

    #[test]
    fn reads_a_speed() {
        for (text, factor) in [("60x", 60.0), ("1", 1.0), ("0.5X", 0.5)] {
            assert_eq!(text.parse(), Ok(Speed::Times(factor)));
        }
        assert_eq!("max".parse(), Ok(Speed::Max));
        for wrong in ["0x", "-1x", "x", "NaN", "fast"] {
            assert_eq!(wrong.parse::<Speed>(), Err(NotASpeed), "{wrong}");
        }
    }
}
