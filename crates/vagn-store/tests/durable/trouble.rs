//! Failures that pass: a partition that goes on after one keeps all that it answered for.

use crate::support::*;
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
