//! Reading a log while it goes on: of what it was when the reading was asked for.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use vagn_cluster::{LogOutcome, LogRecord, ShardId};
use vagn_store::disk::DiskFile;

use super::frame::{HEADER, LogId};
use super::segment::{Expected, Scanner, Step};

/// A part of a log: segments that are open, each as long as it was.
pub(super) struct View {
    log: LogId,
    from: u64,
    /// Last record of the log.
    last: u64,
    max_bytes: usize,
    parts: Vec<Part>,
    /// Failures of the log so far, each of which may have cut it.
    failures: u64,
}

/// A segment of a view.
struct Part {
    /// First record of the segment.
    first: u64,
    file: Arc<dyn DiskFile>,
    /// Length of the segment when the view was made.
    size: u64,
}

/// The end of the last reading of a log.
#[derive(Debug, Clone, Copy)]
struct LogBookmark {
    log: LogId,
    /// First record of the segment.
    segment: u64,
    /// The next record.
    next: Expected,
}

/// Reads parts of logs. It knows where it ended in each, since logs are read on from there.
#[derive(Debug, Default)]
pub(super) struct LogReader {
    bookmarks: BTreeMap<ShardId, LogBookmark>,
}

impl View {
    pub(super) fn new(log: LogId, from: u64, last: u64, max_bytes: usize, failures: u64) -> Self {
        Self { log, from, last, max_bytes, parts: Vec::new(), failures }
    }

    pub(super) fn failures(&self) -> u64 {
        self.failures
    }

    pub(super) fn from(&self) -> u64 {
        self.from
    }

    /// Returns true when all that the log holds is before what is wanted of it. A segment that was begun and got no record holds nothing.
    pub(super) fn is_behind_all(&self) -> bool {
        let holds_any = self.parts.first().is_some_and(|part| part.first <= self.last);
        self.from > self.last || self.from == 0 && !holds_any
    }

    /// Adds the next segment: its first record, and its length.
    pub(super) fn push(&mut self, first: u64, file: Arc<dyn DiskFile>, size: u64) {
        self.parts.push(Part { first, file, size });
    }
}

impl LogReader {
    /// Reads records without a gap until there are enough, one at least if it is there.
    pub(super) fn read(&mut self, view: &View) -> io::Result<LogOutcome> {
        let mark = self.bookmarks.get(&view.log.shard).copied();
        let mark = mark.filter(|mark| mark.log == view.log && mark.next.sequence <= view.from);
        match self.read_from(view, mark)? {
            // The log may have been cut since, and written on with other records.
            LogOutcome::Damaged { .. } if mark.is_some() => self.read_from(view, None),
            outcome => Ok(outcome),
        }
    }

    fn read_from(&mut self, view: &View, mark: Option<LogBookmark>) -> io::Result<LogOutcome> {
        let mut records = Vec::new();
        let mut bytes = 0;
        let mut follows = None;
        for (at, part) in view.parts.iter().enumerate() {
            let Part { first, file, size } = part;
            if follows.is_some_and(|follows| follows != *first) {
                return Ok(damaged_or(records, *first));
            }
            let begin = match mark.filter(|mark| mark.segment == *first && mark.next.offset <= *size) {
                Some(mark) => mark.next,
                None => Expected { sequence: *first, offset: HEADER as u64 },
            };
            let mut scanner = Scanner::at(view.log, file.clone(), *size, begin);
            loop {
                let step = scanner.step(view.from);
                match step {
                    Ok(Step::Passed) => continue,
                    Ok(Step::End) => break,
                    Ok(Step::Record(record)) => {
                        bytes += record.bytes.len();
                        records.push(record);
                        if bytes < view.max_bytes {
                            continue;
                        }
                    }
                    Ok(Step::Bad) if records.is_empty() => {
                        let skipped = scanner.skip()?;
                        if skipped.is_some_and(|next| next <= view.from) {
                            continue;
                        }
                        if skipped.is_some() {
                            self.mark(view, *first, &scanner);
                        }
                        // There is one more segment in the view, if there is one in the log.
                        let behind = view.parts.get(at + 1).map_or(view.last + 1, |part| part.first);
                        return Ok(LogOutcome::Damaged { next: skipped.unwrap_or(behind) });
                    }
                    Err(err) if records.is_empty() => {
                        // The next try need not read again what stands before.
                        self.mark(view, *first, &scanner);
                        return Err(err);
                    }
                    Ok(Step::Bad) | Err(_) => {}
                }
                self.mark(view, *first, &scanner);
                return Ok(LogOutcome::Records(records));
            }
            follows = Some(scanner.expected().sequence);
        }
        Ok(match records.is_empty() {
            false => LogOutcome::Records(records),
            true if view.is_behind_all() => LogOutcome::End,
            true => LogOutcome::Fault,
        })
    }

