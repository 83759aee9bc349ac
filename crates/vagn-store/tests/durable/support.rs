//! A partition beside a plain map that says what it must hold.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use vagn_store::disk::Disk;
use vagn_store::{Fate, Key, Partition, Reader, Recovery, Settings, Sighting, StoreError, Updates, Written};
use vagn_wire::{Position, VehicleId};

/// What a partition must hold: vehicles by id.
pub(crate) type Model = BTreeMap<String, Sighting>;

/// Where the partition under test lives.
pub(crate) fn dir() -> PathBuf {
    PathBuf::from("p")
}

/// Small segments and frequent snapshots, so that a short test meets many of both.
pub(crate) fn small() -> Settings {
    Settings {
        segment_bytes: 20 * 80,
        snapshot_records: 50,
        slice: 7,
        history_keep_ms: 0,
        free_floor_bytes: 0,
        ..Settings::default()
    }
}

pub(crate) fn open(
    disk: &(impl Disk + Clone + 'static),
    settings: Settings,
) -> Result<(Partition, Recovery), StoreError> {
    Partition::open(Arc::new(disk.clone()), &dir(), 0, settings, 0, &|_| {})
}

/// Vehicle number `vehicle`: every third has a UUID, the others short and long names.
pub(crate) fn id(vehicle: u32) -> String {
    match vehicle % 3 {
        0 => format!("00000000-0000-4000-8000-{vehicle:012x}"),
        1 => format!("bus {vehicle}"),
        _ => format!("{vehicle:x>64}"),
    }
}

/// The sighting number `n` of all: later ones are newer, and each is unlike any other.
pub(crate) fn sighting(n: u64) -> Sighting {
    Sighting {
        position: Position::new((n % 180) as f64 - 90.0, (n as f64 * 0.37) % 180.0).unwrap(),
        event_time_ms: n as i64,
        receive_time_ms: 1_000 + n as i64,
        receive_seq: n,
        seq: n.is_multiple_of(2).then_some(n),
        speed_mps: n.is_multiple_of(3).then_some(n as f32),
        heading_deg: n.is_multiple_of(5).then_some((n % 360) as f32),
        emergency: n.is_multiple_of(7),
        own_time: n.is_multiple_of(11),
        unsure: false,
    }
}

pub(crate) fn push(updates: &mut Updates, id: &str, sighting: Sighting) {
    let key = Key::of(VehicleId::new(id).unwrap());
    updates.push(key, key.hash(), sighting);
}

/// What was written, to hold a partition against.
#[derive(Clone, Default)]
pub(crate) struct Truth {
    /// What it must hold now.
    pub(crate) model: Model,
    /// What it had to hold before, by the order number behind the last change.
    pub(crate) story: BTreeMap<u64, Model>,
    /// What it may hold if the last change, which failed, is there in part.
    pub(crate) perhaps: Vec<Model>,
}

impl Truth {
    pub(crate) fn new() -> Truth {
        Truth { story: BTreeMap::from([(0, Model::new())]), ..Truth::default() }
    }

    /// What a partition must hold whose log ends at `end`.
    pub(crate) fn at(&self, end: u64) -> &Model {
        self.story.range(..=end).next_back().expect("a story begins at the beginning").1
    }

    /// What a partition shows whose log ends at `end`.
    #[track_caller]
    pub(crate) fn check(&self, partition: &Partition, end: u64) {
        let found = content(&partition.reader());
        let told = *self.story.last_key_value().unwrap().0;
        if end <= told {
            check_same(&found, self.at(end));
        } else {
            assert!(
                self.perhaps.contains(&found),
                "{} vehicles, and no part of a batch gives these",
                found.len()
            );
        }
    }
}

/// Writes the sightings, all of which must be stored.
pub(crate) fn write(
    partition: &mut Partition,
    truth: &mut Truth,
    sightings: &[(u32, u64)],
) -> Result<Written, StoreError> {
    let mut updates = Updates::new();
    // What is there behind each position.
    let mut changes = Vec::new();
    let mut model = truth.model.clone();
    for (vehicle, n) in sightings {
        push(&mut updates, &id(*vehicle), sighting(*n));
        model.insert(id(*vehicle), sighting(*n));
        changes.push(model.clone());
    }
    truth.perhaps = [vec![truth.model.clone()], changes.clone()].concat();
    let mut fates = Vec::new();
    let written = partition.write(&updates, &mut fates)?;
    assert!(fates.iter().all(|fate| *fate == Fate::Stored), "{fates:?}");
    assert_eq!((written.stored, written.new_vehicles), (sightings.len(), model.len() - truth.model.len()));
    truth.story.extend((0..=written.end.0).rev().zip(changes.into_iter().rev()));
    truth.model = model;
    Ok(written)
}

pub(crate) fn delete(partition: &mut Partition, truth: &mut Truth, vehicle: u32) -> Result<(), StoreError> {
    let id = id(vehicle);
    let mut model = truth.model.clone();
    let known = model.remove(&id).is_some();
    truth.perhaps = vec![truth.model.clone(), model.clone()];
    assert_eq!(partition.delete(Key::of(VehicleId::new(&id).unwrap()))?.is_some(), known);
    truth.model = model.clone();
    truth.story.insert(partition.syncer().written().0, model);
    Ok(())
}

/// Everything a partition shows.
pub(crate) fn content(reader: &Reader) -> Model {
    let found = (0..200).filter_map(|vehicle| reader.get(Key::of(VehicleId::new(&id(vehicle)).unwrap())));
    found.map(|vehicle| (vehicle.id.as_str().to_owned(), vehicle.sighting)).collect()
}

/// Names the vehicles that differ, and not all of them.
#[track_caller]
fn check_same(found: &Model, wanted: &Model) {
    let differs = |id: &&String| found.get(*id) != wanted.get(*id);
    let different: Vec<_> = found.keys().chain(wanted.keys()).filter(differs).take(3).collect();
    assert!(different.is_empty(), "not as they must be: {different:?}");
}

#[track_caller]
pub(crate) fn check_content(partition: &Partition, model: &Model) {
    assert_eq!(partition.reader().len(), model.len());
    check_same(&content(&partition.reader()), model);
}

/// The number of a file's first record, as its name gives it.
pub(crate) fn first_record(file: &Path) -> u64 {
    file.file_name().unwrap().to_str().unwrap().split('-').next().unwrap().parse().unwrap()
}

/// Files with this ending, oldest first.
pub(crate) fn files(disk: &dyn Disk, ending: &str) -> Vec<PathBuf> {
    let names = disk.list(&dir()).unwrap();
    names.iter().filter(|name| name.ends_with(ending)).map(|name| Path::new(&dir()).join(name)).collect()
}

/// Housekeeping until there is nothing more to do, with the syncer beside it.
pub(crate) fn settle(partition: &mut Partition, now_ms: i64) {
    for _ in 0..3 {
        while partition.housekeep(now_ms).unwrap().more {}
        partition.syncer().sync().unwrap();
    }
}

pub(crate) fn size(disk: &dyn Disk, file: &Path) -> u64 {
    disk.open(file).unwrap().size().unwrap()
}
