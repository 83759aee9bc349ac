//! A disk without room: positions fail until there is some, and nothing is lost by it.

use crate::support::*;
use vagn_store::disk::faulty::{FaultyDisk, Loss};
use vagn_store::{Fate, Health, Settings, StoreError, Updates};

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
    disk.set_capacity(used + 200);
    settle(&mut partition, 0);
    assert!(files(&disk, ".snap").is_empty() && files(&disk, ".tmp").is_empty());
    disk.set_capacity(u64::MAX);
    settle(&mut partition, 0);
    assert_eq!(files(&disk, ".snap").len(), 1);
    write(&mut partition, &mut truth, &[(1, 100)]).unwrap();
    drop(partition);
    check_content(&open(&disk, small()).unwrap().0, &truth.model);
}
