//! Random lives of a fleet, each answer compared with that of a search through all.

use proptest::prelude::*;
use vagn_store::{Fleet, Index, Nearby, Plan, Updates, Writer, partition};
use vagn_wire::Position;

use crate::model::{Checked, id, key, nearest, sighting};
use crate::places::{bbox, nearby, place};

#[derive(Debug, Clone)]
enum Step {
    See(Vec<(usize, Position, i64)>),
    /// All of these go to one place at once.
    Gather(Vec<usize>, Position, i64),
    Remove(Vec<usize>),
    Forget(i64),
}

fn step() -> impl Strategy<Value = Step> {
    let vehicle = 0..500_usize;
    let time = -100_000..400_000_i64;
    let seen = (vehicle.clone(), place(), time.clone());
    prop_oneof![
        8 => prop::collection::vec(seen, 0..300).prop_map(Step::See),
        2 => (prop::collection::vec(vehicle.clone(), 0..200), place(), time.clone())
            .prop_map(|(vehicles, place, time)| Step::Gather(vehicles, place, time)),
        2 => prop::collection::vec(vehicle, 0..200).prop_map(Step::Remove),
        1 => time.prop_map(Step::Forget),
    ]
}

fn take(checked: &mut Checked, step: Step) {
    match step {
        Step::See(sightings) => checked.see(&sightings),
        Step::Gather(vehicles, place, time) => {
            let sightings: Vec<_> = vehicles.into_iter().map(|vehicle| (vehicle, place, time)).collect();
            checked.see(&sightings);
        }
        Step::Remove(vehicles) => vehicles.into_iter().for_each(|vehicle| checked.remove(vehicle)),
        Step::Forget(time) => checked.forget_before(time),
    }
}

fn cases() -> ProptestConfig {
    let cases = if std::env::var_os("VAGN_LONG").is_some() { 5_000 } else { 200 };
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn answers_are_those_of_a_search_through_all(
        steps in prop::collection::vec(step(), 1..12),
        questions in prop::collection::vec(nearby(), 10),
        boxes in prop::collection::vec((bbox(), prop_oneof![Just(usize::MAX), 0..20_usize]), 5),
        after in step(),
    ) {
        let mut checked = Checked::new();
        for step in steps {
            take(&mut checked, step);
            questions.iter().for_each(|nearby| checked.check_nearby(nearby));
            boxes.iter().for_each(|(bbox, limit)| checked.check_bbox(bbox, *limit));
        }
        checked.check_all();
        checked.reload();
        questions.iter().for_each(|nearby| checked.check_nearby(nearby));
        boxes.iter().for_each(|(bbox, limit)| checked.check_bbox(bbox, *limit));
        checked.check_all();
        take(&mut checked, after);
        questions.iter().for_each(|nearby| checked.check_nearby(nearby));
    }

    #[test]
    fn the_number_of_partitions_does_not_show(
        positions in prop::collection::vec(place(), 1..400),
        questions in prop::collection::vec(nearby(), 10),
        boxes in prop::collection::vec(bbox(), 3),
        partitions in 1..=8_usize,
    ) {
        let mut checked = Checked::new();
        let seen: Vec<_> = positions.iter().enumerate().map(|(number, place)| (number, *place, 0)).collect();
        checked.see(&seen);
        let fleet = fleet_of(&positions, partitions);
        for nearby in &questions {
            prop_assert_eq!(fleet.nearby(nearby), Ok(nearest(&checked.truth, nearby)));
        }
        for bbox in &boxes {
            let count = |vehicles: Vec<_>| vehicles.len();
            let mut alone = Vec::new();
            checked.index().bbox(bbox, usize::MAX, &mut alone);
            prop_assert_eq!(fleet.bbox(bbox, usize::MAX).map(count), Ok(alone.len()));
            prop_assert_eq!(fleet.bbox(bbox, 3).map(count), Ok(alone.len().min(3)));
        }
        // One at exactly (0, 0) is none.
        prop_assert_eq!(fleet.len(), Ok(checked.truth.len()));
    }
}

/// A fleet with vehicle n at the n-th position.
fn fleet_of(positions: &[Position], partitions: usize) -> Fleet {
    let fleet = Fleet::new(partitions);
    for number in 0..partitions {
        let mut updates = Updates::new();
        for (vehicle, position) in positions.iter().enumerate() {
            let id = id(vehicle);
            if partition(key(&id).hash(), partitions) == number {
                updates.push(key(&id), key(&id).hash(), sighting(*position, 0, vehicle as u64));
            }
        }
        let mut writer = Writer::new(Index::new(1_000));
        writer.write(&updates, &mut Plan::default());
        fleet.set(number, Some(writer.reader()));
    }
    fleet
}

#[test]
fn a_fleet_with_a_part_missing_gives_no_answer() {
    let place = crate::model::at(1.0, 0.0);
    let nearby = Nearby { center: place, k: 5, max_m: f64::INFINITY, newer_than_ms: None };
    let fleet = fleet_of(&[place; 30], 3);
    assert!(fleet.ready() && fleet.nearby(&nearby).is_ok());
    fleet.set(1, None);
    assert!(!fleet.ready());
    assert!(fleet.nearby(&nearby).is_err() && fleet.len().is_err() && fleet.is_empty().is_err());
    for number in 0..30 {
        let id = id(number);
        let missing = partition(key(&id).hash(), 3) == 1;
        assert_eq!(fleet.get(key(&id)).is_err(), missing, "{id} is in a partition by itself");
    }
}
