//! Bytes of a journal's file: a head, then records one behind the other, then zeros. All numbers are little-endian.
//!
//! ```text
//! head    magic (8) · format u32 · id u128 · turn u64 · first u64 · crc32c u32 of these
//! record  length u32 · crc32c u32 of what follows, begun with the crc of the head · kind u8 · number u64 · content
//! ```
//! The crc of a record goes on from that of the head, so that what an earlier turn has left in the file is no record.

use crc32c::{crc32c, crc32c_append};

/// Bytes with which every journal begins.
const MAGIC: &[u8; 8] = b"vagnincj";

/// Number of the format.
const FORMAT: u32 = 1;

/// Length of the head.
pub(super) const HEAD_LEN: usize = 48;

/// Length of a record without its content.
const RECORD_LEN: usize = 17;

/// Head of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileHead {
    /// Id of the store, which the journal shares.
    pub(super) id: u128,
    /// Rises with every turn from one file to the other.
    pub(super) turn: u64,
    /// Number of the first save in it. All saves before that were in the store when the turn came.
    pub(super) first: u64,
}

impl FileHead {
    pub(super) fn to_bytes(self) -> [u8; HEAD_LEN] {
        let mut bytes = [0; HEAD_LEN];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..12].copy_from_slice(&FORMAT.to_le_bytes());
        bytes[12..28].copy_from_slice(&self.id.to_le_bytes());
        bytes[28..36].copy_from_slice(&self.turn.to_le_bytes());
        bytes[36..44].copy_from_slice(&self.first.to_le_bytes());
        let sum = crc32c(&bytes[..44]);
        bytes[44..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// Returns the head at the beginning of a file; `None` in a file in which nothing was written.
    ///
    /// # Errors
    /// The reason for which it is not a head.
    pub(super) fn read(file: &[u8]) -> Result<Option<Self>, String> {
        let Some(bytes) = file.first_chunk::<HEAD_LEN>() else {
            return if file.is_empty() { Ok(None) } else { Err("its head is cut off".into()) };
        };
        if bytes.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        if &bytes[..8] != MAGIC {
            return Err("it does not begin as a journal does".into());
        }
        let format = u32_at(bytes, 8);
        if format != FORMAT {
            return Err(format!("it has format {format}, and this version reads format {FORMAT} only"));
        }
        if crc32c(&bytes[..44]) != u32_at(bytes, 44) {
            return Err("its head is damaged".into());
        }
        let id = bytes[12..28].try_into().map(u128::from_le_bytes).expect("it has 16 bytes");
        Ok(Some(Self { id, turn: u64_at(bytes, 28), first: u64_at(bytes, 36) }))
    }

    /// Returns the crc with which those of the records begin.
    fn seed(self) -> u32 {
        // Not of the whole head: with its own crc behind it, every head has the same one.
        crc32c(&self.to_bytes()[..44])
    }
}

/// Kind of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RecordKind {
    /// A save, with its content.
    Saved = 1,
    /// The mark that the save of this number is in the store.
    Confirmed = 2,
}

/// A record as it stands in a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Record<'a> {
    pub(super) kind: RecordKind,
    pub(super) number: u64,
    pub(super) content: &'a [u8],
    /// Its length in the file.
    pub(super) len: usize,
}

/// Returns the bytes of a record; `None` when its content is too long for one.
pub(super) fn record(head: FileHead, kind: RecordKind, number: u64, content: &[u8]) -> Option<Vec<u8>> {
    let len = u32::try_from(RECORD_LEN + content.len()).ok()?;
    let mut bytes = Vec::with_capacity(RECORD_LEN + content.len());
    bytes.extend(len.to_le_bytes());
    bytes.extend([0; 4]);
    bytes.push(kind as u8);
    bytes.extend(number.to_le_bytes());
    bytes.extend(content);
    let sum = sum_of(head, &bytes);
    bytes[4..8].copy_from_slice(&sum.to_le_bytes());
    Some(bytes)
}

/// Reads the record at the beginning of `bytes`; `None` when there is no whole one.
pub(super) fn read_record(head: FileHead, bytes: &[u8]) -> Option<Record<'_>> {
    let start = bytes.first_chunk::<RECORD_LEN>()?;
    let len = u32_at(start, 0) as usize;
    let bytes = bytes.get(..len).filter(|_| len >= RECORD_LEN)?;
    if sum_of(head, bytes) != u32_at(start, 4) {
        return None;
    }
    let kind = match bytes[8] {
        1 => RecordKind::Saved,
        2 => RecordKind::Confirmed,
        _ => return None,
    };
    Some(Record { kind, number: u64_at(bytes, 9), content: &bytes[RECORD_LEN..], len })
}

/// Returns the crc of a record: of all but itself.
pub(super) fn sum_of(head: FileHead, record: &[u8]) -> u32 {
    crc32c_append(crc32c_append(head.seed(), &record[..4]), &record[8..])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes[at..at + 4].try_into().map(u32::from_le_bytes).expect("it has 4 bytes")
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes[at..at + 8].try_into().map(u64::from_le_bytes).expect("it has 8 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: FileHead = FileHead { id: 7, turn: 3, first: 12 };

    #[test]
    fn a_head_is_read_as_it_is_written_and_no_flipped_bit_passes() {
        let bytes = HEAD.to_bytes();
        assert_eq!(FileHead::read(&bytes), Ok(Some(HEAD)));
        for bit in 0..HEAD_LEN * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(FileHead::read(&flipped).is_err(), "bit {bit}");
        }
        assert_eq!(FileHead::read(&[]), Ok(None));
        assert_eq!(FileHead::read(&[0; 100]), Ok(None));
        assert!(FileHead::read(&bytes[..9]).is_err());
        let mut later = bytes;
        later[8] = 9;
        assert!(FileHead::read(&later).unwrap_err().contains("format 9, and this version reads format 1"));
    }

    #[test]
    fn a_record_is_read_as_it_is_written_and_no_flipped_bit_passes() {
        let bytes = record(HEAD, RecordKind::Saved, 12, b"content").unwrap();
        let whole = Record { kind: RecordKind::Saved, number: 12, content: b"content", len: bytes.len() };
        assert_eq!(read_record(HEAD, &bytes), Some(whole));
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(read_record(HEAD, &flipped), None, "bit {bit}");
        }
        for end in 0..bytes.len() {
            assert_eq!(read_record(HEAD, &bytes[..end]), None);
        }
        let other_turn = FileHead { turn: 4, ..HEAD };
        assert_eq!(read_record(other_turn, &bytes), None, "an earlier turn has left it there");
    }
}
