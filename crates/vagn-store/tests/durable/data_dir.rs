//! The data directory: one process at a time, and any number of partitions.

use crate::support::*;
use std::path::Path;
use std::sync::Arc;
use vagn_store::disk::faulty::{Fault, FaultyDisk, Loss};
use vagn_store::disk::{Disk, RealDisk};
use vagn_store::{DataDir, Key, Settings, StoreError, Updates, partition};
use vagn_wire::VehicleId;

fn open_dir(disk: &FaultyDisk, partitions: Option<u32>) -> Result<DataDir, StoreError> {
    DataDir::open(Arc::new(disk.clone()), Path::new("d"), partitions, 7)
}

fn settings() -> Settings {
    Settings { history_keep_ms: 1_000, ..small() }
}

/// Opens all partitions, after a change of their number if need be, and gives what they hold together.
fn all(disk: &FaultyDisk, partitions: u32) -> Result<Model, StoreError> {
    let mut data = open_dir(disk, Some(partitions))?;
    data.prepare(settings(), 1_500, &|_| {})?;
    let mut found = Model::new();
    for number in 0..data.partitions() {
        let (opened, recovery) = data.open_partition(number, settings(), 1_500, &|_| {})?;
        assert!(recovery.receive_seq >= 300 && recovery.receive_time_ms >= 1_300, "{recovery:?}");
        for (id, sighting) in content(&opened.reader()) {
            let key = Key::of(VehicleId::new(&id).unwrap());
            assert_eq!(partition(key.hash(), partitions as usize), number as usize, "{id}");
            assert_eq!(found.insert(id, sighting), None);
        }
    }
    Ok(found)
}

/// A directory of one partition with history, deletions and snapshots.
fn one() -> (FaultyDisk, Model) {
    let disk = FaultyDisk::new();
    let data = open_dir(&disk, Some(1)).unwrap();
    let (mut opened, _) = data.open_partition(0, settings(), 1_500, &|_| {}).unwrap();
    let mut truth = Truth::new();
    for n in 1..=300 {
        write(&mut opened, &mut truth, &[((n % 40) as u32, n)]).unwrap();
        if n % 25 == 0 {
            delete(&mut opened, &mut truth, (n % 40) as u32).unwrap();
        }
        opened.housekeep(1_500).unwrap();
        opened.syncer().sync().unwrap();
    }
    opened.close().unwrap();
    (disk, truth.model)
}

#[test]
fn a_new_directory_keeps_its_number_of_partitions() {
    let disk = FaultyDisk::new();
    assert_eq!(open_dir(&disk, Some(3)).unwrap().partitions(), 3);
    assert_eq!(open_dir(&disk, None).unwrap().partitions(), 3);
    assert_eq!(open_dir(&FaultyDisk::new(), None).unwrap().partitions(), 1);
}

#[test]
fn a_directory_in_use_is_refused_and_says_by_whom() {
    let temp = tempfile::tempdir().unwrap();
    let open = || DataDir::open(Arc::new(RealDisk), temp.path(), None, 7);
    let held = open().unwrap();
    let err = open().err().unwrap();
    assert!(
        matches!(&err, StoreError::InUse { dir, pid } if dir == temp.path() && *pid == Some(std::process::id()))
    );
    assert!(err.to_string().contains(&format!("pid {}", std::process::id())));
    drop(held);
    open().unwrap();
}

#[test]
fn a_directory_of_another_version_is_left_alone() {
    let disk = FaultyDisk::new();
    drop(open_dir(&disk, None).unwrap());
    let file = Path::new("d/manifest");
    for version in [2, 4] {
        let other = disk.restart(Loss::Nothing);
        other
            .damage(file, |bytes| {
                let text = String::from_utf8_lossy(bytes).replace("format 3", &format!("format {version}"));
                let content = &text[..text.find("checksum").unwrap()];
                let sum = crc32c::crc32c(content.as_bytes());
                *bytes = format!("{content}checksum {sum:08x}\n").into_bytes();
            })
            .unwrap();
        match open_dir(&other, None) {
            Err(StoreError::Format { found, newest: 3, .. }) => assert_eq!(found, version),
            other => panic!("{:?}", other.map(|_| "opened")),
        }
    }
}

