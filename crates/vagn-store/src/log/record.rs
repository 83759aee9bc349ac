//! One record of the log: 80 bytes, little-endian, with a checksum.
//!
//! 80 because the longest id (64 bytes) then fits beside the 16 bytes every record begins with, so that
//! nothing ever spans two records; and because a hex dump shows a record as five whole lines.

use crate::index::{Held, Marks};
use crate::judge::Count;
use crate::{Key, OrderNumber, Sighting};
use vagn_wire::Position;

/// Length of every record in bytes.
pub(crate) const LEN: usize = 80;

const POSITION: u8 = 1;
const DEFINE: u8 = 2;
const REMOVE: u8 = 3;
const SYNCED: u8 = 4;
const VOID: u8 = 5;
const LATE: u8 = 6;
const COUNT: u8 = 7;

const HAS_SEQ: u8 = 1;
const HAS_SPEED: u8 = 2;
const HAS_HEADING: u8 = 4;
const EMERGENCY: u8 = 8;
const OWN_TIME: u8 = 16;
const UUID: u8 = 32;
const UNSURE: u8 = 64;

/// Flags of the second byte of flags.
const RESTARTS: u8 = 1;
const CONTINUES: u8 = 2;
const HAS_COUNT: u8 = 4;
const BEGINS: u8 = 8;

/// Content of a record.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Record<'a> {
    /// The vehicle in `slot`, whose id has `hash`, has a new sighting, or a late one. The hash names the vehicle even where
    /// the definition of the slot was lost, so that no position is ever given to another one.
    Position { order: OrderNumber, slot: u32, hash: u64, sighting: Sighting, marks: Marks },
    /// The whole count of that vehicle, where its reports in the log alone do not lead there. If it begins with it, it goes on from the
    /// one that the vehicle had left with.
    Count { slot: u32, hash: u64, count: Count, begins: bool },
    /// From here on `slot` is this vehicle. Has the order number of the position that follows.
    Define { order: OrderNumber, slot: u32, key: Key<'a> },
    /// `slot` is free again. Names the vehicle, so that history can tell the vehicle of the positions before.
    Remove { order: OrderNumber, slot: u32, key: Key<'a> },
    /// Every record before the record `upto` had been synced when this one was written.
    Synced { upto: u64 },
    /// Replaces a record that `repair` could not read.
    Void,
}

impl Record<'_> {
    /// Returns the order number of the change that the record makes, if it makes one.
    #[inline]
    pub(crate) fn change(&self) -> Option<OrderNumber> {
        match self {
            Record::Position { order, .. } | Record::Remove { order, .. } => Some(*order),
            // A definition shares the number of its position: torn between the two, the log lacks that change.
            Record::Define { .. } | Record::Count { .. } | Record::Synced { .. } | Record::Void => None,
        }
    }
}

/// A [`Record::Position`] with its sighting elsewhere, which saves copying that.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PositionRecord<'a> {
    pub(crate) order: OrderNumber,
    pub(crate) slot: u32,
    pub(crate) hash: u64,
    pub(crate) sighting: &'a Sighting,
    pub(crate) marks: Marks,
}

/// Appends the record of a position to `out`, as [`encode`] does.
#[inline]
pub(crate) fn encode_position(position: &PositionRecord<'_>, index: u64, out: &mut Vec<u8>) {
    let mut bytes = [0_u8; LEN];
    put_position(&mut bytes, position.slot, position.hash, position.sighting);
    put_marks(&mut bytes, position.marks);
    put(&mut bytes, 12, position.order.low().to_le_bytes());
    append(bytes, index, out);
}

/// Appends a record to `out`, to be written as the record `index`.
pub(crate) fn encode(record: &Record<'_>, index: u64, out: &mut Vec<u8>) {
    let mut bytes = [0_u8; LEN];
    match record {
        Record::Position { order, slot, hash, sighting, marks } => {
            let (order, slot, hash, marks) = (*order, *slot, *hash, *marks);
            return encode_position(&PositionRecord { order, slot, hash, sighting, marks }, index, out);
        }
        Record::Count { slot, hash, count, begins } => {
            bytes[4] = COUNT;
            bytes[7] = flag_if(*begins, BEGINS);
            put(&mut bytes, 8, slot.to_le_bytes());
            put(&mut bytes, 16, put_count(count));
            put(&mut bytes, 72, hash.to_le_bytes());
        }
        Record::Define { order, slot, key } => put_key(&mut bytes, DEFINE, *order, *slot, *key),
        Record::Remove { order, slot, key } => put_key(&mut bytes, REMOVE, *order, *slot, *key),
        Record::Synced { upto } => {
            bytes[4] = SYNCED;
            put(&mut bytes, 16, upto.to_le_bytes());
        }
        Record::Void => bytes[4] = VOID,
    }
    append(bytes, index, out);
}