    /// Remembers the end of a reading.
    fn mark(&mut self, view: &View, segment: u64, scanner: &Scanner) {
        let bookmark = LogBookmark { log: view.log, segment, next: scanner.expected() };
        self.bookmarks.insert(view.log.shard, bookmark);
    }

    /// Forgets a shard that was dropped.
    pub(super) fn forget(&mut self, shard: ShardId) {
        self.bookmarks.remove(&shard);
    }
}

/// Returns the records that were read before a gap, or tells of the gap when there are none.
fn damaged_or(records: Vec<LogRecord>, next: u64) -> LogOutcome {
    if records.is_empty() { LogOutcome::Damaged { next } } else { LogOutcome::Records(records) }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::super::frame;
    use super::*;

    /// A segment in memory, whose bytes from some offset on cannot be read for a while.
    struct Flaky {
        bytes: Vec<u8>,
        fails_from: AtomicU64,
        reads: AtomicU64,
    }

    impl DiskFile for Flaky {
        fn append(&self, _: &[u8]) -> io::Result<()> {
            unreachable!("it is read alone")
        }

        fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
            self.reads.fetch_add(1, Ordering::Relaxed);
            if offset + buffer.len() as u64 > self.fails_from.load(Ordering::Relaxed) {
                return Err(io::ErrorKind::Other.into());
            }
            let rest = &self.bytes[(offset as usize).min(self.bytes.len())..];
            let len = rest.len().min(buffer.len());
            buffer[..len].copy_from_slice(&rest[..len]);
            Ok(len)
        }

        fn size(&self) -> io::Result<u64> {
            Ok(self.bytes.len() as u64)
        }

        fn truncate(&self, _: u64) -> io::Result<()> {
            unreachable!("it is read alone")
        }

        fn sync(&self) -> io::Result<()> {
            unreachable!("it is read alone")
        }
    }

    #[test]
    fn what_stands_before_a_spot_that_cannot_be_read_is_read_once() {
        let log = LogId { shard: ShardId(1), number: 2 };
        let mut bytes = vec![0; HEADER];
        for sequence in 1..=60 {
            let record = LogRecord { sequence, time_ms: 5, bytes: vec![7; 100_000].into() };
            frame::encode(log, &record, sequence - 1, &mut bytes);
        }
        let size = bytes.len() as u64;
        let flaky = Arc::new(Flaky { bytes, fails_from: AtomicU64::new(size - 1), reads: AtomicU64::new(0) });
        let mut reader = LogReader::default();
        let mut read = |from| {
            let mut view = View::new(log, from, 60, 100 << 20, 0);
            view.push(1, flaky.clone(), size);
            let before = flaky.reads.load(Ordering::Relaxed);
            let outcome = reader.read(&view);
            (outcome, flaky.reads.load(Ordering::Relaxed) - before)
        };
        let (Ok(LogOutcome::Records(first)), reads) = read(1) else { panic!("what stands before is read") };
        assert!((20..60).contains(&first.len()) && reads > 3, "{} with {reads}", first.len());
        let next = first.len() as u64 + 1;
        for _ in 0..3 {
            let (outcome, reads) = read(next);
            assert!(outcome.is_err() && reads == 1, "{outcome:?} with {reads}");
        }
        flaky.fails_from.store(u64::MAX, Ordering::Relaxed);
        let (Ok(LogOutcome::Records(rest)), _) = read(next) else { panic!("it can be read again") };
        assert!(rest.iter().map(|record| record.sequence).eq(next..=60));
    }
}
