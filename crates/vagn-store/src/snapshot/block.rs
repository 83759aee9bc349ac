//! The parts a snapshot is made of: a header, blocks of vehicles, blocks of counts of vehicles that left, and the footer as the
//! last block.
//!
//! A block is `length, count, checksum` (u32 each) and its content. The checksum begins with the number of
//! the block, so that blocks cannot change places; a count of zero marks the footer, and its highest bit counts of vehicles that
//! left.

use super::{Footer, Kept};
use crate::index::{DepartedCount, Held};
use crate::judge::Count;
use crate::log::LogPosition;
use crate::log::record::{self, Fields};
use crate::log::segment::{u32_at, u64_at};
use crate::log::stamps::Stamps;
use crate::{Key, OrderNumber};

/// The format that this version writes.
pub(super) const VERSION: u32 = 4;

/// A format that it reads, too: it has no counts of vehicles that left.
pub(super) const WITHOUT_DEPARTED: u32 = 3;

const MAGIC: [u8; 8] = *b"VAGNSNAP";

/// Length of the header in bytes.
pub(super) const HEADER: usize = 40;

/// Offset of the header's checksum. Magic, version and checksum keep their places in every version.
const SUM: usize = HEADER - 4;

/// Length of the prefix of a block in bytes.
pub(super) const PREFIX: usize = 12;

/// Greatest length of a block's content in bytes: a prefix that names a longer one was never written.
pub(super) const CONTENT_MAX: usize = 64 << 20;

const FOOTER: usize = 48;

/// Length of the footer of [`WITHOUT_DEPARTED`].
const SHORT_FOOTER: usize = 40;

/// Bit in the count of a block that has counts of vehicles that left.
const DEPARTED: u32 = 1 << 31;

/// Header of a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SnapshotHeader {
    pub(super) version: u32,
    pub(super) partition: u32,
    pub(super) position: LogPosition,
    /// Bound of the slots in the file: all are lower.
    pub(super) slot_end: u32,
}

impl SnapshotHeader {
    pub(super) fn encode(&self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&self.version.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.partition.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.position.record.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.slot_end.to_le_bytes());
        bytes[28..36].copy_from_slice(&self.position.order.0.to_le_bytes());
        let sum = crc32c::crc32c(&bytes[..SUM]);
        bytes[SUM..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    pub(super) fn decode(bytes: &[u8; HEADER]) -> Option<SnapshotHeader> {
        let whole = bytes[..8] == MAGIC && u32_at(bytes, SUM) == crc32c::crc32c(&bytes[..SUM]);
        whole.then(|| SnapshotHeader {
            version: u32_at(bytes, 8),
            partition: u32_at(bytes, 12),
            position: LogPosition { record: u64_at(bytes, 16), order: OrderNumber(u64_at(bytes, 28)) },
            slot_end: u32_at(bytes, 24),
        })
    }
}

/// Prefix of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Prefix {
    pub(super) length: u32,
    pub(super) count: u32,
    pub(super) sum: u32,
}

impl Prefix {
    pub(super) fn of(block: u32, count: u32, content: &[u8]) -> Prefix {
        let length = content.len() as u32;
        Prefix { length, count, sum: checksum(block, count, content) }
    }

    pub(super) fn encode(&self) -> [u8; PREFIX] {
        let mut bytes = [0; PREFIX];
        bytes[..4].copy_from_slice(&self.length.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.count.to_le_bytes());
        bytes[8..].copy_from_slice(&self.sum.to_le_bytes());
        bytes
    }

    pub(super) fn decode(bytes: &[u8; PREFIX]) -> Prefix {
        Prefix { length: u32_at(bytes, 0), count: u32_at(bytes, 4), sum: u32_at(bytes, 8) }
    }

    /// Returns the count of a block with so many counts of vehicles that left.
    pub(super) fn count_of_departed(departed: u32) -> u32 {
        departed | DEPARTED
    }

    /// Returns the numbers of vehicles, and of counts of vehicles that left, in the block.
    pub(super) fn numbers(&self) -> (u64, u64) {
        let number = u64::from(self.count & !DEPARTED);
        if self.has_departed() { (0, number) } else { (number, 0) }
    }

    fn has_departed(&self) -> bool {
        self.count & DEPARTED != 0
    }