#[inline]
fn append(mut bytes: [u8; LEN], index: u64, out: &mut Vec<u8>) {
    // Over the order number too, so that a damaged one is no number at all.
    let sum = checksum(&bytes, index);
    put(&mut bytes, 0, sum.to_le_bytes());
    out.extend_from_slice(&bytes);
}

/// Reads the record `index` of a segment whose order numbers begin at `first`; `None` when these bytes were never
/// written as that record.
#[inline]
pub(crate) fn decode(bytes: &[u8; LEN], index: u64, first: OrderNumber) -> Option<Record<'_>> {
    if u32::from_le_bytes(get(bytes, 0)) != checksum(bytes, index) {
        return None;
    }
    let order = OrderNumber::widen(first, u32::from_le_bytes(get(bytes, 12)));
    let slot = u32::from_le_bytes(get(bytes, 8));
    match bytes[4] {
        POSITION | LATE => Some(Record::Position {
            order,
            slot,
            hash: u64::from_le_bytes(get(bytes, 72)),
            sighting: get_sighting(bytes)?,
            marks: get_marks(bytes),
        }),
        COUNT => Some(Record::Count {
            slot,
            hash: u64::from_le_bytes(get(bytes, 72)),
            count: get_count(&get(bytes, 16)),
            begins: bytes[7] & BEGINS != 0,
        }),
        DEFINE => Some(Record::Define { order, slot, key: get_key(bytes)? }),
        REMOVE => Some(Record::Remove { order, slot, key: get_key(bytes)? }),
        SYNCED => Some(Record::Synced { upto: u64::from_le_bytes(get(bytes, 16)) }),
        VOID => Some(Record::Void),
        _ => None,
    }
}

/// The index takes the place of the checksum's usual start value, which costs nothing.
pub(super) fn checksum(bytes: &[u8; LEN], index: u64) -> u32 {
    crc32c::crc32c_append((index ^ (index >> 32)) as u32, &bytes[4..])
}

/// Length of the fields of a position as a snapshot holds them: a record without its checksum, order number and
/// hash.
pub(crate) const FIELDS: usize = 64;

/// Fields of a vehicle in a snapshot, without its id and its count, which follow.
pub(crate) struct Fields {
    pub(crate) slot: u32,
    pub(crate) id_len: usize,
    pub(crate) is_uuid: bool,
    pub(crate) has_count: bool,
    pub(crate) sighting: Sighting,
}

/// Returns the fields of a vehicle as a snapshot has them.
pub(crate) fn fields(held: &Held<'_>) -> [u8; FIELDS] {
    let mut bytes = [0; LEN];
    put_position(&mut bytes, held.slot, 0, &held.sighting);
    (bytes[5], bytes[6]) = match held.key {
        Key::Uuid(id) => (bytes[5] | UUID, id.len() as u8),
        Key::Text(text) => (bytes[5], text.len() as u8),
    };
    bytes[7] = flag_if(!held.count.is_none(), HAS_COUNT);
    let mut fields = [0; FIELDS];
    fields[..8].copy_from_slice(&bytes[4..12]);
    fields[8..].copy_from_slice(&bytes[16..72]);
    fields
}

/// Reads what [`fields`] wrote.
pub(crate) fn from_fields(fields: &[u8; FIELDS]) -> Option<Fields> {
    let mut bytes = [0; LEN];
    bytes[4..12].copy_from_slice(&fields[..8]);
    bytes[16..72].copy_from_slice(&fields[8..]);
    Some(Fields {
        slot: u32::from_le_bytes(get(&bytes, 8)),
        id_len: usize::from(bytes[6]),
        is_uuid: bytes[5] & UUID != 0,
        has_count: bytes[7] & HAS_COUNT != 0,
        sighting: get_sighting(&bytes)?,
    })
}

