//! Arrival stamps: a time that never runs backwards and a receive sequence that never repeats, both over restarts too.
//!
//! Order within a vehicle is (event time, receive sequence), so a stamp below an older one would make a fresh report
//! look stale. A wall clock may jump back, and a restart forgets what was handed out. Therefore the stamper keeps a mark
//! in the data directory that is always ahead of its stamps, and starts from there.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use tracing::warn;

use crate::clock::Clock;

/// Lead of the mark on disk over the clock. It is renewed at a third of this; after a crash, stamps stand
/// still for at most this long until the wall clock has caught up.
const MARK_AHEAD_MS: i64 = 1_500;

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
    mark: PathBuf,
    last: Mutex<Stamp>,
}

impl Stamper {
    /// Longest time between two calls of [`Stamper::renew_mark`].
    pub const RENEW_EVERY: std::time::Duration = std::time::Duration::from_millis(MARK_AHEAD_MS as u64 / 3);

    /// Starts from the mark that an earlier run left in `data_dir`, if there is one.
    ///
    /// # Errors
    /// There is a mark, and the disk does not give it.
    pub fn open(data_dir: &Path, clock: Arc<dyn Clock>) -> io::Result<Self> {
        let mark = data_dir.join("clock");
        let floor_ms = match fs::read_to_string(&mark) {
            Ok(text) => text.trim().parse().unwrap_or_else(|_| {
                warn!(mark = %mark.display(), "the clock's mark cannot be read; recovery will tell what it was");
                0
            }),
            Err(err) if err.kind() == io::ErrorKind::NotFound => 0,
            Err(err) => return Err(err),
        };
        let start_ms = clock.now_ms().max(floor_ms);
        // One run never hands out a sequence per nanosecond, so starting at the nanosecond keeps runs apart.
        let first_seq = (start_ms as u64).saturating_mul(1_000_000);
        let stamper = Self { clock, mark, last: Mutex::new(Stamp { time_ms: start_ms, first_seq }) };
        if let Err(err) = stamper.renew_mark() {
            // On a full disk emergencies still have their place set aside: no reason not to start.
            warn!(error = %err, "failed to renew the clock's mark");
        }
        Ok(stamper)
    }

    /// Stamps `reports` reports that arrived together.
    pub fn stamp(&self, reports: usize) -> Stamp {
        let now_ms = self.clock.now_ms();
        let mut last = self.last.lock();
        last.time_ms = last.time_ms.max(now_ms);
        let stamp = *last;
        last.first_seq += reports as u64;
        stamp
    }

    /// The time as the stamps have it: the wall clock, held back from running backwards.
    pub fn now_ms(&self) -> i64 {
        self.last.lock().time_ms.max(self.clock.now_ms())
    }

    /// Never stamps at or below what recovery found on disk.
    pub fn raise(&self, time_ms: i64, seq: u64) {
        let mut last = self.last.lock();
        last.time_ms = last.time_ms.max(time_ms);
        last.first_seq = last.first_seq.max(seq.saturating_add(1));
    }

    /// Moves the mark on disk ahead of the clock again.
    ///
    /// # Errors
    /// When the mark cannot be written.
    pub fn renew_mark(&self) -> io::Result<()> {
        self.write_mark(self.now_ms() + MARK_AHEAD_MS)
    }

    /// Leaves the exact time behind, so that the next run starts without a pause.
    ///
    /// # Errors
    /// When the mark cannot be written.
    pub fn close(&self) -> io::Result<()> {
        self.write_mark(self.now_ms())
    }

    fn write_mark(&self, time_ms: i64) -> io::Result<()> {
        let fresh = self.mark.with_extension("new");
        fs::write(&fresh, time_ms.to_string())?;
        fs::rename(&fresh, &self.mark)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use std::time::Duration;

    fn stamper(dir: &Path, clock: &Arc<ManualClock>) -> Stamper {
        Stamper::open(dir, clock.clone()).unwrap()
    }

    #[test]
    fn never_runs_backwards_when_the_wall_clock_does() {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::at(10_000));
        let stamper = stamper(dir.path(), &clock);
        let before = stamper.stamp(3);
        clock.set_ms(5_000);
        let after = stamper.stamp(1);
        assert_eq!((after.time_ms, after.first_seq), (before.time_ms, before.first_seq + 3));
    }

    #[test]
    fn never_runs_backwards_over_a_crash() {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::at(10_000));
        let first = stamper(dir.path(), &clock);
        clock.advance(Duration::from_millis(400));
        let before = first.stamp(100);
        drop(first);
        clock.set_ms(2_000);
        let after = stamper(dir.path(), &clock).stamp(1);
        assert!(after.time_ms >= before.time_ms, "{after:?} is before {before:?}");
        assert!(after.first_seq > before.first_seq + 99, "{after:?} repeats {before:?}");
    }

    #[test]
    fn starts_at_once_after_a_clean_stop() {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::at(10_000));
        stamper(dir.path(), &clock).close().unwrap();
        assert_eq!(stamper(dir.path(), &clock).stamp(1).time_ms, 10_000);
    }

    #[test]
    fn starts_above_what_recovery_found() {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::at(10_000));
        let stamper = stamper(dir.path(), &clock);
        stamper.raise(20_000, u64::MAX - 10);
        assert_eq!(stamper.stamp(1), Stamp { time_ms: 20_000, first_seq: u64::MAX - 9 });
    }
}
