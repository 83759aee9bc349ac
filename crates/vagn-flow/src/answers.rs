//! The server's own sequence, for the answers that it seals: no nonce of a down key may ever be used twice.
//!
//! A sequence is the number of the node (16 bits) and a counter (48 bits). The counter goes on from an end that was reserved
//! on disk, or from the clock where that is further: so it rises over crashes, and over a restored or lost file as well. For
//! that it never runs ahead of the clock, at 16 a millisecond, by more than a second, however often the service starts: counts
//! that the clock has not reached are not given out, and the call is answered when it comes again.
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
use tracing::warn;

/// Name of the file in the data directory.
pub const FILE: &str = "answers";

/// Bits of the counter.
const COUNTER_BITS: u32 = 48;

/// Counts of the clock in a millisecond: more than answers can be sent on average.
const PER_MS: u64 = 16;

/// Counts by which what is reserved is ahead of the clock: those of one second.
const RESERVE: u64 = 1_000 * PER_MS;

/// Stands for a number of the node that is not known yet.
const NO_NODE: u64 = u64::MAX;

/// More than the file has, in bytes.
const LONGEST: usize = 128;

/// Sequence of sealed answers.
pub struct AnswerSequence {
    /// Number of the node in its place, or [`NO_NODE`].
    node: AtomicU64,
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
        let next = match read(&file)? {
            Kept::Nothing => by_clock,
            Kept::Reserved(end) => end.max(by_clock),
            Kept::Damaged => {
                warn!(
                    file = FILE,
                    "the file of the sequence of sealed answers is damaged: sealed calls are answered from a second after this on"
                );
                by_clock + RESERVE
            }
        };
        let sequence = Self {
            node: AtomicU64::new(u64::from(node) << COUNTER_BITS),
            next: AtomicU64::new(next),
            reserved: AtomicU64::new(next),
            file: Mutex::new(file),
        };
        sequence.reserve(now_ms)?;
        Ok(sequence)
    }

    /// Reserves counts for a second of the clock. Call it several times a second; not where an answer waits.
    ///
    /// # Errors
    /// The disk does not take it. What is reserved is still given out.
    pub fn reserve(&self, now_ms: i64) -> io::Result<()> {
        let file = self.file.lock();
        let next = self.next.load(Ordering::Acquire);
        let reserved = self.reserved.load(Ordering::Acquire);
        // Without use nothing is written.
        if next + RESERVE / 2 <= reserved {
            return Ok(());
        }
        let by_clock = u64::try_from(now_ms).unwrap_or(0).saturating_mul(PER_MS);
        // Further ahead than starts can bring it: the clock was set back, and the file alone tells what was used.
        let base = if next > by_clock + 2 * RESERVE { next } else { by_clock };
        let end = base + RESERVE;
        if end <= reserved {
            return Ok(());
        }
        let line = format!("reserved {end:020}\n");
        let text = format!("{line}checksum {:08x}\n", crc32c::crc32c(line.as_bytes()));
        file.write_all_at(text.as_bytes(), 0)?;
        file.sync_data()?;
        self.reserved.store(end, Ordering::Release);
        Ok(())
    }

    /// Takes another number of the node; `None`: it is not known yet, and nothing is given out until it is.
    pub fn set_node(&self, node: Option<u16>) {
        let node = node.map_or(NO_NODE, |node| u64::from(node) << COUNTER_BITS);
        self.node.store(node, Ordering::Release);
    }

    /// Returns true if the number of the node is known.
    pub fn has_node(&self) -> bool {
        self.node.load(Ordering::Acquire) != NO_NODE
    }

    /// Takes the next sequence; `None` when none is reserved, or the number of the node is not known.
    pub fn take(&self) -> Option<u64> {
        let node = Some(self.node.load(Ordering::Acquire)).filter(|node| *node != NO_NODE)?;
        let reserved = self.reserved.load(Ordering::Acquire).min(1 << COUNTER_BITS);
        let taken = self
            .next
            .try_update(Ordering::AcqRel, Ordering::Acquire, |next| (next < reserved).then_some(next + 1));
        Some(node | taken.ok()?)
    }
}

/// Content of the file.
enum Kept {
    /// It is empty: the first start.
    Nothing,
    /// The end that was reserved.
    Reserved(u64),
    /// It cannot be read.
    Damaged,
}

