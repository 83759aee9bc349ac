//! A disk without room: positions fail until there is some, and nothing is lost by it.

use crate::support::*;
use vagn_store::disk::faulty::{FaultyDisk, Loss};
use vagn_store::{AfterFailedWrite, Fate, Health, Partition, Settings, StoreError, Updates};

#[test]
fn a_full_disk_fails_positions_until_there_is_room_again() {
    let disk = FaultyDisk::new();
    let (mut partition, _) = open(&disk, small()).unwrap();
    let mut truth = Truth::new();
    write(&mut partition, &mut truth, &[(1, 1), (2, 2)]).unwrap();
    // Room for a part of the next record.
    disk.set_capacity(5 * 80 + 30);
    let mut updates = Updates::new();
    push(&mut updates, &id(1), sighting(3));
    push(&mut updates, &id(5), sighting(4));
    let mut fates = Vec::new();
    for _ in 0..3 {
        let err = partition.write(&updates, &mut fates).unwrap_err();
        assert!(matches!(err, StoreError::Full { .. }), "{err}");
        assert_eq!(fates, [Fate::Failed; 2]);
        assert_eq!(partition.health(), Health::Full);
        check_content(&partition, &truth.model);
    }
    disk.set_capacity(u64::MAX);
    write(&mut partition, &mut truth, &[(1, 3), (5, 4)]).unwrap();
    assert_eq!(partition.health(), Health::Well);
    partition.close().unwrap();
    let (partition, recovery) = open(&disk.restart(Loss::Unsynced), small()).unwrap();
    check_content(&partition, &truth.model);
    assert_eq!(recovery.cut, None, "what a failed write left was taken away");
}

#[test]
fn below_the_floor_positions_fail_and_deletions_do_not() {
    let disk = FaultyDisk::new();
    let settings = Settings { free_floor_bytes: 10_000, ..small() };
    let (mut partition, _) = open(&disk, settings).unwrap();
    let mut truth = Truth::new();
    write(&mut partition, &mut truth, &[(1, 1), (2, 2)]).unwrap();
    disk.set_capacity(9_000);
    partition.housekeep(0).unwrap();
    assert_eq!(partition.health(), Health::Full);
    let refused = write(&mut partition, &mut truth, &[(1, 3)]);
    assert!(matches!(refused, Err(StoreError::Full { floor_bytes: 10_000, .. })));
    delete(&mut partition, &mut truth, 2).unwrap();
    check_content(&partition, &truth.model);
    disk.set_capacity(11_000);
    write(&mut partition, &mut truth, &[(1, 3)]).unwrap();
    assert_eq!(partition.health(), Health::Well);
}

#[test]
fn a_snapshot_without_room_is_given_up_and_tried_again() {
    let disk = FaultyDisk::new();
    let (mut partition, _) = open(&disk, small()).unwrap();
    let mut truth = Truth::new();
    for n in 1..=60 {
        write(&mut partition, &mut truth, &[((n % 20) as u32, n)]).unwrap();
    }
    let used = files(&disk, "").iter().map(|file| size(&disk, file)).sum::<u64>();
    disk.set_capacity(used + 800);
    settle(&mut partition, 0);
    assert!(files(&disk, ".snap").is_empty() && files(&disk, ".tmp").is_empty());
    disk.set_capacity(u64::MAX);
    settle(&mut partition, 0);
    assert_eq!(files(&disk, ".snap").len(), 1);
    write(&mut partition, &mut truth, &[(1, 100)]).unwrap();
    drop(partition);
    check_content(&open(&disk, small()).unwrap().0, &truth.model);
}

fn follower(settings: Settings) -> Settings {
    Settings { after_failed_write: AfterFailedWrite::Stop, ..settings }
}

/// Whatever is asked of the partition fails, and the error names what failed first.
#[track_caller]
fn check_stopped(partition: &mut Partition, truth: &Truth, cause: &str) {
    let refused = |err: Option<StoreError>| match err {
        Some(StoreError::Failed { partition: 0, reason }) => assert!(reason.contains(cause), "{reason}"),
        other => panic!("{other:?}"),
    };
    for n in 500..503 {
        refused(write(partition, &mut truth.clone(), &[(1, n)]).err());
        refused(delete(partition, &mut truth.clone(), 2).err());
    }
    refused(partition.housekeep(0).err());
    assert!(matches!(partition.health(), Health::Failed(reason) if reason.contains(cause)));
    check_content(partition, &truth.model);
}

#[test]
fn a_follower_stops_at_the_first_write_that_fails_until_it_is_opened_again() {
    for stops in ["no room in the file", "too little space before the write"] {
        let disk = FaultyDisk::new();
        let floor = if stops == "no room in the file" { 0 } else { 10_000 };
        let settings = follower(Settings { free_floor_bytes: floor, ..small() });
        let (mut partition, _) = open(&disk, settings).unwrap();
        let mut truth = Truth::new();
        write(&mut partition, &mut truth, &[(1, 1), (2, 2)]).unwrap();
        disk.set_capacity(5 * 80 + 30);
        partition.housekeep(0).unwrap();
        let first = write(&mut partition, &mut truth.clone(), &[(1, 3)]);
        assert!(matches!(first, Err(StoreError::Full { .. })), "{stops}: {first:?}");
        disk.set_capacity(u64::MAX);
        check_stopped(&mut partition, &truth, "are to stay free");
        drop(partition);
        let (mut partition, _) = open(&disk, settings).unwrap();
        check_content(&partition, &truth.model);
        write(&mut partition, &mut truth, &[(1, 3)]).unwrap();
        assert_eq!(partition.health(), Health::Well);
    }
}

#[test]
fn a_deletion_that_fails_stops_a_follower_too() {
    let disk = FaultyDisk::new();
    let (mut partition, _) = open(&disk, follower(small())).unwrap();
    let mut truth = Truth::new();
    write(&mut partition, &mut truth, &[(1, 1), (2, 2)]).unwrap();
    disk.fail_next("append", std::io::ErrorKind::StorageFull);
    assert!(matches!(delete(&mut partition, &mut truth.clone(), 2), Err(StoreError::Full { .. })));
    check_stopped(&mut partition, &truth, "are to stay free");
}

#[test]
fn a_snapshot_without_room_does_not_stop_a_follower() {
    let disk = FaultyDisk::new();
    let (mut partition, _) = open(&disk, follower(small())).unwrap();
    let mut truth = Truth::new();
    for n in 1..=60 {
        write(&mut partition, &mut truth, &[((n % 20) as u32, n)]).unwrap();
    }
    let used = files(&disk, "").iter().map(|file| size(&disk, file)).sum::<u64>();
    disk.set_capacity(used + 800);
    settle(&mut partition, 0);
    disk.set_capacity(u64::MAX);
    write(&mut partition, &mut truth, &[(1, 100)]).unwrap();
}
