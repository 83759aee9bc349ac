//! A snapshot with any content: it is read as a whole, or refused with a reason and salvaged as far as it goes.

use std::path::Path;

use vagn_fuzz::Target;

use super::block::{
    HEADER, PREFIX, Prefix, SnapshotHeader, VERSION, WITHOUT_DEPARTED, each_vehicle, put_departed,
    put_vehicle,
};
use super::reader::SnapshotReader;
use super::{Footer, Kept, Snapshot, first_departed};
use crate::disk::Disk;
use crate::disk::faulty::FaultyDisk;
use crate::index::{DepartedCount, Held};
use crate::judge::Count;
use crate::log::LogPosition;
use crate::log::stamps::Stamps;
use crate::{Key, OrderNumber, Sighting};

const DIR: &str = "p";
const PARTITION: u32 = 3;
const POSITION: LogPosition = LogPosition { record: 12, order: OrderNumber(345) };

fn body(bytes: &[u8]) {
    check(bytes);
    // With checksums that fit, as no accident leaves them: what they protect is looked at, too.
    check(&resealed(bytes));
}

fn check(bytes: &[u8]) {
    let disk = FaultyDisk::new();
    let snapshot = Snapshot::new(Path::new(DIR), POSITION);
    disk.create_dir(Path::new(DIR)).expect("the disk works");
    disk.create(&snapshot.path).and_then(|file| file.append(bytes)).expect("the disk works");
    let Ok(reader) = SnapshotReader::open(&disk, &snapshot, PARTITION) else { return };
    let mut vehicles = Vec::new();
    let footer = reader.read(&mut |kept| vehicles.push(reread(&kept)));
    let mut salvaged = Vec::new();
    let end = reader.salvage(&mut |kept| salvaged.push(reread(&kept))).expect("the disk works");
    if let Ok(footer) = footer {
        // A block may name another number of vehicles than it has; only the sum is checked, and none is lost.
        assert_eq!((end, &salvaged), (Some(footer), &vehicles));
    }
    assert!(salvaged.starts_with(&vehicles), "what was read before the damage is salvaged");
}

/// Checks that a vehicle, or the count of one that left, is read as it was written, and shows it.
fn reread(kept: &Kept<'_>) -> String {
    let mut bytes = Vec::new();
    match kept {
        Kept::Vehicle(held) => {
            let shown = format!("{held:?}");
            put_vehicle(held, &mut bytes);
            let whole = each_vehicle(&bytes, &mut |again| assert_eq!(format!("{again:?}"), shown));
            assert!(whole, "{shown}");
            shown
        }
        Kept::Departed(departed) => {
            put_departed(departed, &mut bytes);
            assert_eq!(first_departed(&bytes), Some((*departed, &[][..])));
            format!("{departed:?}")
        }
    }
}

/// The same, with checksums that fit.
fn resealed(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let Some(header) = bytes.first_chunk_mut::<HEADER>() else { return bytes };
    let sum = crc32c::crc32c(&header[..HEADER - 4]);
    header[HEADER - 4..].copy_from_slice(&sum.to_le_bytes());
    let mut at = HEADER;
    for block in 0.. {
        let Some(prefix) = bytes[at..].first_chunk::<PREFIX>().map(Prefix::decode) else { break };
        let content = at + PREFIX..at + PREFIX + prefix.length as usize;
        let Some(inside) = bytes.get(content.clone()) else { break };
        let sealed = Prefix::of(block, prefix.count, inside).encode();
        bytes[at..at + PREFIX].copy_from_slice(&sealed);
        at = content.end;
    }
    bytes
}

#[test]
fn any_snapshot_is_read_whole_or_refused_and_salvaged() {
    Target { crate_dir: env!("CARGO_MANIFEST_DIR"), name: "snapshot", words: &["VAGNSNAP"], body }.check();
}

#[test]
fn the_corpus_of_snapshots_is_of_this_format() {
    let vehicle = |slot, key, count| Held { slot, key, sighting: sighting(), count };
    let count = Count::of_parts(900, 0b1011, 4);
    let first = [vehicle(0, Key::Text("bus-7"), Count::NONE), vehicle(1, Key::Uuid([9; 16]), count)];
    let second = [vehicle(4, Key::Text("a"), count)];
    let left = [
        DepartedCount { key_hash: 77, receive_seq: 6, count },
        DepartedCount { key_hash: 5, receive_seq: 7, count },
    ];
    let both = [&first[..], &second[..]];
    for (name, bytes) in [
        ("empty", file(VERSION, &[], &[])),
        ("one_block", file(VERSION, &[&first], &[])),
        ("two_blocks", file(VERSION, &both, &left)),
        ("format_3", file(WITHOUT_DEPARTED, &both, &[])),
    ] {
        vagn_fuzz::keep(env!("CARGO_MANIFEST_DIR"), "snapshot", name, &bytes);
    }
}

#[test]
fn a_snapshot_of_the_format_before_is_read_whole() {
    let held = Held { slot: 1, key: Key::Text("a"), sighting: sighting(), count: Count::of_parts(900, 1, 4) };
    let left = DepartedCount { key_hash: 77, receive_seq: 6, count: held.count };
    for (version, left) in [(WITHOUT_DEPARTED, &[][..]), (VERSION, &[][..]), (VERSION, &[left][..])] {
        let disk = FaultyDisk::new();
        let snapshot = Snapshot::new(Path::new(DIR), POSITION);
        disk.create_dir(Path::new(DIR)).unwrap();
        disk.create(&snapshot.path).unwrap().append(&file(version, &[&[held]], left)).unwrap();
        let reader = SnapshotReader::open(&disk, &snapshot, PARTITION).unwrap();
        let (mut vehicles, mut found) = (Vec::new(), Vec::new());
        let read = reader.read(&mut |kept| match kept {
            Kept::Vehicle(held) => vehicles.push(format!("{held:?}")),
            Kept::Departed(departed) => found.push(departed),
        });
        let footer = read.unwrap();
        assert_eq!((footer.vehicles, footer.departed), (1, left.len() as u64));
        assert_eq!((vehicles, &found[..]), (vec![format!("{held:?}")], left), "format {version}");
    }
}

fn file(version: u32, blocks: &[&[Held<'_>]], left: &[DepartedCount]) -> Vec<u8> {
    let header = SnapshotHeader { version, partition: PARTITION, position: POSITION, slot_end: 5 };
    let mut bytes = header.encode().to_vec();
    let mut put = |number: usize, count: u32, content: &[u8]| {
        bytes.extend(Prefix::of(number as u32, count, content).encode());
        bytes.extend_from_slice(content);
    };
    for (number, vehicles) in blocks.iter().enumerate() {
        let mut content = Vec::new();
        vehicles.iter().for_each(|held| put_vehicle(held, &mut content));
        put(number, vehicles.len() as u32, &content);
    }
    let mut end = blocks.len();
    if !left.is_empty() {
        let mut content = Vec::new();
        left.iter().for_each(|departed| put_departed(departed, &mut content));
        put(end, Prefix::count_of_departed(left.len() as u32), &content);
        end += 1;
    }
    let vehicles = blocks.iter().map(|block| block.len() as u64).sum();
    let stamps = Stamps { receive_time_ms: 1_700_000_000_000, receive_seq: 7 };
    let footer = Footer { complete_at: POSITION, vehicles, departed: left.len() as u64, stamps }.encode();
    put(end, 0, if version == WITHOUT_DEPARTED { &footer[..40] } else { &footer });
    bytes
}

fn sighting() -> Sighting {
    Sighting { heading_deg: None, emergency: true, ..crate::log::fuzz::sighting() }
}
