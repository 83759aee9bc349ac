//! Changes of the number of partitions that fail: nothing is lost, and nothing piles up.

use crate::support::*;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use vagn_store::disk::Disk;
use vagn_store::disk::faulty::{Fault, FaultyDisk, Loss};
use vagn_store::{DataDir, Settings, StoreError};

const OLD: &str = "d/fleet-1/0";

fn settings() -> Settings {
    Settings { history_keep_ms: 1_000_000, ..small() }
}

fn open_dir(disk: &FaultyDisk, partitions: u32) -> DataDir {
    DataDir::open(Arc::new(disk.clone()), Path::new("d"), Some(partitions), 7).unwrap()
}

fn prepare(data: &mut DataDir) -> Result<(), StoreError> {
    data.prepare(settings(), 1_500, &|_| {})
}

/// Opens all partitions, and gives what they hold together.
fn all(data: &DataDir) -> Result<Model, StoreError> {
    let mut found = Model::new();
    for number in 0..data.partitions() {
        found.extend(content(&data.open_partition(number, settings(), 1_500, &|_| {})?.0.reader()));
    }
    Ok(found)
}

/// A closed directory of one partition whose history is much longer than what a start reads.
fn one() -> (FaultyDisk, Model) {
    let disk = FaultyDisk::new();
    let data = open_dir(&disk, 1);
    let (mut opened, _) = data.open_partition(0, settings(), 1_500, &|_| {}).unwrap();
    let mut truth = Truth::new();
    for n in 1..=200 {
        write(&mut opened, &mut truth, &[((n % 20) as u32, n)]).unwrap();
        opened.housekeep(1_500).unwrap();
        opened.syncer().sync().unwrap();
    }
    opened.close().unwrap();
    (disk, truth.model)
}

fn sets(disk: &FaultyDisk) -> Vec<String> {
    let names = disk.list(Path::new("d")).unwrap();
    names.into_iter().filter(|name| name != "lock" && !name.starts_with("manifest")).collect()
}

fn used(disk: &FaultyDisk) -> u64 {
    disk.set_capacity(1 << 30);
    (1 << 30) - disk.free_space(Path::new("d")).unwrap()
}

#[test]
fn a_change_that_fails_again_and_again_leaves_nothing_behind() {
    let (disk, model) = one();
    let mut data = open_dir(&disk, 3);
    let before = used(&disk);
    for _ in 0..5 {
        disk.set_capacity(before + 8_000);
        assert!(prepare(&mut data).is_err());
        assert_eq!(sets(&disk), ["fleet-1"]);
        assert!(used(&disk) < before + 200, "the manifest may be longer, and nothing else");
    }
    // The place of the set on its way out is taken for as long as nothing can be removed.
    for _ in 0..5 {
        disk.set_capacity(before + 8_000);
        disk.fail_next_with_errno("remove", libc::EIO, u32::MAX);
        assert!(prepare(&mut data).is_err());
        assert!(sets(&disk).len() <= 2, "{:?}", sets(&disk));
    }
    disk.fail_next_with_errno("remove", 0, 0);
    disk.set_capacity(u64::MAX);
    prepare(&mut data).unwrap();
    assert_eq!(all(&data).unwrap(), model);
    assert_eq!(sets(&disk).len(), 1, "{:?}", sets(&disk));
}

#[test]
fn a_change_that_fails_anywhere_leaves_a_set_in_force_that_is_there() {
    let (whole, model) = one();
    let last = {
        let disk = whole.restart(Loss::Nothing);
        let mut data = open_dir(&disk, 3);
        let before = disk.operations();
        prepare(&mut data).unwrap();
        disk.operations() - before
    };
    // The last steps one by one: that is where the new set is put in force.
    for failing in (0..last).step_by(11).chain(last.saturating_sub(12)..last) {
        let disk = whole.restart(Loss::Nothing);
        let mut data = open_dir(&disk, 3);
        disk.fail_at(disk.operations() + failing, Fault::Error(ErrorKind::Other));
        let done = prepare(&mut data);
        let unfinished = if done.is_ok() { 2 } else { 1 };
        assert_eq!(sets(&disk).len(), unfinished, "operation {failing}: {:?}", sets(&disk));
        for loss in [Loss::Unsynced, Loss::Some(failing)] {
            let left = disk.restart(loss);
            let mut data = open_dir(&left, 2);
            prepare(&mut data).unwrap();
            assert_eq!(all(&data).unwrap(), model, "operation {failing}");
        }
        if done.is_err() {
            prepare(&mut data).unwrap();
        }
        assert_eq!(all(&data).unwrap(), model, "operation {failing}");
    }
}

