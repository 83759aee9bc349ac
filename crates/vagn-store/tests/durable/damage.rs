//! Files that a disk changed: named with the offset, and repaired with as little loss as can be.

use crate::support::*;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use vagn_store::disk::faulty::{FaultyDisk, Loss};
use vagn_store::disk::{Disk, RealDisk};
use vagn_store::{DataDir, Partition, Recovery, RepairReport, Settings, StoreError, repair_on};

/// A data directory of one partition, closed after some changes; small segments, and snapshots if so many
/// records make one due.
fn closed(snapshot_records: u64) -> (FaultyDisk, Truth) {
    let disk = FaultyDisk::new();
    let settings = Settings { snapshot_records, history_keep_ms: i64::MAX, ..small() };
    let data = data_dir(&disk);
    let (mut partition, _) = data.open_partition(0, settings, 0, &|_| {}).unwrap();
    let mut truth = Truth::new();
    for n in 1..=60 {
        write(&mut partition, &mut truth, &[((n % 8) as u32, n)]).unwrap();
        if n.is_multiple_of(9) {
            delete(&mut partition, &mut truth, 3).unwrap();
        }
        partition.housekeep(0).unwrap();
        if n.is_multiple_of(5) {
            partition.syncer().sync().unwrap();
        }
    }
    partition.close().unwrap();
    drop(data);
    (disk, truth)
}

fn data_dir(disk: &FaultyDisk) -> DataDir {
    DataDir::open(Arc::new(disk.clone()), Path::new("d"), None, 7).unwrap()
}

fn partition_files(disk: &FaultyDisk, ending: &str) -> Vec<PathBuf> {
    let dir = Path::new("d/fleet-1/0");
    let names = disk.list(dir).unwrap();
    names.iter().filter(|name| name.ends_with(ending)).map(|name| dir.join(name)).collect()
}

fn reopen(disk: &FaultyDisk) -> Result<(Partition, Recovery), StoreError> {
    let settings = Settings { snapshot_records: u64::MAX, ..small() };
    data_dir(disk).open_partition(0, settings, 0, &|_| {})
}

fn repair(disk: &FaultyDisk) -> RepairReport {
    repair_on(Arc::new(disk.clone()), Path::new("d")).unwrap()
}

#[track_caller]
fn check_named(disk: &FaultyDisk, path: &Path, at: u64) {
    match reopen(disk) {
        Err(StoreError::Corrupt { file, offset, .. }) => assert_eq!((file.as_path(), offset), (path, at)),
        other => panic!("{path:?} {at}: {:?}", other.map(|(_, recovery)| recovery)),
    }
}

#[track_caller]
fn check_missing(disk: &FaultyDisk, path: &Path) {
    match reopen(disk) {
        Err(StoreError::Missing { file, manifest }) => {
            assert_eq!((file.as_path(), manifest), (path, "d/fleet-1/0/manifest".into()));
        }
        other => panic!("{path:?}: {:?}", other.map(|(_, recovery)| recovery)),
    }
}

/// Every vehicle is one there was, with a sighting of its own, no newer than what is true.
#[track_caller]
fn check_nothing_invented(partition: &Partition, truth: &Truth) {
    for (id, sighting) in content(&partition.reader()) {
        let its_own = |model: &Model| model.get(&id) == Some(&sighting);
        assert!(truth.story.values().any(its_own), "{id} was never seen so: {sighting:?}");
    }
}

#[test]
fn nothing_is_done_where_nothing_is_damaged() {
    for snapshot_records in [20, u64::MAX] {
        let (disk, truth) = closed(snapshot_records);
        let before = disk.operations();
        let report = repair(&disk);
        assert_eq!((report.files.len(), report.vehicles), (0, truth.model.len() as u64));
        assert_eq!(disk.operations(), before);
        check_content(&reopen(&disk).unwrap().0, &truth.model);
    }
}

