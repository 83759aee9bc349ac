//! Segments of a log: their names, and reading one from its beginning to its end.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use vagn_cluster::LogRecord;
use vagn_store::disk::{Disk, DiskFile};

use super::frame::{self, Frame, HEADER, LogId, NoHeader, PREFIX, SegmentHeader};

/// Ending of the names of segments.
const ENDING: &str = ".log";

/// Bytes that are read from the disk at once.
const CHUNK: usize = 1 << 20;

/// Times that the bytes behind a bad spot are looked at, at most: what senders wrote could look like the beginnings of many records.
const LOOKS: u64 = 16;

/// A segment that is on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Segment {
    /// Number of the log.
    pub(super) number: u64,
    /// Sequence of the first record.
    pub(super) first: u64,
    pub(super) path: PathBuf,
}

impl Segment {
    pub(super) fn new(dir: &Path, log: LogId, first: u64) -> Self {
        let path = dir.join(format!("{}-{first:020}{ENDING}", log.number));
        Self { number: log.number, first, path }
    }

    /// Lists the segments in a shard's folder, by log and first record.
    pub(super) fn list(disk: &dyn Disk, dir: &Path) -> io::Result<Vec<Self>> {
        let names = disk.list(dir)?;
        let mut segments: Vec<Self> = names.iter().filter_map(|name| Self::of_name(dir, name)).collect();
        segments.sort_unstable_by_key(|segment| (segment.number, segment.first));
        Ok(segments)
    }

    /// Returns the segment whose file has this name.
    pub(super) fn of_name(dir: &Path, name: &str) -> Option<Self> {
        let (number, first) = name.strip_suffix(ENDING)?.split_once('-')?;
        let number = number.parse().ok()?;
        let first = first.parse().ok()?;
        // Only as it is written: a copy made by hand is not ours.
        (format!("{number}-{first:020}{ENDING}") == name).then(|| Self {
            number,
            first,
            path: dir.join(name),
        })
    }
}

/// Finding at the next spot of a segment.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    Record(LogRecord),
    /// A record before those that are wanted.
    Passed,
    /// The end of the segment.
    End,
    /// No record, or not the one that should be there.
    Bad,
}

/// The record that should come next, and the offset in the segment at which it should begin.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Expected {
    pub(super) sequence: u64,
    pub(super) offset: u64,
}

/// Reads a segment. It holds a piece of it, or the longest record.
pub(super) struct Scanner {
    log: LogId,
    file: Arc<dyn DiskFile>,
    /// Bytes of the segment; what is behind is not looked at.
    size: u64,
    /// Sequence of the record that should come next.
    next: u64,
    buffer: Vec<u8>,
    /// Offset in the segment of `buffer`, and place in it of what comes next.
    offset: u64,
    at: usize,
}

impl Scanner {
    /// Opens a segment at its first record.
    ///
    /// # Errors
    /// In the outer result those of the disk; in the inner one what is wrong with the header.
    pub(super) fn open(disk: &dyn Disk, log: LogId, segment: &Segment) -> io::Result<Result<Self, NoHeader>> {
        let file = disk.open(&segment.path)?;
        let size = file.size()?;
        let mut header = [0; HEADER];
        let got = file.read_at(0, &mut header)?;
        let read = SegmentHeader::decode(&header[..got]).and_then(|header| {
            let is_it = header == SegmentHeader { log, first: segment.first };
            if is_it {
                Ok(Self::at(log, file, size, Expected { sequence: segment.first, offset: HEADER as u64 }))
            } else {
                Err(NoHeader::Damaged)
            }
        });
        Ok(read)
    }

    /// Reads from an expected record on.
    pub(super) fn at(log: LogId, file: Arc<dyn DiskFile>, size: u64, expected: Expected) -> Self {
        let Expected { sequence, offset } = expected;
        Self { log, file, size, next: sequence, buffer: Vec::new(), offset, at: 0 }
    }

    /// Returns the record that should come next.
    pub(super) fn expected(&self) -> Expected {
        Expected { sequence: self.next, offset: self.offset + self.at as u64 }
    }

    pub(super) fn file(&self) -> &Arc<dyn DiskFile> {
        &self.file
    }

