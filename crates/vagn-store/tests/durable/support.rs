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
    }
}

pub(crate) fn push(updates: &mut Updates, id: &str, sighting: Sighting) {
    let key = Key::of(VehicleId::new(id).unwrap());
    updates.push(key, key.hash(), sighting);
}

/// Writes the sightings, all of which must be stored, and notes them in the model.
pub(crate) fn write(
    partition: &mut Partition,
    model: &mut Model,
    sightings: &[(u32, u64)],
) -> Result<Written, StoreError> {
    let mut updates = Updates::new();
    for (vehicle, n) in sightings {
        push(&mut updates, &id(*vehicle), sighting(*n));
    }
    let mut fates = Vec::new();
    let written = partition.write(&updates, &mut fates)?;
    assert!(fates.iter().all(|fate| *fate == Fate::Stored), "{fates:?}");
    model.extend(sightings.iter().map(|(vehicle, n)| (id(*vehicle), sighting(*n))));
    Ok(written)
}

pub(crate) fn delete(partition: &mut Partition, model: &mut Model, vehicle: u32) -> Result<(), StoreError> {
    let id = id(vehicle);
    let deleted = partition.delete(Key::of(VehicleId::new(&id).unwrap()))?;
    assert_eq!(deleted, model.remove(&id).is_some());
    Ok(())
}

/// Everything a partition shows.
pub(crate) fn content(reader: &Reader, vehicles: impl Iterator<Item = u32>) -> Model {
    let found = vehicles.filter_map(|vehicle| reader.get(Key::of(VehicleId::new(&id(vehicle)).unwrap())));
    found.map(|vehicle| (vehicle.id.as_str().to_owned(), vehicle.sighting)).collect()
}

#[track_caller]
pub(crate) fn check_content(partition: &Partition, model: &Model) {
    let reader = partition.reader();
    assert_eq!(reader.len(), model.len());
    assert_eq!(content(&reader, 0..200), *model);
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