    /// Calls `visit` for all that the block has; returns false when its content is not made of that.
    pub(super) fn each(&self, content: &[u8], visit: &mut dyn FnMut(Kept<'_>)) -> bool {
        if self.has_departed() {
            each_departed(content, &mut |departed| visit(Kept::Departed(departed)))
        } else {
            each_vehicle(content, &mut |held| visit(Kept::Vehicle(held)))
        }
    }

    pub(super) fn matches(&self, block: u32, content: &[u8]) -> bool {
        content.len() == self.length as usize && self.sum == checksum(block, self.count, content)
    }
}

fn checksum(block: u32, count: u32, content: &[u8]) -> u32 {
    // Number and count take the place of the usual start value, so that neither needs a field of its own.
    crc32c::crc32c_append(block.rotate_left(16) ^ count, content)
}

/// Appends a vehicle: the fields of a position record, then its count if it has one, then the id.
pub(crate) fn put_vehicle(held: &Held<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(&record::fields(held));
    if !held.count.is_none() {
        out.extend_from_slice(&record::put_count(&held.count));
    }
    match held.key {
        Key::Uuid(id) => out.extend_from_slice(&id),
        Key::Text(text) => out.extend_from_slice(text.as_bytes()),
    }
}

/// Calls `visit` for the vehicles of a block; returns false when it is not made of vehicles.
pub(super) fn each_vehicle(mut content: &[u8], visit: &mut dyn FnMut(Held<'_>)) -> bool {
    while !content.is_empty() {
        let Some((held, rest)) = first_vehicle(content) else { return false };
        visit(held);
        content = rest;
    }
    true
}

/// Reads the vehicle that stands first, and returns what is behind it.
pub(crate) fn first_vehicle(content: &[u8]) -> Option<(Held<'_>, &[u8])> {
    let (fields, mut content) = content.split_first_chunk::<{ record::FIELDS }>()?;
    let Fields { slot, id_len, is_uuid, has_count, sighting } = record::from_fields(fields)?;
    let mut count = Count::NONE;
    if has_count {
        let (bytes, rest) = content.split_first_chunk::<{ record::COUNT_LEN }>()?;
        (count, content) = (record::get_count(bytes), rest);
    }
    let (id, rest) = content.split_at_checked(id_len)?;
    Some((Held { slot, key: record::key(id, is_uuid)?, sighting, count }, rest))
}

/// Appends the count of a vehicle that left: receive sequence, hash of the id, count.
pub(crate) fn put_departed(departed: &DepartedCount, out: &mut Vec<u8>) {
    out.extend_from_slice(&departed.receive_seq.to_le_bytes());
    out.extend_from_slice(&departed.key_hash.to_le_bytes());
    out.extend_from_slice(&record::put_count(&departed.count));
}

fn each_departed(mut content: &[u8], visit: &mut dyn FnMut(DepartedCount)) -> bool {
    while !content.is_empty() {
        let Some((departed, rest)) = first_departed(content) else { return false };
        visit(departed);
        content = rest;
    }
    true
}

/// Reads the count of a vehicle that left that stands first, and returns what is behind it.
pub(crate) fn first_departed(content: &[u8]) -> Option<(DepartedCount, &[u8])> {
    let (receive_seq, content) = content.split_first_chunk()?;
    let (key_hash, content) = content.split_first_chunk()?;
    let (count, rest) = content.split_first_chunk::<{ record::COUNT_LEN }>()?;
    let (receive_seq, key_hash) = (u64::from_le_bytes(*receive_seq), u64::from_le_bytes(*key_hash));
    let count = record::get_count(count);
    // Without a key it would never be found.
    count.key().map(|_| (DepartedCount { receive_seq, key_hash, count }, rest))
}

impl Footer {
    pub(super) fn encode(&self) -> [u8; FOOTER] {
        let mut bytes = [0; FOOTER];
        bytes[..8].copy_from_slice(&self.complete_at.record.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.vehicles.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.stamps.receive_time_ms.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.stamps.receive_seq.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.complete_at.order.0.to_le_bytes());
        bytes[40..].copy_from_slice(&self.departed.to_le_bytes());
        bytes
    }

    /// Reads the footer of a snapshot of this format.
    pub(super) fn decode(version: u32, content: &[u8]) -> Option<Footer> {
        let is_short = version == WITHOUT_DEPARTED;
        if content.len() != if is_short { SHORT_FOOTER } else { FOOTER } {
            return None;
        }
        let departed = if is_short { 0 } else { u64_at(content, 40) };
        let stamps = Stamps { receive_time_ms: u64_at(content, 16) as i64, receive_seq: u64_at(content, 24) };
        let complete_at = LogPosition { record: u64_at(content, 0), order: OrderNumber(u64_at(content, 32)) };
        Some(Footer { complete_at, vehicles: u64_at(content, 8), departed, stamps })
    }
}