#[test]
fn a_layout_that_was_changed_is_not_believed() {
    let disk = FaultyDisk::new();
    drop(open_dir(&disk, None).unwrap());
    let file = Path::new("d/manifest");
    for offset in 0..size(&disk, file) {
        let disk = disk.restart(Loss::Nothing);
        disk.damage(file, |bytes| bytes[offset as usize] ^= 1).unwrap();
        let refused = open_dir(&disk, None).err();
        assert!(matches!(refused, Some(StoreError::Corrupt { .. } | StoreError::Format { .. })), "{offset}");
    }
}

#[test]
fn a_layout_that_is_gone_is_not_taken_for_a_new_directory_and_is_repaired() {
    let (disk, model) = one();
    disk.remove(Path::new("d/manifest")).unwrap();
    assert!(matches!(open_dir(&disk, None), Err(StoreError::Missing { .. })));
    let report = vagn_store::repair_on(Arc::new(disk.clone()), Path::new("d")).unwrap();
    assert_eq!((report.files.len(), report.vehicles), (1, model.len() as u64));
    assert_eq!(all(&disk, 1).unwrap(), model);
}

#[test]
fn another_number_of_partitions_holds_the_same_fleet() {
    let (disk, model) = one();
    for partitions in [4, 2, 2, 7, 1] {
        assert_eq!(all(&disk, partitions).unwrap(), model, "{partitions}");
        let sets = disk.list(Path::new("d")).unwrap();
        assert_eq!(sets.iter().filter(|name| name.starts_with("fleet")).count(), 1, "{sets:?}");
    }
}

#[test]
fn a_crash_during_the_change_leaves_the_old_partitions_or_the_new() {
    let (disk, model) = one();
    for operation in (0..).step_by(3) {
        let crashing = disk.restart(Loss::Nothing);
        crashing.fail_at(operation, Fault::Crash { bytes: 50 });
        let done = all(&crashing, 4).is_ok();
        let disk = crashing.restart(Loss::Some(operation));
        assert_eq!(all(&disk, 2).unwrap(), model, "operation {operation}");
        if done {
            break;
        }
    }
}

#[test]
fn history_goes_along() {
    let (disk, _) = one();
    let records = |disk: &FaultyDisk, dirs: &[&str]| {
        let names = |dir: &str| disk.list(Path::new(dir)).unwrap();
        let logs =
            dirs.iter().flat_map(|dir| names(dir).into_iter().map(move |name| Path::new(dir).join(name)));
        logs.filter(|path| path.extension().is_some_and(|end| end == "log"))
            .map(|path| size(disk, &path) / 80 - 1)
            .sum::<u64>()
    };
    let before = records(&disk, &["d/fleet-1/0"]);
    assert!(before >= 300, "all of it is younger than history.keep");
    all(&disk, 2).unwrap();
    assert!(records(&disk, &["d/fleet-2/0", "d/fleet-2/1"]) >= 300);
}

#[test]
fn a_batch_for_a_vehicle_of_another_partition_is_no_danger() {
    // The caller chooses the partition, and the partition keeps all it is given.
    let data = open_dir(&FaultyDisk::new(), Some(2)).unwrap();
    let (mut opened, _) = data.open_partition(1, settings(), 0, &|_| {}).unwrap();
    let mut updates = Updates::new();
    (0..10).for_each(|vehicle| push(&mut updates, &id(vehicle), sighting(1)));
    assert_eq!(opened.write(&updates, &mut Vec::new()).unwrap().stored, 10);
}

#[test]
fn a_writer_that_was_replaced_can_do_nothing_more() {
    let disk = FaultyDisk::new();
    let data = open_dir(&disk, Some(1)).unwrap();
    let mut truth = Truth::new();
    let (mut hung, _) = data.open_partition(0, settings(), 0, &|_| {}).unwrap();
    let hung_syncer = hung.syncer();
    write(&mut hung, &mut truth, &[(1, 1), (2, 2)]).unwrap();
    let (mut opened, _) = data.open_partition(0, settings(), 0, &|_| {}).unwrap();
    let before = disk.operations();
    assert!(matches!(write(&mut hung, &mut truth.clone(), &[(3, 3)]), Err(StoreError::Failed { .. })));
    assert!(delete(&mut hung, &mut truth.clone(), 1).is_err() && hung.housekeep(0).is_err());
    assert!(hung_syncer.sync().is_err() && hung_syncer.tidy().is_err());
    assert_eq!(disk.operations(), before);
    drop(hung);
    write(&mut opened, &mut truth, &[(4, 4)]).unwrap();
    opened.close().unwrap();
    let (opened, _) = data.open_partition(0, settings(), 0, &|_| {}).unwrap();
    check_content(&opened, &truth.model);
}
