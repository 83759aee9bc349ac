//! One file of the log: its name, its header, and where its records lie.
//!
//! A segment is named by the number of its first record, and its header is as long as a record. So a record's
//! number gives its file and offset, and a missing file shows as a gap between names.

use super::record::LEN;
use super::seen::Seen;
use crate::disk::Disk;
use crate::error::{Doing, StoreError};
use std::path::{Path, PathBuf};

/// The newest format this version reads and the one it writes.
pub(crate) const VERSION: u32 = 1;

const MAGIC: [u8; 8] = *b"VAGNLOG\n";
const EXTENSION: &str = ".log";

/// A segment in the directory of its partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Segment {
    /// Number of its first record.
    pub(crate) base: u64,
    pub(crate) path: PathBuf,
}

impl Segment {
    pub(crate) fn new(dir: &Path, base: u64) -> Segment {
        Segment { base, path: dir.join(format!("{base:020}{EXTENSION}")) }
    }

    /// The segments in `dir`, oldest first.
    pub(crate) fn list(disk: &dyn Disk, dir: &Path) -> Result<Vec<Segment>, StoreError> {
        let names = disk.list(dir).doing("list", dir)?;
        let bases = names.iter().filter_map(|name| name.strip_suffix(EXTENSION)?.parse().ok());
        let mut segments: Vec<_> = bases.map(|base| Segment::new(dir, base)).collect();
        segments.sort_unstable_by_key(|segment| segment.base);
        Ok(segments)
    }

    /// Where the record `number` lies, or would lie, in this file.
    pub(crate) fn offset(&self, number: u64) -> u64 {
        (number - self.base + 1) * LEN as u64
    }
}

/// What a segment says of itself and of all that was written before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) partition: u32,
    pub(crate) base: u64,
    /// The latest stamps before this segment: they tell when the segment before has aged out, without reading
    /// it.
    pub(crate) seen: Seen,
    /// All records before this one had been synced when the segment was begun.
    pub(crate) synced: u64,
}

/// Why bytes are no header of the segment they stand in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoHeader {
    /// They were never written as a header.
    Bad,
    /// They are a header of another partition or place.
    Misplaced,
    /// They were written by a later version.
    Newer(u32),
}

impl Header {
    pub(crate) fn encode(&self) -> [u8; LEN] {
        let mut bytes = [0; LEN];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.partition.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.base.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.seen.receive_time_ms.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.seen.receive_seq.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.synced.to_le_bytes());
        let sum = crc32c::crc32c(&bytes[..76]);
        bytes[76..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// Reads the header of the segment `base` of `partition`. Magic, version and checksum keep their places
    /// in every version, so a damaged version is not taken for a newer one.
    pub(crate) fn decode(bytes: &[u8; LEN], partition: u32, base: u64) -> Result<Header, NoHeader> {
        let u32_at = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("4 bytes"));
        let u64_at = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes"));
        if bytes[..8] != MAGIC || u32_at(76) != crc32c::crc32c(&bytes[..76]) {
            return Err(NoHeader::Bad);
        }
        if u32_at(8) > VERSION {
            return Err(NoHeader::Newer(u32_at(8)));
        }
        let header = Header {
            partition: u32_at(12),
            base: u64_at(16),
            seen: Seen { receive_time_ms: u64_at(24) as i64, receive_seq: u64_at(32) },
            synced: u64_at(40),
        };
        if header.partition == partition && header.base == base {
            Ok(header)
        } else {
            Err(NoHeader::Misplaced)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: Header = Header {
        partition: 3,
        base: 1000,
        seen: Seen { receive_time_ms: -5, receive_seq: u64::MAX },
        synced: 999,
    };

    #[test]
    fn reads_back_its_own_header_only() {
        let mut bytes = HEADER.encode();
        assert_eq!(Header::decode(&bytes, 3, 1000), Ok(HEADER));
        assert_eq!(Header::decode(&bytes, 2, 1000), Err(NoHeader::Misplaced));
        assert_eq!(Header::decode(&bytes, 3, 0), Err(NoHeader::Misplaced));
        bytes[9] ^= 1;
        assert_eq!(
            Header::decode(&bytes, 3, 1000),
            Err(NoHeader::Bad),
            "damage is not taken for a newer version"
        );
        let sum = crc32c::crc32c(&bytes[..76]);
        bytes[76..].copy_from_slice(&sum.to_le_bytes());
        assert_eq!(Header::decode(&bytes, 3, 1000), Err(NoHeader::Newer(257)));
    }

    #[test]
    fn a_number_gives_the_file_and_the_offset() {
        let segment = Segment::new(Path::new("p"), 12);
        assert_eq!(segment.path, Path::new("p/00000000000000000012.log"));
        assert_eq!((segment.offset(12), segment.offset(14)), (80, 240));
    }
}
