//! The server's own sequence, for the answers that it seals: no nonce of a down key may ever be used twice.
//!
//! A sequence is the number of the node (16 bits) and a counter (48 bits). The counter goes on from an end that was reserved
//! on disk, or from the clock where that is further: so it rises over crashes, and over a restored or lost file as well, as
//! the clock runs ahead of it by 16 a millisecond.
//!
//! ```text
//! reserved 00000000029123456789
//! checksum 1a2b3c4d               CRC-32C of the line above, hexadecimal
//! ```

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

/// Name of the file in the data directory.
pub const FILE: &str = "answers";

/// Bits of the counter.
const COUNTER_BITS: u32 = 48;

/// Counts of the clock in a millisecond: more than answers can be sent on average.
const PER_MS: u64 = 16;

/// Counts that are reserved at a time. They last for seconds of nothing but answers.
const RESERVE: u64 = 1 << 20;

/// More than the file has, in bytes.
const LONGEST: usize = 128;

/// Sequence of sealed answers.
pub struct AnswerSequence {
    node: u64,
    next: AtomicU64,
    /// Counts below it may be used: the file says so.
    reserved: AtomicU64,
    file: Mutex<File>,
}

impl AnswerSequence {
    /// Goes on from the file in `data_dir` and the clock, and reserves the first counts.
    ///
    /// # Errors
    /// The disk does not give the file, or does not take it.
    pub fn open(data_dir: &Path, node: u16, now_ms: i64) -> io::Result<Self> {
        let path = data_dir.join(FILE);
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        let by_clock = u64::try_from(now_ms).unwrap_or(0).saturating_mul(PER_MS);
        // A damaged file counts as none: the clock is ahead of it.
        let next = read(&file)?.unwrap_or(0).max(by_clock);
        let sequence = Self {
            node: u64::from(node) << COUNTER_BITS,
            next: AtomicU64::new(next),
            reserved: AtomicU64::new(next),
            file: Mutex::new(file),
        };
        sequence.reserve()?;
        Ok(sequence)
    }

    /// Reserves counts when half of those reserved are used. Call it every second or so; not where an answer waits.
    ///
    /// # Errors
    /// The disk does not take it. What is reserved is still given out.
    pub fn reserve(&self) -> io::Result<()> {
        let file = self.file.lock();
        let next = self.next.load(Ordering::Acquire);
        if next + RESERVE / 2 <= self.reserved.load(Ordering::Acquire) {
            return Ok(());
        }
        let end = next + RESERVE;
        let line = format!("reserved {end:020}\n");
        let text = format!("{line}checksum {:08x}\n", crc32c::crc32c(line.as_bytes()));
        file.write_all_at(text.as_bytes(), 0)?;
        file.sync_data()?;
        self.reserved.store(end, Ordering::Release);
        Ok(())
    }

    /// Takes the next sequence; `None` when none is reserved.
    pub fn take(&self) -> Option<u64> {
        let reserved = self.reserved.load(Ordering::Acquire).min(1 << COUNTER_BITS);
        let next = |next: u64| (next < reserved).then_some(next + 1);
        let taken = self.next.try_update(Ordering::AcqRel, Ordering::Acquire, next).ok()?;
        Some(self.node | taken)
    }
}

/// Reads the end that was reserved.
fn read(file: &File) -> io::Result<Option<u64>> {
    let mut bytes = [0; LONGEST];
    let len = file.read_at(&mut bytes, 0)?;
    let text = str::from_utf8(&bytes[..len]).unwrap_or_default();
    let Some((line, checksum)) = text.split_once("checksum ") else { return Ok(None) };
    let is_whole = u32::from_str_radix(checksum.trim_end(), 16) == Ok(crc32c::crc32c(line.as_bytes()));
    let reserved = line.strip_prefix("reserved ").and_then(|number| number.trim_end().parse().ok());
    Ok(reserved.filter(|_| is_whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: i64 = 1_795_860_000_000;

    #[test]
    fn rises_over_crashes_whatever_the_clock_says() {
        let dir = tempfile::tempdir().unwrap();
        let mut last = 0;
        for now_ms in [NOW_MS, 0, NOW_MS - 5, i64::MIN, NOW_MS] {
            let sequence = AnswerSequence::open(dir.path(), 3, now_ms).unwrap();
            for _ in 0..1_000 {
                let taken = sequence.take().unwrap();
                assert!(taken > last && taken >> COUNTER_BITS == 3, "{taken:x} after {last:x}");
                last = taken;
            }
        }
    }

    #[test]
    fn the_clock_takes_the_place_of_a_file_that_is_lost_or_damaged() {
        let dir = tempfile::tempdir().unwrap();
        let first = AnswerSequence::open(dir.path(), 0, NOW_MS).unwrap().take().unwrap();
        assert_eq!(first, NOW_MS.unsigned_abs() * PER_MS);
        for damage in ["", "reserved 99999999999999999999\nchecksum 00000000\n", "\u{0}\u{0}"] {
            std::fs::write(dir.path().join(FILE), damage).unwrap();
            let later = AnswerSequence::open(dir.path(), 0, NOW_MS + 1).unwrap().take().unwrap();
            assert_eq!(later, (NOW_MS + 1).unsigned_abs() * PER_MS);
        }
    }

    #[test]
    fn gives_out_nothing_that_is_not_reserved() {
        let dir = tempfile::tempdir().unwrap();
        let sequence = AnswerSequence::open(dir.path(), 0, NOW_MS).unwrap();
        let mut taken = 0;
        while sequence.take().is_some() {
            taken += 1;
        }
        assert_eq!(taken, RESERVE);
        sequence.reserve().unwrap();
        assert!(sequence.take().is_some());
    }
}
