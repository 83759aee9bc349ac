//! Reads a log back, and decides what a part that cannot be read means.
//!
//! A machine that loses power may have written the last, unsynced pages in any order: a part that reads as
//! zeros may be followed by records that are whole. Such a tail was never reported as durable and is cut.
//! Anything else that cannot be read, with good records behind it, is damage; so is a part that cannot be read
//! though it had been synced. Damage stops the reader.

use super::LogPosition;
use super::record::{self, LEN, Record};
use super::segment::{NoHeader, Segment, SegmentHeader, VERSION};
use super::stamps::Stamps;
use crate::disk::{Disk, DiskFile};
use crate::error::{Doing, StoreError};
use std::path::{Path, PathBuf};

/// Records read from the disk at once.
const CHUNK: usize = 16_384;

/// Bytes that a disk writes as a whole. A piece of this size that reads as zeros was never written.
const SECTOR: u64 = 512;

/// A spot in a file at which a record, or a header, should be and is not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bad {
    pub(crate) file: PathBuf,
    pub(crate) offset: u64,
    pub(crate) what: &'static str,
    /// It looks as if it had never been written, and not as if it had been changed since.
    unwritten: bool,
    /// Place to which the file belongs, where its header is whole and tells of another one.
    pub(crate) belongs_to: Option<PathBuf>,
}

impl Bad {
    pub(crate) fn corrupt(self) -> StoreError {
        if let Some(of) = self.belongs_to {
            return StoreError::Misplaced { file: self.file, of };
        }
        StoreError::Corrupt { file: self.file, offset: self.offset, what: self.what }
    }
}

/// One unit of a segment.
pub(crate) enum Unit<'a> {
    Header(SegmentHeader),
    Record(Record<'a>),
    Bad(Bad),
}

/// The end of a log that was cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// The file in which the cut was made.
    pub file: PathBuf,
    /// Its length after the cut, in bytes.
    pub offset: u64,
    /// Bytes behind the cut, in this file and later ones.
    pub bytes: u64,
    /// Whole records among them. They had not been synced, and a record before them was missing.
    pub records: u64,
    /// Directory in which all of that is kept; none where it was only zeros.
    pub kept: Option<PathBuf>,
}

/// The end of a log.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct End {
    /// The first record that is not there, and the number behind the last change that is.
    pub(crate) position: LogPosition,
    pub(crate) cut: Option<Cut>,
    /// Latest stamps that the headers tell of.
    pub(crate) stamps: Stamps,
}

/// The log of one partition, to be read.
pub(crate) struct LogReader<'a> {
    pub(crate) disk: &'a dyn Disk,
    pub(crate) dir: &'a Path,
    pub(crate) partition: u32,
}