#[test]
fn a_changed_byte_in_any_record_is_named_and_costs_no_other_record() {
    let (whole, truth) = closed(u64::MAX);
    for path in partition_files(&whole, ".log") {
        for offset in (0..size(&whole, &path)).step_by(80) {
            let disk = whole.restart(Loss::Nothing);
            disk.damage(&path, |bytes| bytes[offset as usize + 33] ^= 1).unwrap();
            if last_record(&disk, &path, offset) {
                continue;
            }
            check_named(&disk, &path, offset);
            let report = repair(&disk);
            assert_eq!(report.files.len(), 1);
            assert_eq!((&report.files[0].file, report.files[0].offset), (&path, offset));
            assert_eq!(report.files[0].lost, u64::from(offset > 0));
            assert!(size(&disk, report.files[0].moved_to.as_ref().unwrap()) == size(&whole, &path));
            let (partition, _) = reopen(&disk).unwrap();
            check_nothing_invented(&partition, &truth);
            let found = content(&partition.reader());
            let other = truth.model.iter().filter(|(id, now)| found.get(*id) != Some(now)).count();
            assert!(other <= 1, "one record is lost, and it was about one vehicle: {offset} {path:?}");
        }
    }
}

/// A damaged last record cannot be told from one that was never written whole.
fn last_record(disk: &FaultyDisk, path: &Path, offset: u64) -> bool {
    partition_files(disk, ".log").last().is_some_and(|last| last == path) && offset + 80 >= size(disk, path)
}

#[test]
fn a_segment_that_is_gone_or_short_is_named_and_the_rest_is_kept() {
    let (whole, truth) = closed(u64::MAX);
    let paths = partition_files(&whole, ".log");
    let (first, second) = (&paths[0], &paths[1]);

    let disk = whole.restart(Loss::Nothing);
    disk.remove(second).unwrap();
    check_missing(&disk, second);
    let report = repair(&disk);
    assert_eq!(report.files[0].lost, size(&whole, second) / 80 - 1);
    check_nothing_invented(&reopen(&disk).unwrap().0, &truth);

    let disk = whole.restart(Loss::Nothing);
    disk.damage(second, |bytes| bytes.truncate(400)).unwrap();
    check_named(&disk, second, 400);
    repair(&disk);
    check_nothing_invented(&reopen(&disk).unwrap().0, &truth);

    let disk = whole.restart(Loss::Nothing);
    disk.remove(first).unwrap();
    check_missing(&disk, first);
    repair(&disk);
    check_nothing_invented(&reopen(&disk).unwrap().0, &truth);
}

#[test]
fn a_whole_log_that_is_gone_is_not_taken_for_a_new_partition() {
    let (disk, truth) = closed(20);
    for path in partition_files(&disk, ".log") {
        disk.remove(&path).unwrap();
    }
    assert!(matches!(reopen(&disk), Err(StoreError::Missing { .. })));
    repair(&disk);
    let (partition, _) = reopen(&disk).unwrap();
    assert!(!partition.reader().is_empty());
    check_nothing_invented(&partition, &truth);
}

#[test]
fn a_damaged_snapshot_is_passed_over_when_an_older_one_will_do() {
    let (disk, truth) = closed(20);
    let snapshots = partition_files(&disk, ".snap");
    assert_eq!(snapshots.len(), 2);
    disk.damage(&snapshots[1], |bytes| bytes[90] ^= 1).unwrap();
    let (partition, recovery) = reopen(&disk).unwrap();
    assert_eq!(recovery.bad_snapshots, snapshots[1..]);
    check_content(&partition, &truth.model);
    drop(partition);
    let report = repair(&disk);
    assert_eq!(report.files[0].file, snapshots[1]);
    let (partition, recovery) = reopen(&disk).unwrap();
    assert!(recovery.bad_snapshots.is_empty());
    check_content(&partition, &truth.model);
}

#[test]
fn a_snapshot_cut_at_any_byte_is_never_taken_for_a_whole_one() {
    let (whole, truth) = closed(20);
    let newest = partition_files(&whole, ".snap").pop().unwrap();
    for length in 0..size(&whole, &newest) {
        let disk = whole.restart(Loss::Nothing);
        disk.damage(&newest, |bytes| bytes.truncate(length as usize)).unwrap();
        let (partition, recovery) = reopen(&disk).unwrap();
        assert_eq!(recovery.bad_snapshots.len(), 1, "cut to {length}");
        check_content(&partition, &truth.model);
    }
}

