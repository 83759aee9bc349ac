//! Reading a log while it goes on: of what it was when the reading was asked for.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use vagn_cluster::{LogRecord, ShardId};
use vagn_store::disk::DiskFile;

use super::frame::{HEADER, LogId};
use super::segment::{Scanner, Step};

/// A part of a log: segments that are open, each as long as it was.
pub(super) struct View {
    log: LogId,
    from: u64,
    /// Last record of the log.
    last: u64,
    max_bytes: usize,
    parts: Vec<(u64, Arc<dyn DiskFile>, u64)>,
}

/// Where the last reading of a log ended.
#[derive(Debug, Clone, Copy)]
struct Bookmark {
    log: LogId,
    /// First record of the segment.
    segment: u64,
    /// Next record, and its offset in the segment.
    next: u64,
    offset: u64,
}

/// Reads parts of logs. It knows where it ended in each, since logs are read on from there.
#[derive(Debug, Default)]
pub(super) struct LogReader {
    bookmarks: BTreeMap<ShardId, Bookmark>,
}

/// What was read.
#[derive(Debug, Default)]
pub(super) struct Records {
    pub(super) records: Vec<LogRecord>,
    /// The log cannot be read on from here.
    pub(super) broken_at: Option<u64>,
}

impl View {
    pub(super) fn new(log: LogId, from: u64, last: u64, max_bytes: usize) -> Self {
        Self { log, from, last, max_bytes, parts: Vec::new() }
    }

    pub(super) fn from(&self) -> u64 {
        self.from
    }

    /// True when all that the log holds is before what is wanted of it. A segment that was begun and got no record holds nothing.
    pub(super) fn is_behind_all(&self) -> bool {
        let holds_any = self.parts.first().is_some_and(|(first, ..)| *first <= self.last);
        self.from > self.last || self.from == 0 && !holds_any
    }

    /// Adds the next segment: its first record, and its length.
    pub(super) fn push(&mut self, first: u64, file: Arc<dyn DiskFile>, size: u64) {
        self.parts.push((first, file, size));
    }
}

impl LogReader {
    /// Reads records without a gap until there are enough, one at least if it is there.
    pub(super) fn read(&mut self, view: &View) -> io::Result<Records> {
        let mark = self
            .bookmarks
            .remove(&view.log.shard)
            .filter(|mark| mark.log == view.log && mark.next == view.from);
        let mut read = Records::default();
        let (mut bytes, mut expected) = (0, None);
        for (first, file, size) in &view.parts {
            if expected.is_some_and(|expected| expected != *first) {
                read.broken_at = expected;
                break;
            }
            let begin = match mark.filter(|mark| mark.segment == *first && mark.offset <= *size) {
                Some(mark) => (mark.offset, mark.next),
                None => (HEADER as u64, *first),
            };
            let mut scanner = Scanner::at(view.log, file.clone(), *size, begin);
            loop {
                match scanner.step(view.from)? {
                    Step::Passed => {}
                    Step::Record(record) => {
                        bytes += record.bytes.len();
                        read.records.push(record);
                    }
                    Step::End => break,
                    Step::Bad => {
                        read.broken_at = Some(scanner.next_at().0);
                        return Ok(read);
                    }
                }
                if bytes >= view.max_bytes && !read.records.is_empty() {
                    let (next, offset) = scanner.next_at();
                    let mark = Bookmark { log: view.log, segment: *first, next, offset };
                    self.bookmarks.insert(view.log.shard, mark);
                    return Ok(read);
                }
            }
            expected = Some(scanner.next_at().0);
        }
        Ok(read)
    }

    /// Forgets a shard that was dropped.
    pub(super) fn forget(&mut self, shard: ShardId) {
        self.bookmarks.remove(&shard);
    }
}
