//! Byte forms of a log: the header of a segment, and a record.
//!
//! A record begins at a multiple of four, so that whole ones can be looked for behind damage. Its checksum begins with the shard and the
//! number of the log, so that what an earlier log has left in the same blocks of the disk is no record here.

use vagn_cluster::{LogRecord, ShardId};

/// The one format of segments and snapshots that this version reads and writes.
pub(super) const VERSION: u32 = 1;

/// Length of the header of a segment, in bytes.
pub(super) const HEADER: usize = 40;

/// Length of a record before its bytes.
pub(super) const PREFIX: usize = 36;

/// Most bytes of a record: no broker takes a longer message.
pub(super) const RECORD_MAX: usize = 64 << 20;

const MAGIC: [u8; 8] = *b"VAGNSLOG";

/// Begins each record.
const MARK: [u8; 4] = *b"VREC";

/// A log of a shard: each snapshot that is installed begins another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LogId {
    pub(super) shard: ShardId,
    /// Rising with each installed snapshot.
    pub(super) number: u64,
}

impl LogId {
    pub(super) fn seed(self) -> u32 {
        // Of the number only what can differ soon: it is looked for accidents, not for attacks.
        u32::from(self.shard.0) << 16 ^ (self.number as u32).wrapping_mul(0x9e37_79b1)
    }
}

/// Header of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    pub(super) log: LogId,
    /// Sequence of its first record.
    pub(super) first: u64,
}

/// Reason why bytes are no header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoHeader {
    Damaged,
    /// It is whole, and of this version.
    Version(u32),
}

impl SegmentHeader {
    pub(super) fn encode(self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..16].copy_from_slice(&u32::from(self.log.shard.0).to_le_bytes());
        bytes[16..24].copy_from_slice(&self.log.number.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.first.to_le_bytes());
        seal(&mut bytes);
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, NoHeader> {
        let bytes: &[u8; HEADER] = bytes.first_chunk().ok_or(NoHeader::Damaged)?;
        check(bytes, MAGIC)?;
        let shard = u16::try_from(u32_at(bytes, 12)).map_err(|_| NoHeader::Damaged)?;
        let log = LogId { shard: ShardId(shard), number: u64_at(bytes, 16) };
        Ok(Self { log, first: u64_at(bytes, 24) })
    }
}

/// Puts the checksum of a header at its end.
pub(super) fn seal(header: &mut [u8]) {
    let end = header.len() - 4;
    let sum = crc32c::crc32c(&header[..end]);
    header[end..].copy_from_slice(&sum.to_le_bytes());
}

/// Checks magic, checksum and version of a header: they keep their places in every version.
pub(super) fn check(header: &[u8], magic: [u8; 8]) -> Result<(), NoHeader> {
    let end = header.len() - 4;
    if header[..8] != magic || u32_at(header, end) != crc32c::crc32c(&header[..end]) {
        return Err(NoHeader::Damaged);
    }
    match u32_at(header, 8) {
        VERSION => Ok(()),
        other => Err(NoHeader::Version(other)),
    }
}

/// A record as it lies in a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame<'a> {
    pub(super) sequence: u64,
    pub(super) time_ms: i64,
    /// Last sequence that was synced when this record was written.
    pub(super) synced: u64,
    pub(super) bytes: &'a [u8],
}

impl Frame<'_> {
    /// Returns the length in the segment.
    pub(super) fn len(&self) -> usize {
        whole(self.bytes.len())
    }

    pub(super) fn record(&self) -> LogRecord {
        LogRecord { sequence: self.sequence, time_ms: self.time_ms, bytes: self.bytes.into() }
    }
}

/// Returns the length in a segment of a record with so many bytes.
pub(super) fn whole(bytes: usize) -> usize {
    (PREFIX + bytes).next_multiple_of(4)
}

/// Returns the length in a segment of the record whose first bytes these are, if they can be the first of one.
pub(super) fn whole_of(prefix: &[u8; PREFIX]) -> Option<usize> {
    let length = u32_at(prefix, 32) as usize;
    (prefix[..4] == MARK && length <= RECORD_MAX).then(|| whole(length))
}

/// Appends a record to `out`.
pub(super) fn encode(log: LogId, record: &LogRecord, synced: u64, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&MARK);
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&record.sequence.to_le_bytes());
    out.extend_from_slice(&record.time_ms.to_le_bytes());
    out.extend_from_slice(&synced.to_le_bytes());
    // Longer ones were refused.
    out.extend_from_slice(&(record.bytes.len() as u32).to_le_bytes());
    out.extend_from_slice(&record.bytes);
    out.resize(start + whole(record.bytes.len()), 0);
    let sum = crc32c::crc32c_append(log.seed(), &out[start + 8..]);
    out[start + 4..start + 8].copy_from_slice(&sum.to_le_bytes());
}

/// Reads a record that fills `bytes`.
pub(super) fn decode(log: LogId, bytes: &[u8]) -> Option<Frame<'_>> {
    let prefix: &[u8; PREFIX] = bytes.first_chunk()?;
    let is_whole = whole_of(prefix)? == bytes.len()
        && u32_at(prefix, 4) == crc32c::crc32c_append(log.seed(), &bytes[8..]);
    is_whole.then(|| Frame {
        sequence: u64_at(prefix, 8),
        time_ms: u64_at(prefix, 16).cast_signed(),
        synced: u64_at(prefix, 24),
        bytes: &bytes[PREFIX..PREFIX + u32_at(prefix, 32) as usize],
    })
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("it has four bytes"))
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("it has eight bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: LogId = LogId { shard: ShardId(3), number: 2 };

    fn encoded(len: usize) -> Vec<u8> {
        let bytes: Vec<u8> = (0..len).map(|at| at as u8).collect();
        let mut out = Vec::new();
        encode(LOG, &LogRecord { sequence: 7, time_ms: -5, bytes: bytes.into() }, 4, &mut out);
        out
    }

    #[test]
    fn a_record_is_read_as_it_was_written() {
        for len in [0, 1, 2, 3, 4, 1_000] {
            let bytes = encoded(len);
            let frame = decode(LOG, &bytes).unwrap();
            assert_eq!((frame.sequence, frame.time_ms, frame.synced, frame.bytes.len()), (7, -5, 4, len));
            assert_eq!((frame.len(), bytes.len() % 4), (bytes.len(), 0));
        }
    }

    #[test]
    fn no_changed_bit_and_no_other_log_is_a_record() {
        let bytes = encoded(21);
        for bit in 0..bytes.len() * 8 {
            let mut other = bytes.clone();
            other[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode(LOG, &other), None, "bit {bit}");
        }
        assert_eq!(decode(LogId { number: 3, ..LOG }, &bytes), None);
        assert_eq!(decode(LogId { shard: ShardId(2), ..LOG }, &bytes), None);
        for end in 0..bytes.len() {
            assert_eq!(decode(LOG, &bytes[..end]), None);
        }
    }

    #[test]
    fn a_header_of_another_version_is_no_damage() {
        let header = SegmentHeader { log: LOG, first: 9 };
        let mut bytes = header.encode();
        assert_eq!(SegmentHeader::decode(&bytes), Ok(header));
        bytes[8] = 2;
        assert_eq!(SegmentHeader::decode(&bytes), Err(NoHeader::Damaged));
        seal(&mut bytes);
        assert_eq!(SegmentHeader::decode(&bytes), Err(NoHeader::Version(2)));
    }
}