fn history(disk: &FaultyDisk) -> Vec<PathBuf> {
    let names = disk.list(Path::new(OLD)).unwrap();
    let mut segments: Vec<_> =
        names.iter().filter(|name| name.ends_with(".log")).map(|name| Path::new(OLD).join(name)).collect();
    segments.pop();
    segments
}

#[test]
fn a_change_stops_at_history_that_is_not_whole_and_keeps_it() {
    let (whole, model) = one();
    let segments = history(&whole);
    assert!(segments.len() > 6, "{segments:?}");
    let damages: [fn(&mut Vec<u8>); 5] = [
        |bytes| bytes.clear(),
        |bytes| bytes.truncate(80),
        |bytes| bytes.truncate(bytes.len() - 1),
        |bytes| bytes.truncate(bytes.len() - 160),
        |bytes| bytes[170] ^= 1,
    ];
    for segment in &segments {
        for damage in damages {
            let disk = whole.restart(Loss::Nothing);
            disk.damage(segment, damage).unwrap();
            let mut data = open_dir(&disk, 3);
            let err = prepare(&mut data).expect_err("the damage is told of");
            assert!(matches!(&err, StoreError::Corrupt { file, .. } if file == segment), "{err:?}");
            assert!(history(&disk).contains(segment) && sets(&disk).contains(&"fleet-1".to_owned()));
            drop(data);
            vagn_store::repair_on(Arc::new(disk.clone()), Path::new("d")).unwrap();
            let mut data = open_dir(&disk, 3);
            prepare(&mut data).unwrap();
            assert_eq!(all(&data).unwrap().len(), model.len());
        }
    }
}

#[test]
fn a_change_passes_over_history_that_a_power_cut_brought_back() {
    let (disk, model) = one();
    let back = history(&disk)[0].clone();
    let kept = Path::new("d/kept");
    disk.copy(&back, kept).unwrap();
    let data = open_dir(&disk, 1);
    let no_history = Settings { history_keep_ms: 0, ..small() };
    let (mut opened, _) = data.open_partition(0, no_history, 1_500, &|_| {}).unwrap();
    settle(&mut opened, 1_500);
    opened.close().unwrap();
    drop(data);
    assert!(!history(&disk).contains(&back));
    disk.rename(kept, &back).unwrap();
    let mut data = open_dir(&disk, 3);
    prepare(&mut data).unwrap();
    assert_eq!(all(&data).unwrap(), model);
}

#[test]
fn a_start_removes_history_that_a_power_cut_brought_back_before_a_gap() {
    let (disk, model) = one();
    let segments = history(&disk);
    let back = [&segments[0], &segments[1], &segments[3]];
    let kept = |segment: &Path| Path::new("d").join(segment.file_name().unwrap());
    back.iter().for_each(|segment| disk.copy(segment, &kept(segment)).unwrap());
    let no_history = Settings { history_keep_ms: 0, ..small() };
    let open = |disk: &FaultyDisk| {
        let data = open_dir(disk, 1);
        data.open_partition(0, no_history, 1_500, &|_| {}).unwrap().0
    };
    let mut opened = open(&disk);
    settle(&mut opened, 1_500);
    opened.close().unwrap();
    assert!(segments[..5].iter().all(|segment| !history(&disk).contains(segment)));
    back.iter().for_each(|segment| disk.rename(&kept(segment), segment).unwrap());
    for _ in 0..2 {
        let opened = open(&disk);
        check_content(&opened, &model);
        assert!(back.iter().all(|segment| !history(&disk).contains(segment)));
        opened.close().unwrap();
    }
}
