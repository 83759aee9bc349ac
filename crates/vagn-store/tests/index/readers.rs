//! Readers beside a writer: each answer is whole.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use vagn_store::{BBox, Fleet, Index, Nearby, NotReady, Plan, Updates, Writer, partition};

use crate::model::{at, id, key, sighting};

const VEHICLES: usize = 300;
const ROUNDS: u64 = 400;

/// Vehicles 0, 1, 2, .. side by side on a parallel that goes north and back with the rounds; half of them
/// move far.
fn round(round: u64) -> Updates {
    let mut updates = Updates::new();
    for number in 0..VEHICLES {
        let far = if number % 2 == 0 { (round % 80) as f64 } else { 0.0 };
        let position = at(far, number as f64 / 100.0 - 179.0);
        let id = id(number);
        updates.push(key(&id), key(&id).hash(), sighting(position, round as i64, round));
    }
    updates
}

fn everywhere() -> Nearby {
    Nearby { center: at(40.0, -178.0), k: 1_000, max_m: f64::INFINITY, newer_than_ms: None }
}

/// Asks until told to stop, at least once; counts the answers.
fn ask(fleet: &Fleet, stop: &AtomicBool) -> usize {
    let world = BBox::new(-180.0, -90.0, 180.0, 90.0).expect("the world is a box");
    let mut answers = 0;
    loop {
        let hits = fleet.nearby(&everywhere()).expect("the fleet is ready");
        assert_eq!(hits.len(), VEHICLES, "a vehicle was missing while it moved, or was there twice");
        assert!(hits.is_sorted_by(|a, b| a.distance_m <= b.distance_m));
        assert_eq!(fleet.bbox(&world, usize::MAX).map(|all| all.len()), Ok(VEHICLES));
        assert!(fleet.get(key(&id(7))).is_ok_and(|vehicle| vehicle.is_some()));
        answers += 1;
        if stop.load(Ordering::Relaxed) {
            return answers;
        }
    }
}

fn move_all(writer: &mut Writer, number: u64) {
    let mut plan = Plan::default();
    writer.write(&round(number), &mut plan);
    assert_eq!(plan.fates().count(), VEHICLES);
}

#[test]
fn no_vehicle_is_missing_while_it_moves() {
    let fleet = Fleet::new(1);
    let mut writer = Writer::new(Index::new(1_000));
    move_all(&mut writer, 0);
    fleet.set(0, Some(writer.reader()));
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let readers = [(); 2].map(|()| scope.spawn(|| ask(&fleet, &stop)));
        (1..ROUNDS).for_each(|number| move_all(&mut writer, number));
        stop.store(true, Ordering::Relaxed);
        assert!(readers.into_iter().map(|reader| reader.join().unwrap()).sum::<usize>() >= 2);
    });
}

#[test]
fn a_query_with_a_limit_gives_up_on_a_writer_that_never_ends() {
    let fleet = Fleet::new(1);
    let mut writer = Writer::new(Index::new(1_000));
    move_all(&mut writer, 0);
    fleet.set(0, Some(writer.reader()));
    let ask = || fleet.get_within(key(&id(7)), Duration::from_millis(1));
    assert!(ask().is_ok_and(|vehicle| vehicle.is_some()));
    writer.change(|_| assert_eq!(ask(), Err(NotReady)));
}

#[test]
fn a_writer_that_never_ends_costs_the_vehicles_of_other_partitions_nothing() {
    let fleet = Fleet::new(2);
    let ids: Vec<_> = (0..20).map(id).collect();
    let keys: Vec<_> = ids.iter().map(|id| key(id)).collect();
    let mut writers = [(); 2].map(|()| Writer::new(Index::new(1_000)));
    for (number, writer) in writers.iter_mut().enumerate() {
        move_all(writer, 0);
        fleet.set(number, Some(writer.reader()));
    }
    let ask = || fleet.rows_within(&keys, Duration::from_millis(1));
    assert!(ask().iter().all(|row| matches!(row, Ok(Some(_)))));
    let [first, _] = &mut writers;
    let rows = first.change(|_| ask());
    for (key, row) in keys.iter().zip(rows) {
        assert_eq!(row.is_err(), partition(key.hash(), 2) == 0, "{key:?}");
    }
}

#[test]
fn a_partition_can_be_replaced_while_queries_run() {
    let fleet = Fleet::new(1);
    let fresh = || {
        let mut writer = Writer::new(Index::new(1_000));
        move_all(&mut writer, 0);
        writer
    };
    fleet.set(0, Some(fresh().reader()));
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let reader = scope.spawn(|| ask(&fleet, &stop));
        (0..50).for_each(|_| fleet.set(0, Some(fresh().reader())));
        stop.store(true, Ordering::Relaxed);
        assert!(reader.join().unwrap() >= 1);
    });
}
