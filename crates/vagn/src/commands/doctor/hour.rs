//! The clock of this machine: can its time be right.
//!
//! A report whose event time is more than an hour ahead of this clock is not trusted, and a vehicle without a clock gets its
//! event times from this clock.

use std::fs;
use std::path::Path;
use std::time::UNIX_EPOCH;

use super::finding::Finding;
use vagn_flow::clock::{Clock, SystemClock};
use vagn_flow::kernel_clock::KernelClock;

/// 2026-01-01: this program did not exist earlier, so an earlier time must be wrong.
const WRITTEN_MS: i64 = 1_767_225_600_000;

/// Largest difference by which a file may be newer than the clock: file systems round times.
const SLACK_MS: i64 = 2_000;

const REMEDY: &str = "set the clock, and keep it right with chrony or systemd-timesyncd";

pub(super) fn check(data_dir: &Path) -> Vec<Finding> {
    vec![hour(SystemClock::new().now_ms(), newest_ms(data_dir)), sync(KernelClock::ask())]
}

fn hour(now_ms: i64, newest_ms: Option<i64>) -> Finding {
    if now_ms < WRITTEN_MS {
        return Finding::fail("clock: it is before 2026", REMEDY);
    }
    match newest_ms {
        Some(newest_ms) if newest_ms > now_ms + SLACK_MS => {
            let ahead_s = (newest_ms - now_ms) / 1000;
            Finding::fail(
                format!("clock: {ahead_s} s behind what was last written to the data directory"),
                REMEDY,
            )
        }
        _ => Finding::ok("clock: not behind anything written before"),
    }
}

fn sync(clock: KernelClock) -> Finding {
    match clock {
        KernelClock::Kept { error_ms, .. } => Finding::ok(format!("clock: kept right, within {error_ms} ms")),
        KernelClock::Free => {
            Finding::warn("clock: nothing keeps it right", "run chrony or systemd-timesyncd")
        }
        KernelClock::Unknown => {
            Finding::warn("clock: cannot tell whether anything keeps it right", "look at timedatectl")
        }
    }
}

/// Returns the write time of the newest file in the directory, in ms since 1970.
fn newest_ms(dir: &Path) -> Option<i64> {
    let entries = fs::read_dir(dir).ok()?.flatten();
    let written = entries.filter_map(|entry| entry.metadata().ok()?.modified().ok());
    let since = written.max()?.duration_since(UNIX_EPOCH).ok()?;
    i64::try_from(since.as_millis()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::finding::Level;

    #[test]
    fn finds_a_clock_that_is_behind() {
        let check = |now_ms, newest_ms, want| assert_eq!(hour(now_ms, newest_ms).level(), want);
        check(0, None, Level::Fail);
        check(WRITTEN_MS, None, Level::Ok);
        check(WRITTEN_MS, Some(WRITTEN_MS + 1_999), Level::Ok);
        check(WRITTEN_MS, Some(WRITTEN_MS + 60_000), Level::Fail);
    }

    #[test]
    fn finds_the_time_of_the_last_write_to_a_directory() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(newest_ms(dir.path()), None);
        fs::write(dir.path().join("log"), "x").unwrap();
        assert!(newest_ms(dir.path()).unwrap() > WRITTEN_MS);
        assert_eq!(newest_ms(&dir.path().join("gone")), None);
    }
}
