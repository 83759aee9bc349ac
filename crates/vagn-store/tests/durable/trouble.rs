//! Failures that pass: a partition that goes on after one keeps all that it answered for.

use crate::support::*;
use std::io::ErrorKind;
use vagn_store::Partition;
use vagn_store::disk::faulty::{Fault, FaultyDisk, Loss};
use vagn_store::{Health, StoreError};

#[test]
fn a_write_without_memory_leaves_nothing_in_the_way_of_the_next() {
    for bytes in [0, 1, 79, 80, 200] {
        let disk = FaultyDisk::new();
        let (mut partition, _) = open(&disk, small()).unwrap();
        let mut truth = Truth::new();
        write(&mut partition, &mut truth, &[(1, 1)]).unwrap();
        disk.fail_at(disk.operations(), Fault::Short { bytes, errno: libc::ENOMEM });
        assert!(write(&mut partition, &mut truth, &[(1, 2), (2, 3), (3, 4)]).is_err());
        for n in 5..=60 {
            write(&mut partition, &mut truth, &[((n % 9) as u32, n)]).unwrap();
        }
        let promised = partition.syncer().sync().unwrap();
        let (left, recovery) = open(&disk.restart(Loss::Unsynced), small()).unwrap();
        assert!(recovery.end >= promised, "{bytes}: {:?} is left of {promised:?}", recovery.end);
        check_content(&left, &truth.model);
    }
}

#[test]
fn a_write_without_memory_whose_rest_stays_stops_the_partition() {
    let disk = FaultyDisk::new();
    let (mut partition, _) = open(&disk, small()).unwrap();
    disk.fail_at(disk.operations(), Fault::Short { bytes: 100, errno: libc::ENOMEM });
    disk.fail_next_with_errno("truncate", libc::ENOMEM, 1);
    assert!(write(&mut partition, &mut Truth::new(), &[(1, 1), (2, 2)]).is_err());
    assert!(matches!(partition.health(), Health::Failed(_)), "{:?}", partition.health());
}

#[test]
fn a_sync_without_memory_is_never_tried_again() {
    let disk = FaultyDisk::new();
    let (mut partition, _) = open(&disk, small()).unwrap();
    write(&mut partition, &mut Truth::new(), &[(1, 1)]).unwrap();
    disk.fail_next_with_errno("sync", libc::ENOMEM, 1);
    let syncer = partition.syncer();
    assert!(matches!(syncer.sync(), Err(StoreError::Io { .. })));
    // The disk reports such an error once, so that the next sync would succeed without what was lost.
    assert!(matches!(syncer.sync(), Err(StoreError::Failed { .. })));
    assert!(matches!(partition.health(), Health::Failed(_)), "{:?}", partition.health());
}

/// Writes until the next batch begins a segment.
fn fill_segment(partition: &mut Partition, truth: &mut Truth, disk: &FaultyDisk) -> u64 {
    for n in 1..=100 {
        // The last of those that fit, so that one more does not.
        if size(disk, files(disk, ".log").last().unwrap()) + 80 > small().segment_bytes {
            return n;
        }
        write(partition, truth, &[(1, n)]).unwrap();
    }
    panic!("no segment is filled");
}

#[test]
fn a_segment_for_whose_header_there_was_no_room_is_no_damage_when_its_name_is_back() {
    for removable in [true, false] {
        let disk = FaultyDisk::new();
        let (mut partition, _) = open(&disk, small()).unwrap();
        let mut truth = Truth::new();
        let n = fill_segment(&mut partition, &mut truth, &disk);
        partition.syncer().sync().unwrap();
        let before = files(&disk, ".log");
        disk.fail_at(disk.operations() + 1, Fault::Short { bytes: 40, errno: libc::ENOSPC });
        if !removable {
            disk.fail_next("remove", ErrorKind::Other);
        }
        write(&mut partition, &mut truth, &[(2, n), (3, n + 1)]).unwrap();
        assert_eq!(files(&disk, ".log").len(), before.len() + usize::from(!removable));
        if !removable {
            // Begins the next one under another name, so that nothing replaces the file that stayed.
            write(&mut partition, &mut truth, &[(4, n + 2)]).unwrap();
        }
        let mut came_back = 0;
        for seed in 0..40 {
            let left = disk.restart(Loss::Some(seed));
            came_back += usize::from(files(&left, ".log").iter().any(|file| size(&left, file) < 80));
            open(&left, small()).unwrap();
            let (again, _) = open(&left, small()).unwrap();
            again.close().unwrap();
        }
        assert!(came_back > 0, "a power cut undoes the removal");
        let promised = partition.syncer().sync().unwrap();
        for seed in 0..40 {
            let left = disk.restart(Loss::Some(seed));
            let unbegun = files(&left, ".log").iter().filter(|file| size(&left, file) < 80).count();
            assert!(!removable || unbegun == 0, "what is durable stands beside no such name");
            let (partition, recovery) = open(&left, small()).unwrap();
            assert!(recovery.end >= promised);
            check_content(&partition, &truth.model);
        }
    }
}

#[test]
fn a_disk_that_fails_at_the_manifest_stops_the_partition() {
    for errno in [libc::EIO, libc::EROFS] {
        let disk = FaultyDisk::new();
        let (mut partition, _) = open(&disk, small()).unwrap();
        write(&mut partition, &mut Truth::new(), &[(1, 1)]).unwrap();
        // The first sync names the segment, and the manifest is put in place by this.
        disk.fail_next_with_errno("rename", errno, 1);
        assert!(partition.syncer().sync().is_err());
        let Health::Failed(reason) = partition.health() else { panic!("{:?}", partition.health()) };
        assert!(reason.contains("manifest") && reason.contains("restart the service"), "{reason}");
    }
}

#[test]
fn old_snapshots_go_while_the_manifest_cannot_be_replaced() {
    let disk = FaultyDisk::new();
    let (mut partition, _) = open(&disk, small()).unwrap();
    let mut truth = Truth::new();
    for n in 1.. {
        write(&mut partition, &mut truth, &[((n % 9) as u32, n)]).unwrap();
        // A snapshot and segments are given up, and the syncer has yet to remove them.
        if partition.housekeep(0).unwrap().removed > 0 && files(&disk, ".snap").len() > 2 {
            break;
        }
        partition.syncer().sync().unwrap();
    }
    disk.fail_next_with_errno("rename", libc::EDQUOT, u32::MAX);
    for _ in 0..3 {
        assert!(partition.syncer().sync().is_err());
    }
    assert_eq!(files(&disk, ".snap").len(), 2);
    assert!(matches!(partition.health(), Health::Trying(why) if why.contains("manifest")));
    disk.fail_next_with_errno("rename", 0, 0);
    settle(&mut partition, 0);
    check_content(&open(&disk.restart(Loss::Unsynced), small()).unwrap().0, &truth.model);
}
