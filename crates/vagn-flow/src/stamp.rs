//! Arrival stamps: a time that does not run backwards by a little, and a receive sequence that never repeats, over restarts too.
//!
//! Order within a vehicle is decided by event time and receive sequence. A wall clock may step back a little, and a restart
//! forgets what was handed out; a stamp below an older one would make a fresh report look stale. Therefore the time stands
//! still until a clock that went back a little has caught up, and the stamper keeps a [mark](crate::mark) in the data
//! directory that is ahead of its stamps.
//!
//! A clock that goes back by more was wrong before, and the time follows it at once: a fix stored under a wrong clock loses
//! to any other, and the sequence keeps the order.

use std::io;
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::clock::{Believed, Clock};
use crate::mark::{Found, MarkError, MarkFile, Marked};

/// Lead of the mark on disk over the clock. It is renewed at a third of this; after a crash, stamps stand
/// still for at most this long until the wall clock has caught up.
const MARK_AHEAD_MS: i64 = 1_500;

/// The same lead for the sequence. A run never hands out a number per nanosecond.
const MARK_AHEAD_SEQ: u64 = MARK_AHEAD_MS as u64 * NS_PER_MS;

const NS_PER_MS: u64 = 1_000_000;

/// Highest sequence that a clock can give, in the year 2262: it leaves as many again above it.
const CLOCK_SEQ_MAX: u64 = u64::MAX / 2;

/// Furthest a clock may go back, ms, for the time to wait for it: as far as time services step a clock in their daily work.
pub const HELD_BACK_MAX_MS: i64 = 5_000;

/// The arrival of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Arrival time, ms since 1970.
    pub time_ms: i64,
    /// Receive sequence of the batch's first report; the others follow one by one.
    pub first_seq: u64,
}

/// Hands out stamps to all doors.
pub struct Stamper {
    clock: Arc<dyn Clock>,
    mark: Mutex<MarkFile>,
    found: Found,
    last: Mutex<Stamp>,
}

impl Stamper {
    /// Longest time between two calls of [`Stamper::renew_mark`].
    pub const RENEW_EVERY: std::time::Duration = std::time::Duration::from_millis(MARK_AHEAD_MS as u64 / 3);

    /// Starts from the mark that an earlier run left in `data_dir`, if there is one. It is to be renewed before the first
    /// stamp is handed out.
    ///
    /// # Errors
    /// There is a mark, and the disk does not give it.
    pub fn open(data_dir: &Path, clock: Arc<dyn Clock>) -> Result<Self, MarkError> {
        let (mark, found) = MarkFile::open(data_dir)?;
        let now_ms = clock.now_ms();
        let time_ms = found.marked().map_or(now_ms, |marked| follow(marked.time_ms, now_ms));
        // One run never hands out a sequence per nanosecond, so starting at the nanosecond keeps runs apart even where the
        // mark is lost.
        let by_clock = u64::try_from(time_ms).unwrap_or(0).saturating_mul(NS_PER_MS).min(CLOCK_SEQ_MAX);
        let first_seq = found.marked().map_or(by_clock, |marked| marked.next_seq.max(by_clock));
        let last = Mutex::new(Stamp { time_ms, first_seq });
        Ok(Self { clock, mark: Mutex::new(mark), found, last })
    }

    /// Returns what was found of the mark of an earlier run.
    pub fn found(&self) -> &Found {
        &self.found
    }

    /// Stamps `reports` reports that arrived together.
    pub fn stamp(&self, reports: usize) -> Stamp {
        let now_ms = self.clock.now_ms();
        let mut last = self.last.lock();
        last.time_ms = follow(last.time_ms, now_ms);
        let stamp = *last;
        last.first_seq = last.first_seq.saturating_add(reports as u64);
        stamp
    }

    /// Never numbers at or below what recovery found on disk, and does not stamp below its time either, unless that is so far
    /// ahead that it was stored under a wrong clock.
    pub fn raise(&self, time_ms: i64, seq: u64) {
        let now_ms = self.clock.now_ms();
        let mut last = self.last.lock();
        last.time_ms = last.time_ms.max(follow(time_ms, now_ms));
        last.first_seq = last.first_seq.max(seq.saturating_add(1));
    }

    /// Moves the mark on disk ahead of the time as far as it is believed.
    ///
    /// # Errors
    /// When the mark cannot be written.
    pub fn renew_mark(&self, believed: Believed) -> io::Result<()> {
        self.write_mark(Believed { now_ms: believed.now_ms.saturating_add(MARK_AHEAD_MS), ..believed })
    }

    /// Leaves the exact time behind, as far as it is believed, so that the next run starts without a pause.
    ///
    /// # Errors
    /// When the mark cannot be written.
    pub fn close(&self, believed: Believed) -> io::Result<()> {
        self.write_mark(believed)
    }