impl LogReader<'_> {
    /// Calls `visit` for every record from `from` on. All records before the record `synced` are known to have been
    /// synced. Changes nothing; a torn end is reported, and left to [`aside::cut`](super::aside::cut).
    pub(crate) fn read(
        &self,
        from: LogPosition,
        synced: u64,
        visit: &mut dyn FnMut(u64, Record<'_>),
    ) -> Result<End, StoreError> {
        let segments = Segment::list(self.disk, self.dir)?;
        // The last one that begins at or before `from`: names tell, so older files are not opened.
        let first = segments.partition_point(|segment| segment.start.record <= from.record).saturating_sub(1);
        let mut end = End { position: from, cut: None, stamps: Stamps::NOTHING };
        for (at, segment) in segments.iter().enumerate().skip(first) {
            let before = (at > first).then(|| &segments[at - 1]);
            let missing = match follows(segment, before, end.position.record)? {
                Some(gap) => Some(gap),
                None => self.read_segment(segment, from.record, &mut end, visit)?,
            };
            if let Some(bad) = missing {
                end.cut = Some(self.judge(bad, end.position.record, synced, &segments[at..])?);
                return Ok(end);
            }
        }
        if end.position.record < synced {
            return Err(ends_early(self.dir, segments.last(), end.position.record));
        }
        Ok(end)
    }

    /// Reads until the first thing that cannot be read.
    fn read_segment(
        &self,
        segment: &Segment,
        from: u64,
        end: &mut End,
        visit: &mut dyn FnMut(u64, Record<'_>),
    ) -> Result<Option<Bad>, StoreError> {
        let mut found = None;
        end.position.record = segment.start.record;
        self.scan(segment, &mut |index, unit| {
            match unit {
                Unit::Header(header) => end.stamps.merge(header.stamps),
                Unit::Record(record) => {
                    end.position.record = index + 1;
                    if let Some(order) = record.change() {
                        end.position.order = end.position.order.max(order.next());
                    }
                    if index >= from {
                        visit(index, record);
                    }
                }
                Unit::Bad(bad) => found = Some(bad),
            }
            found.is_none()
        })?;
        Ok(found)
    }

    /// Decides whether the log may be cut where the record `missing` is not there; `rest` are the segments from
    /// there on.
    fn judge(&self, bad: Bad, missing: u64, synced: u64, rest: &[Segment]) -> Result<Cut, StoreError> {
        let mut records = 0;
        let mut synced = synced;
        let mut size = 0;
        // A header in a wrong place was not left by a crash.
        let mut misplaced = bad.belongs_to.is_some().then(|| bad.clone());
        // All of it, to the end: whether a bad record is innocent is known only by what stands behind it.
        for segment in rest {
            let file = self.disk.open(&segment.path).doing("open", &segment.path)?;
            size += file.size().doing("measure", &segment.path)?;
            self.scan(segment, &mut |at, unit| {
                match unit {
                    Unit::Header(header) => synced = synced.max(header.synced),
                    Unit::Record(record) => {
                        records += u64::from(at > missing);
                        if let Record::Synced { upto } = record {
                            synced = synced.max(upto);
                        }
                    }
                    // More of what is missing; only marks and whole records decide.
                    Unit::Bad(bad) if bad.belongs_to.is_none() => {}
                    Unit::Bad(bad) => drop(misplaced.get_or_insert(bad)),
                }
                true
            })?;
        }
        if let Some(misplaced) = misplaced {
            return Err(misplaced.corrupt());
        }
        // A record that was synced cannot be missing innocently, nor one that was changed and has whole ones behind it.
        if synced > missing || (records > 0 && !bad.unwritten) {
            return Err(bad.corrupt());
        }
        let kept = if rest[0].path == bad.file { bad.offset } else { 0 };
        Ok(Cut { file: bad.file, offset: bad.offset, bytes: size - kept, records, kept: None })
    }

    /// Calls `visit` for everything in one segment until that returns false: the header, under the index of the first
    /// record, the records, and the parts that cannot be read.
    pub(crate) fn scan(
        &self,
        segment: &Segment,
        visit: &mut dyn FnMut(u64, Unit<'_>) -> bool,
    ) -> Result<(), StoreError> {
        let file = self.disk.open(&segment.path).doing("open", &segment.path)?;
        if !visit(segment.start.record, self.header(segment, &*file)?) {
            return Ok(());
        }
        let size = file.size().doing("measure", &segment.path)?;
        // No larger than the file: most segments of a small fleet hold few records.
        let mut buffer = vec![0; CHUNK.min(size as usize / LEN + 1) * LEN];
        let mut index = segment.start.record;
        loop {
            let got = file.read_at(segment.offset(index), &mut buffer).doing("read", &segment.path)?;
            let (units, rest) = buffer[..got].as_chunks::<LEN>();
            for bytes in units {
                if !visit(index, unit(segment, index, bytes)) {
                    return Ok(());
                }
                index += 1;
            }
            if !rest.is_empty() {
                visit(
                    index,
                    Unit::Bad(bad(segment, segment.offset(index), rest, "the last record is not whole")),
                );
            }
            if got < buffer.len() {
                return Ok(());
            }
        }
    }

    /// Returns the index behind the last record that the file of a segment has room for.
    pub(crate) fn end_of(&self, segment: &Segment) -> Result<u64, StoreError> {
        let file = self.disk.open(&segment.path).doing("open", &segment.path)?;
        let units = file.size().doing("measure", &segment.path)? / LEN as u64;
        Ok(segment.start.record + units.saturating_sub(1))
    }

    /// Returns true when the file of a segment has no header that can be read, and nothing behind its place.
    pub(crate) fn is_unbegun(&self, segment: &Segment) -> Result<bool, StoreError> {
        let file = self.disk.open(&segment.path).doing("open", &segment.path)?;
        let size = file.size().doing("measure", &segment.path)?;
        let header = self.header(segment, &*file)?;
        Ok(size <= LEN as u64 && matches!(header, Unit::Bad(bad) if bad.belongs_to.is_none()))
    }

    /// Returns the latest stamps before a segment, as its header tells them. Checks that the file is long enough for all its
    /// records before the record `synced`, without reading them.
    pub(crate) fn stamps_before(&self, segment: &Segment, synced: u64) -> Result<Stamps, StoreError> {
        let file = self.disk.open(&segment.path).doing("open", &segment.path)?;
        let size = file.size().doing("measure", &segment.path)?;
        match self.header(segment, &*file)? {
            Unit::Header(_) if size < segment.offset(synced.max(segment.start.record)) => {
                let what = "it is shorter than what was synced of it";
                Err(StoreError::corrupt(&segment.path, size, what))
            }
            Unit::Header(header) => Ok(header.stamps),
            Unit::Bad(bad) => Err(bad.corrupt()),
            Unit::Record(_) => unreachable!("a header is no record"),
        }
    }

    fn header<'a>(&self, segment: &Segment, file: &dyn DiskFile) -> Result<Unit<'a>, StoreError> {
        let mut bytes = [0; LEN];
        let got = file.read_at(0, &mut bytes).doing("read", &segment.path)?;
        match SegmentHeader::decode(&bytes, self.partition, segment.start) {
            Ok(header) => Ok(Unit::Header(header)),
            Err(NoHeader::OtherFormat(found)) => {
                Err(StoreError::Format { file: segment.path.clone(), found, newest: VERSION })
            }
            Err(NoHeader::Bad) => Ok(Unit::Bad(bad(segment, 0, &bytes[..got], "the header cannot be read"))),
            Err(NoHeader::Misplaced(header)) => {
                let what = "the header is of another segment";
                let belongs_to = Some(self.place_of(&header));
                let file = segment.path.clone();
                Ok(Unit::Bad(Bad { file, offset: 0, what, unwritten: false, belongs_to }))
            }
        }
    }

    /// Returns the path of the segment that has this header.
    fn place_of(&self, header: &SegmentHeader) -> PathBuf {
        if header.partition == self.partition {
            return Segment::new(self.dir, header.start).path;
        }
        let set = self.dir.parent().unwrap_or(self.dir);
        Segment::new(&set.join(header.partition.to_string()), header.start).path
    }
}

/// Checks that `segment` goes on where the one `before` it ended, with record `next` to come; returns the gap between
/// them if there is one.
fn follows(segment: &Segment, before: Option<&Segment>, next: u64) -> Result<Option<Bad>, StoreError> {
    match before {
        None if segment.start.record > next => {
            Err(StoreError::corrupt(&segment.path, 0, "the records before this segment are gone"))
        }
        Some(_) if segment.start.record < next => {
            Err(StoreError::corrupt(&segment.path, 0, "the segment before it holds some of its records"))
        }
        Some(before) if segment.start.record > next => Ok(Some(Bad {
            file: before.path.clone(),
            offset: before.offset(next),
            what: "the segment ends before the next one begins",
            unwritten: true,
            belongs_to: None,
        })),
        _ => Ok(None),
    }
}

fn ends_early(dir: &Path, last: Option<&Segment>, next: u64) -> StoreError {
    let what = "the log ends before what was synced";
    match last {
        Some(last) => StoreError::corrupt(&last.path, last.offset(next), what),
        None => StoreError::corrupt(dir, 0, what),
    }
}

fn unit<'a>(segment: &Segment, index: u64, bytes: &'a [u8; LEN]) -> Unit<'a> {
    match record::decode(bytes, index, segment.start.order) {
        Some(record) => Unit::Record(record),
        None => Unit::Bad(bad(segment, segment.offset(index), bytes, "a record does not match its checksum")),
    }
}

fn bad(segment: &Segment, offset: u64, bytes: &[u8], what: &'static str) -> Bad {
    Bad {
        file: segment.path.clone(),
        offset,
        what,
        unwritten: bytes.len() < LEN || has_empty_sector(offset, bytes),
        belongs_to: None,
    }
}

/// Returns true when some sector holds only zeros of `bytes`, which begin at `offset`. The parts of a record in two
/// sectors are at least 16 bytes long, and no such part of a position is all zeros.
fn has_empty_sector(offset: u64, bytes: &[u8]) -> bool {
    let first = ((SECTOR - offset % SECTOR) as usize).min(bytes.len());
    let (head, tail) = bytes.split_at(first);
    is_empty_part(head) || is_empty_part(tail)
}

fn is_empty_part(part: &[u8]) -> bool {
    !part.is_empty() && part.iter().all(|byte| *byte == 0)
}
