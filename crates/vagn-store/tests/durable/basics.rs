//! Write, close, open, look.

use crate::support::*;
use vagn_store::disk::Disk;
use vagn_store::disk::faulty::{FaultyDisk, Loss};
use vagn_store::{Fate, OrderNumber, Updates};

#[test]
fn a_new_partition_is_empty() {
    let (partition, recovery) = open(&FaultyDisk::new(), small()).unwrap();
    assert_eq!((recovery.vehicles, recovery.records, recovery.end), (0, 0, OrderNumber(0)));
    assert_eq!((recovery.receive_time_ms, recovery.receive_seq), (i64::MIN, 0));
    check_content(&partition, &Model::new());
}

#[test]
fn what_was_written_is_there_after_a_restart() {
    let disk = FaultyDisk::new();
    let mut truth = Truth::new();
    let (mut partition, _) = open(&disk, small()).unwrap();
    write(&mut partition, &mut truth, &[(1, 1), (2, 2), (3, 3), (1, 4)]).unwrap();
    delete(&mut partition, &mut truth, 2).unwrap();
    delete(&mut partition, &mut truth, 9).unwrap();
    write(&mut partition, &mut truth, &[(4, 5)]).unwrap();
    check_content(&partition, &truth.model);
    drop(partition);
    let (partition, recovery) = open(&disk, small()).unwrap();
    check_content(&partition, &truth.model);
    assert_eq!((recovery.vehicles, recovery.receive_time_ms, recovery.receive_seq), (3, 1_005, 5));
}

#[test]
fn a_closed_partition_survives_a_power_cut() {
    let disk = FaultyDisk::new();
    let mut truth = Truth::new();
    let (mut partition, _) = open(&disk, small()).unwrap();
    for n in 1..100 {
        write(&mut partition, &mut truth, &[((n % 10) as u32, n)]).unwrap();
    }
    partition.close().unwrap();
    let (partition, recovery) = open(&disk.restart(Loss::Unsynced), small()).unwrap();
    check_content(&partition, &truth.model);
    assert_eq!(recovery.cut, None);
}

#[test]
fn only_what_is_written_costs_a_number() {
    let disk = FaultyDisk::new();
    let mut truth = Truth::new();
    let (mut partition, _) = open(&disk, small()).unwrap();
    let end = write(&mut partition, &mut truth, &[(1, 10)]).unwrap().end;
    let mut updates = Updates::new();
    push(&mut updates, &id(1), sighting(9));
    push(&mut updates, &id(1), sighting(10));
    let mut fates = vec![Fate::Shed];
    let written = partition.write(&updates, &mut fates).unwrap();
    assert_eq!(fates, [Fate::Stale, Fate::Duplicate]);
    // The late one is written, the repeated one is not.
    assert_eq!((written.end.0, written.stored), (end.0 + 1, 0));
}

#[test]
fn snapshots_make_a_restart_short_and_old_segments_go() {
    let disk = FaultyDisk::new();
    let mut truth = Truth::new();
    let (mut partition, _) = open(&disk, small()).unwrap();
    for n in 1..=1_000 {
        write(&mut partition, &mut truth, &[((n % 20) as u32, n)]).unwrap();
        partition.housekeep(0).unwrap();
        if n.is_multiple_of(10) {
            partition.syncer().sync().unwrap();
        }
    }
    assert!(files(&disk, ".log").len() <= 12, "{:?}", files(&disk, ".log"));
    assert_eq!(files(&disk, ".snap").len(), 2);
    assert!(disk.list(&dir()).unwrap().len() <= 15);
    drop(partition);
    let (partition, recovery) = open(&disk, small()).unwrap();
    assert!(recovery.snapshot.is_some() && recovery.records < 150, "{recovery:?}");
    check_content(&partition, &truth.model);
}
