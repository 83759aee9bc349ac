//! A segment with any content: it is read as far as it is whole, or refused with a reason.

use std::fmt::Write;
use std::path::Path;

use vagn_fuzz::{Meter, Target};

use super::LogPosition;
use super::reader::{End, LogReader};
use super::record::{self, LEN, Record, encode};
use super::segment::{Segment, SegmentHeader};
use super::stamps::Stamps;
use crate::disk::Disk;
use crate::disk::faulty::FaultyDisk;
use crate::error::StoreError;
use crate::{Key, OrderNumber, Sighting};

/// Shows all targets of the crate what an input takes.
#[global_allocator]
static METER: Meter = Meter;

const DIR: &str = "p";
const PARTITION: u32 = 3;

fn body(bytes: &[u8]) {
    check(bytes);
    // With checksums that fit, as no accident leaves them: what they protect is looked at, too.
    check(&resealed(bytes));
}

fn check(bytes: &[u8]) {
    let mut found = Vec::new();
    let result = read(bytes, &mut |index, record| {
        assert_eq!(index, found.len() as u64, "one after another");
        found.push(shown(&record));
        assert!(reads_alike(&record, index), "{record:?} is read as it was written");
    });
    assert!(found.len() <= (bytes.len() / LEN).saturating_sub(1), "{} records", found.len());
    let Ok(end) = result else { return };
    assert_eq!(end.position.record, found.len() as u64);
    let Some(cut) = end.cut else { return };
    assert_eq!(cut.offset + cut.bytes, bytes.len() as u64, "kept and cut");
    // What is left after the cut says the same, without one.
    let kept = &bytes[..cut.offset as usize];
    let mut again = Vec::new();
    if cut.offset > 0 {
        let end = read(kept, &mut |_, record| again.push(shown(&record)));
        assert!(end.is_ok_and(|end| end.cut.is_none()) && again == found);
    }
}

fn read(bytes: &[u8], visit: &mut dyn FnMut(u64, Record<'_>)) -> Result<End, StoreError> {
    let disk = FaultyDisk::new();
    let start = LogPosition::default();
    let path = Segment::new(Path::new(DIR), start).path;
    disk.create_dir(Path::new(DIR)).expect("the disk works");
    disk.create(&path).and_then(|file| file.append(bytes)).expect("the disk works");
    LogReader { disk: &disk, dir: Path::new(DIR), partition: PARTITION }.read(start, 0, visit)
}

/// A text, for a number that is none is not equal to itself.
fn shown(record: &Record<'_>) -> String {
    let mut text = String::new();
    write!(text, "{record:?}").expect("a string takes all");
    text
}

fn reads_alike(record: &Record<'_>, index: u64) -> bool {
    let mut bytes = Vec::new();
    encode(record, index, &mut bytes);
    let first = OrderNumber::default();
    let bytes = bytes.first_chunk().expect("a record has its length");
    record::decode(bytes, index, first).is_some_and(|again| shown(&again) == shown(record))
}

/// The same, with checksums that fit.
fn resealed(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for (at, unit) in bytes.as_chunks_mut::<LEN>().0.iter_mut().enumerate() {
        if at == 0 {
            let sum = crc32c::crc32c(&unit[..LEN - 4]);
            unit[LEN - 4..].copy_from_slice(&sum.to_le_bytes());
        } else {
            let sum = record::checksum(unit, at as u64 - 1);
            unit[..4].copy_from_slice(&sum.to_le_bytes());
        }
    }
    bytes
}

#[test]
fn any_segment_is_read_as_far_as_it_is_whole() {
    Target { crate_dir: env!("CARGO_MANIFEST_DIR"), name: "segment", words: &["VAGNLOG\n"], body }.check();
}

#[test]
fn the_corpus_of_segments_is_of_this_format() {
    let header = SegmentHeader {
        partition: PARTITION,
        start: LogPosition::default(),
        stamps: Stamps { receive_time_ms: 1_700_000_000_000, receive_seq: 7 },
        synced: 0,
    };
    let order = OrderNumber::default();
    let (bus, uuid) = (Key::Text("bus-7"), Key::Uuid([9; 16]));
    let position =
        |slot, hash, sighting| Record::Position { order, slot, hash, sighting, marks: Default::default() };
    let records = [
        Record::Define { order, slot: 0, key: bus },
        position(0, bus.hash(), sighting()),
        Record::Define { order, slot: 1, key: uuid },
        position(1, uuid.hash(), Sighting { emergency: true, seq: None, heading_deg: None, ..sighting() }),
        Record::Synced { upto: 3 },
        Record::Remove { order, slot: 0, key: bus },
        Record::Void,
    ];
    let mut whole = header.encode().to_vec();
    records.iter().enumerate().for_each(|(at, record)| encode(record, at as u64, &mut whole));
    let torn = [&whole[..3 * LEN + 30], &[0; 200]].concat();
    let hole = [&whole[..3 * LEN], &[0; LEN], &whole[4 * LEN..]].concat();
    for (name, bytes) in
        [("header_only", &whole[..LEN]), ("every_kind_of_record", &whole), ("torn", &torn), ("hole", &hole)]
    {
        vagn_fuzz::keep(env!("CARGO_MANIFEST_DIR"), "segment", name, bytes);
    }
}

/// A sighting in which every field says something.
pub(crate) fn sighting() -> Sighting {
    Sighting {
        position: vagn_wire::Position::new(30.27, -97.74).expect("it is on the globe"),
        event_time_ms: 1_700_000_000_000,
        receive_time_ms: 1_700_000_000_250,
        receive_seq: 41,
        seq: Some(12),
        speed_mps: Some(13.5),
        heading_deg: Some(270.0),
        emergency: false,
        own_time: true,
        unsure: false,
    }
}