/// Length of a count in log and snapshot.
pub(crate) const COUNT_LEN: usize = 20;

/// Returns a count as log and snapshot have it.
pub(crate) fn put_count(count: &Count) -> [u8; COUNT_LEN] {
    let (highest, seen, key) = count.parts();
    let mut bytes = [0; COUNT_LEN];
    bytes[..8].copy_from_slice(&highest.to_le_bytes());
    bytes[8..16].copy_from_slice(&seen.to_le_bytes());
    bytes[16..].copy_from_slice(&key.to_le_bytes());
    bytes
}

/// Reads what [`put_count`] wrote.
pub(crate) fn get_count(bytes: &[u8; COUNT_LEN]) -> Count {
    let (highest, rest) = bytes.split_first_chunk().expect("8 of 20 bytes");
    let (seen, key) = rest.split_first_chunk().expect("8 of 12 bytes");
    let key = key.try_into().expect("the last 4 bytes");
    Count::of_parts(u64::from_le_bytes(*highest), u64::from_le_bytes(*seen), u32::from_le_bytes(key))
}

#[inline]
fn put_marks(bytes: &mut [u8; LEN], marks: Marks) {
    if marks.late {
        bytes[4] = LATE;
    }
    bytes[7] = flag_if(marks.restarts, RESTARTS) | flag_if(marks.continues, CONTINUES);
}

fn get_marks(bytes: &[u8; LEN]) -> Marks {
    Marks { late: bytes[4] == LATE, restarts: bytes[7] & RESTARTS != 0, continues: bytes[7] & CONTINUES != 0 }
}

#[inline]
fn put_position(bytes: &mut [u8; LEN], slot: u32, hash: u64, sighting: &Sighting) {
    bytes[4] = POSITION;
    bytes[5] = flags(sighting);
    put(bytes, 8, slot.to_le_bytes());
    put(bytes, 16, sighting.position.lat().to_le_bytes());
    put(bytes, 24, sighting.position.lon().to_le_bytes());
    put(bytes, 32, sighting.event_time_ms.to_le_bytes());
    put(bytes, 40, sighting.receive_time_ms.to_le_bytes());
    put(bytes, 48, sighting.receive_seq.to_le_bytes());
    put(bytes, 56, sighting.seq.unwrap_or(0).to_le_bytes());
    put(bytes, 64, sighting.heading_deg.unwrap_or(0.0).to_le_bytes());
    put(bytes, 68, sighting.speed_mps.unwrap_or(0.0).to_le_bytes());
    put(bytes, 72, hash.to_le_bytes());
}

fn get_sighting(bytes: &[u8; LEN]) -> Option<Sighting> {
    let lat = f64::from_le_bytes(get(bytes, 16));
    let lon = f64::from_le_bytes(get(bytes, 24));
    Some(Sighting {
        position: Position::new(lat, lon).ok()?,
        event_time_ms: i64::from_le_bytes(get(bytes, 32)),
        receive_time_ms: i64::from_le_bytes(get(bytes, 40)),
        receive_seq: u64::from_le_bytes(get(bytes, 48)),
        seq: has(bytes, HAS_SEQ).then(|| u64::from_le_bytes(get(bytes, 56))),
        speed_mps: has(bytes, HAS_SPEED).then(|| f32::from_le_bytes(get(bytes, 68))),
        heading_deg: has(bytes, HAS_HEADING).then(|| f32::from_le_bytes(get(bytes, 64))),
        emergency: has(bytes, EMERGENCY),
        own_time: has(bytes, OWN_TIME),
        unsure: has(bytes, UNSURE),
    })
}

fn has(bytes: &[u8; LEN], flag: u8) -> bool {
    bytes[5] & flag != 0
}

#[inline]
fn flags(sighting: &Sighting) -> u8 {
    flag_if(sighting.seq.is_some(), HAS_SEQ)
        | flag_if(sighting.speed_mps.is_some(), HAS_SPEED)
        | flag_if(sighting.heading_deg.is_some(), HAS_HEADING)
        | flag_if(sighting.emergency, EMERGENCY)
        | flag_if(sighting.own_time, OWN_TIME)
        | flag_if(sighting.unsure, UNSURE)
}