    /// Reads what comes next. Records before the sequence `wanted` are passed over.
    pub(super) fn step(&mut self, wanted: u64) -> io::Result<Step> {
        let next = self.next;
        if self.expected().offset >= self.size {
            return Ok(Step::End);
        }
        let Some(frame) = self.frame()?.filter(|frame| frame.sequence == next) else { return Ok(Step::Bad) };
        let len = frame.len();
        let step = if frame.sequence < wanted { Step::Passed } else { Step::Record(frame.record()) };
        self.at += len;
        self.next = next + 1;
        Ok(step)
    }

    /// Returns the length of what begins at the next spot, if it can be a record.
    fn candidate(&mut self) -> io::Result<Option<usize>> {
        self.fill(PREFIX)?;
        let prefix = self.buffer.get(self.at..).and_then(|bytes| bytes.first_chunk());
        let rest = self.size.saturating_sub(self.expected().offset);
        Ok(prefix.and_then(frame::whole_of).filter(|len| *len as u64 <= rest))
    }

    /// Returns the record at the next spot, if there is a whole one.
    fn frame(&mut self) -> io::Result<Option<Frame<'_>>> {
        let Some(len) = self.candidate()? else { return Ok(None) };
        self.fill(len)?;
        Ok(self.buffer.get(self.at..self.at + len).and_then(|bytes| frame::decode(self.log, bytes)))
    }

    /// Sees to it that `wanted` bytes from the next spot on are in the buffer, unless the segment ends before.
    fn fill(&mut self, wanted: usize) -> io::Result<()> {
        if self.buffer.len().saturating_sub(self.at) >= wanted {
            return Ok(());
        }
        self.offset += self.at as u64;
        self.buffer.drain(..self.at.min(self.buffer.len()));
        self.at = 0;
        let held = self.buffer.len();
        let from = self.offset + held as u64;
        let rest = self.size.saturating_sub(from).min(wanted.max(CHUNK) as u64 - held as u64);
        self.buffer.resize(held + rest as usize, 0);
        let got = self.file.read_at(from, &mut self.buffer[held..])?;
        self.buffer.truncate(held + got);
        Ok(())
    }

    /// Goes on behind a bad spot, at the next record that is whole and that another one follows, or the end. Returns its sequence, or
    /// nothing when the segment holds none.
    pub(super) fn skip(&mut self) -> io::Result<Option<u64>> {
        let missing = self.next;
        let mut left = self.size.saturating_mul(LOOKS);
        loop {
            self.at += 4;
            if self.expected().offset + PREFIX as u64 > self.size {
                return Ok(None);
            }
            let Some(len) = self.candidate()? else { continue };
            let Some(rest) = left.checked_sub(len as u64) else { return Ok(None) };
            left = rest;
            let Some(sequence) = self.frame()?.map(|frame| frame.sequence).filter(|it| *it > missing) else {
                continue;
            };
            // What a sender wrote may look like a record, and is followed by no other.
            let found = Expected { sequence, ..self.expected() };
            let mut behind = Self::at(self.log, self.file.clone(), self.size, found);
            behind.step(0)?;
            if behind.step(0)? != Step::Bad {
                *self = Self::at(self.log, self.file.clone(), self.size, found);
                return Ok(Some(sequence));
            }
        }
    }

    /// Looks behind a bad spot. Returns true when a record there tells that the one that is missing had been synced: then it is damage,
    /// and no end that was torn by a loss of power, after which any part of what was not synced may be there.
    pub(super) fn was_synced(mut self) -> io::Result<bool> {
        let missing = self.next;
        let mut left = self.size.saturating_mul(LOOKS);
        loop {
            // Records begin at multiples of four, and so does each place that is tried.
            self.at += 4;
            if self.expected().offset + PREFIX as u64 > self.size {
                return Ok(false);
            }
            let Some(len) = self.candidate()? else { continue };
            left = match left.checked_sub(len as u64) {
                Some(left) => left,
                // It is not known. What counts as damage is kept aside, and what counts as torn is gone.
                None => return Ok(true),
            };
            if self.frame()?.is_some_and(|frame| frame.sequence > missing && frame.synced >= missing) {
                return Ok(true);
            }
        }
    }
}
