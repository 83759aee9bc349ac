//! Appends to the log: a batch of records is one write, whatever its length.

use super::LogPosition;
use super::record::{self, PositionRecord, Record};
use super::segment::{Segment, SegmentHeader};
use super::stamps::Stamps;
use crate::OrderNumber;
use crate::disk::DiskFile;
use crate::error::{Doing, StoreError, WRITE};
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
    /// Behind the last record written.
    end: LogPosition,
    /// Records of the batch to come, encoded.
    buffer: Vec<u8>,
    /// Behind the last record in `buffer`.
    buffered: LogPosition,
    /// Order number of the next change. Those of a batch that could not be written are skipped, so that none is given
    /// twice.
    next_order: OrderNumber,
    /// Lowest order number that a change of the batch to come can have.
    first_order: OrderNumber,
    /// A segment could not be created, and the one before is written on.
    troubled: bool,
    /// Content of the last [`Record::Synced`].
    marked: u64,
    stamps: Stamps,
}

/// A segment that is no longer written to.
#[derive(Debug, Clone)]
pub(crate) struct Closed {
    pub(crate) segment: Segment,
    /// Index behind its last record.
    pub(crate) end: u64,
    /// Latest receive time in it and before, ms since 1970.
    pub(crate) receive_time_ms: i64,
}

impl LogWriter {
    /// Begins a new segment behind everything there is, so that nothing is ever written behind a torn end, and numbers
    /// its changes from `first` on.
    pub(crate) fn start(
        shared: Arc<Shared>,
        segment_bytes: u64,
        closed: Vec<Closed>,
        end: LogPosition,
        first: OrderNumber,
        stamps: Stamps,
    ) -> Result<LogWriter, StoreError> {
        let segment = Segment::new(&shared.dir, LogPosition { order: first, ..end });
        // Nothing is known to be synced: the writer before may have ended without.
        let header = SegmentHeader { partition: shared.partition, start: segment.start, stamps, synced: 0 };
        let file = create(&shared, &segment, &header)?;
        shared.written(end);
        shared.began(&segment, file.clone());
        Ok(LogWriter {
            shared,
            segment_bytes,
            segment,
            file,
            closed,
            end,
            buffer: Vec::new(),
            buffered: end,
            next_order: first,
            first_order: first,
            troubled: false,
            marked: 0,
            stamps,
        })
    }

    /// Adds a record to the batch.
    pub(crate) fn push(&mut self, record: &Record<'_>) {
        if let Record::Position { order, slot, hash, ref sighting, marks } = *record {
            return self.push_position(&PositionRecord { order, slot, hash, sighting, marks });
        }
        self.begin_record(record.change());
        record::encode(record, self.buffered.record, &mut self.buffer);
        self.buffered.record += 1;
    }

    /// Adds the record of a position to the batch.
    #[inline]
    pub(crate) fn push_position(&mut self, position: &PositionRecord<'_>) {
        self.begin_record(Some(position.order));
        self.stamps.merge(Stamps::of(position.sighting));
        record::encode_position(position, self.buffered.record, &mut self.buffer);
        self.buffered.record += 1;
    }

    #[inline]
    fn begin_record(&mut self, change: Option<OrderNumber>) {
        if self.buffer.is_empty() {
            self.mark();
        }
        if let Some(order) = change {
            debug_assert!(order >= self.next_order, "order numbers rise");
            self.next_order = order.next();
            self.buffered.order = self.next_order;
        }
    }

    /// Records at the beginning of a batch how far the log is synced, if that has changed.
    pub(crate) fn mark(&mut self) {
        let upto = self.shared.durable_record();
        // A record per sync and not one per batch.
        if upto > self.marked {
            self.marked = upto;
            record::encode(&Record::Synced { upto }, self.buffered.record, &mut self.buffer);
            self.buffered.record += 1;
        }
    }

    /// Writes the batch, and returns the order number behind the last change of the log. When there is no room or
    /// memory nothing of the batch is left, and the next one can be written; any other error stops the partition for good.
    pub(crate) fn commit(&mut self) -> Result<OrderNumber, StoreError> {
        if !self.buffer.is_empty() {
            let done = self.append();
            self.buffer.clear();
            self.first_order = self.next_order;
            if let Err(err) = done {
                self.buffered = self.end;
                return Err(self.give_up(err));
            }
            // Only now: until the write has succeeded, syncs and readers must not count on it.
            self.end = self.buffered;
            self.shared.written(self.end);
        }
        Ok(self.end.order)
    }