#[inline]
fn flag_if(set: bool, flag: u8) -> u8 {
    if set { flag } else { 0 }
}

fn put_key(bytes: &mut [u8; LEN], kind: u8, order: OrderNumber, slot: u32, key: Key<'_>) {
    bytes[4] = kind;
    put(bytes, 8, slot.to_le_bytes());
    put(bytes, 12, order.low().to_le_bytes());
    let id = match &key {
        Key::Uuid(id) => {
            bytes[5] = UUID;
            &id[..]
        }
        Key::Text(text) => text.as_bytes(),
    };
    bytes[6] = id.len() as u8;
    bytes[16..16 + id.len()].copy_from_slice(id);
}

fn get_key(bytes: &[u8; LEN]) -> Option<Key<'_>> {
    key(bytes[16..].get(..usize::from(bytes[6]))?, bytes[5] & UUID != 0)
}

/// Returns the key that was written as `id`.
pub(crate) fn key(id: &[u8], uuid: bool) -> Option<Key<'_>> {
    if uuid { Some(Key::Uuid(id.try_into().ok()?)) } else { Some(Key::Text(str::from_utf8(id).ok()?)) }
}

#[inline]
fn put<const N: usize>(bytes: &mut [u8; LEN], at: usize, value: [u8; N]) {
    bytes[at..at + N].copy_from_slice(&value);
}

fn get<const N: usize>(bytes: &[u8; LEN], at: usize) -> [u8; N] {
    bytes[at..at + N].try_into().expect("every field lies within a record")
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: OrderNumber = OrderNumber((7 << 32) - 3);

    fn sighting() -> Sighting {
        Sighting {
            position: Position::new(-90.0, 180.0).unwrap(),
            event_time_ms: -1,
            receive_time_ms: i64::MAX,
            receive_seq: u64::MAX,
            seq: Some(0),
            speed_mps: Some(12.5),
            heading_deg: None,
            emergency: true,
            own_time: true,
            unsure: false,
        }
    }

    fn check(record: Record<'_>) {
        let mut bytes = Vec::new();
        encode(&record, 7, &mut bytes);
        let bytes: &mut [u8; LEN] = bytes.as_mut_slice().try_into().unwrap();
        assert_eq!(decode(bytes, 7, FIRST), Some(record));
        assert_eq!(decode(bytes, 8, FIRST), None, "a record is only itself in its own place");
        for bit in 0..LEN * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode(bytes, 7, FIRST), None, "bit {bit} was flipped");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }

    #[test]
    fn reads_back_what_it_wrote_and_nothing_else() {
        let longest = "å".repeat(32);
        let order = OrderNumber(FIRST.0 + 9);
        let marks = Marks::default();
        check(Record::Position { order, slot: u32::MAX, hash: 1 << 63, sighting: sighting(), marks });
        let late = Marks { late: true, restarts: true, continues: true };
        check(Record::Position { order, slot: 5, hash: 1, sighting: sighting(), marks: late });
        let count = Count::of_parts(u64::MAX, 1, 1 << 30);
        check(Record::Count { slot: 5, hash: 1 << 63, count, begins: false });
        check(Record::Count { slot: 5, hash: 1, count: Count::NONE, begins: true });
        let bare =
            Sighting { seq: None, speed_mps: None, heading_deg: Some(359.9), emergency: false, ..sighting() };
        let bare = Sighting { own_time: false, ..bare };
        let bare = Sighting { unsure: true, ..bare };
        check(Record::Position { order: FIRST, slot: 0, hash: 0, sighting: bare, marks });
        check(Record::Define { order, slot: 3, key: Key::Uuid([7; 16]) });
        check(Record::Define { order, slot: 3, key: Key::Text(&longest) });
        check(Record::Remove { order, slot: 4, key: Key::Text("x") });
        check(Record::Synced { upto: 1 << 40 });
        check(Record::Void);
    }

    #[test]
    fn takes_zeros_for_no_record() {
        for number in [0, 1, u64::from(u32::MAX), u64::MAX] {
            assert_eq!(decode(&[0; LEN], number, FIRST), None);
        }
    }
}
