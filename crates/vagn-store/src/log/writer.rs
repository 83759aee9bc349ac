//! Appends to the log: a batch of records is one write, whatever its length.

use super::LogPosition;
use super::record::{self, Record};
use super::seen::Seen;
use super::segment::{Header, Segment};
use crate::disk::{Disk, DiskFile};
use crate::error::{Doing, StoreError};
use crate::syncer::Shared;
use std::sync::Arc;

/// The end of the log of one partition. There is one writer.
pub(crate) struct LogWriter {
    shared: Arc<Shared>,
    segment_bytes: u64,
    segment: Segment,
    file: Arc<dyn DiskFile>,
    /// Segments before, oldest first.
    closed: Vec<Closed>,
    /// Number of the next record.
    next: u64,
    /// Records of the batch to come, encoded.
    buffer: Vec<u8>,
    /// Number behind the last record in `buffer`.
    buffered: u64,
    /// What the last [`Record::Synced`] said.
    marked: u64,
    seen: Seen,
}

/// A segment that is no longer written to.
#[derive(Debug, Clone)]
pub(crate) struct Closed {
    pub(crate) segment: Segment,
    /// Number behind its last record.
    pub(crate) end: u64,
    /// No record in it was received later, ms since 1970.
    pub(crate) receive_time_ms: i64,
}

impl LogWriter {
    /// Begins a new segment behind everything there is, so that nothing is ever written behind a torn end.
    pub(crate) fn start(
        shared: Arc<Shared>,
        segment_bytes: u64,
        closed: Vec<Closed>,
        next: u64,
        seen: Seen,
    ) -> Result<LogWriter, StoreError> {
        let segment = Segment::new(&shared.dir, next);
        let header = Header { partition: shared.partition, base: next, seen, synced: 0 };
        let file = create(&*shared.disk, &segment, &header)?;
        shared.written(next);
        shared.began(file.clone());
        Ok(LogWriter {
            shared,
            segment_bytes,
            segment,
            file,
            closed,
            next,
            buffer: Vec::new(),
            buffered: next,
            marked: 0,
            seen,
        })
    }

    /// Adds a record to the batch.
    #[inline]
    pub(crate) fn push(&mut self, record: &Record<'_>) {
        if self.buffer.is_empty() {
            self.mark();
        }
        if let Record::Position { sighting, .. } = record {
            self.seen.note(Seen::of(sighting));
        }
        record::encode(record, self.buffered, &mut self.buffer);
        self.buffered += 1;
    }

    /// Says at the beginning of a batch how far the log had been synced, if that is news.
    pub(crate) fn mark(&mut self) {
        let upto = self.shared.durable();
        if upto > self.marked {
            self.marked = upto;
            record::encode(&Record::Synced { upto }, self.buffered, &mut self.buffer);
            self.buffered += 1;
        }
    }

    /// Writes the batch. When the disk has no room nothing of it is left, and writing can go on later; any
    /// other error stops the partition for good.
    pub(crate) fn commit(&mut self) -> Result<LogPosition, StoreError> {
        if !self.buffer.is_empty() {
            let done = self.append();
            self.buffer.clear();
            if let Err(err) = done {
                self.buffered = self.next;
                return Err(self.give_up(err));
            }
            self.next = self.buffered;
            self.shared.written(self.next);
        }
        Ok(self.end())
    }

    fn append(&mut self) -> Result<(), StoreError> {
        let size = self.segment.offset(self.next);
        if size + self.buffer.len() as u64 > self.segment_bytes {
            self.rotate()?;
        }
        self.file.append(&self.buffer).doing("write", &self.segment.path)
    }

    /// Begins a new segment unless the last one is still empty. The old one stays due for a sync.
    pub(crate) fn rotate(&mut self) -> Result<(), StoreError> {
        if self.segment.base == self.next {
            return Ok(());
        }
        let segment = Segment::new(&self.shared.dir, self.next);
        let header = Header {
            partition: self.shared.partition,
            base: self.next,
            seen: self.seen,
            synced: self.shared.durable(),
        };
        self.file = create(&*self.shared.disk, &segment, &header)?;
        let segment = std::mem::replace(&mut self.segment, segment);
        self.closed.push(Closed { segment, end: self.next, receive_time_ms: self.seen.receive_time_ms });
        self.shared.began(self.file.clone());
        Ok(())
    }

    fn give_up(&self, err: StoreError) -> StoreError {
        let whole = self.segment.offset(self.next);
        if err.is_no_room() && self.file.truncate(whole).is_ok() {
            return err;
        }
        self.shared.fail(&err);
        err
    }

    /// Number of the next record.
    pub(crate) fn end(&self) -> LogPosition {
        LogPosition(self.next)
    }

    /// Gives up the oldest segments, those that end at or before `covered` and whose records were all
    /// received before `before_ms`.
    pub(crate) fn retire(&mut self, covered: u64, before_ms: i64) -> impl Iterator<Item = Segment> {
        let old = |closed: &Closed| closed.end <= covered && closed.receive_time_ms < before_ms;
        let count = self.closed.iter().take_while(|closed| old(closed)).count();
        self.closed.drain(..count).map(|closed| closed.segment)
    }

    /// Bytes of all segments.
    pub(crate) fn bytes(&self) -> u64 {
        let closed = self.closed.iter().map(|closed| closed.segment.offset(closed.end));
        closed.sum::<u64>() + self.segment.offset(self.next)
    }

    pub(crate) fn note(&mut self, seen: Seen) {
        self.seen.note(seen);
    }

    /// The latest stamps written.
    pub(crate) fn seen(&self) -> Seen {
        self.seen
    }
}

/// Creates a segment; leaves none behind when its header does not fit.
fn create(disk: &dyn Disk, segment: &Segment, header: &Header) -> Result<Arc<dyn DiskFile>, StoreError> {
    let file = disk.create(&segment.path).doing("create", &segment.path)?;
    if let Err(err) = file.append(&header.encode()).doing("write", &segment.path) {
        // The error that is told is the first one; a file left over is empty and replaced by the next try.
        drop(disk.remove(&segment.path));
        return Err(err);
    }
    Ok(file)
}