fn read(file: &File) -> io::Result<Kept> {
    let mut bytes = [0; LONGEST];
    let len = file.read_at(&mut bytes, 0)?;
    let reserved = str::from_utf8(&bytes[..len]).ok().and_then(parse);
    Ok(match reserved {
        _ if len == 0 => Kept::Nothing,
        Some(end) => Kept::Reserved(end),
        None => Kept::Damaged,
    })
}

fn parse(text: &str) -> Option<u64> {
    let (line, checksum) = text.split_once("checksum ")?;
    let is_whole = u32::from_str_radix(checksum.trim_end(), 16) == Ok(crc32c::crc32c(line.as_bytes()));
    line.strip_prefix("reserved ")?.trim_end().parse().ok().filter(|_| is_whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: i64 = 1_795_860_000_000;

    fn open(dir: &Path, now_ms: i64) -> AnswerSequence {
        AnswerSequence::open(dir, 3, now_ms).unwrap()
    }

    fn take_all(sequence: &AnswerSequence) -> Vec<u64> {
        std::iter::from_fn(|| sequence.take()).collect()
    }

    fn counter(now_ms: i64) -> u64 {
        (3 << COUNTER_BITS) | (now_ms.unsigned_abs() * PER_MS)
    }

    #[test]
    fn rises_over_crashes_whatever_the_clock_says() {
        let dir = tempfile::tempdir().unwrap();
        let mut last = 0;
        for now_ms in [NOW_MS, 0, NOW_MS - 5_000, i64::MIN, NOW_MS + 60_000] {
            let sequence = open(dir.path(), now_ms);
            for _ in 0..1_000 {
                let taken = sequence.take().unwrap();
                assert!(taken > last && taken >> COUNTER_BITS == 3, "{taken:x} after {last:x}");
                last = taken;
            }
        }
    }

    #[test]
    fn many_starts_run_ahead_of_the_clock_by_a_second_at_most() {
        let dir = tempfile::tempdir().unwrap();
        let mut last = 0;
        for start in 0..200 {
            let now_ms = NOW_MS + start * 50;
            let sequence = open(dir.path(), now_ms);
            for taken in take_all(&sequence) {
                assert!(taken > last && taken < counter(now_ms + 1_000), "start {start}: {taken:x}");
                last = taken;
            }
            sequence.reserve(now_ms).unwrap();
            assert_eq!(sequence.take(), None, "the clock stands still");
        }
        // So an older copy, or none, gives nothing twice a second later.
        std::fs::remove_file(dir.path().join(FILE)).unwrap();
        assert!(open(dir.path(), NOW_MS + 199 * 50 + 1_000).take().unwrap() > last);
    }

    #[test]
    fn a_damaged_file_costs_a_second_of_answers() {
        for damage in ["reserved 99999999999999999999\nchecksum 00000000\n", "\u{0}\u{0}", "reserved 5\n"] {
            let dir = tempfile::tempdir().unwrap();
            let last = take_all(&open(dir.path(), NOW_MS)).pop().unwrap();
            std::fs::write(dir.path().join(FILE), damage).unwrap();
            let sequence = open(dir.path(), NOW_MS + 1);
            assert_eq!(sequence.take(), None, "{damage}");
            sequence.reserve(NOW_MS + 1_001).unwrap();
            assert!(sequence.take().unwrap() > last, "{damage}");
        }
    }

    #[test]
    fn gives_out_nothing_until_the_number_of_the_node_is_known() {
        let dir = tempfile::tempdir().unwrap();
        let sequence = open(dir.path(), NOW_MS);
        sequence.set_node(None);
        assert_eq!((sequence.take(), sequence.has_node()), (None, false));
        sequence.set_node(Some(9));
        assert_eq!(sequence.take().map(|taken| taken >> COUNTER_BITS), Some(9));
    }

    #[test]
    fn gives_out_nothing_that_is_not_reserved() {
        let dir = tempfile::tempdir().unwrap();
        let sequence = open(dir.path(), NOW_MS);
        assert_eq!(take_all(&sequence).len() as u64, RESERVE);
        sequence.reserve(NOW_MS + 250).unwrap();
        assert_eq!(take_all(&sequence).len() as u64, RESERVE / 4);
    }
}
