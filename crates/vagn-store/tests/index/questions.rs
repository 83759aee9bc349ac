//! Questions as data: however vehicles are divided over shards, the answers of these join to the one of a fleet with all of them.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;
use vagn_store::{
    Answer, BBox, Fleet, Index, Key, Nearby, Plan, Question, Reader, Sight, Updates, Vehicle, VehicleIdBuf,
    Writer, partition,
};
use vagn_wire::Position;

use crate::model::{at, id, key, sighting};
use crate::places::{bbox, nearby, place};

/// A vehicle by its number: place, event time, and the shard that it is put into.
type Placed = (Position, i64, usize);

const SHARDS_MAX: usize = 9;

/// Returns a reader of vehicles n at the n-th place, of those that `is_here` chooses by number and shard.
fn reader(vehicles: &[Placed], is_here: impl Fn(usize, usize) -> bool) -> Reader {
    let mut updates = Updates::new();
    for (number, (position, time_ms, shard)) in vehicles.iter().enumerate() {
        if is_here(number, *shard) {
            let id = id(number);
            updates.push(key(&id), key(&id).hash(), sighting(*position, *time_ms, number as u64));
        }
    }
    let mut writer = Writer::new(Index::new(10_000));
    writer.write(&updates, &mut Plan::default());
    writer.reader()
}

fn alone(vehicles: &[Placed]) -> Fleet {
    let fleet = Fleet::new(1);
    fleet.set(0, Some(reader(vehicles, |_, _| true)));
    fleet
}

fn joined(question: &Question, shards: &[Reader]) -> Answer {
    question.join(shards.iter().map(|shard| {
        let answer = question.ask_shard(shard);
        assert!(question.is_answered_by(&answer));
        answer
    }))
}

fn vehicles(answer: Answer) -> Vec<Vehicle> {
    answer.vehicles().expect("the answer is of the kind of its question")
}

fn ids(vehicles: &[Vehicle]) -> BTreeSet<VehicleIdBuf> {
    vehicles.iter().map(|vehicle| vehicle.id).collect()
}

/// An exact box is answered in no order, and any of its vehicles where there are more than wanted.
fn check_inside(of: &Fleet, shards: &[Reader], bbox: BBox, limit: usize) {
    let question = Question::Inside { sight: Sight::Exact, bbox, limit };
    let all = Question::Inside { sight: Sight::Exact, bbox, limit: usize::MAX };
    let all = vehicles(all.ask(of).expect("no partition is missing"));
    let found = vehicles(joined(&question, shards));
    assert_eq!(found.len(), all.len().min(limit), "{bbox:?}");
    assert_eq!(ids(&found).len(), found.len(), "{bbox:?} gave a vehicle twice");
    assert!(found.iter().all(|vehicle| all.contains(vehicle)), "{bbox:?}");
}

/// A box at the poles or over the antimeridian too, in which there are several regions.
fn any_box() -> impl Strategy<Value = BBox> {
    let edges =
        |south, north| move |west, east| BBox::new(west, south, east, north).expect("edges are on the globe");
    let wide = (-180.0..=180.0, -180.0..=180.0);
    prop_oneof![
        4 => bbox(),
        1 => wide.prop_map(move |(west, east)| edges(-90.0, 90.0)(west, east)),
        1 => Just(edges(-90.0, 90.0)(-180.0, 180.0)),
        1 => Just(edges(89.0, 90.0)(10.0, 180.0)),
        1 => Just(edges(-1.0, 1.0)(179.999, -179.999)),
    ]
}

fn cases() -> ProptestConfig {
    let cases = if std::env::var_os("VAGN_LONG").is_some() { 5_000 } else { 300 };
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn any_division_over_shards_answers_as_one_fleet(
        vehicles in prop::collection::vec((place(), -100_000..400_000_i64, 0..SHARDS_MAX), 1..300),
        shards in 1..=SHARDS_MAX,
        asked in prop::collection::vec(nearby(), 8),
        boxes in prop::collection::vec((any_box(), prop_oneof![Just(10_000), 0..20_usize]), 6),
    ) {
        let fleet = alone(&vehicles);
        let shards: Vec<_> =
            (0..shards).map(|number| reader(&vehicles, |_, shard| shard % shards == number)).collect();
        for nearby in asked {
            for sight in [Sight::Exact, Sight::Coarse] {
                let question = Question::Nearest { sight, nearby };
                prop_assert_eq!(Ok(joined(&question, &shards)), question.ask(&fleet), "{:?}", question);
            }
        }
        for (bbox, limit) in boxes {
            check_inside(&fleet, &shards, bbox, limit);
            let question = Question::Inside { sight: Sight::Coarse, bbox, limit };
            prop_assert_eq!(Ok(joined(&question, &shards)), question.ask(&fleet), "{:?}", question);
        }
        // One more than there are.
        for number in 0..=vehicles.len() {
            let id = id(number);
            for sight in [Sight::Exact, Sight::Coarse] {
                let question = Question::One { sight, id: key(&id).into() };
                prop_assert_eq!(Ok(joined(&question, &shards)), question.ask(&fleet));
            }
        }
        prop_assert_eq!(Ok(joined(&Question::Count, &shards)), Question::Count.ask(&fleet));
    }
}

#[test]
fn answers_of_another_kind_have_no_part() {
    let nearby = Nearby { center: at(1.0, 2.0), k: 5, max_m: f64::INFINITY, newer_than_ms: None };
    let question = Question::Nearest { sight: Sight::Exact, nearby };
    for answer in [Answer::Count(7), Answer::Inside(Vec::new()), Answer::One(None)] {
        assert!(!question.is_answered_by(&answer));
        assert_eq!(question.join([answer].into_iter()), Answer::Nearest(Vec::new()));
    }
    assert_eq!(Question::Count.join([Answer::Count(7), Answer::One(None)].into_iter()), Answer::Count(7));
}

#[test]
fn a_fleet_looks_for_vehicles_where_they_are_placed() {
    /// By the last digit: not where the hash has them.
    fn placing(key: Key<'_>, partitions: usize) -> usize {
        usize::from(*VehicleIdBuf::from(key).as_bytes().last().unwrap()) % partitions
    }
    let vehicles: Vec<Placed> = (0..40).map(|number| (at(1.0, f64::from(number)), 0, 0)).collect();
    let fleet = Fleet::placed(3, placing);
    for home in 0..3 {
        let is_here = |number, _| placing(key(&id(number)), 3) == home;
        fleet.set(home, Some(reader(&vehicles, is_here)));
    }
    let within = Duration::from_secs(1);
    let mut elsewhere = 0;
    for number in 0..vehicles.len() {
        let id = id(number);
        let key = key(&id);
        elsewhere += usize::from(fleet.home(key) != partition(key.hash(), 3));
        assert_eq!(fleet.home(key), placing(key, 3));
        assert!(fleet.get(key).unwrap().is_some() && fleet.get_within(key, within).unwrap().is_some());
        let row = fleet.seek_within(key, within).unwrap().unwrap().0;
        assert_eq!(fleet.rows_within(&[key], within), [Ok(Some(row))]);
    }
    assert!(elsewhere > 0);
}
