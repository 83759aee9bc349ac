//! What must be there: what is missing, misplaced or from another time is named, and nothing is removed that may be needed.

mod cuts;
mod earlier;
mod faults;
mod missing;
mod sets;

use crate::support::*;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use vagn_store::Key;
use vagn_store::disk::Disk;
use vagn_store::disk::faulty::{Fault, FaultyDisk, Loss};
use vagn_store::{
    DataDir, Health, Partition, Recovery, Settings, StoreError, partition, plan_repair_on, repair_on,
};
use vagn_wire::VehicleId;

fn open_dir(disk: &FaultyDisk, partitions: Option<u32>) -> Result<DataDir, StoreError> {
    DataDir::open(Arc::new(disk.clone()), Path::new("d"), partitions, 11)
}

fn settings() -> Settings {
    Settings { history_keep_ms: 1_000_000, ..small() }
}

/// Opens all partitions, and gives what they hold together.
fn all(disk: &FaultyDisk, partitions: Option<u32>) -> Result<Model, StoreError> {
    let mut data = open_dir(disk, partitions)?;
    data.prepare(settings(), 1_500, &|_| {})?;
    let mut found = Model::new();
    for number in 0..data.partitions() {
        found.extend(content(&open_one(&data, number)?.0.reader()));
    }
    Ok(found)
}

fn open_one(data: &DataDir, number: u32) -> Result<(Partition, Recovery), StoreError> {
    data.open_partition(number, settings(), 1_500, &|_| {})
}

/// A closed directory of two partitions, with history and snapshots.
fn closed() -> (FaultyDisk, Model) {
    let disk = FaultyDisk::new();
    let data = open_dir(&disk, Some(2)).unwrap();
    let mut model = Model::new();
    for number in 0..2 {
        let (mut opened, _) = open_one(&data, number).unwrap();
        let mut truth = Truth::new();
        let ours = |vehicle: &u32| {
            let key = id(*vehicle);
            partition(Key::of(VehicleId::new(&key).unwrap()).hash(), 2) == number as usize
        };
        let vehicles: Vec<u32> = (0..40).filter(ours).collect();
        for n in 0..150 {
            let vehicle = vehicles[n as usize % vehicles.len()];
            write(&mut opened, &mut truth, &[(vehicle, n)]).unwrap();
            opened.housekeep(1_500).unwrap();
            if n % 10 == 0 {
                opened.syncer().sync().unwrap();
            }
        }
        opened.close().unwrap();
        model.extend(truth.model);
    }
    (disk, model)
}

fn files_of(disk: &FaultyDisk, dir: &str, ending: &str) -> Vec<PathBuf> {
    let names = disk.list(Path::new(dir)).unwrap();
    names.iter().filter(|name| name.ends_with(ending)).map(|name| Path::new(dir).join(name)).collect()
}

fn bytes(disk: &FaultyDisk, file: &Path) -> Vec<u8> {
    let mut bytes = vec![0; size(disk, file) as usize];
    disk.open(file).unwrap().read_at(0, &mut bytes).unwrap();
    bytes
}

fn repair(disk: &FaultyDisk) -> vagn_store::RepairReport {
    repair_on(Arc::new(disk.clone()), Path::new("d")).unwrap()
}

fn swap(disk: &FaultyDisk, one: &Path, other: &Path) {
    let aside = one.with_extension("aside");
    disk.rename(one, &aside).unwrap();
    disk.rename(other, one).unwrap();
    disk.rename(&aside, other).unwrap();
}

#[track_caller]
fn check_missing<T>(opened: Result<T, StoreError>, path: &str) {
    let err = opened.err().expect("it is missing");
    let StoreError::Missing { file, .. } = &err else { panic!("{err:?}") };
    assert_eq!(file, Path::new(path));
    assert!(err.to_string().contains("vagn repair"), "{err}");
}

fn closed_with_id(chance: u64) -> (FaultyDisk, DataDir) {
    let disk = FaultyDisk::new();
    let data = DataDir::open(Arc::new(disk.clone()), Path::new("d"), Some(2), chance).unwrap();
    (disk, data)
}

/// Every file in a partition's directory, to be put back later.
fn copy_of(disk: &FaultyDisk, dir: &str) -> Vec<(PathBuf, Vec<u8>)> {
    files_of(disk, dir, "").into_iter().map(|file| (file.clone(), bytes(disk, &file))).collect()
}

fn put_back(disk: &FaultyDisk, dir: &str, copy: &[(PathBuf, Vec<u8>)]) {
    disk.remove_dir(Path::new(dir)).unwrap();
    put(disk, dir, copy);
}

fn put(disk: &FaultyDisk, dir: &str, copy: &[(PathBuf, Vec<u8>)]) {
    disk.create_dir(Path::new(dir)).unwrap();
    for (file, content) in copy {
        let file = Path::new(dir).join(file.file_name().unwrap());
        disk.create(&file).unwrap().append(content).unwrap();
    }
}

/// A run in which both partitions get something to store.
fn run_once(disk: &FaultyDisk, n: u64) {
    let data = open_dir(disk, None).unwrap();
    for number in 0..2 {
        let (mut opened, _) = open_one(&data, number).unwrap();
        let mut updates = vagn_store::Updates::new();
        push(&mut updates, &id(n as u32 % 40), sighting(n));
        opened.write(&updates, &mut Vec::new()).unwrap();
        opened.close().unwrap();
    }
}
