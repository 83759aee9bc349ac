//! The bounds of a partition: how many vehicles, and for how long.

use crate::support::*;
use vagn_store::disk::faulty::FaultyDisk;
use vagn_store::{Fate, Settings, Updates};

#[test]
fn a_vehicle_beyond_the_greatest_number_is_shed() {
    let disk = FaultyDisk::new();
    let settings = Settings { max_vehicles: 3, ..small() };
    let (mut partition, _) = open(&disk, settings).unwrap();
    let mut updates = Updates::new();
    (0..5).for_each(|vehicle| push(&mut updates, &id(vehicle), sighting(1)));
    push(&mut updates, &id(0), sighting(2));
    let mut fates = Vec::new();
    let written = partition.write(&updates, &mut fates).unwrap();
    assert_eq!((written.stored, written.new_vehicles), (4, 3));
    assert_eq!(fates, [Fate::Stored, Fate::Stored, Fate::Stored, Fate::Shed, Fate::Shed, Fate::Stored]);
    drop(partition);
    let (mut partition, recovery) = open(&disk, Settings { max_vehicles: 1, ..settings }).unwrap();
    assert_eq!(recovery.vehicles, 3, "known vehicles stay");
    partition.write(&updates, &mut fates).unwrap();
    assert_eq!(fates[3..5], [Fate::Shed; 2]);
}

#[test]
fn a_vehicle_not_heard_of_for_too_long_is_forgotten_and_stays_so() {
    let disk = FaultyDisk::new();
    let settings = Settings { forget_after_ms: 1_000, slice: 2, ..small() };
    let (mut partition, _) = open(&disk, settings).unwrap();
    let mut truth = Truth::new();
    // Received at 1_000 + n.
    for n in 0..20 {
        write(&mut partition, &mut truth, &[(n as u32, n * 100)]).unwrap();
    }
    let mut forgotten = 0;
    for now_ms in (2_000..3_000).step_by(50) {
        while {
            let kept = partition.housekeep(now_ms).unwrap();
            forgotten += kept.forgotten;
            assert!(kept.forgotten <= 2, "a call looks at one slice");
            kept.more
        } {}
    }
    truth.model.retain(|_, sighting| sighting.receive_time_ms >= 1_950 - 50);
    assert_eq!(forgotten, 20 - truth.model.len());
    check_content(&partition, &truth.model);
    write(&mut partition, &mut truth, &[(0, 5_000), (30, 5_001)]).unwrap();
    drop(partition);
    check_content(&open(&disk, settings).unwrap().0, &truth.model);
}
