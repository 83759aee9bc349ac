//! One file of the log: its name, its header, and the offsets of its records.
//!
//! A segment is named by the index of its first record, and its header is as long as a record. So a record's index
//! gives its file and offset, and a missing file shows as a gap between names.

use super::LogPosition;
use super::record::LEN;
use super::stamps::Stamps;
use crate::OrderNumber;
use crate::disk::{Disk, TEMPORARY};
use crate::error::{Doing, StoreError};
use std::path::{Path, PathBuf};

/// The one format that this version reads and writes.
pub(crate) const VERSION: u32 = 3;

const MAGIC: [u8; 8] = *b"VAGNLOG\n";
const EXTENSION: &str = ".log";

/// A segment in the directory of its partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Segment {
    /// Its first record, and the lowest order number that can stand in it.
    pub(crate) start: LogPosition,
    pub(crate) path: PathBuf,
}

impl Segment {
    pub(crate) fn new(dir: &Path, start: LogPosition) -> Segment {
        Segment { start, path: start.file(dir, EXTENSION) }
    }

    /// Returns true for the name of a segment, and of one that is being written anew.
    pub(crate) fn is_name(name: &str) -> bool {
        [EXTENSION, TEMPORARY].iter().any(|ending| LogPosition::of_name(name, ending).is_some())
    }

    /// Returns true for the name of a segment.
    pub(crate) fn is_log_name(name: &str) -> bool {
        LogPosition::of_name(name, EXTENSION).is_some()
    }

    /// Returns the segments in `dir`, oldest first.
    pub(crate) fn list(disk: &dyn Disk, dir: &Path) -> Result<Vec<Segment>, StoreError> {
        let names = disk.list(dir).doing("list", dir)?;
        let starts = names.iter().filter_map(|name| LogPosition::of_name(name, EXTENSION));
        let mut segments: Vec<_> = starts.map(|start| Segment::new(dir, start)).collect();
        segments.sort_unstable_by_key(|segment| segment.start);
        Ok(segments)
    }

    /// Returns the offset in this file at which the record `index` lies, or would lie.
    pub(crate) fn offset(&self, index: u64) -> u64 {
        (index - self.start.record + 1) * LEN as u64
    }

    /// Returns true when a record of every order number before `end` can stand in this segment.
    pub(crate) fn spans(&self, end: OrderNumber) -> bool {
        end <= self.start.order.span_end()
    }
}

/// Header of a segment: about itself and about all that was written before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) partition: u32,
    pub(crate) start: LogPosition,
    /// Latest stamps before this segment: they tell when the segment before has aged out, without reading it.
    pub(crate) stamps: Stamps,
    /// All records before this one had been synced when the segment was begun.
    pub(crate) synced: u64,
}

/// Reason why bytes are no header of the segment in which they stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoHeader {
    /// They were never written as a header.
    Bad,
    /// They are a header of another partition or position.
    Misplaced(SegmentHeader),
    /// They were written by a version with another format.
    OtherFormat(u32),
}

impl SegmentHeader {
    pub(crate) fn encode(&self) -> [u8; LEN] {
        let mut bytes = [0; LEN];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.partition.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.start.record.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.stamps.receive_time_ms.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.stamps.receive_seq.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.synced.to_le_bytes());
        bytes[48..56].copy_from_slice(&self.start.order.0.to_le_bytes());
        let sum = crc32c::crc32c(&bytes[..76]);
        bytes[76..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// Reads the header of the segment of `partition` that begins at `start`.
    pub(crate) fn decode(
        bytes: &[u8; LEN],
        partition: u32,
        start: LogPosition,
    ) -> Result<SegmentHeader, NoHeader> {
        let header = SegmentHeader::decode_any(bytes)?;
        if header.partition == partition && header.start == start {
            Ok(header)
        } else {
            Err(NoHeader::Misplaced(header))
        }
    }

    /// Reads the header of any segment. Magic, version and checksum keep their places in every version, so a damaged
    /// version is not taken for another one.
    pub(crate) fn decode_any(bytes: &[u8; LEN]) -> Result<SegmentHeader, NoHeader> {
        if bytes[..8] != MAGIC || u32_at(bytes, 76) != crc32c::crc32c(&bytes[..76]) {
            return Err(NoHeader::Bad);
        }
        if u32_at(bytes, 8) != VERSION {
            return Err(NoHeader::OtherFormat(u32_at(bytes, 8)));
        }
        Ok(SegmentHeader {
            partition: u32_at(bytes, 12),
            start: LogPosition { record: u64_at(bytes, 16), order: OrderNumber(u64_at(bytes, 48)) },
            stamps: Stamps { receive_time_ms: u64_at(bytes, 24) as i64, receive_seq: u64_at(bytes, 32) },
            synced: u64_at(bytes, 40),
        })
    }
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("4 bytes"))
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: LogPosition = LogPosition { record: 1000, order: OrderNumber(1 << 60) };

    const HEADER: SegmentHeader = SegmentHeader {
        partition: 3,
        start: START,
        stamps: Stamps { receive_time_ms: -5, receive_seq: u64::MAX },
        synced: 999,
    };

    #[test]
    fn reads_back_its_own_header_only() {
        let mut bytes = HEADER.encode();
        assert_eq!(SegmentHeader::decode(&bytes, 3, START), Ok(HEADER));
        assert_eq!(SegmentHeader::decode(&bytes, 2, START), Err(NoHeader::Misplaced(HEADER)));
        for elsewhere in [LogPosition { record: 0, ..START }, LogPosition { order: OrderNumber(0), ..START }]
        {
            assert_eq!(SegmentHeader::decode(&bytes, 3, elsewhere), Err(NoHeader::Misplaced(HEADER)));
        }
        bytes[9] ^= 1;
        assert_eq!(
            SegmentHeader::decode(&bytes, 3, START),
            Err(NoHeader::Bad),
            "damage is not taken for another format"
        );
        let sum = crc32c::crc32c(&bytes[..76]);
        bytes[76..].copy_from_slice(&sum.to_le_bytes());
        assert_eq!(SegmentHeader::decode(&bytes, 3, START), Err(NoHeader::OtherFormat(259)));
    }

    #[test]
    fn a_position_gives_the_file_and_the_offset() {
        let start = LogPosition { record: 12, order: OrderNumber(345) };
        let segment = Segment::new(Path::new("p"), start);
        assert_eq!(segment.path, Path::new("p/00000000000000000012-00000000000000000345.log"));
        let name = segment.path.file_name().unwrap().to_str().unwrap();
        assert_eq!(LogPosition::of_name(name, EXTENSION), Some(start));
        assert_eq!((segment.offset(12), segment.offset(14)), (80, 240));
    }
}
