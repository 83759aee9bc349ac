//! What a sync promises, and what becomes of one that fails.

use crate::support::*;
use std::io::ErrorKind;
use std::sync::atomic::{AtomicBool, Ordering};
use vagn_store::disk::faulty::{FaultyDisk, Loss};
use vagn_store::{Fate, Health, StoreError, Updates};

fn updates() -> Updates {
    let mut updates = Updates::new();
    push(&mut updates, &id(1), sighting(1_000));
    updates
}

fn check_stopped(disk: &FaultyDisk, fail: &'static str) {
    let (mut partition, _) = open(disk, small()).unwrap();
    let mut truth = Truth::new();
    write(&mut partition, &mut truth, &[(1, 1), (2, 2)]).unwrap();
    let syncer = partition.syncer();
    disk.fail_next(fail, ErrorKind::Other);
    assert!(matches!(syncer.sync(), Err(StoreError::Io { .. })));
    let Health::Failed(reason) = partition.health() else { panic!("{:?}", partition.health()) };
    assert!(reason.contains("sync"), "{reason}");
    assert!(matches!(syncer.sync(), Err(StoreError::Failed { partition: 0, .. })));
    let mut fates = Vec::new();
    assert!(matches!(partition.write(&updates(), &mut fates), Err(StoreError::Failed { .. })));
    assert_eq!(fates, [Fate::Failed]);
    assert!(partition.delete(vagn_store::Key::Text("bus 1")).is_err() && partition.housekeep(0).is_err());
    check_content(&partition, &truth.model);
    assert!(partition.close().is_err());
}

#[test]
fn a_failed_sync_stops_the_partition_for_good() {
    check_stopped(&FaultyDisk::new(), "sync");
    check_stopped(&FaultyDisk::new(), "sync_dir");
}

#[test]
fn a_failed_write_stops_the_partition_and_is_never_shown() {
    let disk = FaultyDisk::new();
    let (mut partition, _) = open(&disk, small()).unwrap();
    let mut truth = Truth::new();
    write(&mut partition, &mut truth, &[(1, 1), (2, 2)]).unwrap();
    disk.fail_next("append", ErrorKind::Other);
    let mut fates = Vec::new();
    assert!(partition.write(&updates(), &mut fates).is_err());
    assert_eq!(fates, [Fate::Failed]);
    check_content(&partition, &truth.model);
    assert!(matches!(partition.write(&updates(), &mut fates), Err(StoreError::Failed { .. })));
    drop(partition);
    let (mut partition, _) = open(&disk, small()).unwrap();
    check_content(&partition, &truth.model);
    write(&mut partition, &mut truth, &[(1, 1_000)]).unwrap();
}

#[test]
fn a_new_segment_does_not_hide_that_the_old_one_is_due() {
    let disk = FaultyDisk::new();
    let (mut partition, _) = open(&disk, small()).unwrap();
    let mut truth = Truth::new();
    for n in 1..=100 {
        write(&mut partition, &mut truth, &[(n as u32 % 3, n)]).unwrap();
    }
    assert!(files(&disk, ".log").len() > 4);
    let syncer = partition.syncer();
    assert_eq!(syncer.sync().unwrap(), syncer.written());
    assert_eq!(syncer.durable(), syncer.written());
    check_content(&open(&disk.restart(Loss::Unsynced), small()).unwrap().0, &truth.model);
}

#[test]
fn a_sync_with_nothing_due_asks_the_disk_for_nothing() {
    let disk = FaultyDisk::new();
    let (mut partition, _) = open(&disk, small()).unwrap();
    write(&mut partition, &mut Truth::new(), &[(1, 1)]).unwrap();
    partition.syncer().sync().unwrap();
    let before = disk.operations();
    partition.syncer().sync().unwrap();
    partition.syncer().tidy().unwrap();
    assert_eq!(disk.operations(), before);
}

#[test]
fn a_syncer_of_a_partition_that_is_gone_touches_nothing() {
    let disk = FaultyDisk::new();
    let (partition, _) = open(&disk, small()).unwrap();
    let syncer = partition.syncer();
    drop(partition);
    let before = disk.operations();
    assert!(syncer.sync().is_err() && syncer.tidy().is_err());
    assert_eq!(disk.operations(), before);
}

#[test]
fn a_sync_beside_the_writer_promises_only_what_a_power_cut_leaves() {
    let disk = FaultyDisk::new();
    let (mut partition, _) = open(&disk, small()).unwrap();
    let syncer = partition.syncer();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut truth = Truth::new();
            for n in 1.. {
                if over.load(Ordering::Relaxed) {
                    break;
                }
                write(&mut partition, &mut truth, &[(n as u32 % 3, n)]).unwrap();
            }
        });
        for _ in 0..40 {
            let promised = syncer.sync_log().unwrap();
            let (_, recovery) = open(&disk.restart(Loss::Unsynced), small()).unwrap();
            assert!(recovery.end >= promised, "{:?} is left of {promised:?}", recovery.end);
        }
        over.store(true, Ordering::Relaxed);
    });
}