    fn write_mark(&self, Believed { now_ms, since_ms }: Believed) -> io::Result<()> {
        // The mark's lock first, so that no older sequence is written after a newer one.
        let mut mark = self.mark.lock();
        let next_seq = self.last.lock().first_seq.saturating_add(MARK_AHEAD_SEQ);
        mark.write(Marked { time_ms: now_ms, next_seq, believed_since_ms: since_ms })
    }
}

/// Returns the time after `last_ms` by a clock that says `now_ms`.
fn follow(last_ms: i64, now_ms: i64) -> i64 {
    if now_ms >= last_ms.saturating_sub(HELD_BACK_MAX_MS) { last_ms.max(now_ms) } else { now_ms }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use std::time::Duration;

    fn believed(now_ms: i64) -> Believed {
        Believed { now_ms, since_ms: 0 }
    }

    const YEAR_MS: i64 = 365 * 24 * 3_600_000;

    /// Opens a stamper and leaves its first mark, as the service does at its start.
    fn stamper(dir: &Path, clock: &Arc<ManualClock>) -> Stamper {
        let stamper = Stamper::open(dir, clock.clone()).unwrap();
        stamper.renew_mark(believed(clock.now_ms())).unwrap();
        stamper
    }

    #[test]
    fn stands_still_while_a_clock_that_went_back_a_little_catches_up() {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::at(10_000));
        let stamper = stamper(dir.path(), &clock);
        let before = stamper.stamp(3);
        clock.set_ms(5_000);
        let after = stamper.stamp(1);
        assert_eq!((after.time_ms, after.first_seq), (before.time_ms, before.first_seq + 3));
    }

    #[test]
    fn comes_back_with_a_clock_that_was_far_ahead_and_numbers_on() {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::at(10_000));
        let stamper = stamper(dir.path(), &clock);
        clock.set_ms(10_000 + 10 * YEAR_MS);
        let ahead = stamper.stamp(5);
        assert_eq!(ahead.time_ms, 10_000 + 10 * YEAR_MS);
        clock.set_ms(11_000);
        assert_eq!(stamper.stamp(1), Stamp { time_ms: 11_000, first_seq: ahead.first_seq + 5 });
        clock.set_ms(11_000 - HELD_BACK_MAX_MS - 1);
        assert_eq!(stamper.stamp(1).time_ms, 11_000 - HELD_BACK_MAX_MS - 1);
    }

    #[test]
    fn never_runs_backwards_over_a_crash() {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::at(10_000));
        let first = stamper(dir.path(), &clock);
        clock.advance(Duration::from_millis(400));
        let before = first.stamp(100);
        drop(first);
        clock.set_ms(7_000);
        let after = stamper(dir.path(), &clock).stamp(1);
        assert!(after.time_ms >= before.time_ms, "{after:?} is before {before:?}");
        assert!(after.first_seq > before.first_seq + 99, "{after:?} repeats {before:?}");
    }

    #[test]
    fn the_sequence_rises_over_restarts_whatever_the_clock_says() {
        let dir = tempfile::tempdir().unwrap();
        let mut next = 0;
        for now_ms in [10 * YEAR_MS, 20, i64::MAX, 0, 9 * YEAR_MS, i64::MIN] {
            let clock = Arc::new(ManualClock::at(now_ms));
            let stamp = stamper(dir.path(), &clock).stamp(1_000_000);
            assert!(stamp.first_seq >= next, "{stamp:?} repeats {next}");
            next = stamp.first_seq + 1_000_000;
        }
    }

    #[test]
    fn a_mark_ahead_of_a_believed_clock_is_healed() {
        let dir = tempfile::tempdir().unwrap();
        stamper(dir.path(), &Arc::new(ManualClock::at(10 * YEAR_MS)));
        let clock = Arc::new(ManualClock::at(YEAR_MS));
        let again = stamper(dir.path(), &clock);
        assert_eq!(again.found().marked().unwrap().time_ms, 10 * YEAR_MS + MARK_AHEAD_MS);
        assert_eq!(again.stamp(1).time_ms, YEAR_MS);
        assert_eq!(stamper(dir.path(), &clock).found().marked().unwrap().time_ms, YEAR_MS + MARK_AHEAD_MS);
    }

    #[test]
    fn starts_at_once_after_a_clean_stop() {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::at(10_000));
        stamper(dir.path(), &clock).close(believed(10_000)).unwrap();
        assert_eq!(stamper(dir.path(), &clock).stamp(1).time_ms, 10_000);
    }

    #[test]
    fn starts_above_what_recovery_found_but_not_in_its_future() {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::at(10_000));
        let stamper = stamper(dir.path(), &clock);
        stamper.raise(15_000, u64::MAX - 10);
        assert_eq!(stamper.stamp(1), Stamp { time_ms: 15_000, first_seq: u64::MAX - 9 });
        stamper.raise(10 * YEAR_MS, 5);
        assert_eq!(stamper.stamp(1), Stamp { time_ms: 15_000, first_seq: u64::MAX - 8 });
    }
}