#[test]
fn without_any_good_snapshot_the_damage_is_named_and_what_is_left_is_kept() {
    let (disk, truth) = closed(20);
    let (snapshots, logs) = (partition_files(&disk, ".snap"), partition_files(&disk, ".log"));
    for snapshot in &snapshots {
        // The first block; slots are looked at seven at a time, so that there is another.
        disk.damage(snapshot, |bytes| bytes[60] ^= 1).unwrap();
    }
    // History goes back to the beginning here, so that it would do without.
    check_content(&reopen(&disk).unwrap().0, &truth.model);
    disk.remove(&logs[0]).unwrap();
    check_missing(&disk, &logs[0]);
    repair(&disk);
    let (partition, _) = reopen(&disk).unwrap();
    assert!(!partition.reader().is_empty());
    check_nothing_invented(&partition, &truth);
}

#[test]
fn a_repair_that_is_interrupted_can_be_done_again() {
    let (whole, truth) = closed(u64::MAX);
    let path = partition_files(&whole, ".log").swap_remove(1);
    whole.damage(&path, |bytes| bytes[500] ^= 1).unwrap();
    for operation in 0.. {
        let disk = whole.restart(Loss::Nothing);
        disk.fail_at(operation, vagn_store::disk::faulty::Fault::Crash { bytes: 200 });
        let done = repair_on(Arc::new(disk.clone()), Path::new("d")).is_ok();
        let disk = disk.restart(Loss::Some(operation));
        repair(&disk);
        check_nothing_invented(&reopen(&disk).unwrap().0, &truth);
        if done {
            break;
        }
    }
}

#[test]
fn files_of_the_operating_system_are_repaired_too() {
    let temp = tempfile::tempdir().unwrap();
    let open_dir = || DataDir::open(Arc::new(RealDisk), temp.path(), None, 7).unwrap();
    let (mut partition, _) = open_dir().open_partition(0, small(), 0, &|_| {}).unwrap();
    let mut truth = Truth::new();
    for n in 1..=9 {
        write(&mut partition, &mut truth, &[(n as u32, n)]).unwrap();
    }
    partition.close().unwrap();
    let dir = temp.path().join("fleet-1/0");
    let names = RealDisk.list(&dir).unwrap();
    let path = dir.join(names.iter().find(|name| name.ends_with(".log")).unwrap());
    let mut bytes = std::fs::read(&path).unwrap();
    // The position of the second vehicle.
    bytes[4 * 80 + 20] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let refused = open_dir().open_partition(0, small(), 0, &|_| {}).err().unwrap().to_string();
    assert!(refused.contains(path.to_str().unwrap()) && refused.contains("offset 320"), "{refused}");
    let report = vagn_store::repair(temp.path()).unwrap();
    assert_eq!((report.files.len(), report.files[0].lost, report.vehicles), (1, 1, 8));
    let said = std::fs::read_to_string(temp.path().join("repair.txt")).unwrap();
    assert_eq!(said, format!("{report}\n"));
    assert!(said.contains("offset 320, 1 lost"), "{said}");
    truth.model.remove(&id(2));
    check_content(&open_dir().open_partition(0, small(), 0, &|_| {}).unwrap().0, &truth.model);
}

#[test]
fn a_file_that_makes_room_for_a_segment_is_told_of() {
    let (disk, _) = closed(1_000);
    let segments = partition_files(&disk, ".log");
    // A whole segment under the name of another one, which is gone; in its own place a file that tells nothing.
    disk.copy(&segments[1], Path::new("d/copy")).unwrap();
    disk.rename(Path::new("d/copy"), &segments[2]).unwrap();
    disk.damage(&segments[1], |bytes| bytes[..80].fill(7)).unwrap();
    let report = repair(&disk);
    let mut away = segments[1].clone().into_os_string();
    away.push(".misplaced");
    let told = report.files.iter().find(|file| file.moved_to.as_deref() == Some(Path::new(&away)));
    assert_eq!(told.map(|file| &file.file), Some(&segments[1]), "{report}");
    assert!(size(&disk, Path::new(&away)) > 0);
}
