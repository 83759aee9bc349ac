//! Order numbers as the records keep them.

use super::LogPosition;
use super::reader::LogReader;
use super::record::Record;
use super::stamps::Stamps;
use super::writer::LogWriter;
use crate::disk::Disk;
use crate::disk::faulty::{FaultyDisk, Loss};
use crate::manifest::SetId;
use crate::manifest::partition::{PartitionManifest, Place};
use crate::order::SPAN;
use crate::syncer::Shared;
use crate::{Key, OrderNumber, Partition, Settings, Sighting, Updates};
use std::path::Path;
use std::sync::Arc;
use vagn_wire::Position;

const DIR: &str = "p";

fn open(disk: &FaultyDisk, now_ms: i64) -> Partition {
    let settings = Settings { segment_bytes: 8 * 80, free_floor_bytes: 0, ..Settings::default() };
    Partition::open(Arc::new(disk.clone()), Path::new(DIR), 0, settings, now_ms, &|_| {}).unwrap().0
}

/// Stores a position of each of `vehicles` and gives the order number of the first.
fn write(partition: &mut Partition, vehicles: &[&str], time_ms: i64) -> OrderNumber {
    let mut updates = Updates::new();
    for vehicle in vehicles {
        let key = Key::Text(vehicle);
        let sighting = Sighting {
            position: Position::new(1.0, 2.0).unwrap(),
            event_time_ms: time_ms,
            receive_time_ms: time_ms,
            receive_seq: time_ms as u64,
            seq: None,
            speed_mps: None,
            heading_deg: None,
            emergency: false,
            own_time: false,
            unsure: false,
        };
        updates.push(key, key.hash(), sighting);
    }
    let written = partition.write(&updates, &mut Vec::new()).unwrap();
    assert_eq!(written.stored, vehicles.len());
    OrderNumber(written.end.0 - vehicles.len() as u64)
}

/// The numbers of all changes in the log.
fn changes(disk: &FaultyDisk) -> Vec<OrderNumber> {
    let log = LogReader { disk, dir: Path::new(DIR), partition: 0 };
    let mut changes = Vec::new();
    let mut note = |_, record: super::record::Record<'_>| changes.extend(record.change());
    log.read(LogPosition::default(), 0, &mut note).unwrap();
    changes
}

#[test]
fn every_change_keeps_its_number_over_restarts() {
    let disk = FaultyDisk::new();
    let mut told = Vec::new();
    for run in 0..4 {
        let mut partition = open(&disk, run * 1_000);
        for round in 0..6 {
            let first = write(&mut partition, &["a", "b", "c"], run * 10 + round);
            told.extend((first.0..first.0 + 3).map(OrderNumber));
            partition.syncer().sync().unwrap();
            assert!(partition.delete(Key::Text("b")).unwrap().is_some());
            told.push(OrderNumber(first.0 + 3));
        }
        assert_eq!(partition.close().unwrap(), told.last().unwrap().next());
    }
    assert!(told.is_sorted_by(|before, after| before < after));
    assert_eq!(changes(&disk), told);
}

#[test]
fn numbers_lost_with_the_power_are_not_given_again_even_if_the_clock_stands_still() {
    let mut disk = FaultyDisk::new();
    let mut highest = OrderNumber(0);
    for run in 0..6 {
        let mut partition = open(&disk, 0);
        for round in 0..5 {
            let first = write(&mut partition, &["a", "b"], run * 10 + round);
            assert!(first > highest, "{first:?} was given before: {highest:?}");
            highest = OrderNumber(first.0 + 1);
        }
        disk = disk.restart(Loss::Unsynced);
    }
    assert_eq!(changes(&disk), [], "nothing was ever synced");
}

#[test]
fn numbers_begin_with_the_time() {
    let now_ms = 1_800_000_000_000;
    let mut partition = open(&FaultyDisk::new(), now_ms);
    assert_eq!(write(&mut partition, &["a"], 1), OrderNumber(1_800_000_000_000_000_000));
}

#[test]
fn numbers_of_writes_that_failed_do_not_wrap_around_in_a_segment() {
    let disk = FaultyDisk::new();
    disk.create_dir(Path::new(DIR)).unwrap();
    let place = Place { number: 1, set: SetId::default(), partition: 0, partitions: 1 };
    let manifest = PartitionManifest::new(place, true);
    let shared = Arc::new(Shared::new(Arc::new(disk.clone()), DIR.into(), manifest));
    let (begin, first) = (LogPosition::default(), OrderNumber(5));
    let mut log = LogWriter::start(shared, 1 << 20, Vec::new(), begin, first, Stamps::NOTHING).unwrap();
    let remove = |order| Record::Remove { order, slot: 1, key: Key::Text("a") };
    // As if so many writes before had found no room: the last number that the segment can keep.
    disk.fail_next("append", std::io::ErrorKind::StorageFull);
    log.push(&remove(OrderNumber(first.0 + SPAN - 1)));
    log.commit().unwrap_err();
    let next = log.next_order();
    log.push(&remove(next));
    log.commit().unwrap();
    assert_eq!(changes(&disk), [next]);
}
