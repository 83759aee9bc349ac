//! The bounds of a partition: how many vehicles, and for how long.

use crate::support::*;
use vagn_store::disk::faulty::FaultyDisk;
use vagn_store::{
    DepartedCounts, Evidence, Fate, Forget, Key, KeyTag, Partition, Seal, Settings, Sighting, Updates,
};
use vagn_wire::VehicleId;

#[test]
fn a_vehicle_beyond_the_greatest_number_is_shed() {
    let disk = FaultyDisk::new();
    let (mut partition, _) = open(&disk, small()).unwrap();
    partition.bound(3);
    let mut updates = Updates::new();
    (0..5).for_each(|vehicle| push(&mut updates, &id(vehicle), sighting(1)));
    push(&mut updates, &id(0), sighting(2));
    let mut fates = Vec::new();
    let written = partition.write(&updates, &mut fates).unwrap();
    assert_eq!((written.stored, written.new_vehicles), (4, 3));
    assert_eq!(fates, [Fate::Stored, Fate::Stored, Fate::Stored, Fate::Shed, Fate::Shed, Fate::Stored]);
    drop(partition);
    let (mut partition, recovery) = open(&disk, small()).unwrap();
    partition.bound(1);
    assert_eq!((recovery.vehicles, partition.reader().len()), (3, 3), "known vehicles stay");
    partition.write(&updates, &mut fates).unwrap();
    assert_eq!(fates[3..5], [Fate::Shed; 2]);
    partition.bound(4);
    partition.write(&updates, &mut fates).unwrap();
    assert_eq!(fates[3..5], [Fate::Stored, Fate::Shed]);
}

fn forget_round(partition: &mut Partition, before_ms: i64, now_ms: i64) -> usize {
    let mut vehicles = 0;
    loop {
        let forgotten = partition.forget(Forget { before_ms, now_ms }).unwrap();
        assert!(forgotten.vehicles.len() <= 2, "a call looks at one slice");
        vehicles += forgotten.vehicles.len();
        if !forgotten.more {
            return vehicles;
        }
    }
}

#[test]
fn a_vehicle_not_heard_of_for_too_long_is_forgotten_on_command_and_stays_so() {
    let disk = FaultyDisk::new();
    let settings = Settings { slice: 2, ..small() };
    let (mut partition, _) = open(&disk, settings).unwrap();
    let mut truth = Truth::new();
    // Received at 1_000 + n.
    for n in 0..20 {
        write(&mut partition, &mut truth, &[(n as u32, n * 100)]).unwrap();
    }
    settle(&mut partition, i64::MAX / 2);
    check_content(&partition, &truth.model);
    let forgotten: usize =
        (2_000..3_000).step_by(50).map(|now_ms| forget_round(&mut partition, now_ms - 1_000, now_ms)).sum();
    truth.model.retain(|_, sighting| sighting.receive_time_ms >= 1_950);
    assert_eq!(forgotten, 20 - truth.model.len());
    check_content(&partition, &truth.model);
    write(&mut partition, &mut truth, &[(0, 5_000), (30, 5_001)]).unwrap();
    drop(partition);
    check_content(&open(&disk, settings).unwrap().0, &truth.model);
}

#[test]
fn a_vehicle_received_in_the_future_is_forgotten_as_if_it_had_come_when_that_was_first_seen() {
    let (mut partition, _) = open(&FaultyDisk::new(), Settings { slice: 2, ..small() }).unwrap();
    let received = |receive_time_ms, n| Sighting { receive_time_ms, ..sighting(n) };
    let store = |partition: &mut Partition, vehicle, sighting| {
        let mut updates = Updates::new();
        push(&mut updates, &id(vehicle), sighting);
        partition.write(&updates, &mut Vec::new()).unwrap();
    };
    // Under a clock that was ten years ahead, then under the right one.
    store(&mut partition, 1, received(315_360_000_000, 1));
    store(&mut partition, 2, received(1_000, 2));
    assert_eq!(forget_round(&mut partition, 0, 1_000), 0);
    store(&mut partition, 3, received(315_360_000_000, 3));
    assert_eq!(forget_round(&mut partition, 1_000, 2_000), 0, "both came at 1 000 at the latest");
    assert_eq!(forget_round(&mut partition, 1_001, 2_001), 2, "the third came after it");
    assert_eq!(forget_round(&mut partition, 2_000, 3_000), 0);
    assert_eq!(forget_round(&mut partition, 3_001, 4_001), 1);
    assert!(partition.reader().is_empty());
}

fn key(id: &str) -> Key<'_> {
    Key::of(VehicleId::new(id).unwrap())
}

/// Reports of these vehicles under one key, each with its own running number.
fn sealed(vehicles: std::ops::Range<u32>) -> Updates {
    let seal = Some(Seal { key: KeyTag::of_key_id([1; 8]), more: false });
    let mut updates = Updates::new();
    for vehicle in vehicles {
        let (id, number) = (id(vehicle), u64::from(vehicle));
        let sighting = Sighting { seq: Some(number), receive_seq: number, ..sighting(1) };
        updates.push_with(key(&id), key(&id).hash(), sighting, Evidence { seal, ..Evidence::default() });
    }
    updates
}

#[test]
fn counts_of_sealed_vehicles_that_left_are_no_more_than_vehicles_may_be() {
    let disk = FaultyDisk::new();
    let (mut partition, _) = open(&disk, small()).unwrap();
    partition.bound(4);
    let mut fates = Vec::new();
    for vehicle in 0..6 {
        partition.write(&sealed(vehicle..vehicle + 1), &mut fates).unwrap();
        assert_eq!(fates, [Fate::Stored]);
        partition.delete(key(&id(vehicle))).unwrap();
    }
    assert_eq!(partition.reader().departed_counts(), DepartedCounts { kept: 4, lost: 2 });
    // The two that were heard longest ago are taken once more, which the bound on vehicles is said to mean.
    partition.write(&sealed(0..6), &mut fates).unwrap();
    assert_eq!(fates, [[Fate::Stored; 2].as_slice(), &[Fate::Duplicate; 4]].concat());
    assert_eq!((partition.replays(), partition.reader().len()), (4, 2));
}