    fn append(&mut self) -> Result<(), StoreError> {
        let size = self.segment.offset(self.end.record) + self.buffer.len() as u64;
        let spans = self.segment.spans(self.buffered.order);
        // Before the batch, which is never divided: it is one write.
        if size > self.segment_bytes || !spans {
            let rotated = self.rotate();
            // A segment that is too long harms nothing, so the old one does until a new one can be made. Only numbers
            // that it cannot keep forbid that.
            if rotated.as_ref().is_err_and(|err| !spans || !err.is_harmless() && !err.is_shortage()) {
                return rotated;
            }
        }
        self.file.append(&self.buffer).doing(WRITE, &self.segment.path)
    }

    /// Begins a new segment unless the last one is still empty and will do. The old one stays due for a sync.
    ///
    /// # Errors
    /// The old one can be written on then, unless the error is a failed write.
    pub(crate) fn rotate(&mut self) -> Result<(), StoreError> {
        let is_empty = self.segment.start.record == self.end.record;
        if is_empty && self.segment.spans(self.next_order) {
            return Ok(());
        }
        let rotated = self.begin_segment();
        if rotated.is_err() || self.troubled {
            self.troubled = rotated.is_err();
            self.shared.trouble_writer(rotated.as_ref().err());
        }
        rotated
    }

    fn begin_segment(&mut self) -> Result<(), StoreError> {
        // No change of the batch to come has a lower number. Numbers of batches that failed are skipped here too: a segment
        // that began below them could not keep those behind.
        let segment = Segment::new(&self.shared.dir, LogPosition { order: self.first_order, ..self.end });
        let header = SegmentHeader {
            partition: self.shared.partition,
            start: segment.start,
            stamps: self.stamps,
            synced: self.shared.durable_record(),
        };
        self.file = create(&self.shared, &segment, &header)?;
        self.shared.began(&segment, self.file.clone());
        let segment = std::mem::replace(&mut self.segment, segment);
        let receive_time_ms = self.stamps.receive_time_ms;
        // The old file is not synced here: the writer must not wait for the disk. The syncer still has it.
        self.closed.push(Closed { segment, end: self.end.record, receive_time_ms });
        Ok(())
    }

    fn give_up(&self, err: StoreError) -> StoreError {
        if err.is_harmless() {
            return err;
        }
        // After a lack of room or memory a part of the batch may be there. Once it is cut off the log is as it was; after
        // any other error the end of the file is unknown.
        let whole = self.segment.offset(self.end.record);
        if err.is_shortage() && self.file.truncate(whole).is_ok() {
            return err;
        }
        self.shared.fail(&err);
        err
    }

    /// Returns the end of what is written.
    pub(crate) fn end(&self) -> LogPosition {
        self.end
    }

    /// Returns the order number for the next change.
    pub(crate) fn next_order(&self) -> OrderNumber {
        self.next_order
    }

    /// Gives up the oldest segments: those that end at or before the record `covered` and were all received before
    /// `before_ms`. One that says it was received after `now_ms` was written under a wrong clock: it is as old as the next.
    pub(crate) fn retire(
        &mut self,
        covered: u64,
        before_ms: i64,
        now_ms: i64,
    ) -> impl Iterator<Item = Segment> {
        let mut count = 0;
        // All of it: a segment in the middle of which history or recovery begins stays.
        for (at, closed) in self.closed.iter().enumerate().take_while(|(_, closed)| closed.end <= covered) {
            if closed.receive_time_ms > now_ms {
                continue;
            }
            if closed.receive_time_ms >= before_ms {
                break;
            }
            count = at + 1;
        }
        self.closed.drain(..count).map(|closed| closed.segment)
    }

    /// Returns the bytes of all segments.
    pub(crate) fn bytes(&self) -> u64 {
        let closed = self.closed.iter().map(|closed| closed.segment.offset(closed.end));
        closed.sum::<u64>() + self.segment.offset(self.end.record)
    }

    pub(crate) fn merge_stamps(&mut self, stamps: Stamps) {
        self.stamps.merge(stamps);
    }

    /// Returns the latest stamps written.
    pub(crate) fn stamps(&self) -> Stamps {
        self.stamps
    }
}

/// Creates a segment; leaves none behind when its header does not fit.
fn create(
    shared: &Shared,
    segment: &Segment,
    header: &SegmentHeader,
) -> Result<Arc<dyn DiskFile>, StoreError> {
    let file = shared.disk.create(&segment.path).doing("create", &segment.path)?;
    if let Err(err) = file.append(&header.encode()).doing(WRITE, &segment.path) {
        // The error that is reported is the first one; a file left over is replaced by the next try, or removed by the next
        // start.
        let _removed = shared.disk.remove(&segment.path);
        // The segment before is written on, past the beginning of this one: its name must not come back after a power cut.
        shared.names_changed();
        return Err(err);
    }
    Ok(file)
}
