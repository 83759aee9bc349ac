//! What stays on the disk: the fleet, its ids, and history for as long as it is kept.

use crate::support::*;
use std::path::Path;
use std::sync::Arc;
use vagn_store::disk::faulty::FaultyDisk;
use vagn_store::disk::{Disk, RealDisk};
use vagn_store::{Partition, Settings, Sighting, Updates};

#[test]
fn ids_outlive_the_segments_that_named_them() {
    let disk = FaultyDisk::new();
    let (mut partition, _) = open(&disk, small()).unwrap();
    let mut truth = Truth::new();
    for vehicle in 0..30 {
        write(&mut partition, &mut truth, &[(vehicle, u64::from(vehicle))]).unwrap();
    }
    for n in 100..400 {
        write(&mut partition, &mut truth, &[((n % 3) as u32, n)]).unwrap();
        partition.housekeep(0).unwrap();
        partition.syncer().sync().unwrap();
    }
    assert!(first_record(&files(&disk, ".log")[0]) > 0);
    drop(partition);
    check_content(&open(&disk, small()).unwrap().0, &truth.model);
}

#[test]
fn history_stays_for_its_time_and_then_goes() {
    let disk = FaultyDisk::new();
    let settings = Settings { history_keep_ms: 10_000, ..small() };
    let (mut partition, _) = open(&disk, settings).unwrap();
    let mut truth = Truth::new();
    // Received at 1_000 + n.
    for n in 0..500 {
        write(&mut partition, &mut truth, &[((n % 3) as u32, n)]).unwrap();
        partition.housekeep(1_000 + n as i64).unwrap();
        if n.is_multiple_of(10) {
            partition.syncer().sync().unwrap();
        }
    }
    settle(&mut partition, 10_999);
    assert_eq!(first_record(&files(&disk, ".log")[0]), 0, "its records are not yet 10 s old");
    drop(partition);
    let (mut partition, _) = open(&disk, settings).unwrap();
    settle(&mut partition, 11_300);
    let oldest = files(&disk, ".log").swap_remove(0);
    let number = first_record(&oldest);
    // A tenth of the records are about syncs.
    assert!((250..=340).contains(&number), "{oldest:?}");
    settle(&mut partition, 12_000);
    assert!(files(&disk, ".log").len() <= 12);
}

#[test]
fn history_ages_on_after_a_clock_that_was_years_ahead_for_a_while() {
    let disk = FaultyDisk::new();
    let settings = Settings { history_keep_ms: 10_000, ..small() };
    let (mut partition, _) = open(&disk, settings).unwrap();
    let (mut batch, mut fates) = (Updates::new(), Vec::new());
    let ids: Vec<_> = (0..3).map(id).collect();
    for n in 0..500 {
        let right = sighting(n);
        let receive_time_ms = if (200..260).contains(&n) { i64::MAX / 2 } else { right.receive_time_ms };
        push(&mut batch, &ids[(n % 3) as usize], Sighting { receive_time_ms, ..right });
        partition.write(&batch, &mut fates).unwrap();
        batch.clear();
        partition.housekeep(1_000 + n as i64).unwrap();
        if n.is_multiple_of(10) {
            partition.syncer().sync().unwrap();
        }
    }
    settle(&mut partition, 10_999);
    assert_eq!(first_record(&files(&disk, ".log")[0]), 0, "its records are not yet 10 s old");
    drop(partition);
    let (mut partition, recovery) = open(&disk, settings).unwrap();
    assert_eq!((recovery.receive_time_ms, recovery.receive_seq), (1_499, 499));
    settle(&mut partition, 12_000);
    assert!(files(&disk, ".log").len() <= 12, "{:?}", files(&disk, ".log"));
}

/// 50 million with `VAGN_LONG=1`, else a tenth of it, as a disk that keeps no history.
#[test]
fn millions_of_updates_of_ten_thousand_vehicles_leave_less_than_100_mb() {
    let updates = if std::env::var_os("VAGN_LONG").is_some() { 50_000_000 } else { 5_000_000 };
    let temp = tempfile::tempdir().unwrap();
    let settings = Settings { history_keep_ms: 0, free_floor_bytes: 0, ..Settings::default() };
    let (mut partition, _) =
        Partition::open(Arc::new(RealDisk), temp.path(), 0, settings, 0, &|_| {}).unwrap();
    let mut most = 0;
    let mut batch = Updates::new();
    let mut fates = Vec::new();
    let ids: Vec<_> = (0..10_000).map(id).collect();
    for n in 0..updates {
        push(&mut batch, &ids[(n % 10_000) as usize], sighting(n));
        if batch.len() == 1_000 {
            partition.write(&batch, &mut fates).unwrap();
            batch.clear();
            partition.housekeep(0).unwrap();
        }
        // As a syncer that comes by every second at a million a second.
        if n % 1_000_000 == 999_999 {
            partition.syncer().tidy().unwrap();
            most = most.max(disk_bytes(temp.path()));
        }
    }
    settle(&mut partition, 0);
    let left = disk_bytes(temp.path());
    assert!(left < 100_000_000 && most < 250_000_000, "{left} bytes at the end, {most} on the way");
    assert!(partition.log_bytes() <= left);
    partition.close().unwrap();
    let (partition, recovery) =
        Partition::open(Arc::new(RealDisk), temp.path(), 0, settings, 0, &|_| {}).unwrap();
    assert_eq!((partition.reader().len(), recovery.receive_seq), (10_000, updates - 1));
}

fn disk_bytes(dir: &Path) -> u64 {
    let names = RealDisk.list(dir).unwrap();
    names.iter().map(|name| RealDisk.open(&dir.join(name)).unwrap().size().unwrap()).sum()
}
